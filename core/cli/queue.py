"""`limner queue`: runs that wait for their turn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.cli.run import freeze
from core.cli.text import print_json, say
from core.errors import fail
from core.runs import queue
from core.worker.queue_runner import start_runner, work


def add_target(target: str, sets: Sequence[str], *, runs: Path | None, start: bool) -> int:
    """Freeze a run and put it at the end; begins to work through the queue unless told not to."""
    run = freeze(target, sets, runs=runs, run_dir=None)
    place = queue.add(run.path)
    say(f"Added {run.path} to the queue as number {place}.")
    if start:
        _start()
    return 0


def show(*, as_json: bool) -> int:
    """List what is in the queue."""
    entries = queue.entries()
    if as_json:
        print_json([{"run": str(entry.run), "state": entry.state} for entry in entries])
        return 0
    if not entries:
        say("The queue is empty.")
    for number, entry in enumerate(entries, 1):
        say(f"{number}  {entry.state:8} {entry.run}")
    if entries and not queue.is_runner_alive():
        say("Nobody is working through it; `limner queue run` does.")
    return 0


def remove(name: str) -> int:
    """Take a run out of the queue."""
    run = queue.find(name)
    queue.remove(run)
    say(f"Removed {run.name} from the queue; its folder is still there.")
    return 0


def move(name: str, place: int) -> int:
    """Give a run another place in the queue."""
    run = queue.find(name)
    queue.move(run, place)
    say(f"{run.name} is now number {queue.entries().index(_entry(run)) + 1}.")
    return 0


def _entry(run: Path) -> queue.Entry:
    return next(entry for entry in queue.entries() if entry.run == run)


def run_queue(*, detach: bool) -> int:
    """Work through the queue here, or in a process that outlives this one."""
    if queue.is_runner_alive():
        say("Somebody is working through the queue already.")
        return 0
    if detach:
        _start()
        return 0
    begun = work()
    say(f"The queue is empty; {begun} {'run was' if begun == 1 else 'runs were'} trained.")
    return 0


def _start() -> None:
    try:
        start_runner()
    except OSError as error:
        raise fail("worker_not_started", f"The queue cannot be worked through: {error}.") from error
