"""Focus points that an older version stored in the coordinates of a picture lying on its side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from core.culling.history import History
from core.culling.notes import NOTES_NAME, change_notes, raw_notes, read_notes
from core.errors import Problem

SIZE = (80, 48)
POINT = (0.3, 0.8)


def lying(path: Path, orientation: int) -> Path:
    """A black picture with a white spot at POINT of what is stored."""
    image = Image.new("RGB", SIZE)
    x, y = round(POINT[0] * SIZE[0]), round(POINT[1] * SIZE[1])
    image.paste((255, 255, 255), (x - 3, y - 3, x + 3, y + 3))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)
    return path


def stored_by_an_older_version(folder: Path, *names: str) -> None:
    pictures = {name: {"focus": list(POINT), "stars": 2} for name in names}
    (folder / NOTES_NAME).write_text(json.dumps({"limner": 1, "pictures": pictures}))


def spot(path: Path) -> tuple[float, float]:
    """Where the spot is in the upright picture, as fractions, by Pillow."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("L").point(lambda v: 255 * (v > 127))
    left, top, right, bottom = upright.getbbox() or (0, 0, 0, 0)
    return (left + right) / 2 / upright.width, (top + bottom) / 2 / upright.height


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "webp", "jpg"])
def test_it_is_turned_with_the_picture(tmp_path: Path, kind: str, orientation: int) -> None:
    path = lying(tmp_path / f"a.{kind}", orientation)
    stored_by_an_older_version(tmp_path, path.name)
    problems: list[Problem] = []

    focus = read_notes(tmp_path, problems)[path.name].focus

    # JPEG was shown upright before, too.
    expected = POINT if kind == "jpg" else spot(path)
    assert focus == pytest.approx(expected, abs=0.02)
    assert bool(problems) == (kind != "jpg" and orientation > 1)


def test_it_is_told_and_looking_changes_nothing(tmp_path: Path) -> None:
    for name, orientation in (("a.png", 6), ("b.webp", 3), ("c.png", 1)):
        lying(tmp_path / name, orientation)
    stored_by_an_older_version(tmp_path, "a.png", "b.webp", "c.png")
    before = (tmp_path / NOTES_NAME).read_bytes()
    problems: list[Problem] = []
    read_notes(tmp_path, problems)
    (told,) = problems
    assert (told.code, told.severity) == ("focus_turned", "warning")
    assert told.title.startswith(f"The focus points of 2 pictures in {tmp_path}, such as a.png")
    assert (tmp_path / NOTES_NAME).read_bytes() == before


def test_a_change_stores_it_upright_once(tmp_path: Path) -> None:
    path = lying(tmp_path / "a.png", 6)
    lying(tmp_path / "b.png", 1)
    stored_by_an_older_version(tmp_path, "a.png")
    change_notes(tmp_path, {"b.png": {"mark": "keep"}})
    problems: list[Problem] = []
    assert read_notes(tmp_path, problems)["a.png"].focus == pytest.approx(spot(path), abs=0.02)
    assert problems == []
    entry = raw_notes(tmp_path, ["a.png"])["a.png"]
    assert entry["stars"] == 2 and entry["focus"] == entry["focus_upright"]


def test_a_point_set_now_stays_and_one_that_an_older_version_sets_later_is_turned(
    tmp_path: Path,
) -> None:
    path = lying(tmp_path / "a.png", 6)
    History(tmp_path).set_focus(path, (0.9, 0.1))
    assert read_notes(tmp_path)["a.png"].focus == (0.9, 0.1)
    document = json.loads((tmp_path / NOTES_NAME).read_text())
    document["pictures"]["a.png"]["focus"] = list(POINT)  # it keeps the keys it does not know
    (tmp_path / NOTES_NAME).write_text(json.dumps(document))
    assert read_notes(tmp_path)["a.png"].focus == pytest.approx(spot(path), abs=0.02)


def test_taking_the_focus_away_leaves_nothing_behind(tmp_path: Path) -> None:
    path = lying(tmp_path / "a.png", 6)
    history = History(tmp_path)
    history.set_focus(path, (0.9, 0.1))
    history.set_focus(path, None)
    assert raw_notes(tmp_path, ["a.png"]) == {"a.png": {}}
