"""A large picture with the rectangle that training cuts out of it; a click sets what it follows."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from app import icons, theme
from app.background import Background
from app.concepts.facts import Look, PictureFacts
from core.data.types import Placement

Point = tuple[float, float]

# Decoded at this length: sharp on usual screens, quick for any file.
EDGE = 1024
_DIM = QColor(0, 0, 0, 150)
_LINE = QColor("#ffffff")


def crop_part(placement: Placement) -> QRectF:
    """The bucket's rectangle in parts (0..1) of the picture."""
    (width, height), (left, top) = placement.resized, placement.crop
    return QRectF(
        left / width,
        top / height,
        placement.bucket.width / width,
        placement.bucket.height / height,
    )


class CropPreview(QWidget):
    """One picture and its crops. Signals:

    focusChosen(point): the crop shall follow (x, y), 0..1 of the picture; None for its middle.
    opened(): a double click.
    """

    focusChosen = Signal(object)
    opened = Signal()

    def __init__(self, background: Background) -> None:
        super().__init__()
        self._background = background
        self._facts: PictureFacts | None = None
        self._look: Look | None = None
        self._which = 0
        self._image = QImage()
        self._shown_path: Path | None = None
        self._shown_version = (0, 0)
        self._dragged: Point | None = None
        self._press: QPointF | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(self.tr("Crop of the picture"))
        self.setToolTip(
            self.tr("Click or drag to what the crop shall follow; Delete leaves it to the middle")
        )

    def sizeHint(self) -> QSize:
        return QSize(theme.unit(44), theme.unit(34))

    def minimumSizeHint(self) -> QSize:
        return QSize(theme.unit(20), theme.unit(16))

    # --- what is shown ------------------------------------------------------------

    def show_picture(
        self, facts: PictureFacts | None, look: Look | None, thumbnail: QImage | None
    ) -> None:
        """Show a picture; its thumbnail stands in until it is decoded larger."""
        self._facts, self._look = facts, look
        path = facts.path if facts else None
        version = (facts.bytes, facts.modified) if facts else (0, 0)
        self.setCursor(
            Qt.CursorShape.CrossCursor if self.placements() else Qt.CursorShape.ArrowCursor
        )
        if (path, version) != (self._shown_path, self._shown_version):
            self._shown_path, self._shown_version = path, version
            self._dragged = self._press = None
            self._image = thumbnail if thumbnail is not None else QImage()
            self._decode()
        self.update()

    def _decode(self) -> None:
        path = self._shown_path
        if path is None or self._facts is None or self._facts.problem:
            self._background.cancel(("preview", id(self)))
            return
        # Late: the window is there before the first picture is read.
        from app.thumbnails import make_thumbnail

        edge = round(EDGE * self.devicePixelRatioF())
        self._background.run(
            self,
            ("preview", id(self)),
            lambda cancelled: QImage() if cancelled() else make_thumbnail(path, edge),
            lambda result: self._decoded(path, result),
        )

    def _decoded(self, path: Path, result: object) -> None:
        if path == self._shown_path and isinstance(result, QImage):
            self._image = result
            self.update()

    def image(self) -> QImage:
        """What is shown, null for nothing."""
        return self._image

    def set_which(self, index: int) -> None:
        """Which of several resolutions is the one in the foreground."""
        self._which = index
        self.update()

    def placements(self) -> list[Placement]:
        """The crops with the focus as it is, or as it is being dragged."""
        if not self._facts or not self._look or not self._facts.size or self._facts.problem:
            return []
        focus = self._dragged or self._facts.note.focus
        return self._look.placements(self._facts.size, focus)

    def picture_box(self) -> QRectF:
        """Where the picture lies."""
        room = QRectF(self.rect())
        size = QSize(*(self._facts.size if self._facts and self._facts.size else (1, 1)))
        fitted = size.scaled(room.size().toSize(), Qt.AspectRatioMode.KeepAspectRatio)
        place = QRectF(0, 0, max(1, fitted.width()), max(1, fitted.height()))
        place.moveCenter(room.center())
        return place

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.fillRect(self.rect(), QColor(theme.colours().picture))
        if self._facts is None or self._facts.problem:
            self._paint_nothing(painter)
        elif not self._image.isNull():
            box = self.picture_box()
            painter.drawImage(box, self._image)
            self._paint_crops(painter, box)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(theme.colours().accent), 2))
            painter.drawRect(self.rect().adjusted(1, 1, -1, -1))
        painter.end()

    def _paint_nothing(self, painter: QPainter) -> None:
        side = theme.unit(6)
        place = QRectF(0, 0, side, side)
        place.moveCenter(QRectF(self.rect()).center())
        name = "image-off" if self._facts else "images"
        icons.draw_in(painter, name, place, theme.DARK.disabled)

    def _paint_crops(self, painter: QPainter, box: QRectF) -> None:
        placements = self.placements()
        if not placements:
            return
        chosen = min(self._which, len(placements) - 1)
        for number, placement in enumerate(placements):
            rect = _within(crop_part(placement), box)
            if number == chosen:
                outside = QPainterPath()
                outside.addRect(box)
                inside = QPainterPath()
                inside.addRect(rect)
                painter.fillPath(outside.subtracted(inside), _DIM)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            # Light upon dark: seen on any picture.
            painter.setPen(QPen(QColor(0, 0, 0, 160), 3 if number == chosen else 2))
            painter.drawRect(rect)
            style = Qt.PenStyle.SolidLine if number == chosen else Qt.PenStyle.DashLine
            painter.setPen(QPen(_LINE, 1.5 if number == chosen else 1, style))
            painter.drawRect(rect)
        focus = self._dragged or (self._facts.note.focus if self._facts else None)
        if focus is not None:
            self._paint_focus(painter, box, focus)

    def _paint_focus(self, painter: QPainter, box: QRectF, focus: Point) -> None:
        at = QPointF(box.left() + focus[0] * box.width(), box.top() + focus[1] * box.height())
        radius = theme.unit(1)
        for colour, width in ((QColor(0, 0, 0, 180), 4.0), (_LINE, 1.8)):
            painter.setPen(QPen(colour, width))
            painter.drawEllipse(at, radius, radius)
            for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                step = QPointF(x, y)
                painter.drawLine(at + step * radius * 0.55, at + step * radius * 1.5)

    # --- setting the focus ------------------------------------------------------------

    def _point(self, at: QPointF) -> Point:
        box = self.picture_box()
        x = (at.x() - box.left()) / box.width()
        y = (at.y() - box.top()) / box.height()
        return round(min(max(x, 0.0), 1.0), 4), round(min(max(y, 0.0), 1.0), 4)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        inside = self.picture_box().contains(event.position())
        if event.button() == Qt.MouseButton.LeftButton and self.placements() and inside:
            self._press = event.position()
            self._dragged = self._point(event.position())
            self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._press is not None:
            self._dragged = self._point(event.position())
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._press is not None and self._dragged is not None:
            chosen, self._press = self._dragged, None
            self.focusChosen.emit(chosen)
            self._dragged = None
            self.update()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.opened.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        focus = self._facts.note.focus if self._facts else None
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) and focus is not None:
            self.focusChosen.emit(None)
        elif event.key() == Qt.Key.Key_Space:
            self.opened.emit()
        else:
            super().keyPressEvent(event)


def _within(part: QRectF, box: QRectF) -> QRectF:
    return QRectF(
        box.left() + part.left() * box.width(),
        box.top() + part.top() * box.height(),
        part.width() * box.width(),
        part.height() * box.height(),
    )
