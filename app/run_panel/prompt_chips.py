"""One small button per sample prompt; those that do not fit are in a menu."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QMenu, QSizePolicy, QToolButton, QWidget

from app import icons, theme
from app.run_panel.parts import tool_button

MOST = 6
MENU_TEXT = 80


class PromptChips(QWidget):
    """Numbers of the prompts, their words as tooltips.

    Signals:
        chosen(int): the index of the prompt that was pressed.
    """

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._prompts: dict[int, str] = {}
        self._buttons: dict[int, QToolButton] = {}
        self._more: QToolButton | None = None
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(theme.unit(0.25))
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def set_prompts(self, prompts: dict[int, str], current: int) -> None:
        """Show these, in this order, with `current` marked."""
        if prompts != self._prompts:
            self._prompts = dict(prompts)
            self._rebuild()
        for index, button in self._buttons.items():
            button.setChecked(index == current)
        if self._more is not None:
            hidden = current not in self._buttons
            self._more.setText(str(current + 1) if hidden else "")
            self._more.setIcon(icons.icon("ellipsis", "accent_text" if hidden else "text"))

    def buttons(self) -> list[QToolButton]:
        """The numbered buttons, in order."""
        return list(self._buttons.values())

    def menu(self) -> QMenu | None:
        """The menu of the prompts without a button, or None."""
        return self._more.menu() if self._more else None

    def _rebuild(self) -> None:
        old = [*self._buttons.values(), *([self._more] if self._more else [])]
        for button in old:
            self._row.removeWidget(button)
            button.hide()
            button.deleteLater()
        indices = list(self._prompts)
        self._buttons = {index: self._button(index) for index in indices[:MOST]}
        self._more = self._more_button(indices[MOST:]) if indices[MOST:] else None
        for button in [*self._buttons.values(), *([self._more] if self._more else [])]:
            self._row.addWidget(button)

    def _button(self, index: int) -> QToolButton:
        button = QToolButton()
        button.setText(str(index + 1))
        button.setCheckable(True)
        prompt = self._prompts[index] or self.tr("(empty prompt)")
        button.setToolTip(prompt)
        button.setAccessibleName(self.tr("Prompt {0}: {1}").format(index + 1, prompt))
        button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        button.clicked.connect(lambda: self._choose(index))
        return button

    def _choose(self, index: int) -> None:
        # A second press on the marked button must not take the mark away.
        self._buttons[index].setChecked(True)
        self.chosen.emit(index)

    def _more_button(self, indices: list[int]) -> QToolButton:
        button = tool_button("ellipsis", self.tr("More prompts"))
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        menu = QMenu(button)
        for index in indices:
            text = f"{index + 1}  {self._prompts[index]}".replace("&", "&&")
            action = menu.addAction(text[:MENU_TEXT])
            action.triggered.connect(lambda _=False, i=index: self.chosen.emit(i))
        button.setMenu(menu)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        return button
