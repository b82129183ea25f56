"""All changes to the user's files, one after another in one thread, so that no key waits."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import shiboken6
from PySide6.QtCore import QObject, Signal

from core.culling.history import Done, History
from core.errors import Problem, UserError

Work = Callable[[History], Done | None]
_Job = tuple[str, Work, object]


@dataclass(frozen=True)
class Outcome:
    """What became of a change. done: None when there was nothing to do or it failed."""

    kind: str
    done: Done | None
    problems: tuple[Problem, ...]
    undo_label: str
    redo_label: str


class FileWorker(QObject):
    """Runs changes through a folder's history in the order in which they were asked for.

    Signals: finished(Outcome, context) for each; idle() when nothing is left.
    """

    finished = Signal(object, object)
    idle = Signal()
    _done = Signal(object, object)

    def __init__(self, root: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._root = root
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._open = 0
        self._done.connect(self._deliver)
        # No daemon: what was asked for is done even when the program ends meanwhile.
        self._thread = threading.Thread(target=self._work, name="file changes")
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many changes are not done yet."""
        return self._open

    def run(self, kind: str, work: Work, context: object = None) -> None:
        """Do `work(history)` after everything asked for before; `finished` brings its outcome."""
        self._open += 1
        self._queue.put((kind, work, context))

    def finish(self) -> None:
        """End when all is done; the program does not end before."""
        self._queue.put(None)

    def join(self) -> None:
        """Wait until the thread has ended."""
        self._thread.join()

    def _work(self) -> None:
        history: History | None = None
        while (job := self._next()) is not None:
            kind, work, context = job
            done: Done | None = None
            problems: tuple[Problem, ...] = ()
            try:
                if history is None:
                    history = History.open(self._root)
                    problems = _news_of(history)
                done = work(history)
                if done is not None:
                    problems += done.problems
            except UserError as error:
                problems = error.problems
            except Exception as error:
                # A fault of ours must not end the thread with changes still waiting.
                problems = (_unexpected(error),)
            undo = history.undo_label if history is not None and history.can_undo else ""
            redo = history.redo_label if history is not None and history.can_redo else ""
            if shiboken6.isValid(self):
                self._done.emit(Outcome(kind, done, problems, undo, redo), context)

    def _next(self) -> _Job | None:
        """The next change; None when there will be no more."""
        while True:
            try:
                return self._queue.get(timeout=1.0)
            except queue.Empty:
                if not threading.main_thread().is_alive():
                    return None  # the program is ending and nobody said so

    def _deliver(self, outcome: Outcome, context: object) -> None:
        self._open -= 1
        self.finished.emit(outcome, context)
        if self._open == 0:
            self.idle.emit()


def _news_of(history: History) -> tuple[Problem, ...]:
    """What opening a history has shown: a damaged journal, a change that a crash interrupted."""
    found = history.problems
    if history.recovered is not None:
        title = f"A change that was interrupted is finished now: {history.recovered.label}."
        told = Problem(code="change_recovered", title=title, severity="warning")
        found = (*found, told, *history.recovered.problems)
    return found


def _unexpected(error: Exception) -> Problem:
    return Problem(
        code="change_failed",
        title=f"The change could not be made ({error or type(error).__name__}); nothing was lost.",
        detail=type(error).__name__,
    )
