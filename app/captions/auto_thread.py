"""A thread that follows one captioning worker and turns what it tells into Qt signals."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QThread, Signal

from core.captioning.files import FileOf
from core.captioning.job import Ended, Progress, Told, plan_captions, run_captions
from core.captioning.options import CaptionOptions
from core.captioning.spool import Spool
from core.captioning.tags import Change
from core.errors import Problem, Stopped, UserError


class CaptionThread(QThread):
    """Captions pictures in a worker process; make one per run and call `start()`.

    Signals:
        planned(int, int): how many pictures will be captioned, how many are left out.
        progressed(object): a core.captioning.job.Progress.
        captioned(object): a core.captioning.tags.Change; nothing is written.
        refused(object): a Problem that cost one picture.
        ended(object): a core.captioning.job.Ended; nothing more will come.
    """

    planned = Signal(int, int)
    progressed = Signal(object)
    captioned = Signal(object)
    refused = Signal(object)
    ended = Signal(object)

    def __init__(
        self,
        pictures: Sequence[Path],
        options: CaptionOptions,
        file_of: FileOf,
        command: Sequence[str] | None = None,
        spool: Spool | None = None,
    ) -> None:
        """`spool` keeps what is made; `command` stands in for the worker's command line."""
        super().__init__()
        self.setObjectName("captions")
        self._pictures, self._options, self._file_of = list(pictures), options, file_of
        self._command, self._spool = command, spool
        self._stop = threading.Event()
        _threads.add(self)
        self.finished.connect(lambda: _threads.discard(self))

    def stop(self) -> None:
        """End it soon; `ended` comes within two seconds."""
        self._stop.set()

    def run(self) -> None:
        """Plan, start the worker, follow it to its end."""
        try:
            plan = plan_captions(self._pictures, self._options, self._file_of, self._stop.is_set)
            self.planned.emit(len(plan.pictures), plan.skipped)
            for problem in plan.problems:
                self.refused.emit(problem)
            ended = run_captions(
                plan, self._options, self._tell, self._stop.is_set, self._command, self._spool
            )
        except Stopped:
            ended = Ended("stopped")
        except UserError as error:
            ended = Ended("failed", error.problems)
        self.ended.emit(ended)

    def _tell(self, told: Told) -> None:
        match told:
            case Progress():
                self.progressed.emit(told)
            case Change():
                self.captioned.emit(told)
            case Problem():
                self.refused.emit(told)


# Qt aborts the program when a running thread is destroyed.
_threads: set[CaptionThread] = set()


@atexit.register
def _end_threads() -> None:
    for thread in list(_threads):
        thread.stop()
        thread.wait(5000)
