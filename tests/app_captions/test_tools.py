"""The caption workspace: editing, tags, filters, undo, what the host hears."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QApplication

from app.captions.editor import shown_text, tokens_text, with_line_ends
from app.captions.tag_view import NO_CAPTION
from app.captions.tools import CaptionTools
from core.captioning.tags import Change
from tests.app_captions.conftest import CAPTIONS

Settle = Callable[[CaptionTools], None]
ReadCaption = Callable[[int], str]


def heard(signal: Any) -> list[Any]:
    """Everything that a signal tells from now on."""
    found: list[Any] = []
    signal.connect(found.append)
    return found


def write(tools: CaptionTools, text: str) -> None:
    tools.editor.edit.selectAll()
    tools.editor.edit.insertPlainText(text)


def test_counts_are_those_of_all_captions(tools: CaptionTools):
    assert dict(tools.tags.model._counts) == {"robot": 3, "rain": 2, "smile": 1, "night": 1}
    assert tools.tags.model.tags() == [NO_CAPTION, "robot", "rain", "night", "smile"]
    assert tools.tags.title.text() == "Tags  4"


def test_tags_are_searched_and_sorted_by_name(tools: CaptionTools):
    tools.tags.sort.click()
    assert tools.tags.model.tags() == [NO_CAPTION, "night", "rain", "robot", "smile"]
    tools.tags.search.setText("R")
    assert tools.tags.model.tags() == ["rain", "robot"]


def test_a_caption_is_edited_and_only_its_line_changes(
    tools: CaptionTools, pictures: list[Path], settle: Settle, caption: ReadCaption, qtbot: Any
):
    changed = heard(tools.captionsChanged)
    tools.set_current(pictures[0])
    assert tools.editor.edit.text() == "robot, rain, smile\nA robot stands in the rain.\n"
    write(tools, "robot, snow\nA robot stands in the rain.\n")
    assert tools.editor.is_changed() and caption(0) == CAPTIONS[0]
    qtbot.keyClick(tools.editor.edit, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    settle(tools)
    assert caption(0) == "robot, snow\r\nA robot stands in the rain.\r\n"
    assert changed == [[pictures[0]]] and not tools.editor.is_changed()
    assert "snow" in tools.tags.model.tags()


def test_the_key_that_keeps_a_caption_does_not_train(tools: CaptionTools, pictures, qtbot: Any):
    trained: list[bool] = []
    QShortcut(QKeySequence("Ctrl+Return"), tools.window(), lambda: trained.append(True))
    tools.set_current(pictures[1])
    tools.window().activateWindow()
    qtbot.waitUntil(tools.isActiveWindow)
    tools.editor.edit.setFocus()
    qtbot.keyClick(tools.editor.edit, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert not trained


def test_escape_takes_the_edit_back(tools: CaptionTools, pictures, qtbot: Any, caption, settle):
    tools.set_current(pictures[1])
    write(tools, "something else")
    qtbot.keyClick(tools.editor.edit, Qt.Key.Key_Escape)
    assert tools.editor.edit.text() == "robot, night" and not tools.editor.is_changed()
    tools.commit()
    settle(tools)
    assert caption(1) == "robot, night"


def test_another_picture_keeps_what_was_edited(tools: CaptionTools, pictures, settle, caption):
    tools.set_current(pictures[2])
    write(tools, "first words")
    tools.set_current(pictures[1])
    settle(tools)
    assert caption(2) == "first words"
    assert tools.editor.edit.text() == "robot, night"


def test_leaving_the_text_keeps_it(tools: CaptionTools, pictures, settle, caption, qtbot: Any):
    tools.set_current(pictures[1])
    tools.activateWindow()
    tools.editor.edit.setFocus()
    qtbot.waitUntil(lambda: tools.editor.edit.hasFocus())
    write(tools, "robot, day")
    tools.tags.search.setFocus()
    settle(tools)
    assert caption(1) == "robot, day"


def test_looking_changes_no_file(tools: CaptionTools, pictures: list[Path], settle: Settle):
    before = {path: path.read_bytes() for path in pictures[0].parent.iterdir()}
    for picture in pictures:
        tools.set_current(picture)
        tools.commit()
    settle(tools)
    assert {path: path.read_bytes() for path in pictures[0].parent.iterdir()} == before


def test_undo_and_redo_bring_captions_back(tools: CaptionTools, pictures, settle, caption):
    moved = heard(tools.historyMoved)
    tools.set_current(pictures[1])
    write(tools, "changed")
    tools.commit()
    settle(tools)
    assert tools.undo_button.isEnabled() and "bild 1.png" in tools.undo_button.toolTip()
    tools.undo_button.click()
    settle(tools)
    assert caption(1) == "robot, night" and tools.editor.edit.text() == "robot, night"
    assert moved[0].pictures == (pictures[1],)
    tools.redo_button.click()
    settle(tools)
    assert caption(1) == "changed" and tools.editor.edit.text() == "changed"


def test_control_z_undoes_typing_first_and_then_the_history(
    tools: CaptionTools, pictures, settle, caption, qtbot: Any
):
    tools.set_current(pictures[1])
    write(tools, "changed")
    tools.commit()
    settle(tools)
    tools.editor.edit.moveCursor(tools.editor.edit.textCursor().MoveOperation.End)
    tools.set_current(pictures[3])
    tools.set_current(pictures[1])
    qtbot.keyClicks(tools.editor.edit, "x")
    assert tools.editor.is_changed()
    qtbot.keyClick(tools.editor.edit, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert tools.editor.edit.text() == "changed" and caption(1) == "changed"
    qtbot.keyClick(tools.editor.edit, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    settle(tools)
    assert caption(1) == "robot, night"


def test_the_next_without_caption_is_shown_and_comes_round(tools: CaptionTools, pictures, qtbot):
    shown = heard(tools.showPicture)
    tools.set_current(pictures[3])
    for _ in range(3):
        qtbot.keyClick(tools.editor.edit, Qt.Key.Key_J, Qt.KeyboardModifier.ControlModifier)
    assert shown == [pictures[4], pictures[2], pictures[4]]


def test_a_click_on_a_tag_filters_and_control_narrows(tools: CaptionTools, pictures, qtbot: Any):
    told = heard(tools.filterChanged)
    view = tools.tags.list

    def click(tag: str, held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        index = tools.tags.model.index(tools.tags.model.tags().index(tag))
        point = view.visualRect(index).center()
        qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, held, QPoint(point))

    click("robot")
    click(NO_CAPTION)
    click(NO_CAPTION)
    tools.set_filter(["robot"])
    tools._filter_asked("rain", True)
    tools.tags.clear.click()
    robots = [pictures[n] for n in (0, 1, 3)]
    assert told == [
        robots,
        [pictures[2], pictures[4]],
        None,
        robots,
        [pictures[0], pictures[3]],
        None,
    ]


def test_a_filter_follows_the_captions(tools: CaptionTools, pictures, settle: Settle):
    told = heard(tools.filterChanged)
    tools.set_filter(["night"])
    tools.set_current(pictures[1])
    tools.chips.chips()[1].removed.emit()
    settle(tools)
    assert told == [[pictures[1]], None]


def test_chips_are_the_captions_tags(tools: CaptionTools, pictures, settle, caption, qtbot: Any):
    tools.set_current(pictures[0])
    assert [chip.tag for chip in tools.chips.chips()] == ["robot", "rain", "smile"]
    chip = tools.chips.chips()[1]
    cross = chip._cross().center().toPoint()
    qtbot.mouseClick(chip, Qt.MouseButton.LeftButton, pos=cross)
    settle(tools)
    assert caption(0) == "robot, smile\r\nA robot stands in the rain.\r\n"
    told = heard(tools.filterChanged)
    qtbot.mouseClick(tools.chips.chips()[0], Qt.MouseButton.LeftButton, pos=QPoint(5, 5))
    assert told == [[pictures[n] for n in (0, 1, 3)]]


def test_a_tag_is_added_from_the_list(tools: CaptionTools, pictures, settle, caption):
    tools.set_current(pictures[2])
    tools.tags.toggleAsked.emit("night")
    settle(tools)
    assert caption(2) == "night"
    tools.tags.toggleAsked.emit("rain")
    settle(tools)
    assert caption(2) == "night, rain"


def test_a_caption_that_cannot_be_read_is_locked_with_its_reason(
    tools: CaptionTools, pictures, settle: Settle
):
    pictures[1].with_suffix(".txt").write_bytes(b"\0\1\2binary")
    tools.reload([pictures[1]])
    settle(tools)
    tools.set_current(pictures[1])
    assert tools.editor.edit.isReadOnly()
    assert "binary data" in tools.editor.edit.toolTip()


def test_a_file_that_another_program_changed_is_not_overwritten(
    tools: CaptionTools, pictures, settle, caption
):
    told = heard(tools.told)
    tools.set_current(pictures[1])
    write(tools, "mine")
    pictures[1].with_suffix(".txt").write_text("theirs")
    tools.commit()
    settle(tools)
    assert told[0][0].code == "caption_changed" and tools.note.isVisible()
    assert caption(1) == "theirs" and tools.store.text(pictures[1]) == "theirs"
    assert tools.editor.edit.text() == "mine" and tools.editor.is_changed()
    tools.commit()
    settle(tools)
    assert caption(1) == "mine" and not tools.note.isVisible()


def test_a_text_that_could_not_be_kept_is_shown_in_the_note(
    tools: CaptionTools, pictures, settle, caption
):
    tools.set_current(pictures[1])
    write(tools, "my words")
    pictures[1].with_suffix(".txt").write_text("theirs")
    tools.set_current(pictures[3])
    settle(tools)
    assert caption(1) == "theirs" and "my words" in tools.note.text()


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_is_told(tools: CaptionTools, pictures, settle, caption):
    folder = pictures[0].parent
    tools.set_current(pictures[1])
    write(tools, "mine")
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        tools.commit()
        settle(tools)
        assert caption(1) == "robot, night" and tools.note.isVisible()
    finally:
        folder.chmod(stat.S_IRWXU)


def test_a_write_that_fails_is_told_and_the_text_stays(
    tools: CaptionTools, pictures, settle, caption, monkeypatch
):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "somewhere")

    changed = heard(tools.captionsChanged)
    monkeypatch.setattr(tools.store.history, "write_texts", refuse)
    tools.set_current(pictures[1])
    write(tools, "mine")
    tools.commit()
    settle(tools)
    assert caption(1) == "robot, night" and tools.editor.edit.text() == "mine"
    assert "could not be written (Permission denied)" in tools.note.text()
    assert tools.store.text(pictures[1]) == "robot, night" and tools.editor.is_changed()
    assert changed == [[pictures[1]]]  # back to what the file says


def test_a_later_failure_does_not_bring_an_older_text_back(
    tools: CaptionTools, pictures, settle, caption
):
    tools.set_current(pictures[1])
    write(tools, "first")
    tools.commit()
    settle(tools)
    pictures[3].with_suffix(".txt").write_text("theirs")
    tools.store.apply([Change(pictures[3], "robot, rain, robot", "x")], "x")
    settle(tools)
    assert tools.note.isVisible() and "You wrote" not in tools.note.text()
    pictures[1].with_suffix(".txt").write_text("changed outside")
    tools.reload()
    settle(tools)
    assert tools.editor.edit.text() == "changed outside" and not tools.editor.is_changed()


def test_typing_survives_a_change_of_the_file(tools: CaptionTools, pictures, settle, caption):
    tools.set_current(pictures[1])
    write(tools, "half a sen")
    pictures[1].with_suffix(".txt").write_text("theirs")
    tools.reload()
    settle(tools)
    assert tools.editor.edit.text() == "half a sen" and tools.editor.is_changed()
    tools.editor.cancel()
    assert tools.editor.edit.text() == "theirs"


def test_the_host_hears_of_changes_once_the_file_has_them(
    tools: CaptionTools, pictures, settle, caption
):
    read: list[str] = []
    tools.captionsChanged.connect(lambda paths: read.append(caption(1)))
    tools.set_current(pictures[1])
    write(tools, "mine")
    tools.commit()
    settle(tools)
    tools.undo()
    settle(tools)
    assert read == ["mine", "robot, night"]


def test_many_captions_are_counted_in_the_background(
    tools: CaptionTools, pictures, settle, monkeypatch
):
    from app.captions import store

    monkeypatch.setattr(store, "_FEW", 2)
    tools.set_filter(["robot"])
    told = heard(tools.filterChanged)
    tools.set_current(pictures[1])
    tools.tags.toggleAsked.emit("robot")
    tools.tags.toggleAsked.emit("cat")
    settle(tools)
    assert told == [[pictures[0], pictures[3]]]
    assert tools.store.counts() == {"robot": 2, "rain": 2, "smile": 1, "night": 1, "cat": 1}
    assert [chip.tag for chip in tools.chips.chips()] == ["night", "cat"]


@pytest.mark.parametrize("height", [300, 420, 680])
def test_nothing_overlaps_where_there_is_little_height(tools: CaptionTools, pictures, height):
    tools.set_current(pictures[0])
    tools.resize(320, height)
    QApplication.processEvents()
    shown = [tools.editor.name, tools.editor.edit, tools.editor.tokens, tools.chips]
    shown += [tools.next_button, tools.tags.title, tools.tags.search, tools.tags.list]
    boxes = [
        (w.mapTo(tools, QPoint(0, 0)).y(), w.mapTo(tools, QPoint(0, w.height())).y())
        for w in [*shown, tools.many.auto_button]
        if w.isVisibleTo(tools)
    ]
    assert all(above[1] <= below[0] for above, below in pairwise(boxes)), boxes
    assert boxes[-1][1] <= height and tools.chips.isVisible() == (height > 450)


def test_without_a_history_nothing_can_be_edited(_prepared: QApplication, pictures, settle, qtbot):
    tools = CaptionTools(lambda: pictures)
    tools.refresh()
    settle(tools)
    tools.set_current(pictures[1])
    assert tools.editor.edit.isReadOnly() and tools.editor.edit.text() == "robot, night"
    assert not tools.many.auto_button.isEnabled() and not tools.undo_button.isEnabled()
    tools.shutdown()


def test_closing_at_once_loses_nothing(tools: CaptionTools, pictures, caption):
    for number in range(5):  # the threads are busy, so that no writing can begin
        tools.store.background.run(tools, ("busy", number), lambda _: time.sleep(0.2), print)
    tools.set_current(pictures[1])
    write(tools, "one")
    tools.set_current(pictures[3])
    write(tools, "two")
    tools.shutdown()
    assert caption(1) == "one" and caption(3) == "two"


def test_another_folder_takes_over(tools: CaptionTools, tmp_path, pictures, settle, caption):
    told = heard(tools.filterChanged)
    other = tmp_path / "other"
    other.mkdir()
    picture = other / "a.png"
    picture.write_bytes(pictures[0].read_bytes())
    picture.with_suffix(".txt").write_text("cat")
    tools.set_filter(["rain"])
    tools.set_current(pictures[1])
    write(tools, "kept on the way")
    tools.set_source(lambda: [picture], None)
    settle(tools)
    assert caption(1) == "kept on the way"
    assert tools.tags.model.tags() == ["cat"] and told[-1] is None


def test_lines_keep_their_ends():
    before = "a\r\nb\nc\u2028d\r\n\r\n"
    assert shown_text(before) == "a\nb\nc\nd\n\n"
    assert with_line_ends(before, shown_text(before)) == before
    assert with_line_ends(before, "a\nB\nc\nd\nnew\n\n") == "a\r\nB\r\nc\u2028d\r\nnew\r\n\r\n"
    assert with_line_ends("", "one\ntwo") == "one\ntwo"


def test_no_break_spaces_survive_editing(tools: CaptionTools, pictures, settle, caption):
    pictures[1].with_suffix(".txt").write_bytes("10\u00a0km, road".encode())
    tools.reload()
    settle(tools)
    tools.set_current(pictures[1])
    assert not tools.editor.is_changed()
    tools.editor.edit.moveCursor(tools.editor.edit.textCursor().MoveOperation.End)
    tools.editor.edit.insertPlainText(", x")
    tools.commit()
    settle(tools)
    assert caption(1) == "10\u00a0km, road, x"


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ([12], "12 / 75 tokens, 1 chunk"),
        ([0], "0 / 75 tokens, 1 chunk"),
        ([75], "75 / 75 tokens, 1 chunk"),
        ([76], "76 / 75 tokens, 2 chunks"),
        ([3, 160], "2 alternatives, longest 160 / 75 tokens, 3 chunks"),
    ],
)
def test_tokens_in_words(counts, text):
    assert tokens_text(counts) == text


def test_tokens_are_counted_while_typing(tools: CaptionTools, pictures, qtbot: Any):
    tools.set_current(pictures[1])
    write(tools, "a red robot")
    qtbot.waitUntil(lambda: tools.editor.tokens.text() == "3 / 75 tokens, 1 chunk")
