"""A row of segments of which one is chosen."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtGui import QFont, QFontMetrics
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QWidget

from app import theme


class Switch(QWidget):
    """A few segments of which one is chosen. Signals: chosen(name)."""

    chosen = Signal(str)

    def __init__(self, choices: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        group = QButtonGroup(self)
        self.buttons: dict[str, QPushButton] = {}
        for number, (name, text) in enumerate(choices):
            button = QPushButton(text)
            button.setCheckable(True)
            button.setProperty("role", "segment")
            ends = {0: "left", len(choices) - 1: "right"}
            button.setProperty("side", ends.get(number, "middle"))
            bold = QFont(button.font())
            bold.setWeight(QFont.Weight.DemiBold)
            # The chosen one is bold, and nothing moves by choosing.
            wide = QFontMetrics(bold).horizontalAdvance(text)
            button.setMinimumWidth(wide + theme.unit(4))
            button.clicked.connect(lambda _, name=name: self.chosen.emit(name))
            group.addButton(button)
            row.addWidget(button)
            self.buttons[name] = button
        row.addStretch(1)

    def show_choice(self, name: str) -> None:
        """Mark a segment as the chosen one."""
        self.buttons[name].setChecked(True)
