"""One device, one worker at a time."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.device_lock import CPU, DeviceLock
from core.errors import Stopped

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def another_process(device: str, work: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of `device` until it is killed."""
    code = f"""
        from core.device_lock import DeviceLock
        DeviceLock({device!r}, {work!r}).take(print, lambda: None)
        print("held", flush=True)
        input()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def nothing() -> None:
    """Never asks to stop."""


def test_the_second_waits_says_for_whom_and_goes_on_when_the_first_dies() -> None:
    told: list[str] = []
    mine = DeviceLock(CPU, "the training of mine")
    with another_process(CPU, "the training of 图 limbot") as other:
        waiting = threading.Thread(target=mine.take, args=(told.append, nothing))
        waiting.start()
        waiting.join(0.6)
        assert waiting.is_alive() and mine.held is None
        other.kill()
        waiting.join(20)
    assert mine.held is not None
    assert told == ["Waiting for the training of 图 limbot, which uses the processor"]
    mine.release()


def test_waiting_can_be_given_up() -> None:
    def stop() -> None:
        raise Stopped

    with another_process("cuda:0", "the captions of cats"), pytest.raises(Stopped):
        DeviceLock("cuda:0", "mine").take(lambda text: None, stop)


def test_other_devices_are_free() -> None:
    with another_process("cuda:0", "the captions of cats"):
        for device in (CPU, "cuda:1"):
            with DeviceLock(device, "mine").taken(pytest.fail, nothing):
                pass


def test_without_a_place_for_locks_the_work_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LIMNER_DATA_DIR", str(tmp_path / "file"))
    lock = DeviceLock(CPU, "mine")
    lock.take(pytest.fail, nothing)
    assert lock.held is None


def test_it_can_be_released_and_taken_again() -> None:
    lock = DeviceLock(CPU, "mine")
    for _ in range(2):
        lock.take(pytest.fail, nothing)
        assert lock.held is not None
        lock.release()
    with another_process(CPU, "another"):
        pass
