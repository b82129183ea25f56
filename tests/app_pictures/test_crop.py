"""The crop, the focus point and the changes of training, seen beside the grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PySide6.QtCore import QPoint, Qt

from app.concepts.facts import Look
from app.concepts.preview import crop_part
from core.config.concepts import Concept
from core.culling.notes import read_notes
from core.data.buckets import Shapes, make_buckets, place

from .conftest import Room, picture


def test_a_click_lays_the_crop_around_a_point(room: Room, tmp_path: Path, qtbot: Any) -> None:
    folder = tmp_path / "wide"
    picture(folder / "a.png", (400, 240))
    page = room.open(folder, (64,))
    preview = page.detail.preview
    box = preview.picture_box()
    at = QPoint(round(box.left() + box.width() * 0.9), round(box.center().y()))
    qtbot.mouseClick(preview, Qt.MouseButton.LeftButton, pos=at)
    room.settle()
    focus = read_notes(folder)["a.png"].focus
    assert focus is not None
    assert focus[0] == pytest.approx(0.9, abs=0.01)
    assert focus[1] == pytest.approx(0.5, abs=0.01)
    expected = place((400, 240), make_buckets(64, 64), focus)
    assert preview.placements() == [expected]
    assert crop_part(expected).right() == pytest.approx(1.0, abs=0.01)
    assert room.facts("a.png").note.focus == focus
    qtbot.mouseClick(page.detail.centre, Qt.MouseButton.LeftButton)
    room.settle()
    assert (
        read_notes(folder).get("a.png", None) is None or read_notes(folder)["a.png"].focus is None
    )
    page.grid.setFocus()
    room.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    room.settle()
    assert read_notes(folder)["a.png"].focus == focus


def test_every_resolution_shows_its_crop(room: Room, tmp_path: Path) -> None:
    picture(tmp_path / "set" / "a.png", (200, 100))
    page = room.open(tmp_path / "set", (64, 128, 256))
    assert page.detail.preview.placements() == [
        place((200, 100), make_buckets(side, 64)) for side in (64, 128, 256)
    ]
    assert page.detail.sides.isVisible()
    assert not page.detail.small.isVisible()
    page.detail.sides.chosen.emit(2)
    page.detail.sides._group.button(2).click()
    assert page.detail.small.isVisible()
    assert "enlarged" in page.detail.small.text()
    assert room.facts("a.png").small


def test_small_pictures_that_are_left_out_are_told(room: Room, tmp_path: Path) -> None:
    picture(tmp_path / "set" / "a.png", (50, 50))
    page = room.open(tmp_path / "set", (64,), small="leave_out")
    assert "left out" in page.detail.small.text()


def test_the_changes_of_a_picture_are_previewed_live(room: Room, folder: Path) -> None:
    page = room.open(folder)
    strip = page.detail.variations
    assert strip.images() == []
    assert "not changed" in strip.note.text()
    page.set_look(
        Look(
            Concept(path=str(folder), image={"flip": 1.0, "variants": 3}),  # type: ignore[arg-type]
            (64,),
            Shapes(64),
        )
    )
    room.settle()
    room.until(lambda: len(strip.images()) == 3)
    assert "3 changed versions" in strip.note.text()
    path = page.grid.current()
    assert path is not None
    with Image.open(path) as image:
        flipped = image.convert("RGB").transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        wanted = flipped.resize((64, 64), Image.Resampling.LANCZOS)
    shown = strip.images()[0]
    for x, y in ((3, 3), (32, 20), (60, 50)):
        got = shown.pixelColor(x, y)
        assert (got.red(), got.green(), got.blue()) == pytest.approx(wanted.getpixel((x, y)), abs=4)
    page.set_look(
        Look(
            Concept(path=str(folder), image={"hue": 1.0, "caching": "off"}),  # type: ignore[arg-type]
            (64,),
            Shapes(64),
        )
    )
    room.until(lambda: len(strip.images()) == 6)
    assert "Each step" in strip.note.text()
    before = [image.copy() for image in strip.images()]
    strip.again.click()
    room.until(lambda: strip.images() != before and len(strip.images()) == 6)


def test_the_caption_as_trained_has_the_trigger_and_its_tokens(room: Room, folder: Path) -> None:
    page = room.open(folder, prompt={"trigger": "sks"})
    room.choose("p 1.png")
    room.settle()
    assert page.detail.caption.text() == "sks, a red robot"
    room.until(lambda: page.detail.tokens.text() != "")
    assert page.detail.tokens.text().endswith("tokens")
