"""Settings of the buckets: the shapes that pictures are trained in."""

from __future__ import annotations

from core.config.fields import Settings, setting
from core.words import tr

SHAPES = tr("Picture shapes")
_SHAPED = {"training.buckets.square": (False,)}


class Buckets(Settings):
    """Which shapes there are; all have about the area of the resolution."""

    square: bool = setting(
        False,
        title=tr("Squares only"),
        help=tr("Cut every picture to a square, instead of the bucket nearest to its own shape."),
        group=SHAPES,
    )
    step: int | None = setting(
        None,
        title=tr("Step of the sides"),
        help=tr(
            "Widths and heights are multiples of this. Small steps cut the least off; large ones, "
            "such as 64, give fewer shapes, so that more batches are full."
        ),
        unit="px",
        group=SHAPES,
        ge=1,
        le=512,
        empty=tr("as fine as the model takes"),
        when=_SHAPED,
    )
    smallest_side: int | None = setting(
        None,
        title=tr("Shortest side"),
        help=tr("No bucket has a side shorter than this; longer pictures are cut more."),
        unit="px",
        group=SHAPES,
        ge=8,
        le=4096,
        empty=tr("a quarter of the longest"),
        when=_SHAPED,
    )
    largest_side: int | None = setting(
        None,
        title=tr("Longest side"),
        help=tr("No bucket has a side longer than this; longer pictures are cut more."),
        unit="px",
        group=SHAPES,
        ge=8,
        le=16384,
        empty=tr("four times the shortest"),
        when=_SHAPED,
    )
