"""Pictures are upright, composed on the background and in sRGB, or refused with a reason."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from core.data.buckets import make_buckets, place
from core.data.images import PictureError, load_picture, load_pixels, picture_size, to_pixels

# Pillow warns of broken metadata on its own.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

Arrays = Callable[..., np.ndarray]

# EXIF 2.32, tag Orientation: how a camera stores an upright picture.
_STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "png behind", "webp", "tif", "avif", "jpg"])
def test_exif_orientation(
    folder: Path, picture_array: Arrays, orientation: int, suffix: str
) -> None:
    upright = picture_array(48, 32)
    stored = Image.fromarray(np.ascontiguousarray(_STORED[orientation](upright)))
    path = folder / f"a.{suffix.split()[0]}"
    match suffix:
        case "png behind":
            stored.save(path)
            data, exif = path.read_bytes(), _exif(orientation).removeprefix(b"Exif\0\0")
            path.write_bytes(data[:-12] + _png_chunk(b"eXIf", exif) + data[-12:])
        case "tif":
            stored.save(path, tiffinfo={0x0112: orientation})
        case "webp":
            stored.save(path, lossless=True, exif=_exif(orientation))
        case _:
            stored.save(path, quality=95, exif=_exif(orientation))
    got = np.array(load_picture(path))
    assert picture_size(path) == (48, 32)
    assert got.shape == upright.shape
    lossy = suffix in ("jpg", "avif")
    assert np.abs(got.astype(int) - upright).mean() <= (3 if lossy else 0)


def test_wrong_orientation_and_broken_exif_are_ignored(folder: Path, picture_array: Arrays) -> None:
    image = Image.fromarray(picture_array(48, 32))
    for number, exif in enumerate(
        [_exif(9), _exif(0), b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x09"]
    ):
        path = folder / f"{number}.jpg"
        image.save(path, exif=exif)
        assert picture_size(path) == (48, 32)
        assert load_picture(path).size == (48, 32)


def test_orientation_in_xmp_of_webp(folder: Path, picture_array: Arrays) -> None:
    upright = picture_array(48, 32)
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    path = folder / "a.webp"
    Image.fromarray(np.ascontiguousarray(np.rot90(upright, 1))).save(path, lossless=True, xmp=xmp)
    assert picture_size(path) == (48, 32)
    assert np.array_equal(np.array(load_picture(path)), upright)


@pytest.mark.parametrize("background", [(255, 255, 255), (10, 200, 30)])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_composed(
    folder: Path, picture_array: Arrays, mode: str, background: tuple[int, int, int]
) -> None:
    channels = len(mode)
    pixels = picture_array(40, 30, channels=channels)
    path = folder / "a.png"
    Image.fromarray(pixels).save(path)
    assert Image.open(path).mode == mode
    colour = pixels[..., :-1].astype(float)
    alpha = pixels[..., -1:].astype(float) / 255
    expected = colour * alpha + np.array(background) * (1 - alpha)
    assert np.abs(np.array(load_picture(path, background)) - expected).max() <= 1


def test_transparent_palette_and_transparent_colour(folder: Path) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([250, 0, 0, 0, 0, 250])
    palette.putdata([0, 1])
    palette.save(folder / "palette.png", transparency=bytes([0, 128]))
    got = np.array(load_picture(folder / "palette.png", (0, 100, 0)))[0]
    assert np.abs(got.astype(int) - [[0, 100, 0], [0, 50, 125]]).max() <= 1

    rgb = Image.fromarray(np.array([[[9, 9, 9], [50, 60, 70]]], dtype=np.uint8))
    rgb.save(folder / "key.png", transparency=(9, 9, 9))
    assert np.array(load_picture(folder / "key.png", (1, 2, 3)))[0].tolist() == [
        [1, 2, 3],
        [50, 60, 70],
    ]
    gif = Image.new("P", (2, 1))
    gif.putpalette([250, 0, 0, 0, 0, 250])
    gif.putdata([0, 1])
    gif.save(folder / "a.gif", transparency=0)
    assert np.array(load_picture(folder / "a.gif"))[0].tolist() == [[255, 255, 255], [0, 0, 250]]


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
@pytest.mark.parametrize("behind", [False, True])
def test_much_text_in_a_png_is_no_damage(folder: Path, kind: bytes, behind: bool) -> None:
    packed = zlib.compress(b"workflow" * 400_000)
    start = b"key\0\1\0\0\0" if kind == b"iTXt" else b"key\0\0"
    text = _png_chunk(kind, start + packed)
    pixels = _png_chunk(b"IDAT", zlib.compress(b"\0" + bytes(range(6))))
    path = folder / "a.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + _png_chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 2, 0, 0, 0))
        + (pixels + text if behind else text + pixels)
        + _png_chunk(b"IEND", b"")
    )
    assert picture_size(path) == (2, 1)
    assert np.array(load_picture(path))[0].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("kind", ["png", "tif", "tif big endian"])
def test_16_bit_grey_is_rescaled(folder: Path, kind: str) -> None:
    values = np.linspace(0, 65535, 300).astype(np.uint16).reshape(10, 30)
    path = folder / f"a.{kind.split()[0]}"
    if kind == "tif big endian":
        Image.frombytes("I;16B", (30, 10), values.astype(">u2").tobytes()).save(path)
    else:
        Image.fromarray(values).save(path)
    expected = np.floor(values / 257 + 0.5)
    assert np.array_equal(np.array(load_picture(path)), np.repeat(expected[..., None], 3, axis=2))


def test_16_bit_grey_with_transparent_value(folder: Path) -> None:
    raw = b"".join(b"\0" + struct.pack(">2H", 1000, 40000) for _ in range(2))
    path = _png_with_colour(folder, (16, 0), raw, struct.pack(">H", 1000))
    assert np.array(load_picture(path, (7, 8, 9)))[0].tolist() == [[7, 8, 9], [156, 156, 156]]


@pytest.mark.parametrize(("bits", "row", "other"), [(2, 0b10_01_0000, 85), (4, 0x25, 85)])
def test_shallow_grey_with_transparent_value(folder: Path, bits: int, row: int, other: int) -> None:
    path = _png_with_colour(folder, (bits, 0), bytes([0, row]) * 2, struct.pack(">H", 2))
    assert np.array(load_picture(path, (7, 8, 9)))[0].tolist() == [[7, 8, 9], [other] * 3]


def test_16_bit_colour_with_transparent_value(folder: Path) -> None:
    key, other = (1000, 2000, 60000), (40000, 514, 257)
    raw = (b"\0" + struct.pack(">6H", *key, *other)) * 2
    path = _png_with_colour(folder, (16, 2), raw, struct.pack(">3H", *key))
    assert np.array(load_picture(path, (7, 8, 9)))[0].tolist() == [[7, 8, 9], [156, 2, 1]]


def _png_with_colour(folder: Path, depth: tuple[int, int], raw: bytes, key: bytes) -> Path:
    """A PNG of 2x2 with a transparent colour; depth: bits and colour type."""
    path = folder / "a.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + _png_chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, *depth, 0, 0, 0))
        + _png_chunk(b"tRNS", key)
        + _png_chunk(b"IDAT", zlib.compress(raw))
        + _png_chunk(b"IEND", b"")
    )
    return path


def test_16_bit_negative_is_turned_round(folder: Path) -> None:
    values = np.array([[[0], [257], [40000], [65535]]], dtype=np.uint16)
    _write_tiff(folder / "a.tif", values, photometric=0)
    assert np.array(load_picture(folder / "a.tif"))[0, :, 0].tolist() == [255, 254, 99, 0]


@pytest.mark.parametrize("read", [load_picture, picture_size])
def test_16_bit_planes_are_refused_by_name(folder: Path, read: Callable[[Path], object]) -> None:
    """Pillow gives noise for them."""
    path = folder / "a.tif"
    values = np.arange(2 * 3 * 3, dtype=np.uint16).reshape(2, 3, 3) * 3000
    _write_tiff(path, values, photometric=2)
    assert np.array_equal(np.array(load_picture(path)), values >> 8)
    _write_tiff(path, values, photometric=2, planar=2)
    with pytest.raises(PictureError, match="channels one after another"):
        read(path)


def _write_tiff(path: Path, values: np.ndarray, photometric: int, planar: int = 1) -> None:
    """An uncompressed TIFF of 16 bits from (height, width, channels), by TIFF 6.0."""
    height, width, channels = values.shape
    planes = values if planar == 1 else values.transpose(2, 0, 1)
    data = planes.astype("<u2").tobytes()
    strips = 1 if planar == 1 else channels
    size = len(data) // strips
    end = 8 + 2 + 10 * 12 + 4
    bits, offsets, counts = end, end + 2 * channels, end + 2 * channels + 4 * strips
    start = counts + 4 * strips
    more = struct.pack(f"<{channels}H", *[16] * channels)
    more += struct.pack(f"<{strips}I", *[start + number * size for number in range(strips)])
    more += struct.pack(f"<{strips}I", *[size] * strips)
    fields = [
        *((256, 4, 1, width), (257, 4, 1, height)),
        (258, 3, channels, 16 if channels == 1 else bits),
        *((259, 3, 1, 1), (262, 3, 1, photometric)),
        (273, 4, strips, start if strips == 1 else offsets),
        *((277, 3, 1, channels), (278, 4, 1, height)),
        (279, 4, strips, size if strips == 1 else counts),
        (284, 3, 1, planar),
    ]
    head = b"II" + struct.pack("<HIH", 42, 8, len(fields))
    head += b"".join(struct.pack("<HHII", *field) for field in fields) + bytes(4)
    path.write_bytes(head + more + data)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 128.0, 255.0], [0, 128, 255]),
        ([0.0, 257.0, 65535.0], [0, 1, 255]),
        ([-10.0, 0.0, 10.0], [0, 128, 255]),
        ([-5.0, -5.0, -5.0], [0, 0, 0]),
        ([-0.001, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 1.0, 2.0], [0, 128, 255]),
        ([0.0, float("nan"), 1.0], [0, 0, 255]),
    ],
)
def test_floats_are_rescaled(folder: Path, values: list[float], expected: list[int]) -> None:
    path = folder / "a.tif"
    Image.fromarray(np.array([values], dtype=np.float32)).save(path)
    assert np.array(load_picture(path))[0, :, 0].tolist() == expected


def test_32_bit_integers_are_rescaled(folder: Path) -> None:
    path = folder / "a.tif"
    Image.fromarray(np.array([[0, 2**30, 2**31 - 1]], dtype=np.int32)).save(path)
    assert np.array(load_picture(path))[0, :, 0].tolist() == [0, 128, 255]


def test_grey_bilevel_and_palette(folder: Path) -> None:
    Image.new("L", (3, 3), 77).save(folder / "l.png")
    assert load_picture(folder / "l.png").getpixel((1, 1)) == (77, 77, 77)
    Image.new("1", (3, 3), 1).save(folder / "1.png")
    assert load_picture(folder / "1.png").getpixel((1, 1)) == (255, 255, 255)
    Image.new("RGB", (3, 3), (10, 20, 30)).quantize().save(folder / "p.png")
    assert load_picture(folder / "p.png").getpixel((1, 1)) == (10, 20, 30)


def test_cmyk_jpeg_with_adobe_marker(folder: Path) -> None:
    path = folder / "a.jpg"
    Image.new("CMYK", (16, 16), (0, 0, 0, 0)).save(path)
    assert b"Adobe" in path.read_bytes()
    assert load_picture(path).getpixel((8, 8)) == (255, 255, 255)
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(path, quality=95)
    red, green, blue = load_picture(path).getpixel((8, 8))
    assert red > 230 and green < 25 and blue < 25


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_goes_through_its_profile(folder: Path, cmyk_profile: bytes, suffix: str) -> None:
    path = folder / f"a.{suffix}"
    Image.new("CMYK", (16, 16), (255, 255, 255, 255)).save(path, icc_profile=cmyk_profile)
    got = np.array(load_picture(path))[8, 8].astype(int)
    assert np.abs(got - _srgb_of_lab(60, 40, -30)).max() <= 6
    Image.new("CMYK", (16, 16), (0, 0, 0, 0)).save(path, icc_profile=cmyk_profile)
    assert min(load_picture(path).getpixel((8, 8))) >= 252


def _srgb_of_lab(lightness: float, a: float, b: float) -> np.ndarray:
    """CIE L*a*b* (D50) -> sRGB 0..255, by CIE 15 and IEC 61966-2-1 with Bradford adaptation."""
    fy = (lightness + 16) / 116
    f = np.array([fy + a / 500, fy, fy - b / 200])
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * [0.9642, 1.0, 0.8249]
    to_linear = np.array(
        [
            [3.1338561, -1.6168667, -0.4906146],
            [-0.9787684, 1.9161415, 0.0334540],
            [0.0719453, -0.2289914, 1.4052427],
        ]
    )
    linear = np.clip(to_linear @ xyz, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return encoded * 255


@pytest.mark.parametrize("lab", [(60, 40, -30), (80, -20, 50), (30, 0, 0)])
def test_lab_becomes_srgb(folder: Path, lab: tuple[int, int, int]) -> None:
    path = folder / "a.tif"
    lightness, a, b = lab
    raw = bytes([round(lightness * 255 / 100), a % 256, b % 256])
    _write_lab_tiff(path, raw)
    got = np.array(load_picture(path))[0, 0].astype(int)
    assert np.abs(got - _srgb_of_lab(*lab)).max() <= 4


def _write_lab_tiff(path: Path, pixel: bytes) -> None:
    """A 1x1 TIFF in CIELab (TIFF 6.0 section 23: L unsigned, a and b signed bytes)."""
    entries = [
        (256, 4, 1, 1),
        (257, 4, 1, 1),
        (258, 3, 3, 200),
        (259, 3, 1, 1),
        (262, 3, 1, 8),
        (273, 4, 1, 210),
        (277, 3, 1, 3),
        (278, 4, 1, 1),
        (279, 4, 1, 3),
    ]
    directory = struct.pack("<H", len(entries))
    for tag, kind, count, value in entries:
        directory += struct.pack("<HHII", tag, kind, count, value)
    data = b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", 0)
    data = data.ljust(200, b"\0") + struct.pack("<3H", 8, 8, 8)
    path.write_bytes(data.ljust(210, b"\0") + pixel)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "avif"])
def test_rgb_profile_is_converted(folder: Path, swapped_profile: bytes, suffix: str) -> None:
    path = folder / f"a.{suffix}"
    Image.new("RGB", (16, 16), (255, 0, 0)).save(path, icc_profile=swapped_profile, quality=95)
    red, green, blue = load_picture(path).getpixel((8, 8))
    assert red <= 12 and green >= 243 and blue <= 12


def test_rgb_profile_with_transparency(folder: Path, swapped_profile: bytes) -> None:
    path = folder / "a.png"
    pixels = np.array([[[255, 0, 0, 255], [255, 0, 0, 0]]], dtype=np.uint8)
    Image.fromarray(pixels).save(path, icc_profile=swapped_profile)
    got = np.array(load_picture(path, (200, 0, 0)))[0].astype(int)
    assert np.abs(got - [[0, 255, 0], [200, 0, 0]]).max() <= 2


def test_grey_profile_is_converted(folder: Path, linear_gray_profile: bytes) -> None:
    path = folder / "a.png"
    Image.new("L", (4, 4), 128).save(path, icc_profile=linear_gray_profile)
    # Half of the light is 188 in sRGB.
    assert abs(load_picture(path).getpixel((0, 0))[0] - 188) <= 1


def test_srgb_profile_changes_nothing_and_a_broken_one_is_ignored(
    folder: Path, picture_array: Arrays
) -> None:
    pixels = picture_array(32, 32)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"not a profile", srgb[:150]):
        Image.fromarray(pixels).save(folder / "a.png", icc_profile=profile)
        assert np.array_equal(np.array(load_picture(folder / "a.png")), pixels)


def test_profile_of_another_colour_space_is_ignored(folder: Path, swapped_profile: bytes) -> None:
    Image.new("L", (4, 4), 100).save(folder / "a.png", icc_profile=swapped_profile)
    assert load_picture(folder / "a.png").getpixel((0, 0)) == (100, 100, 100)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_animation_gives_its_first_frame(folder: Path, suffix: str) -> None:
    first, second = (Image.new("RGB", (16, 16), color) for color in ("red", "blue"))
    path = folder / f"a.{suffix}"
    extra = {"lossless": True} if suffix == "webp" else {}
    first.save(path, save_all=True, append_images=[second], duration=100, **extra)
    assert load_picture(path).getpixel((8, 8)) == (255, 0, 0)
    assert picture_size(path) == (16, 16)


@pytest.mark.parametrize("size", [(1, 1), (16, 9), (1, 500), (700, 3)])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "avif", "bmp", "tif", "gif"])
def test_size_of_every_format(
    folder: Path, picture_array: Arrays, suffix: str, size: tuple[int, int]
) -> None:
    path = folder / f"a.{suffix}"
    Image.fromarray(picture_array(*size)).save(path)
    assert picture_size(path) == size
    assert load_picture(path).size == size


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": _exif(1)}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_size_of_every_kind_of_webp(folder: Path, mode: str, options: dict) -> None:
    path = folder / "a.webp"
    Image.effect_noise((201, 77), 60).convert(mode).save(path, **options)
    assert picture_size(path) == (201, 77)


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (333, 334), (1000, 200), (90, 60)])
def test_pixels_are_those_of_scaling_the_whole_and_cutting(
    picture_array: Arrays, size: tuple[int, int]
) -> None:
    image = Image.fromarray(picture_array(*size, seed=3))
    placement = place(size, make_buckets(128, 8))
    left, top = placement.crop
    bucket = placement.bucket
    whole = np.array(image.resize(placement.resized, Image.Resampling.LANCZOS))
    expected = whole[top : top + bucket.height, left : left + bucket.width]
    got = to_pixels(image, placement)
    assert got.shape == (bucket.height, bucket.width, 3) and got.dtype == np.uint8
    assert np.abs(got.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1), (3, 20_000)])
def test_thinnest_pictures(folder: Path, size: tuple[int, int]) -> None:
    path = folder / "thin.png"
    Image.new("RGB", size, (200, 100, 50)).save(path)
    placement = place(picture_size(path), make_buckets(512, 8))
    pixels = load_pixels(path, placement)
    assert pixels.shape == (placement.bucket.height, placement.bucket.width, 3)
    assert np.abs(pixels.astype(int) - [200, 100, 50]).max() <= 1


@pytest.mark.parametrize("orientation", [1, 6])
def test_large_jpeg_is_decoded_smaller_and_looks_the_same(
    folder: Path, picture_array: Arrays, orientation: int
) -> None:
    path = folder / "a.jpg"
    Image.fromarray(picture_array(1600, 400)).save(path, quality=95, exif=_exif(orientation))
    size = picture_size(path)
    placement = place(size, make_buckets(128, 8))
    at_least = (2 * placement.resized[0], 2 * placement.resized[1])
    smaller = load_picture(path, at_least=at_least)
    assert smaller.width < size[0] and smaller.height < size[1]
    assert smaller.width >= at_least[0] and smaller.height >= at_least[1]
    exact = to_pixels(load_picture(path), placement).astype(float)
    error = np.mean((load_pixels(path, placement) - exact) ** 2)
    assert 10 * np.log10(255**2 / error) > 45


def test_background_reaches_the_pixels(folder: Path) -> None:
    path = folder / "a.png"
    Image.new("RGBA", (64, 64), (1, 2, 3, 0)).save(path)
    placement = place((64, 64), make_buckets(64, 8))
    assert (load_pixels(path, placement, (9, 8, 7)) == [9, 8, 7]).all()


def test_unicode_spaces_and_long_paths(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(4):
        folder = folder / ("日本語 ü " * 6).strip()
    folder.mkdir(parents=True)
    path = folder / "my picture 🤖.png"
    Image.new("RGB", (5, 6), "green").save(path)
    assert len(str(path).encode()) > 260
    assert picture_size(path) == (5, 6)
    assert load_picture(path).size == (5, 6)


def test_reading_changes_nothing_on_disk(folder: Path) -> None:
    path = folder / "a.jpg"
    Image.new("RGB", (64, 48), "red").save(path)
    before = path.stat()
    load_pixels(path, place(picture_size(path), make_buckets(64, 8)))
    after = path.stat()
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)
    assert os.listdir(folder) == ["a.jpg"]


def test_modules_for_the_window_need_neither_numpy_nor_torch() -> None:
    code = (
        "import sys, core.data.plan, core.data.images, core.data.scan, core.data.captions;"
        "assert not {'numpy', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
