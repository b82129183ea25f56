"""Small rounded pictures, decoded by path in the background at their final size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QImage,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from app import icons, theme
from app.background import Background
from app.thumbnails import on_white
from app.viewer.decode import decode, prepare

MOST = 4
_KEPT = 400
_STRETCH = 3
_cache: OrderedDict[tuple[str, int, int], QImage] = OrderedDict()


def read_square(path: Path, side: int, cancelled: Callable[[], bool] = lambda: False) -> QImage:
    """The middle square of a picture, `side` pixels; a null image when it cannot be read.

    Decoded as in the viewer, at a reduced size.
    """
    try:
        key = (str(path), path.stat().st_mtime_ns, side)
    except OSError:
        return QImage()
    if key in _cache:
        return _cache[key]
    if cancelled():
        return QImage()
    image = _read(path, side)
    if image.isNull():
        return image
    if min(image.width(), image.height()) != side:
        image = image.scaled(
            side,
            side,
            Qt.AspectRatioMode.KeepAspectRatioByExpanding,
            Qt.TransformationMode.SmoothTransformation,
        )
    left, top = (image.width() - side) // 2, (image.height() - side) // 2
    square = on_white(image.copy(QRect(left, top, side, side)))
    _cache[key] = square
    while len(_cache) > _KEPT:
        _cache.popitem(last=False)
    return square


def _read(path: Path, side: int) -> QImage:
    prepare()
    # Shorter sides below `side`, as very long pictures have then, are enlarged again.
    return decode(str(path), QSize(_STRETCH * side, _STRETCH * side)).image


class ThumbStrip(QWidget):
    """A few pictures in a row, on the neutral grey. Signals: clicked()."""

    clicked = Signal()

    def __init__(self, background: Background) -> None:
        super().__init__()
        self._background = background
        self._count = 4
        self._dimmed = False
        self._paths: list[Path] = []
        self._images: list[QImage] = []
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip(self.tr("Show the pictures"))

    def _side(self) -> int:
        return theme.unit(8)

    def sizeHint(self) -> QSize:
        gap = theme.unit(0.5)
        return QSize(self._side() * self._count + gap * (self._count - 1), self._side())

    def set_count(self, count: int) -> None:
        """How many pictures there is room for."""
        if count != self._count:
            self._count = count
            self.updateGeometry()
            self.update()

    def set_dimmed(self, dimmed: bool) -> None:
        """Draw the pictures faintly: they are not in use."""
        if dimmed != self._dimmed:
            self._dimmed = dimmed
            self.update()

    def set_paths(self, paths: Sequence[Path]) -> None:
        """Show the first pictures of `paths`."""
        wanted = list(paths[:MOST])
        self._paths = wanted
        if not wanted:
            self._images = []
            self.update()
            return
        side = round(self._side() * self.devicePixelRatioF())
        self._background.run(
            self,
            ("thumbs", id(self)),
            lambda cancelled: [read_square(path, side, cancelled) for path in wanted],
            self._show,
        )

    def images(self) -> list[QImage]:
        """What is shown; null images stand for pictures that cannot be read."""
        return self._images

    def _show(self, images: object) -> None:
        if isinstance(images, list):
            self._images = images
            self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        event.accept()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        event.accept()
        if event.button() == Qt.MouseButton.LeftButton:
            self.clicked.emit()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setOpacity(0.35 if self._dimmed else 1.0)
        side, gap, radius = self._side(), theme.unit(0.5), theme.unit(0.6)
        colours = theme.colours()
        for index in range(self._count):
            box = QRectF(index * (side + gap), 0, side, side)
            shape = QPainterPath()
            shape.addRoundedRect(box, radius, radius)
            painter.setClipPath(shape)
            there = index < len(self._paths)
            painter.fillRect(box, QColor(colours.picture if there else colours.hover))
            if index < len(self._images):
                image = self._images[index]
                if image.isNull():
                    third = side / 3
                    icons.draw(
                        painter, "circle-alert", box.adjusted(third, third, -third, -third), "muted"
                    )
                else:
                    painter.drawImage(box, image)
        painter.end()
