"""The grid of a concept's pictures: thumbnails, badges, filters, orders, parts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from PIL import Image
from PySide6.QtCore import QEvent, QObject, QPointF, QRect, Qt
from PySide6.QtGui import QPaintEvent
from PySide6.QtWidgets import QApplication, QWidget

from app.concepts.facts import FactsReader, Listing, Look, PictureFacts, sides_of
from app.concepts.tiles import CaptionEditor, broken, tile_shape
from core.config.concepts import Concept
from core.culling.notes import change_notes
from core.data.buckets import Shapes

from .conftest import Room, picture


def test_pictures_come_in_natural_order_with_thumbnails(room: Room, tmp_path: Path) -> None:
    for number in (1, 2, 10):
        picture(tmp_path / "set" / f"図 {number}.png")
    room.open(tmp_path / "set")
    assert room.names() == ["図 1.png", "図 2.png", "図 10.png"]
    for path in room.page.model.shown():
        image = room.page.store.peek(path, 256)
        assert image is not None and not image.isNull()
    assert room.page.number.text() == "3 pictures"


def test_badges_tell_what_is_the_matter(room: Room, folder: Path) -> None:
    (folder / "torn.png").write_bytes((folder / "p 0.png").read_bytes()[:300])
    (folder / "page.jpg").write_bytes(b"<html></html>")
    picture(folder / "tiny.png", (30, 40))
    (folder / "p 3.txt").write_bytes(b"\x00\x01\x02\x00")
    (folder / "p 4-masklabel.png").write_bytes((folder / "p 4.png").read_bytes())
    change_notes(folder, {"p 4.png": {"focus": [0.2, 0.3]}, "p 5.png": {"mark": "reject"}})
    room.open(folder)
    badges = {
        path.name: [badge.icon for badge in room.page.grid.tiles.badges(facts)]
        for path, facts in room.page.model.facts().items()
    }
    assert badges["p 0.png"] == []
    assert badges["p 4.png"] == ["captions-off", "venetian-mask", "crosshair"]
    assert badges["p 5.png"] == ["captions-off", "x"]
    assert badges["tiny.png"] == ["captions-off", "scaling"]
    assert badges["p 3.png"] == ["file-x"]
    assert badges["page.jpg"] == ["file-x"]
    assert badges["torn.png"] == ["file-x"]
    assert "web page" in room.facts("page.jpg").problem
    counts = room.page.model.filter_counts
    assert counts["bad"] == 3
    assert counts["small"] == 1
    assert counts["rejected"] == counts["focus"] == 1
    assert counts["no_caption"] == 4  # pre-flight counts one that cannot be read as missing too
    assert not room.page.grid.grab().isNull()


def test_filters_show_what_they_count(room: Room, folder: Path, qtbot: Any) -> None:
    room.open(folder)
    chips = room.page.bar.chips
    assert chips["no_caption"].text().endswith("3")
    assert chips["bad"].isHidden()
    qtbot.mouseClick(chips["no_caption"], Qt.MouseButton.LeftButton)
    assert room.names() == ["p 3.png", "p 4.png", "p 5.png"]
    qtbot.mouseClick(chips["all"], Qt.MouseButton.LeftButton)
    assert len(room.names()) == 6


def test_search_finds_words_in_captions_and_names(room: Room, folder: Path, qtbot: Any) -> None:
    room.open(folder)
    qtbot.keyClicks(room.page.bar.search, "ROBOT red")
    room.until(lambda: room.names() == ["p 1.png"])
    room.page.bar.search.clear()
    room.page.bar.search.setText("机器")
    room.until(lambda: room.names() == ["p 2.png"])
    room.page.bar.search.setText("nothing has this")
    room.until(lambda: room.names() == [])
    assert "No picture fits" in room.page.empty.text()


def test_orders(room: Room, folder: Path) -> None:
    picture(folder / "large.png", (200, 200))
    os.utime(folder / "p 4.png", (2_000_000_000, 2_000_000_000))
    room.open(folder)
    model = room.page.model
    model.set_sort("date")
    assert room.names()[0] == "p 4.png"
    model.set_sort("pixels")
    assert room.names()[0] == "large.png"
    model.set_sort("caption")
    assert room.names()[:2] == ["p 0.png", "p 1.png"]
    model.set_sort("size")
    assert room.facts(room.names()[0]).bytes >= room.facts(room.names()[1]).bytes
    model.set_sort("name")
    assert room.names()[0] == "large.png"


def test_look_alikes_are_found_and_stand_together(room: Room, folder: Path) -> None:
    with Image.open(folder / "p 0.png") as image:
        image.resize((80, 80)).save(folder / "z copy.jpg", quality=85)
    room.open(folder)
    room.until(lambda: room.page.model.filter_counts["duplicates"] == 2)
    assert room.facts("p 0.png").group == room.facts("z copy.jpg").group >= 0
    room.page.model.set_sort("similarity")
    assert set(room.names()[:2]) == {"p 0.png", "z copy.jpg"}


def test_an_empty_and_a_missing_folder_are_told(room: Room, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    room.open(tmp_path / "empty")
    assert "no pictures" in room.page.empty.text()
    room.open(tmp_path / "gone")
    assert "does not exist" in room.page.empty.text()


def test_two_thousand_pictures(room: Room, tmp_path: Path) -> None:
    first = picture(tmp_path / "many" / "0000.png", (24, 24))
    data = first.read_bytes()
    for number in range(1, 2000):
        (tmp_path / "many" / f"{number:04d}.png").write_bytes(data)
    page = room.open(tmp_path / "many")
    assert len(room.names()) == 2000
    room.key(Qt.Key.Key_End)
    assert page.grid.current() == tmp_path / "many" / "1999.png"
    room.until(lambda: page.store.peek(page.model.path_at(1999), 256) is not None)
    # What scrolled past was never decoded.
    assert page.store.peek(page.model.path_at(900), 256) is None
    room.key(Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    assert len(page.grid.selected()) == 2000


class Painted(QObject):
    """Notes what is painted of a widget."""

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self.rects: list[QRect] = []
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if isinstance(event, QPaintEvent):
            self.rects.append(event.rect())
        return False


def test_scrolling_paints_only_what_comes_into_view(room: Room, tmp_path: Path) -> None:
    for number in range(60):
        picture(tmp_path / "set" / f"{number:02}.png", (32, 32), seed=number + 1)
    room.open(tmp_path / "set")
    grid, bar = room.page.grid, room.page.grid.verticalScrollBar()
    assert bar.maximum() > 200 and bar.isEnabled()
    bar.setValue(100)
    room.settle()
    painted = Painted(grid.viewport())
    bar.setValue(bar.value() + 24)
    room.until(lambda: bool(painted.rects))
    assert all(rect.height() < grid.viewport().height() // 2 for rect in painted.rects)


def test_sides_as_planning_counts_them() -> None:
    plain = Concept()
    assert sides_of(plain, 512, "384, 640; 500", 64) == (512, 384, 640)
    assert sides_of(plain, 512, "", 64) == (512,)
    assert sides_of(Concept(resolution=720), 512, "384", 64) == (704,)
    assert sides_of(Concept(kind="validation"), 512, "384", 64) == (512,)


def test_what_decoding_found_survives_reading(room: Room, folder: Path) -> None:
    (folder / "torn.png").write_bytes((folder / "p 0.png").read_bytes()[:300])
    page = room.open(folder)
    assert room.facts("torn.png").problem
    page.refresh()
    room.settle()
    assert room.facts("torn.png").problem
    (folder / "torn.png").write_bytes((folder / "p 0.png").read_bytes())
    page.refresh()
    room.settle()
    assert not room.facts("torn.png").problem


def test_a_caption_that_cannot_be_written_is_told(room: Room, folder: Path, qtbot: Any) -> None:
    room.open(folder)
    (folder / "p 3.txt").mkdir()
    room.choose("p 3.png")
    editor = room.edit()
    qtbot.keyClicks(editor, "lost?")
    qtbot.keyClick(editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    room.settle()
    assert room.page.said.kind() == "error"
    assert "p 3.txt" in room.page.said.text()
    assert room.facts("p 3.png").text == ""
    open_again = [e for e in room.page.grid.findChildren(CaptionEditor) if e.isVisible()]
    assert [e.exact_text() for e in open_again] == ["lost?"]
    (folder / "p 3.txt").rmdir()
    qtbot.keyClick(open_again[0], Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    room.settle()
    assert (folder / "p 3.txt").read_text() == "lost?"


def test_what_is_being_typed_survives_a_new_order(room: Room, folder: Path, qtbot: Any) -> None:
    os.utime(folder / "p 5.png", (2_000_000_000, 2_000_000_000))
    page = room.open(folder)
    room.choose("p 1.png")
    qtbot.keyClicks(room.edit(), ", half done")
    page.model.set_sort("date")
    assert room.names()[0] == "p 5.png"
    room.settle()
    assert (folder / "p 1.txt").read_text() == "a red robot, half done"


def test_reading_again_keeps_what_did_not_change(folder: Path) -> None:
    look = Look(Concept(path=str(folder)), (64,), Shapes(64))
    found: dict[Path, PictureFacts] = {}
    listed: list[Listing] = []
    FactsReader(look).run(listed.append, lambda new: found.update({f.path: f for f in new}))
    assert list(listed[0].facts) == list(found)
    (folder / "p 5.txt").write_text("now")
    again: dict[Path, PictureFacts] = {}
    FactsReader(look, found).run(listed.append, lambda new: again.update({f.path: f for f in new}))
    assert again[folder / "p 0.png"] == found[folder / "p 0.png"]
    assert again[folder / "p 5.png"].text == "now"
    assert not again[folder / "p 5.png"].no_caption


def test_long_captions_end_in_an_ellipsis(styled: QApplication) -> None:
    lines = broken("word " * 200, 120, 3)
    assert len(lines) == 3
    assert lines[-1].endswith("…")
    assert broken("one\n\ntwo", 120, 3) == ["one", "two"]
    assert "".join(broken("🙂" * 30, 120, 9)).count("🙂") == 30
    assert broken("", 120, 3) == []
    assert broken("\ufeffone", 120, 3) == ["one"]


def test_tiles_fill_the_width(styled: QApplication) -> None:
    shape, columns = tile_shape(900, 160, False)
    assert columns > 1
    assert 0 <= 900 - columns * shape.cell.width() < columns
    assert 120 <= shape.picture.width() <= 240
    assert tile_shape(50, 160, False)[1] == 1


def test_a_double_click_on_the_caption_edits_it(room: Room, folder: Path, qtbot: Any) -> None:
    page = room.open(folder)
    room.choose("p 1.png")
    grid = page.grid
    cell = grid.visualRect(grid.currentIndex())
    at = grid.tiles.shape.text_box(cell).center()
    qtbot.mouseDClick(grid.viewport(), Qt.MouseButton.LeftButton, pos=at)
    editors = grid.findChildren(CaptionEditor)
    assert [editor.exact_text() for editor in editors] == ["a red robot"]
    asked: list[str] = []
    grid.asked.connect(asked.append)
    page.acts.openRequested.disconnect()
    picture_at = QPointF(grid.tiles.shape.picture_box(cell).center()).toPoint()
    qtbot.mouseDClick(grid.viewport(), Qt.MouseButton.LeftButton, pos=picture_at)
    assert asked == ["open"]


def conditions(room: Room) -> list[str]:
    """What the chips behind the filters say, as a screen reader reads them."""
    return [chip.accessibleName() for chip in room.page.bar.conditions.values()]


def test_tags_and_search_are_chips_that_a_click_takes_away(
    room: Room, folder: Path, qtbot: Any
) -> None:
    page = room.open(folder)
    bar = page.bar
    page.side.show_page("captions")
    room.until(lambda: page.side.tools is not None and bool(page.side.tools.store.texts))
    assert page.side.tools is not None and not conditions(room) and bar.chips["all"].isChecked()
    page.side.tools.set_filter(["a red robot"])
    assert room.names() == ["p 1.png"] and page.number.text() == "1 of 6 pictures"
    assert conditions(room) == ["Take this filter away: Tag: a red robot"]
    page.side.show_page("picture")  # the tags cannot be seen any more, the chip can
    assert not bar.chips["all"].isChecked()
    bar.search.setText("red")
    room.until(lambda: len(bar.conditions) == 2)
    assert conditions(room)[1] == "Take this filter away: Search: red"
    qtbot.mouseClick(bar.conditions["tag", "a red robot"], Qt.MouseButton.LeftButton)
    assert [*bar.conditions] == [("search", "red")] and room.names() == ["p 1.png"]
    page.side.tools.set_filter(["a red robot"])
    qtbot.mouseClick(bar.chips["all"], Qt.MouseButton.LeftButton)
    assert not bar.conditions and bar.search.text() == "" and len(room.names()) == 6
    assert bar.chips["all"].isChecked() and page.side.tools.filter_tags() == ()


def test_another_folder_begins_without_tags_and_search(
    room: Room, folder: Path, tmp_path: Path
) -> None:
    page = room.open(folder)
    page.side.show_page("captions")
    room.until(lambda: page.side.tools is not None and bool(page.side.tools.store.texts))
    assert page.side.tools is not None
    page.side.tools.set_filter(["a red robot"])
    page.side.show_page("picture")
    picture(tmp_path / "others" / "one.png")
    room.open(tmp_path / "others")
    assert room.names() == ["one.png"] and not page.bar.conditions
