"""A thread that owns (or follows) one worker process and turns its events into Qt signals.

A run that this window starts is heard through the worker's pipe; one that an earlier window left
behind, or that ended long ago, through its folder's events.jsonl. Either way everything is read
here, outside the GUI thread, and handed over in lists that the window digests within a frame.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QObject, QThread, Signal

from app.run_panel.log_tail import LogTail
from core.config.job import Job
from core.errors import UserError, fail
from core.runs.events import read_events
from core.runs.folder import RunFolder, create
from core.runs.history import list_runs
from core.runs.lock import is_running, running_pid
from core.worker import protocol
from core.worker.client import WorkerProcess, send_by_folder, why_it_died

# A list of this size costs the window about two milliseconds.
BATCH = 500
BATCH_BYTES = 80 * 1024  # about as many events in the file
LAST_LINES = 15
SWITCH_SECONDS = 0.001
LOOK_EVERY = 0.4  # every look takes the worker's lock for a moment


@dataclass(frozen=True)
class Limits:
    """How long the thread waits for what, in seconds."""

    poll: float = 0.06
    silence: float = 30.0
    start: float = 120.0
    stop: float = 15.0


def find_running(runs: Path) -> list[Path]:
    """Folders of the runs below `runs` that a worker is busy with, newest first."""
    return [run.path for run in list_runs(runs) if is_running(run.path)]


class TrainingThread(QThread):
    """Starts or follows the worker of one run; make one per run and call `start()`.

    Signals:
        runReady(str): the run's folder, once it exists.
        eventsArrived(list): events in order, at most about 16 lists a second.
        logArrived(list): new lines of log.txt.
        caughtUp(bool): everything that lay on disk was delivered; True when a worker is alive.
        stalled(float): seconds without any sign of life. recovered(): it came back.
        stopOverdue(): the worker did not end in time after a stop.
        died(str, list): the worker is gone without a word; why in one sentence, last log lines.
        refused(list): the run could not be started; list of core.errors.Problem.
        ended(): nothing more will come.
    """

    runReady = Signal(str)
    eventsArrived = Signal(list)
    logArrived = Signal(list)
    caughtUp = Signal(bool)
    stalled = Signal(float)
    recovered = Signal()
    stopOverdue = Signal()
    died = Signal(str, list)
    refused = Signal(list)
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
        """Three uses: a new run (`job` and `runs`), a started or resumed one (`run` and `launch`,
        with the checkpoint's name or `latest` in `resume`), a followed one (`run` alone).

        accept_changes: resume although another model or optimizer has taken the place of the
        run's."""
        super().__init__(parent)
        self.setObjectName("training")
        self._run = RunFolder(run) if run else None
        self._job, self._runs = job, runs
        self._launch = launch or job is not None
        self._resume, self._accept_changes = resume, accept_changes
        self._limits = limits or Limits()
        self._process: WorkerProcess | None = None
        self._wake = threading.Event()
        self._quit = False
        self._kill_asked = False
        self._commands: deque[protocol.Command] = deque()
        self._stop_sent: float | None = None
        self._offset = 0
        self._log: LogTail | None = None
        self._last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._done: protocol.Done | None = None
        self._greeted = False
        self._last_sign = 0.0
        self._is_stalled = False
        self._held = False
        self._next_look = 0.0

        _threads.add(self)
        self.finished.connect(lambda: _threads.discard(self))

    # What the window asks for; safe from any thread.

    def send(self, command: protocol.Command) -> None:
        """Hand a command to the worker."""
        self._commands.append(command)
        self._wake.set()

    def kill(self) -> None:
        """End the worker at once, without saving."""
        self._kill_asked = True
        self._wake.set()

    def leave(self) -> None:
        """End this thread after its last commands are out; the worker goes on."""
        self._quit = True
        self._wake.set()

    # The thread itself.

    def run(self) -> None:
        """Deliver what is on disk, start the worker if asked to, follow it to its end."""
        # While events are decoded here, the GUI thread gets the interpreter's lock within a
        # millisecond instead of five: a frame takes the lock many times.
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            self._work()
        except UserError as error:
            self.refused.emit(list(error.problems))
        finally:
            self.ended.emit()

    def _work(self) -> None:
        if self._run is None:
            assert self._job is not None and self._runs is not None
            self._run = create(self._job, self._runs)
        self._log = LogTail(self._run.log_file)
        self.runReady.emit(str(self._run.path))
        self._deliver_file()
        self._deliver_log()
        if self._launch:
            self._done, self._greeted = None, False
            self._process = self._start_process(self._run)
        self._last_sign = time.monotonic()
        seen_alive = self._alive()
        self.caughtUp.emit(seen_alive)
        while not self._quit and self._alive():
            self._turn()
            self._wake.wait(self._limits.poll)
            self._wake.clear()
        self._send_commands(self._run)
        if self._quit:
            if self._process is not None:
                self._process.stop_listening()
            return
        self._deliver(ended=True)
        if self._done is None:
            self._tell_death(self._run, seen_alive)

    def _turn(self) -> None:
        assert self._run is not None
        self._send_commands(self._run)
        if self._kill_asked:
            self._end_process(self._run)
        self._deliver()
        self._watch()

    def _start_process(self, run: RunFolder) -> WorkerProcess:
        try:
            return WorkerProcess(run, self._resume or None, accept_changes=self._accept_changes)
        except OSError as error:
            raise fail(
                "worker_not_started",
                f"The training process could not be started: {error.strerror or error}.",
                hint="Close other programs if memory is short, then press Train again.",
                file=str(run.path),
            ) from error

    def _alive(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_EVERY
            self._held = self._run is not None and is_running(self._run)
        return self._held

    def _deliver(self, ended: bool = False) -> None:
        if self._process is not None:
            self._deliver_pipe(self._process, ended)
        else:
            self._deliver_file()
        self._deliver_log(force=ended)

    def _deliver_pipe(self, process: WorkerProcess, ended: bool) -> None:
        """What the worker has said since; at its end wait a moment for the pipe's rest."""
        patience = 0.5 if ended else 0.0
        while not self._quit:
            events: list[protocol.Event] = []
            while len(events) < BATCH and (event := process.get(patience)) is not None:
                events.append(event)
            self._hand_over(events)
            if len(events) < BATCH:
                return
            self.msleep(round(self._limits.poll * 1000))

    def _deliver_file(self) -> None:
        """What has been written to events.jsonl since."""
        assert self._run is not None
        while not self._quit:
            before = self._offset
            events, self._offset = read_events(self._run.events_file, before, BATCH_BYTES)
            self._hand_over(events)
            if self._offset - before < BATCH_BYTES:
                return
            self.msleep(round(self._limits.poll * 1000))

    def _hand_over(self, events: list[protocol.Event]) -> None:
        if not events:
            return
        self._last_sign = time.monotonic()
        if self._is_stalled:
            self._is_stalled = False
            self.recovered.emit()
        for event in events:
            if isinstance(event, protocol.Hello):
                self._greeted, self._done = True, None
            elif isinstance(event, protocol.Done):
                self._done = event
        self.eventsArrived.emit(events)

    def _deliver_log(self, force: bool = False) -> None:
        assert self._log is not None
        if lines := self._log.read(force):
            self._last_lines.extend(line for line in lines if line.strip())
            self.logArrived.emit(lines)

    def _watch(self) -> None:
        """Tell when the worker is silent for too long, or does not obey a stop."""
        now = time.monotonic()
        patience = self._limits.silence if self._greeted else self._limits.start
        silence = now - self._last_sign
        if silence > patience and not self._is_stalled:
            self._is_stalled = True
            self.stalled.emit(silence)
        if self._stop_sent is not None and now - self._stop_sent > self._limits.stop:
            self._stop_sent = None
            self.stopOverdue.emit()

    def _send_commands(self, run: RunFolder) -> None:
        while self._commands:
            command = self._commands.popleft()
            if isinstance(command, protocol.Stop):
                self._stop_sent = time.monotonic()
            # With this thread's end the window may end too: a file is safe, the pipe's writer
            # might not have had its turn.
            if self._process is not None and not self._quit:
                self._process.send(command)
            elif self._alive():
                with contextlib.suppress(OSError):  # its folder is gone: nobody is listening
                    send_by_folder(run, command)

    def _end_process(self, run: RunFolder) -> None:
        if self._process is not None:
            self._process.kill()
        elif pid := running_pid(run):
            with contextlib.suppress(OSError):
                _kill(pid)

    def _tell_death(self, run: RunFolder, seen_alive: bool) -> None:
        code = self._process.wait(1.0) if self._process else None
        printed = self._process.printed() if self._process else ""
        lines = printed.splitlines()[-LAST_LINES:] if printed else list(self._last_lines)
        if self._kill_asked:
            title = "The training process was ended at your request, without saving."
        elif not seen_alive:
            title = "This run was interrupted: its training process is gone."
        else:
            title = why_it_died(run, code, printed).title
        self.died.emit(title, lines)


# Qt aborts the program when a running thread is destroyed.
_threads: set[TrainingThread] = set()


@atexit.register
def _end_threads() -> None:
    for thread in list(_threads):
        thread.leave()
        thread.wait(3000)


def _kill(pid: int) -> None:
    """End a worker that another window started, with the processes that it started."""
    if os.name == "posix" and os.getpgid(pid) == pid:
        os.killpg(pid, signal.SIGKILL)
    else:
        os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
