"""The dialogs that change many captions: previews, scopes, bad patterns, automatic captions."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QApplication, QDialog, QPlainTextEdit, QStyleOptionViewItem

from app.captions import auto_dialog
from app.captions.auto_dialog import AutoDialog
from app.captions.change_dialog import ChangeDialog
from app.captions.change_table import AFTER, PICTURE, TICK, marked
from app.captions.tools import CaptionTools
from core.captioning import client
from core.culling import steps

Settle = Callable[[CaptionTools], None]
ReadCaption = Callable[[int], str]
MODELS = Path(__file__).resolve().parents[1] / "captioning" / "models.py"


def shown(dialog: ChangeDialog | AutoDialog) -> dict[str, str]:
    """The rows of a dialog: picture's name -> text after."""
    rows = [dialog.model.change(row) for row in range(dialog.model.rowCount())]
    return {change.picture.name: change.after for change in rows}


@pytest.fixture
def previewed(qtbot: Any) -> Callable[..., dict[str, str]]:
    """Wait for a preview of so many rows."""

    def wait(dialog: ChangeDialog, rows: int) -> dict[str, str]:
        qtbot.waitUntil(lambda: dialog.model.rowCount() == rows)
        return shown(dialog)

    return wait


def test_find_and_replace_shows_every_change_before_it_is_made(
    tools: CaptionTools, pictures, previewed, settle: Settle, caption: ReadCaption, qtbot: Any
):
    dialog = tools.change("replace")
    assert dialog.model.rowCount() == 0 and not dialog.apply.isEnabled()
    qtbot.keyClicks(dialog.first, "robot")
    qtbot.keyClicks(dialog.second, "machine")
    rows = previewed(dialog, 3)
    assert rows["bild 0.png"] == "machine, rain, smile\r\nA machine stands in the rain.\r\n"
    assert rows["bild 3.png"] == "machine, rain, machine"
    assert dialog.count.text() == "3 captions would change"
    assert caption(1) == "robot, night"
    index = dialog.model.index(1, TICK)
    dialog.model.setData(index, Qt.CheckState.Unchecked.value, Qt.ItemDataRole.CheckStateRole)
    assert dialog.count.text() == "2 of 3 changes are ticked"
    dialog.apply.click()
    settle(tools)
    assert caption(0) == rows["bild 0.png"] and caption(3) == rows["bild 3.png"]
    assert caption(1) == "robot, night"
    assert previewed(dialog, 1) == {"bild 1.png": "machine, night"}
    dialog.close()
    tools.undo()
    settle(tools)
    assert caption(3) == "robot, rain, robot" and caption(0).startswith("robot, rain")


def test_a_bad_pattern_is_told_and_changes_nothing(tools: CaptionTools, previewed, qtbot: Any):
    dialog = tools.change("replace", "robot")
    previewed(dialog, 3)
    dialog.regular.click()
    dialog.first.clear()
    qtbot.keyClicks(dialog.first, "(robot")
    qtbot.waitUntil(lambda: dialog.note.isVisible())
    assert "The pattern (robot is not valid" in dialog.note.text()
    assert dialog.model.rowCount() == 0 and not dialog.apply.isEnabled()
    qtbot.keyClicks(dialog.first, ")")
    previewed(dialog, 3)
    assert not dialog.note.isVisible()


def test_the_scope_is_all_filtered_or_selected(tools: CaptionTools, pictures, previewed):
    tools.set_filter(["rain"])
    tools.set_selected(pictures[1:3])
    dialog = tools.change("add", "x")
    offered = [dialog.scope.itemData(n) for n in range(dialog.scope.count())]
    assert offered == ["selected", "filtered", "all"]
    assert dialog.scope.itemText(0) == "the selected pictures (2)"
    assert previewed(dialog, 2) == {"bild 1.png": "x, robot, night", "bild 2.png": "x"}
    dialog.scope.set_value("filtered")
    dialog.scope.edited.emit("filtered")
    qtbot_rows = previewed(dialog, 2)
    assert sorted(qtbot_rows) in (["bild 0.png", "bild 3.png"], ["bild 1.png", "bild 2.png"])
    dialog.scope.set_value("all")
    dialog.scope.edited.emit("all")
    assert len(previewed(dialog, 6)) == 6


@pytest.mark.parametrize(
    ("kind", "first", "second", "expected"),
    [
        ("remove", "robot", "", {1: "night", 3: "rain"}),
        ("rename", "rain", "snow", {3: "robot, snow, robot"}),
        ("front", "rain", "", {3: "rain, robot, robot"}),
        ("trigger", "mika", "", {1: "mika, robot, night", 2: "mika", 4: "mika"}),
        ("duplicates", "", "", {3: "robot, rain"}),
        ("order", "", "", {3: "robot, robot, rain"}),
        ("normalise", "", "", {3: "robot, rain"}),
    ],
)
def test_other_changes(tools: CaptionTools, qtbot, kind, first, second, expected):
    dialog = tools.change(kind, first)
    dialog.second.setText(second)
    dialog._edited(None)
    wanted = {f"bild {number}.png": text for number, text in expected.items()}
    qtbot.waitUntil(lambda: wanted.items() <= shown(dialog).items())


def test_only_the_fields_of_a_change_are_shown(tools: CaptionTools):
    dialog = tools.change("order")
    assert dialog.keep.isVisible() and not dialog.first.isVisible()
    dialog.kind.set_value("replace")
    dialog._arrange()
    assert dialog.first.isVisible() and dialog.second.isVisible() and dialog.regular.isVisible()
    assert not dialog.keep.isVisible()


def test_differences_are_marked_and_escaped():
    text = marked("a <b>, rain", "a <b>, snow", "#f00", strike=True)
    assert "a &lt;b&gt;, <span" in text and text.count("<span") == 1 and ">rain</span>" in text


def test_of_very_long_captions_the_shown_beginning_is_compared():
    text = marked("tag number, " * 2000, "tag place, " * 2000, "#f00", strike=True)
    assert "tag <span" in text and ">number</span>" in text and len(text) < 10_000


def test_renaming_a_chosen_tag_begins_with_its_new_name(tools: CaptionTools):
    dialog = tools.change("rename", "rain")
    assert dialog.focusWidget() is dialog.second
    dialog.reject()
    dialog = tools.change("rename")
    assert dialog.focusWidget() is dialog.first


# --- automatic captions ------------------------------------------------------------------


@pytest.fixture
def open_auto(
    tools: CaptionTools, pictures: list[Path], _prepared: QApplication
) -> Iterator[Callable[..., AutoDialog]]:
    """Open the dialog with a scripted model in its worker."""
    opened: list[AutoDialog] = []

    def make(model: str = "plain", folder: str = "x") -> AutoDialog:
        command = [sys.executable, str(MODELS), model]
        dialog = AutoDialog(tools.window(), tools.store, tools.scopes(), command)
        dialog.applied.connect(tools.store.apply)
        dialog.fields["tagger"].set_value(folder)
        dialog._check()
        dialog.open()
        opened.append(dialog)
        return dialog

    yield make
    for dialog in opened:
        dialog.close()
        dialog.deleteLater()
    _prepared.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture
def finished(qtbot: Any) -> Callable[[AutoDialog], None]:
    def wait(dialog: AutoDialog) -> None:
        qtbot.waitUntil(lambda: not dialog.is_running(), timeout=30000)

    return wait


def test_captions_are_looked_through_edited_and_written_in_one_step(
    tools: CaptionTools, open_auto, finished, settle: Settle, caption, pictures
):
    dialog = open_auto()
    dialog.fields["trigger"].set_value("mika")
    dialog.start.click()
    assert dialog.start.text() == "Stop" and not dialog.fields["trigger"].isEnabled()
    finished(dialog)
    assert shown(dialog) == {"bild 2.png": "mika, picture 2", "bild 4.png": "mika, picture 4"}
    assert dialog.status.text() == "2 pictures captioned, 4 with a caption left out"
    assert not pictures[2].with_suffix(".txt").exists()
    dialog.model.setData(dialog.model.index(0, AFTER), "mine")
    dialog.apply.click()
    settle(tools)
    assert caption(2) == "mine" and caption(4) == "mika, picture 4"
    tools.undo()
    settle(tools)
    assert not pictures[2].with_suffix(".txt").exists() and caption(4) == ""


def test_a_new_caption_is_edited_in_the_table(open_auto, finished, qtbot: Any):
    dialog = open_auto()
    dialog.start.click()
    finished(dialog)
    index = dialog.model.index(0, AFTER)
    dialog.table.setCurrentIndex(index)
    dialog.table.edit(index)
    editor = dialog.table.findChild(QPlainTextEdit)
    assert editor.toPlainText() == "picture 2"
    editor.setPlainText("two\nlines")
    dialog.table.commitData(editor)
    assert dialog.model.change(0).after == "two\nlines"


def test_what_is_not_ticked_is_not_written(open_auto, finished, tools, settle, pictures, caption):
    dialog = open_auto()
    dialog.start.click()
    finished(dialog)
    dialog.every.click()
    assert not dialog.apply.isEnabled()
    index = dialog.model.index(1, TICK)
    dialog.model.setData(index, Qt.CheckState.Checked.value, Qt.ItemDataRole.CheckStateRole)
    dialog.apply.click()
    settle(tools)
    assert caption(4) == "picture 4" and not pictures[2].with_suffix(".txt").exists()


def test_stopping_keeps_what_came(open_auto, finished, qtbot: Any):
    dialog = open_auto("slow")
    dialog.fields["mode"].set_value("overwrite")
    dialog.start.click()
    qtbot.waitUntil(lambda: dialog.model.rowCount() > 0, timeout=20000)
    dialog.start.click()
    finished(dialog)
    rows = dialog.model.rowCount()
    assert 0 < rows < 6 and dialog.status.text() == f"Stopped after {rows}"
    assert dialog.apply.isEnabled()


def test_a_dead_worker_is_told_and_its_captions_stay(open_auto, finished):
    dialog = open_auto("killed")
    dialog.fields["mode"].set_value("overwrite")
    dialog.start.click()
    finished(dialog)
    assert "The captioning process was killed" in dialog.note.text()
    assert dialog.model.rowCount() == 1 and dialog.start.isEnabled()


def test_a_picture_that_fails_is_told(open_auto, finished, pictures):
    pictures[2].write_bytes(b"no picture")
    dialog = open_auto()
    dialog.start.click()
    finished(dialog)
    assert list(shown(dialog)) == ["bild 4.png"]
    assert "bild 2.png was not captioned" in dialog.note.text()


def test_closing_ends_the_worker(open_auto, qtbot: Any):
    from app.captions import auto_thread

    dialog = open_auto("hang")
    dialog.start.click()
    dialog.reject()
    assert dialog.result() == QDialog.DialogCode.Rejected
    qtbot.waitUntil(lambda: not auto_thread._threads, timeout=20000)


def test_captions_that_were_only_looked_at_are_there_again(open_auto, finished):
    dialog = open_auto()
    dialog.start.click()
    finished(dialog)
    before = shown(dialog)
    dialog.reject()
    again = open_auto("always_fails")
    again.start.click()
    finished(again)
    assert shown(again) == before and not again.note.isVisible()


def test_closing_tells_that_captions_are_kept(tools: CaptionTools, monkeypatch, finished, pictures):
    command = [sys.executable, str(MODELS), "plain"]
    monkeypatch.setattr(client, "usual_command", lambda: command)
    dialog = tools.automatic()
    dialog.fields["tagger"].set_value("x")
    dialog._check()
    dialog.start.click()
    finished(dialog)
    dialog.close()
    assert tools.note.text() == (
        "2 new captions left unwritten; the same settings offer them again."
    )
    assert tools.note.kind() == "help" and not tools.note.isHidden()
    tools.set_current(pictures[3])
    assert tools.note.isHidden()


def test_captions_that_could_not_be_written_are_there_again(
    open_auto, finished, tools: CaptionTools, settle: Settle, pictures, caption, monkeypatch
):
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    dialog = open_auto()
    dialog.start.click()
    finished(dialog)
    with monkeypatch.context() as context:
        context.setattr(steps, "write_new", full)
        dialog.apply.click()
        settle(tools)
    assert "the disk is full" in tools.note.text()
    assert not pictures[2].with_suffix(".txt").exists()
    again = open_auto("always_fails")
    again.start.click()
    finished(again)
    again.apply.click()
    settle(tools)
    assert caption(2) == "picture 2" and caption(4) == "picture 4"
    # Once written they are no longer offered.
    tools.undo()
    settle(tools)
    last = open_auto("always_fails")
    last.start.click()
    finished(last)
    assert shown(last) == {}


def test_without_onnxruntime_one_sentence_tells_how_to_install_it(open_auto, monkeypatch):
    monkeypatch.setattr(auto_dialog, "has_onnxruntime", lambda: False)
    dialog = open_auto()
    assert "-m pip install onnxruntime" in dialog.note.text()
    assert not dialog.start.isEnabled()
    dialog._set_kind("captioner")
    assert not dialog.note.isVisible()
    dialog.fields["captioner"].set_value("y")
    dialog._check()
    assert dialog.start.isEnabled()


def test_a_wrong_number_is_named_at_its_field(open_auto):
    dialog = open_auto()
    dialog.fields["general"].set_value(1.5)
    dialog._check()
    assert dialog.note.text() == "Threshold is 1.5; it must be at most 1."
    assert dialog.fields["general"].property("state") == "error"
    assert not dialog.start.isEnabled()
    dialog._set_kind("captioner")
    dialog.fields["captioner"].set_value("y")
    dialog._check()
    assert dialog.start.isEnabled()


def test_choices_are_offered_again(open_auto, finished):
    dialog = open_auto()
    dialog.fields["exclude"].set_value("solo, 1girl")
    dialog.fields["general"].set_value(0.5)
    dialog.fields["ratings"].set_value(True)
    dialog.fields["mode"].set_value("append")
    dialog.start.click()
    finished(dialog)
    again = open_auto()
    values = again.fields.values()
    assert values["exclude"] == "solo, 1girl" and values["general"] == 0.5
    assert values["ratings"] is True and values["mode"] == "append"
    assert values["characters_first"] is True


def test_trigger_word_and_mode_are_not_offered_in_another_concept(
    tools: CaptionTools, open_auto, finished, tmp_path, pictures, settle
):
    dialog = open_auto()
    dialog.fields["trigger"].set_value("mika")
    dialog.fields["mode"].set_value("append")
    dialog.fields["exclude"].set_value("solo")
    dialog.start.click()
    finished(dialog)
    assert open_auto().fields.values()["trigger"] == "mika"
    other = tmp_path / "other" / "a.png"
    other.parent.mkdir()
    other.write_bytes(pictures[0].read_bytes())
    tools.set_source(lambda: [other], tools.store.history)
    settle(tools)
    values = open_auto().fields.values()
    assert (values["trigger"], values["exclude"]) == ("", "solo")
    assert values["mode"] != "append"


def test_a_name_of_any_bytes_is_shown(tools: CaptionTools, open_auto, finished, pictures, settle):
    if sys.platform != "linux":
        pytest.skip("file names are any bytes only there")
    path = Path(os.fsdecode(bytes(pictures[0].parent) + b"/caf\xe9.png"))
    Image.new("RGB", (25, 9)).save(path)
    tools.set_source(lambda: [path], tools.store.history)
    settle(tools)
    dialog = open_auto()
    dialog.start.click()
    finished(dialog)
    assert dialog.model.change(0).after == "picture 5"
    dialog.table.grab()


@pytest.mark.parametrize(("kind", "signal"), [("rename", "renameAsked"), ("remove", "deleteAsked")])
def test_everywhere_is_in_all_captions_whatever_is_filtered_or_selected(
    tools: CaptionTools, pictures, previewed, settle, caption, kind, signal, qtbot: Any
):
    tools.set_filter(["rain"])
    tools.set_selected(pictures[:2])
    getattr(tools.tags, signal).emit("robot")
    dialog = next(d for d in tools.window().findChildren(ChangeDialog) if d.isVisible())
    assert (dialog.kind.value(), dialog.scope.value()) == (kind, "all")
    if kind == "rename":
        qtbot.keyClicks(dialog.second, "android")
    previewed(dialog, 3)
    dialog.apply.click()
    settle(tools)
    assert "robot" not in tools.store.counts()
    assert (tools.note.text(), tools.undo_link.isVisible()) == ("3 captions changed.", True)
    tools.undo_link.click()
    settle(tools)
    assert caption(1) == "robot, night" and caption(3) == "robot, rain, robot"
    assert not tools.undo_link.isVisible() and not tools.note.isVisible()


def test_a_name_in_chinese_is_shown_whole(tools: CaptionTools, pictures, previewed, settle):
    long = "在雨中行走的红色机器人角色设定图正面全身像.png"
    pictures[1] = pictures[1].rename(pictures[1].with_name(long))
    tools.refresh()
    settle(tools)
    dialog = tools.change("add", "zz", "all")
    previewed(dialog, 6)
    drawn: list[str] = []

    class Listener(QPainter):
        def drawText(self, *args):
            drawn.append(str(args[-1]))

    index = next(i for row in range(6) if (i := dialog.model.index(row, PICTURE)).data() == long)
    image = QImage(dialog.table.visualRect(index).size(), QImage.Format.Format_RGB32)
    option = QStyleOptionViewItem()
    option.rect = image.rect()
    painter = Listener(image)
    dialog.table.itemDelegateForIndex(index).paint(painter, option, index)
    painter.end()
    dialog.close()
    assert "".join(drawn) == long
