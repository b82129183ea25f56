"""Buckets have equal area in the step; pictures go to the nearest shape and are just covered."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config.buckets import Buckets
from core.config.concepts import Concept
from core.data.buckets import MAX_ASPECT, Shapes, make_buckets, place, shapes_of
from core.data.types import Bucket

RESOLUTIONS = st.integers(64, 2048)
STEPS = st.sampled_from([4, 8, 16, 32, 64])
SIDES = st.one_of(st.integers(1, 64), st.integers(1, 20_000))


@given(RESOLUTIONS, STEPS)
def test_sides_are_multiples_and_areas_equal(resolution: int, step: int) -> None:
    buckets = make_buckets(resolution, step)
    square = buckets[0]
    assert square.width == square.height
    assert abs(square.width - resolution) <= step / 2
    for bucket in buckets:
        assert bucket.width % step == 0 and bucket.height % step == 0
        short, long = sorted((bucket.width, bucket.height))
        assert long <= MAX_ASPECT * short
        assert abs(short * long - square.width**2) <= short * step / 2
        assert Bucket(bucket.height, bucket.width) in buckets
    assert len(set(buckets)) == len(buckets)


def test_the_resolution_is_taken_to_the_nearest_multiple() -> None:
    assert make_buckets(500, 64)[0] == Bucket(512, 512)
    assert make_buckets(60, 8)[0] == Bucket(64, 64)
    assert make_buckets(2, 8)[0] == Bucket(8, 8)


@pytest.mark.parametrize("step", [4, 8])
def test_small_resolutions_have_several_shapes(step: int) -> None:
    buckets = make_buckets(64, step)
    assert buckets[0] == Bucket(64, 64)
    assert len(buckets) >= 9
    assert Bucket(128, 32) in buckets and Bucket(32, 128) in buckets


def test_no_more_than_the_widest_aspect() -> None:
    assert make_buckets(512, 8, max_aspect=1) == [Bucket(512, 512)]
    for bucket in make_buckets(512, 64, max_aspect=2):
        assert max(bucket.width / bucket.height, bucket.height / bucket.width) <= 2


@pytest.mark.parametrize("arguments", [(0, 8), (64, 0), (64, 8, 0.5)])
def test_senseless_arguments_are_refused(arguments: tuple) -> None:
    with pytest.raises(ValueError):
        make_buckets(*arguments)


@given(st.tuples(SIDES, SIDES), RESOLUTIONS, STEPS)
def test_placement_covers_the_bucket_and_no_more(
    size: tuple[int, int], resolution: int, step: int
) -> None:
    buckets = make_buckets(resolution, step)
    placement = place(size, buckets)
    bucket, (width, height) = placement.bucket, placement.resized
    assert width >= bucket.width and height >= bucket.height
    # One side fits to the pixel.
    assert width == bucket.width or height == bucket.height
    # The shape is kept to within half a pixel of rounding.
    scale = max(bucket.width / size[0], bucket.height / size[1])
    assert abs(width - size[0] * scale) <= 0.51 and abs(height - size[1] * scale) <= 0.51
    left, top = placement.crop
    assert abs(2 * left + bucket.width - width) <= 1
    assert abs(2 * top + bucket.height - height) <= 1
    assert placement.upscaled == (size[0] < bucket.width or size[1] < bucket.height)
    distances = [
        abs(math.log(size[0] / size[1]) - math.log(other.width / other.height)) for other in buckets
    ]
    chosen = abs(math.log(size[0] / size[1]) - math.log(bucket.width / bucket.height))
    assert chosen <= min(distances) + 1e-9


@given(st.tuples(SIDES, SIDES), RESOLUTIONS, STEPS, st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_the_cut_lies_around_the_focus_as_far_as_the_picture_allows(
    size: tuple[int, int], resolution: int, step: int, focus: tuple[float, float]
) -> None:
    buckets = make_buckets(resolution, step)
    plain, placement = place(size, buckets), place(size, buckets, focus)
    assert (placement.bucket, placement.resized) == (plain.bucket, plain.resized)
    bucket = placement.bucket
    sides = zip(
        placement.crop, placement.resized, (bucket.width, bucket.height), focus, strict=True
    )
    for start, whole, part, point in sides:
        assert 0 <= start <= whole - part
        off = start + part / 2 - point * whole
        # Beside the focus only where the picture ends.
        assert abs(off) <= 0.5 or (off > 0 and start == 0) or (off < 0 and start == whole - part)


def test_focus_moves_the_cut_of_a_wide_picture() -> None:
    buckets = [Bucket(64, 64)]
    assert place((256, 64), buckets).crop == (96, 0)
    assert place((256, 64), buckets, (0.5, 0.5)).crop == (96, 0)
    assert place((256, 64), buckets, (0.0, 1.0)).crop == (0, 0)
    assert place((256, 64), buckets, (0.25, 0.0)).crop == (32, 0)
    assert place((64, 256), buckets, (0.9, 0.75)).crop == (0, 160)


def test_a_picture_of_the_buckets_size_is_left_alone() -> None:
    for bucket in make_buckets(512, 8):
        placement = place((bucket.width, bucket.height), make_buckets(512, 8))
        assert placement.bucket == bucket
        assert placement.resized == (bucket.width, bucket.height)
        assert placement.crop == (0, 0) and not placement.upscaled


def test_nearness_is_a_matter_of_ratios() -> None:
    buckets = [Bucket(64, 64), Bucket(128, 32)]
    # 2:1 is as far from 1:1 as from 4:1, although the numbers are 1 and 2 apart.
    assert place((1990, 1000), buckets).bucket == Bucket(64, 64)
    assert place((2010, 1000), buckets).bucket == Bucket(128, 32)
    assert place((1000, 1990), [Bucket(64, 64), Bucket(32, 128)]).bucket == Bucket(64, 64)


@pytest.mark.parametrize(
    ("size", "bucket"),
    [
        ((1, 10_000), Bucket(256, 1024)),
        ((10_000, 1), Bucket(1024, 256)),
        ((1, 1), Bucket(512, 512)),
    ],
)
def test_extreme_shapes(size: tuple[int, int], bucket: Bucket) -> None:
    placement = place(size, make_buckets(512, 8))
    assert placement.bucket == bucket and placement.upscaled


@pytest.mark.parametrize(
    "size", [(4000, 3000), (6000, 4000), (1920, 1080), (1280, 1024), (1000, 800)]
)
def test_common_photographs_lose_little(size: tuple[int, int]) -> None:
    placement = place(size, make_buckets(512, 8))
    bucket, (width, height) = placement.bucket, placement.resized
    assert bucket.width * bucket.height / (width * height) > 0.97


def cut_off(size: tuple[int, int], buckets: list[Bucket]) -> float:
    """The share of a picture that its bucket cuts off, by the ratios alone."""
    ratio = size[0] / size[1]
    shapes = [b.width / b.height for b in buckets]
    shape = min(shapes, key=lambda s: abs(math.log(s / ratio)))
    return 1 - min(shape, ratio) / max(shape, ratio)


@pytest.mark.parametrize(
    ("resolution", "mean", "worst"), [(512, 1.5, 4), (768, 1.5, 4), (256, 2.5, 6)]
)
def test_little_is_cut_off_whatever_the_shape(resolution: int, mean: float, worst: float) -> None:
    """Shapes from 1:3 to 3:1, as often as each other; old steps of 64 lose 7 % at 512."""
    buckets = make_buckets(resolution, 8)
    sizes = [(round(2000 * 3 ** (n / 500)), 2000) for n in range(-500, 501)]
    lost = [100 * cut_off(size, buckets) for size in sizes]
    assert sum(lost) / len(lost) < mean and max(lost) < worst
    for size, share in zip(sizes[::50], lost[::50], strict=True):
        placement = place(size, buckets)
        bucket, (width, height) = placement.bucket, placement.resized
        made = 100 * (1 - bucket.width * bucket.height / (width * height))
        assert made == pytest.approx(share, abs=0.3)


@pytest.mark.parametrize("resolution", [256, 512, 768, 1024])
def test_every_bucket_has_the_area_of_the_resolution(resolution: int) -> None:
    areas = [b.width * b.height / resolution**2 for b in make_buckets(resolution, 8)]
    assert all(abs(area - 1) < 0.02 for area in areas)
    assert abs(sum(areas) / len(areas) - 1) < 0.005


def test_the_settings_bound_the_shapes() -> None:
    fine = shapes_of(Buckets(), 8)
    assert len(fine.buckets(512)) == 65
    coarse = shapes_of(Buckets(step=64), 8).buckets(512)
    assert len(coarse) == 9 and all(b.width % 64 == b.height % 64 == 0 for b in coarse)
    # A model's own step always holds.
    assert shapes_of(Buckets(step=12), 8).step == 24
    bounded = shapes_of(Buckets(smallest_side=384, largest_side=640), 8).buckets(512)
    assert min(min(b.width, b.height) for b in bounded) >= 384
    assert max(max(b.width, b.height) for b in bounded) <= 640 and len(bounded) > 9
    squares = shapes_of(Buckets(square=True, step=64), 8)
    assert squares.buckets(500) == [Bucket(504, 504)]


def test_pictures_keep_their_size_where_that_is_wished() -> None:
    shapes = shapes_of(Buckets(), 8, Concept(small="own_size"))
    assert shapes == Shapes(8, own_size=True)
    buckets = shapes.buckets(512)
    small = shapes.place((301, 205), buckets)
    assert (small.bucket, small.resized, small.upscaled) == (Bucket(296, 200), (296, 202), False)
    large = shapes.place((1024, 1024), buckets)
    assert large.bucket == Bucket(512, 512)
    # Long but low: no larger than the bucket, and not upscaled either.
    long = shapes.place((2000, 200), buckets)
    assert long.bucket == Bucket(800, 200) and not long.upscaled
    # A thumbnail is enlarged all the same: the network needs something to see.
    tiny = shapes.place((40, 30), buckets)
    assert tiny.bucket == Bucket(64, 64) and tiny.upscaled
    square = shapes_of(Buckets(square=True), 8, Concept(small="own_size"))
    assert square.place((301, 205), square.buckets(512)).bucket == Bucket(200, 200)


@given(st.tuples(st.integers(64, 4000), st.integers(64, 4000)), RESOLUTIONS, STEPS)
def test_a_picture_that_keeps_its_size_is_never_enlarged(
    size: tuple[int, int], resolution: int, step: int
) -> None:
    shapes = Shapes(step, own_size=True)
    placement = shapes.place(size, shapes.buckets(resolution))
    bucket = placement.bucket
    assert bucket.width % step == 0 and bucket.height % step == 0
    assert bucket.width <= size[0] and bucket.height <= size[1] and not placement.upscaled
