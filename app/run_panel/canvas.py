"""The drawing of the loss plot with pyqtgraph. Import this late: see plot.py."""

from __future__ import annotations

import math
import time

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPointF, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent

from app import theme
from app.run_panel.model import Curve, RunView
from app.run_panel.parts import tabular

RAW_ALPHA = 70
FIRST_SPAN = 50


class _LossAxis(pg.AxisItem):
    """Plain numbers on both a linear and a logarithmic axis (whose values are log10)."""

    logarithmic = False

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        if not self.logarithmic:
            return super().tickValues(low, high, size)[:1]
        decades = range(math.floor(low) - 1, math.ceil(high) + 1)
        for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
            values = [d + math.log10(f) for d in decades for f in factors]
            inside = [v for v in values if low <= v <= high]
            if len(inside) >= 3:
                break
        return [(1.0, inside)]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        if self.logarithmic:
            return [f"{10**v:.2g}" for v in values]
        return [f"{v:.4g}" for v in values]


def nice_below(value: float) -> float:
    """The largest 1, 2, 4 or 5 times a power of ten that is not above `value`."""
    if value <= 0:
        return 1.0
    decade = 10.0 ** math.floor(math.log10(value))
    return max(f * decade for f in (1, 2, 4, 5) if f * decade <= value * (1 + 1e-9))


class _RateAxis(pg.AxisItem):
    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        # Two numbers say enough about the learning rate and leave the room to the loss.
        top = nice_below(high)
        return [(top / 2, [0.0, top / 2, top] if size > theme.unit(9) else [0.0, top])]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        return [f"{v:.1e}".replace("e-0", "e-").replace("e+0", "e+") if v else "0" for v in values]


class Canvas(pg.PlotWidget):
    """The curves of one run.

    Signals:
        pointed(object): the step below the pointer, None when it left.
        rangeChanged(): `span()` has changed.
    """

    pointed = Signal(object)
    rangeChanged = Signal()

    def __init__(self) -> None:
        self._losses = _LossAxis("left")
        self._rates = _RateAxis("right")
        super().__init__(axisItems={"left": self._losses, "right": self._rates})
        self._log = False
        self._cost = 0.0
        self._next = 0.0
        plot = self.getPlotItem()
        plot.setMenuEnabled(False)
        plot.hideButtons()
        plot.setMouseEnabled(False, False)
        plot.setContentsMargins(0, theme.unit(0.5), 0, 0)
        plot.showAxis("right")
        self._box = plot.getViewBox()
        self._rate_box = pg.ViewBox(enableMenu=False)
        self._rate_box.setMouseEnabled(False, False)
        plot.scene().addItem(self._rate_box)
        self._rates.linkToView(self._rate_box)
        self._rate_box.setXLink(self._box)
        self._box.sigResized.connect(self._resized)
        self._raw = pg.PlotCurveItem()
        self._smooth = pg.PlotCurveItem(antialias=True)
        self._validation = pg.PlotDataItem(symbol="o", antialias=True)
        for item in (self._raw, self._smooth, self._validation):
            self._box.addItem(item)
        self._rate_curves: list[pg.PlotCurveItem] = []
        self._cursor = pg.InfiniteLine(angle=90, movable=False)
        self._cursor.hide()
        self._box.addItem(self._cursor, ignoreBounds=True)
        self.setMouseTracking(True)
        self.setFrameShape(self.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(self.tr("Loss and learning rate by step"))
        self.retheme()

    def retheme(self) -> None:
        """Take the colours and fonts of the theme in use."""
        c = theme.colours()
        self.setBackground(QColor(c.window))
        font = tabular(theme.font("small"))
        for axis in (self._losses, self._rates, self.getAxis("bottom")):
            axis.setPen(QColor(c.border))
            axis.setTextPen(QColor(c.muted))
            axis.setStyle(tickFont=font, tickLength=0, tickTextOffset=theme.unit(0.5))
        # Fixed widths, or the curves would jump when the numbers get longer.
        self._losses.setWidth(theme.em(6))
        self._rates.setWidth(theme.em(8))
        self.getAxis("bottom").setHeight(self.fontMetrics().height() + theme.unit(0.5))
        self.getPlotItem().showGrid(y=True, alpha=0.25)
        raw = QColor(c.accent_text)
        raw.setAlpha(RAW_ALPHA)
        self._raw.setPen(pg.mkPen(raw, width=1))
        self._smooth.setPen(pg.mkPen(c.accent_text, width=2.2))
        self._validation.setPen(pg.mkPen(c.good, width=1.5))
        self._validation.setSymbolBrush(QColor(c.good))
        self._validation.setSymbolPen(None)
        self._validation.setSymbolSize(5)
        self._cursor.setPen(pg.mkPen(c.border_strong, width=1))
        for number, curve in enumerate(self._rate_curves):
            curve.setPen(self._rate_pen(number))

    def _rate_pen(self, number: int) -> object:
        # The UNet's rate is drawn through, the text encoder's in dashes.
        style = Qt.PenStyle.DashLine if number else Qt.PenStyle.SolidLine
        return pg.mkPen(theme.colours().warning, width=1.2, style=style)

    def reset(self) -> None:
        """Empty the plot for another run."""
        for item in (self._raw, self._smooth, self._validation, *self._rate_curves):
            item.setData([], [])
        self._next = 0.0

    def set_log(self, on: bool) -> None:
        """Switch the loss axis between linear and logarithmic; draw again afterwards."""
        self._log = self._losses.logarithmic = on
        self._next = 0.0

    def draw(self, view: RunView) -> bool:
        """Draw the run as it is now; False and nothing while drawing costs too much of the time."""
        start = time.monotonic()
        if start < self._next:
            return False
        raw_x, raw_y = self._arrays(view.loss)
        smooth_x, smooth_y = self._arrays(view.smoothed)
        self._raw.setData(*_thinned(raw_x, raw_y, self.width()))
        self._smooth.setData(*_thinned(smooth_x, smooth_y, self.width()))
        self._validation.setData(*self._arrays(view.validation))
        self._draw_rates(view)
        last = max(view.step, 1)
        total = view.total or last
        span = FIRST_SPAN
        while span < last:
            span *= 2
        ended = view.done is not None
        self._box.setXRange(0, last if ended else min(total, span), padding=0.01)
        self._set_loss_range(raw_y, smooth_y, view)
        self.rangeChanged.emit()
        cost = time.monotonic() - start
        self._next = start + 15 * cost
        return True

    def _arrays(self, curve: Curve) -> tuple[np.ndarray, np.ndarray]:
        x, y = _numpy(curve)
        if self._log:
            y = np.log10(np.maximum(y, 1e-12))
        return x, y

    def _draw_rates(self, view: RunView) -> None:
        while len(self._rate_curves) < len(view.rates):
            curve = pg.PlotCurveItem(pen=self._rate_pen(len(self._rate_curves)), antialias=True)
            self._rate_curves.append(curve)
            self._rate_box.addItem(curve)
        highest = 0.0
        for item, curve in zip(self._rate_curves, view.rates.values(), strict=False):
            x, y = _numpy(curve)
            item.setData(*_thinned(x, y, self.width()))
            highest = max(highest, float(y.max(initial=0.0)))
        self._rate_box.setYRange(0, (highest or 1.0) * 1.1, padding=0)

    def _set_loss_range(self, raw: np.ndarray, smooth: np.ndarray, view: RunView) -> None:
        if not len(raw):
            return
        # Single outliers must not flatten the curve that people look at.
        low, high = np.percentile(raw, (1, 98))
        low = min(low, smooth.min(initial=low))
        high = max(high, smooth.max(initial=high))
        if view.validation.values:
            _, values = self._arrays(view.validation)
            low, high = min(low, values.min()), max(high, values.max())
        if not self._log:
            low = min(0.0, low) if low < 0.35 * high else low
        room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
        self._box.setYRange(low, high + room, padding=0)

    def span(self) -> tuple[float, float, float, float]:
        """Pixels of the plot's left and right edge in this widget, and the steps there."""
        box = self._box.sceneBoundingRect()
        left = self.mapFromScene(QPointF(box.left(), box.top())).x()
        right = self.mapFromScene(QPointF(box.right(), box.top())).x()
        first, last = self._box.viewRange()[0]
        return float(left), float(right), float(first), float(last)

    def _resized(self) -> None:
        self._rate_box.setGeometry(self._box.sceneBoundingRect())
        self._rate_box.linkedViewChanged(self._box, self._rate_box.XAxis)
        self.rangeChanged.emit()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        point = self._box.mapSceneToView(self.mapToScene(event.position().toPoint()))
        first, last = self._box.viewRange()[0]
        inside = first <= point.x() <= last
        self._cursor.setVisible(inside)
        self._cursor.setPos(point.x())
        self.pointed.emit(point.x() if inside else None)

    def leaveEvent(self, event: QEvent) -> None:
        self._cursor.hide()
        self.pointed.emit(None)
        super().leaveEvent(event)


def _numpy(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Copies: an array whose memory numpy looks at could not grow."""
    return np.array(curve.steps, dtype=float), np.array(curve.values)


def _thinned(x: np.ndarray, y: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """At most about four points per pixel column: its first, lowest, highest and last."""
    columns = max(64, width)
    if len(x) <= 4 * columns:
        return x, y
    size = len(x) // columns
    cut = size * columns
    blocks = y[:cut].reshape(columns, size)
    base = np.arange(columns) * size
    keep = np.concatenate(
        [
            base,
            base + blocks.argmin(1),
            base + blocks.argmax(1),
            base + size - 1,
            np.arange(cut, len(x)),
        ]
    )
    keep = np.unique(keep)
    return x[keep], y[keep]
