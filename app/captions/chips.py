"""The tags of one caption as chips: a click filters by one, its cross removes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QScrollArea, QSizePolicy, QWidget

from app import icons, theme
from app.run_panel.flow import FlowLayout


def chip_height() -> int:
    """The height of every chip in pixels."""
    return round(QFontMetricsF(theme.font("small")).height() + theme.unit(0.8))


class Chip(QWidget):
    """One tag. Signals: clicked(), removed()."""

    clicked = Signal()
    removed = Signal()

    def __init__(self, tag: str, count: int, removable: bool) -> None:
        super().__init__()
        self.tag = tag
        self._removable = removable
        self._over_cross = False
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(tag)
        self.setToolTip(self.tr("%n caption(s) with %1", "", count).replace("%1", tag))

    def _metrics(self) -> QFontMetricsF:
        return QFontMetricsF(theme.font("small"))

    def _cross(self) -> QRectF:
        side = self._metrics().height() * 0.8
        box = self.rect().toRectF()
        return QRectF(box.right() - side - theme.unit(0.6), (box.height() - side) / 2, side, side)

    def sizeHint(self) -> QSize:
        metrics = self._metrics()
        extra = self._cross().width() + theme.unit(0.5) if self._removable else 0
        width = min(metrics.horizontalAdvance(self.tag), theme.em(26)) + extra
        return QSize(round(width + theme.unit(2)), chip_height())

    def event(self, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.HoverEnter, QEvent.Type.HoverLeave):
            self._over_cross = False
            self.update()
        return super().event(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        over = self._removable and event.position().x() >= self._cross().left() - theme.unit(0.4)
        if over != self._over_cross:
            self._over_cross = over
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        inside = self.rect().contains(event.position().toPoint())
        if event.button() == Qt.MouseButton.LeftButton and inside:
            self.mouseMoveEvent(event)
            (self.removed if self._over_cross else self.clicked).emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.clicked.emit()
        elif event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) and self._removable:
            self.removed.emit()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colours = theme.colours()
        box = self.rect().toRectF().adjusted(0.5, 0.5, -0.5, -0.5)
        over = self.underMouse()
        edge = colours.accent if self.hasFocus() else colours.border
        painter.setPen(QColor(colours.border_strong if over and not self.hasFocus() else edge))
        painter.setBrush(QColor(colours.hover if over else colours.raised))
        painter.drawRoundedRect(box, theme.unit(0.6), theme.unit(0.6))
        metrics = self._metrics()
        cross = self._cross()
        left = theme.unit()
        width = (cross.left() if self._removable else box.right()) - left - theme.unit(0.4)
        text = metrics.elidedText(self.tag, Qt.TextElideMode.ElideRight, width + 1)
        painter.setFont(theme.font("small"))
        painter.setPen(QColor(colours.text))
        base = (box.height() + metrics.ascent() - metrics.descent()) / 2 + box.top()
        painter.drawText(QPointF(left, base), text)
        if self._removable:
            icons.draw(painter, "x", cross, "error" if self._over_cross else "muted")
        painter.end()


class ChipBox(QScrollArea):
    """The chips of a caption, scrolled where there are more than a few lines.

    Its height is always that of `lines`, so that nothing moves from picture to picture.

    Signals: clicked(str), removed(str) with the chip's tag.
    """

    clicked = Signal(str)
    removed = Signal(str)

    def __init__(self, lines: int = 3) -> None:
        super().__init__()
        self._lines = lines
        self._shown: tuple[tuple[str, ...], bool] = ((), False)
        self._inside = QWidget()
        self._flow = FlowLayout(theme.unit(0.5), self._inside)
        self.setWidget(self._inside)
        self.setWidgetResizable(True)
        # Otherwise they lie on a band in the window's colour, whatever is behind.
        self._inside.setAutoFillBackground(False)
        self.viewport().setAutoFillBackground(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._fit()

    def set_tags(self, tags: Sequence[str], counts: Mapping[str, int], removable: bool) -> None:
        """Show these tags."""
        wanted = tuple(tags), removable
        if wanted == self._shown:
            return
        self._shown = wanted
        while (item := self._flow.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.setParent(None)
                old.deleteLater()
        for tag in tags:
            chip = Chip(tag, counts.get(tag, 1), removable)
            chip.clicked.connect(lambda tag=tag: self.clicked.emit(tag))
            chip.removed.connect(lambda tag=tag: self.removed.emit(tag))
            self._flow.addWidget(chip)
            chip.show()

    def chips(self) -> list[Chip]:
        """The chips on show."""
        widgets = (self._flow.itemAt(n).widget() for n in range(self._flow.count()))  # type: ignore[union-attr]
        return [widget for widget in widgets if isinstance(widget, Chip)]

    def _fit(self) -> None:
        self.setFixedHeight(self._lines * (chip_height() + self._flow.spacing()))

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._fit()
