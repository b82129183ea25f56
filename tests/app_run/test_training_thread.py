"""The thread that owns the worker: good workers, bad workers, and workers of another window."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from app.training_thread import BATCH, Limits, TrainingThread, find_running
from core.errors import Problem
from core.runs.folder import RunFolder
from core.runs.lock import is_running, running_pid
from core.worker import protocol
from tests.app_run.conftest import QUICK
from tests.app_run.scripted import a_job, make_run

Choose = Callable[[str], None]


class Heard:
    """Everything that a thread has told, in order."""

    def __init__(self, thread: TrainingThread) -> None:
        self.events: list[protocol.Event] = []
        self.batches: list[int] = []
        self.log: list[str] = []
        self.words: list[str] = []
        self.died: tuple[str, list[str]] | None = None
        self.refused: list[Problem] = []
        self.alive: bool | None = None
        thread.eventsArrived.connect(self._on_events)
        thread.logArrived.connect(self.log.extend)
        thread.died.connect(self._on_died)
        thread.refused.connect(self.refused.extend)
        thread.caughtUp.connect(self._on_caught_up)
        thread.stalled.connect(lambda _seconds: self.words.append("stalled"))
        thread.recovered.connect(lambda: self.words.append("recovered"))
        thread.stopOverdue.connect(lambda: self.words.append("overdue"))

    def _on_events(self, events: list[protocol.Event]) -> None:
        self.events.extend(events)
        self.batches.append(len(events))

    def _on_died(self, reason: str, lines: list[str]) -> None:
        self.died = (reason, lines)

    def _on_caught_up(self, alive: bool) -> None:
        self.alive = alive

    def steps(self) -> list[int]:
        return [e.step for e in self.events if isinstance(e, protocol.Step)]

    def kinds(self) -> set[str]:
        return {e.type for e in self.events}


Start = Callable[..., tuple[TrainingThread, Heard]]


@pytest.fixture
def start(qtbot: QtBot, qapp: object) -> Iterator[Start]:
    """Make a thread and start it; all are ended with the test."""
    threads: list[TrainingThread] = []

    def make(run: Path | None = None, **what: object) -> tuple[TrainingThread, Heard]:
        what.setdefault("limits", QUICK)
        thread = TrainingThread(run, **what)  # type: ignore[arg-type]
        threads.append(thread)
        heard = Heard(thread)
        thread.start()
        return thread, heard

    yield make
    for thread in threads:
        thread.leave()
        assert thread.wait(10_000)


def until_ended(qtbot: QtBot, thread: TrainingThread) -> None:
    qtbot.waitUntil(thread.isFinished, timeout=20_000)
    qtbot.wait(20)


def test_a_new_run_is_made_and_followed_to_its_end(
    qtbot: QtBot, start: Start, scenario: Choose, runs: Path
) -> None:
    scenario("normal")
    thread, heard = start(job=a_job("cat"), runs=runs)
    until_ended(qtbot, thread)
    (folder,) = runs.iterdir()
    assert folder.name.endswith("-cat")
    assert heard.steps() == list(range(1, 41))
    assert heard.events[0].type == "hello"
    assert isinstance(heard.events[-1], protocol.Done)
    assert heard.died is None and not heard.refused


def test_a_folder_that_cannot_be_made_is_refused_in_words(
    qtbot: QtBot, start: Start, runs: Path
) -> None:
    (runs / "file").write_text("")
    thread, heard = start(job=a_job(), runs=runs / "file")
    until_ended(qtbot, thread)
    assert [p.code for p in heard.refused] == ["run_folder_unwritable"]


def test_a_crash_tells_exit_code_and_last_lines(
    qtbot: QtBot, start: Start, scenario: Choose, run: RunFolder
) -> None:
    scenario("crash")
    thread, heard = start(run.path, launch=True)
    until_ended(qtbot, thread)
    assert heard.died is not None
    reason, lines = heard.died
    assert "7" in reason
    assert lines[-1] == "something went wrong in line 7"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_worker_is_told_in_words(
    qtbot: QtBot, start: Start, scenario: Choose, run: RunFolder
) -> None:
    scenario("killed")
    thread, heard = start(run.path, launch=True)
    until_ended(qtbot, thread)
    assert heard.died is not None
    assert "killed" in heard.died[0] and "memory" in heard.died[0]
    assert heard.steps() == [1]


def test_a_worker_that_cannot_start_tells_its_own_words(
    qtbot: QtBot, start: Start, scenario: Choose, run: RunFolder
) -> None:
    scenario("broken_start")
    thread, heard = start(run.path, launch=True)
    until_ended(qtbot, thread)
    assert heard.died is not None
    assert any("No module named 'torch'" in line for line in heard.died[1])


def test_silence_is_told_and_so_is_its_end(
    qtbot: QtBot, start: Start, scenario: Choose, run: RunFolder
) -> None:
    scenario("hang")
    thread, heard = start(run.path, launch=True)
    qtbot.waitUntil(lambda: heard.words == ["stalled", "recovered", "stalled"], timeout=20_000)
    thread.kill()
    until_ended(qtbot, thread)
    assert heard.died is not None
    assert "your request" in heard.died[0]
    assert not is_running(run)


def test_a_slow_start_is_not_taken_for_a_hang(
    qtbot: QtBot, start: Start, scenario: Choose, run: RunFolder
) -> None:
    scenario("slow_start")
    thread, heard = start(run.path, launch=True, limits=Limits(poll=0.02, silence=0.3, start=30))
    until_ended(qtbot, thread)
    assert heard.words == []
    assert heard.steps()[-1] == 40


def test_a_start_that_never_speaks_is_told(
    qtbot: QtBot, start: Start, scenario: Choose, run: RunFolder
) -> None:
    scenario("silent_start")
    thread, heard = start(run.path, launch=True, limits=Limits(poll=0.02, silence=99, start=1))
    qtbot.waitUntil(lambda: heard.words == ["stalled"], timeout=20_000)
    thread.kill()
    until_ended(qtbot, thread)


def test_a_flood_loses_nothing_and_comes_in_lists_of_bounded_size(
    qtbot: QtBot, start: Start, scenario: Choose, run: RunFolder
) -> None:
    scenario("flood")
    thread, heard = start(run.path, launch=True)
    qtbot.waitUntil(thread.isFinished, timeout=60_000)
    qtbot.wait(20)
    assert heard.steps() == list(range(1, 20_001))
    assert max(heard.batches) <= BATCH
    assert "done" in heard.kinds()


def test_garbage_and_half_lines_are_harmless(
    qtbot: QtBot, start: Start, scenario: Choose, run: RunFolder
) -> None:
    scenario("garbage")
    thread, heard = start(run.path, launch=True)
    until_ended(qtbot, thread)
    assert heard.steps() == [1]
    assert heard.kinds() == {"hello", "phase", "step", "done"}
    assert heard.died is None


def test_commands_reach_the_worker(
    qtbot: QtBot, start: Start, scenario: Choose, run: RunFolder
) -> None:
    scenario("long")
    thread, heard = start(run.path, launch=True)
    qtbot.waitUntil(lambda: len(heard.steps()) > 2, timeout=20_000)
    thread.send(protocol.Pause())
    qtbot.waitUntil(lambda: _phases(heard)[-1] == "paused", timeout=10_000)
    steps = len(heard.steps())
    qtbot.wait(200)
    assert len(heard.steps()) == steps
    thread.send(protocol.Resume())
    thread.send(protocol.SampleNow())
    thread.send(protocol.CheckpointNow())
    qtbot.waitUntil(lambda: {"sample", "checkpoint"} <= heard.kinds(), timeout=10_000)
    thread.send(protocol.Stop())
    until_ended(qtbot, thread)
    done = heard.events[-1]
    assert isinstance(done, protocol.Done) and done.status == "stopped"


def _phases(heard: Heard) -> list[str]:
    return [e.name for e in heard.events if isinstance(e, protocol.Phase)]


def test_a_stop_that_is_not_obeyed_is_told_and_can_be_enforced(
    qtbot: QtBot, start: Start, scenario: Choose, run: RunFolder
) -> None:
    scenario("deaf")
    thread, heard = start(run.path, launch=True)
    qtbot.waitUntil(lambda: bool(heard.steps()), timeout=20_000)
    thread.send(protocol.Stop())
    qtbot.waitUntil(lambda: "overdue" in heard.words, timeout=10_000)
    assert is_running(run)
    thread.kill()
    until_ended(qtbot, thread)
    assert not is_running(run)


def test_a_worker_outlives_its_window_and_the_next_one_attaches(
    qtbot: QtBot, start: Start, scenario: Choose, run: RunFolder, runs: Path
) -> None:
    scenario("long")
    first, heard = start(run.path, launch=True)
    qtbot.waitUntil(lambda: len(heard.steps()) > 2, timeout=20_000)
    first.leave()
    until_ended(qtbot, first)
    assert heard.died is None
    assert find_running(runs) == [run.path]
    second, again = start(run.path)
    qtbot.waitUntil(lambda: len(again.steps()) > len(heard.steps()) + 3, timeout=20_000)
    assert again.alive is True
    assert again.steps() == list(range(1, len(again.steps()) + 1))
    second.send(protocol.SampleNow())
    qtbot.waitUntil(lambda: "sample" in again.kinds(), timeout=10_000)
    second.send(protocol.Stop())
    until_ended(qtbot, second)
    assert again.died is None
    assert isinstance(again.events[-1], protocol.Done)
    assert find_running(runs) == []


def test_a_stop_just_before_leaving_still_arrives(
    qtbot: QtBot, start: Start, scenario: Choose, run: RunFolder
) -> None:
    scenario("long")
    thread, heard = start(run.path, launch=True)
    qtbot.waitUntil(lambda: bool(heard.steps()), timeout=20_000)
    thread.send(protocol.Stop())
    thread.leave()
    until_ended(qtbot, thread)
    qtbot.waitUntil(lambda: not is_running(run), timeout=10_000)
    assert '"stopped"' in run.events_file.read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_the_end_of_an_attached_worker_is_noticed_and_told(
    qtbot: QtBot, start: Start, scenario: Choose, run: RunFolder
) -> None:
    scenario("long")
    first, heard = start(run.path, launch=True)
    qtbot.waitUntil(lambda: bool(heard.steps()), timeout=20_000)
    first.leave()
    until_ended(qtbot, first)
    second, again = start(run.path)
    qtbot.waitUntil(lambda: again.alive is True, timeout=10_000)
    pid = running_pid(run)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until_ended(qtbot, second)
    assert again.died is not None


def test_a_finished_run_is_replayed(qtbot: QtBot, start: Start, runs: Path) -> None:
    run = make_run(runs, until=60, total=60, status="finished", pictures=False)
    thread, heard = start(run.path)
    until_ended(qtbot, thread)
    assert heard.alive is False
    assert heard.steps() == list(range(1, 61))
    assert heard.died is None
    assert "loading the base model" in heard.log


def test_an_interrupted_run_says_so(qtbot: QtBot, start: Start, runs: Path) -> None:
    run = make_run(runs, until=60, pictures=False)
    thread, heard = start(run.path)
    until_ended(qtbot, thread)
    assert heard.died is not None
    assert "interrupted" in heard.died[0]


def test_a_resumed_run_delivers_its_past_first(
    qtbot: QtBot, start: Start, scenario: Choose, run: RunFolder
) -> None:
    scenario("normal")
    first, _ = start(run.path, launch=True)
    until_ended(qtbot, first)
    thread, heard = start(run.path, launch=True, resume="step-000030")
    until_ended(qtbot, thread)
    assert heard.steps() == [*range(1, 41), *range(31, 41)]
    hellos = [e for e in heard.events if isinstance(e, protocol.Hello)]
    assert [h.resumed_from for h in hellos] == ["", "step-000030"]
    assert heard.died is None


@pytest.mark.skipif(sys.platform == "win32", reason="sessions are a POSIX notion")
def test_the_worker_has_a_session_of_its_own(
    qtbot: QtBot, start: Start, scenario: Choose, run: RunFolder
) -> None:
    scenario("long")
    _, heard = start(run.path, launch=True)
    qtbot.waitUntil(lambda: bool(heard.steps()), timeout=20_000)
    pid = running_pid(run)
    assert pid is not None
    assert os.getsid(pid) == pid != os.getsid(0)
