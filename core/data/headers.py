"""What a picture's first bytes tell: its size, and how it lies by its EXIF orientation."""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image

from core.data.signs import JXL_STREAM

_ORIENTATION = 0x0112
_EXIF_KEYWORD = b"Raw profile type exif"
_EXIF_PLACES = (_EXIF_KEYWORD.decode(), "XML:com.adobe.xmp", "xmp")
# Enough for the chunks in front of the pixels of nearly all files.
HEAD_BYTES = 4096
# Enough for an eXIf chunk with a thumbnail; reading more would slow scanning down.
_TAIL = 16384
_PNG_BEGIN = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"
# Bits and kind of colour that go together (PNG, third edition, section 11.2.1).
_PNG_COLOURS = {
    0: (1, 2, 4, 8, 16),
    2: (8, 16),
    3: (1, 2, 4, 8),
    4: (8, 16),
    6: (8, 16),
}
# Chunks in front of the pixels that say nothing of how the picture lies.
_PNG_PLAIN = frozenset(
    (b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"tIME", b"bKGD", b"sBIT", b"PLTE", b"tRNS")
)

# Width to height by code (ISO/IEC 18181-1, SizeHeader).
_JXL_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


class PictureError(Exception):
    """A picture cannot be used; the text is the reason in one sentence."""


def orientation_of(image: Image.Image, file: BinaryIO) -> int:
    """EXIF orientation 1..8; 1 where there is none or a wrong one."""
    if image.format == "TIFF":
        return 1  # Pillow turns TIFF pictures by itself, size included.
    if image.format == "JXL" and not getattr(image, "jpeg", False):
        return 1  # Its decoder turns it; only a JPEG inside is handed out as it lies.
    if image.format == "PNG":
        # PngImageFile.getexif would decode the pixels to find an eXIf chunk behind them.
        exif = image.info.get("exif") or _exif_behind_png(file)
        return _orientation_in(exif, image.info)
    return _orientation_in(image.info.get("exif"), image.info)


def _orientation_in(exif: bytes | None, info: dict) -> int:
    if exif is None and not any(key in info for key in _EXIF_PLACES):
        return 1
    holder = Image.Image()
    holder.info = {key: info[key] for key in _EXIF_PLACES if key in info}
    if exif is not None:
        holder.info["exif"] = exif
    try:
        value = holder.getexif().get(_ORIENTATION, 1)
    except Exception:
        # Broken metadata is no reason to refuse a picture.
        return 1
    return value if value in range(1, 9) else 1


def png_header(file: BinaryIO, start: bytes) -> tuple[tuple[int, int], int] | None:
    """Size and orientation of an ordinary PNG file that begins with `start`.

    None for every other file, and for one that may be damaged or have metadata in front of its
    pixels: Pillow knows all about those, but takes several times as long.
    """
    if not start.startswith(_PNG_BEGIN):
        return None
    width, height, bits, colour, *ways = struct.unpack_from(">IIBBBBB", start.ljust(33), 16)
    if bits not in _PNG_COLOURS.get(colour, ()) or ways[:2] != [0, 0] or ways[2] > 1:
        return None
    position = 8
    while (kind := start[position + 4 : position + 8]) != b"IDAT":
        end = position + 8 + int.from_bytes(start[position : position + 4], "big")
        known = kind in _PNG_PLAIN or position == 8
        if kind == b"tEXt":
            known = not start.startswith(_EXIF_KEYWORD, position + 8)
        checksum = start[end : end + 4]
        if not known or len(checksum) < 4:
            return None
        if int.from_bytes(checksum, "big") != zlib.crc32(start[position + 4 : end]):
            return None
        position = end + 4
    exif = _exif_behind_png(file)
    return (width, height), 1 if exif is None else _orientation_in(exif, {})


def _exif_behind_png(file: BinaryIO) -> bytes | None:
    """The eXIf chunk that some programs write behind the pixels, or None."""
    position = file.tell()
    file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
    tail = file.read(_TAIL)
    file.seek(position)
    at = tail.rfind(b"eXIf")
    if at < 4:
        return None
    length = int.from_bytes(tail[at - 4 : at], "big")
    checksum = tail[at + 4 + length : at + 8 + length]
    if int.from_bytes(checksum, "big") != zlib.crc32(tail[at : at + 4 + length]):
        return None
    return tail[at + 4 : at + 4 + length]


def is_webp(start: bytes) -> bool:
    """Whether a file that begins so is a WebP picture."""
    return start[:4] == b"RIFF" and start[8:12] == b"WEBP"


def check_webp_end(file: BinaryIO, start: bytes) -> int:
    """Where the file says that it ends. Raises PictureError when it ends before."""
    end = int.from_bytes(start[4:8], "little") + 8
    position = file.tell()
    length = file.seek(0, os.SEEK_END)
    file.seek(position)
    if length < end:
        raise PictureError("The file ends too early; its end is missing.")
    return end


def webp_header(file: BinaryIO, start: bytes) -> tuple[tuple[int, int], int]:
    """Size and orientation of a WebP file (RFC 9649) whose first 30 bytes are `start`."""
    end = check_webp_end(file, start)
    kind = start[12:16]
    if kind == b"VP8 " and start[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", start[26:30])
        return (width & 0x3FFF, height & 0x3FFF), 1
    if kind == b"VP8L" and start[20] == 0x2F:
        bits = int.from_bytes(start[21:25], "little")
        return ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1), 1
    if kind != b"VP8X":
        raise PictureError("The file is damaged; its header cannot be read.")
    size = (
        int.from_bytes(start[24:27], "little") + 1,
        int.from_bytes(start[27:30], "little") + 1,
    )
    has_exif, has_xmp = start[20] & 0x08, start[20] & 0x04
    return size, _webp_orientation(file, end) if has_exif or has_xmp else 1


def _webp_orientation(file: BinaryIO, end: int) -> int:
    found: dict[bytes, bytes] = {}
    position = 12
    while position + 8 <= end:
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            break
        length = int.from_bytes(head[4:8], "little")
        if head[:4] in (b"EXIF", b"XMP ") and position + 8 + length <= end:
            found[head[:4]] = file.read(length)
        position += 8 + length + (length & 1)
    info = {"xmp": found[b"XMP "]} if b"XMP " in found else {}
    return _orientation_in(found.get(b"EXIF"), info)


def jxl_size(start: bytes) -> tuple[int, int]:
    """Upright width and height of a JPEG XL picture that begins so (ISO/IEC 18181-1 and -2).

    Pillow's plugin would decode the whole picture to tell, however large that is. Raises
    PictureError when it does not tell.
    """
    at = 0 if start.startswith(JXL_STREAM) else _codestream(start)
    if at is None or start[at : at + 2] != JXL_STREAM or len(start) < at + 20:
        raise PictureError("The file is damaged; its header cannot be read.")
    bits = _Bits(int.from_bytes(start[at + 2 : at + 20], "little"))
    by_eight = bits.take(1)
    height = _jxl_side(bits, by_eight)
    if ratio := bits.take(3):
        across, down = _JXL_RATIOS[ratio - 1]
        width = height * across // down
    else:
        width = _jxl_side(bits, by_eight)
    has_more = not bits.take(1) and bits.take(1)
    turned = has_more and bits.take(3) >= 4
    return (height, width) if turned else (width, height)


def _jxl_side(bits: _Bits, by_eight: int) -> int:
    return 8 * (1 + bits.take(5)) if by_eight else 1 + bits.take((9, 13, 18, 30)[bits.take(2)])


def _codestream(start: bytes) -> int | None:
    """Where the codestream begins in a container, or its first part."""
    position = 0
    while position + 16 <= len(start):
        length, kind = struct.unpack_from(">I4s", start, position)
        head = 8
        if length == 1:
            length, head = int.from_bytes(start[position + 8 : position + 16], "big"), 16
        if kind in (b"jxlc", b"jxlp"):
            return position + head + (4 if kind == b"jxlp" else 0)
        if length < head:
            return None
        position += length
    return None


@dataclass
class _Bits:
    """Bits from the lowest upwards."""

    rest: int

    def take(self, count: int) -> int:
        value = self.rest & (1 << count) - 1
        self.rest >>= count
        return value
