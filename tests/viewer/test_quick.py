"""The first look at large JPEG by the small picture in their header."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps
from PySide6.QtCore import QSize

from app.thumbnails import ThumbnailStore
from app.viewer.quick import first_look

BOX = QSize(640, 640)


def header(small: bytes, orientation: int) -> bytes:
    """An Exif segment: a directory with the orientation, one with the small picture behind it."""
    first = struct.pack("<HHHIHH", 1, 0x112, 3, 1, orientation, 0)
    start = 8 + len(first) + 4
    second = struct.pack("<HHHIIHHII", 2, 0x201, 4, 1, start + 30, 0x202, 4, 1, len(small))
    tiff = struct.pack("<2sHI", b"II", 42, 8) + first + struct.pack("<I", start) + second
    block = b"Exif\0\0" + tiff + struct.pack("<I", 0) + small
    return b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block


def camera_picture(path: Path, orientation: int = 1, bars: bool = False, cut: int = 0) -> None:
    """A 1200 x 800 file, red left and blue right, whose small picture is green where it is red."""
    whole = Image.new("RGB", (1200, 800), "blue")
    whole.paste("red", (0, 0, 600, 800))
    small = Image.new("RGB", (160, 120 if bars else 107), "black")
    small.paste("blue", (0, 7 if bars else 0, 160, 113))
    small.paste("lime", (0, 7 if bars else 0, 80, 113))
    data, file = io.BytesIO(), io.BytesIO()
    small.save(data, "JPEG", quality=95)
    whole.save(file, "JPEG")
    bytes_ = file.getvalue()
    inner = data.getvalue()[: len(data.getvalue()) - cut]
    path.write_bytes(bytes_[:2] + header(inner, orientation) + bytes_[2:])


@pytest.mark.parametrize("bars", [False, True])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_small_picture_is_shown_upright_and_without_bars(
    tmp_path: Path, orientation: int, bars: bool
):
    path = tmp_path / "a.jpg"
    camera_picture(path, orientation, bars)
    with Image.open(path) as file:
        upright = ImageOps.exif_transpose(file)
    picture = first_look(str(path), BOX)
    assert (picture.size.width(), picture.size.height()) == upright.size
    assert max(picture.image.width(), picture.image.height()) == 160
    assert picture.image.width() / picture.image.height() == pytest.approx(
        upright.width / upright.height, abs=0.05
    )
    for x, y in ((0.1, 0.1), (0.9, 0.1), (0.1, 0.9), (0.9, 0.9)):
        at = (round(x * (upright.width - 1)), round(y * (upright.height - 1)))
        is_red = upright.getpixel(at)[0] > 128
        colour = picture.image.pixelColor(
            round(x * (picture.image.width() - 1)), round(y * (picture.image.height() - 1))
        )
        assert (colour.green() > 128) == is_red
        assert (colour.blue() > 128) != is_red


def test_without_a_usable_small_picture_the_file_itself_is_decoded(tmp_path: Path):
    camera_picture(tmp_path / "cut.jpg", cut=40)
    Image.new("RGB", (1200, 800), "red").save(tmp_path / "plain.jpg")
    Image.new("RGB", (1200, 800), "red").save(tmp_path / "png.jpg", "PNG")
    for name in ("cut.jpg", "plain.jpg", "png.jpg"):
        picture = first_look(str(tmp_path / name), BOX)
        assert picture.image.width() == 640
        assert picture.image.pixelColor(10, 10).red() > 200
    (tmp_path / "bad.jpg").write_bytes(b"<html>")
    assert first_look(str(tmp_path / "bad.jpg"), BOX).problem
    assert first_look(str(tmp_path / "none.jpg"), BOX).missing


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_thumbnail_that_was_made_before_comes_first(
    tmp_path: Path, orientation: int, styled: object, qtbot: Any
):
    path = tmp_path / "a.jpg"
    camera_picture(path, orientation)
    store = ThumbnailStore()
    with qtbot.waitSignal(store.ready, timeout=20000):
        store.request(path, 256)
    store.close()
    turned = orientation == 6
    picture = first_look(str(path), BOX)
    assert picture.size == (QSize(800, 1200) if turned else QSize(1200, 800))
    image = picture.image
    assert (image.height() if turned else image.width()) == 256
    assert picture.image.pixelColor(5, 5).red() > 128  # not the green of the small picture
    camera_picture(path)
    os.utime(path, (1, 1))  # another file by now
    assert max(first_look(str(path), BOX).image.size().toTuple()) == 160
