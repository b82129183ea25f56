"""Automatic captions: choose a tagger or captioner, watch it work, look through, apply."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from PySide6.QtCore import QSize, Signal
from PySide6.QtGui import QCloseEvent, QFontMetrics
from PySide6.QtWidgets import (
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app import prefs, theme
from app.captions.auto_fields import OptionFields, title
from app.captions.auto_thread import CaptionThread
from app.captions.change_table import ChangeModel, ChangeTable
from app.captions.store import CaptionStore
from app.dialogs import give_room
from app.i18n import counted
from app.icons import icon
from app.widgets.fields import CheckField, ChoiceField, TextField
from app.widgets.labels import Note
from app.widgets.paths import PathField
from core.captioning.job import Ended, Progress
from core.captioning.options import ABOUT, CaptionOptions, make_options
from core.captioning.spool import Spool
from core.captioning.wd import has_onnxruntime, install_hint
from core.errors import Problem, UserError

_TAGGER_ROWS = (("tagger",), ("general", "character", "most_tags"), ("exclude",))
_CAPTIONER_ROWS = (("captioner",), ("prompt",), ("max_tokens", "dtype"))
_TICKS = ("characters_first", "ratings", "underscores", "escape")


class AutoDialog(QDialog):
    """Captions by a model, looked through before they are written.

    Signals: applied(list, str, object): the ticked changes, the step's name, and what is to be
    called when all of them are written. unwritten(int): so many captions were made, and the dialog
    was closed without writing them.
    """

    applied = Signal(list, str, object)
    unwritten = Signal(int)

    def __init__(
        self,
        parent: QWidget | None,
        store: CaptionStore,
        scopes: Mapping[str, Sequence[Path]],
        command: Sequence[str] | None = None,
    ) -> None:
        """scopes as ChangeDialog's; `command` stands in for the worker's command line."""
        super().__init__(parent)
        self.setWindowTitle(self.tr("Automatic captions"))
        self._store, self._command = store, command
        self._scopes = {name: list(pictures) for name, pictures in scopes.items() if pictures}
        self._thread: CaptionThread | None = None
        self._refused: list[Problem] = []
        self._left_out = 0
        self._label = ""
        self._spool: Spool | None = None
        self.fields = OptionFields(self, _place_of(store.pictures))
        self.fields.edited.connect(lambda _: self._check())
        self._make_choices()
        self.note = Note(lines=3)
        self.note.setVisible(False)
        self.model = ChangeModel(editable=True)
        self.model.ticksChanged.connect(self._show_count)
        self.table = ChangeTable(self.model, store.background)
        column = QVBoxLayout(self)
        column.setContentsMargins(*[theme.unit(2)] * 4)
        column.setSpacing(theme.unit())
        column.addLayout(self._grid())
        column.addWidget(self.note)
        column.addLayout(self._work_row())
        column.addWidget(self.table, 1)
        column.addLayout(self._end_row())
        theme.give_air(self)
        self._set_kind(prefs.text("captions/kind", "tagger"))
        self._show_count()
        give_room(self, QSize(theme.em(130), theme.unit(90)))

    # --- layout ------------------------------------------------------------------

    def _make_choices(self) -> None:
        self.kinds = {
            "tagger": QPushButton(self.tr("Tags")),
            "captioner": QPushButton(self.tr("Sentences")),
        }
        for kind, side in (("tagger", "left"), ("captioner", "right")):
            button = self.kinds[kind]
            theme.set_role(button, "segment")
            button.setProperty("side", side)
            button.setCheckable(True)
            button.setAutoDefault(False)
            # The chosen one is bold, which takes more room.
            text = QFontMetrics(theme.font("title")).horizontalAdvance(button.text())
            button.setMinimumWidth(text + theme.unit(3))
            button.clicked.connect(lambda _, kind=kind: self._set_kind(kind))
        labels = {
            "all": self.tr("All pictures (%1)"),
            "filtered": self.tr("The filtered pictures (%1)"),
            "selected": self.tr("The selected pictures (%1)"),
        }
        self.scope = ChoiceField(
            [(name, labels[name].replace("%1", str(len(p)))) for name, p in self._scopes.items()]
        )
        self.scope.setAccessibleName(self.tr("Pictures to caption"))

    def _grid(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(theme.unit(1.5))
        grid.setVerticalSpacing(theme.unit(0.75))
        grid.setColumnStretch(1, 1)
        self._rows: dict[str, list[QWidget]] = {"tagger": [], "captioner": []}
        segments = QHBoxLayout()
        segments.setSpacing(0)
        for button in self.kinds.values():
            segments.addWidget(button)
        segments.addStretch(1)
        grid.addWidget(QLabel(self.tr("Write")), 0, 0)
        grid.addLayout(segments, 0, 1)
        for kind, rows in (("tagger", _TAGGER_ROWS), ("captioner", _CAPTIONER_ROWS)):
            for names in rows:
                self._rows[kind] += self._add_row(grid, names)
        self._rows["tagger"] += self._add_row(grid, _TICKS)
        line = grid.rowCount()
        grid.addWidget(QLabel(self.tr("Pictures")), line, 0)
        grid.addLayout(self._line(("mode", "trigger"), self.scope), line, 1)
        self._add_row(grid, ("device", "batch", "download"))
        return grid

    def _add_row(self, grid: QGridLayout, names: Sequence[str]) -> list[QWidget]:
        """Put fields into a row of their own, the first one's name in front; gives all of it."""
        line = grid.rowCount()
        box = QWidget()
        first = self.fields[names[0]]
        added: list[QWidget] = [box]
        if not isinstance(first, CheckField):
            label = QLabel(title(names[0]))
            label.setBuddy(first)
            label.setToolTip(first.toolTip())
            grid.addWidget(label, line, 0)
            added.append(label)
            names = names[1:]
            box.setLayout(self._line(names, first))
        else:
            box.setLayout(self._line(names))
        grid.addWidget(box, line, 1)
        return added

    def _line(self, names: Sequence[str], first: QWidget | None = None) -> QHBoxLayout:
        """Fields side by side, each behind its name."""
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.unit())
        stretches = False
        if first is not None:
            stretches = isinstance(first, TextField | PathField)
            row.addWidget(first, 1 if stretches else 0)
        for name in names:
            field = self.fields[name]
            if row.count():
                row.addSpacing(theme.unit())
            if not isinstance(field, CheckField):
                label = QLabel(title(name))
                label.setBuddy(field)
                label.setToolTip(field.toolTip())
                row.addWidget(label)
            wide = isinstance(field, TextField | PathField)
            stretches = stretches or wide
            row.addWidget(field, 1 if wide else 0)
        if not stretches:
            row.addStretch(1)
        return row

    def _work_row(self) -> QHBoxLayout:
        self.start = QPushButton(icon("sparkles"), self.tr("Caption"))
        self.start.clicked.connect(self._start_or_stop)
        self.start.setAutoDefault(False)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(theme.unit(1.25))
        self.progress.setVisible(False)
        self.status = QLabel()
        theme.set_role(self.status, "muted")
        row = QHBoxLayout()
        row.setSpacing(theme.unit(1.5))
        row.addWidget(self.start)
        row.addWidget(self.progress, 1)
        row.addWidget(self.status)
        row.addStretch(0)
        return row

    def _end_row(self) -> QHBoxLayout:
        self.count = QLabel()
        theme.set_role(self.count, "muted")
        self.every = CheckField(self.tr("All"))
        self.every.setChecked(True)
        self.every.edited.connect(lambda on: self.model.tick_all(bool(on)))
        self.close_button = QPushButton(self.tr("Close"))
        self.close_button.clicked.connect(self.reject)
        self.close_button.setAutoDefault(False)
        self.apply = QPushButton(self.tr("Write captions"))
        theme.set_role(self.apply, "primary")
        self.apply.setAutoDefault(False)
        self.apply.clicked.connect(self._apply)
        row = QHBoxLayout()
        row.setSpacing(theme.unit())
        row.addWidget(self.every)
        row.addWidget(self.count)
        row.addStretch(1)
        row.addWidget(self.close_button)
        row.addWidget(self.apply)
        return row

    # --- choosing ----------------------------------------------------------------

    def kind(self) -> str:
        """`tagger` or `captioner`."""
        return "tagger" if self.kinds["tagger"].isChecked() else "captioner"

    def _set_kind(self, kind: str) -> None:
        kind = kind if kind in self.kinds else "tagger"
        for name, button in self.kinds.items():
            button.setChecked(name == kind)
        for name, widgets in self._rows.items():
            for widget in widgets:
                widget.setVisible(name == kind)
        self._check()

    def _options(self) -> CaptionOptions:
        values = self.fields.values()
        other = "captioner" if self.kind() == "tagger" else "tagger"
        # What belongs to the other kind is not asked for, so it cannot be wrong.
        usual = CaptionOptions()
        for name, about in ABOUT.items():
            if name == other or about.part == other:
                values[name] = getattr(usual, name)
        return make_options(values)

    def _check(self) -> None:
        """Say what is missing before it can start."""
        if self.is_running():
            return
        chosen = str(self.fields[self.kind()].value()).strip()
        problem = ""
        if self.kind() == "tagger" and not has_onnxruntime():
            problem = self.tr("Taggers need the package onnxruntime.") + f" {install_hint()}"
        for name in ABOUT:
            self.fields.show_problem(name, False)
        if chosen and not problem:
            try:
                self._options()
            except UserError as error:
                problem = " ".join(one.title for one in error.problems)
                for one in error.problems:
                    self.fields.show_problem(one.setting, True)
        self._tell(problem, "error")
        self.start.setEnabled(bool(chosen) and not problem and bool(self._scopes))
        if not self._refused and not self.model.rowCount():
            hint = self.tr("Choose the folder of a model first.")
            self.status.setText("" if chosen else hint)

    def _tell(self, text: str, kind: str) -> None:
        self.note.setVisible(bool(text))
        self.note.set_note(text, kind)

    # --- running -----------------------------------------------------------------

    def is_running(self) -> bool:
        """Whether a worker is captioning."""
        return self._thread is not None

    def _start_or_stop(self) -> None:
        if self._thread is not None:
            self._thread.stop()
            self.start.setEnabled(False)
            self.status.setText(self.tr("Stopping..."))
            return
        try:
            options = self._options()
        except UserError as error:
            self._tell(error.problem.title, "error")
            return
        self.fields.remember()
        prefs.put("captions/kind", self.kind())
        self._refused, self._left_out = [], 0
        self._label = self.tr("Automatic captions")
        self._tell("", "error")
        self.model.clear()
        pictures = self._scopes[self.scope.value()]
        # The folder of the first stands for all: it only tells one set's captions from another's.
        self._spool = Spool(pictures[0].parent, options)
        thread = CaptionThread(pictures, options, self._store.file_of, self._command, self._spool)
        self._thread = thread
        thread.planned.connect(self._planned)
        thread.progressed.connect(self._progressed)
        thread.captioned.connect(self.model.append)
        thread.refused.connect(self._refuse)
        thread.ended.connect(self._ended)
        thread.start()
        self._show_running(True)

    def _show_running(self, running: bool) -> None:
        self.start.setText(self.tr("Stop") if running else self.tr("Caption"))
        self.start.setIcon(icon("square" if running else "sparkles"))
        self.start.setEnabled(True)
        self.progress.setVisible(running)
        self.progress.setRange(0, 0)
        for field in self.fields.fields.values():
            field.setEnabled(not running)
        for widget in (*self.kinds.values(), self.scope):
            widget.setEnabled(not running)
        self._show_count()

    def _refuse(self, problem: Problem) -> None:
        self._refused.append(problem)

    def _planned(self, wanted: int, left_out: int) -> None:
        self._left_out = left_out
        if wanted:
            self.progress.setRange(0, wanted)

    def _progressed(self, told: Progress) -> None:
        if told.phase != "captioning" or not told.total:
            self.progress.setRange(0, 0)
            waits = told.phase == "waiting"
            self.status.setText(told.text if waits else self.tr("Loading the model..."))
            return
        self.progress.setRange(0, told.total)
        self.progress.setValue(told.done)
        text = self.tr("%1 of %2").replace("%1", str(told.done)).replace("%2", str(told.total))
        self.status.setText(f"{text}  ·  {told.text}" if told.text else text)

    def _ended(self, ended: Ended) -> None:
        self._thread = None
        self._show_running(False)
        done = self.model.rowCount()
        words = {
            "finished": counted(self.tr("%n picture(s) captioned", "", done), done),
            "stopped": self.tr("Stopped after %1").replace("%1", str(done)),
            "failed": self.tr("Failed after %1").replace("%1", str(done)),
        }
        parts = [words[ended.status]]
        if self._left_out:
            left = self._left_out
            parts.append(counted(self.tr("%n with a caption left out", "", left), left))
        self.status.setText(", ".join(parts))
        problems = [*ended.problems, *self._refused]
        for problem in ended.problems:
            self.fields.show_problem(problem.setting, True)
        if problems:
            self._tell(" ".join(p.sentence() for p in problems[:20]), self._severity(ended))

    def _severity(self, ended: Ended) -> str:
        return "error" if ended.problems else "warning"

    def _show_count(self) -> None:
        rows, taken = self.model.rowCount(), self.model.taken_count()
        self.every.setVisible(rows > 0)
        self.every.setChecked(rows == taken)
        text = ""
        if rows:
            text = self.tr("%1 of %2 ticked; double click a new caption to edit it")
            text = text.replace("%1", str(taken)).replace("%2", str(rows))
        self.count.setText(text)
        self.apply.setEnabled(taken > 0 and not self.is_running())

    def _apply(self) -> None:
        # What was made and only looked at, or could not be written, stays: the next run with
        # these settings has it at once.
        forget = self._spool.clear if self._spool is not None else lambda: None
        self.applied.emit(self.model.taken(), self._label, forget)
        self.accept()

    # --- leaving -----------------------------------------------------------------

    def done(self, result: int) -> None:
        """Close; a worker that still runs is ended, the window does not wait for it."""
        if self._thread is not None:
            self._thread.disconnect(self)
            self._thread.stop()
            self._thread = None
        if result != QDialog.DialogCode.Accepted and self.isVisible() and self.model.rowCount():
            self.unwritten.emit(self.model.rowCount())
        super().done(result)

    def closeEvent(self, event: QCloseEvent) -> None:
        self.done(int(QDialog.DialogCode.Rejected))
        super().closeEvent(event)


def _place_of(pictures: Sequence[Path]) -> str:
    """The folder that all pictures lie in or below, "" without one."""
    try:
        return os.path.commonpath([picture.parent for picture in pictures])
    except ValueError:  # none, or on several drives
        return ""
