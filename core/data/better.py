"""Which of several copies of a picture to keep, and why."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

Why = Literal["larger", "lossless", "less_compressed", "older", "sharper", "first"]
_RULES: tuple[Why, ...] = get_args(Why)
_HEAD = 4096
_MADE_FROM = 0.1  # mean difference of 255: decoders of JPEG differ by less, its losses are more


@dataclass(frozen=True)
class Copy:
    """One of the copies. size: upright, in pixels. kind: of its file, by its first bytes.

    lossless: whether its file keeps every pixel as it was. bytes: of the file. modified: in
    seconds, as os.stat tells it.
    """

    path: Path
    size: tuple[int, int]
    sharpness: float = 0.0
    kind: str = ""
    lossless: bool = False
    bytes: int = 0
    modified: float = math.inf


def copy_of(path: Path, size: tuple[int, int], sharpness: float) -> Copy:
    """A copy, with what its file tells; of a file that is gone, the least."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            kind, lossless = _storage(file.read(_HEAD))
    except OSError:
        return Copy(path, size, sharpness)
    return Copy(path, size, sharpness, kind, lossless, status.st_size, status.st_mtime)


def best_of(copies: Sequence[Copy]) -> tuple[int, Why]:
    """The index of the copy to keep, as a suggestion, and in what it is better than the others.

    Most pixels, then without loss, then least compressed (where all are of one kind), then
    oldest, then sharpest, then first. Noise of compression measures as sharpness, so that speaks
    late. A lossless copy of a lossy one, which has its very pixels, is not better than that.
    """
    copies = _honest(copies)
    top = max(copy.size[0] * copy.size[1] for copy in copies)
    kinds = {copy.kind for copy in copies if copy.size[0] * copy.size[1] == top}

    def rank(index: int) -> tuple[float, ...]:
        copy = copies[index]
        weight = copy.bytes if len(kinds) == 1 and not copy.lossless else 0
        pixels = copy.size[0] * copy.size[1]
        return pixels, copy.lossless, weight, -copy.modified, copy.sharpness, -index

    first, second = sorted(range(len(copies)), key=rank, reverse=True)[:2]
    ranks = zip(rank(first), rank(second), strict=True)
    return first, next(why for why, (a, b) in zip(_RULES, ranks, strict=True) if a != b)


def _honest(copies: Sequence[Copy]) -> list[Copy]:
    """The copies, lossless ones that were made from lossy ones counted as those."""
    lossy = [copy for copy in copies if not copy.lossless and copy.bytes]
    result = []
    for copy in copies:
        if copy.lossless:
            origin = next((o for o in lossy if o.size == copy.size and _same_pixels(o, copy)), None)
            if origin is not None:
                copy = replace(copy, lossless=False, kind=origin.kind, bytes=origin.bytes)
        result.append(copy)
    return result


def _same_pixels(first: Copy, second: Copy) -> bool:
    import numpy as np
    from PIL import ImageChops

    from core.data.images import PictureError, load_picture

    try:
        difference = ImageChops.difference(load_picture(first.path), load_picture(second.path))
    except (PictureError, ValueError):
        return False
    return float(np.asarray(difference).mean()) <= _MADE_FROM


def _storage(start: bytes) -> tuple[str, bool]:
    """The kind of a file that begins so, and whether it keeps every pixel."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp", _is_lossless_webp(start)
    if start.startswith((b"II*\0", b"MM\0*")):
        return "tiff", True
    if start.startswith(b"\x89PNG"):
        return "png", True
    if start.startswith(b"BM"):
        return "bmp", True
    if start.startswith(b"\xff\xd8"):
        return "jpeg", False
    return start[4:12].decode("latin-1"), False


def _is_lossless_webp(start: bytes) -> bool:
    """Whether the first image chunk is VP8L (RFC 9649, section 2.6 and 2.7)."""
    position = 12
    while position + 8 <= len(start):
        kind = start[position : position + 4]
        if kind in (b"VP8L", b"VP8 ", b"ANMF"):
            return kind == b"VP8L"
        length = int.from_bytes(start[position + 4 : position + 8], "little")
        position += 8 + length + (length & 1)
    return False
