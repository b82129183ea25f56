"""Captions in the grid: edited in place, copied, undone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QApplication

from app.concepts.tiles import CaptionEditor

from .conftest import Room


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


def test_a_caption_that_another_program_changed_is_not_overwritten(
    room: Room, folder: Path, qtbot: Any
) -> None:
    caption = folder / "p 1.txt"
    room.open(folder)
    room.choose("p 1.png")
    editor = room.edit()
    caption.write_text("another program's")
    qtbot.keyClicks(editor, " waving")
    qtbot.keyClick(editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    room.until(lambda: room.facts("p 1.png").text == "another program's")
    assert caption.read_text() == "another program's"
    # What was typed is still there, and is kept when that is wanted after all.
    room.until(
        lambda: any(e.exact_text() == "a red robot waving" for e in editors(room) if e.isVisible())
    )
    (again,) = [e for e in editors(room) if e.isVisible()]
    qtbot.keyClick(again, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    room.settle()
    assert caption.read_text() == "a red robot waving"


def editors(room: Room) -> list[CaptionEditor]:
    return room.page.grid.findChildren(CaptionEditor)


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


def test_control_z_restores_captions_wherever_the_focus_is(
    room: Room, folder: Path, qtbot: Any
) -> None:
    """After a dialog the focus is on a button, where the window's undo of settings would win."""
    page = room.open(folder)
    page.side.show_page("captions")
    tools = page.side.tools
    assert tools is not None
    room.until(lambda: len(tools.store.texts) == 6 and not tools.store.is_busy())
    before = {path: path.read_bytes() for path in folder.glob("*.txt")}
    for widget in (tools.many.auto_button, tools.tags.list, page.grid):
        dialog = tools.change("add", "mark")
        room.until(lambda shown=dialog: shown.model.rowCount() == 6)
        dialog.apply.click()
        room.until(lambda: not tools.store.is_busy())
        room.settle()
        assert all("mark" in path.read_text(encoding="utf-8") for path in folder.glob("*.txt"))
        asks = QKeyEvent(
            QEvent.Type.ShortcutOverride, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier
        )
        asks.ignore()
        QApplication.sendEvent(widget, asks)
        assert asks.isAccepted(), "the window's shortcut would win"
        widget.setFocus()
        qtbot.keyClick(widget, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        room.until(lambda: not tools.store.is_busy())
        room.settle()
        assert {path: path.read_bytes() for path in folder.glob("*.txt")} == before, widget
        assert page.said.text() == "6 captions restored"


def test_a_screen_reader_hears_name_mark_and_caption(room: Room, folder: Path) -> None:
    page = room.open(folder)
    room.choose("p 1.png")
    room.key(Qt.Key.Key_K)
    room.settle()

    def said(name: str) -> str:
        index = page.model.index(room.names().index(name))
        return str(index.data(Qt.ItemDataRole.AccessibleTextRole))

    assert said("p 1.png") == "p 1.png, kept, a red robot"
    assert said("p 4.png") == "p 4.png, no caption"
    assert page.bar.search.accessibleName()
