"""Aspect-ratio buckets: picture sizes of equal area, and where a picture comes to lie in one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from core.data.types import Bucket, Placement

# The shapes that cameras and screens make, so that most pictures lose nothing.
_ASPECTS = (1.0, 5 / 4, 4 / 3, 3 / 2, 16 / 9, 2.0, 2.4, 3.0, 4.0)
MAX_ASPECT = 4.0


def nearest_multiple(value: float, step: int) -> int:
    """The multiple of `step` nearest to `value`, at least one step; halves go up."""
    return max(1, math.floor(value / step + 0.5)) * step


def make_buckets(resolution: int, step: int, max_aspect: float = MAX_ASPECT) -> list[Bucket]:
    """Buckets of about resolution x resolution pixels, square first, then wider ones with each
    one's upright twin.

    Both sides are multiples of `step`; a resolution that is not is taken as the nearest one that
    is. The long side is the multiple that brings the area nearest to the square's.
    """
    if resolution < 1 or step < 1 or max_aspect < 1:
        raise ValueError(f"no buckets for {resolution=}, {step=}, {max_aspect=}")
    side = nearest_multiple(resolution, step)
    buckets: dict[Bucket, None] = {Bucket(side, side): None}
    for aspect in _ASPECTS:
        if aspect > max_aspect:
            break
        short = nearest_multiple(side / math.sqrt(aspect), step)
        long = nearest_multiple(side * side / short, step)
        if long > max_aspect * short:
            continue
        buckets[Bucket(long, short)] = None
        buckets[Bucket(short, long)] = None
    return list(buckets)


def place(
    size: tuple[int, int],
    buckets: Sequence[Bucket],
    focus: tuple[float, float] | None = None,
) -> Placement:
    """How a picture of `size` (width, height) is brought into the bucket nearest to its shape.

    Nearest by the ratio of aspect ratios; the first bucket wins a tie. The picture is scaled
    until it just covers the bucket, keeping its shape to within a pixel. focus: the point (x, y),
    0..1 of the picture, that comes as near to the middle of the cut as the picture allows; the
    picture's own middle without it.
    """
    width, height = size
    if width < 1 or height < 1:
        raise ValueError(f"a picture of {width}x{height} cannot be placed")
    log_aspect = math.log(width) - math.log(height)
    bucket = min(buckets, key=lambda b: abs(math.log(b.width / b.height) - log_aspect))
    scale = max(bucket.width / width, bucket.height / height)
    resized = (
        max(bucket.width, math.floor(width * scale + 0.5)),
        max(bucket.height, math.floor(height * scale + 0.5)),
    )
    crop = (
        _offset(resized[0], bucket.width, None if focus is None else focus[0]),
        _offset(resized[1], bucket.height, None if focus is None else focus[1]),
    )
    return Placement(bucket=bucket, resized=resized, crop=crop, upscaled=scale > 1)


def _offset(whole: int, part: int, focus: float | None) -> int:
    """Where a cut of `part` pixels begins along a side of `whole` pixels."""
    room = whole - part
    if focus is None:
        return room // 2
    return min(max(math.floor(focus * whole - part / 2 + 0.5), 0), room)
