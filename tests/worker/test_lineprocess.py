"""A process that says more than anybody takes."""

from __future__ import annotations

import sys
import threading
import time

from core.worker.lineprocess import MOST_WAITING, LineProcess

FLOOD = "import sys\nfor n in range(200_000): sys.stdout.write(f'{n}\\n')"


def flood() -> tuple[LineProcess[int], threading.Thread]:
    before = set(threading.enumerate())
    process = LineProcess([sys.executable, "-c", FLOOD], int)
    readers = [t for t in threading.enumerate() if t not in before and "_read_events" in t.name]
    return process, readers[0]


def wait_until(condition: object, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:  # type: ignore[operator]
        time.sleep(0.01)
    return bool(condition())  # type: ignore[operator]


def test_a_flood_waits_in_the_pipe_and_loses_nothing() -> None:
    process, reader = flood()
    assert wait_until(lambda: process.waiting == MOST_WAITING)
    assert process.poll() is None, "the process waits as well"
    taken = []
    while (event := process.get(20.0)) is not None:
        taken.append(event)
        assert process.waiting <= MOST_WAITING
    assert taken == list(range(200_000)) and process.ended
    assert process.wait(20.0) == 0
    reader.join(20.0)
    assert not reader.is_alive()


def test_a_flood_that_nobody_takes_any_more_holds_no_thread() -> None:
    process, reader = flood()
    assert wait_until(lambda: process.waiting == MOST_WAITING)
    process.stop_listening()
    assert process.wait(20.0) == 0, "it is read to its end"
    reader.join(20.0)
    assert not reader.is_alive()
