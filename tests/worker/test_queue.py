"""The queue: in order, on after a failed run, frozen when added, one runner at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.config.job import defaults, require, set_path
from core.errors import UserError
from core.filelock import hold
from core.runs import queue
from core.runs.folder import RunFolder, create
from core.runs.history import progress
from core.worker import queue_runner
from core.worker.client import WorkerProcess

MakeRun = Callable[[str], RunFolder]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Freeze a run of that name."""

    def make(name: str) -> RunFolder:
        data = set_path(defaults(), "model.base", "nowhere.safetensors")
        data = set_path(data, "concepts.0.path", "pictures")
        return create(require(set_path(data, "name", name)), tmp_path, tmp_path / name)

    return make


def names() -> list[str]:
    return [entry.name for entry in queue.entries()]


def test_runs_are_added_moved_and_removed(make_run: MakeRun) -> None:
    places = [queue.add(make_run(name).path) for name in ("a", "b", "c 图")]
    assert places == [1, 2, 3]
    assert queue.add(make_run("d").path) == 4
    assert queue.add(queue.find("b")) == 2
    queue.move(queue.find("d"), 1)
    assert names() == ["d", "a", "b", "c 图"]
    queue.move(queue.find("1"), 99)
    assert names() == ["a", "b", "c 图", "d"]
    queue.remove(queue.find("b"))
    assert names() == ["a", "c 图", "d"]
    assert progress(RunFolder(queue.find("a")))[0] == "waiting"
    assert [entry.state for entry in queue.entries()] == ["waiting"] * 3


def test_what_is_not_in_the_queue_is_told(make_run: MakeRun, tmp_path: Path) -> None:
    queue.add(make_run("a").path)
    with pytest.raises(UserError, match="b is not in the queue"):
        queue.find("b")
    with pytest.raises(UserError, match="not a run"):
        queue.add(tmp_path / "nothing")
    queue.queue_file().write_text("{ damaged")
    assert queue.entries() == []


def test_a_failed_run_does_not_stop_the_next(
    make_run: MakeRun, script_command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    trainers = {"a": "steps", "b": "exit", "c": "steps", "d": "steps"}

    def scripted(run: RunFolder, resume: str | None) -> WorkerProcess:
        more = ["--resume", resume] if resume else []
        name = trainers[run.path.name]
        order.append(run.path.name)
        return WorkerProcess(run, command=script_command(name, run, *more))

    monkeypatch.setattr(queue_runner, "WorkerProcess", scripted)
    runs = {name: make_run(name) for name in trainers}
    for name in ("c", "a", "b", "d"):
        queue.add(runs[name].path)
    queue.move(runs["a"].path, 1)
    runs["d"].job_file.unlink()
    assert queue_runner.work() == 3
    assert queue.entries() == []
    assert progress(runs["a"])[0] == progress(runs["c"])[0] == "finished"
    assert progress(runs["b"])[:2] == ("crashed", 3)
    assert order == ["a", "c", "b"]


def test_only_one_runner_works(make_run: MakeRun) -> None:
    queue.add(make_run("a").path)
    lock = queue.runner_lock()
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = hold(lock)
    assert held is not None
    assert queue.is_runner_alive()
    assert queue_runner.work() == 0
    assert names() == ["a"]
    held.release()
    assert not queue.is_runner_alive()
