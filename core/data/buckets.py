"""Aspect-ratio buckets: picture sizes of equal area, and where a picture comes to lie in one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.config.buckets import Buckets
from core.config.concepts import Concept
from core.data.types import Bucket, Placement

MAX_ASPECT = 4.0
# Shapes whose aspect ratios differ by less than this much are as good as one: a picture between
# two of them loses at most half of it, and batches fill better.
_LEAST_RATIO = 1.03
# Pictures that keep their own size are enlarged to at least this side.
_LEAST_SIDE = 64


@dataclass(frozen=True)
class Shapes:
    """Which buckets there may be, in pixels.

    step: of their sides. smallest, largest: limits of a side, None for none but the greatest
    aspect ratio. square: no other shape. own_size: a picture smaller than its bucket gets one of
    its own size instead of being enlarged.
    """

    step: int = 8
    smallest: int | None = None
    largest: int | None = None
    square: bool = False
    own_size: bool = False

    def buckets(self, resolution: int) -> list[Bucket]:
        """The buckets of about resolution x resolution pixels, see `make_buckets`."""
        widest = 1.0 if self.square else MAX_ASPECT
        square, *rest = make_buckets(resolution, self.step, widest)
        low, high = self.smallest or 0, self.largest or math.inf
        kept = [b for b in rest if low <= min(b.width, b.height) and max(b.width, b.height) <= high]
        return [square, *kept]

    def place(
        self,
        size: tuple[int, int],
        buckets: Sequence[Bucket],
        focus: tuple[float, float] | None = None,
    ) -> Placement:
        """How a picture of `size` is brought into one of the buckets, see `place`."""
        placement = place(size, buckets, focus)
        if not (self.own_size and placement.upscaled):
            return placement
        return place(size, [self._own(size, placement.bucket)], focus)

    def _own(self, size: tuple[int, int], bucket: Bucket) -> Bucket:
        """The largest bucket of about the shape of `bucket` that covers no more than `size`."""
        least = max(self.step, min(_LEAST_SIDE, bucket.width, bucket.height))
        if self.square:
            side = max(least, min(size) // self.step * self.step)
            return Bucket(side, side)
        # Neither longer than the widest aspect ratio nor than what the picture would have had.
        width = min(size[0], MAX_ASPECT * size[1], bucket.width)
        height = min(size[1], MAX_ASPECT * size[0], bucket.height)
        sides = (max(least, int(side) // self.step * self.step) for side in (width, height))
        return Bucket(*sides)


def shapes_of(settings: Buckets, model_step: int, concept: Concept | None = None) -> Shapes:
    """The shapes that the settings ask for; sides are always multiples of `model_step` pixels."""
    own_size = concept is not None and concept.small == "own_size"
    if settings.square:
        return Shapes(model_step, square=True, own_size=own_size)
    step = math.lcm(settings.step or model_step, model_step)
    return Shapes(step, settings.smallest_side, settings.largest_side, own_size=own_size)


def nearest_multiple(value: float, step: int) -> int:
    """The multiple of `step` nearest to `value`, at least one step; halves go up."""
    return max(1, math.floor(value / step + 0.5)) * step


def make_buckets(resolution: int, step: int, max_aspect: float = MAX_ASPECT) -> list[Bucket]:
    """Buckets of about resolution x resolution pixels, square first, then wider ones with each
    one's upright twin.

    Both sides are multiples of `step`; a resolution that is not is taken as the nearest one that
    is. For every short side there is one bucket, whose long side brings the area nearest to the
    square's: with steps of 8 at 512 pixels a picture loses 1.2 % on average.
    """
    if resolution < 1 or step < 1 or max_aspect < 1:
        raise ValueError(f"no buckets for {resolution=}, {step=}, {max_aspect=}")
    side = nearest_multiple(resolution, step)
    buckets = [Bucket(side, side)]
    last = 1.0
    for short in range(side - step, 0, -step):
        long = nearest_multiple(side * side / short, step)
        if long > max_aspect * short:
            break
        if long / short >= _LEAST_RATIO * last:
            last = long / short
            buckets += [Bucket(long, short), Bucket(short, long)]
    return buckets


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
