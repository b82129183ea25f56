"""Buttons that are only a picture."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSize
from PySide6.QtWidgets import QToolButton

from app import theme
from app.icons import icon


def tool_button(name: str, text: str, act: Callable[[], object] | None = None) -> QToolButton:
    """A quiet button with an icon; text says what it does, act is called when it is clicked."""
    button = QToolButton()
    button.setIcon(icon(name, "muted"))
    button.setIconSize(QSize(theme.unit(2), theme.unit(2)))
    button.setToolTip(text)
    button.setAccessibleName(text)
    if act is not None:
        button.clicked.connect(lambda _=False: act())
    return button
