"""The worker process from outside: what it says, what stops it, what survives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from core.runs.events import read_events
from core.runs.folder import RunFolder
from core.runs.history import summarize
from core.runs.lock import is_running, running_pid
from core.training.control import Control
from core.worker import listen, protocol
from core.worker.client import (
    WorkerProcess,
    send_by_folder,
    why_it_died,
    worker_command,
)
from core.worker.lineprocess import worker_environment

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")
# A stop must be followed within 3 seconds; a busy machine gets more.
STOP_SECONDS = 10


def stored(run: RunFolder) -> list[Any]:
    return read_events(run.events_file)[0]


def types(events: list[Any]) -> list[str]:
    return [event.type for event in events]


def test_a_run_from_hello_to_done(run: RunFolder, start: Any, all_events: Any) -> None:
    worker = start("steps")
    events = all_events(worker)
    assert worker.wait(10) == 0
    hello = next(e for e in events if e.type == "hello")
    assert (hello.protocol, hello.pid) == (protocol.PROTOCOL_VERSION, worker.pid)
    assert {"python", "torch", "diffusers"} <= set(hello.versions)
    assert [e.step for e in events if e.type == "step"] == [1, 2, 3, 4, 5]
    done = events[-1]
    assert (done.type, done.status, done.step) == ("done", "finished", 5)
    assert done.path == "lora.safetensors"
    assert stored(run) == events
    assert not is_running(run)


def test_what_libraries_print_goes_to_the_log(run: RunFolder, start: Any, all_events: Any) -> None:
    worker = start("garbage")
    events = all_events(worker)
    assert worker.wait(10) == 0
    assert worker.garbage == 0
    assert [e.step for e in events if e.type == "step"] == [1, 2, 3, 4, 5]
    log = run.log_file.read_text(encoding="utf-8", errors="replace")
    for words in ("999", "not text at all", "from a child", "to stderr"):
        assert words in log


@pytest.mark.parametrize("phase", ["loading", "training", "sampling", "saving", "paused"])
def test_stop_with_save_in_every_phase(
    phase: str, run: RunFolder, start: Any, until: Any, all_events: Any
) -> None:
    worker = start(phase)
    until(worker, "hello")
    until(worker, phase)
    worker.send(protocol.Stop(save=True))
    events = all_events(worker)
    assert worker.wait(STOP_SECONDS) == 130
    assert types(events)[-2:] == ["checkpoint", "done"]
    assert events[-1].status == "stopped"


def test_stop_without_save(start: Any, until: Any, all_events: Any) -> None:
    worker = start("training")
    until(worker, "training")
    worker.send(protocol.Stop(save=False))
    events = all_events(worker)
    assert worker.wait(STOP_SECONDS) == 130
    assert "checkpoint" not in types(events)


@pytest.mark.parametrize("phase", ["loading", "caching"])
def test_stop_while_a_library_does_not_listen(
    phase: str, run: RunFolder, start: Any, until: Any, all_events: Any
) -> None:
    worker = start(f"deaf_{phase}")
    until(worker, "hello")
    until(worker, phase)
    worker.send(protocol.Stop(save=True))
    assert worker.wait(STOP_SECONDS) == 130
    assert all_events(worker)[-1].status == "stopped"
    assert stored(run)[-1].status == "stopped"
    assert not is_running(run)


def test_a_stop_without_saving_ends_even_a_deaf_training(start: Any, until: Any) -> None:
    worker = start("deaf_training")
    until(worker, "training")
    worker.send(protocol.Stop(save=False))
    assert worker.wait(STOP_SECONDS) == 130


def test_a_long_save_is_not_cut_short(start: Any, until: Any, all_events: Any) -> None:
    worker = start("slow_save")
    until(worker, "training")
    worker.send(protocol.Stop(save=True))
    assert types(all_events(worker))[-2:] == ["checkpoint", "done"]


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_with_a_checkpoint(
    number: int, start: Any, until: Any, all_events: Any
) -> None:
    worker = start("training")
    until(worker, "training")
    os.kill(worker.pid, number)
    events = all_events(worker)
    assert worker.wait(STOP_SECONDS) == 130
    assert "checkpoint" in types(events)


@posix
@pytest.mark.parametrize("saving", [True, False])
def test_a_shutdown_that_is_told_in_several_ways_is_one_stop(saving: bool) -> None:
    names = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    before = {name: signal.getsignal(name) for name in names}
    control = Control()
    control.submit(protocol.Stop(save=saving))
    heard: list[bool] = []
    submit = control.submit

    def listen_in(command: Any) -> None:
        submit(command)
        heard.append(command.save)

    control.submit = listen_in  # type: ignore[method-assign]
    try:
        listen.listen_to_signals(control)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        deadline = time.monotonic() + 20
        while len(heard) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        signal.set_wakeup_fd(-1)
        for name, handler in before.items():
            signal.signal(name, handler)
    assert heard == [saving, saving]
    assert control.save_on_stop is saving


@posix
def test_a_second_signal_stops_without_waiting(start: Any, until: Any) -> None:
    worker = start("deaf_training")
    until(worker, "training")
    os.kill(worker.pid, signal.SIGINT)
    time.sleep(0.3)
    os.kill(worker.pid, signal.SIGINT)
    assert worker.wait(STOP_SECONDS) == 130


def test_the_end_of_stdin_does_not_stop_it(run: RunFolder, script_command: Any) -> None:
    finished = subprocess.run(
        script_command("paced", run),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=worker_environment(),
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0
    assert stored(run)[-1].status == "finished"


@posix
def test_it_outlives_its_parent(run: RunFolder, script_command: Any) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from core.runs.folder import RunFolder\n"
        "from core.worker.client import WorkerProcess\n"
        "w = WorkerProcess(RunFolder(Path(sys.argv[1])), command=sys.argv[2:])\n"
        "while getattr(w.get(30), 'name', '') != 'training': pass\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    command = script_command("wait_for_file", run)
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(run.path), *command],
        stdout=subprocess.PIPE,
        env=worker_environment(),
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n"
    parent.kill()
    parent.wait(10)
    assert is_running(run)
    (run.path / "go").touch()
    wait_until(lambda: not is_running(run))
    assert stored(run)[-1].status == "finished"
    assert len([e for e in stored(run) if e.type == "step"]) == 5


def wait_until(condition: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_a_window_that_came_back_commands_by_files(
    run: RunFolder, start: Any, until: Any, all_events: Any
) -> None:
    worker = start("training")
    until(worker, "training")
    send_by_folder(run, protocol.SampleNow())
    send_by_folder(run, protocol.CheckpointNow())
    assert until(worker, "warning").title == "sample_now"
    assert until(worker, "warning").title == "checkpoint_now"
    (run.commands_folder / "garbage.json").write_text("{", encoding="utf-8")
    send_by_folder(run, protocol.Stop(save=True))
    assert all_events(worker)[-1].status == "stopped"
    assert list(run.commands_folder.iterdir()) == []


def test_commands_for_an_earlier_worker_are_forgotten(
    run: RunFolder, start: Any, all_events: Any
) -> None:
    send_by_folder(run, protocol.Stop())
    assert all_events(start("paced"))[-1].status == "finished"


def test_garbage_on_stdin_is_ignored(run: RunFolder, start: Any, until: Any) -> None:
    worker = start("training")
    until(worker, "training")
    worker._outbox.put(b"no json\n\xff\xff\n" + b"x" * 3_000_000 + b'\n{"type":"stop"}\n')
    assert worker.wait(STOP_SECONDS) == 130
    assert "not understood" in run.log_file.read_text(encoding="utf-8")


def test_a_second_worker_is_refused(
    run: RunFolder, start: Any, until: Any, all_events: Any
) -> None:
    first = start("training")
    until(first, "training")
    assert running_pid(run) == first.pid
    second = start("steps")
    events = all_events(second)
    assert second.wait(10) == 1
    assert types(events) == ["problem", "done"]
    assert events[0].code == "run_is_running"
    assert str(first.pid) in events[0].detail
    # The first one's files say nothing of the second.
    assert "problem" not in types(stored(run))
    first.send(protocol.Stop())
    assert first.wait(STOP_SECONDS) == 130


def test_a_flood_arrives_whole_in_the_file(run: RunFolder, start: Any, all_events: Any) -> None:
    worker = start("flood")
    events = all_events(worker)
    assert worker.wait(30) == 0
    assert events[-1].status == "finished"
    heard = [e.step for e in events if e.type == "step"]
    assert heard == sorted(heard)
    assert heard[-1] == 20_000
    assert [e.step for e in stored(run) if e.type == "step"] == list(range(1, 20_001))


def test_a_reader_who_does_not_read_holds_nothing_up(run: RunFolder, script_command: Any) -> None:
    process = subprocess.Popen(
        script_command("flood", run),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=worker_environment(),
    )
    try:
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()
    assert len([e for e in stored(run) if e.type == "step"]) == 20_000
    assert stored(run)[-1].status == "finished"


def test_a_closed_pipe_holds_nothing_up(run: RunFolder, script_command: Any) -> None:
    process = subprocess.Popen(
        script_command("flood", run),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=worker_environment(),
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 0
    assert stored(run)[-1].status == "finished"


@pytest.mark.parametrize(
    ("name", "code", "hint"),
    [
        ("cuda_memory", "out_of_memory", "batch size"),
        ("memory", "out_of_memory", "resolution"),
        # Before the first checkpoint there is none to resume from.
        ("disk", "disk_full", "Free some space, then start the run again."),
        ("rust_disk", "disk_full", "Free some space"),
        ("bug", "internal_error", ""),
    ],
)
def test_errors_end_in_a_sentence(
    name: str, code: str, hint: str, run: RunFolder, start: Any, all_events: Any
) -> None:
    worker = start(name)
    events = all_events(worker)
    assert worker.wait(10) == 1
    problem, done = events[-2:]
    assert (problem.type, problem.code, done.status) == ("problem", code, "failed")
    assert hint in problem.hint
    assert "\n" not in problem.title
    assert "Traceback" in run.log_file.read_text(encoding="utf-8")
    assert "Traceback" not in problem.title + problem.detail


def test_all_problems_of_a_user_error_are_told(start: Any, all_events: Any) -> None:
    worker = start("user_error")
    events = all_events(worker)
    assert worker.wait(10) == 1
    assert [(e.type, getattr(e, "code", "")) for e in events[-3:-1]] == [
        ("problem", "first"),
        ("warning", "second"),
    ]
    assert events[-3].setting == "model.base"


def test_a_bad_job_is_refused_without_loading_anything(run: RunFolder, all_events: Any) -> None:
    job = json.loads(run.job_file.read_text(encoding="utf-8"))
    job["lora"]["rank"] = "many"
    run.job_file.write_text(json.dumps(job), encoding="utf-8")
    worker = WorkerProcess(run, command=[*worker_command(run)])
    events = all_events(worker)
    assert worker.wait(10) == 2
    assert types(events) == ["problem", "done"]
    assert events[0].setting == "lora.rank"


def test_a_folder_without_a_run_is_refused(tmp_path: Path, all_events: Any) -> None:
    worker = WorkerProcess(RunFolder(tmp_path))
    events = all_events(worker)
    assert worker.wait(10) == 2
    assert events[0].code == "run_not_found"
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments_are_refused() -> None:
    command = [sys.executable, "-m", "core.worker", "--bogus"]
    finished = subprocess.run(
        command, capture_output=True, env=worker_environment(), timeout=60, check=False
    )
    assert finished.returncode == 2


@posix
def test_a_crash_is_told_by_the_folder_alone(run: RunFolder, start: Any, all_events: Any) -> None:
    worker = start("exit")
    assert "done" not in types(all_events(worker))
    assert worker.wait(10) == 7
    summary = summarize(run.path)
    assert summary is not None
    assert (summary.status, summary.step, summary.total) == ("crashed", 3, 9)
    assert "code 7" in why_it_died(run, 7).title


@posix
def test_a_native_crash_leaves_its_trace_in_the_log(
    run: RunFolder, start: Any, all_events: Any
) -> None:
    worker = start("segfault")
    all_events(worker)
    code = worker.wait(10)
    assert code == -signal.SIGSEGV
    problem = why_it_died(run, code)
    assert "crashed (SIGSEGV)" in problem.title
    assert "Segmentation fault" in run.log_file.read_text(encoding="utf-8")
    assert problem.detail
    first, *log = problem.sentence().splitlines()
    assert first == f"{problem.title} {problem.hint}" and log == problem.detail.splitlines()


@posix
def test_a_frozen_worker_is_noticed_and_ended(run: RunFolder, start: Any, until: Any) -> None:
    worker = start("freeze")
    until(worker, "training")
    assert worker.get(0.5) is None
    assert worker.silent_for() >= 0.5
    assert worker.poll() is None
    assert worker.end(patience=0.3) == -signal.SIGKILL
    assert not is_running(run)


def test_heartbeats_come_while_it_is_busy(start: Any, until: Any) -> None:
    worker = start("deaf_loading")
    assert until(worker, "heartbeat").type == "heartbeat"


def test_a_resume_that_finds_nothing_begins_again(start: Any, all_events: Any) -> None:
    events = all_events(start("resumed", "--resume", "latest"))
    assert [e.code for e in events if e.type == "warning"] == ["nothing_to_resume", "resumed"]
    assert next(e for e in events if e.type == "hello").resumed_from == ""


def test_an_unknown_checkpoint_is_refused(run: RunFolder, start: Any, all_events: Any) -> None:
    worker = start("resumed", "--resume", "step-000123")
    events = all_events(worker)
    assert worker.wait(10) == 2
    assert events[0].code == "checkpoint_not_found"
    assert stored(run) == []
