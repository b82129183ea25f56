"""Sends keys to a viewer and asks where it is."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QApplication

from app.viewer.window import Viewer

NONE = Qt.KeyboardModifier.NoModifier
CONTROL = Qt.KeyboardModifier.ControlModifier


def press(
    viewer: Viewer,
    *keys: Qt.Key,
    text: str = "",
    modifiers: Qt.KeyboardModifier = NONE,
    repeats: bool = False,
) -> None:
    """Send keys to the viewer, as the keyboard or its automatic repeat does."""
    for key in keys:
        for kind in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease):
            QApplication.sendEvent(viewer, QKeyEvent(kind, key, modifiers, text, repeats))


def name(viewer: Viewer) -> str:
    """The current picture's file name, "" for none."""
    current = viewer.album.current
    return current.name if current is not None else ""
