"""Changing many captions at once: what, where, and a preview of every change before it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QCompleter,
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.background import StopCheck
from app.captions.change_table import ChangeModel, ChangeTable
from app.captions.operations import WORDLESS, Kind, Operation, changes_of
from app.captions.store import CaptionStore
from app.dialogs import give_room
from app.i18n import counted
from app.widgets.fields import CheckField, ChoiceField, NumberField, TextField
from app.widgets.labels import Note
from core.captioning.tags import Change
from core.errors import Stopped, UserError

_WAIT_MS = 150


class ChangeDialog(QDialog):
    """Find and replace, and the other operations, over all, the filtered or the chosen pictures.

    Signals: applied(list, str): the ticked changes and the step's name; the dialog stays open
    for find and replace and closes otherwise.
    """

    applied = Signal(list, str)

    def __init__(
        self,
        parent: QWidget | None,
        store: CaptionStore,
        scopes: Mapping[str, Sequence[Path]],
        kind: Kind = "replace",
        first: str = "",
        scope: str = "",
    ) -> None:
        """scopes: `all`, `filtered`, `selected` -> pictures; empty ones are not offered.
        scope: the one that is chosen at first, the first one without."""
        super().__init__(parent)
        self._store = store
        self._scopes = {name: list(pictures) for name, pictures in scopes.items() if pictures}
        self.setWindowTitle(self.tr("Change captions"))
        self._make_fields(kind, first)
        if scope in self._scopes:
            self.scope.set_value(scope)
        self.model = ChangeModel(editable=False)
        self.model.ticksChanged.connect(self._show_count)
        self.table = ChangeTable(self.model, store.background)
        self.about = Note()
        self.about.set_note(
            self.tr(
                "Every comma becomes a comma and a space, full-width ones too. Empty and repeated "
                "tags, double spaces and commas at the end go; sentences keep their wording."
            )
        )
        self.note = Note()
        self.apply = QPushButton(self.tr("Change"))
        theme.set_role(self.apply, "primary")
        self.apply.clicked.connect(self._apply)
        self.close_button = QPushButton(self.tr("Close"))
        self.close_button.clicked.connect(self.reject)
        self.apply.setAutoDefault(False)
        self.close_button.setAutoDefault(False)
        self.count = QLabel()
        theme.set_role(self.count, "muted")
        buttons = QHBoxLayout()
        buttons.setSpacing(theme.unit())
        buttons.addWidget(self.count)
        buttons.addStretch(1)
        buttons.addWidget(self.close_button)
        buttons.addWidget(self.apply)
        column = QVBoxLayout(self)
        column.setContentsMargins(*[theme.unit(2)] * 4)
        column.setSpacing(theme.unit())
        column.addLayout(self._grid())
        column.addWidget(self.about)
        column.addWidget(self.note)
        column.addWidget(self.table, 1)
        column.addLayout(buttons)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_WAIT_MS)
        self._timer.timeout.connect(self._preview)
        store.changed.connect(self._captions_changed)
        self._arrange()
        self._show_count()
        give_room(self, QSize(theme.em(130), theme.unit(80)))
        # A tag that was chosen elsewhere only lacks its new name.
        start = self.second if first and kind == "rename" else self.first
        start.setFocus()
        start.selectAll()

    def _make_fields(self, kind: Kind, first: str) -> None:
        self.kind = ChoiceField(
            [
                ("replace", self.tr("Find and replace")),
                ("add", self.tr("Add a tag")),
                ("remove", self.tr("Remove a tag")),
                ("rename", self.tr("Rename a tag")),
                ("front", self.tr("Move a tag to the front")),
                ("trigger", self.tr("Trigger word to the front")),
                ("order", self.tr("Order tags by frequency")),
                ("duplicates", self.tr("Remove duplicate tags")),
                ("normalise", self.tr("Tidy up")),
            ]
        )
        self.kind.set_value(kind)
        labels = {
            "all": self.tr("all pictures (%1)"),
            "filtered": self.tr("the filtered pictures (%1)"),
            "selected": self.tr("the selected pictures (%1)"),
        }
        self.scope = ChoiceField(
            [(name, labels[name].replace("%1", str(len(p)))) for name, p in self._scopes.items()]
        )
        self.first, self.second = TextField(), TextField()
        self.first.setText(first)
        self.kind.setAccessibleName(self.tr("Change"))
        self.scope.setAccessibleName(self.tr("Pictures to change"))
        self.regular = CheckField(self.tr("Regular expression"))
        self.capitals = CheckField(self.tr("Capitals matter"))
        self.whole = CheckField(self.tr("Whole words"))
        self.tags = CheckField(self.tr("Each tag by itself"))
        self.at_end = CheckField(self.tr("At the end"))
        self.underscores = CheckField(self.tr("Spaces for underscores"))
        self.keep = NumberField(whole=True, optional=False)
        self.keep.set_value(0)
        self.keep.setAccessibleName(self.tr("Tags that stay in front"))
        # Tags that are there already are offered while one is typed.
        self._completer = QCompleter(sorted(self._store.counts(), key=str.casefold), self)
        self._completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self._completer.setFilterMode(Qt.MatchFlag.MatchContains)
        self._completer.activated.connect(self._edited)
        for field in (self.kind, self.scope, self.first, self.second, self.regular, self.capitals):
            field.edited.connect(self._edited)
        for box in (self.whole, self.tags, self.at_end, self.keep, self.underscores):
            box.edited.connect(self._edited)

    def _grid(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(theme.unit(1.5))
        grid.setVerticalSpacing(theme.unit(0.75))
        self.first_label, self.second_label = QLabel(), QLabel()
        self.keep_label = QLabel(self.tr("Tags that stay in front"))
        what = QHBoxLayout()
        what.setSpacing(theme.unit())
        what.addWidget(self.kind)
        what.addWidget(QLabel(self.tr("in")))
        what.addWidget(self.scope)
        what.addStretch(1)
        grid.addWidget(QLabel(self.tr("Change")), 0, 0)
        grid.addLayout(what, 0, 1)
        grid.addWidget(self.first_label, 1, 0)
        grid.addWidget(self.first, 1, 1)
        grid.addWidget(self.second_label, 2, 0)
        grid.addWidget(self.second, 2, 1)
        grid.addWidget(self.keep_label, 3, 0)
        grid.addWidget(self.keep, 3, 1)
        ticks = QHBoxLayout()
        ticks.setSpacing(theme.unit(2))
        for box in (
            self.capitals,
            self.whole,
            self.tags,
            self.regular,
            self.at_end,
            self.underscores,
        ):
            ticks.addWidget(box)
        ticks.addStretch(1)
        grid.addLayout(ticks, 4, 1)
        grid.setColumnStretch(1, 1)
        grid.setColumnMinimumWidth(0, theme.em(14))
        return grid

    def operation(self) -> Operation:
        """What is asked for now."""
        keep = self.keep.value()
        return Operation(
            self.kind.value(),
            self.first.value(),
            self.second.value(),
            regular=self.regular.value(),
            capitals=self.capitals.value(),
            whole=self.whole.value(),
            tags=self.tags.value(),
            at_end=self.at_end.value(),
            underscores=self.underscores.value(),
            keep=keep if isinstance(keep, int) and keep >= 0 else 0,
        )

    def _captions_changed(self, _: list[Path]) -> None:
        self._timer.start()

    def _edited(self, _: object) -> None:
        self._arrange()

    def _arrange(self) -> None:
        """Show only the fields that the kind of change has."""
        kind = self.kind.value()
        names = {
            "replace": self.tr("Find"),
            "trigger": self.tr("Trigger word"),
            "rename": self.tr("Tag"),
        }
        has_first = kind not in WORDLESS
        self.first_label.setText(names.get(kind, self.tr("Tag")))
        self.second_label.setText(self.tr("Replace by") if kind == "replace" else self.tr("Name"))
        self.first.setAccessibleName(self.first_label.text())
        self.second.setAccessibleName(self.second_label.text())
        shown: list[tuple[QWidget, bool]] = [
            *((widget, has_first) for widget in (self.first_label, self.first)),
            *((w, kind in ("replace", "rename")) for w in (self.second_label, self.second)),
            *((w, kind == "order") for w in (self.keep_label, self.keep)),
            (self.at_end, kind == "add"),
            (self.underscores, kind == "normalise"),
        ]
        shown += [
            (box, kind == "replace") for box in (self.regular, self.capitals, self.whole, self.tags)
        ]
        self.about.setVisible(kind == "normalise")
        for widget, visible in shown:
            widget.setVisible(visible)
        self.whole.setText(
            self.tr("Whole tags") if self.tags.isChecked() else self.tr("Whole words")
        )
        self.first.setCompleter(None if kind in ("replace", "trigger") else self._completer)  # type: ignore[arg-type]
        self._timer.start()

    def _preview(self) -> None:
        operation = self.operation()
        captions = self._store.chosen(self._scopes.get(self.scope.value(), []))
        if not operation.is_complete():
            self.model.set_changes([])
            self._tell("")
            return

        def work(cancelled: StopCheck) -> object:
            try:
                return changes_of(operation, captions, cancelled)
            except Stopped:
                return None

        self._store.background.run(self, ("preview", id(self)), work, self._show)

    def _show(self, found: object) -> None:
        if isinstance(found, UserError):
            self._tell(found.problem.sentence())
            self.model.set_changes([])
        elif isinstance(found, list):
            self._tell("")
            self.model.set_changes(found)

    def _tell(self, text: str) -> None:
        self.note.setVisible(bool(text))
        self.note.set_note(text, "error")
        self.first.setProperty("state", "error" if text else "")
        theme.repolish(self.first)

    def _show_count(self) -> None:
        rows, taken = self.model.rowCount(), self.model.taken_count()
        text = self.tr("Nothing would change.")
        if rows and rows == taken:
            text = counted(self.tr("%n caption(s) would change", "", rows), rows)
        elif rows:
            text = self.tr("%1 of %2 changes are ticked")
            text = text.replace("%1", str(taken)).replace("%2", str(rows))
        elif not self.operation().is_complete():
            text = ""
        self.count.setText(text)
        self.apply.setEnabled(taken > 0)

    def _apply(self) -> None:
        changes: list[Change] = self.model.taken()
        kind = self.kind.value()
        label = self.kind.currentText()
        if self.first.isVisibleTo(self) and self.first.value().strip():
            label = f"{label}: {self.first.value().strip()}"
        self.applied.emit(changes, label)
        if kind == "replace":
            self._timer.start()
        else:
            self.accept()

    def keyPressEvent(self, event: object) -> None:
        from PySide6.QtGui import QKeyEvent

        assert isinstance(event, QKeyEvent)
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if enter and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            if self.apply.isEnabled():
                self._apply()
            return
        if not enter:
            super().keyPressEvent(event)
