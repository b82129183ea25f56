"""The table of keys."""

from __future__ import annotations

from collections import Counter

import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QKeyEvent

from app import prefs
from app.viewer import keys
from app.viewer.keys import COMMANDS, KeyMap
from app.viewer.keys_dialog import KeysDialog
from app.viewer.window import Viewer

NONE, SHIFT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier
CONTROL, PAD = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.KeypadModifier


@pytest.fixture(autouse=True)
def _application(styled: object) -> None:
    """Key names need the application."""


def event(key: Qt.Key, modifiers: Qt.KeyboardModifier = NONE, text: str = "") -> QKeyEvent:
    return QKeyEvent(QEvent.Type.KeyPress, key, modifiers, text)


def test_no_key_means_two_things():
    keymap = KeyMap()
    used = Counter(key for theirs in keymap.keys.values() for key in theirs)
    assert [key for key, times in used.items() if times > 1] == []
    assert all(key for key in used)


def test_every_command_does_something(viewer: Viewer):
    assert viewer.commands.names() == {command.name for command in COMMANDS}


@pytest.mark.parametrize(
    ("pressed", "command"),
    [
        (event(Qt.Key.Key_Right), "next"),
        (event(Qt.Key.Key_Space, text=" "), "next"),
        (event(Qt.Key.Key_Space, SHIFT, " "), "slideshow"),
        (event(Qt.Key.Key_Question, SHIFT, "?"), "help"),
        (event(Qt.Key.Key_Plus, SHIFT, "+"), "zoom_in"),
        (event(Qt.Key.Key_Plus, PAD, "+"), "zoom_in"),
        (event(Qt.Key.Key_Slash, PAD, "/"), "fit"),
        (event(Qt.Key.Key_4, PAD, "4"), "stars4"),
        (event(Qt.Key.Key_Enter, PAD | CONTROL), "trash_rejected"),
        (event(Qt.Key.Key_Return, CONTROL), "trash_rejected"),
        (event(Qt.Key.Key_Backtab, SHIFT), "previous_pane"),
        (event(Qt.Key.Key_Delete), "delete"),
        (event(Qt.Key.Key_Z, CONTROL, "\x1a"), "undo"),
        (event(Qt.Key.Key_U, text="u"), "undo"),
        (event(Qt.Key.Key_Z, text="z"), "toggle_zoom"),
        (event(Qt.Key.Key_Z, SHIFT, "Z"), "fill"),
    ],
)
def test_keys_of_all_keyboards_are_known(pressed: QKeyEvent, command: str):
    found = KeyMap().command(keys.key_of(pressed))
    assert found is not None
    assert found.name == command


def test_a_bare_modifier_is_no_key():
    assert keys.key_of(event(Qt.Key.Key_Shift, SHIFT)) == ""


def test_a_key_that_is_given_anew_leaves_its_command():
    keymap = KeyMap()
    assert keymap.user_of("X") is keys.BY_NAME["reject"]
    keymap.set_keys("delete", ["X"])
    assert keymap.command("X") is keys.BY_NAME["delete"]
    assert keymap.keys["reject"] == ()
    assert keymap.hint("reject") == ""
    assert keymap.command("Del") is None
    assert keymap.changes() == {"delete": ["X"], "reject": []}


def test_changed_keys_are_kept():
    keymap = KeyMap()
    keymap.set_keys("keep", ["J"])
    keys.save(keymap)
    again = keys.load()
    assert again.command("J") is keys.BY_NAME["keep"]
    assert again.command("K") is None


@pytest.mark.parametrize("damaged", ["{", "[]", '{"keep": 3, "no such": ["A"]}'])
def test_damaged_preferences_count_as_none(damaged: str):
    prefs.put(keys.PREFERENCE, damaged)
    assert keys.load().changes() == {}


def test_the_dialog_takes_a_key_and_tells_who_loses_it(qtbot):
    keymap = KeyMap()
    dialog = KeysDialog(keymap)
    qtbot.addWidget(dialog)
    dialog.ask(keys.BY_NAME["keep"])
    qtbot.keyClick(dialog, Qt.Key.Key_X)
    assert keymap.command("X") is keys.BY_NAME["keep"]
    assert "Reject" in dialog.hint()
    assert keys.load().command("X") is keys.BY_NAME["keep"]
    dialog.ask(keys.BY_NAME["keep"])
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert keymap.command("X") is keys.BY_NAME["keep"]
    assert dialog.isVisible() is False or dialog.result() == 0
    dialog.reset()
    assert keymap.changes() == {}
