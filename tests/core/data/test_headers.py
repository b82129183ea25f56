"""The header of a PNG read directly tells what Pillow would, damaged or not."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from core.data.images import PictureError, may_be_transparent, picture_size

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(mode: str = "RGB", size: tuple[int, int] = (30, 20), front: bytes = b"") -> bytes:
    """A picture's file, with further chunks in front of its pixels."""
    file = io.BytesIO()
    Image.new(mode, size).save(file, "PNG")
    data = file.getvalue()
    return data[:33] + front + data[33:]


@pytest.fixture
def no_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise AssertionError("Pillow was asked")

    monkeypatch.setattr(Image, "open", refuse)


@pytest.mark.usefixtures("no_pillow")
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_an_ordinary_png_is_read_directly(folder: Path, mode: str) -> None:
    path = folder / "a.png"
    front = _chunk(b"pHYs", struct.pack(">IIB", 2835, 2835, 1)) + _chunk(b"tEXt", b"Comment\0hi")
    path.write_bytes(_png(mode, front=front))
    assert picture_size(path) == (30, 20)


def test_an_orientation_in_old_text_is_seen(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = exif.tobytes()
    profile = f"\nexif\n{len(data):8}\n{data.hex()}\n".encode()
    path = folder / "a.png"
    path.write_bytes(_png(front=_chunk(b"tEXt", b"Raw profile type exif\0" + profile)))
    assert picture_size(path) == (20, 30)


def test_many_words_in_front_of_the_pixels(folder: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("workflow", "x" * 100_000)
    path = folder / "a.png"
    Image.new("RGB", (30, 20)).save(path, pnginfo=info)
    assert picture_size(path) == (30, 20)


def _by_pillow(data: bytes) -> tuple[int, int] | None:
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            return image.size if min(image.size) > 0 else None
    except Exception:
        return None


_FRONT = _chunk(b"gAMA", struct.pack(">I", 45455)) + _chunk(b"tIME", b"\x07\xe9\1\1\0\0\0")
_WHOLE = _png(size=(300, 200), front=_FRONT)


@settings(deadline=None, max_examples=300)
@given(
    place=st.integers(8, 33 + len(_FRONT) + 12),
    byte=st.integers(0, 255),
    length=st.sampled_from([len(_WHOLE), 33, 40, 33 + len(_FRONT) + 8]),
)
def test_damage_is_judged_as_pillow_does(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int, length: int
) -> None:
    data = bytearray(_WHOLE)
    data[place] = byte
    damaged = bytes(data[:length])
    path = tmp_path_factory.getbasetemp() / "damaged.png"
    path.write_bytes(damaged)
    size: tuple[int, int] | None
    try:
        size = picture_size(path)
    except PictureError:
        size = None
    assert size == _by_pillow(damaged)


@pytest.mark.parametrize(
    ("mode", "name", "options", "transparent"),
    [
        ("RGB", "a.png", {}, False),
        ("RGB", "a.jpg", {}, False),
        ("P", "a.png", {}, False),
        ("L", "a.webp", {}, False),
        ("RGBA", "a.png", {}, True),
        ("LA", "a.png", {}, True),
        ("P", "a.gif", {"transparency": 0}, True),
        ("P", "a.png", {"transparency": 0}, True),
        ("RGBA", "a.webp", {"lossless": True}, True),
        ("RGBA", "a.avif", {}, True),
    ],
)
def test_the_header_tells_of_transparency(
    folder: Path, mode: str, name: str, options: dict, transparent: bool
) -> None:
    image = Image.new(mode, (16, 16))
    image.putpixel((3, 3), image.getpixel((3, 3)) if mode == "P" else _half(mode))
    image.save(folder / name, **options)
    assert may_be_transparent(folder / name) is transparent


def _half(mode: str) -> tuple[int, ...] | int:
    return 100 if mode == "L" else (100,) * len(mode)


def test_no_picture_is_not_transparent_but_an_error(folder: Path) -> None:
    (folder / "a.png").write_bytes(b"junk")
    with pytest.raises(PictureError):
        may_be_transparent(folder / "a.png")
