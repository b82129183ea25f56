"""Deleting, marking, undoing, and a folder that other programs change."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image
from PySide6.QtCore import Qt

from core.culling.notes import read_notes

from .conftest import Room, picture


def test_delete_takes_the_caption_along_and_undo_brings_both_back(
    room: Room, folder: Path, trash: Path
) -> None:
    room.open(folder)
    room.choose("p 1.png", "p 2.png")
    room.key(Qt.Key.Key_Delete)
    assert room.names() == ["p 0.png", "p 3.png", "p 4.png", "p 5.png"]
    assert room.page.grid.current() == folder / "p 3.png"
    room.settle()
    assert not (folder / "p 1.png").exists() and not (folder / "p 1.txt").exists()
    assert "2 pictures" in room.page.said.text()
    room.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    room.settle()
    assert (folder / "p 1.png").exists() and (folder / "p 2.txt").read_text() == "一个机器人"
    room.until(lambda: len(room.names()) == 6)
    assert room.names()[1] == "p 1.png"


def test_marks_by_keys(room: Room, folder: Path) -> None:
    room.open(folder)
    room.choose("p 3.png", "p 4.png")
    room.key(Qt.Key.Key_X)
    room.settle()
    assert {n: note.mark for n, note in read_notes(folder).items()} == {
        "p 3.png": "reject",
        "p 4.png": "reject",
    }
    room.key(Qt.Key.Key_X)
    room.settle()
    assert not any(note.mark for note in read_notes(folder).values())
    room.key(Qt.Key.Key_K)
    room.settle()
    assert room.facts("p 3.png").note.mark == "keep"


def test_nothing_to_undo_is_said(room: Room, folder: Path) -> None:
    room.open(folder)
    room.choose("p 0.png")
    room.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    room.settle()
    assert room.page.said.text() == "Nothing to undo."


def test_the_folder_gains_and_loses_files(room: Room, folder: Path) -> None:
    page = room.open(folder)
    room.choose("p 4.png")
    picture(folder / "p 0a.png", seed=77)
    (folder / "p 0a.txt").write_text("new")
    room.until(lambda: "p 0a.png" in room.names())
    assert page.grid.current() == folder / "p 4.png"
    assert page.grid.selected() == [folder / "p 4.png"]
    (folder / "p 3.png").unlink()
    room.until(lambda: "p 3.png" not in room.names())
    assert page.grid.current() == folder / "p 4.png"
    room.settle()
    assert room.facts("p 0a.png").text == "new"


def test_a_folder_that_vanishes_is_told_and_comes_back(room: Room, folder: Path) -> None:
    page = room.open(folder)
    away = folder.with_name("elsewhere")
    folder.rename(away)
    room.until(lambda: room.names() == [])
    assert "does not exist" in page.empty.text()
    away.rename(folder)
    room.until(lambda: len(room.names()) == 6)
    room.settle()


def test_a_replaced_picture_has_a_new_thumbnail(room: Room, folder: Path) -> None:
    page = room.open(folder)
    path = folder / "p 0.png"
    Image.new("RGB", (50, 30), "white").save(path)
    os.utime(path, (2_000_000_000, 2_000_000_000))
    page.refresh()
    room.settle()

    def white() -> bool:
        image = page.store.peek(path, 256)
        return image is not None and image.pixelColor(0, 0).lightness() == 255

    page.grid.verticalScrollBar().valueChanged.emit(0)
    room.until(white)
    assert room.facts("p 0.png").size == (50, 30)
