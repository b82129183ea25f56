"""Where a worker goes on from, and what is left of workers and runs that are gone."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from typing import Any

import pytest

from core.runs.events import after_resume
from core.runs.folder import RunFolder
from core.worker import protocol
from core.worker.client import send_by_folder
from core.worker.lineprocess import LineProcess


def make_checkpoint(run: RunFolder, at: int) -> None:
    """A checkpoint that is whole by its hashes, whatever its trainer makes of it."""
    folder = run.checkpoint(at)
    (folder / "state").mkdir(parents=True)
    header = b'{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    data = len(header).to_bytes(8, "little") + header + b"x"
    (folder / "lora.safetensors").write_bytes(data)
    (folder / "state" / "manifest.json").write_text(json.dumps({"step": at, "files": {}}))


def test_a_state_that_proves_unreadable_gives_way_to_the_one_before(
    run: RunFolder, start: Any, all_events: Any
) -> None:
    for at in (1, 2, 3):
        make_checkpoint(run, at)
    events = all_events(start("unreadable_state", "--resume", "latest"))
    assert events[-1].status == "finished"
    assert next(e.text for e in events if getattr(e, "name", "") == "training") == "step-000001"
    # Everything since the last hello is what a window shows.
    kept = after_resume(events)
    last = max(number for number, e in enumerate(kept) if e.type == "hello")
    assert kept[last].resumed_from == "step-000001"
    told = [e.title for e in kept[last:] if e.type == "warning"]
    assert told == [f"step-00000{at} cannot be resumed from." for at in (3, 2)]


def test_a_checkpoint_that_was_named_is_not_replaced_by_another(
    run: RunFolder, start: Any, all_events: Any
) -> None:
    for at in (1, 2):
        make_checkpoint(run, at)
    events = all_events(start("unreadable_state", "--resume", "step-000002"))
    assert events[-1].status == "failed"
    assert [e.code for e in events if e.type == "problem"] == ["checkpoint_damaged"]


def test_workers_that_ended_leave_no_thread_and_no_pipe() -> None:
    def open_now() -> tuple[int, int]:
        handles = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        return threading.active_count(), handles

    code = "import sys; print('x'); sys.stdin.readline() if len(sys.argv) > 1 else None"
    before = open_now()
    for number in range(6):
        waits = ["wait"] if number % 2 else []
        process = LineProcess([sys.executable, "-c", code, *waits], bytes.decode)
        if waits:
            process.send_line(b"go on\n")
        assert process.get(30) == "x"
        while not process.ended:
            process.get(30)
        assert process.wait(30) == 0
    deadline = time.monotonic() + 30
    while open_now() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    now = open_now()
    assert now[0] <= before[0] and now[1] <= before[1]
    process.send_line(b"too late\n")  # nobody waits for it


def test_a_command_does_not_bring_a_deleted_run_back(run: RunFolder) -> None:
    shutil.rmtree(run.path)
    with pytest.raises(FileNotFoundError):
        send_by_folder(run, protocol.Stop())
    assert not run.path.exists()
