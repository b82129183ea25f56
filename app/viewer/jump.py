"""Going to a picture by its number or a part of its name."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.viewer.album import Album
from app.viewer.controls import IconButton

_MOST = 8


def candidates(album: Album, text: str, most: int = _MOST) -> list[int]:
    """Positions that `text` may mean: the number itself first, then names that begin with it or
    hold it."""
    text = text.strip()
    found: list[int] = []
    if text.isdecimal() and 1 <= int(text) <= len(album):
        found.append(int(text) - 1)
    wanted = text.casefold()
    if not wanted:
        return found
    begins, holds = [], []
    for position in range(len(album)):
        name = album.at(position).name.casefold()
        if name.startswith(wanted):
            begins.append(position)
        elif wanted in name:
            holds.append(position)
        if len(begins) >= most:
            break
    return list(dict.fromkeys(found + begins + holds))[:most]


class JumpBox(QFrame):
    """A line to type into with what it may mean below. Signals: chosen(position), left()."""

    chosen = Signal(int)
    left = Signal()

    def __init__(self, album: Album, parent: QWidget) -> None:
        super().__init__(parent)
        self._album = album
        self._positions: list[int] = []
        self.setProperty("role", "card")
        title = QLabel(self.tr("Go to a number or name"))
        theme.set_role(title, "group")
        self.line = QLineEdit()
        self.line.installEventFilter(self)
        self.line.textChanged.connect(self._find)
        self.list = QListWidget()
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.itemClicked.connect(lambda item: self._choose(self.list.row(item)))
        close = IconButton("x", self.tr("Close"), 3.0)
        close.clicked.connect(lambda: self._choose(-1))
        head = QHBoxLayout()
        head.addWidget(title, 1)
        head.addWidget(close)
        column = QVBoxLayout(self)
        air = theme.unit(1.25)
        column.setContentsMargins(air, air, air, air)
        column.setSpacing(theme.unit(0.75))
        column.addLayout(head)
        column.addWidget(self.line)
        column.addWidget(self.list)
        self.hide()

    def open(self, top: int) -> None:
        """Ask where to go, in a box at so many pixels from the upper edge."""
        count = len(self._album)
        self.line.setPlaceholderText(self.tr("1 to {0}, or a part of a name").format(count))
        self.line.clear()
        self._find("")
        theme.darken(self)
        parent = self.parentWidget()
        assert parent is not None
        width = min(theme.em(56), parent.width() - theme.unit(4))
        height = min(theme.unit(38), parent.height() - top - theme.unit(2))
        self.setGeometry((parent.width() - width) // 2, top, width, height)
        self.show()
        self.raise_()
        self.line.setFocus()

    def _find(self, text: str) -> None:
        self._positions = candidates(self._album, text)
        self.list.clear()
        for position in self._positions:
            self.list.addItem(f"{position + 1}   {self._album.at(position).name}")
        if self._positions:
            self.list.setCurrentRow(0)

    def _choose(self, row: int) -> None:
        self.hide()
        if 0 <= row < len(self._positions):
            self.chosen.emit(self._positions[row])
        self.left.emit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            key = event.key()
            if key == Qt.Key.Key_Escape:
                self._choose(-1)
                return True
            if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._choose(self.list.currentRow())
                return True
            if key in (Qt.Key.Key_Down, Qt.Key.Key_Up):
                row = self.list.currentRow() + (1 if key == Qt.Key.Key_Down else -1)
                self.list.setCurrentRow(max(0, min(row, self.list.count() - 1)))
                return True
        return super().eventFilter(watched, event)
