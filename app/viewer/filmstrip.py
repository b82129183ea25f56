"""A strip of thumbnails below the picture; the current one stays in its middle."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app import icons, theme
from app.thumbnails import ThumbnailStore
from app.viewer.album import Album
from app.viewer.overlays import KEEP, REJECT, STAR
from app.viewer.source import Entry
from app.viewer.wheel import Turns

_PAUSE_MS = 80
_MOST_CELLS = 160


class Filmstrip(QWidget):
    """Thumbnails side by side with their marks and stars.

    Signals: chosen(entry) by a click, turned(steps) by the wheel.
    """

    chosen = Signal(object)
    turned = Signal(int)

    def __init__(
        self,
        album: Album,
        store: ThumbnailStore,
        is_busy: Callable[[], bool] = lambda: False,
        parent: QWidget | None = None,
    ) -> None:
        """is_busy tells that pictures for the screen are still being decoded."""
        super().__init__(parent)
        self._is_busy = is_busy
        self._album, self._store = album, store
        self._cells: OrderedDict[tuple[object, ...], QImage] = OrderedDict()
        self._hover = -1
        self._turns = Turns()
        # The picture itself comes first: thumbnails are made when no other follows at once.
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self._request)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setMouseTracking(True)
        self.setAccessibleName(self.tr("Film strip"))
        store.ready.connect(self._arrived)
        album.moved.connect(self._changed)
        album.listChanged.connect(self._changed)
        album.entryChanged.connect(lambda _entry: self.update())

    def sizeHint(self) -> QSize:
        return QSize(theme.unit(40), self._edge() + theme.unit(2.5))

    def minimumSizeHint(self) -> QSize:
        return QSize(theme.unit(10), self._edge() + theme.unit(2.5))

    def _edge(self) -> int:
        return theme.unit(9)

    def _pitch(self) -> int:
        return self._edge() + theme.unit(0.75)

    def _left(self) -> float:
        """Where the first thumbnail begins; the strip does not scroll past its ends."""
        count, pitch = len(self._album), self._pitch()
        length = count * pitch - theme.unit(0.75)
        if length <= self.width():
            return (self.width() - length) / 2
        middle = self.width() / 2 - self._album.position * pitch - self._edge() / 2
        air = theme.unit(1)
        return min(float(air), max(self.width() - length - air, middle))

    def visible_positions(self) -> range:
        """Positions whose thumbnails are on the screen."""
        pitch, left = self._pitch(), self._left()
        first = max(0, int(-left // pitch))
        last = min(len(self._album), int((self.width() - left) // pitch) + 1)
        return range(first, max(first, last))

    def _position_at(self, x: float) -> int:
        position = int((x - self._left()) // self._pitch())
        return position if 0 <= position < len(self._album) else -1

    def _changed(self) -> None:
        if self.isVisible():
            self._pause.start()
            self.update()

    def _request(self) -> None:
        """Have the visible thumbnails made, those nearest to the current one first."""
        if self._is_busy():
            self._pause.start()
            return
        current = self._album.position
        edge = round(self._edge() * self.devicePixelRatioF())
        shown = [
            (position, Path(self._album.at(position).path)) for position in self.visible_positions()
        ]
        self._store.keep_only(path for _, path in shown)
        for position, path in shown:
            if self._store.peek(path, edge) is None:
                self._store.request(path, edge, -abs(position - current))

    def _arrived(self, path: object, image: object) -> None:
        if self.isVisible():
            self.update()

    # --- drawing -------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(theme.colours().picture).darker(125))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ratio = self.devicePixelRatioF()
        left, pitch, edge = self._left(), self._pitch(), self._edge()
        top = (self.height() - edge) // 2
        current = self._album.position
        for position in self.visible_positions():
            # At whole pixels of the screen, so that cells are copied.
            x = round((left + position * pitch) * ratio) / ratio
            painter.drawImage(QPointF(x, top), self._cell(self._album.at(position)))
            if position == current or position == self._hover:
                accent = QColor(theme.colours().accent)
                colour = accent if position == current else QColor(255, 255, 255, 90)
                painter.setPen(QPen(colour, 3 if position == current else 1.5))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRoundedRect(QRectF(x - 2, top - 2, edge + 4, edge + 4), 4, 4)
        painter.end()

    def _cell(self, entry: Entry) -> QImage:
        """A thumbnail with its marks, drawn when it first looks so."""
        edge, ratio = self._edge(), self.devicePixelRatioF()
        thumbnail = self._store.peek(Path(entry.path), round(edge * ratio))
        shown = -1 if thumbnail is None else 0 if thumbnail.isNull() else thumbnail.cacheKey()
        key = (shown, entry.note.mark, entry.note.stars, entry.missing, edge, ratio)
        cell = self._cells.get(key)
        if cell is None:
            side = round(edge * ratio)
            cell = QImage(side, side, QImage.Format.Format_ARGB32_Premultiplied)
            cell.fill(Qt.GlobalColor.transparent)
            cell.setDevicePixelRatio(ratio)
            painter = QPainter(cell)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            _draw_cell(painter, entry, thumbnail, QRectF(0, 0, edge, edge))
            painter.end()
            self._cells[key] = cell
        self._cells.move_to_end(key)
        while len(self._cells) > _MOST_CELLS:
            self._cells.popitem(last=False)
        return cell

    # --- mouse ---------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        position = self._position_at(event.position().x())
        if position >= 0 and event.button() == Qt.MouseButton.LeftButton:
            self.chosen.emit(self._album.at(position))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._hover_at(self._position_at(event.position().x()))
        event.ignore()

    def leaveEvent(self, event: QEvent) -> None:
        self._hover_at(-1)

    def _hover_at(self, position: int) -> None:
        if position != self._hover:
            self._hover = position
            self.setToolTip(self._album.at(position).name if position >= 0 else "")
            self.update()

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.accept()
        if steps := self._turns.steps(event):
            self.turned.emit(steps)

    def showEvent(self, event: QEvent) -> None:
        self._request()

    def resizeEvent(self, event: QEvent) -> None:
        self._changed()


def _draw_cell(painter: QPainter, entry: Entry, thumbnail: QImage | None, box: QRectF) -> None:
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(255, 255, 255, 14))
    painter.drawRoundedRect(box, 3, 3)
    third = box.width() / 3
    if entry.missing or (thumbnail is not None and thumbnail.isNull()):
        inner = box.adjusted(third, third, -third, -third)
        icons.draw(painter, "image-off", inner, "on_accent")
    elif thumbnail is not None:
        size = thumbnail.size().toSizeF().scaled(box.size(), Qt.AspectRatioMode.KeepAspectRatio)
        target = QRectF(box.topLeft(), size)
        target.moveCenter(box.center())
        painter.drawImage(target, thumbnail)
    if entry.note.mark == "reject":
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(0, 0, 0, 140))
        painter.drawRoundedRect(box, 3, 3)
    if entry.note.mark:
        height = max(3, theme.unit(0.5))
        line = QRectF(box.left(), box.bottom() - height, box.width(), height)
        painter.fillRect(line, KEEP if entry.note.mark == "keep" else REJECT)
    if entry.note.stars:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(STAR)
        dot = theme.unit(0.35)
        for star in range(entry.note.stars):
            x = box.left() + theme.unit(0.75) + star * dot * 2.6
            painter.drawEllipse(QPointF(x, box.top() + theme.unit(0.75)), dot, dot)
