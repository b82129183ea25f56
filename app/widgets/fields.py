"""Editors of single values. All have `edited(object)`, `value()`, `set_value()`.

None of them changes by a scroll wheel in passing, and none keeps an undo history of its own:
Ctrl+Z reaches the window, which undoes by settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QEvent, QLocale, QObject, QSize, Qt, Signal
from PySide6.QtGui import (
    QDragEnterEvent,
    QDropEvent,
    QKeyEvent,
    QKeySequence,
    QResizeEvent,
    QValidator,
    QWheelEvent,
)
from PySide6.QtWidgets import QCheckBox, QComboBox, QLineEdit, QPlainTextEdit, QSizePolicy

from app import theme
from app.widgets import numbers


def _leaves_history_alone(event: QEvent) -> bool:
    """Whether the event asks for undo or redo, which belong to the window."""
    return (
        event.type() == QEvent.Type.ShortcutOverride
        and isinstance(event, QKeyEvent)
        and (event.matches(QKeySequence.StandardKey.Undo) or _is_redo(event))
    )


def _is_redo(event: QKeyEvent) -> bool:
    return event.matches(QKeySequence.StandardKey.Redo) or (
        event.key() == Qt.Key.Key_Y and event.modifiers() == Qt.KeyboardModifier.ControlModifier
    )


class _Line(QLineEdit):
    edited = Signal(object)

    def event(self, event: QEvent) -> bool:
        if _leaves_history_alone(event):
            event.ignore()
            return False
        return super().event(event)


class TextField(_Line):
    """One line of text."""

    def __init__(self) -> None:
        super().__init__()
        self.textEdited.connect(lambda text: self.edited.emit(text))

    def value(self) -> str:
        """The text."""
        return self.text()

    def set_value(self, value: Any) -> None:
        """Show a text; the cursor stays where it is when nothing changed."""
        text = "" if value is None else str(value)
        if text != self.text():
            self.setText(text)
            self.setCursorPosition(0 if not self.hasFocus() else len(text))


class _NumberValidator(QValidator):
    def __init__(self, parent: QObject, whole: bool) -> None:
        super().__init__(parent)
        self._whole = whole
        self.setLocale(QLocale.c())

    def validate(self, text: str, position: int) -> Any:
        if not text or numbers.parse(text, self._whole) is not None:
            return QValidator.State.Acceptable, text, position
        ok = numbers.could_become(text)
        state = QValidator.State.Intermediate if ok else QValidator.State.Invalid
        return state, text, position


class NumberField(_Line):
    """A number, or nothing (None) where that is allowed.

    A text that is no number yet is the value itself: validation then names the field. Up and
    Down change a whole number by `step`.
    """

    def __init__(self, *, whole: bool, optional: bool, step: int = 1) -> None:
        super().__init__()
        self._whole, self._optional, self._step = whole, optional, step
        self.setLocale(QLocale.c())
        self.setValidator(_NumberValidator(self, whole))
        self.setMinimumWidth(theme.em(12))
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.textEdited.connect(lambda _: self.edited.emit(self.value()))
        self.editingFinished.connect(self._tidy)

    def value(self) -> Any:
        """The number; None when empty and optional; otherwise the text that was typed."""
        text = self.text().strip()
        if not text and self._optional:
            return None
        number = numbers.parse(text, self._whole)
        if number is None:
            return text
        return number if self._whole else float(number)

    def set_value(self, value: Any) -> None:
        """Show a number; a text that already means it stays as it was typed."""
        shown = numbers.show(float(value) if self._is_float(value) else value)
        if shown != self.text() and self.value() != value:
            self.setText(shown)
            self.setCursorPosition(0)

    def sizeHint(self) -> QSize:
        return QSize(theme.em(12), super().sizeHint().height())

    def _is_float(self, value: Any) -> bool:
        return not self._whole and isinstance(value, int | float) and not isinstance(value, bool)

    def _tidy(self) -> None:
        value = self.value()
        if not isinstance(value, str):
            self.setText(numbers.show(value))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        direction = {Qt.Key.Key_Up: 1, Qt.Key.Key_Down: -1}.get(Qt.Key(event.key()), 0)
        value = self.value()
        if direction and self._whole and isinstance(value, int):
            self.setText(str(value + direction * self._step))
            self.edited.emit(self.value())
            return
        super().keyPressEvent(event)


class CheckField(QCheckBox):
    """Yes or no."""

    edited = Signal(object)

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.clicked.connect(lambda on: self.edited.emit(on))

    def value(self) -> bool:
        """Whether it is ticked."""
        return self.isChecked()

    def set_value(self, value: Any) -> None:
        """Tick it or not."""
        self.setChecked(value is True)


class ClosedBox(QComboBox):
    """A choice box that changes only by choosing from its open list.

    While it is closed the wheel scrolls the page, and of the keys only those that open it count:
    an arrow or a letter in passing would replace the value.
    """

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        alt = event.modifiers() & Qt.KeyboardModifier.AltModifier
        arrows = (Qt.Key.Key_Up, Qt.Key.Key_Down)
        opens = (Qt.Key.Key_Space, Qt.Key.Key_F4, Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if event.key() in opens or (alt and event.key() in arrows):
            self.showPopup()
        else:
            event.ignore()


class ChoiceField(ClosedBox):
    """One of a few values."""

    edited = Signal(object)

    def __init__(
        self, choices: list[tuple[Any, str]], helps: Mapping[Any, str] | None = None
    ) -> None:
        """helps: what is shown beside a choice while the pointer is on it."""
        super().__init__()
        for index, (value, label) in enumerate(choices):
            self.addItem(label, value)
            self.setItemData(index, (helps or {}).get(value), Qt.ItemDataRole.ToolTipRole)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.setMinimumWidth(theme.em(12))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.activated.connect(lambda _: self.edited.emit(self.value()))

    def value(self) -> Any:
        """The chosen value."""
        return self.currentData()

    def set_value(self, value: Any) -> None:
        """Choose a value; one that is not offered shows as itself."""
        for index in range(self.count()):
            if self.itemData(index) == value:
                self.setCurrentIndex(index)
                return
        self.addItem(str(value), value)
        self.setCurrentIndex(self.count() - 1)


def _line_edit_height() -> int:
    probe = QLineEdit()
    probe.ensurePolished()
    return probe.sizeHint().height()


class PromptField(QPlainTextEdit):
    """A longer text that grows with its lines, up to `most` of them."""

    edited = Signal(object)

    def __init__(self, most: int = 6) -> None:
        super().__init__()
        self._most = most
        self._setting = False
        self.setUndoRedoEnabled(False)
        self.document().setDocumentMargin(0)
        self.setTabChangesFocus(True)
        self.setLineWrapMode(QPlainTextEdit.LineWrapMode.WidgetWidth)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.textChanged.connect(self._text_changed)
        self.document().documentLayout().documentSizeChanged.connect(lambda _: self._grow())
        self._grow()

    def value(self) -> str:
        """The text."""
        return self.toPlainText()

    def set_value(self, value: Any) -> None:
        """Show a text."""
        text = "" if value is None else str(value)
        if text != self.toPlainText():
            self._setting = True
            self.setPlainText(text)
            self._setting = False
            self._grow()

    def event(self, event: QEvent) -> bool:
        if _leaves_history_alone(event):
            event.ignore()
            return False
        return super().event(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._grow()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._grow()

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.verticalScrollBar().maximum() == 0 or not self.hasFocus():
            event.ignore()
        else:
            super().wheelEvent(event)

    def _text_changed(self) -> None:
        if not self._setting:
            self.edited.emit(self.toPlainText())

    def _grow(self) -> None:
        lines = max(1, min(self._most, round(self.document().size().height())))
        needed = round(self.document().size().height()) > self._most
        bars = Qt.ScrollBarPolicy
        self.setVerticalScrollBarPolicy(
            bars.ScrollBarAsNeeded if needed else bars.ScrollBarAlwaysOff
        )
        # One line is as high as a line edit, so that both stand level beside each other.
        spacing = self.fontMetrics().lineSpacing()
        height = _line_edit_height() + (lines - 1) * spacing
        if height != self.height():
            self.setFixedHeight(height)


def first_local_path(event: QDragEnterEvent | QDropEvent) -> str:
    """The first file or folder that is dragged, or empty."""
    for url in event.mimeData().urls():
        if url.isLocalFile():
            return url.toLocalFile()
    return ""
