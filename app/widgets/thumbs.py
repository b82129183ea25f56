"""Small rounded pictures, decoded by path in the background at their final size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QImage,
    QImageReader,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from app import icons, theme
from app.background import Background
from app.thumbnails import has_end_of_jpeg, on_white

MOST = 4
_KEPT = 400
# Qt's own limit of 256 MB refuses pictures of more than 64 megapixels.
QImageReader.setAllocationLimit(1024)
_cache: OrderedDict[tuple[str, int, int], QImage] = OrderedDict()


def read_square(path: Path, side: int, cancelled: Callable[[], bool] = lambda: False) -> QImage:
    """The middle square of a picture, `side` pixels; a null image when it cannot be read.

    QImageReader by path lets go of the GIL while it decodes, and JPEG decodes at reduced size.
    """
    try:
        key = (str(path), path.stat().st_mtime_ns, side)
    except OSError:
        return QImage()
    if key in _cache:
        return _cache[key]
    if cancelled():
        return QImage()
    reader = QImageReader(str(path))
    reader.setAutoTransform(True)
    torn = bytes(reader.format().data()) == b"jpeg" and not has_end_of_jpeg(path)
    size = reader.size()
    if size.isValid() and min(size.width(), size.height()) > 0:
        shorter = min(size.width(), size.height())
        scale = side / shorter
        wanted = QSize(
            max(side, round(size.width() * scale)), max(side, round(size.height() * scale))
        )
        reader.setScaledSize(wanted)
    image = QImage() if torn else reader.read()
    if image.isNull():
        image = _read_with_pillow(path)
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


def _read_with_pillow(path: Path) -> QImage:
    """What Qt has no reader for (AVIF, HEIF), read the way training reads it."""
    from core.data.images import PictureError, load_picture

    try:
        picture = load_picture(path).convert("RGBA")
    except (PictureError, OSError):
        return QImage()
    width, height = picture.size
    data = picture.tobytes()
    return QImage(data, width, height, width * 4, QImage.Format.Format_RGBA8888).copy()


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
