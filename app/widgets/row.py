"""One setting in a form: changed-dot, label, editor, unit, help or problem."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QContextMenuEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPlainTextEdit,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.icons import icon
from app.widgets.fields import CheckField, TextField
from app.widgets.labels import Note

LABEL_EM, NARROW_LABEL_EM, FIELD_EM, NARROW_EM = 24, 19, 34, 80
# Of each number where two stand in one row.
PAIR_EM = 7
FLASH_MS = 1600


class Dot(QAbstractButton):
    """The mark of a value that differs from the preset; a click brings the preset's back."""

    def __init__(self) -> None:
        super().__init__()
        self._shown = False
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.set_shown(False)

    def set_shown(self, shown: bool) -> None:
        """Show the mark; its place stays reserved without it."""
        self._shown = shown
        self.setEnabled(shown)
        self.setAccessibleName(self.tr("Back to the preset's value") if shown else "")
        self.update()

    def is_shown(self) -> bool:
        """Whether the mark is there."""
        return self._shown

    def sizeHint(self) -> QSize:
        return QSize(theme.unit(theme.DOT), theme.unit(2))

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self._shown:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        colours = theme.colours()
        painter.setBrush(QColor(colours.text if self.underMouse() else colours.accent_text))
        radius = self.width() * (0.42 if self.underMouse() else 0.32)
        painter.drawEllipse(self.rect().toRectF().center(), radius, radius)
        painter.end()


class _Label(QLabel):
    """A field's name; clicking it acts on the field."""

    clicked = Signal()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self.clicked.emit()
        super().mousePressEvent(event)


class FieldRow(QFrame):
    """A setting's row. Signals: resetRequested() when the preset's value is wanted back."""

    resetRequested = Signal()

    def __init__(self, title: str, help_text: str, editor: QWidget, *, wide: bool, unit: str):
        super().__init__()
        self.title, self._help, self.editor = title, help_text, editor
        self._wide = wide
        self._narrow: bool | None = None
        self._base_text: Callable[[], str] = str
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.dot = Dot()
        self.dot.clicked.connect(self.resetRequested)
        self.label = _Label(title)
        self.label.setWordWrap(True)
        self.label.setBuddy(editor)
        self.label.clicked.connect(self._label_clicked)
        self.note = Note()
        self.note.set_note(help_text)
        self._box = QWidget()
        self._fields = QHBoxLayout(self._box)
        self._fields.setContentsMargins(0, 0, 0, 0)
        self._fields.setSpacing(theme.unit())
        self._fields.addWidget(editor, 1 if wide or isinstance(editor, TextField) else 0)
        if unit:
            unit_label = QLabel(unit)
            theme.set_role(unit_label, "muted")
            self._fields.addWidget(unit_label)
        if not wide and not isinstance(editor, TextField):
            self._fields.addStretch(1)
        self._box.setMinimumHeight(self._line_height())
        self._below = QVBoxLayout()
        self._below.setSpacing(theme.unit(0.5))
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, theme.unit(0.25), theme.unit(0.5), theme.unit(0.25))
        self._grid.setHorizontalSpacing(theme.unit(theme.GAP))
        self._grid.setVerticalSpacing(theme.unit(0.4))
        self._grid.setColumnStretch(3, 1)
        self._watch(editor)
        self.set_narrow(False)

    def add_companion(self, editor: QWidget) -> None:
        """Put a second editor beside the first (a number and what it counts)."""
        self._fields.insertWidget(1, editor)
        self._watch(editor)

    def add_range(self, lead: str, editor: QWidget, unit: str) -> QWidget:
        """Put how far a change goes behind how often it is made, `0.5 chance up to 5 °`; returns
        what is to be shown or hidden as a whole."""
        box = QWidget()
        row = QHBoxLayout(box)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.unit())
        for text in (lead, unit):
            label = QLabel(text)
            theme.set_role(label, "muted")
            row.addWidget(label)
        row.insertWidget(1, editor)
        editor.setFixedWidth(theme.em(PAIR_EM))
        self._fields.insertWidget(self._fields.count() - 1, box)
        self._watch(editor)
        return box

    def add_below(self, widget: QWidget) -> None:
        """Put something under the field, such as a proposal."""
        self._below.addWidget(widget)

    def set_narrow(self, narrow: bool) -> None:
        """Put the help under the field where there is no room beside it."""
        if narrow == self._narrow:
            return
        self._narrow = narrow
        under = narrow or self._wide
        top = Qt.AlignmentFlag.AlignTop
        middle = Qt.AlignmentFlag.AlignVCenter
        for item in (self.dot, self.label, self._box, self.note, self._below):
            if isinstance(item, QWidget):
                self._grid.removeWidget(item)
            else:
                self._grid.removeItem(item)
        if not self._wide:
            self._box.setMinimumWidth(0 if narrow else theme.em(FIELD_EM))
            self._box.setMaximumWidth(theme.em(FIELD_EM))
        self.label.setFixedWidth(theme.em(NARROW_LABEL_EM if narrow else LABEL_EM))
        line_height = self._line_height()
        self.dot.setFixedHeight(line_height)
        self.label.setMinimumHeight(line_height)
        self._grid.addWidget(self.dot, 0, 0, top)
        self._grid.addWidget(self.label, 0, 1, top)
        if under:
            self._grid.addWidget(self._box, 0, 2, 1, 2)
            self._grid.addWidget(self.note, 1, 2, 1, 2)
        else:
            self._grid.addWidget(self._box, 0, 2, top)
            self._grid.addWidget(self.note, 0, 3, middle)
        self._grid.addLayout(self._below, 2, 2, 1, 2)

    def _line_height(self) -> int:
        probe = QLineEdit()
        probe.ensurePolished()
        return probe.sizeHint().height()

    def set_differs(self, differs: bool, base_text: Callable[[], str]) -> None:
        """Show or hide the changed-dot; base_text tells the preset's value in words."""
        self._base_text = base_text
        if differs != self.dot.is_shown():
            self.dot.set_shown(differs)
        if differs:
            self.dot.setToolTip(
                self.tr("Changed. Click for the preset's value: %1").replace("%1", base_text())
            )
        else:
            self.dot.setToolTip("")

    def set_problem(self, kind: str, text: str) -> None:
        """Show a problem in the help's place (kind `error`, `warning`, `todo`), or '' for none."""
        self.note.set_note(text if kind else self._help, kind or "help")
        target = getattr(self.editor, "line", self.editor)
        state = kind if kind in ("error", "warning") else ""
        if (target.property("state") or "") != state:
            target.setProperty("state", state)
            theme.repolish(target)

    def flash(self) -> None:
        """Mark the row for a moment, where a search or a problem led to it."""
        self._set_flash(True)
        QTimer.singleShot(FLASH_MS, self, lambda: self._set_flash(False))

    def _set_flash(self, on: bool) -> None:
        self.setProperty("flash", "true" if on else "false")
        theme.repolish(self)

    def _label_clicked(self) -> None:
        self.editor.setFocus(Qt.FocusReason.MouseFocusReason)
        if isinstance(self.editor, CheckField):
            self.editor.click()

    # --- context menu ------------------------------------------------------------

    def _watch(self, editor: QWidget) -> None:
        for widget in (editor, getattr(editor, "line", None)):
            if widget is not None:
                widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if isinstance(event, QContextMenuEvent) and isinstance(watched, QWidget):
            self._menu(watched).exec(event.globalPos())
            return True
        return super().eventFilter(watched, event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        self._menu(self).exec(event.globalPos())

    def _menu(self, watched: QWidget) -> QMenu:
        if isinstance(watched, QLineEdit | QPlainTextEdit):
            menu = watched.createStandardContextMenu()
            menu.addSeparator()
        else:
            menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        text = self.tr("Back to the preset's value")
        if self.dot.is_shown():
            text = f"{text}: {self._base_text()}"
        action = menu.addAction(icon("undo-2"), text.replace("&", "&&"), self.resetRequested.emit)
        action.setEnabled(self.dot.is_shown())
        return menu
