"""Buttons that lie over the picture and hide when the mouse rests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QHBoxLayout, QSizePolicy, QWidget

from app import icons, theme
from app.viewer.overlays import MUTED, STAR, TEXT, VEIL, star_shape

_HOVER, _DOWN, _ON = QColor(255, 255, 255, 38), QColor(255, 255, 255, 70), QColor(255, 255, 255, 56)

_BAR = QColor(VEIL.red(), VEIL.green(), VEIL.blue())


class IconButton(QAbstractButton):
    """An icon that lights up under the mouse; the same over pictures in both themes."""

    def __init__(self, icon: str, name: str = "", size: float = 4.0) -> None:
        super().__init__()
        self._icon, self._size = icon, size
        self.name(name)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setCursor(Qt.CursorShape.ArrowCursor)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def name(self, name: str) -> None:
        """Tell what it does, and by which key."""
        self.setAccessibleName(name)
        self.setToolTip(name)

    def sizeHint(self) -> QSize:
        side = theme.unit(self._size)
        return QSize(side, side)

    def enterEvent(self, event: QEvent) -> None:
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(self.rect())
        painter.setPen(Qt.PenStyle.NoPen)
        if self.isEnabled() and (self.isChecked() or self.underMouse()):
            painter.setBrush(_DOWN if self.isDown() else _HOVER if self.underMouse() else _ON)
            painter.drawRoundedRect(box, theme.unit(0.5), theme.unit(0.5))
        side = box.width() * 0.52
        inner = QRectF(0, 0, side, side)
        inner.moveCenter(box.center())
        painter.setOpacity(1.0 if self.isEnabled() else 0.35)
        icons.draw(painter, self._icon, inner, "on_accent")
        if self.isChecked():
            painter.setPen(QPen(QColor("#9db0ff"), 2))
            low = box.bottom() - 2
            painter.drawLine(QPointF(inner.left(), low), QPointF(inner.right(), low))
        painter.end()


class EdgeButton(IconButton):
    """A large round button at the side of the picture."""

    def __init__(self, icon: str) -> None:
        super().__init__(icon, size=5.5)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(VEIL)
        painter.drawEllipse(QRectF(self.rect()))
        if self.underMouse():
            painter.setBrush(_DOWN if self.isDown() else _HOVER)
            painter.drawEllipse(QRectF(self.rect()))
        inner = QRectF(0, 0, self.width() * 0.5, self.width() * 0.5)
        inner.moveCenter(QRectF(self.rect()).center())
        icons.draw(painter, self._icon, inner, "on_accent")
        painter.end()


class TextButton(QAbstractButton):
    """A word to press on a veil."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.setText(text)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        metrics = QFontMetricsF(theme.font())
        width = metrics.horizontalAdvance(self.text()) + theme.unit(2.5)
        return QSize(round(width), round(metrics.height() + theme.unit(1)))

    def enterEvent(self, event: QEvent) -> None:
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(255, 255, 255, 70), 1))
        painter.setBrush(
            _DOWN if self.isDown() else _HOVER if self.underMouse() else Qt.BrushStyle.NoBrush
        )
        radius = theme.unit(0.5)
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), radius, radius)
        painter.setPen(TEXT)
        painter.setFont(theme.font())
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self.text())
        painter.end()


class Stars(QWidget):
    """Five stars to click on; a second click on the same one takes them off. Signals: set(int)."""

    set = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._count, self._hover = 0, 0
        self.setMouseTracking(True)
        self.setAccessibleName(self.tr("Stars"))
        self.setToolTip(self.tr("Stars (0 to 5)"))
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        return QSize(theme.unit(2.2) * 5 + theme.unit(1), theme.unit(4))

    def show_count(self, count: int) -> None:
        """Show so many stars."""
        if count != self._count:
            self._count = count
            self.update()

    def _at(self, x: float) -> int:
        return max(1, min(5, int((x - theme.unit(0.5)) // theme.unit(2.2)) + 1))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._hover = self._at(event.position().x())
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        self._hover = 0
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        star = self._at(event.position().x())
        self.set.emit(0 if star == self._count else star)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        lit = self._hover or self._count
        for star in range(5):
            x = theme.unit(0.5) + theme.unit(2.2) * (star + 0.5)
            middle = QPointF(x, self.height() / 2)
            if star < lit:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(STAR)
            else:
                painter.setPen(QPen(MUTED, 1))
                painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawPolygon(star_shape(middle, theme.unit(0.9)))
        painter.end()


@dataclass(frozen=True)
class Item:
    """A button of the bar: its command, drawing, and how soon it gives way on narrow windows."""

    command: str
    icon: str
    checkable: bool = False
    rank: int = 0


ITEMS: tuple[Item | None, ...] = (
    Item("keep", "check"),
    Item("reject", "x"),
    Item("stars", "star", rank=2),
    Item("delete", "trash-2"),
    Item("undo", "undo-2"),
    Item("redo", "redo-2", rank=3),
    None,
    Item("zoom_out", "zoom-out", rank=1),
    Item("toggle_zoom", "scan"),
    Item("zoom_in", "zoom-in", rank=1),
    Item("lock_zoom", "lock", True, rank=3),
    None,
    Item("compare", "columns-2", rank=1),
    Item("filmstrip", "gallery-horizontal-end", True, rank=2),
    Item("crop", "crop", True, rank=2),
    Item("focus", "crosshair", True, rank=3),
    Item("info", "info", True, rank=1),
    Item("caption", "captions", True, rank=2),
    Item("edit_caption", "pencil", rank=3),
    None,
    Item("sort", "arrow-up-down", rank=2),
    Item("filter", "funnel", rank=2),
    Item("slideshow", "play", True, rank=3),
    Item("help", "keyboard", rank=3),
    Item("full_screen", "maximize", True, rank=1),
    Item("menu", "ellipsis"),
    Item("leave", "x"),
)


class Bar(QWidget):
    """The bar over the upper edge. Signals: asked(command), starsSet(count)."""

    asked = Signal(str)
    starsSet = Signal(int)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.buttons: dict[str, IconButton] = {}
        self.stars = Stars()
        self.stars.set.connect(self.starsSet)
        self._parts: list[tuple[int, QWidget]] = []
        row = QHBoxLayout(self)
        air = theme.unit(0.75)
        row.setContentsMargins(air, air, air, air)
        row.setSpacing(theme.unit(0.25))
        self._title, self._detail = "", ""
        row.addStretch(1)
        self._add(row, ITEMS)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        # Through a bar that lets nothing shine through, no picture draws all buttons anew.
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)

    def name(self, name_of: Callable[[str], str]) -> None:
        """Name all buttons anew; name_of(command) gives the tooltip."""
        for command, button in self.buttons.items():
            button.name(name_of(command))

    def _add(self, row: QHBoxLayout, items: Sequence[Item | None]) -> None:
        rank = 0
        for item in items:
            if item is None:
                gap = QWidget()
                gap.setFixedWidth(theme.unit(1.25))
                gap.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
                row.addWidget(gap)
                self._parts.append((2, gap))
                continue
            rank = item.rank
            if item.command == "stars":
                row.addWidget(self.stars)
                self._parts.append((rank, self.stars))
                continue
            button = IconButton(item.icon)
            button.setCheckable(item.checkable)
            button.clicked.connect(lambda _=False, c=item.command: self.asked.emit(c))
            row.addWidget(button)
            self.buttons[item.command] = button
            self._parts.append((rank, button))

    def set_title(self, title: str, detail: str) -> None:
        """The picture's name, and where it stands."""
        if (title, detail) != (self._title, self._detail):
            self._title, self._detail = title, detail
            self.update(0, 0, self._room(), self.height())  # the buttons stay as they are

    def _room(self) -> int:
        """Pixels from the left edge to the first button."""
        first = next((part for _, part in self._parts if part.isVisible()), None)
        return first.x() - theme.unit(1) if first is not None else self.width()

    def fit(self, width: int) -> None:
        """Leave out buttons by rank until the rest and a title fit into `width`."""
        room = width - theme.unit(2) - theme.em(34)
        for least in (4, 3, 2, 1):
            shown = [(rank, part) for rank, part in self._parts if rank < least]
            needed = sum(
                max(part.sizeHint().width(), part.minimumWidth()) + theme.unit(0.25)
                for _, part in shown
            )
            if needed <= room or least == 1:
                break
        for rank, part in self._parts:
            part.setVisible(rank < least)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(event.rect(), _BAR)
        right = self._room()
        left = theme.unit(2)
        painter.setFont(theme.font("title"))
        metrics = QFontMetricsF(theme.font("title"))
        place = QFontMetricsF(theme.font()).horizontalAdvance(self._detail) + theme.unit(2)
        room = max(0.0, right - left - place)
        name = metrics.elidedText(self._title, Qt.TextElideMode.ElideMiddle, room)
        middle = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        painter.setPen(TEXT)
        painter.drawText(QRectF(left, 0, room, self.height()), middle, name)
        painter.setPen(MUTED)
        painter.setFont(theme.font())
        start = left + min(room, metrics.horizontalAdvance(name)) + theme.unit(1.5)
        painter.drawText(QRectF(start, 0, right - start, self.height()), middle, self._detail)
        painter.end()
