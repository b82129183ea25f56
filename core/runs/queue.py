"""The queue: runs that wait for their turn, each frozen in its folder when it was added.

One small file in the user's data folder lists the folders in order. A runner without a window
(core/worker/queue_runner.py) trains one after the other; it outlives the window, and whoever opens
the next window starts it again where it has died.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core import files
from core.errors import fail
from core.filelock import hold, is_held
from core.paths import user_data_dir
from core.reading import Unreadable, read_json
from core.runs.folder import RunFolder
from core.runs.lock import is_running

State = Literal["waiting", "running", "gone"]
_PATIENCE = 10.0


@dataclass(frozen=True)
class Entry:
    """A run in the queue. gone: its folder is no longer there."""

    run: Path
    state: State

    @property
    def name(self) -> str:
        """What the run is called."""
        return self.run.name


def queue_file() -> Path:
    """The list of the queue."""
    return user_data_dir() / "queue.json"


def runner_lock() -> Path:
    """Held by the runner while it lives."""
    return user_data_dir() / "locks" / "queue-runner.lock"


def entries() -> list[Entry]:
    """What is in the queue, in order. A damaged list counts as empty."""
    return [Entry(path, _state_of(path)) for path in _read()]


def is_queued(run: Path) -> bool:
    """Whether a run waits in the queue or is trained from it."""
    return run.absolute() in _read()


def is_runner_alive() -> bool:
    """Whether somebody works through the queue."""
    return is_held(runner_lock())


def add(run: Path) -> int:
    """Put a run at the end; returns its place, counted from 1. Raises UserError when that fails.

    A run that is there already stays where it is.
    """
    run = run.absolute()
    RunFolder(run).read_job()

    def change(runs: list[Path]) -> list[Path]:
        return runs if run in runs else [*runs, run]

    return _change(change).index(run) + 1


def remove(run: Path) -> None:
    """Take a run out; its folder stays. Raises UserError when the list cannot be written."""
    run = run.absolute()
    _change(lambda runs: [other for other in runs if other != run])


def move(run: Path, place: int) -> None:
    """Put a run at `place`, counted from 1. Raises UserError when it is not in the queue."""
    run = run.absolute()

    def change(runs: list[Path]) -> list[Path]:
        if run not in runs:
            raise _not_queued(run)
        others = [other for other in runs if other != run]
        index = min(max(place - 1, 0), len(others))
        return [*others[:index], run, *others[index:]]

    _change(change)


def find(name: str) -> Path:
    """The run in the queue that a place (1, 2, ...), a name or a folder means.

    Raises UserError when there is none, or when several have that name.
    """
    runs = _read()
    if name.isdecimal() and 1 <= int(name) <= len(runs):
        return runs[int(name) - 1]
    alike = [run for run in runs if name in (run.name, str(run)) or Path(name).absolute() == run]
    if len(alike) == 1:
        return alike[0]
    raise _not_queued(Path(name))


def _not_queued(run: Path) -> Exception:
    return fail(
        "run_not_queued",
        f"{run.name} is not in the queue; `limner queue list` shows what is.",
        file=str(run),
    )


def _state_of(run: Path) -> State:
    if is_running(run):
        return "running"
    return "waiting" if RunFolder(run).job_file.is_file() else "gone"


def _read() -> list[Path]:
    try:
        runs = read_json(queue_file()).get("runs", [])
    except Unreadable:
        return []
    return [Path(run) for run in runs if isinstance(run, str)] if isinstance(runs, list) else []


def _change(change: Callable[[list[Path]], list[Path]]) -> list[Path]:
    with _locked():
        before = _read()
        after = change(before)
        if after != before:
            files.write_json(queue_file(), {"limner": 1, "runs": [str(run) for run in after]})
        return after


@contextmanager
def _locked() -> Iterator[None]:
    """Hold the list for a change. Raises UserError `queue_unwritable`."""
    place = user_data_dir() / "locks"
    held = None
    try:
        place.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + _PATIENCE
        while held is None and time.monotonic() < deadline:
            held = hold(place / "queue.lock", patience=1.0)
        if held is None:
            raise OSError("another process is changing it")
        yield
    except OSError as error:
        raise fail(
            "queue_unwritable",
            f"The queue in {queue_file()} cannot be changed: {files.reason(error)}.",
            file=str(queue_file()),
        ) from error
    finally:
        if held is not None:
            held.release()
