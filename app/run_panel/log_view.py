"""The page of words: warnings with what to do about them, and the tail of log.txt."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent, QShowEvent, QTextCursor
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app import icons, theme
from app.run_panel.parts import link_button, monospaced
from core.config.job import info_of
from core.worker import protocol

MOST_LINES = 5000
MOST_CARDS = 100

Told = protocol.Warning | protocol.ProblemEvent


class LogView(QWidget):
    """Warnings and problems above, the log below.

    Signals:
        settingRequested(str): the path of a setting that a warning names.
    """

    settingRequested = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._cards: list[QWidget] = []
        self._problems: list[Told] = []
        self._list = QWidget()
        theme.set_role(self._list, "page")
        self._column = QVBoxLayout(self._list)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(theme.unit(0.75))
        self._column.addStretch(1)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setWidget(self._list)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._none = QLabel(self.tr("No warnings."))
        theme.set_role(self._none, "muted")
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setMaximumBlockCount(MOST_LINES)
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.text.setFont(monospaced())
        self.text.setUndoRedoEnabled(False)
        self.text.setPlaceholderText(self.tr("What the training process prints appears here."))
        self.text.setAccessibleName(self.tr("Log"))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.unit(1))
        layout.addWidget(self._none)
        layout.addWidget(self._scroll, 2)
        layout.addWidget(self.text, 3)
        self._scroll.hide()
        theme.notifier().changed.connect(self._retheme)

    def show_run(self, problems: list[Told], lines: list[str]) -> None:
        """Show another run's warnings and log."""
        self.text.clear()
        for card in self._cards:
            card.hide()
            card.deleteLater()
        self._cards.clear()
        self.set_problems(problems)
        self.add_lines(lines)

    def set_problems(self, problems: list[Told]) -> None:
        """Show these; those that are there already stay."""
        if len(problems) < len(self._cards):
            for card in self._cards:
                card.hide()
                card.deleteLater()
            self._cards.clear()
        self._problems = list(problems)
        for problem in problems[len(self._cards) : MOST_CARDS]:
            card = self._card(problem)
            self._column.insertWidget(self._column.count() - 1, card)
            self._cards.append(card)
        self._none.setVisible(not self._cards)
        self._scroll.setVisible(bool(self._cards))
        self._fit_later()

    def _retheme(self) -> None:
        problems = self._problems
        self.set_problems([])
        self.set_problems(problems)

    def _fit_later(self) -> None:
        # The cards know their heights only after they have got their width.
        QTimer.singleShot(0, self, self._fit_cards)

    def _fit_cards(self) -> None:
        """No taller than the cards need; the log gets the rest."""
        width = self._scroll.viewport().width() or self.width()
        heights = [_height(card, width) for card in self._cards]
        gaps = self._column.spacing() * len(heights)
        self._scroll.setMaximumHeight(max(theme.unit(4), sum(heights) + gaps))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_later()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._fit_later()

    def add_lines(self, lines: list[str]) -> None:
        """Append lines; the view follows unless somebody scrolled back."""
        if not lines:
            return
        bar = self.text.verticalScrollBar()
        follow = bar.value() >= bar.maximum() - 2
        cursor = QTextCursor(self.text.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        start = "" if self.text.document().isEmpty() else "\n"
        cursor.insertText(start + "\n".join(lines[-MOST_LINES:]))
        if follow:
            bar.setValue(bar.maximum())

    def cards(self) -> list[QWidget]:
        """The cards on view, in order."""
        return list(self._cards)

    def _card(self, problem: Told) -> QWidget:
        error = isinstance(problem, protocol.ProblemEvent)
        role = "error" if error else "warning"
        card = QFrame()
        theme.set_role(card, "card")
        card.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        icon = QLabel()
        name = "circle-alert" if error else "triangle-alert"
        icon.setPixmap(icons.pixmap(name, theme.unit(2), role, self.devicePixelRatioF()))
        column = QVBoxLayout()
        column.setSpacing(theme.unit(0.25))
        column.addWidget(_words(problem.title))
        if problem.detail:
            column.addWidget(_words(problem.detail, "muted"))
        if problem.hint:
            column.addWidget(_words(problem.hint, "muted"))
        if problem.setting:
            column.addWidget(self._link(problem.setting), 0, Qt.AlignmentFlag.AlignLeft)
        row = QHBoxLayout(card)
        row.setContentsMargins(*[theme.unit(1)] * 4)
        row.setSpacing(theme.unit(1))
        row.addWidget(icon, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(column, 1)
        return card

    def _link(self, setting: str) -> QPushButton:
        info = info_of(setting)
        title = info.title if info else setting
        button = link_button(self.tr("Go to “{0}”").format(title))
        button.setToolTip(setting)
        button.clicked.connect(lambda: self.settingRequested.emit(setting))
        return button


def _height(card: QWidget, width: int) -> int:
    layout = card.layout()
    return layout.totalHeightForWidth(width) if layout else card.sizeHint().height()


def _words(text: str, role: str = "") -> QLabel:
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    theme.set_role(label, role)
    return label
