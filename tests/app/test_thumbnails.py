"""Thumbnails: right pixels, kept on disk, urgent ones first, nothing half-decoded."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PySide6.QtGui import QImage

from app import thumbnails
from app.thumbnails import ThumbnailStore, make_thumbnail
from core.data.images import PictureError


@pytest.fixture
def store(styled: Any, tmp_path: Path) -> Iterator[ThumbnailStore]:
    """A store with a disk cache of its own."""
    result = ThumbnailStore(folder=tmp_path / "kept")
    yield result
    result.close()


def noise(
    path: Path, size: tuple[int, int] = (300, 200), mode: str = "RGB", **options: Any
) -> Path:
    """A picture of random pixels."""
    data = random.Random(1).randbytes(size[0] * size[1] * len(Image.new(mode, (1, 1)).getbands()))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.frombytes(mode, size, data).save(path, **options)
    return path


def colour(image: QImage, x: float = 0.5, y: float = 0.5) -> tuple[int, int, int]:
    """The colour at a relative place."""
    found = image.pixelColor(int(x * (image.width() - 1)), int(y * (image.height() - 1)))
    return found.red(), found.green(), found.blue()


def wait_for(qtbot: Any, store: ThumbnailStore, path: Path, edge: int = 256) -> QImage:
    """Request a thumbnail and wait for it."""
    with qtbot.waitSignal(store.ready, timeout=20000, check_params_cb=lambda p, _: p == path):
        store.request(path, edge)
    image = store.peek(path, edge)
    assert image is not None
    return image


def test_a_thumbnail_keeps_the_shape(store: ThumbnailStore, qtbot: Any, tmp_path: Path) -> None:
    path = noise(tmp_path / "wide é中.png", (900, 300))
    assert store.peek(path, 256) is None
    image = wait_for(qtbot, store, path)
    assert (image.width(), image.height()) == (256, 85)
    assert wait_for(qtbot, store, path, 400).width() == 512
    assert wait_for(qtbot, store, noise(tmp_path / "small.png", (40, 30))).width() == 40


def test_the_second_time_it_comes_from_disk(
    store: ThumbnailStore, qtbot: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    path = noise(tmp_path / "a.png")
    first = wait_for(qtbot, store, path)
    made: list[Path] = []
    real = make_thumbnail

    def counting(path: Path, edge: int) -> QImage:
        made.append(path)
        return real(path, edge)

    monkeypatch.setattr(thumbnails, "make_thumbnail", counting)
    again = ThumbnailStore(folder=tmp_path / "kept")
    assert wait_for(qtbot, again, path).size() == first.size()
    assert made == []
    stat = path.stat()
    noise(path, (100, 300))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))
    again.forget(path)
    assert wait_for(qtbot, again, path).height() == 256
    assert made == [path]
    again.close()


def test_a_torn_file_in_the_cache_is_made_again(
    store: ThumbnailStore, qtbot: Any, tmp_path: Path
) -> None:
    path = noise(tmp_path / "a.png")
    wait_for(qtbot, store, path)
    (kept,) = (tmp_path / "kept").rglob("*.jpg")
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])
    store.forget(path)
    assert not wait_for(qtbot, store, path).isNull()
    assert kept.read_bytes() == whole
    assert list((tmp_path / "kept").rglob("part-*")) == []


def test_urgent_ones_first_and_what_scrolled_away_is_dropped(
    store: ThumbnailStore, qtbot: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    gate, order = threading.Event(), []

    def slow(path: Path, edge: int) -> QImage:
        order.append(path.name)
        gate.wait(20)
        return QImage(4, 4, QImage.Format.Format_RGB32)

    monkeypatch.setattr(thumbnails, "make_thumbnail", slow)
    monkeypatch.setattr(thumbnails, "THREADS", 1)
    paths = [noise(tmp_path / f"{n}.png", (4, 4)) for n in range(8)]
    store.request(paths[0], 256)
    qtbot.waitUntil(lambda: len(order) == 1, timeout=20000)  # the thread is at work
    for path in paths[1:7]:
        store.request(path, 256)
    store.request(paths[7], 256, priority=5)
    store.request(paths[4], 256, priority=3)
    store.keep_only([paths[3], paths[4], paths[7]])
    gate.set()
    qtbot.waitUntil(store.is_idle, timeout=20000)
    assert order[1:] == ["7.png", "4.png", "3.png"]
    assert store.peek(paths[2], 256) is None


def test_bad_files_give_a_reason(store: ThumbnailStore, qtbot: Any, tmp_path: Path) -> None:
    whole = noise(tmp_path / "whole.jpg", (400, 400), quality=90).read_bytes()
    bad = {
        "empty.png": b"",
        "page.jpg": b"<!DOCTYPE html><html></html>",
        "torn.jpg": whole[: len(whole) // 2],
        "torn.png": noise(tmp_path / "whole.png").read_bytes()[:5000],
    }
    told: dict[str, str] = {}
    store.failed.connect(lambda path, reason: told.update({path.name: reason}))
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
        assert wait_for(qtbot, store, tmp_path / name).isNull()
    assert wait_for(qtbot, store, tmp_path / "missing.png").isNull()
    assert told.keys() == {*bad, "missing.png"}
    assert "web page" in store.reason(tmp_path / "page.jpg")
    assert "too early" in told["torn.jpg"]
    assert len(list((tmp_path / "kept").rglob("*.jpg"))) == 0


def test_colours_are_what_training_sees(styled: Any, tmp_path: Path) -> None:
    clear = Image.new("RGBA", (60, 60), (255, 0, 0, 0))
    clear.save(tmp_path / "clear.png")
    assert colour(make_thumbnail(tmp_path / "clear.png", 256)) == (255, 255, 255)
    Image.new("CMYK", (60, 60), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg", quality=95)
    red, green, blue = colour(make_thumbnail(tmp_path / "cmyk.jpg", 256))
    assert red > 180 and green < 80 and blue < 80
    Image.new("I;16", (60, 60), 65535).save(tmp_path / "deep.png")
    assert colour(make_thumbnail(tmp_path / "deep.png", 256)) == (255, 255, 255)
    Image.new("RGB", (60, 60), (0, 200, 0)).save(tmp_path / "a.avif", quality=95)
    assert colour(make_thumbnail(tmp_path / "a.avif", 256))[1] > 180
    turned = Image.new("RGB", (100, 50), "red")
    turned.paste("lime", (0, 0, 50, 50))
    exif = turned.getexif()
    exif[0x0112] = 6  # shown turned a quarter: what is left comes to the top
    turned.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    upright = make_thumbnail(tmp_path / "turned.jpg", 256)
    assert (upright.width(), upright.height()) == (50, 100)
    assert colour(upright, y=0.05)[1] > 150 and colour(upright, y=0.95)[0] > 150


def test_thin_pictures_have_thumbnails(styled: Any, tmp_path: Path) -> None:
    Image.new("RGB", (1, 10000), "blue").save(tmp_path / "thin.png")
    image = make_thumbnail(tmp_path / "thin.png", 256)
    assert (image.width(), image.height()) == (1, 256)
    with pytest.raises(PictureError):
        make_thumbnail(tmp_path / "missing.png", 256)


def test_the_disk_cache_has_a_limit(styled: Any, qtbot: Any, tmp_path: Path) -> None:
    paths = [noise(tmp_path / f"{n}.png", (300, 300)) for n in range(6)]
    first = ThumbnailStore(folder=tmp_path / "kept")
    for number, path in enumerate(paths):
        wait_for(qtbot, first, path)
        newest = max((tmp_path / "kept").rglob("*.jpg"), key=lambda p: p.stat().st_mtime_ns)
        os.utime(newest, (1000 + number, 1000 + number))
    first.close()
    files = sorted((tmp_path / "kept").rglob("*.jpg"), key=lambda p: p.stat().st_mtime)
    sizes = [file.stat().st_size for file in files]
    most = sum(sizes) // 2
    second = ThumbnailStore(folder=tmp_path / "kept", disk_bytes=most)
    wait_for(qtbot, second, noise(tmp_path / "new.png", (20, 20)))

    def old_kept() -> int:
        return sum(size for file, size in zip(files, sizes, strict=True) if file.exists())

    # More than it must goes at once, so that this is not due again with the next picture.
    qtbot.waitUntil(lambda: old_kept() < 0.9 * most, timeout=20000)
    second.close()
    left = [file for file in files if file.exists()]
    assert left and left == files[-len(left) :]
    assert sum(file.stat().st_size for file in (tmp_path / "kept").rglob("*.jpg")) <= most


def test_memory_has_a_limit(styled: Any, qtbot: Any, tmp_path: Path) -> None:
    small = ThumbnailStore(folder=tmp_path / "kept", memory_bytes=256 * 171 * 4 * 2 + 100)
    paths = [noise(tmp_path / f"{n}.png") for n in range(3)]
    for path in paths:
        wait_for(qtbot, small, path)
    assert small.peek(paths[0], 256) is None
    assert small.peek(paths[2], 256) is not None
    small.close()
