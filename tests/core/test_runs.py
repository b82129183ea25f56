"""Runs on disk: events, locks, checkpoints, the list of earlier runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from core.config.job import defaults, require, set_path
from core.errors import UserError
from core.runs import lock
from core.runs.events import EventLog, after_resume, read_events
from core.runs.folder import RunFolder, create
from core.runs.history import list_runs, summarize
from core.worker import protocol


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return new_run(tmp_path / "runs")


def new_run(runs: Path, name: str = "robot") -> RunFolder:
    data = set_path(defaults(), "model.base", "base.safetensors")
    data = set_path(data, "concepts.0.path", "pictures")
    return create(require(set_path(data, "name", name)), runs)


def step(number: int, total: int = 100) -> protocol.Step:
    return protocol.Step(step=number, total=total, epoch=0, loss=0.5)


def write_events(run: RunFolder, *events: protocol._Event) -> None:
    log = EventLog(run.events_file)
    for event in events:
        log.append(event)
    log.close()


def hello(resumed_from: str = "") -> protocol.Hello:
    return protocol.Hello(pid=1, resumed_from=resumed_from)


# Events


def test_events_are_read_as_they_come(run: RunFolder) -> None:
    assert read_events(run.events_file) == ([], 0)
    log = EventLog(run.events_file)
    seen, offset = [], 0
    for number in range(1, 30):
        log.append(step(number))
        new, offset = read_events(run.events_file, offset)
        seen += [e.step for e in new]
    assert seen == list(range(1, 30))
    assert offset == run.events_file.stat().st_size


def test_half_a_line_waits_for_its_other_half(run: RunFolder) -> None:
    line = protocol.encode(step(1)).encode() + b"\n"
    run.events_file.write_bytes(line + line[:20])
    events, offset = read_events(run.events_file)
    assert (len(events), offset) == (1, len(line))
    with open(run.events_file, "ab") as file:
        file.write(line[20:])
    assert len(read_events(run.events_file, offset)[0]) == 1


def test_garbage_between_events_is_skipped(run: RunFolder) -> None:
    good = protocol.encode(step(1)).encode()
    lines = [good, b"", b"\x00\xff", b'{"type":"new"}', b"{", b"null", good]
    run.events_file.write_bytes(b"\n".join(lines) + b"\n")
    assert len(read_events(run.events_file)[0]) == 2


def test_a_new_writer_drops_the_half_line_of_a_killed_one(run: RunFolder) -> None:
    write_events(run, step(1))
    with open(run.events_file, "ab") as file:
        file.write(b'{"type":"step","st')
    _, offset = read_events(run.events_file)
    write_events(run, step(2))
    assert [e.step for e in read_events(run.events_file)[0]] == [1, 2]
    assert [e.step for e in read_events(run.events_file, offset)[0]] == [2]


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 200_000])
def test_a_half_line_of_any_length_is_dropped(run: RunFolder, size: int) -> None:
    write_events(run, step(1))
    whole = run.events_file.read_bytes()
    run.events_file.write_bytes(whole + b"x" * size)
    EventLog(run.events_file).close()
    assert run.events_file.read_bytes() == whole


def test_reading_in_portions_gives_the_same(run: RunFolder) -> None:
    write_events(run, *(step(n) for n in range(1, 200)))
    seen, offset = [], 0
    while True:
        new, after = read_events(run.events_file, offset, at_most=1000)
        if after == offset:
            break
        assert after - offset < 1500
        seen, offset = [*seen, *new], after
    assert [e.step for e in seen] == list(range(1, 200))


def test_what_a_resume_undid_is_left_out() -> None:
    events: list[Any] = [
        hello(),
        step(1),
        step(2),
        protocol.Sample(step=2, index=0, path="a", prompt="p", seed=1),
        step(3),
        hello("step-000002"),
        step(3),
        protocol.Done(status="stopped", step=3),
        hello("step-000003"),
        step(4),
    ]
    kept = after_resume(events)
    assert [(e.type, getattr(e, "step", None)) for e in kept] == [
        ("hello", None),
        ("step", 1),
        ("step", 2),
        ("sample", 2),
        ("hello", None),
        ("step", 3),
        ("hello", None),
        ("step", 4),
    ]
    assert [e.type for e in after_resume([*events, hello()])] == ["hello"]


# The lock


HOLDER = (
    "import sys, time\n"
    "from pathlib import Path\n"
    "from core.runs import lock\n"
    "from core.runs.folder import RunFolder\n"
    "held = lock.acquire(RunFolder(Path(sys.argv[1])))\n"
    "print('held' if held else 'refused', flush=True)\n"
    "time.sleep(60)\n"
)


def holder(run: RunFolder) -> subprocess.Popen[bytes]:
    root = str(Path(__file__).resolve().parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run.path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == b"held"
    return process


def test_the_lock_is_free_when_its_holder_is_killed(run: RunFolder) -> None:
    assert not lock.is_running(run)
    assert not run.lock_file.exists()
    process = holder(run)
    try:
        assert lock.is_running(run)
        assert lock.is_running(run.path)
        assert lock.running_pid(run) == process.pid
        assert lock.acquire(run, patience=0.1) is None
    finally:
        process.kill()
        process.wait(10)
    assert not lock.is_running(run)
    assert lock.running_pid(run) is None
    held = lock.acquire(run)
    assert held is not None
    held.release()


def test_looking_does_not_keep_a_worker_out(run: RunFolder) -> None:
    held = lock.acquire(run)
    assert held is not None
    held.release()
    for _ in range(20):
        assert not lock.is_running(run)
    again = lock.acquire(run, patience=0)
    assert again is not None
    assert lock.is_running(run)
    again.release()


# Earlier runs


def status(run: RunFolder) -> tuple[str, int, int]:
    found = summarize(run.path)
    assert found is not None
    return found.status, found.step, found.total


def aged(run: RunFolder) -> RunFolder:
    long_ago = time.time() - 3600
    os.utime(run.job_file, (long_ago, long_ago))
    return run


def test_status_is_read_from_the_last_events(run: RunFolder) -> None:
    assert status(run) == ("running", 0, 0)
    assert status(aged(run)) == ("crashed", 0, 0)
    write_events(run, hello(), step(7))
    assert status(run) == ("crashed", 7, 100)
    write_events(run, protocol.Done(status="stopped", step=7))
    assert status(run) == ("stopped", 7, 100)
    write_events(run, hello("step-000007"), step(8))
    assert status(run) == ("crashed", 8, 100)
    write_events(run, protocol.Done(status="finished", step=100))
    assert status(run) == ("finished", 100, 100)
    held = lock.acquire(run)
    assert held is not None
    assert status(run) == ("running", 100, 100)
    held.release()


def test_a_resume_that_had_nothing_left_to_do_counts_its_own_steps(run: RunFolder) -> None:
    write_events(run, hello(), *[step(n, 16) for n in range(1, 17)])
    write_events(run, hello("step-000008"))  # and its process was killed
    found = summarize(run.path)
    assert found is not None
    assert (found.status, found.step, found.total) == ("crashed", 8, 16)
    training = protocol.Phase(name="training", done=8, total=8)
    done = protocol.Done(status="finished", step=8)
    write_events(run, hello("step-000008"), training, done)
    found = summarize(run.path)
    assert found is not None
    assert (found.status, found.step, found.total) == ("finished", 8, 8)


def test_status_of_a_long_run_with_a_long_silence(run: RunFolder) -> None:
    write_events(run, hello(), *(step(n) for n in range(1, 2000)))
    write_events(run, *(protocol.Heartbeat() for _ in range(500)))
    assert status(run) == ("crashed", 1999, 100)


def test_runs_are_listed_newest_first_with_their_pictures(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in ("2026-01-02_03-04-05-older", "2026-02-02_03-04-05-Roboter 图"):
        made = new_run(runs)
        made.path.rename(runs / name)
    newest = RunFolder(runs / "2026-02-02_03-04-05-Roboter 图")
    newest.checkpoint(100).mkdir(parents=True)
    newest.checkpoint(200).mkdir(parents=True)
    for at, name in ((0, "00-a.png"), (200, "01-b.png"), (200, "00-a.png")):
        newest.samples(at).mkdir(parents=True, exist_ok=True)
        (newest.samples(at) / name).write_bytes(b"png")
    newest.samples(300).mkdir()
    (runs / "no run").mkdir()
    (runs / "file").write_text("x", encoding="utf-8")
    first, second = list_runs(runs)
    assert (first.name, second.name) == ("Roboter 图", "older")
    assert first.created.isoformat() == "2026-02-02T03:04:05"
    assert first.checkpoints == 2
    assert first.last_sample == newest.samples(200) / "00-a.png"
    assert second.last_sample is None


def test_a_missing_folder_has_no_runs(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "none") == []


def test_a_thousand_runs_are_listed_from_their_ends_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = protocol.encode(step(1)).encode() + b"\n"
    end = protocol.encode(protocol.Done(status="finished", step=1)).encode() + b"\n"
    for number in range(1000):
        folder = tmp_path / f"run {number:04d}"
        folder.mkdir()
        (folder / "job.json").write_bytes(b"{}")
        (folder / "events.jsonl").write_bytes(long * 300 + end)
    decoded = 0
    decode = protocol.decode_event

    def counting(line: bytes) -> Any:
        nonlocal decoded
        decoded += 1
        return decode(line)

    monkeypatch.setattr("core.runs.history.decode_event", counting)
    found = list_runs(tmp_path)
    assert len(found) == 1000
    assert {run.status for run in found} == {"finished"}
    lines_in_all = 301 * 1000
    assert decoded < lines_in_all / 3


@pytest.mark.skipif(os.name == "nt", reason="there it is a path")
def test_no_run_is_made_under_a_name_that_was_a_path_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for runs, folder in ((Path("D:\\runs"), None), (tmp_path, Path("D:\\runs\\cat"))):
        with pytest.raises(UserError) as caught:
            create(
                require(set_path(set_path(defaults(), "model.base", "m"), "concepts.0.path", "p")),
                runs,
                folder,
            )
        assert caught.value.problem.code == "run_folder_foreign"
    assert list(tmp_path.iterdir()) == []
