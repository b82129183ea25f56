"""What a picture's bytes say of its colours and of how it lies, found without decoding it.

No image library is imported here: the window asks before it shows its first picture.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

# Enough for the metadata in front of the pixels of nearly all files.
_HEAD = 1 << 18
_TAIL = 1 << 16
JXL_STREAM, _JXL_BOX = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
_PNG = b"\x89PNG\r\n\x1a\n"
_XMP_TURN = re.compile(rb"tiff:Orientation(?:=[\"']|>)\s*([2-8])")
_EXIF_TURN = re.compile(
    rb"\x12\x01\x03\x00\x01\x00\x00\x00[\x02-\x08]\x00|\x01\x12\x00\x03\x00\x00\x00\x01\x00[\x02-\x08]"
)
_SRGB_CHROMA = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


@dataclass(frozen=True)
class Coding:
    """Colours by code points of ITU-T H.273: its primaries and its transfer function."""

    primaries: int
    transfer: int


@dataclass(frozen=True)
class Gamma:
    """A PNG's gAMA (of the file, times 100000) and cHRM (white, red, green, blue; x, y each)."""

    exponent: int
    chroma: tuple[int, ...]


def reads_alike(file: BinaryIO) -> bool:
    """Whether a plain reader of JPEG, PNG or WebP shows a file as training sees it.

    False for every other format, for a file that lacks its end, and for one whose metadata
    turns the picture or describes its colours in a way that only some readers obey.
    """
    start = file.read(_HEAD)
    if start.startswith(b"\xff\xd8"):
        return not _XMP_TURN.search(start) and _jpeg_ends(file, start)
    if start.startswith(_PNG):
        return _png_reads_alike(file, start)
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        length = file.seek(0, 2)
        if length < int.from_bytes(start[4:8], "little") + 8:
            return False
        has_metadata = start[12:16] == b"VP8X" and start[20] & 0x0C
        return not has_metadata or not _turned_at_end(file, start, length)
    return False


def is_jxl(start: bytes) -> bool:
    """Whether a file that begins so is a JPEG XL picture."""
    return start.startswith((JXL_STREAM, _JXL_BOX))


def coding_of(start: bytes) -> Coding | None:
    """The colours that a PNG's cICP chunk or an AVIF's or HEIC's nclx box declares."""
    if start.startswith(_PNG):
        for kind, data in _png_chunks(start):
            if kind == b"cICP" and len(data) == 4:
                return Coding(data[0], data[1])
        return None
    if start[4:8] != b"ftyp":
        return None
    at = start.find(b"colrnclx")
    if at < 0 or at + 12 > len(start):
        return None
    return Coding(*struct.unpack_from(">HH", start, at + 8))


def gamma_of(start: bytes) -> Gamma | None:
    """Gamma and chromaticities of a PNG whose colours nothing stronger describes, unless sRGB's."""
    if not start.startswith(_PNG):
        return None
    chunks = dict(_png_chunks(start))
    data = chunks.get(b"gAMA", b"")
    if len(data) != 4 or chunks.keys() & {b"cICP", b"iCCP", b"sRGB"}:
        return None
    exponent = int.from_bytes(data, "big")
    chroma = _SRGB_CHROMA
    if len(stored := chunks.get(b"cHRM", b"")) == 32:
        chroma = struct.unpack(">8I", stored)
    near = all(abs(a - b) <= 100 for a, b in zip(chroma, _SRGB_CHROMA, strict=True))
    # 45455 is how programs write sRGB itself (PNG, third edition, section 11.3.2.5).
    if not 10_000 <= exponent <= 1_000_000 or (near and abs(exponent - 45455) <= 500):
        return None
    return Gamma(exponent, chroma)


def _png_chunks(start: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and contents of the chunks in front of the pixels."""
    position = len(_PNG)
    while position + 8 <= len(start):
        length, kind = struct.unpack_from(">I4s", start, position)
        if kind == b"IDAT":
            return
        yield kind, start[position + 8 : position + 8 + length]
        position += 12 + length


def _png_reads_alike(file: BinaryIO, start: bytes) -> bool:
    for kind, data in _png_chunks(start):
        if kind in (b"cICP", b"eXIf") or data.startswith(b"Raw profile type"):
            return False
        if kind == b"iTXt" and data.startswith(b"XML:com.adobe.xmp"):
            return False
    if gamma_of(start) is not None:
        return False
    file.seek(max(0, file.seek(0, 2) - _TAIL))
    tail = file.read()
    return tail.rfind(b"IEND") >= 0 and b"eXIf" not in tail and b"iTXtXML:com.adobe" not in tail


def _jpeg_ends(file: BinaryIO, start: bytes) -> bool:
    """Whether a JPEG's end marker stands behind the begin of its pixels.

    A preview in its metadata has an end marker too; within the pixels there cannot be one.
    """
    position = 2
    while start[position : position + 1] == b"\xff" and start[position + 1] != 0xDA:
        if start[position + 1] == 0xFF:
            position += 1
            continue
        position += 2 + int.from_bytes(start[position + 2 : position + 4], "big")
        if position + 4 > len(start):
            file.seek(position)
            start = b"\0" * position + file.read(_HEAD)
            if position + 4 > len(start):
                return False
    if start[position : position + 2] != b"\xff\xda":
        return False
    file.seek(max(position, file.seek(0, 2) - _TAIL))
    return b"\xff\xd9" in file.read()


def _turned_at_end(file: BinaryIO, start: bytes, length: int) -> bool:
    file.seek(max(0, length - _HEAD))
    both = start + file.read()
    return bool(_EXIF_TURN.search(both) or _XMP_TURN.search(both))
