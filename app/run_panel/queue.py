"""The queue in the window: how many runs wait, the list of them, and going on with the next."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app import dialogs, theme
from app.background import Background
from app.i18n import counted
from app.icons import icon
from app.run_panel.parts import tool_button
from core.config.job import Job
from core.errors import UserError
from core.runs import queue
from core.runs.folder import create
from core.runs.queue import Entry
from core.worker.queue_runner import start_runner

LOOK_MS = 1500


class QueueWatch(QObject):
    """What is in the queue, looked at now and then.

    Signals: changed() after the queue is another; runBegan(Path) when a run of it is being
    trained; failed(UserError).
    """

    changed = Signal()
    runBegan = Signal(object)
    failed = Signal(object)

    def __init__(self, background: Background, parent: QObject) -> None:
        super().__init__(parent)
        self.entries: list[Entry] = []
        self._background = background
        self._began: Path | None = None
        self._number = 0
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self.look)
        self._timer.start()
        self._work("begin", _begin)

    def look(self) -> None:
        """Look at the queue again, soon."""
        self._work("look", queue.entries)

    def add(self, job: Job, runs: Path) -> None:
        """Freeze a job into a folder below `runs` and put it at the end."""

        self._change(lambda: queue.add(create(job, runs).path))

    def move(self, run: Path, place: int) -> None:
        """Put a run at another place, counted from 1."""
        self._change(lambda: queue.move(run, place))

    def remove(self, run: Path) -> None:
        """Take a run out; its folder stays."""
        self._change(lambda: queue.remove(run))

    def put_back(self, run: Path, place: int) -> None:
        """Undo `remove`."""

        def back() -> None:
            queue.add(run)
            queue.move(run, place)

        self._change(back)

    def waiting(self) -> list[Entry]:
        """The runs whose turn has not come."""
        return [entry for entry in self.entries if entry.state == "waiting"]

    def _change(self, change: Callable[[], object]) -> None:
        def work() -> list[Entry]:
            change()
            return _begin()

        self._number += 1
        # Each has a name of its own: one change never takes the place of another.
        self._work(f"change {self._number}", work)

    def _work(self, name: str, work: Callable[[], list[Entry]]) -> None:
        self._background.run(self, ("queue", name), lambda _stop: work(), self._found)

    def _found(self, result: object) -> None:
        if isinstance(result, UserError):
            self.failed.emit(result)
            return
        if not isinstance(result, list) or result == self.entries:
            return
        self.entries = result
        running = next((entry.run for entry in result if entry.state == "running"), None)
        if running is not None and running != self._began:
            self.runBegan.emit(running)
        self._began = running
        self.changed.emit()


def _begin() -> list[Entry]:
    """See that somebody works through the queue; returns what is in it."""
    start_runner()
    return queue.entries()


class QueueButton(QPushButton):
    """`Queue: 2 waiting` in the footer; opens the list. Hidden while the queue is empty."""

    def __init__(self, watch: QueueWatch) -> None:
        super().__init__()
        self._watch = watch
        theme.set_role(self, "link")
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip(self.tr("Show the runs that wait for their turn"))
        self.clicked.connect(self.open_list)
        watch.changed.connect(self._show)
        self._show()

    def open_list(self) -> QueueList:
        """Show the list of runs."""
        shown = QueueList(self._watch, self.window())
        shown.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        shown.open()
        return shown

    def _show(self) -> None:
        waiting = len(self._watch.waiting())
        running = len(self._watch.entries) - waiting
        words = [
            counted(self.tr("%n running", "", number), number)
            if word == "running"
            else counted(self.tr("%n waiting", "", number), number)
            for word, number in (("running", running), ("waiting", waiting))
            if number
        ]
        self.setText(self.tr("Queue: %1").replace("%1", ", ".join(words)))
        self.setVisible(bool(words))


class QueueList(QDialog):
    """The runs of the queue in order, to be moved and taken out."""

    def __init__(self, watch: QueueWatch, parent: QWidget) -> None:
        super().__init__(parent)
        self._watch = watch
        self._removed: tuple[Path, int] | None = None
        self.setWindowTitle(self.tr("Queue"))
        self.list = QListWidget()
        self.list.setAccessibleName(self.tr("Runs in the queue"))
        self.up = tool_button("arrow-up", self.tr("Move up"))
        self.down = tool_button("arrow-down", self.tr("Move down"))
        self.out = QPushButton(icon("x"), self.tr("Take out"))
        self.out.setToolTip(self.tr("The run's folder stays where it is."))
        self.up.clicked.connect(partial(self._move, -1))
        self.down.clicked.connect(partial(self._move, 1))
        self.out.clicked.connect(self._take_out)
        self.said = QLabel()
        theme.set_role(self.said, "muted")
        self.undo = QPushButton(self.tr("Undo"))
        theme.set_role(self.undo, "link")
        self.undo.clicked.connect(self._undo)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        tools = QHBoxLayout()
        for widget in (self.up, self.down, self.out):
            tools.addWidget(widget)
        tools.addStretch(1)
        told = QHBoxLayout()
        told.addWidget(self.said)
        told.addWidget(self.undo)
        told.addStretch(1)
        column = QVBoxLayout(self)
        column.setSpacing(theme.unit())
        column.addWidget(self.list, 1)
        column.addLayout(tools)
        column.addLayout(told)
        column.addWidget(buttons)
        self.list.currentRowChanged.connect(self._enable)
        watch.changed.connect(self._fill)
        watch.failed.connect(lambda error: dialogs.tell_error(self, self.tr("Queue"), error))
        self._show_removed()
        self._fill()
        self.resize(theme.em(60), theme.em(34))

    def _fill(self) -> None:
        current = self._current()
        words = {
            "waiting": self.tr("waiting"),
            "running": self.tr("running"),
            "gone": self.tr("its folder is gone"),
        }
        self.list.clear()
        for entry in self._watch.entries:
            item = QListWidgetItem(f"{entry.name}  ·  {words[entry.state]}")
            item.setToolTip(str(entry.run))
            item.setData(Qt.ItemDataRole.UserRole, entry)
            self.list.addItem(item)
            if current is not None and entry.run == current.run:
                self.list.setCurrentItem(item)
        if self.list.currentRow() < 0 and self.list.count():
            self.list.setCurrentRow(0)
        self._enable()

    def _current(self) -> Entry | None:
        item = self.list.currentItem()
        entry = item.data(Qt.ItemDataRole.UserRole) if item is not None else None
        return entry if isinstance(entry, Entry) else None

    def _enable(self) -> None:
        entry, row = self._current(), self.list.currentRow()
        may = entry is not None and entry.state != "running"
        first = sum(e.state == "running" for e in self._watch.entries)
        self.up.setEnabled(may and row > first)
        self.down.setEnabled(may and row < self.list.count() - 1)
        self.out.setEnabled(may)

    def _move(self, by: int) -> None:
        entry = self._current()
        if entry is not None:
            self._watch.move(entry.run, self.list.currentRow() + 1 + by)

    def _take_out(self) -> None:
        entry = self._current()
        if entry is not None:
            self._removed = (entry.run, self.list.currentRow() + 1)
            self._watch.remove(entry.run)
            # Not on "Undo", and on nothing that takes out the next one.
            self.list.setFocus()
        self._show_removed()

    def _undo(self) -> None:
        if self._removed is not None:
            self._watch.put_back(*self._removed)
            self._removed = None
            self.list.setFocus()
        self._show_removed()

    def _show_removed(self) -> None:
        self.undo.setVisible(self._removed is not None)
        name = self._removed[0].name if self._removed is not None else ""
        self.said.setText(self.tr("Took %1 out.").replace("%1", name) if name else "")
