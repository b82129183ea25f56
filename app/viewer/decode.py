"""Decoding a picture for the screen, in a worker thread, upright and in sRGB.

`QImageReader.read` on a path lets go of the interpreter's lock while it decodes and scales;
decoding from bytes keeps it for as long as the picture takes. What Qt has no reader for, or reads
otherwise than training does (CMYK, 16 bits, TIFF, a gamma, a turned PNG), goes the way of
`core.data.images`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QLoggingCategory, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QColorSpace,
    QColorTransform,
    QImage,
    QImageIOHandler,
    QImageReader,
    QPainter,
    QPixelFormat,
)

from core.data.signs import reads_alike

if TYPE_CHECKING:
    from PIL import Image

ALLOCATION_MB = 1024
# Decoded one at a time, so that several threads don't need several gigabytes.
LARGE_PIXELS = 40_000_000
_one_large_at_a_time = threading.Lock()

_QT_FORMATS = frozenset({b"jpeg", b"jpg", b"png", b"webp"})
_DEEP_OR_PRINT = frozenset(
    {
        QImage.Format.Format_CMYK8888,
        QImage.Format.Format_Grayscale16,
        QImage.Format.Format_RGBX64,
        QImage.Format.Format_RGBA64,
        QImage.Format.Format_RGBA64_Premultiplied,
    }
)
# Of 255; gamma 2.2 and sRGB's curve differ by that much in middle tones.
_ALIKE = 4
# As many as take a millisecond or two to convert.
_STRIP_PIXELS = 1 << 18

Version = tuple[int, int, int]


@dataclass(frozen=True)
class Picture:
    """A picture as it is drawn. A null `image` comes with the `problem` in one sentence.

    size: of the whole picture, upright, in pixels; `image` may be smaller, never larger. profile:
    the name of an embedded profile that is not sRGB. missing: the file is not there. version: of
    the file, as `version_of` tells it, just before it was read.
    """

    image: QImage
    size: QSize
    animated: bool = False
    profile: str = ""
    problem: str = ""
    missing: bool = False
    version: Version = (0, 0, 0)

    @property
    def is_whole(self) -> bool:
        """Whether every pixel of the file is there."""
        return self.image.size() == self.size

    @property
    def bytes(self) -> int:
        """Memory that the image takes."""
        return self.image.sizeInBytes()


def version_of(path: str) -> Version:
    """What tells a file from another one under its path; zeros where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0, 0
    return status.st_mtime_ns, status.st_size, status.st_ino


# Their lines name no file; what matters in them stands in `Picture.problem`.
_SILENT = "qt.gui.imageio*=false\nqt.gui.icc*=false\nqt.imageformats*=false"


def prepare() -> None:
    """Let Qt read pictures of more than 64 megapixels, and say nothing to the terminal about them.

    Without any limit a broken header could take all memory.
    """
    QLoggingCategory.setFilterRules(_SILENT)
    QImageReader.setAllocationLimit(max(ALLOCATION_MB, QImageReader.allocationLimit()))


def fitting(size: QSize, box: QSize) -> QSize:
    """`size` scaled down into `box`, its shape kept; never enlarged, no side below 1."""
    if size.width() <= box.width() and size.height() <= box.height():
        return QSize(size)
    result = size.scaled(box, Qt.AspectRatioMode.KeepAspectRatio)
    return result.expandedTo(QSize(1, 1))


def decode(path: str, box: QSize | None) -> Picture:
    """The picture scaled down into `box` (device pixels), or whole without one.

    Never raises: what is wrong stands in the result.
    """
    try:
        if not os.path.exists(path):
            return _problem("The file is not there any more.", missing=True)
        picture = _with_qt(path, box)
        return picture if picture is not None else _with_pillow(path, box)
    except MemoryError:
        return _problem("There is not enough memory to show the picture.")


def scales_while_decoding(path: str) -> bool:
    """Whether a small version of this file is much cheaper than the whole: JPEG alone."""
    return path.lower().endswith((".jpg", ".jpeg", ".jpe", ".jfif"))


def _problem(text: str, missing: bool = False) -> Picture:
    return Picture(QImage(), QSize(), problem=text, missing=missing)


def _with_qt(path: str, box: QSize | None) -> Picture | None:
    """None where Qt cannot read the file, or not as training does."""
    reader = QImageReader(path)
    reader.setDecideFormatFromContent(True)
    reader.setAutoTransform(True)
    kind = bytes(reader.format().data())
    stored = reader.size()
    if kind not in _QT_FORMATS or not stored.isValid() or stored.isEmpty():
        return None
    if reader.imageFormat() in _DEEP_OR_PRINT or not _reads_alike(path):
        return None
    turned = bool(reader.transformation() & QImageIOHandler.Transformation.TransformationRotate90)
    size = stored.transposed() if turned else stored
    animated = kind == b"webp" and reader.supportsAnimation() and reader.imageCount() > 1
    target = size if box is None else fitting(size, box)
    if target != size:
        reader.setScaledSize(target.transposed() if turned else target)
    large = stored.width() * stored.height() > LARGE_PIXELS
    with _one_large_at_a_time if large else contextlib.nullcontext():
        image = reader.read()
    if image.isNull():
        return None
    transform, profile = _way_to_srgb(image)
    if transform is None:
        return None
    return Picture(_drawable(image, transform), size, animated, profile)


def _reads_alike(path: str) -> bool:
    try:
        with open(path, "rb", buffering=0) as file:
            return reads_alike(file)
    except OSError:
        return False


def _way_to_srgb(image: QImage) -> tuple[QColorTransform | None, str]:
    """How the image's colours become sRGB, and its profile's name if that is another.

    None where Qt cannot do it as training does.
    """
    space = image.colorSpace()
    name = space.description() if space.isValid() else ""
    srgb = QColorSpace(QColorSpace.NamedColorSpace.SRgb)
    if not space.isValid() or space == srgb or (not name and _is_nearly_srgb(space)):
        return QColorTransform(), ""
    if "srgb" in name.lower():
        name = ""
    if space.transformModel() != QColorSpace.TransformModel.ThreeComponentMatrix:
        return None, name  # of profiles with tables Qt takes another one than lcms does
    if image.pixelFormat().colorModel() == QPixelFormat.ColorModel.Grayscale:
        return None, name
    return space.transformationToColorSpace(srgb), name


def _is_nearly_srgb(space: QColorSpace) -> bool:
    """Whether a space without a name is the one that Qt makes of a PNG's gamma chunk for sRGB."""
    if space.transformModel() != QColorSpace.TransformModel.ThreeComponentMatrix:
        return False
    way = space.transformationToColorSpace(QColorSpace(QColorSpace.NamedColorSpace.SRgb))
    for probe in ((200, 60, 128), (60, 200, 128), (128, 60, 200)):
        mapped = way.map(QColor(*probe))
        found = (mapped.red(), mapped.green(), mapped.blue())
        if max(abs(a - b) for a, b in zip(probe, found, strict=True)) > _ALIKE:
            return False
    return True


def _drawable(image: QImage, transform: QColorTransform) -> QImage:
    """In sRGB, and in the format that is drawn without another conversion at each paint."""
    alpha = image.hasAlphaChannel()
    plain = QImage.Format.Format_ARGB32 if alpha else QImage.Format.Format_RGB32
    wanted = QImage.Format.Format_ARGB32_Premultiplied if alpha else plain

    def convert(part: QImage) -> QImage:
        if not transform.isIdentity():
            part = part.convertToFormat(plain)
            part.applyColorTransform(transform)
        return part.convertToFormat(wanted)

    if transform.isIdentity() and image.format() == wanted:
        return image
    return _by_strips(image, wanted, convert)


def _by_strips(image: QImage, wanted: QImage.Format, convert: Callable[[QImage], QImage]) -> QImage:
    """The image converted a strip at a time: Qt keeps the interpreter's lock while it converts,
    and the window would wait for as long as the whole picture takes."""
    rows = max(1, _STRIP_PIXELS // max(1, image.width()))
    result = QImage(image.size(), wanted)
    if result.isNull():
        raise MemoryError
    painter = QPainter(result)
    painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Source)
    for top in range(0, image.height(), rows):
        height = min(rows, image.height() - top)
        painter.drawImage(0, top, convert(image.copy(0, top, image.width(), height)))
    painter.end()
    return result


def _with_pillow(path: str, box: QSize | None) -> Picture:
    from PIL import Image

    from core.data.images import PictureError, load_picture, picture_size

    try:
        full = QSize(*picture_size(Path(path)))
        target = full if box is None else fitting(full, box)
        picture = load_picture(Path(path), at_least=(target.width(), target.height()))
        if picture.size != (target.width(), target.height()):
            picture = picture.resize(
                (target.width(), target.height()), Image.Resampling.BICUBIC, reducing_gap=2.0
            )
        return Picture(to_qimage(picture), full, *_extras(path))
    except PictureError as error:
        return _problem(str(error), missing=not os.path.exists(path))


def _extras(path: str) -> tuple[bool, str]:
    """Whether the file is animated, and the name of its embedded profile unless it is sRGB."""
    from io import BytesIO

    from PIL import Image, ImageCms

    try:
        with Image.open(path) as image:
            animated = bool(getattr(image, "is_animated", False)) and image.format != "TIFF"
            data = image.info.get("icc_profile")
            name = ""
            if data:
                name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(data)))
    except Exception:
        # A courtesy beside the picture, which is there already; Pillow raises almost anything.
        return False, ""
    name = name.strip()
    return animated, "" if "srgb" in name.lower() else name


def to_qimage(picture: Image.Image) -> QImage:
    """A Pillow picture in RGB as a QImage, copied in strips so that the lock is held shortly."""
    width, height = picture.size
    result = QImage(width, height, QImage.Format.Format_RGB32)
    if result.isNull():
        raise MemoryError
    memory, line = result.bits(), result.bytesPerLine()
    # In memory Qt has blue, green, red.
    order = "BGRX" if sys.byteorder == "little" else "XRGB"
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        strip = picture.crop((0, top, width, bottom)).tobytes("raw", order)
        memory[top * line : bottom * line] = strip  # type: ignore[index]
    return result
