"""Works through the queue: `python -m core.worker.queue_runner`.

One run after the other, each in a worker of its own; one that fails does not stop the next. It
ends when nothing waits any more. Only one runner lives at a time.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from core.errors import UserError
from core.filelock import hold
from core.paths import console_python
from core.runs import queue
from core.runs.folder import RunFolder
from core.runs.history import progress
from core.runs.lock import is_running
from core.worker.client import WorkerProcess
from core.worker.lineprocess import detached, worker_environment

_POLL_SECONDS = 0.5


def start_runner() -> None:
    """Start a runner that outlives this process, unless one is alive or nothing waits.

    Raises OSError.
    """
    if queue.is_runner_alive() or not any(e.state == "waiting" for e in queue.entries()):
        return
    subprocess.Popen(
        [console_python(), "-P", "-m", "core.worker.queue_runner"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=worker_environment(),
        **detached(),
    )


def work() -> int:
    """Train what waits until nothing does; returns how many runs were begun."""
    lock = queue.runner_lock()
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = hold(lock)
    if held is None:
        return 0
    begun = 0
    try:
        while (run := _next()) is not None:
            begun += _train(run)
            _drop(run)
    finally:
        held.release()
    return begun


def _next() -> Path | None:
    """The first run that can be trained now; drops those that cannot be any more."""
    for entry in queue.entries():
        if entry.state != "gone" and progress(RunFolder(entry.run))[0] != "finished":
            return entry.run
        _drop(entry.run)
    return None


def _train(run: Path) -> bool:
    """Train a run to its end, whatever that is; whether a worker was started for it.

    One that somebody else is training already is waited for.
    """
    if is_running(run):
        while is_running(run):
            time.sleep(_POLL_SECONDS)
        return False
    folder = RunFolder(run)
    begun = progress(folder)[1] > 0
    try:
        worker = WorkerProcess(folder, "latest" if begun else None)
    except OSError:
        return False
    while not worker.ended:
        worker.get(_POLL_SECONDS)
    worker.wait()
    return True


def _drop(run: Path) -> None:
    try:
        queue.remove(run)
    except UserError as error:
        print(error, file=sys.stderr)
        # Without a list that can be written the same run would come again and again.
        raise SystemExit(1) from error


if __name__ == "__main__":
    work()
