"""Every command of the viewer with its keys: the one table that is obeyed, shown and changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication, QKeyCombination, Qt
from PySide6.QtGui import QKeyEvent, QKeySequence

from app import prefs
from core.reading import parse_json

PREFERENCE = "viewer/keys"


@dataclass(frozen=True)
class Command:
    """Something that a key does. repeats: whether holding the key down does it again."""

    name: str
    title: str
    keys: tuple[str, ...]
    group: str
    repeats: bool = False


_GO = QT_TRANSLATE_NOOP("viewer", "Go")
_JUDGE = QT_TRANSLATE_NOOP("viewer", "Judge")
_LOOK = QT_TRANSLATE_NOOP("viewer", "Look")
_SEVERAL = QT_TRANSLATE_NOOP("viewer", "Several at once")
_SHOWN = QT_TRANSLATE_NOOP("viewer", "Shown over the picture")
_WORDS = QT_TRANSLATE_NOOP("viewer", "Captions and training")
_WINDOW = QT_TRANSLATE_NOOP("viewer", "Window")
# Name, what it does, usual keys, heading; True for what goes on while the key is held.
_ROWS: tuple[tuple[object, ...], ...] = (
    ("next", QT_TRANSLATE_NOOP("viewer", "Next picture"), "Right Space N", _GO, True),
    ("previous", QT_TRANSLATE_NOOP("viewer", "Previous picture"), "Left Backspace P", _GO, True),
    ("forward", QT_TRANSLATE_NOOP("viewer", "Ten forward"), "PgDown", _GO, True),
    ("back", QT_TRANSLATE_NOOP("viewer", "Ten back"), "PgUp", _GO, True),
    ("first", QT_TRANSLATE_NOOP("viewer", "First picture"), "Home", _GO),
    ("last", QT_TRANSLATE_NOOP("viewer", "Last picture"), "End", _GO),
    ("jump", QT_TRANSLATE_NOOP("viewer", "Go to a number or name"), "Ctrl+G", _GO),
    ("next_uncaptioned", QT_TRANSLATE_NOOP("viewer", "Next without caption"), "Ctrl+J", _GO),
    ("slideshow", QT_TRANSLATE_NOOP("viewer", "Slide show"), "H Shift+Space", _GO),
    ("keep", QT_TRANSLATE_NOOP("viewer", "Keep, then next"), "K", _JUDGE, True),
    ("reject", QT_TRANSLATE_NOOP("viewer", "Reject, then next"), "X", _JUDGE, True),
    ("unmark", QT_TRANSLATE_NOOP("viewer", "Take the mark off"), "Shift+X", _JUDGE),
    ("stars0", QT_TRANSLATE_NOOP("viewer", "No stars"), "0", _JUDGE),
    ("stars1", QT_TRANSLATE_NOOP("viewer", "One star"), "1", _JUDGE),
    ("stars2", QT_TRANSLATE_NOOP("viewer", "Two stars"), "2", _JUDGE),
    ("stars3", QT_TRANSLATE_NOOP("viewer", "Three stars"), "3", _JUDGE),
    ("stars4", QT_TRANSLATE_NOOP("viewer", "Four stars"), "4", _JUDGE),
    ("stars5", QT_TRANSLATE_NOOP("viewer", "Five stars"), "5", _JUDGE),
    (
        "delete",
        QT_TRANSLATE_NOOP("viewer", "To the trash, with caption and mask"),
        "Del",
        _JUDGE,
        True,
    ),
    ("undo", QT_TRANSLATE_NOOP("viewer", "Undo"), "Ctrl+Z U", _JUDGE, True),
    ("redo", QT_TRANSLATE_NOOP("viewer", "Redo"), "Ctrl+Y Ctrl+Shift+Z", _JUDGE, True),
    (
        "trash_rejected",
        QT_TRANSLATE_NOOP("viewer", "Rejected pictures to the trash..."),
        "Ctrl+Return",
        _JUDGE,
    ),
    (
        "take_kept",
        QT_TRANSLATE_NOOP("viewer", "Copy or move kept pictures..."),
        "Ctrl+Shift+Return",
        _JUDGE,
    ),
    ("toggle_zoom", QT_TRANSLATE_NOOP("viewer", "Fit or 100 % at the pointer"), "Z", _LOOK),
    ("zoom_in", QT_TRANSLATE_NOOP("viewer", "Larger"), "+ =", _LOOK, True),
    ("zoom_out", QT_TRANSLATE_NOOP("viewer", "Smaller"), "-", _LOOK, True),
    ("fit", QT_TRANSLATE_NOOP("viewer", "Fit"), "/", _LOOK),
    ("fill", QT_TRANSLATE_NOOP("viewer", "Fill the window"), "\\ Shift+Z", _LOOK),
    ("full", QT_TRANSLATE_NOOP("viewer", "100 %"), "*", _LOOK),
    ("pan_left", QT_TRANSLATE_NOOP("viewer", "Move the view left"), "Shift+Left", _LOOK, True),
    (
        "pan_right",
        QT_TRANSLATE_NOOP("viewer", "Move the view right"),
        "Shift+Right",
        _LOOK,
        True,
    ),
    ("pan_up", QT_TRANSLATE_NOOP("viewer", "Move the view up"), "Shift+Up Up", _LOOK, True),
    (
        "pan_down",
        QT_TRANSLATE_NOOP("viewer", "Move the view down"),
        "Shift+Down Down",
        _LOOK,
        True,
    ),
    ("lock_zoom", QT_TRANSLATE_NOOP("viewer", "Keep zoom and place for all"), "L", _LOOK),
    ("compare", QT_TRANSLATE_NOOP("viewer", "Compare two, four, one"), "C", _SEVERAL),
    ("next_pane", QT_TRANSLATE_NOOP("viewer", "Next of the compared"), "Tab", _SEVERAL),
    (
        "previous_pane",
        QT_TRANSLATE_NOOP("viewer", "Previous of the compared"),
        "Shift+Tab",
        _SEVERAL,
    ),
    ("filmstrip", QT_TRANSLATE_NOOP("viewer", "Film strip"), "T", _SEVERAL),
    ("sort", QT_TRANSLATE_NOOP("viewer", "Order..."), "S", _SEVERAL),
    ("filter", QT_TRANSLATE_NOOP("viewer", "Show only..."), "Y", _SEVERAL),
    ("groups", QT_TRANSLATE_NOOP("viewer", "Near-duplicates, group by group"), "G", _SEVERAL),
    (
        "reject_duplicates",
        QT_TRANSLATE_NOOP("viewer", "Reject the shown near-duplicates but the best"),
        "Shift+G",
        _SEVERAL,
    ),
    ("info", QT_TRANSLATE_NOOP("viewer", "Facts"), "I", _SHOWN),
    ("caption", QT_TRANSLATE_NOOP("viewer", "Caption"), "A", _SHOWN),
    ("crop", QT_TRANSLATE_NOOP("viewer", "What training sees"), "B", _SHOWN),
    ("mask", QT_TRANSLATE_NOOP("viewer", "Mask"), "M", _SHOWN),
    ("edit_caption", QT_TRANSLATE_NOOP("viewer", "Edit the caption"), "E Return", _WORDS),
    ("focus", QT_TRANSLATE_NOOP("viewer", "Set the focus of the crop"), "O", _WORDS),
    ("clear_focus", QT_TRANSLATE_NOOP("viewer", "Focus back to the middle"), "Shift+O", _WORDS),
    ("full_screen", QT_TRANSLATE_NOOP("viewer", "Full screen"), "F F11", _WINDOW),
    ("rescan", QT_TRANSLATE_NOOP("viewer", "Read the folder again"), "F5", _WINDOW),
    ("help", QT_TRANSLATE_NOOP("viewer", "These keys"), "? F1", _WINDOW),
    ("menu", QT_TRANSLATE_NOOP("viewer", "All commands"), "Menu Shift+F10", _WINDOW),
    ("leave", QT_TRANSLATE_NOOP("viewer", "Back, then close"), "Esc", _WINDOW),
)


def _command(
    name: object, title: object, keys: object, group: object, repeats: object = False
) -> Command:
    return Command(str(name), str(title), tuple(str(keys).split(" ")), str(group), bool(repeats))


COMMANDS = tuple(_command(*row) for row in _ROWS)
BY_NAME = {command.name: command for command in COMMANDS}


def title(command: Command) -> str:
    """What the command does, translated."""
    return QCoreApplication.translate("viewer", command.title)


def group_title(command: Command) -> str:
    """The heading that the command stands under, translated."""
    return QCoreApplication.translate("viewer", command.group)


def key_of(event: QKeyEvent) -> str:
    """The pressed key as the table writes it, such as `Ctrl+G`, `Del` or `?`; "" for a bare
    modifier.

    Signs that need Shift on one keyboard and not on another go by the sign alone, and keys of
    the number pad by what stands on them.
    """
    key = Qt.Key(event.key())
    if key in _MODIFIERS:
        return ""
    modifiers = event.modifiers() & ~(_KEYPAD | Qt.KeyboardModifier.GroupSwitchModifier)
    text = event.text()
    is_sign = len(text) == 1 and text.isprintable() and not text.isalnum() and text != " "
    if is_sign:
        modifiers &= ~Qt.KeyboardModifier.ShiftModifier
    if key == Qt.Key.Key_Backtab:
        key = Qt.Key.Key_Tab
    if key == Qt.Key.Key_Enter:
        key = Qt.Key.Key_Return
    return normal(QKeySequence(QKeyCombination(modifiers, key)))


_KEYPAD = Qt.KeyboardModifier.KeypadModifier
_MODIFIERS = frozenset(
    {
        Qt.Key.Key_Shift,
        Qt.Key.Key_Control,
        Qt.Key.Key_Alt,
        Qt.Key.Key_AltGr,
        Qt.Key.Key_Meta,
        Qt.Key.Key_CapsLock,
        Qt.Key.Key_NumLock,
        Qt.Key.Key_unknown,
    }
)


def normal(sequence: QKeySequence | str) -> str:
    """A key in the one spelling that is compared and stored."""
    return QKeySequence(sequence).toString(QKeySequence.SequenceFormat.PortableText)


def shown(key: str) -> str:
    """A key as people know it on this system."""
    return QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText)


class KeyMap:
    """Which keys do what now: the table with the user's changes."""

    def __init__(self, changes: Mapping[str, Iterable[str]] | None = None) -> None:
        self.keys: dict[str, tuple[str, ...]] = {
            command.name: tuple(normal(key) for key in command.keys) for command in COMMANDS
        }
        for name, keys in (changes or {}).items():
            if name in self.keys:
                self.keys[name] = tuple(normal(key) for key in keys if normal(key))
        self._find()

    def _find(self) -> None:
        self._commands: dict[str, Command] = {}
        for command in COMMANDS:
            for key in self.keys[command.name]:
                self._commands.setdefault(key, command)

    def command(self, key: str) -> Command | None:
        """What a key does, if anything."""
        return self._commands.get(key)

    def user_of(self, key: str, besides: str = "") -> Command | None:
        """The command that has this key already, other than `besides`."""
        found = self._commands.get(normal(key))
        return found if found is not None and found.name != besides else None

    def set_keys(self, name: str, keys: Iterable[str]) -> None:
        """Give a command these keys; other commands lose them."""
        wanted = tuple(dict.fromkeys(normal(key) for key in keys if normal(key)))
        for other, theirs in self.keys.items():
            if other != name:
                self.keys[other] = tuple(key for key in theirs if key not in wanted)
        self.keys[name] = wanted
        self._find()

    def changes(self) -> dict[str, list[str]]:
        """What differs from the table."""
        usual = KeyMap()
        return {n: list(keys) for n, keys in self.keys.items() if keys != usual.keys[n]}

    def hint(self, name: str) -> str:
        """The command's first key for a tooltip, "" when it has none."""
        return shown(self.keys[name][0]) if self.keys[name] else ""


def load() -> KeyMap:
    """The keys as the user left them; a damaged preference counts as none."""
    try:
        data = parse_json(prefs.text(PREFERENCE, "{}"))
    except ValueError:
        data = {}
    if not isinstance(data, dict):
        return KeyMap()
    good = {
        name: [key for key in keys if isinstance(key, str)]
        for name, keys in data.items()
        if isinstance(keys, list)
    }
    return KeyMap(good)


def save(keys: KeyMap) -> None:
    """Keep the user's changes."""
    prefs.put(PREFERENCE, json.dumps(keys.changes()))
