"""What is measured of pictures, and that it is remembered rightly."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from core import paths
from core.data import measures as module
from core.data.images import PictureError
from core.data.measures import Measures, MeasureStore, measure_picture
from core.errors import Stopped

OLD = 1_600_000_000


def bits_apart(a: Measures, b: Measures) -> int:
    return (a.dhash ^ b.dhash).bit_count()


@pytest.fixture
def store() -> Iterator[MeasureStore]:
    opened = MeasureStore()
    yield opened
    opened.close()


@pytest.fixture
def photo(folder: Path, picture_array: Callable[..., np.ndarray]) -> Callable[..., Path]:
    """photo(name, seed=0, size=(640, 480)) -> path of an old file with smooth areas and noise."""

    def make(name: str, seed: int = 0, size: tuple[int, int] = (640, 480)) -> Path:
        noise = np.random.default_rng(seed).integers(-20, 20, (size[1], size[0], 1))
        pixels = np.clip(picture_array(*size, seed).astype(int) + noise, 0, 255)
        path = folder / name
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        os.utime(path, (OLD, OLD))
        return path

    return make


def count_measured(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The pictures that are really measured from now on."""
    real, seen = measure_picture, []

    def counting(path: Path) -> Measures:
        seen.append(path)
        return real(path)

    monkeypatch.setattr(module, "measure_picture", counting)
    return seen


def test_sharpness_is_the_variance_of_the_laplacian(folder: Path) -> None:
    grey = np.random.default_rng(3).integers(0, 256, (40, 50), dtype=np.uint8)
    path = folder / "noise.png"
    Image.fromarray(grey).save(path)
    values = grey.astype(float)
    inside = [
        values[y - 1, x] + values[y + 1, x] + values[y, x - 1] + values[y, x + 1] - 4 * values[y, x]
        for y in range(1, 39)
        for x in range(1, 49)
    ]
    assert measure_picture(path).sharpness == pytest.approx(np.var(inside), rel=1e-5)


def test_blurred_is_less_sharp_at_any_size(photo: Callable[..., Path], folder: Path) -> None:
    sharp = photo("sharp.png", size=(1600, 1200))
    blurred = folder / "blurred.png"
    Image.open(sharp).filter(ImageFilter.GaussianBlur(6)).save(blurred)
    assert measure_picture(sharp).sharpness > 4 * measure_picture(blurred).sharpness


def test_exposure(folder: Path) -> None:
    grey = np.full((10, 10), 128, np.uint8)
    grey[:2], grey[9:] = 0, 255
    path = folder / "a.png"
    Image.fromarray(grey).save(path)
    found = measure_picture(path)
    assert found.clipped_dark == pytest.approx(0.2)
    assert found.clipped_light == pytest.approx(0.1)
    assert found.brightness == pytest.approx((70 * 128 + 10 * 255) / 100 / 255)


def test_the_hash_keeps_through_size_and_compression(
    photo: Callable[..., Path], folder: Path
) -> None:
    first, other = photo("a.png", 1), photo("b.png", 2)
    image = Image.open(first)
    image.resize((200, 150)).save(folder / "small.png")
    image.save(folder / "again.jpg", quality=70)
    measured = measure_picture(first)
    for name in ("small.png", "again.jpg"):
        again = measure_picture(folder / name)
        assert bits_apart(measured, again) <= 4
        assert max(abs(a - b) for a, b in zip(measured.colours, again.colours, strict=True)) < 12
    assert bits_apart(measured, measure_picture(other)) > 10


def test_the_hash_is_of_the_upright_picture(photo: Callable[..., Path], folder: Path) -> None:
    upright = photo("a.png", 5)
    turned = Image.open(upright).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(folder / "turned.jpg", exif=exif, quality=95)
    assert bits_apart(measure_picture(upright), measure_picture(folder / "turned.jpg")) <= 2


def test_the_smallest_pictures_can_be_measured(folder: Path) -> None:
    for size in ((1, 1), (1, 10000), (2, 2)):
        path = folder / "tiny.png"
        Image.new("RGB", size, (10, 20, 30)).save(path)
        assert measure_picture(path).sharpness == 0.0


def test_measured_once_and_remembered_by_other_processes(
    photo: Callable[..., Path], store: MeasureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = photo("a.png")
    assert store.get(path) is None
    first = store.measure(path)
    code = (
        "import sys; from pathlib import Path; from core.data.measures import MeasureStore;"
        "print(repr(MeasureStore().get(Path(sys.argv[1]))))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment,
        check=True,
    )
    assert done.stdout.strip() == repr(first)
    seen = count_measured(monkeypatch)
    assert store.measure(path) == first
    assert seen == []


def test_a_changed_picture_is_measured_anew(photo: Callable[..., Path]) -> None:
    store = MeasureStore()
    before = store.measure(photo("a.png", 1))
    path = photo("a.png", 2)
    os.utime(path, (OLD + 5, OLD + 5))
    assert store.get(path) is None
    assert store.measure(path) != before
    store.close()


def test_a_young_picture_is_remembered_in_this_process_alone(
    photo: Callable[..., Path], store: MeasureStore
) -> None:
    path = photo("a.png")
    os.utime(path)
    measured = store.measure(path)
    assert store.get(path) == measured
    other = MeasureStore()
    assert other.get(path) is None
    other.close()


def test_the_digest_is_added_when_asked_for(
    photo: Callable[..., Path], store: MeasureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = photo("a.png")
    assert store.measure(path).digest == ""
    seen = count_measured(monkeypatch)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert store.measure(path, digest=True).digest == digest
    assert store.get(path).digest == digest
    assert seen == []


@pytest.mark.parametrize("top_bit", [0, 1])
def test_all_64_bits_are_kept(
    top_bit: int,
    photo: Callable[..., Path],
    store: MeasureStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = Measures((top_bit << 63) | 5, 1.5, 0.25, 0.0, 1.0, "", bytes(range(48)))
    monkeypatch.setattr(module, "measure_picture", lambda _path: wanted)
    path = photo("a.png")
    store.measure(path)
    assert store.get(path) == wanted


def test_many_pictures_with_bad_ones_among_them(
    photo: Callable[..., Path], folder: Path, store: MeasureStore
) -> None:
    good = [photo(f"{n}.png", n, (80, 60)) for n in range(5)]
    page = folder / "page.jpg"
    page.write_text("<html>log in</html>")
    counts: list[tuple[int, int]] = []
    failed: list[tuple[Path, str]] = []
    found: list[Path] = []
    result = store.measure_all(
        [*good, page, folder / "gone.png", good[0]],
        lambda done, total: counts.append((done, total)),
        found=lambda path, _measures: found.append(path),
        failed=lambda path, reason: failed.append((path, reason)),
    )
    assert set(result) == set(found) == set(good)
    assert counts == [(n, 7) for n in range(1, 8)]
    reasons = dict(failed)
    assert "web page" in reasons[page]
    assert set(reasons) == {page, folder / "gone.png"}
    assert all(store.get(path) == result[path] for path in good)


def test_stopping_keeps_what_was_measured(photo: Callable[..., Path], store: MeasureStore) -> None:
    pictures = [photo(f"{n}.png", n, (40, 30)) for n in range(6)]
    done = 0

    def progress(number: int, _total: int) -> None:
        nonlocal done
        done = number

    with pytest.raises(Stopped):
        store.measure_all(pictures, progress, lambda: done >= 3)
    assert sum(store.get(path) is not None for path in pictures) >= 3


def test_a_bad_picture_is_named_when_measured_alone(folder: Path, store: MeasureStore) -> None:
    (folder / "empty.png").touch()
    for name in ("empty.png", "gone.png"):
        with pytest.raises(PictureError):
            store.measure(folder / name)


@pytest.mark.parametrize("damage", ["text", "cut", "other table", "folder"])
def test_a_damaged_memory_is_made_anew(damage: str, photo: Callable[..., Path]) -> None:
    path, file = photo("a.png"), paths.cache_dir() / "measures.sqlite3"
    store = MeasureStore()
    measured = store.measure(path)
    store.close()
    for ending in ("-wal", "-shm"):
        Path(f"{file}{ending}").unlink(missing_ok=True)
    if damage == "text":
        file.write_bytes(b"this is no database, " * 1000)
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:5000])
    elif damage == "other table":
        file.unlink()
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE pictures (path TEXT)")
        connection.close()
    else:
        file.unlink()
        file.mkdir()
    again = MeasureStore()
    assert again.measure(path) == measured
    assert again.get(path) == (None if damage == "folder" else measured)
    again.close()


def test_a_cache_that_cannot_be_made_costs_only_the_memory(
    photo: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    store = MeasureStore(tmp_path / "file" / "measures.sqlite3")
    path = photo("a.png")
    assert store.measure(path).sharpness > 0
    assert store.get(path) is None
    store.close()


def test_many_names_at_once_from_two_stores(photo: Callable[..., Path], folder: Path) -> None:
    pictures = [photo(f"{n}.png", n, (20, 20)) for n in range(40)]
    stores = [MeasureStore(), MeasureStore()]
    results = [store.measure_all(pictures, threads=4) for store in stores]
    assert results[0] == results[1]
    for store in stores:
        assert all(store.get(path) is not None for path in pictures)
        store.close()
