"""The loss plot: imported late, readable axes, marks that lead to samples."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from pytestqt.qtbot import QtBot

from app import theme
from app.run_panel.canvas import _thinned, nice_below
from app.run_panel.model import RunView
from app.run_panel.plot import LossPlot
from core.runs.folder import RunFolder
from core.worker import protocol
from tests.app_run.scripted import events


@pytest.fixture
def plot(qtbot: QtBot, qapp: object) -> LossPlot:
    theme.apply("light")
    widget = LossPlot()
    qtbot.addWidget(widget)
    widget.resize(500, 200)
    widget.show()
    return widget


def shown(qtbot: QtBot, plot: LossPlot, view: RunView) -> None:
    plot.show_run(view)
    qtbot.waitUntil(lambda: plot._drawn == view.revision and plot._canvas is not None)


def a_view(folder: Path, **what: object) -> RunView:
    view = RunView()
    view.apply(events(RunFolder(folder), pictures=False, **what))  # type: ignore[arg-type]
    return view


def test_the_panel_starts_without_numpy_and_pyqtgraph() -> None:
    code = (
        "import sys; import app.run_panel.panel; "
        "bad = {'numpy', 'pyqtgraph', 'torch'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_nothing_is_imported_before_a_run(qtbot: QtBot, plot: LossPlot) -> None:
    view = RunView()
    plot.show_run(view)
    qtbot.wait(150)
    assert plot._canvas is None and not plot._importing
    view.apply([protocol.Hello(pid=1), protocol.Phase(name="loading")])
    plot.refresh()
    qtbot.waitUntil(lambda: plot._canvas is not None)
    assert plot._stack.currentIndex() == 0, "the plate stays until there is a step to draw"


def test_curves_and_numbers(qtbot: QtBot, plot: LossPlot, tmp_path: Path) -> None:
    view = a_view(tmp_path, until=120, total=400)
    shown(qtbot, plot, view)
    x, y = plot._canvas._smooth.getData()
    assert list(x) == list(view.smoothed.steps)
    assert list(y) == list(view.smoothed.values)
    assert f"{view.smoothed.values[-1]:.4f}" in plot._loss.text()
    assert f"{view.rates['unet'].values[-1]:.2e}" in plot._rate.text()
    first, last = plot._canvas.span()[2:]
    assert first <= 0 and 120 < last <= 400 * 1.02, "room for what comes"
    plot.grab()


def test_pointing_tells_the_values_there(qtbot: QtBot, plot: LossPlot, tmp_path: Path) -> None:
    view = a_view(tmp_path, until=120, total=120)
    shown(qtbot, plot, view)
    plot._canvas.pointed.emit(60.4)
    assert plot._at.full_text() == "at step 60"
    assert f"{view.smoothed.values[59]:.4f}" in plot._loss.text()
    plot._canvas.pointed.emit(None)
    assert plot._at.full_text() == ""


def test_the_logarithm(qtbot: QtBot, plot: LossPlot, tmp_path: Path) -> None:
    view = a_view(tmp_path, until=120, total=120)
    shown(qtbot, plot, view)
    plot.log_button.click()
    _, y = plot._canvas._smooth.getData()
    assert list(y) == pytest.approx(np.log10(view.smoothed.values))
    low, high = plot._canvas._box.viewRange()[1]
    (_, ticks), *_ = plot._canvas._losses.tickValues(low, high, 100)
    assert len(ticks) >= 3 and all(low <= tick <= high for tick in ticks)
    assert plot._canvas._losses.tickStrings([-1.0, 0.0], 1, 1) == ["0.1", "1"]


def test_marks_lead_to_samples(qtbot: QtBot, plot: LossPlot, tmp_path: Path) -> None:
    view = a_view(tmp_path, until=120, total=120)
    shown(qtbot, plot, view)
    assert plot.ticks._samples == [0, 50, 100] and plot.ticks._checkpoints == [100]
    where = QPoint(round(plot.ticks.x_of(50)) + 2, 3)
    with qtbot.waitSignal(plot.stepChosen) as chosen:
        qtbot.mouseClick(plot.ticks, Qt.MouseButton.LeftButton, pos=where)
    assert chosen.args == [50]


def test_another_run_leaves_nothing_of_the_first(
    qtbot: QtBot, plot: LossPlot, tmp_path: Path
) -> None:
    shown(qtbot, plot, a_view(tmp_path, until=120, total=120))
    view = RunView()
    plot.show_run(view)
    x, _ = plot._canvas._smooth.getData()
    assert x is None or len(x) == 0
    assert "–" in plot._loss.text()


def test_a_single_step_and_a_single_outlier(qtbot: QtBot, plot: LossPlot) -> None:
    view = RunView()
    view.apply([protocol.Step(step=1, total=500, epoch=0, loss=0.1)])
    shown(qtbot, plot, view)
    more = [protocol.Step(step=n, total=500, epoch=0, loss=0.1) for n in range(2, 300)]
    more[50].loss = 900.0
    view.apply(more)
    plot._canvas._next = 0.0
    plot._canvas.draw(view)
    assert plot._canvas._box.viewRange()[1][1] < 100


def test_thinning_keeps_the_extremes() -> None:
    x = np.arange(100_000, dtype=float)
    y = np.sin(x / 50)
    y[12_345], y[77_777] = 9.0, -9.0
    thin_x, thin_y = _thinned(x, y, 400)
    assert len(thin_x) < 3000
    assert thin_y.max() == 9.0 and thin_y.min() == -9.0
    assert thin_x[0] == 0 and thin_x[-1] == 99_999
    assert (np.diff(thin_x) > 0).all()


@pytest.mark.parametrize(
    ("value", "expected"), [(1.1e-4, 1e-4), (1.0, 1.0), (0.39, 0.2), (0.0, 1.0), (7.3e-5, 5e-5)]
)
def test_numbers_for_the_axis(value: float, expected: float) -> None:
    assert nice_below(value) == pytest.approx(expected)


def test_validation_has_a_curve_and_a_number_of_its_own(
    qtbot: QtBot, plot: LossPlot, tmp_path: Path
) -> None:
    view = a_view(tmp_path)
    shown(qtbot, plot, view)
    assert not plot._validation.isVisibleTo(plot), "no number for what was never measured"
    view.apply([protocol.Validation(step=0, loss=0.5), protocol.Validation(step=20, loss=0.25)])
    plot.refresh()
    qtbot.waitUntil(lambda: plot._drawn == view.revision)
    assert plot._validation.isVisibleTo(plot)
    assert "0.2500" in plot._validation.text()
    assert list(plot._canvas._validation.getData()[1]) == [0.5, 0.25]


def test_the_last_events_are_drawn_also_after_a_costly_drawing(
    qtbot: QtBot, plot: LossPlot, tmp_path: Path
) -> None:
    view = a_view(tmp_path)
    shown(qtbot, plot, view)
    plot._canvas._next = time.monotonic() + 0.4  # as after a drawing that took long
    view.apply([protocol.Validation(step=0, loss=0.5)])
    plot.refresh()
    qtbot.waitUntil(lambda: plot._canvas._validation.getData()[1] is not None)
