"""A row of segments of which one is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import Signal
from PySide6.QtGui import QFont, QFontMetrics, QIcon
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QWidget

from app import theme
from app.icons import icon


class Switch(QWidget):
    """A few segments of which one is chosen. Signals: chosen(name)."""

    chosen = Signal(str)

    def __init__(
        self, choices: Sequence[tuple[str, str]], icons: Mapping[str, str] | None = None
    ) -> None:
        """icons: name of a segment -> its picture where there is no room for words."""
        super().__init__()
        self._texts, self._icons = dict(choices), dict(icons or {})
        self._compact = False
        self._widths: dict[str, int] = {}
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
            button.setAccessibleName(text)
            # The chosen one is bold, and nothing moves by choosing.
            wide = QFontMetrics(bold).horizontalAdvance(text)
            self._widths[name] = wide + theme.unit(4)
            button.setMinimumWidth(self._widths[name])
            button.clicked.connect(lambda _, name=name: self.chosen.emit(name))
            group.addButton(button)
            row.addWidget(button)
            self.buttons[name] = button
        row.addStretch(1)

    def set_compact(self, compact: bool) -> None:
        """Show pictures instead of words, for those that have one."""
        if compact == self._compact:
            return
        self._compact = compact
        for name, button in self.buttons.items():
            if name not in self._icons:
                continue
            button.setText("" if compact else self._texts[name])
            button.setIcon(icon(self._icons[name]) if compact else QIcon())
            button.setToolTip(self._texts[name] if compact else "")
            button.setMinimumWidth(theme.unit(5) if compact else self._widths[name])

    def show_choice(self, name: str) -> None:
        """Mark a segment as the chosen one."""
        self.buttons[name].setChecked(True)
