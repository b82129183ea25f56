"""The queue in the window: adding while one trains, the list, taking out and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtWidgets import QWidget

from app.background import Background
from app.run_panel import queue as queue_module
from app.run_panel.controls import Controls
from app.run_panel.queue import QueueButton, QueueWatch
from core.config.job import Job, defaults, require, set_path
from core.filelock import hold
from core.runs import queue
from core.runs.folder import RunFolder, create


@pytest.fixture(autouse=True)
def no_runner(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Nobody works through the queue; how often that was asked for."""
    asked: list[int] = []
    monkeypatch.setattr(queue_module, "start_runner", lambda: asked.append(1))
    return asked


@pytest.fixture
def job() -> Job:
    data = set_path(defaults(), "model.base", "nowhere.safetensors")
    return require(set_path(data, "concepts.0.path", "pictures"))


@pytest.fixture
def watch(qtbot: Any, styled: Any) -> Iterator[QueueWatch]:
    owner = QWidget()
    qtbot.addWidget(owner)
    background = Background(owner)
    yield QueueWatch(background, owner)
    background.close()


@pytest.fixture
def runs(job: Job, tmp_path: Path) -> list[RunFolder]:
    """Three frozen runs in the queue."""
    made = [create(job, tmp_path, tmp_path / name) for name in ("one", "two", "drei 三")]
    for run in made:
        queue.add(run.path)
    return made


def names() -> list[str]:
    return [entry.name for entry in queue.entries()]


def test_the_button_tells_how_many_wait_and_is_away_without_any(
    qtbot: Any, watch: QueueWatch, job: Job, tmp_path: Path, no_runner: list[int]
) -> None:
    button = QueueButton(watch)
    qtbot.addWidget(button)
    assert button.isHidden()
    watch.add(job, tmp_path / "runs")
    watch.add(job, tmp_path / "runs")
    qtbot.waitUntil(lambda: button.text() == "Queue: 2 waiting")
    assert not button.isHidden()
    assert len(no_runner) >= 2


def test_a_run_of_the_queue_that_begins_is_told_once(
    qtbot: Any, watch: QueueWatch, runs: list[RunFolder]
) -> None:
    began: list[Path] = []
    watch.runBegan.connect(began.append)
    held = hold(runs[0].lock_file)
    assert held is not None
    watch.look()
    qtbot.waitUntil(lambda: len(watch.entries) == 3 and began == [runs[0].path])
    queue.remove(runs[2].path)
    watch.look()
    qtbot.waitUntil(lambda: len(watch.entries) == 2)
    assert began == [runs[0].path]
    held.release()


@pytest.fixture
def opened(qtbot: Any, watch: QueueWatch, runs: list[RunFolder]) -> Iterator[Any]:
    button = QueueButton(watch)
    qtbot.addWidget(button)
    watch.look()
    qtbot.waitUntil(lambda: len(watch.entries) == 3)
    yield button.open_list()


def test_runs_are_moved_taken_out_and_put_back(qtbot: Any, opened: Any) -> None:
    opened.list.setCurrentRow(2)
    opened.up.click()
    qtbot.waitUntil(lambda: names() == ["one", "drei 三", "two"])
    qtbot.waitUntil(lambda: opened.list.currentRow() == 1)
    opened.out.click()
    qtbot.waitUntil(lambda: names() == ["one", "two"])
    assert "drei 三" in opened.said.text() and not opened.undo.isHidden()
    opened.undo.click()
    qtbot.waitUntil(lambda: names() == ["one", "drei 三", "two"])
    assert opened.undo.isHidden()


def test_what_is_being_trained_stays_where_it_is(
    qtbot: Any, watch: QueueWatch, opened: Any, runs: list[RunFolder]
) -> None:
    held = hold(runs[0].lock_file)
    assert held is not None
    watch.look()
    qtbot.waitUntil(lambda: watch.entries[0].state == "running")
    opened.list.setCurrentRow(0)
    assert not (opened.up.isEnabled() or opened.down.isEnabled() or opened.out.isEnabled())
    opened.list.setCurrentRow(1)
    assert not opened.up.isEnabled() and opened.down.isEnabled() and opened.out.isEnabled()
    held.release()


def test_train_becomes_add_to_queue_but_not_for_a_double_click(qtbot: Any, styled: Any) -> None:
    controls = Controls()
    qtbot.addWidget(controls)
    asked: list[int] = []
    controls.trainRequested.connect(lambda: asked.append(1))
    controls.train.click()
    controls.set_state("starting", False)
    controls.train.click()
    assert asked == [1] and controls.train.text() == "Add to queue"
    qtbot.waitUntil(controls.train.isEnabled)
    controls.train.click()
    assert asked == [1, 1]
    controls.set_state("finished", False)
    assert controls.train.text() == "Train" and controls.train.isEnabled()
