"""The worker's mouth: the file gets everything, the pipe what fits, nobody waits."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from core.runs.events import EventLog, read_events
from core.worker import protocol
from core.worker.lines import LineSplitter
from core.worker.outlet import Outlet, PipeWriter


def step(number: int) -> protocol.Step:
    return protocol.Step(step=number, total=10_000, epoch=0, loss=0.1)


def read_all(handle: int) -> list[object]:
    splitter, events = LineSplitter(), []
    while data := os.read(handle, 65536):
        events += [protocol.decode_event(line) for line in splitter.feed(data)]
    return events


def test_a_reader_who_is_behind_gets_the_important_events(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    outlet = Outlet(EventLog(tmp_path / "events.jsonl"), PipeWriter(writer))
    for number in range(1, 5001):
        outlet.emit(step(number))
        if number % 100 == 0:
            outlet.emit(protocol.Sample(step=number, index=0, path="x", prompt="p", seed=1))
    heard: list[object] = []
    listening = threading.Thread(target=lambda: heard.extend(read_all(reader)))
    listening.start()
    assert outlet.finish(protocol.Done(status="finished", step=5000))
    os.close(writer)
    listening.join(30)
    samples = [e.step for e in heard if isinstance(e, protocol.Sample)]
    steps = [e.step for e in heard if isinstance(e, protocol.Step)]
    assert samples == list(range(100, 5001, 100))
    assert steps == sorted(steps)
    assert steps[-1] == 5000
    assert len(steps) < 5000
    assert isinstance(heard[-1], protocol.Done)
    assert len(read_events(tmp_path / "events.jsonl")[0]) == 5051


def test_nothing_is_said_after_the_last_word(tmp_path: Path) -> None:
    outlet = Outlet(EventLog(tmp_path / "events.jsonl"), PipeWriter(-1))
    assert outlet.finish(protocol.Done(status="stopped"))
    assert not outlet.finish(protocol.Done(status="failed"))
    outlet.emit(protocol.Heartbeat())
    (event,) = read_events(tmp_path / "events.jsonl")[0]
    assert isinstance(event, protocol.Done)
    assert event.status == "stopped"


def test_warnings_stand_in_the_log_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outlet = Outlet(EventLog(tmp_path / "events.jsonl"), PipeWriter(-1))
    file = str(tmp_path / "broken.jpg")
    outlet.emit(
        protocol.Warning(
            code="picture_unreadable",
            title="broken.jpg cannot be used and is left out; mend or remove it.",
            detail="The file is empty.",
            file=file,
        )
    )
    outlet.finish(protocol.Done(status="finished"))
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        f"broken.jpg cannot be used and is left out; mend or remove it. The file is empty. [{file}]"
    )


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write to a file gets three bytes in and then finds no space."""
    write = os.write

    def refuse(handle: int, data: bytes) -> int:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return write(handle, data)
        write(handle, data[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", refuse)


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_raises_but_the_pipe_is_told(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    outlet = Outlet(EventLog(tmp_path / "events.jsonl"), PipeWriter(writer))
    with pytest.raises(OSError, match="No space"):
        outlet.emit(step(1))
    assert outlet.finish(protocol.Done(status="failed"))
    os.close(writer)
    assert [type(e) for e in read_all(reader)] == [protocol.Step, protocol.Done]
    # No half line is left behind.
    assert (tmp_path / "events.jsonl").read_bytes() == b""


def test_phase_and_step_are_remembered(tmp_path: Path) -> None:
    outlet = Outlet(EventLog(tmp_path / "events.jsonl"), PipeWriter(-1))
    outlet.emit(protocol.Phase(name="caching"))
    outlet.emit(step(7))
    assert (outlet.phase, outlet.step) == ("caching", 7)
