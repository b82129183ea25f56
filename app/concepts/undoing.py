"""Undo and redo of changes to files: the keys that ask for it, and what it did in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QEvent, Qt
from PySide6.QtGui import QKeyEvent, QKeySequence

from app.i18n import counted

if TYPE_CHECKING:
    from core.culling.history import Done


def way_of(event: QEvent) -> str:
    """`undo` or `redo` where a key, or the question whose key it is, asks for it, else empty."""
    if not isinstance(event, QKeyEvent):
        return ""
    if event.matches(QKeySequence.StandardKey.Undo):
        return "undo"
    control = Qt.KeyboardModifier.ControlModifier
    both = control | Qt.KeyboardModifier.ShiftModifier
    again = (Qt.Key.Key_Y, control), (Qt.Key.Key_Z, both)
    if event.matches(QKeySequence.StandardKey.Redo) or (event.key(), event.modifiers()) in again:
        return "redo"
    return ""


def words_of(way: str, done: Done | None) -> str:
    """What an undo or redo did; done is None where there was nothing."""
    tr = QCoreApplication.translate
    if done is None:
        if way == "undo":
            return tr("undoing", "Nothing to undo.")
        return tr("undoing", "Nothing to redo.")
    # Pictures of one stem share a caption file.
    number = len({picture.with_suffix("") for picture in done.pictures})
    if done.kind == "texts" and number:
        if way == "undo":
            text = tr("undoing", "%n caption(s) restored", "", number)
        else:
            text = tr("undoing", "%n caption(s) changed again", "", number)
        return counted(text, number)
    text = tr("undoing", "Undone: %1") if way == "undo" else tr("undoing", "Done again: %1")
    return text.replace("%1", done.label)
