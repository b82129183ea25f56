"""Shows every key, and lets the user choose others."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QSize, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.dialogs import give_room
from app.viewer import keys
from app.viewer.keys import Command, KeyMap

COLUMNS = 3


class KeysDialog(QDialog):
    """The table of keys; a press of a command's keys waits for another key.

    `keymap` holds the result, which is kept at once.
    """

    def __init__(self, keymap: KeyMap, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.keymap = keymap
        self._asking: str = ""
        self._buttons: dict[str, QPushButton] = {}
        self.setWindowTitle(self.tr("Keys"))
        self._hint = QLabel()
        self._hint.setWordWrap(True)
        theme.set_role(self._hint, "muted")
        grid = QWidget()
        grid.setProperty("role", "page")
        columns = QHBoxLayout(grid)
        columns.setSpacing(theme.unit(5))
        for column in self._split():
            columns.addLayout(self._column(column), 1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(grid)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        usual = buttons.addButton(self.tr("Usual keys"), QDialogButtonBox.ButtonRole.ResetRole)
        usual.clicked.connect(self.reset)
        buttons.rejected.connect(self.accept)
        whole = QVBoxLayout(self)
        whole.setSpacing(theme.unit(1))
        whole.addWidget(self._hint)
        whole.addWidget(scroll, 1)
        whole.addWidget(buttons)
        self.installEventFilter(self)
        theme.darken(self)
        self.refresh()
        self._say("")
        give_room(self, QSize(theme.em(176), theme.em(84)))

    def _split(self) -> list[list[str]]:
        """Groups in columns of about equal height."""
        groups = list(dict.fromkeys(command.group for command in keys.COMMANDS))
        sizes = {g: 2 + sum(c.group == g for c in keys.COMMANDS) for g in groups}
        result: list[list[str]] = [[] for _ in range(COLUMNS)]
        filled, most = 0, sum(sizes.values()) / COLUMNS
        for group in groups:
            column = min(COLUMNS - 1, int((filled + sizes[group] / 2) // most))
            result[column].append(group)
            filled += sizes[group]
        return result

    def _column(self, groups: list[str]) -> QGridLayout:
        grid = QGridLayout()
        grid.setVerticalSpacing(theme.unit(0.25))
        grid.setColumnStretch(0, 1)
        row = 0
        for group in groups:
            commands = [command for command in keys.COMMANDS if command.group == group]
            heading = QLabel(keys.group_title(commands[0]))
            theme.set_role(heading, "group")
            grid.setRowMinimumHeight(row, theme.unit(3.5 if row else 2))
            grid.addWidget(heading, row, 0, 1, 2, Qt.AlignmentFlag.AlignBottom)
            row += 1
            for command in commands:
                button = QPushButton()
                theme.set_role(button, "link")
                button.setAutoDefault(False)
                button.setAccessibleName(keys.title(command))
                button.setToolTip(self.tr("Press to choose another key"))
                button.clicked.connect(lambda _=False, c=command: self.ask(c))
                self._buttons[command.name] = button
                grid.addWidget(QLabel(keys.title(command)), row, 0)
                grid.addWidget(button, row, 1)
                row += 1
        grid.setRowStretch(row, 1)
        return grid

    def refresh(self) -> None:
        """Write the keys beside their commands."""
        for name, button in self._buttons.items():
            if name == self._asking:
                button.setText(self.tr("press a key..."))
            else:
                text = "   ".join(keys.shown(key) for key in self.keymap.keys[name])
                button.setText(text or self.tr("none"))

    def ask(self, command: Command) -> None:
        """The next key pressed becomes this command's only key."""
        self._asking = command.name
        self._say(
            self.tr("Press the new key for “{0}”; Esc leaves it as it is.").format(
                keys.title(command)
            )
        )
        self.refresh()
        self.setFocus()

    def take(self, key: str) -> None:
        """Give the asking command this key; tells who had it."""
        name = self._asking
        before = self.keymap.user_of(key, besides=name)
        self._asking = ""
        self.keymap.set_keys(name, [key])
        keys.save(self.keymap)
        if before is not None:
            self._say(
                self.tr("{0} was the key of “{1}”, which has lost it.").format(
                    keys.shown(key), keys.title(before)
                )
            )
        else:
            self._say("")
        self.refresh()

    def reset(self) -> None:
        """The usual keys again."""
        self._asking = ""
        for command in keys.COMMANDS:
            self.keymap.set_keys(command.name, command.keys)
        keys.save(self.keymap)
        self._say("")
        self.refresh()

    def hint(self) -> str:
        """The sentence above the table."""
        return self._hint.text()

    def _say(self, text: str) -> None:
        usual = self.tr(
            "Click on a key to choose another one. Everything is in the menu of the "
            "right mouse button too."
        )
        self._hint.setText(text or usual)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if self._asking and event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            key = keys.key_of(event)
            if key == "Esc":
                self._asking = ""
                self._say("")
                self.refresh()
            elif key:
                self.take(key)
            return True
        return super().eventFilter(watched, event)
