"""Every field, table and button of the caption tools has a name for a screen reader."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import QWidget

from app.captions.tools import CaptionTools


def nameless(root: QWidget) -> list[str]:
    """The widgets that take the focus by Tab and that a screen reader could not name."""
    found = []
    for widget in root.findChildren(QWidget):
        if not widget.isVisibleTo(root) or not widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
            continue
        told = QAccessible.queryAccessibleInterface(widget)
        if not told.text(QAccessible.Text.Name).strip():
            found.append(f"{type(widget).__name__} in {type(widget.parent()).__name__}")
    return found


def test_the_caption_tools_have_names(tools: CaptionTools):
    assert nameless(tools) == []


@pytest.mark.parametrize("kind", ["replace", "add", "rename", "order", "duplicates", "normalise"])
def test_the_dialog_of_changes_has_names(tools: CaptionTools, kind):
    assert nameless(tools.change(kind)) == []


def test_the_dialog_of_automatic_captions_has_names(tools: CaptionTools):
    assert nameless(tools.automatic()) == []
