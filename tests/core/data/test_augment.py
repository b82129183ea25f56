"""Changes to pictures: drawn from the seed alone, within the picture, and as sharp as can be."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from core.config.concepts import ImageAugmentation
from core.data.augment import (
    Variation,
    change,
    draw,
    makes_changes,
    outline,
    unchanged,
    vary,
    version_seed,
    versions,
)
from core.data.buckets import make_buckets, place
from core.data.images import to_pixels
from core.data.types import Bucket, Placement

SIZES = [(64, 64), (200, 90), (70, 150), (33, 47), (640, 480), (1, 1), (3, 900)]
EVERYTHING = ImageAugmentation(
    flip=0.5,
    crop_jitter=0.5,
    scale=0.5,
    rotation=0.5,
    rotation_most=180,
    brightness=0.5,
    contrast=0.5,
    saturation=0.5,
    hue=0.5,
    blur=0.5,
    grayscale=0.5,
)


def placed(width: int, height: int, resolution: int = 64) -> Placement:
    return place((width, height), make_buckets(resolution, 8))


def picture(array: Callable[..., np.ndarray], width: int, height: int) -> Image.Image:
    return Image.fromarray(array(width, height, seed=width + height))


@pytest.mark.parametrize("size", SIZES)
def test_without_chances_nothing_changes(size, picture_array) -> None:
    image, placement = picture(picture_array, *size), placed(*size)
    mask = image.getchannel(0)
    pixels, cut_mask = vary(image, mask, placement, ImageAugmentation(), 7)
    assert np.array_equal(pixels, to_pixels(image, placement))
    assert cut_mask is not None and cut_mask.shape == pixels.shape[:2]
    assert np.abs(cut_mask.astype(int) - pixels[..., 0]).mean() < 10
    assert draw(placement, ImageAugmentation(), 7) == unchanged(placement)
    assert vary(image, None, placement, ImageAugmentation(), 7)[1] is None


def test_only_the_seed_decides(picture_array) -> None:
    image, placement = picture(picture_array, 200, 90), placed(200, 90)
    draws = [draw(placement, EVERYTHING, 3, number) for number in range(50)]
    assert draws == [draw(placement, EVERYTHING, 3, number) for number in range(50)]
    assert len(set(draws)) > 45
    first = vary(image, None, placement, EVERYTHING, 3, 11)[0]
    assert np.array_equal(first, vary(image, None, placement, EVERYTHING, 3, 11)[0])


def test_one_change_more_leaves_the_others_as_they_were() -> None:
    placement = placed(200, 90)
    some = ImageAugmentation(flip=0.5, brightness=0.5)
    more = ImageAugmentation(flip=0.5, brightness=0.5, hue=0.7, crop_jitter=1)
    for number in range(100):
        a, b = draw(placement, some, number), draw(placement, more, number)
        assert (a.flip, a.brightness) == (b.flip, b.brightness)


@pytest.mark.parametrize("name", ["flip", "hue", "rotation", "scale", "grayscale", "blur"])
def test_changes_come_at_their_chance(name: str) -> None:
    placement = placed(200, 90)
    chance = ImageAugmentation(**{name: 0.3})
    plain = unchanged(placement)
    changed = sum(draw(placement, chance, number) != plain for number in range(2000))
    # Five standard deviations of the binomial distribution.
    assert abs(changed - 600) < 5 * math.sqrt(2000 * 0.3 * 0.7)


def test_ranges_are_used_whole_and_never_left() -> None:
    placement = placed(200, 200)
    always = EVERYTHING.model_copy(
        update=dict.fromkeys(("brightness", "hue", "rotation", "blur", "scale"), 1.0)
        | {"rotation_most": 5.0}
    )
    draws = [draw(placement, always, number) for number in range(500)]
    for values, low, high in (
        ([d.brightness for d in draws], 0.9, 1.1),
        ([d.hue for d in draws], -10, 10),
        ([d.angle for d in draws], -5, 5),
        ([d.blur for d in draws], 0, 1),
    ):
        assert low <= min(values) < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < max(values) <= high


def test_mirrored_is_the_mirror_image(picture_array) -> None:
    image, placement = picture(picture_array, 200, 90), placed(200, 90)
    mask = Image.fromarray(picture_array(50, 20, seed=3, channels=1)[..., 0])
    plain, plain_mask = vary(image, mask, placement, ImageAugmentation(), 1)
    flipped, flipped_mask = vary(image, mask, placement, ImageAugmentation(flip=1), 1)
    assert np.array_equal(flipped, plain[:, ::-1])
    assert np.array_equal(flipped_mask, plain_mask[:, ::-1])


def test_moved_crop_is_another_rectangle_of_the_same_picture(picture_array) -> None:
    placement = Placement(Bucket(64, 64), (200, 80), (100, 3), False)
    image = picture(picture_array, 400, 160)
    lefts, tops = set(), set()
    for number in range(400):
        found = draw(placement, ImageAugmentation(crop_jitter=1), number)
        left, top = (int(c - 32) for c in found.centre)
        assert (left, top) == tuple(c - 32 for c in found.centre)
        lefts.add(left)
        tops.add(top)
        if number < 5:
            moved = Placement(placement.bucket, placement.resized, (left, top), False)
            assert np.array_equal(change(image, None, placement, found)[0], to_pixels(image, moved))
    assert min(lefts) <= 2 and max(lefts) >= 134 and max(lefts) <= 136
    assert tops == set(range(17))


def test_crop_moves_no_further_than_its_reach() -> None:
    placement = Placement(Bucket(64, 64), (264, 64), (100, 0), False)
    draws = [
        draw(placement, ImageAugmentation(crop_jitter=1, crop_jitter_reach=0.25), number)
        for number in range(300)
    ]
    lefts = [d.centre[0] - 32 for d in draws]
    assert 75 <= min(lefts) < 77 and 123 < max(lefts) <= 125


def test_zoom_shows_a_part_of_the_crop(picture_array) -> None:
    placement = placed(640, 480)
    image = picture(picture_array, 640, 480)
    setting = ImageAugmentation(scale=1, scale_most=2)
    for number in range(20):
        found = draw(placement, setting, number)
        corners = outline(placement, found)
        left, top = corners[0]
        right, bottom = corners[2]
        assert placement.crop[0] - 1e-6 <= left
        assert right <= placement.crop[0] + placement.bucket.width + 1e-6
        assert placement.crop[1] - 1e-6 <= top
        assert bottom <= placement.crop[1] + placement.bucket.height + 1e-6
        assert (right - left) * found.zoom == pytest.approx(placement.bucket.width)
        x, y = 640 / placement.resized[0], 480 / placement.resized[1]
        box = (left * x, top * y, right * x, bottom * y)
        size = (placement.bucket.width, placement.bucket.height)
        wanted = image.resize(size, Image.Resampling.LANCZOS, box=box)
        got = change(image, None, placement, found)[0]
        # Pillow averages whole pixels first where that cannot be seen.
        apart = np.abs(got.astype(int) - np.array(wanted))
        assert apart.mean() < 0.7 and apart.max() <= 8


@settings(max_examples=300, deadline=None)
@given(
    size=st.sampled_from([*SIZES, (4000, 100), (100, 4000)]),
    angle_most=st.floats(0.01, 180),
    number=st.integers(0, 2**40),
)
def test_every_part_lies_within_its_picture(size, angle_most, number) -> None:
    placement = placed(*size)
    setting = ImageAugmentation(
        rotation=1, rotation_most=angle_most, scale=0.5, scale_most=4, crop_jitter=0.5
    )
    found = draw(placement, setting, number)
    for x, y in outline(placement, found):
        assert -1e-6 <= x <= placement.resized[0] + 1e-6
        assert -1e-6 <= y <= placement.resized[1] + 1e-6
    assert found.zoom < 4 * 4.3


@pytest.mark.parametrize("size", SIZES)
def test_no_corner_is_empty(size) -> None:
    image, placement = Image.new("RGB", size, (255, 255, 255)), placed(*size)
    mask = Image.new("L", (10, 10), 255)
    setting = ImageAugmentation(rotation=1, rotation_most=180, scale=0.5, crop_jitter=0.5)
    for number in range(20):
        pixels, cut_mask = vary(image, mask, placement, setting, number)
        assert pixels.min() == 255 and cut_mask is not None and cut_mask.min() == 255


def waves(x: np.ndarray, y: np.ndarray, period: float) -> np.ndarray:
    """A smooth picture that can be had at any point without resampling, 0..255."""
    turn = 2 * math.pi / period
    return 127.5 + 60 * np.sin(turn * (x + 0.3 * y)) + 60 * np.cos(turn * (y - 0.2 * x))


def sampled(placement: Placement, found: Variation, native: float, period: float) -> np.ndarray:
    """What the result should be: `waves` at the place of each of its pixels."""
    corners = np.array(outline(placement, found)) * native
    w, h = placement.bucket.width, placement.bucket.height
    u, v = np.meshgrid((np.arange(w) + 0.5) / w, (np.arange(h) + 0.5) / h)
    across, along = corners[1] - corners[0], corners[3] - corners[0]
    x = corners[0][0] + u * across[0] + v * along[0]
    y = corners[0][1] + u * across[1] + v * along[1]
    return waves(x, y, period)


@pytest.mark.parametrize("native", [1.0, 1.7, 3.0, 6.0])
@pytest.mark.parametrize("angle", [0.0, 3.0, -20.0, 45.0, 90.0, 170.0])
def test_geometry_is_exact_and_sharp(native: float, angle: float) -> None:
    """Against the picture computed at the very places, from details of 5 result pixels on."""
    side = 200
    placement = Placement(Bucket(96, 64), (side, side), (40, 70), False)
    found = Variation((88.3, 101.7), zoom=1.1, angle=angle)
    pixels = round(side * native)
    y, x = np.mgrid[0:pixels, 0:pixels] + 0.5
    period = 5 * native
    grey = np.clip(waves(x, y, period) + 0.5, 0, 255).astype(np.uint8)
    image = Image.fromarray(grey).convert("RGB")
    got = change(image, None, placement, found)[0][..., 0].astype(float)
    wanted = sampled(placement, found, pixels / side, period)
    error = math.sqrt(float(np.mean((got - wanted) ** 2)))
    # Of a swing of 120 to either side; one bilinear resampling alone would lose more than 20.
    assert error < 6, error


@pytest.mark.parametrize("angle", [0.0, 3.0, 30.0])
def test_scaling_down_does_not_alias(angle: float) -> None:
    """Stripes far finer than the result's pixels become even grey."""
    placement = Placement(Bucket(64, 64), (100, 100), (18, 18), False)
    stripes = np.zeros((1000, 1000), np.uint8)
    stripes[:, ::3] = 240
    image = Image.fromarray(stripes).convert("RGB")
    got = change(image, None, placement, Variation((50, 50), angle=angle))[0]
    assert got.astype(float).std() < 3


def test_turned_as_pillow_turns() -> None:
    """Counter-clockwise, as Image.rotate."""
    image = Image.new("RGB", (100, 100), (255, 255, 255))
    ImageDraw.Draw(image).rectangle((60, 40, 90, 60), fill=(0, 0, 0))
    placement = Placement(Bucket(64, 64), (100, 100), (18, 18), False)
    got = change(image, None, placement, Variation((50, 50), angle=60))[0]
    wanted = image.rotate(60, Image.Resampling.BICUBIC).crop((18, 18, 82, 82))
    assert np.abs(got.astype(int) - np.array(wanted)).mean() < 3


@pytest.mark.parametrize("mask_size", [(200, 160), (100, 80), (400, 320)])
def test_mask_takes_the_same_geometry(mask_size: tuple[int, int]) -> None:
    """The picture itself shows its mask's shape, so afterwards both must still agree."""
    image = Image.new("RGB", (200, 160))
    ImageDraw.Draw(image).polygon([(30, 20), (170, 60), (120, 140), (40, 100)], fill="white")
    mask = image.convert("L").resize(mask_size)
    placement = placed(200, 160)
    setting = ImageAugmentation(
        flip=0.5, crop_jitter=0.5, scale=0.5, scale_most=1.5, rotation=0.5, rotation_most=40
    )
    for number in range(40):
        pixels, cut_mask = vary(image, mask, placement, setting, number)
        assert cut_mask is not None and cut_mask.shape == pixels.shape[:2]
        apart = np.abs(pixels[..., 0].astype(int) - cut_mask) > 100
        assert apart.mean() < 0.02, draw(placement, setting, number)


def test_colours_leave_the_mask_alone(picture_array) -> None:
    image, placement = picture(picture_array, 90, 90), placed(90, 90)
    mask = Image.fromarray(picture_array(90, 90, seed=5, channels=1)[..., 0])
    colours = ImageAugmentation(
        brightness=1, contrast=1, saturation=1, hue=1, blur=1, grayscale=0.5, blur_most=5
    )
    plain = vary(image, mask, placement, ImageAugmentation(), 1)
    changed = vary(image, mask, placement, colours, 1)
    assert not np.array_equal(plain[0], changed[0])
    assert np.array_equal(plain[1], changed[1])


def _reference_colours(pixels: np.ndarray, v: Variation) -> np.ndarray:
    """Each change on its own, in double precision, clipped only at the end."""
    luma = np.array([0.2126, 0.7152, 0.0722])
    x = pixels.astype(np.float64) * v.brightness
    x = (x - (x @ luma).mean()) * v.contrast + (x @ luma).mean()
    grey = (x @ luma)[..., None]
    x = grey + (x - grey) * v.saturation
    return np.clip(np.floor(x + 0.5), 0, 255)


@pytest.mark.parametrize(
    "change_of", [{"brightness": 1.3}, {"contrast": 0.6}, {"contrast": 1.5}, {"saturation": 1.8}]
)
def test_colours_are_as_documented(change_of, picture_array) -> None:
    image, placement = picture(picture_array, 90, 90), placed(90, 90)
    plain = to_pixels(image, placement)
    found = Variation(unchanged(placement).centre, **change_of)
    got = change(image, None, placement, found)[0].astype(float)
    assert np.abs(got - _reference_colours(plain, found)).max() <= 1


def test_all_colour_changes_at_once_are_rounded_once(picture_array) -> None:
    image, placement = picture(picture_array, 90, 90), placed(90, 90)
    found = Variation(unchanged(placement).centre, brightness=1.2, contrast=0.8, saturation=0.5)
    got = change(image, None, placement, found)[0].astype(float)
    assert np.abs(got - _reference_colours(to_pixels(image, placement), found)).max() <= 1


def test_hue_turns_colours_and_keeps_greys_and_luma() -> None:
    placement = placed(64, 64)
    centre = unchanged(placement).centre
    luma = np.array([0.2126, 0.7152, 0.0722])
    for colour in ((90, 120, 100), (140, 110, 130), (77, 77, 77)):
        image = Image.new("RGB", (64, 64), colour)
        for degrees in (-90.0, 40.0, 180.0):
            got = change(image, None, placement, Variation(centre, hue=degrees))[0][0, 0]
            assert abs(got @ luma - np.array(colour) @ luma) < 1.5
            if len(set(colour)) == 1:
                assert tuple(got) == colour
            else:
                assert np.abs(got.astype(int) - colour).max() > 5
    red = Image.new("RGB", (64, 64), (150, 60, 60))
    turned = change(red, None, placement, Variation(centre, hue=120.0))[0][0, 0]
    assert turned.argmax() == 1
    back = change(
        Image.fromarray(np.full((64, 64, 3), turned)),
        None,
        placement,
        Variation(centre, hue=-120.0),
    )
    assert np.abs(back[0][0, 0].astype(int) - (150, 60, 60)).max() <= 4


def test_without_colour_is_grey(picture_array) -> None:
    image, placement = picture(picture_array, 90, 90), placed(90, 90)
    got = vary(image, None, placement, ImageAugmentation(grayscale=1), 4)[0]
    assert np.array_equal(got[..., 0], got[..., 1]) and np.array_equal(got[..., 1], got[..., 2])
    assert got.std() > 5


def test_blur_softens_and_keeps_the_mean() -> None:
    checks = (np.indices((64, 64)).sum(axis=0) % 2 * 200).astype(np.uint8)
    image, placement = Image.fromarray(checks).convert("RGB"), placed(64, 64)
    got = change(image, None, placement, Variation((32, 32), blur=2.0))[0].astype(float)
    assert got.std() < 5 and abs(got.mean() - 100) < 2


def test_versions_and_their_seeds() -> None:
    assert versions(ImageAugmentation()) == 1 and not makes_changes(ImageAugmentation())
    assert versions(ImageAugmentation(caching="off")) == 1
    assert versions(ImageAugmentation(flip=0.1, variants=6)) == 6
    assert versions(ImageAugmentation(hue=1, caching="off")) == 0
    seeds = {version_seed(Path(f"{name}.png"), v) for name in "abc" for v in range(4)}
    assert len(seeds) == 12
    assert version_seed(Path("x/猫.png"), 1) == version_seed(Path("y/猫.png"), 1)


def test_decoded_size_suffices() -> None:
    assert Variation((0, 0)).detail() == 1
    assert Variation((0, 0), zoom=1.01).detail() == 2
    assert Variation((0, 0), zoom=2.0).detail() == 2
    assert Variation((0, 0), zoom=3.9).detail() == 4
