"""A strip of thumbnails of one prompt's samples by step; a click shows one large."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from PySide6.QtWidgets import QAbstractScrollArea, QFrame, QSizePolicy, QWidget

from app import theme
from app.run_panel.picture import draw_missing, fit_image


class Filmstrip(QAbstractScrollArea):
    """Thumbnails side by side, each with its step below.

    Signals:
        chosen(int): the step of the thumbnail that was clicked.
    """

    chosen = Signal(int)

    def __init__(
        self, thumbnail: Callable[[int, int], QImage | None], parent: QWidget | None = None
    ) -> None:
        """thumbnail(step, edge) gives a picture, or None while it is being read."""
        super().__init__(parent)
        self._thumbnail = thumbnail
        self._steps: list[int] = []
        self._current: int | None = None
        self._hover: int | None = None
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.viewport().setMouseTracking(True)
        self.viewport().setAutoFillBackground(False)
        self.setAccessibleName(self.tr("Samples by step"))

    def set_steps(self, steps: list[int], current: int | None) -> None:
        """Show these steps, `current` marked and scrolled into view."""
        self._steps = steps
        self._current = current
        self._limit()
        self._reveal()
        self.viewport().update()

    def _reveal(self) -> None:
        if self._current in self._steps:
            left = self._steps.index(self._current) * self._pitch()
            bar = self.horizontalScrollBar()
            room = self.viewport().width() - self._pitch()
            bar.setValue(max(left - room, min(bar.value(), left)))

    def refresh(self) -> None:
        """A thumbnail has arrived."""
        self.viewport().update()

    def sizeHint(self) -> QSize:
        """One row of thumbnails with their steps."""
        return QSize(theme.unit(30), self._edge() + self._line())

    def minimumSizeHint(self) -> QSize:
        return QSize(theme.unit(10), self._edge() + self._line())

    def _edge(self) -> int:
        return theme.unit(6)

    def _line(self) -> int:
        return self.fontMetrics().height()

    def _pitch(self) -> int:
        return self._edge() + theme.unit(0.75)

    def _limit(self) -> None:
        bar = self.horizontalScrollBar()
        full = len(self._steps) * self._pitch() - theme.unit(0.75)
        bar.setRange(0, max(0, full - self.viewport().width()))
        bar.setPageStep(self.viewport().width())

    def _at(self, x: float) -> int | None:
        number = int((x + self.horizontalScrollBar().value()) // self._pitch())
        return self._steps[number] if 0 <= number < len(self._steps) else None

    def resizeEvent(self, event: object) -> None:
        self._limit()
        self._reveal()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setFont(theme.font("small"))
        colours = theme.colours()
        edge, pitch = self._edge(), self._pitch()
        offset = self.horizontalScrollBar().value()
        first = max(0, offset // pitch)
        last = min(len(self._steps), (offset + self.viewport().width()) // pitch + 1)
        for number in range(first, last):
            step = self._steps[number]
            box = QRectF(number * pitch - offset, 0, edge, edge)
            self._paint_thumbnail(painter, step, box)
            current = step == self._current
            if current or step == self._hover:
                colour = colours.accent if current else colours.border_strong
                painter.setPen(QPen(QColor(colour), 2))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRoundedRect(box.adjusted(1, 1, -1, -1), 3, 3)
            painter.setPen(QColor(colours.text if current else colours.muted))
            below = QRectF(box.left() - pitch, edge, pitch * 3, self._line())
            below.moveCenter(QPointF(box.center().x(), below.center().y()))
            painter.drawText(below, Qt.AlignmentFlag.AlignCenter, _short(step))
        painter.end()

    def _paint_thumbnail(self, painter: QPainter, step: int, box: QRectF) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.colours().picture))
        painter.drawRoundedRect(box, 3, 3)
        ratio = self.devicePixelRatioF()
        image = self._thumbnail(step, round(self._edge() * ratio))
        if image is None:
            return
        if image.isNull():
            draw_missing(painter, box)
            return
        device = box.size() * ratio
        scaled = fit_image(image, int(device.width()), int(device.height()))
        target = QRectF(0, 0, scaled.width() / ratio, scaled.height() / ratio)
        target.moveCenter(box.center())
        painter.drawImage(target, scaled)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        step = self._at(event.position().x())
        if step is not None and event.button() == Qt.MouseButton.LeftButton:
            self.chosen.emit(step)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._set_hover(self._at(event.position().x()))

    def leaveEvent(self, event: object) -> None:
        self._set_hover(None)

    def _set_hover(self, step: int | None) -> None:
        if step != self._hover:
            self._hover = step
            hand = Qt.CursorShape.PointingHandCursor
            self.viewport().setCursor(Qt.CursorShape.ArrowCursor if step is None else hand)
            self.viewport().update()

    def wheelEvent(self, event: QWheelEvent) -> None:
        bar = self.horizontalScrollBar()
        delta = event.angleDelta().y() or event.angleDelta().x()
        bar.setValue(bar.value() - round(delta / 120 * self._pitch()))
        event.accept()


def _short(step: int) -> str:
    """A step as short as its place below a thumbnail: 400, 12k, 12.5k."""
    if step < 10_000:
        return str(step)
    return f"{step / 1000:.1f}".removesuffix(".0") + "k"
