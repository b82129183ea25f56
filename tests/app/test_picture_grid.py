"""A concept's pictures, used as a person does: by keys and mouse, on real files."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import QApplication

from app.background import Background
from app.concepts.facts import FactsReader, Listing, Look, PictureFacts, sides_of
from app.concepts.pictures import PicturesPage
from app.concepts.preview import crop_part
from app.concepts.tiles import CaptionEditor, broken, tile_shape
from app.thumbnails import ThumbnailStore
from core.config.concepts import Concept
from core.culling.notes import change_notes, read_notes
from core.data.buckets import make_buckets, place


def picture(path: Path, size: tuple[int, int] = (96, 96), seed: int = 0) -> Path:
    """A picture of large random patches, unlike those of other seeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed or hash(path.name))
    small = Image.frombytes("RGB", (6, 6), rng.randbytes(108))
    small.resize(size, Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def trash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A trash of the test's own."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("XDG_DATA_HOME", str(home))
    return home / "Trash"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures of 96 px; three have captions."""
    where = tmp_path / "机器人 robots"
    for number in range(6):
        picture(where / f"p {number}.png", seed=number + 1)
    (where / "p 0.txt").write_bytes(b"first line\r\n\r\n  third, with spaces  \r\n")
    (where / "p 1.txt").write_text("a red robot", encoding="utf-8")
    (where / "p 2.txt").write_text("一个机器人", encoding="utf-8")
    return where


@dataclass
class Room:
    """A page of pictures, and what one does with it."""

    page: PicturesPage
    background: Background
    qtbot: Any

    def open(self, folder: Path, sides: tuple[int, ...] = (64,), **concept: Any) -> PicturesPage:
        """Show a folder and wait until all is read."""
        look = Look(Concept(path=str(folder), **concept), sides, 64)
        self.page.set_look(look)
        self.settle()
        return self.page

    def settle(self) -> None:
        """Wait until nothing is read, decoded or changed any more."""

        def calm() -> bool:
            page = self.page
            return (
                self.background.is_idle()
                and page.store.is_idle()
                and not page.changes.is_busy()
                and not page.source.busy
            )

        for _ in range(3):
            self.qtbot.waitUntil(calm, timeout=20000)
            self.qtbot.wait(20)

    def names(self) -> list[str]:
        """What the grid shows, in order."""
        return [path.name for path in self.page.model.shown()]

    def facts(self, name: str) -> PictureFacts:
        """What is known of a picture."""
        return next(f for p, f in self.page.model.facts().items() if p.name == name)

    def choose(self, *names: str) -> None:
        """Select pictures by name."""
        paths = [p for p in self.page.model.facts() if p.name in names]
        self.page.grid.select(paths)
        self.page.grid.setFocus()

    def key(self, key: Qt.Key, *modifiers: Qt.KeyboardModifier) -> None:
        """Press a key in the grid."""
        with_all = Qt.KeyboardModifier.NoModifier
        for modifier in modifiers:
            with_all |= modifier
        self.qtbot.keyClick(self.page.grid, key, with_all)

    def edit(self) -> CaptionEditor:
        """Begin to edit the current picture's caption by its key."""
        self.key(Qt.Key.Key_F2)
        editors = [e for e in self.page.grid.findChildren(CaptionEditor) if e.isVisible()]
        assert len(editors) == 1
        return editors[0]

    def until(self, true: Callable[[], bool]) -> None:
        """Wait for something that is sure to come."""
        self.qtbot.waitUntil(true, timeout=20000)


@pytest.fixture
def room(styled: QApplication, qtbot: Any, tmp_path: Path, trash: Path) -> Iterator[Room]:
    """A page by itself."""
    background = Background()
    store = ThumbnailStore(folder=tmp_path / "thumbnails")
    page = PicturesPage(background, store)
    page.resize(1000, 640)
    page.show()
    qtbot.waitExposed(page)
    yield Room(page, background, qtbot)
    page.close_down()
    background.close()
    store.close()
    page.close()
    page.deleteLater()
    qtbot.wait(1)


# --- what is shown ------------------------------------------------------------


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
    assert counts["no_caption"] == 3
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


# --- captions ------------------------------------------------------------


def test_a_caption_is_edited_in_place_and_undone(room: Room, folder: Path, qtbot: Any) -> None:
    room.open(folder)
    before = (folder / "p 0.txt").read_bytes()
    room.choose("p 0.png")
    editor = room.edit()
    assert editor.exact_text() == "first line\n\n  third, with spaces  \n"
    qtbot.keyClicks(editor, "fourth")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.keyClick(editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    room.settle()
    assert (folder / "p 0.txt").read_bytes() == before + b"fourth\r\n"
    assert room.facts("p 0.png").text.endswith("fourth\n")
    room.page.grid.setFocus()
    room.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    room.settle()
    assert (folder / "p 0.txt").read_bytes() == before
    assert room.facts("p 0.png").text.endswith("spaces  \n")
    room.key(Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier)
    room.settle()
    assert (folder / "p 0.txt").read_bytes() == before + b"fourth\r\n"


def test_looking_at_a_caption_writes_nothing(room: Room, folder: Path, qtbot: Any) -> None:
    room.open(folder)
    stat = (folder / "p 0.txt").stat()
    room.choose("p 0.png")
    qtbot.keyClick(room.edit(), Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    room.choose("p 4.png")
    qtbot.keyClick(room.edit(), Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    room.choose("p 1.png")
    editor = room.edit()
    qtbot.keyClicks(editor, "thrown away")
    qtbot.keyClick(editor, Qt.Key.Key_Escape)
    room.settle()
    assert (folder / "p 0.txt").stat().st_mtime_ns == stat.st_mtime_ns
    assert not (folder / "p 4.txt").exists()
    assert (folder / "p 1.txt").read_text() == "a red robot"


def test_tab_goes_on_to_the_next_caption(room: Room, folder: Path, qtbot: Any) -> None:
    room.open(folder)
    room.choose("p 3.png")
    editor = room.edit()
    qtbot.keyClicks(editor, "third")
    qtbot.keyClick(editor, Qt.Key.Key_Tab)
    room.until(lambda: room.page.grid.current() == folder / "p 4.png")
    room.settle()
    assert (folder / "p 3.txt").read_text() == "third"
    following = [e for e in room.page.grid.findChildren(CaptionEditor) if e.isVisible()]
    assert [e.exact_text() for e in following] == [""]
    qtbot.keyClick(following[0], Qt.Key.Key_Escape)


def test_the_key_that_keeps_a_caption_does_not_train(room: Room, folder: Path, qtbot: Any) -> None:
    trained: list[bool] = []
    QShortcut(QKeySequence("Ctrl+Return"), room.page, lambda: trained.append(True))
    room.open(folder)
    room.choose("p 1.png")
    room.page.activateWindow()
    qtbot.waitUntil(room.page.isActiveWindow)
    editor = room.edit()
    qtbot.keyClicks(editor, "!")
    qtbot.keyClick(editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    room.settle()
    assert (folder / "p 1.txt").read_text(encoding="utf-8") == "a red robot!"
    assert not trained
    room.key(Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert trained  # with no caption being written it is the window's


def test_special_spaces_survive_editing(room: Room, folder: Path, qtbot: Any) -> None:
    text = "no\u00a0break\u3000wide\ttab\u2028line"
    (folder / "p 1.txt").write_text(text, encoding="utf-8")
    room.open(folder)
    room.choose("p 1.png")
    editor = room.edit()
    qtbot.keyClicks(editor, "!")
    qtbot.keyClick(editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    room.settle()
    assert (folder / "p 1.txt").read_text(encoding="utf-8") == text + "!"


def test_old_encodings_become_utf_8_only_when_edited(room: Room, folder: Path, qtbot: Any) -> None:
    (folder / "p 1.txt").write_bytes("红色机器人".encode("gb18030"))
    (folder / "p 2.txt").write_bytes("wide".encode("utf-16"))
    room.open(folder)
    assert room.facts("p 1.png").text == "红色机器人"
    room.choose("p 1.png")
    editor = room.edit()
    qtbot.keyClicks(editor, "x")
    qtbot.keyClick(editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    room.settle()
    assert (folder / "p 1.txt").read_bytes() == "红色机器人x".encode()
    assert (folder / "p 2.txt").read_bytes() == "wide".encode("utf-16")


def test_copy_and_paste_captions(room: Room, folder: Path) -> None:
    room.open(folder)
    room.choose("p 1.png")
    room.key(Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == "a red robot"
    room.choose("p 3.png", "p 4.png", "p 5.png")
    room.key(Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    room.settle()
    assert [(folder / f"p {n}.txt").read_text() for n in (3, 4, 5)] == ["a red robot"] * 3
    assert room.page.model.filter_counts["no_caption"] == 0
    room.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    room.settle()
    assert not any((folder / f"p {n}.txt").exists() for n in (3, 4, 5))
    assert room.page.model.filter_counts["no_caption"] == 3


def test_captions_from_elsewhere_are_shown_but_not_edited(room: Room, folder: Path) -> None:
    room.open(folder, prompt={"source": "fixed", "text": "a {trigger}", "trigger": "sks"})
    assert room.facts("p 4.png").text == "a sks"
    room.choose("p 4.png")
    room.key(Qt.Key.Key_F2)
    assert room.page.grid.findChildren(CaptionEditor) == []
    assert "Settings" in room.page.said.text()
    room.page.said.set_note("")
    QGuiApplication.clipboard().setText("something")
    room.key(Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    room.settle()
    assert "Settings" in room.page.said.text()
    assert not (folder / "p 4.txt").exists()


# --- acting ------------------------------------------------------------


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
    assert "nothing to undo" in room.page.said.text()


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


# --- crop and changes ------------------------------------------------------------


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
            64,
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
            64,
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


# --- parts ------------------------------------------------------------


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
    look = Look(Concept(path=str(folder)), (64,), 64)
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
