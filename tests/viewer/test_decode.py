"""Decoding for the screen: what training sees, upright, in sRGB, in threads that leave the lock."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path

import pytest
from PIL import Image, ImageCms
from PySide6.QtCore import QSize
from PySide6.QtGui import QColorSpace, QImage

from app.viewer import decode
from app.viewer.decode import Picture

BOX = QSize(200, 200)


@pytest.fixture(autouse=True)
def _application(styled: object) -> None:
    """QImage needs no application, but its plugins are looked for once."""
    decode.prepare()


def shown(path: Path, box: QSize | None = BOX) -> Picture:
    picture = decode.decode(str(path), box)
    assert not picture.image.isNull(), picture.problem
    return picture


def colour(picture: Picture, x: float, y: float) -> tuple[int, int, int]:
    image = picture.image
    pixel = image.pixelColor(int(x * (image.width() - 1)), int(y * (image.height() - 1)))
    return pixel.red(), pixel.green(), pixel.blue()


def test_a_large_picture_is_scaled_into_the_box_and_keeps_its_shape(tmp_path: Path):
    Image.new("RGB", (640, 320), (9, 90, 200)).save(tmp_path / "a.png")
    picture = shown(tmp_path / "a.png")
    assert picture.image.size() == QSize(200, 100)
    assert picture.size == QSize(640, 320)
    assert not picture.is_whole


def test_a_small_picture_is_not_enlarged(tmp_path: Path):
    Image.new("RGB", (20, 30)).save(tmp_path / "a.png")
    assert shown(tmp_path / "a.png").is_whole


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_gives_what_pillow_gives(tmp_path: Path, orientation: int):
    image = Image.new("RGB", (400, 240), (250, 0, 0))
    image.paste((0, 250, 0), (0, 0, 200, 120))
    image.paste((0, 0, 250), (200, 0, 400, 120))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.jpg", exif=exif, quality=98)
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(Image.open(tmp_path / "a.jpg"))
    picture = shown(tmp_path / "a.jpg")
    assert (picture.size.width(), picture.size.height()) == upright.size
    for x, y in ((0.1, 0.1), (0.9, 0.1), (0.1, 0.9), (0.9, 0.9)):
        wanted = upright.getpixel((int(x * upright.width), int(y * upright.height)))
        assert colour(picture, x, y) == pytest.approx(wanted, abs=12)


@pytest.mark.parametrize("kind", ["avif", "cmyk", "deep", "tiff", "palette"])
def test_what_qt_cannot_read_as_training_does_is_shown_as_training_sees_it(
    tmp_path: Path, kind: str
):
    from core.data.images import load_picture

    base = Image.linear_gradient("L").resize((300, 200))
    if kind == "avif":
        path = tmp_path / "a.avif"
        base.convert("RGB").save(path, quality=95)
    elif kind == "cmyk":
        path = tmp_path / "a.jpg"
        Image.merge("CMYK", [base, base, base, base]).save(path, quality=95)
    elif kind == "deep":
        path = tmp_path / "a.png"
        rows = b"".join(bytes((0, row)) * 256 for row in range(256))
        Image.frombytes("I;16", (256, 256), rows).save(path)
    elif kind == "tiff":
        path = tmp_path / "a.tif"
        base.convert("F").save(path)
    else:
        path = tmp_path / "a.gif"
        base.convert("P").save(path)
    wanted = load_picture(path)
    picture = decode.decode(str(path), None)
    assert picture.is_whole, picture.problem
    for x, y in ((0.05, 0.05), (0.5, 0.5), (0.95, 0.9)):
        place = int(x * (wanted.width - 1)), int(y * (wanted.height - 1))
        expected = wanted.getpixel(place)
        assert colour(picture, x, y) == pytest.approx(expected, abs=8)


def test_an_embedded_profile_is_shown_in_srgb(tmp_path: Path):
    """A made-up profile whose red and green primaries are exchanged changes colours visibly."""
    from PySide6.QtCore import QPointF
    from PySide6.QtGui import QColorSpace

    space = QColorSpace(
        QPointF(0.3127, 0.329),
        QPointF(0.21, 0.71),
        QPointF(0.64, 0.33),
        QPointF(0.15, 0.06),
        QColorSpace.TransferFunction.SRgb,
    )
    space.setDescription("Exchanged")
    profile = bytes(space.iccProfile().data())
    ImageCms.ImageCmsProfile(io.BytesIO(profile))
    Image.new("RGB", (64, 64), (250, 10, 10)).save(tmp_path / "a.png", icc_profile=profile)
    picture = shown(tmp_path / "a.png")
    red, green, _ = colour(picture, 0.5, 0.5)
    assert green > red
    assert "Exchanged" in picture.profile
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGB", (64, 64), (250, 10, 10)).save(tmp_path / "b.png", icc_profile=srgb)
    usual = shown(tmp_path / "b.png")
    assert colour(usual, 0.5, 0.5) == pytest.approx((250, 10, 10), abs=1)
    assert usual.profile == ""


def test_an_animation_shows_its_first_frame_and_says_so(tmp_path: Path):
    frames = [Image.new("RGB", (40, 40), (0, 0, 60 * n)) for n in range(4)]
    for suffix in ("gif", "webp"):
        path = tmp_path / f"a.{suffix}"
        frames[0].save(path, save_all=True, append_images=frames[1:])
        picture = shown(path)
        assert picture.animated
        assert colour(picture, 0.5, 0.5)[2] < 30
    Image.new("RGB", (9, 9)).save(tmp_path / "still.gif")
    assert not shown(tmp_path / "still.gif").animated


def test_what_cannot_be_read_says_why(tmp_path: Path):
    Image.effect_noise((300, 300), 90).convert("RGB").save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "page.png").write_text("<html>no</html>", encoding="utf-8")
    (tmp_path / "empty.webp").write_bytes(b"")
    (tmp_path / "svg.png").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    for name, words in {
        "cut.jpg": "ends too early",
        "page.png": "web page",
        "empty.webp": "empty",
        "svg.png": "SVG",
    }.items():
        picture = decode.decode(str(tmp_path / name), BOX)
        assert picture.image.isNull()
        assert words in picture.problem
        assert not picture.missing
    assert decode.decode(str(tmp_path / "nothing.png"), BOX).missing


def test_transparency_is_kept_for_drawing_on_white(tmp_path: Path):
    Image.new("RGBA", (30, 30), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert shown(tmp_path / "a.png").image.hasAlphaChannel()


def test_a_hundred_megapixels_are_read(tmp_path: Path):
    Image.new("1", (10_000, 10_000), 1).save(tmp_path / "huge.png")
    picture = shown(tmp_path / "huge.png")
    assert picture.size == QSize(10_000, 10_000)
    assert picture.image.size() == BOX
    assert colour(picture, 0.5, 0.5) == (255, 255, 255)


def test_decoding_leaves_the_interpreter_to_the_window(tmp_path: Path):
    """While a large JPEG is decoded and scaled another thread goes on; decoding from bytes, or
    scaling a QImage in some versions, would hold the lock and stop it."""
    noise = Image.effect_noise((600, 400), 80).resize((4800, 3200)).convert("RGB")
    noise.save(tmp_path / "large.jpg", quality=90)
    noise.resize((2400, 1600)).save(tmp_path / "large.png", compress_level=1)
    for name in ("large.jpg", "large.png"):
        path = str(tmp_path / name)
        thread = threading.Thread(target=lambda path=path: decode.decode(path, None))
        thread.start()
        ticks = 0
        while thread.is_alive():
            time.sleep(0.0005)
            ticks += 1
        assert ticks >= 10, name


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1"])
@pytest.mark.parametrize("profile", [b"", "adobe"])
def test_converting_by_strips_changes_no_pixel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, profile: object
):
    noise = Image.merge("RGB", [Image.effect_noise((301, 203), 200) for _ in range(3)])
    image = noise.convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    named = QColorSpace(QColorSpace.NamedColorSpace.AdobeRgb)
    more = {"icc_profile": bytes(named.iccProfile().data())} if profile else {}
    image.save(tmp_path / "a.png", **more)
    whole = shown(tmp_path / "a.png", None).image
    monkeypatch.setattr(decode, "_STRIP_PIXELS", 301 * 7)
    strips = shown(tmp_path / "a.png", None).image
    assert strips.format() == whole.format()
    assert bytes(strips.constBits()) == bytes(whole.constBits())
    if mode in ("RGB", "RGBA") and profile:
        plain = QImage(str(tmp_path / "a.png")).convertToFormat(QImage.Format.Format_ARGB32)
        expected = plain.convertedToColorSpace(QColorSpace(QColorSpace.NamedColorSpace.SRgb))
        expected = expected.convertToFormat(strips.format())
        assert bytes(strips.constBits()) == bytes(expected.constBits())
