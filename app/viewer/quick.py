"""A first look at a large JPEG: the small picture that cameras and phones put into its header.

Even a small version of 24 megapixels costs a tenth of a second to decode, as every bit of the file
has to be read; the embedded one takes a millisecond (Exif 2.3, 4.5.6: the second directory).
"""

from __future__ import annotations

from io import BytesIO

from PIL import ExifTags, Image, ImageOps
from PySide6.QtCore import QSize

from app.viewer import decode
from app.viewer.decode import Picture, to_qimage

# Smaller ones say too little; pictures that were cropped later may keep the one from before.
LEAST_EDGE = 120
_MOST_UNLIKE = 0.4
_EXIF_HEAD = b"Exif\0\0"


def first_look(path: str, box: QSize | None) -> Picture:
    """The embedded small picture, upright, else what `decode.decode` gives."""
    try:
        found = _embedded(path)
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
        width, height = image.size
        turned = exif.get(ExifTags.Base.Orientation, 1)
    cut = _cut_to(small.convert("RGB"), width / height)
    if cut is None:
        return None
    cut.getexif()[ExifTags.Base.Orientation] = turned
    upright = ImageOps.exif_transpose(cut)
    size = QSize(height, width) if turned in (5, 6, 7, 8) else QSize(width, height)
    return Picture(to_qimage(upright), size)


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
