"""One run that the panel follows: its thread, and everything that the thread has told."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from app.run_panel.model import ALIVE, RunView
from app.training_thread import Limits, TrainingThread
from core.config.job import Job
from core.errors import Problem
from core.worker import protocol

LOG_LINES = 5000


class Session(QObject):
    """A run's view, kept up to date while its thread runs.

    Signals:
        ready(): its folder exists. changed(): new events were folded in, or its state changed.
        logged(list): new lines of the log. ended(): nothing more will come.
    """

    ready = Signal()
    changed = Signal()
    logged = Signal(list)
    ended = Signal()

    def __init__(
        self,
        run: Path | None = None,
        *,
        job: Job | None = None,
        runs: Path | None = None,
        launch: bool = False,
        resume: str = "",
        accept_changes: bool = False,
        limits: Limits | None = None,
        parent: QObject | None = None,
    ) -> None:
        """See TrainingThread for the three uses; `follow` starts it."""
        super().__init__(parent)
        self.view = RunView()
        self.folder = run
        self.name = job.name if job else ""
        self.lines: deque[str] = deque(maxlen=LOG_LINES)
        self.launched = launch or job is not None
        self.alive = self.launched
        self.caught_up = False
        self.death = ""
        self.last_lines: list[str] = []
        self.refused: list[Problem] = []
        self.silent_for = 0.0
        self.overdue = False
        self.signed_out = False
        self.worker = TrainingThread(
            run,
            job=job,
            runs=runs,
            launch=launch,
            resume=resume,
            accept_changes=accept_changes,
            limits=limits,
        )
        # Without a parent: a thread must not be destroyed while it runs. When the panel goes
        # without closing its sessions, the thread ends by itself.
        self.destroyed.connect(self.worker.leave)
        if self.launched:
            self.view.state = "starting"
        self._connect(self.worker)

    def _connect(self, thread: TrainingThread) -> None:
        thread.runReady.connect(self._on_ready)
        thread.eventsArrived.connect(self._on_events)
        thread.logArrived.connect(self._on_log)
        thread.caughtUp.connect(self._on_caught_up)
        thread.stalled.connect(self._on_stalled)
        thread.recovered.connect(lambda: self._on_stalled(0.0))
        thread.stopOverdue.connect(self._on_overdue)
        thread.died.connect(self._on_died)
        thread.refused.connect(self._on_refused)
        thread.ended.connect(self._on_ended)

    def follow(self) -> None:
        """Start the thread."""
        self.worker.start()

    def send(self, command: protocol.Command) -> None:
        """Hand a command to the worker."""
        if isinstance(command, protocol.Stop):
            self.view.state = "stopping"
        self.worker.send(command)
        self.changed.emit()

    def kill(self) -> None:
        """End the worker at once."""
        self.overdue, self.silent_for = False, 0.0
        self.worker.kill()
        self.changed.emit()

    def resumed_from(self) -> str:
        """The checkpoint that its last worker was to go on from, or `latest`."""
        return (self.view.hello and self.view.hello.resumed_from) or "latest"

    def close(self) -> None:
        """End the thread; the worker, if there is one, goes on."""
        self.worker.leave()
        self.worker.wait(5000)

    def _on_ready(self, folder: str) -> None:
        self.folder = Path(folder)
        self.name = run_name(self.folder)
        self.ready.emit()

    def _on_events(self, events: list[protocol.Event]) -> None:
        stopping = self.view.state == "stopping"
        self.view.apply(events)
        if stopping and self.view.state in ALIVE:
            self.view.state = "stopping"
        self.changed.emit()

    def _on_log(self, lines: list[str]) -> None:
        self.lines.extend(lines)
        self.logged.emit(lines)

    def _on_caught_up(self, alive: bool) -> None:
        self.caught_up, self.alive = True, alive
        if self.launched:
            # What was read so far is the past of a resumed run; a new process begins now.
            self.view.done, self.view.phase, self.view.state = None, None, "starting"
        self.changed.emit()

    def _on_stalled(self, seconds: float) -> None:
        self.silent_for = seconds
        self.changed.emit()

    def _on_overdue(self) -> None:
        self.overdue = True
        self.changed.emit()

    def _on_died(self, reason: str, lines: list[str]) -> None:
        self.death, self.last_lines = reason, lines
        self.view.state, self.view.phase = "died", None

    def _on_refused(self, problems: list[Problem]) -> None:
        self.refused = problems
        self.view.state, self.view.phase = "failed", None

    def _on_ended(self) -> None:
        self.alive, self.overdue, self.silent_for = False, False, 0.0
        self.changed.emit()
        self.ended.emit()


def run_name(folder: Path) -> str:
    """The run's name without the date and time in front of it."""
    parts = folder.name.split("-", 5)
    dated = len(parts) == 6 and "_" in folder.name and folder.name[:4].isdigit()
    return parts[5] if dated else folder.name
