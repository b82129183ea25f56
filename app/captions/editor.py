"""Editing one picture's caption: the text, its tokens, keeping and leaving it."""

from __future__ import annotations

import difflib
from pathlib import Path

from PySide6.QtCore import QEvent, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QKeySequence, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPlainTextEdit, QVBoxLayout, QWidget

from app import theme
from app.background import Background, StopCheck
from app.widgets.labels import Elided
from core.data.captions import caption_lines
from core.data.tokens import CHUNK, count_tokens

_COUNT_AFTER_MS = 120
_PARAGRAPH = "\u2029"
_BREAKS = "\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def shown_text(text: str) -> str:
    """A caption file's text as the editor shows it: every line end is one `\\n`."""
    return "\n".join(line.rstrip(_BREAKS) for line in text.splitlines(keepends=True)) + (
        "\n" if text and text[-1] in _BREAKS else ""
    )


def with_line_ends(before: str, edited: str) -> str:
    """An edited text with the line ends that the file had.

    Lines that were not edited keep their own end, new ones get the file's usual one.
    """
    old = before.splitlines(keepends=True)
    bodies = [line.rstrip(_BREAKS) for line in old]
    ends = [line[len(body) :] for line, body in zip(old, bodies, strict=True)]
    usual = max((end for end in ends if end), key=ends.count, default="\n")
    lines = edited.split("\n")
    made = [usual] * len(lines)
    matcher = difflib.SequenceMatcher(None, bodies, lines, autojunk=False)
    for kind, start, stop, at, _ in matcher.get_opcodes():
        if kind == "equal":
            made[at : at + stop - start] = [end or usual for end in ends[start:stop]]
    made[-1] = ""
    return "".join(line + end for line, end in zip(lines, made, strict=True))


def tokens_text(counts: list[int]) -> str:
    """`12 / 75 tokens, 1 chunk`; of several alternatives the longest counts."""
    most = max(counts, default=0)
    chunks = max(1, -(-most // CHUNK))
    text = f"{most} / {CHUNK} tokens, {chunks} chunk{'s' * (chunks != 1)}"
    return f"{len(counts)} alternatives, longest {text}" if len(counts) > 1 else text


def _keeps(event: QKeyEvent) -> bool:
    """Whether a key ends the writing and keeps the text."""
    control = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
    return control and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)


class CaptionText(QPlainTextEdit):
    """The text. Signals: commitAsked() by Ctrl+Enter or leaving it, cancelAsked() by Escape,
    undoAsked(), redoAsked() where the text itself has nothing to take back."""

    commitAsked = Signal()
    cancelAsked = Signal()
    undoAsked = Signal()
    redoAsked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setTabChangesFocus(True)
        self.document().setDocumentMargin(0)
        self.setLineWrapMode(QPlainTextEdit.LineWrapMode.WidgetWidth)

    def text(self) -> str:
        """What is written, with `\\n` at line ends; no-break spaces stay what they are."""
        return self.document().toRawText().replace(_PARAGRAPH, "\n")

    def sizeHint(self) -> QSize:
        return QSize(theme.em(30), theme.unit(15))

    def event(self, event: QEvent) -> bool:
        # The window has these shortcuts too; while text is edited they are the text's.
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent):
            wanted = (QKeySequence.StandardKey.Undo, QKeySequence.StandardKey.Redo)
            ends = event.key() == Qt.Key.Key_Escape or _keeps(event)
            if ends or any(event.matches(key) for key in wanted):
                event.accept()
                return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if _keeps(event):
            self.commitAsked.emit()
        elif event.key() == Qt.Key.Key_Escape:
            self.cancelAsked.emit()
        elif event.matches(QKeySequence.StandardKey.Undo) and not self._has("isUndoAvailable"):
            self.undoAsked.emit()
        elif event.matches(QKeySequence.StandardKey.Redo) and not self._has("isRedoAvailable"):
            self.redoAsked.emit()
        else:
            super().keyPressEvent(event)

    def _has(self, what: str) -> bool:
        return bool(getattr(self.document(), what)())

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        # A menu or another program in front is no leaving.
        if event.reason() not in (
            Qt.FocusReason.PopupFocusReason,
            Qt.FocusReason.ActiveWindowFocusReason,
        ):
            self.commitAsked.emit()


class CaptionEditor(QWidget):
    """The caption of one picture.

    Signals:
        committed(object, str, str): picture, its text before, its text after; only real changes.
        undoAsked(), redoAsked(): nothing to take back in the text itself.
    """

    committed = Signal(object, str, str)
    undoAsked = Signal()
    redoAsked = Signal()

    def __init__(self, background: Background) -> None:
        super().__init__()
        self._background = background
        self._picture: Path | None = None
        self._before = ""
        self.name = Elided(mode=Qt.TextElideMode.ElideMiddle)
        theme.set_role(self.name, "group")
        self.edit = CaptionText()
        self.edit.setAccessibleName(self.tr("Caption"))
        self.edit.commitAsked.connect(self.commit)
        self.edit.cancelAsked.connect(self.cancel)
        self.edit.undoAsked.connect(self.undoAsked)
        self.edit.redoAsked.connect(self.redoAsked)
        self.edit.textChanged.connect(self._text_changed)
        self.set_low(False)
        self.tokens = QLabel()
        theme.set_role(self.tokens, "small")
        self.tokens.setToolTip(
            self.tr("Text encoders take 75 tokens at once; longer captions are trained in chunks.")
        )
        self.state = QLabel()
        theme.set_role(self.state, "small")
        row = QHBoxLayout()
        row.setSpacing(theme.unit())
        row.addWidget(self.tokens)
        row.addStretch(1)
        row.addWidget(self.state)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.unit(0.5))
        column.addWidget(self.name)
        column.addWidget(self.edit, 1)
        column.addLayout(row)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_COUNT_AFTER_MS)
        self._timer.timeout.connect(self._count)
        self.show_picture(None, "", "")

    @property
    def picture(self) -> Path | None:
        """The picture on show."""
        return self._picture

    def set_low(self, low: bool) -> None:
        """Take less room: two lines of text at least instead of five."""
        self.edit.setMinimumHeight(theme.unit(4.5 if low else 10))

    def is_changed(self) -> bool:
        """Whether the text differs from what is kept."""
        return self._picture is not None and self.edit.text() != shown_text(self._before)

    def text(self) -> str:
        """The text as a file's text: what was kept, or the edited lines with the file's ends."""
        return with_line_ends(self._before, self.edit.text()) if self.is_changed() else self._before

    def show_picture(self, picture: Path | None, text: str, locked: str) -> None:
        """Keep what was edited, then show another picture's caption.

        locked: why it cannot be edited, "" where it can.
        """
        if picture != self._picture:
            self.commit()
        elif self.is_changed() and not locked:
            # Somebody is typing: that stays, whatever the file says by now.
            self._before = text
            self._text_changed()
            return
        self._picture, self._before = picture, text
        self.name.set_text(picture.name if picture else self.tr("No picture chosen"))
        shown = shown_text(text)
        if shown != self.edit.text():
            self.edit.setPlainText(shown)
        self.edit.document().clearUndoRedoStacks()
        self.edit.setReadOnly(bool(locked) or picture is None)
        self.edit.setEnabled(picture is not None)
        self.edit.setPlaceholderText(locked or (self.tr("No caption yet") if picture else ""))
        self.edit.setToolTip(locked)
        self._text_changed()

    def commit(self) -> None:
        """Keep the edited text; `committed` comes when it is another one."""
        if self._picture is None or not self.is_changed() or self.edit.isReadOnly():
            return
        before, after = self._before, self.text()
        self._before = after
        self._text_changed()
        self.committed.emit(self._picture, before, after)

    def cancel(self) -> None:
        """Go back to what was kept."""
        if self.is_changed():
            self.edit.setPlainText(shown_text(self._before))
            self.edit.document().clearUndoRedoStacks()

    def retype(self, text: str) -> None:
        """Show a text as if it had just been typed, to be kept or taken back."""
        if not self.edit.isReadOnly():
            self.edit.setPlainText(shown_text(text))

    def _text_changed(self) -> None:
        self._timer.start()
        changed = self.is_changed()
        self.state.setText(self.tr("Ctrl+Enter keeps it, Esc takes it back") if changed else "")
        self.tokens.setVisible(self._picture is not None and not self.edit.isReadOnly())

    def _count(self) -> None:
        if self._picture is None or not self.isVisible():
            return
        lines = list(caption_lines(self.edit.text())) or [""]

        def work(_: StopCheck) -> list[int]:
            return count_tokens(lines)

        self._background.run(self, ("tokens", id(self)), work, self._show_count)

    def _show_count(self, counts: object) -> None:
        self.tokens.setText(tokens_text(counts) if isinstance(counts, list) else "")

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._timer.start()
