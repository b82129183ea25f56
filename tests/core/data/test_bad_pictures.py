"""Files that are no pictures, or not whole, are refused with a reason and never half-decoded."""

from __future__ import annotations

import io
import os
import struct
import sys
import types
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from core.data import kinds
from core.data.images import PictureError, load_picture, picture_size

# Pillow warns of damage on its own; what matters here is what the functions say.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
]


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _reason(path: Path) -> str:
    """Both readers must refuse; returns the decoder's reason."""
    with pytest.raises(PictureError) as sized:
        picture_size(path)
    with pytest.raises(PictureError) as loaded:
        load_picture(path)
    for caught in (sized, loaded):
        assert str(caught.value).endswith(".")
    return str(loaded.value)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
        (b"\xef\xbb\xbf\n <HTML><p>no</p>", "web page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n", "Git LFS"),
        (b"\0" * 4000, "zeros"),
        (b"\xff\xd8", "damaged"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"\0\0\0\x20ftypavif\0\0\0\0", "damaged"),
        (b"8BPS\0\x01", "Photoshop"),
        (b"just words", "not a picture"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_reason(
    folder: Path, content: bytes, word: str
) -> None:
    path = folder / "a.jpg"
    path.write_bytes(content)
    assert word in _reason(path)


def test_missing_file_and_folder_in_its_place(folder: Path) -> None:
    assert "not there" in _reason(folder / "gone.png")
    (folder / "dir.png").mkdir()
    _reason(folder / "dir.png")


def test_heic_without_its_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    kinds._register_heif.cache_clear()
    (folder / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0")
    reason = _reason(folder / "a.heic")
    assert "need the package pi-heif" in reason
    assert f'"{sys.executable}" -m pip install pi-heif,' in reason
    kinds._register_heif.cache_clear()


@pytest.fixture
def heif_package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """pi-heif as far as it matters here: a reader that knows one file and no other."""
    module = types.ModuleType("pi_heif")

    def read(file: BinaryIO, _name: str) -> Image.Image:
        if b"whole" not in file.read():
            raise SyntaxError("no HEIF")
        return Image.new("RGB", (6, 4), (9, 8, 7))

    def register() -> None:
        Image.register_open("HEIF", read, lambda start: start[4:8] == b"ftyp")

    module.register_heif_opener = register  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pi_heif", module)
    kinds._register_heif.cache_clear()
    yield
    kinds._register_heif.cache_clear()
    Image.OPEN.pop("HEIF", None)
    Image.ID.remove("HEIF")


@pytest.mark.usefixtures("heif_package")
def test_heic_with_its_package(folder: Path) -> None:
    start = b"\0\0\0\x18ftypheic\0\0\0\0"
    (folder / "a.heic").write_bytes(start + b"whole")
    assert picture_size(folder / "a.heic") == (6, 4)
    assert load_picture(folder / "a.heic").getpixel((0, 0)) == (9, 8, 7)
    # It is not the package that is missing.
    (folder / "b.heic").write_bytes(start + b"half")
    assert "damaged" in _reason(folder / "b.heic")


def test_heic_with_the_real_package(folder: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    kinds._register_heif.cache_clear()
    picture = Image.new("RGB", (64, 40), (200, 30, 30))
    picture.paste((20, 30, 220), (32, 0, 64, 40))
    path = folder / "a.heic"
    heif.from_pillow(picture).save(path, quality=95)
    assert picture_size(path) == (64, 40)
    left, right = (load_picture(path).getpixel((x, 20)) for x in (8, 56))
    assert left[0] > 180 > 60 > left[2] and right[2] > 180 > 60 > right[0]
    path.write_bytes(path.read_bytes()[:200])
    assert "damaged" in _reason(path)


def test_links_that_lead_nowhere(folder: Path) -> None:
    (folder / "dead.png").symlink_to("gone.png")
    (folder / "loop.png").symlink_to("loop.png")
    assert _reason(folder / "dead.png") == "The file is a link to something that is not there."
    assert _reason(folder / "loop.png").startswith("The file cannot be read (")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_file_without_permission(folder: Path) -> None:
    path = folder / "a.png"
    Image.new("RGB", (8, 8)).save(path)
    path.chmod(0)
    assert "permission" in _reason(path)


@pytest.mark.parametrize("side", [20_001, 40_000, 2**31 - 1])
def test_huge_declared_size_is_refused_from_the_header(folder: Path, side: int) -> None:
    path = folder / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + _png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        + _png_chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + _png_chunk(b"IEND", b"")
    )
    assert "limit" in _reason(path)


def _encoded(suffix: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    noise = Image.effect_noise((80, 60), 80).convert("RGB")
    noise.save(buffer, {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper()), **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "suffix", ["jpg", "progressive jpg", "png", "webp", "gif", "tif", "avif", "bmp"]
)
def test_truncated_files_are_never_half_decoded(folder: Path, suffix: str) -> None:
    kind = suffix.split()[-1]
    data = _encoded(kind, **({"progressive": True} if kind != suffix else {}))
    path = folder / f"a.{kind}"
    path.write_bytes(data)
    whole = np.array(load_picture(path))
    refused = 0
    cuts = [*range(1, len(data) - 20, len(data) // 25), len(data) - 20]
    for cut in cuts:
        path.write_bytes(data[:cut])
        try:
            got = np.array(load_picture(path))
        except PictureError:
            refused += 1
        else:
            assert np.array_equal(got, whole)
    # Only cuts behind the last pixel may pass.
    assert refused >= len(cuts) - 2


def test_a_jpeg_that_ends_within_its_header(folder: Path) -> None:
    path = folder / "a.jpg"
    path.write_bytes(_encoded("jpg")[:300])
    assert _reason(path) == "The file ends too early; its end is missing."


def test_truncated_webp_is_seen_in_the_header(folder: Path) -> None:
    path = folder / "a.webp"
    path.write_bytes(_encoded("webp")[:-100])
    assert "ends too early" in _reason(path)


_SAMPLES = {kind: _encoded(kind) for kind in ("jpg", "png", "webp", "gif", "tif", "avif", "bmp")}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(sorted(_SAMPLES)),
    damage=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_damaged_files_give_a_picture_or_a_reason(
    tmp_path: Path, kind: str, damage: list[tuple[int, int]]
) -> None:
    data = bytearray(_SAMPLES[kind])
    for position, value in damage:
        data[position % len(data)] = value
    path = tmp_path / f"a.{kind}"
    path.write_bytes(data)
    for read in (picture_size, load_picture):
        try:
            read(path)
        except PictureError as error:
            assert str(error)
