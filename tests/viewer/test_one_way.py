"""Viewer and thumbnails show what training sees: orientation, colours and verdicts, by format."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps
from PySide6.QtCore import QSize
from PySide6.QtGui import QImage

from app.thumbnails import make_thumbnail
from app.viewer import decode
from app.widgets.thumbs import read_square
from core.data.colours import why_not_converted
from core.data.images import PictureError, load_picture, picture_size, read_header


@pytest.fixture(autouse=True)
def _application(styled: object) -> None:
    decode.prepare()


def picture() -> Image.Image:
    """Four colours, 96 x 64: no two of the eight ways to lay it are alike."""
    image = Image.new("RGB", (96, 64), (200, 40, 40))
    image.paste((40, 180, 60), (48, 0, 96, 32))
    image.paste((50, 60, 200), (0, 32, 48, 64))
    image.paste((220, 210, 90), (48, 32, 96, 64))
    return image


def exif(value: int) -> Image.Exif:
    result = Image.Exif()
    result[0x0112] = value
    return result


def xmp(value: int) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
        'syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
        f'tiff:Orientation="{value}"/></rdf:RDF></x:xmpmeta>'
    ).encode()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes, image: Image.Image | None = None) -> bytes:
    stored = io.BytesIO()
    (image or picture()).save(stored, "PNG")
    data = stored.getvalue()
    return data[:33] + b"".join(chunks) + data[33:]


def write(path: Path, kind: str, value: int) -> None:
    image = picture()
    if kind == "png-xmp":
        path.write_bytes(png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(value))))
    elif kind == "png-raw":
        data = b"Exif\0\0" + exif(value).tobytes().removeprefix(b"Exif\0\0")
        text = f"\nexif\n{len(data):8d}\n{data.hex()}\n".encode()
        path.write_bytes(png(chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))))
    elif kind in ("jpg-xmp", "webp-xmp"):
        image.save(path, xmp=xmp(value), quality=95)
    elif kind in ("jpg", "webp"):
        image.save(path, exif=exif(value), quality=95)
    else:
        image.save(path, exif=exif(value))


def pixels(image: QImage) -> np.ndarray:
    """(height, width, 3) uint8."""
    image = image.convertToFormat(QImage.Format.Format_RGBA8888)
    raw = np.frombuffer(image.constBits(), np.uint8)
    return raw.reshape(image.height(), image.width(), 4)[:, :, :3].astype(int)


def seen(path: Path) -> dict[str, np.ndarray]:
    """A picture on every way that leads to the screen or into training."""
    square = min(picture_size(path))
    shown = pixels(decode.decode(str(path), None).image)
    height, width = shown.shape[:2]
    top, left = (height - square) // 2, (width - square) // 2
    assert (
        np.abs(
            pixels(read_square(path, square)) - shown[top : top + square, left : left + square]
        ).max()
        <= 3
    )
    return {
        "training": np.asarray(load_picture(path)).astype(int),
        "viewer": shown,
        "thumbnail": pixels(make_thumbnail(path, 256)),
    }


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize(
    "kind", ["jpg", "png", "webp", "tif", "avif", "jpg-xmp", "png-xmp", "png-raw", "webp-xmp"]
)
def test_a_picture_lies_the_same_way_in_training_viewer_and_thumbnails(
    tmp_path: Path, kind: str, value: int
):
    path = tmp_path / f"a.{kind.partition('-')[0]}"
    write(path, kind, value)
    holder = picture()
    holder.getexif()[0x0112] = value
    expected = np.asarray(ImageOps.exif_transpose(holder)).astype(int)

    assert picture_size(path) == expected.shape[1::-1]
    for way, found in seen(path).items():
        assert found.shape == expected.shape, way
        assert np.abs(found - expected)[8:24, 8:24].max() < 12, way
        assert np.abs(found - expected)[-24:-8, 8:24].max() < 12, way


@pytest.mark.parametrize("value", range(1, 9))
def test_heic_lies_the_same_way_too(tmp_path: Path, value: int):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    path = tmp_path / "a.heic"
    picture().save(path, exif=exif(value), quality=95)

    ways = seen(path)

    assert np.abs(ways["viewer"] - ways["training"]).max() <= 3
    assert np.abs(ways["thumbnail"] - ways["training"]).max() <= 3


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("inside", ["pixels", "a JPEG"])
def test_jpeg_xl_lies_the_same_way_too(tmp_path: Path, value: int, inside: str):
    pytest.importorskip("pillow_jxl")
    path = tmp_path / "a.jxl"
    if inside == "pixels":
        picture().save(path, exif=exif(value).tobytes(), quality=98)
    else:
        picture().save(tmp_path / "a.jpg", exif=exif(value), quality=98)
        with Image.open(tmp_path / "a.jpg") as jpeg:
            jpeg.save(path, lossless_jpeg=True)
    holder = picture()
    if inside == "a JPEG":
        holder.getexif()[0x0112] = value
    expected = np.asarray(ImageOps.exif_transpose(holder)).astype(int)

    assert picture_size(path) == expected.shape[1::-1]
    for way, found in seen(path).items():
        assert np.abs(found - expected)[8:24, 8:24].max() < 12, way
        assert np.abs(found - expected)[-24:-8, 8:24].max() < 12, way


def linear(values: np.ndarray) -> np.ndarray:
    """Light 0..1 as sRGB's bytes (IEC 61966-2-1)."""
    curve = np.where(
        values <= 0.0031308, 12.92 * values, 1.055 * np.maximum(values, 0) ** (1 / 2.4) - 0.055
    )
    return np.round(255 * np.clip(curve, 0, 1))


def test_a_png_of_linear_light_is_brightened_everywhere(tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(png(chunk(b"gAMA", struct.pack(">I", 100_000))))

    expected = linear(np.asarray(picture()) / 255)

    for way, found in seen(path).items():
        assert np.abs(found - expected).max() <= 2, way


def test_a_grey_png_of_linear_light_is_brightened_everywhere(tmp_path: Path):
    path = tmp_path / "a.png"
    grey = Image.linear_gradient("L")
    path.write_bytes(png(chunk(b"gAMA", struct.pack(">I", 100_000)), image=grey))

    expected = linear(np.asarray(grey) / 255)[:, :, None]

    for way, found in seen(path).items():
        assert np.abs(found - expected).max() <= 2, way


def test_the_gamma_that_stands_for_srgb_changes_nothing(tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(png(chunk(b"gAMA", struct.pack(">I", 45_455))))

    for way, found in seen(path).items():
        assert np.abs(found - np.asarray(picture())).max() == 0, way


# From linear light of Display P3 to that of sRGB (CSS Color 4, sample code for conversions).
P3_TO_SRGB = np.array([[1.2249, -0.2249, 0.0], [-0.0420, 1.0420, 0.0], [-0.0196, -0.0786, 1.0983]])


def test_wide_gamut_declared_by_cicp_is_converted_everywhere(tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(png(chunk(b"cICP", bytes([12, 13, 0, 1]))))
    values = np.asarray(picture()) / 255
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)

    expected = linear(light @ P3_TO_SRGB.T)

    for way, found in seen(path).items():
        assert np.abs(found - expected).max() <= 3, way
    assert why_not_converted(read_header(path).coding) == ""


def test_wide_gamut_declared_by_chromaticities_is_converted_everywhere(tmp_path: Path):
    path = tmp_path / "a.png"
    display_p3 = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
    gamma = chunk(b"gAMA", struct.pack(">I", round(100_000 / 2.2)))
    path.write_bytes(png(gamma, chunk(b"cHRM", struct.pack(">8I", *display_p3))))

    expected = linear((np.asarray(picture()) / 255) ** 2.2 @ P3_TO_SRGB.T)

    for way, found in seen(path).items():
        assert np.abs(found - expected).max() <= 3, way


def test_wide_gamut_declared_by_nclx_is_converted_everywhere(tmp_path: Path):
    path = tmp_path / "a.avif"
    picture().save(path, quality=100, subsampling="4:4:4")
    plain = np.asarray(load_picture(path)) / 255
    data = path.read_bytes()
    at = data.index(b"colrnclx") + 8
    path.write_bytes(data[:at] + struct.pack(">HH", 12, 13) + data[at + 4 :])
    light = np.where(plain <= 0.04045, plain / 12.92, ((plain + 0.055) / 1.055) ** 2.4)

    expected = linear(light @ P3_TO_SRGB.T)

    assert np.abs(expected - 255 * plain).max() > 15
    for way, found in seen(path).items():
        assert np.abs(found - expected).max() <= 3, way


def profile_with_table() -> bytes:
    """An ICC profile whose table makes red the lightness and drops the rest, as XYB's profile
    gives the channels meanings of their own (ICC.1:2001-04, 6.5.10, lut8Type)."""
    fixed = [65536 if at % 4 == 0 else 0 for at in range(9)]
    straight = bytes(range(256)) * 3
    corners = b"".join(bytes([255 * (at >> 2), 128, 128]) for at in range(8))
    table = b"mft1" + bytes(4) + bytes([3, 3, 2, 0]) + struct.pack(">9i", *fixed)
    table += straight + corners + straight
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    size = 128 + 4 + 24 + len(table) + len(white)
    head = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02400000, b"mntr", b"RGB ", b"Lab ")
    head += bytes(12) + b"acsp" + bytes(28) + white[8:]
    tags = struct.pack(">I4sII4sII", 2, b"A2B0", 156, len(table), b"wtpt", 156 + len(table), 20)
    return head.ljust(128, b"\0") + tags + table + white


def test_a_jpeg_whose_profile_has_a_table_as_xyb_has_looks_the_same_everywhere(tmp_path: Path):
    path = tmp_path / "a.jpg"
    picture().save(path, quality=100, subsampling=0, icc_profile=profile_with_table())
    lightness = np.asarray(picture())[:, :, :1] / 255 * 100

    # From CIE L* to light (CIE 15:2004, 8.2.1).
    light = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.3)
    expected = np.broadcast_to(linear(light), (64, 96, 3))

    for way, found in seen(path).items():
        assert np.abs(found - expected)[8:24, 8:24].max() <= 4, way
        assert np.abs(found - expected)[-24:-8, -24:-8].max() <= 4, way


def test_a_wide_profile_without_a_name_is_converted_everywhere(tmp_path: Path):
    from core.data.colours import profile_of_coding
    from core.data.signs import Coding

    profile = profile_of_coding(Coding(12, 13))
    assert profile is not None
    path = tmp_path / "a.png"
    picture().save(path, icc_profile=profile.replace(b"desc", b"desX", 1))
    values = np.asarray(picture()) / 255
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)

    expected = linear(light @ P3_TO_SRGB.T)

    for way, found in seen(path).items():
        assert np.abs(found - expected).max() <= 3, way


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_a_high_dynamic_range_is_named(tmp_path: Path, transfer: int, name: str):
    path = tmp_path / "a.png"
    path.write_bytes(png(chunk(b"cICP", bytes([9, transfer, 0, 1]))))

    assert name in why_not_converted(read_header(path).coding)


def test_a_grey_avif_obeys_its_grey_profile(tmp_path: Path):
    from core.data.colours import grey_profile

    path = tmp_path / "a.avif"
    grey = Image.new("L", (64, 64), 55)
    grey.save(path, icc_profile=grey_profile(1.0), quality=100)

    expected = linear(np.array(55 / 255))

    for way, found in seen(path).items():
        assert np.abs(found - expected).max() <= 2, way


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "bmp", "gif", "tif", "avif"])
def test_what_training_refuses_the_window_refuses(tmp_path: Path, kind: str, share: float):
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    whole = tmp_path / f"whole.{kind}"
    preview = io.BytesIO()
    Image.new("RGB", (16, 16)).save(preview, "JPEG")
    extra = {"comment": preview.getvalue()} if kind == "jpg" else {}
    Image.fromarray(noise).save(whole, **extra)
    path = tmp_path / f"a.{kind}"
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])

    try:
        load_picture(path)
        refused = ""
    except PictureError as error:
        refused = str(error)

    assert decode.decode(str(path), QSize(32, 32)).problem == refused
    if refused:
        with pytest.raises(PictureError):
            make_thumbnail(path, 32)


def test_a_wide_icc_profile_looks_the_same_everywhere(tmp_path: Path):
    from core.data.colours import profile_of_coding
    from core.data.signs import Coding

    profile = profile_of_coding(Coding(12, 13))
    assert profile is not None
    assert ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space.strip() == "RGB"
    for kind in ("jpg", "png", "webp", "tif", "avif"):
        path = tmp_path / f"a.{kind}"
        picture().save(path, icc_profile=profile)
        ways = seen(path)
        assert np.abs(ways["viewer"] - ways["training"]).max() <= 3, kind
        assert np.abs(ways["thumbnail"] - ways["training"]).max() <= 3, kind


def test_qt_prints_nothing_about_a_damaged_picture(tmp_path: Path, qtlog: Any):
    gamma = chunk(b"gAMA", struct.pack(">I", 45455))
    (tmp_path / "a.png").write_bytes(png(gamma, gamma))
    picture().save(tmp_path / "b.jpg")
    data = (tmp_path / "b.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(data[:-2] + b"\0\0\0\0" + data[-2:])

    for name in ("a.png", "b.jpg"):
        assert not decode.decode(str(tmp_path / name), None).image.isNull()

    assert [record.message for record in qtlog.records] == []
