"""The run as its events tell it: curves, pictures, resuming, and the time that is left."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from app.run_panel.model import (
    SMOOTHING,
    Curve,
    RunView,
    duration_text,
    finish_text,
    memory_text,
    speed_text,
)
from core.runs.events import after_resume
from core.runs.folder import RunFolder
from core.worker import protocol
from tests.app_run.scripted import events


def step(number: int, loss: float | None = 0.5, **more: object) -> protocol.Step:
    values = {"total": 100, "epoch": 0.0, "time": 1000.0 + number, "seconds": 0.5} | more
    return protocol.Step(step=number, loss=loss, **values)  # type: ignore[arg-type]


def test_a_run_in_its_middle(tmp_path: Path) -> None:
    view = RunView()
    view.apply(events(RunFolder(tmp_path), until=120, total=200, pictures=False))
    assert (view.state, view.step, view.total) == ("running", 120, 200)
    assert list(view.loss.steps) == list(range(1, 121))
    assert list(view.rates) == ["unet"]
    assert view.prompts() == [0, 1, 2]
    assert view.picture_steps(1) == [0, 50, 100]
    newest = view.newest_picture()
    assert newest is not None and (newest.step, newest.index) == (100, 0)
    assert view.last_checkpoint() == 100


def test_one_list_or_many_make_the_same_run(tmp_path: Path) -> None:
    told = events(RunFolder(tmp_path), until=60, pictures=False, status="stopped")
    whole, parts = RunView(), RunView()
    whole.apply(told)
    for event in told:
        parts.apply([event])
    parts.revision = whole.revision
    assert parts == whole


def test_what_a_resume_undid_is_gone(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    told = events(run, until=180, total=300, pictures=False, status="stopped")
    told += events(run, since=100, until=130, total=300, pictures=False)
    view = RunView()
    view.apply(told)
    assert list(view.loss.steps) == list(range(1, 131))
    assert view.smoothed.steps == view.loss.steps
    assert view.rates["unet"].steps == view.loss.steps
    assert view.picture_steps(0) == [0, 50, 100]
    assert view.last_checkpoint() == 100
    assert view.done is None and view.state == "running" and view.step == 130
    # The same as reading the file with core's own rule.
    straight = RunView()
    straight.apply(after_resume(told))
    assert straight.loss == view.loss and straight.pictures == view.pictures


def test_a_resume_with_nothing_left_to_do_counts_its_own_steps() -> None:
    view = RunView()
    view.apply([protocol.Hello(pid=1)])
    view.apply([protocol.Step(step=n, total=16, epoch=0, loss=0.5) for n in range(1, 17)])
    training = protocol.Phase(name="training", done=8, total=8)
    done = protocol.Done(status="finished", step=8)
    view.apply([protocol.Hello(pid=2, resumed_from="step-000008"), training, done])
    assert (view.step, view.total, view.state) == (8, 8, "finished")


def test_a_new_beginning_forgets_everything(tmp_path: Path) -> None:
    view = RunView()
    view.apply(events(RunFolder(tmp_path), until=120, pictures=False))
    view.apply([protocol.Hello(pid=2)])
    assert list(view.loss.steps) == [] and view.prompts() == [] and view.last_checkpoint() is None
    assert view.step == 0


def test_a_curve_never_goes_back() -> None:
    curve = Curve()
    for number in (1, 2, 3, 2):
        curve.add(number, float(number))
    assert (list(curve.steps), list(curve.values)) == ([1, 2], [1.0, 2.0])


def test_smoothing_is_the_bias_corrected_average() -> None:
    losses = [0.9, 0.2, 0.7, 0.1, 0.4]
    view = RunView()
    view.apply([step(n, loss) for n, loss in enumerate(losses, 1)])
    average, expected = 0.0, []
    for n, loss in enumerate(losses, 1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        expected.append(average / (1 - SMOOTHING**n))
    assert list(view.smoothed.values) == pytest.approx(expected)


def test_the_workers_own_smoothing_is_taken() -> None:
    view = RunView()
    view.apply([step(1, 0.9, smoothed=0.3)])
    assert list(view.smoothed.values) == [0.3]


def test_a_loss_that_is_not_finite_leaves_no_point() -> None:
    view = RunView()
    view.apply([step(1), step(2, None), step(3)])
    assert list(view.loss.steps) == [1, 3]
    assert view.bad_losses == 1 and view.step == 3


def test_the_time_left_counts_what_lies_between_steps() -> None:
    view = RunView()
    view.apply([step(n, time=1000.0 + 0.5 * n) for n in range(1, 10)])
    assert view.seconds_left() is None, "not before ten steps"
    view.apply([step(10, time=1005.0)])
    assert view.seconds_left() == pytest.approx(90 * 0.5)
    # Samples took as long again as the steps.
    view.apply([step(n, time=1005.0 + (n - 10)) for n in range(11, 20)])
    wall = (view._last_time - view._first_time) / 18
    assert view.seconds_left() == pytest.approx(81 * wall)


def test_a_pause_does_not_count_as_slowness() -> None:
    view = RunView()
    view.apply([step(n, time=1000.0 + 0.5 * n) for n in range(1, 12)])
    before = view.seconds_left()
    view.apply([protocol.Phase(name="paused", time=1005.5)])
    assert view.state == "paused" and view.seconds_left() is None
    view.apply([protocol.Phase(name="training", time=9005.5), step(12, time=9006.0)])
    assert before is not None
    assert view.seconds_left() == pytest.approx(before - 0.5)


def test_states() -> None:
    view = RunView()
    view.apply([protocol.Hello(pid=1), protocol.Phase(name="caching", done=1, total=9)])
    assert view.state == "starting"
    view.apply([protocol.Phase(name="sampling")])
    assert view.state == "running"
    view.apply([protocol.Done(status="failed")])
    assert view.state == "failed" and view.phase is None


def test_texts() -> None:
    noon = datetime(2026, 11, 20, 12, 0).timestamp()
    assert finish_text(9120, noon) == "finishes 14:32"
    assert finish_text(86400, noon) == "ends Sat 12:00"
    assert finish_text(30 * 86400, noon) == "ends 20 Dec"
    assert speed_text(3.14) == "3.1 steps/s"
    assert speed_text(120.4) == "120 steps/s"
    assert speed_text(0.25) == "4.0 s/step"
    assert memory_text(2_250_000_000) == "2.1 GB"
    assert memory_text(300 * 1024**2) == "300 MB"
    assert [duration_text(s) for s in (45, 360, 3900)] == ["45 s", "6 min", "1 h 05 min"]
