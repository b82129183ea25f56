"""Which of several copies of a picture is the one to keep, and why."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data.better import Copy, best_of, copy_of


@pytest.fixture
def picture(picture_array: Callable[..., np.ndarray]) -> Image.Image:
    return Image.fromarray(picture_array(96, 64, 3))


def copy(path: Path, modified: float = 100.0, sharpness: float = 0.0) -> Copy:
    os.utime(path, (modified, modified))
    with Image.open(path) as image:
        return copy_of(path, image.size, sharpness)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def test_most_pixels_win_whatever_else(tmp_path: Path, picture: Image.Image):
    original = copy(save(tmp_path / "a.png", picture), 1.0, 9.0)
    enlarged = copy(save(tmp_path / "b.jpg", picture.resize((192, 128)), quality=40), 5.0)
    assert best_of([original, enlarged]) == (1, "larger")


def test_noise_of_compression_does_not_make_a_copy_better(tmp_path: Path, picture: Image.Image):
    original = copy(save(tmp_path / "a.png", picture), 5.0, sharpness=10.0)
    bad = copy(save(tmp_path / "b.jpg", picture, quality=40), 1.0, sharpness=50.0)
    better = copy(save(tmp_path / "c.jpg", picture, quality=90), 9.0, sharpness=20.0)
    assert best_of([bad, original, better]) == (1, "lossless")
    assert best_of([bad, better]) == (1, "less_compressed")


def test_of_equal_ones_the_older_the_sharper_then_the_first(tmp_path: Path, picture: Image.Image):
    one, two, three = (save(tmp_path / f"{n}.png", picture) for n in range(3))
    assert best_of([copy(one, 7.0), copy(two, 3.0), copy(three, 5.0)]) == (1, "older")
    assert best_of([copy(one), copy(two, sharpness=2.0)]) == (1, "sharper")
    assert best_of([copy(one), copy(two)]) == (0, "first")


@pytest.mark.parametrize("metadata", [{}, {"exif": Image.Exif(), "icc_profile": b"x" * 300}])
def test_lossless_webp_is_lossless_and_lossy_webp_is_not(
    tmp_path: Path, picture: Image.Image, metadata: dict[str, object]
):
    whole = save(tmp_path / "a.webp", picture, lossless=True, **metadata)
    lossy = save(tmp_path / "b.webp", picture, quality=80, **metadata)
    assert copy(whole).lossless and not copy(lossy).lossless
    assert best_of([copy(lossy, 1.0), copy(whole, 9.0)]) == (1, "lossless")


def test_a_png_made_from_a_jpeg_is_not_better_for_being_one(tmp_path: Path, picture: Image.Image):
    jpeg = save(tmp_path / "a.jpg", picture, quality=80)
    with Image.open(jpeg) as image:
        png = save(tmp_path / "b.png", image)
    assert best_of([copy(png, 9.0), copy(jpeg, 1.0)]) == (1, "older")


def test_files_of_different_kinds_are_not_compared_by_their_bytes(
    tmp_path: Path, picture: Image.Image
):
    jpeg = save(tmp_path / "a.jpg", picture, quality=95)
    webp = save(tmp_path / "b.webp", picture, quality=80)
    assert webp.stat().st_size < jpeg.stat().st_size
    assert best_of([copy(jpeg, 9.0), copy(webp, 1.0)]) == (1, "older")


def test_a_file_that_is_gone_is_the_least(tmp_path: Path, picture: Image.Image):
    gone = copy_of(tmp_path / "gone.png", picture.size, 99.0)
    there = copy(save(tmp_path / "a.jpg", picture))
    assert best_of([gone, there])[0] == 1
