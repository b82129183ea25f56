"""Writing the caption below the picture, in place."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.viewer.facts import FactReader, token_words
from core.data.captions import caption_lines
from core.data.textfile import single_ends

_COUNT_MS = 150


class CaptionEditor(QFrame):
    """A few lines of text with the count of tokens.

    Signals: saved(path, text, before) when the text differs from what was there; left(steps) when
    the editor was closed, or goes to another picture by that many steps.
    """

    saved = Signal(str, str, str)
    left = Signal(int)

    def __init__(self, facts: FactReader, parent: QWidget) -> None:
        super().__init__(parent)
        self._facts = facts
        self._path, self._before = "", ""
        self.setProperty("role", "card")
        self.text = QPlainTextEdit()
        self.text.setTabChangesFocus(True)
        self.text.setAccessibleName(self.tr("Caption"))
        self.text.setPlaceholderText(self.tr("What is to be seen; one caption a line"))
        self.text.installEventFilter(self)
        self._count = QLabel()
        theme.set_role(self._count, "small")
        self._keys = QLabel(self.tr("Ctrl+Enter saves, Ctrl+PgDn saves and goes on, Esc leaves"))
        theme.set_role(self._keys, "small")
        self._problem = QLabel()
        theme.set_role(self._problem, "error")
        self._problem.setWordWrap(True)
        below = QHBoxLayout()
        below.addWidget(self._count)
        below.addStretch(1)
        below.addWidget(self._keys)
        cancel = QPushButton(self.tr("Cancel"))
        cancel.clicked.connect(lambda: self.leave())
        save = QPushButton(self.tr("Save"))
        theme.set_role(save, "primary")
        save.clicked.connect(self._save_and_leave)
        below.addSpacing(theme.unit(1))
        below.addWidget(cancel)
        below.addWidget(save)
        column = QVBoxLayout(self)
        air = theme.unit(1)
        column.setContentsMargins(air, air, air, air)
        column.setSpacing(theme.unit(0.5))
        column.addWidget(self._problem)
        column.addWidget(self.text, 1)
        column.addLayout(below)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_COUNT_MS)
        self._timer.timeout.connect(self._ask_count)
        self.text.textChanged.connect(self._timer.start)
        self.hide()

    @property
    def path(self) -> str:
        """The picture whose caption is being written."""
        return self._path

    def open(self, path: str, text: str, problem: str = "", draft: str | None = None) -> None:
        """Write the caption of a picture; a caption that cannot be read cannot be changed.

        draft: what was typed before and is not in the file yet.
        """
        self._path, self._before = path, text
        self.text.setPlainText(text if draft is None or problem else single_ends(draft))
        self.text.setReadOnly(bool(problem))
        self._problem.setText(problem)
        self._problem.setVisible(bool(problem))
        self.text.moveCursor(self.text.textCursor().MoveOperation.End)
        self._ask_count()
        theme.darken(self)
        self.show()
        self.raise_()
        self.text.setFocus()

    def place(self, width: int, bottom: int) -> None:
        """Lie in the middle of a window of `width` pixels, above `bottom`."""
        own, height = min(width - theme.unit(4), theme.em(120)), theme.unit(18)
        self._keys.setVisible(own > self._keys.sizeHint().width() + theme.em(50))
        self.setGeometry((width - own) // 2, bottom - height - theme.unit(2), own, height)

    def is_changed(self) -> bool:
        """Whether the text differs from the file's."""
        return not self.text.isReadOnly() and self.text.toPlainText() != single_ends(self._before)

    def save(self) -> None:
        """Hand over the text if it was changed."""
        if self.isVisible() and self.is_changed():
            text = self.text.toPlainText()
            if "\r\n" in self._before:
                text = text.replace("\n", "\r\n")
            before, self._before = self._before, text if text.strip() else ""
            self.saved.emit(self._path, text, before)

    def leave(self, steps: int = 0) -> None:
        """Close; what was not saved is dropped."""
        self.hide()
        self.left.emit(steps)

    def _save_and_leave(self) -> None:
        self.save()
        self.leave()

    def _ask_count(self) -> None:
        text = self.text.toPlainText()

        def count(_cancelled: object) -> int | None:
            return self._facts.count_tokens(list(caption_lines(text)))

        def show(tokens: object) -> None:
            if tokens is None or isinstance(tokens, int):
                self._count.setText(token_words(tokens))

        self._facts.background.run(self, "count", count, show)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            control = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
            key = event.key()
            if key == Qt.Key.Key_Escape:
                self.leave()
                return True
            if control and key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._save_and_leave()
                return True
            if control and key in (Qt.Key.Key_PageDown, Qt.Key.Key_PageUp):
                self.save()
                self.left.emit(1 if key == Qt.Key.Key_PageDown else -1)
                return True
        return super().eventFilter(watched, event)
