"""A small bar under a field that proposes a value or tells what was changed with it."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QToolButton

from app import theme
from app.icons import icon


class Proposal(QFrame):
    """A sentence with one button; hidden until `propose`."""

    def __init__(self) -> None:
        super().__init__()
        theme.set_role(self, "proposal")
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.button = QPushButton()
        self.button.clicked.connect(self._clicked)
        self._act: Callable[[], None] = lambda: None
        close = QToolButton()
        close.setIcon(icon("x", "muted"))
        close.setIconSize(QSize(theme.unit(1.75), theme.unit(1.75)))
        close.setAccessibleName(self.tr("Dismiss"))
        close.setToolTip(self.tr("Dismiss"))
        close.clicked.connect(self.hide)
        row = QHBoxLayout(self)
        half = theme.unit(0.5)
        row.setContentsMargins(theme.unit(1.25), half, half, half)
        row.addWidget(self.text, 1)
        row.addWidget(self.button)
        row.addWidget(close)
        self.hide()

    def propose(self, text: str, button: str, act: Callable[[], None]) -> None:
        """Show a sentence and a button that calls `act`."""
        # A long path may break after its slashes rather than widen the page.
        self.text.setText(text.replace("/", "/\u200b"))
        self.button.setText(button)
        self._act = act
        self.show()

    def _clicked(self) -> None:
        self.hide()
        self._act()
