"""Kinds of picture files: those that are read, and those that Check names instead."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from core.config.job import Job
from core.data import kinds
from core.data.headers import jxl_size
from core.data.images import PictureError, load_picture, picture_size
from core.data.plan import make_plan
from core.data.scan import scan_folder


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_pictures_of_kinds_that_are_not_read_are_counted_and_named(
    folder: Path, add_picture: Callable[..., Path], make_job: Callable[..., Job]
) -> None:
    add_picture("a.png")
    _touch(folder, "IMG_1.CR2", "IMG_2.nef", "b.psd", "c.tga", "d.jp2", "sub/e.DNG", "notes.docx")
    job = make_job()
    job.concepts[0].include_subfolders = True

    plan = make_plan(job, bucket_step=8)

    told = next(p for p in plan.problems if p.code == "pictures_not_read")
    assert told.title == (
        f"6 picture files in {folder} are left out (3 camera raw, 1 Photoshop, 1 Targa, "
        "1 JPEG 2000), as Limner does not read their kinds; export them as PNG or JPEG."
    )
    assert told.severity == "warning" and told.setting == "concepts.0.path"
    names = ["b.psd", "c.tga", "d.jp2", "IMG_1.CR2", "IMG_2.nef", str(Path("sub/e.DNG"))]
    assert told.detail.splitlines() == names


def test_a_raw_file_beside_its_jpeg_is_not_named(folder: Path) -> None:
    _touch(folder, "IMG_1.JPG", "img_1.cr2", "IMG_2.cr2")
    told = scan_folder(folder, False).problems
    assert [p.detail for p in told] == ["IMG_2.cr2"]
    assert told[0].title.startswith("1 picture file in")
    assert "as Limner does not read its kind; export it as PNG or JPEG" in told[0].title


def test_an_animated_png_is_read_by_its_first_picture(folder: Path) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "a.png", save_all=True, append_images=frames[1:])
    (folder / "a.png").rename(folder / "b.apng")
    assert [path.name for path in scan_folder(folder, False)] == ["b.apng"]
    assert load_picture(folder / "b.apng").getpixel((3, 3)) == (255, 0, 0)


def test_jpeg_xl_without_its_package_says_how_to_install_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    kinds._register_jxl.cache_clear()
    (folder / "a.jxl").write_bytes(b"\xff\x0a\xfa\x1f")
    for read in (picture_size, load_picture):
        with pytest.raises(PictureError, match="pip install pillow-jxl-plugin"):
            read(folder / "a.jxl")
    kinds._register_jxl.cache_clear()


def test_a_jpeg_xl_picture_is_read_like_its_original(folder: Path) -> None:
    pytest.importorskip("pillow_jxl")
    path = folder / "a.jxl"
    picture = Image.linear_gradient("L").resize((64, 40)).convert("RGB")
    for container in (False, True):
        picture.save(path, lossless=True, use_container=container)
        assert picture_size(path) == (64, 40)
        assert load_picture(path).tobytes() == picture.tobytes()
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(PictureError, match="damaged"):
        load_picture(path)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (64, 40), (250, 333), (1600, 900), (20000, 3)])
def test_the_size_of_jpeg_xl_is_read_from_its_header(folder: Path, size: tuple[int, int]) -> None:
    pytest.importorskip("pillow_jxl")
    path = folder / "a.jxl"
    Image.new("RGB", size).save(path, effort=1)
    assert jxl_size(path.read_bytes()) == size


def test_a_jpeg_xl_picture_that_declares_too_much_is_not_decoded(folder: Path) -> None:
    pytest.importorskip("pillow_jxl")
    # Not by eight, 30 bits of height, 1:1; then defaults all through.
    bits = 0 | 3 << 1 | (99_999 << 3) | 1 << 33 | 1 << 36
    path = folder / "a.jxl"
    path.write_bytes(b"\xff\x0a" + bits.to_bytes(18, "little"))
    for read in (picture_size, load_picture):
        with pytest.raises(PictureError, match="100000x100000 pixels, more than the limit"):
            read(path)
