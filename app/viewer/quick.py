"""A first look at a large JPEG: the small picture that cameras and phones put into its header, or
the thumbnail that was made of it before.

Even a small version of 24 megapixels costs a tenth of a second to decode, as every bit of the file
has to be read; the embedded one takes a millisecond (Exif 2.3, 4.5.6: the second directory).
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from PIL import ExifTags, Image, ImageOps
from PySide6.QtCore import QSize

from app.thumbnails import kept_thumbnail
from app.viewer import decode
from app.viewer.decode import Picture, to_qimage

# Smaller ones say too little; pictures that were cropped later may keep the one from before.
LEAST_EDGE = 120
_MOST_UNLIKE = 0.4
_EXIF_HEAD = b"Exif\0\0"


def first_look(path: str, box: QSize | None) -> Picture:
    """A thumbnail or the embedded small picture, upright, else what `decode.decode` gives."""
    try:
        found = _thumbnail(path) or _embedded(path)
    except Exception:
        # Pillow raises almost anything for a damaged header; decoding tells what is wrong.
        found = None
    return found if found is not None else decode.decode(path, box)


def _embedded(path: str) -> Picture | None:
    with Image.open(path) as image:
        if image.format != "JPEG":
            return None
        exif = image.getexif()
        small = _small_of(image.info.get("exif", b""), exif)
        if small is None:
            return None
        size, aspect = _upright_size(image), image.width / image.height
        turned = exif.get(ExifTags.Base.Orientation, 1)
    cut = _cut_to(small.convert("RGB"), aspect)
    if cut is None:
        return None
    cut.getexif()[ExifTags.Base.Orientation] = turned
    return Picture(to_qimage(ImageOps.exif_transpose(cut)), size)


def _thumbnail(path: str) -> Picture | None:
    thumbnail = kept_thumbnail(Path(path))
    if thumbnail.isNull():
        return None
    with Image.open(path) as image:
        return Picture(thumbnail, _upright_size(image))


def _upright_size(image: Image.Image) -> QSize:
    turned = image.getexif().get(ExifTags.Base.Orientation, 1)
    return QSize(*(reversed(image.size) if turned in (5, 6, 7, 8) else image.size))


def _small_of(block: bytes, exif: Image.Exif) -> Image.Image | None:
    """The picture that the second directory points to."""
    directory = exif.get_ifd(ExifTags.IFD.IFD1)
    start = directory.get(ExifTags.Base.JpegIFOffset)
    length = directory.get(ExifTags.Base.JpegIFByteCount)
    if not start or not length or not block.startswith(_EXIF_HEAD):
        return None
    data = block[len(_EXIF_HEAD) + start :][:length]
    if not data.endswith(b"\xff\xd9"):
        return None
    small = Image.open(BytesIO(data), formats=["JPEG"])
    small.load()
    return small if max(small.size) >= LEAST_EDGE else None


def _cut_to(small: Image.Image, aspect: float) -> Image.Image | None:
    """Without the black bars that fill other shapes up to 4:3; None for another picture's shape."""
    width, height = small.size
    if abs(width / height / aspect - 1) > _MOST_UNLIKE:
        return None
    if width / height > aspect:
        inner = max(1, round(height * aspect))
        return small.crop(((width - inner) // 2, 0, (width - inner) // 2 + inner, height))
    inner = max(1, round(width / aspect))
    return small.crop((0, (height - inner) // 2, width, (height - inner) // 2 + inner))
