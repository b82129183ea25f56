"""The loss plot: raw faint, smoothed bold, learning rate on the right axis.

pyqtgraph brings numpy and takes half a second to import, so it is imported in a thread of its
own when a run's worker first speaks: it is there before the model is loaded and the first step
is made. Until then an empty plate stands in its place.
"""

from __future__ import annotations

import contextlib
import threading
from bisect import bisect_right
from typing import Any

from PySide6.QtCore import QEvent, QPointF, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QHBoxLayout, QLabel, QStackedLayout, QToolButton, QVBoxLayout, QWidget

from app import theme
from app.run_panel.model import Curve, RunView
from app.run_panel.parts import NumberLabel
from app.widgets.labels import Elided

REDRAW_MS = 100
RAW_ALPHA = 80


class LossPlot(QWidget):
    """Plots one run; give it the run with `show_run` and call `refresh` when it has grown.

    Signals:
        stepChosen(int): a sample's tick was clicked.
    """

    stepChosen = Signal(int)
    _imported = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._view = RunView()
        self._canvas: Any = None
        self._importing = False
        self._log = False
        self._drawn = -1
        self._shown_step: int | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REDRAW_MS)
        self._timer.timeout.connect(self._redraw)
        self._imported.connect(self._make_canvas)
        self._build()
        theme.notifier().changed.connect(self._retheme)

    def _build(self) -> None:
        self._loss = NumberLabel("loss 0.00000", role="")
        self._rate = NumberLabel("learning rate 0.00e-00")
        self._at = Elided()
        self._at.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        theme.set_role(self._at, "muted")
        self.log_button = QToolButton()
        self.log_button.setText(self.tr("log"))
        self.log_button.setCheckable(True)
        self.log_button.setToolTip(self.tr("Logarithmic loss axis"))
        self.log_button.toggled.connect(self._set_log)
        head = QHBoxLayout()
        head.setContentsMargins(0, 0, 0, 0)
        head.setSpacing(theme.unit(1))
        head.addWidget(_Swatch("accent"))
        head.addWidget(self._loss)
        self._validation_key = _Swatch("good")
        self._validation = NumberLabel("validation 0.00000", role="")
        head.addWidget(self._validation_key)
        head.addWidget(self._validation)
        head.addWidget(_Swatch("warning"))
        head.addWidget(self._rate)
        head.addWidget(self._at, 1)
        head.addWidget(self.log_button)
        self._plate = QLabel(self.tr("The loss curve appears with the first step."))
        self._plate.setAlignment(Qt.AlignmentFlag.AlignCenter)
        theme.set_role(self._plate, "muted")
        holder = QWidget()
        self._stack = QStackedLayout(holder)
        self._stack.addWidget(self._plate)
        self.ticks = TickStrip()
        self.ticks.chosen.connect(self.stepChosen)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(head)
        layout.addWidget(holder, 1)
        layout.addWidget(self.ticks)
        self.setMinimumHeight(theme.unit(15))
        self._values()

    def show_run(self, view: RunView) -> None:
        """Plot another run."""
        self._view = view
        self._drawn = -1
        if self._canvas is not None:
            self._canvas.reset()
        self._stack.setCurrentIndex(0)
        self._values()
        self.refresh()

    def mark_step(self, step: int | None) -> None:
        """Mark the step of the picture on view among the ticks."""
        self._shown_step = step
        self.ticks.mark(step)

    def refresh(self) -> None:
        """The run has grown; the plot follows within a tenth of a second, when it is visible."""
        begun = self._view.hello is not None or self._view.loss.steps
        if begun and self._canvas is None and not self._importing:
            self._importing = True
            threading.Thread(target=self._import, name="import pyqtgraph", daemon=True).start()
        if not self._timer.isActive() and self.isVisible():
            self._timer.start()

    def showEvent(self, event: QEvent) -> None:
        self.refresh()
        super().showEvent(event)  # type: ignore[arg-type]

    def _import(self) -> None:
        import pyqtgraph  # noqa: F401

        with contextlib.suppress(RuntimeError):  # the window was closed meanwhile
            self._imported.emit()

    def _make_canvas(self) -> None:
        from app.run_panel.canvas import Canvas

        self._canvas = Canvas()
        self._canvas.set_log(self._log)
        self._canvas.pointed.connect(self._values)
        self._canvas.rangeChanged.connect(self._align_ticks)
        self._stack.addWidget(self._canvas)
        self._drawn = -1
        self._redraw()

    def _redraw(self) -> None:
        if self._canvas is None or not self.isVisible():
            return
        revision = self._view.revision
        if self._drawn != revision and self._canvas.draw(self._view):
            self._drawn = revision
            self.ticks.set_marks(
                sorted({s for by_step in self._view.pictures.values() for s in by_step}),
                sorted(self._view.checkpoints),
            )
            self._align_ticks()
        elif self._drawn != revision:
            # The last events of a run are drawn too: nothing else would ask for it.
            self._timer.start()
        if self._view.loss.steps:
            self._stack.setCurrentWidget(self._canvas)
        self._values()

    def _align_ticks(self) -> None:
        if self._canvas is not None:
            left, right, first, last = self._canvas.span()
            self.ticks.set_span(left, right, first, last)

    def _set_log(self, on: bool) -> None:
        self._log = on
        if self._canvas is not None:
            self._canvas.set_log(on)
            self._canvas.draw(self._view)

    def _retheme(self) -> None:
        if self._canvas is not None:
            self._canvas.retheme()
            self._canvas.draw(self._view)
        self.update()

    def _values(self, step: float | None = None) -> None:
        """The numbers above the plot: the newest, or those under the pointer."""
        curve = self._view.smoothed
        value = _at(curve, step)
        self._loss.setText(
            self.tr("loss {0}").format("–" if value is None else _loss_text(value[1]))
        )
        measured = _at(self._view.validation, step)
        for widget in (self._validation_key, self._validation):
            widget.setVisible(measured is not None)
        if measured is not None:
            self._validation.setText(self.tr("validation {0}").format(_loss_text(measured[1])))
        group = next(iter(self._view.rates), None)
        rate = _at(self._view.rates[group], step) if group else None
        self._rate.setText(
            self.tr("learning rate {0}").format("–" if rate is None else f"{rate[1]:.2e}")
        )
        pointed = step is not None and value is not None
        self._at.set_text(self.tr("at step {0}").format(value[0]) if pointed and value else "")


def _loss_text(loss: float) -> str:
    return f"{loss:.4f}" if 0.001 <= abs(loss) < 100 else f"{loss:.2e}"


def _at(curve: Curve, step: float | None) -> tuple[int, float] | None:
    """The curve's point at or before `step`; its last point for None."""
    if not curve.steps:
        return None
    if step is None:
        return curve.steps[-1], curve.values[-1]
    place = max(0, bisect_right(curve.steps, step) - 1)
    return curve.steps[place], curve.values[place]


class _Swatch(QWidget):
    """A short piece of a curve's line, as its key."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role
        self.setFixedSize(theme.unit(2), theme.unit(1))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        pen = QPen(QColor(getattr(theme.colours(), self._role)), 2)
        painter.setPen(pen)
        middle = self.height() / 2
        painter.drawLine(QPointF(0, middle), QPointF(self.width(), middle))
        painter.end()


class TickStrip(QWidget):
    """Below the plot: a mark for each step with samples, a diamond for each checkpoint.

    Signals:
        chosen(int): the step of the sample mark that was clicked.
    """

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._samples: list[int] = []
        self._checkpoints: list[int] = []
        self._span = (0.0, 1.0, 0.0, 1.0)
        self._marked: int | None = None
        self.setFixedHeight(theme.unit(1.25))
        self.setMouseTracking(True)
        self.setAccessibleName(self.tr("Steps with samples and checkpoints"))

    def set_marks(self, samples: list[int], checkpoints: list[int]) -> None:
        """Steps at which there are samples, and checkpoints."""
        self._samples, self._checkpoints = samples, checkpoints
        self.update()

    def set_span(self, left: float, right: float, first: float, last: float) -> None:
        """Where the plot's first and last step are, in pixels from the left."""
        if self._span != (left, right, first, last):
            self._span = (left, right, first, last)
            self.update()

    def mark(self, step: int | None) -> None:
        """The step of the picture on view."""
        self._marked = step
        self.update()

    def x_of(self, step: float) -> float:
        """Pixels from the left of a step."""
        left, right, first, last = self._span
        return left + (step - first) / max(1e-9, last - first) * (right - left)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colours = theme.colours()
        height = self.height()
        left, right = self._span[:2]
        for step in self._samples:
            x = self.x_of(step)
            if not left - 1 <= x <= right + 1:
                continue
            marked = step == self._marked
            painter.setPen(
                QPen(QColor(colours.accent if marked else colours.muted), 2 if marked else 1)
            )
            painter.drawLine(QPointF(x, 1), QPointF(x, height * (0.9 if marked else 0.5)))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colours.good))
        half = height * 0.22
        middle = height - half - 1
        for step in self._checkpoints:
            x = self.x_of(step)
            if left - 1 <= x <= right + 1:
                diamond = [
                    (x, middle - half),
                    (x + half, middle),
                    (x, middle + half),
                    (x - half, middle),
                ]
                painter.drawPolygon(QPolygonF([QPointF(*corner) for corner in diamond]))
        painter.end()

    def _near(self, x: float) -> int | None:
        reach = theme.unit(1)
        near = min(self._samples, key=lambda step: abs(self.x_of(step) - x), default=None)
        return near if near is not None and abs(self.x_of(near) - x) <= reach else None

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        step = self._near(event.position().x())
        shape = Qt.CursorShape.ArrowCursor if step is None else Qt.CursorShape.PointingHandCursor
        self.setCursor(shape)
        words = "" if step is None else self.tr("samples at step {0}").format(step)
        if step in self._checkpoints:
            words = self.tr("samples and checkpoint at step {0}").format(step)
        self.setToolTip(words)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        step = self._near(event.position().x())
        if step is not None:
            self.chosen.emit(step)
