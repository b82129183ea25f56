"""The other side of the worker: start it, hear it, command it, end it. No torch, no Qt."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from core.errors import Problem
from core.files import write_text
from core.runs.checkpoints import list_checkpoints
from core.runs.folder import RunFolder
from core.worker import protocol
from core.worker.lines import LineSplitter
from core.worker.protocol import Event

_ROOT = Path(__file__).resolve().parents[2]


def worker_command(run: RunFolder, resume: str | None = None, python: str = "") -> list[str]:
    """The command line of a worker for `run`; `resume` names a checkpoint, or is `latest`."""
    # -P: a file named torch.py in the folder where Limner was started must not be imported.
    command = [python or sys.executable, "-P", "-m", "core.worker", str(run.path)]
    return [*command, "--resume", resume] if resume else command


def worker_environment() -> dict[str, str]:
    """The environment of a worker: this one, UTF-8, and this very copy of Limner importable."""
    known = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join([str(_ROOT), known] if known else [str(_ROOT)])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}


def detached() -> dict[str, Any]:
    """Arguments of Popen that let the worker outlive its parent and the parent's terminal."""
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        return {"creationflags": flags}
    return {"start_new_session": True}


class WorkerProcess:
    """A worker that was started here.

    Its events come from `get`; whatever else it prints is counted in `garbage` and dropped.
    Nothing here waits for a worker that hangs: reading and writing happen in threads.
    """

    def __init__(
        self,
        run: RunFolder,
        resume: str | None = None,
        python: str = "",
        command: Sequence[str] | None = None,
    ) -> None:
        """Start it; `command` stands in for the usual command line. Raises OSError."""
        self.run = run
        self.garbage = 0
        self.ended = False
        self.last_heard = time.monotonic()
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._stderr: deque[str] = deque(maxlen=50)
        self._process = subprocess.Popen(
            list(command) if command else worker_command(run, resume, python),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=worker_environment(),
            **detached(),
        )
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._start(self._read_events, self._process.stdout)
        self._start(self._read_stderr, self._process.stderr)
        self._start(self._write, self._process.stdin)

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    def get(self, timeout: float | None = None) -> Event | None:
        """The next event; None after `timeout` seconds without one.

        None also when there will be no more, and then `ended` is True.
        """
        if self.ended:
            return None
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            return None
        if event is None:
            self.ended = True
        return event

    def send(self, command: protocol.Command) -> None:
        """Send a command; returns at once, also when the worker hangs or is gone."""
        self._outbox.put(protocol.encode(command).encode() + b"\n")

    def poll(self) -> int | None:
        """The exit code, or None while the worker lives; negative for a signal."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit code, or None when it still lives after `timeout` seconds."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def silent_for(self) -> float:
        """Seconds since the last event; above 15 the worker hangs (it has a heartbeat of 5)."""
        return time.monotonic() - self.last_heard

    def printed(self) -> str:
        """The last lines that the worker printed before its log was open."""
        return "\n".join(self._stderr)

    def end(self, patience: float = 3.0) -> int | None:
        """Stop without saving, then terminate, then kill, each with some patience."""
        self.send(protocol.Stop(save=False))
        if self.wait(patience) is None:
            self._signal(hard=False)
            if self.wait(patience) is None:
                self.kill()
        return self.wait(patience)

    def kill(self) -> None:
        """End it at once, with everything that it started."""
        self._signal(hard=True)

    def _signal(self, hard: bool) -> None:
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                if hard:
                    self._process.kill()
                else:
                    self._process.send_signal(signal.CTRL_BREAK_EVENT)
            elif self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL if hard else signal.SIGTERM)

    def _start(self, work: Any, stream: IO[bytes]) -> None:
        threading.Thread(target=work, args=(stream,), daemon=True).start()

    def _read_events(self, stream: IO[bytes]) -> None:
        splitter = LineSplitter()
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(stream.fileno(), 65536):
                for line in splitter.feed(data):
                    event = protocol.decode_event(line)
                    if event is None:
                        self.garbage += 1
                    else:
                        self.last_heard = time.monotonic()
                        self._events.put(event)
        self._events.put(None)

    def _read_stderr(self, stream: IO[bytes]) -> None:
        splitter = LineSplitter()
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(stream.fileno(), 65536):
                for line in splitter.feed(data):
                    self._stderr.append(line.decode("utf-8", "replace"))

    def _write(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            while True:
                data = self._outbox.get()
                while data:
                    data = data[os.write(stream.fileno(), data) :]


def send_by_folder(run: RunFolder, command: protocol.Command) -> None:
    """Command a worker that somebody else started; it looks once a second. Raises OSError."""
    name = f"{time.time_ns():020d}-{os.getpid()}.json"
    write_text(run.commands_folder / name, protocol.encode(command) + "\n")


def log_tail(run: RunFolder, lines: int = 20) -> list[str]:
    """The last lines of the run's log; empty when there is none."""
    try:
        with open(run.log_file, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 64 * 1024))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]


def why_it_died(run: RunFolder, code: int | None, printed: str = "") -> Problem:
    """What to tell about a worker that ended without `done`, with the log's last lines.

    code: its exit code where known, negative for a signal. printed: what came on its stderr.
    """
    tail = printed.splitlines()[-5:] or _last_words(log_tail(run, 200))
    kept = [c.step for c in list_checkpoints(run) if c.valid and c.has_state]
    hint = "Start it again to begin anew."
    if kept:
        hint = f"Resume it from its checkpoint at step {kept[-1]}."
    return Problem(
        code="worker_died",
        title=f"The training process {_manner(code)}.",
        detail="\n".join(["The end of its log:", *tail]) if tail else "",
        hint=hint,
        file=str(run.log_file),
    )


def _last_words(log: list[str]) -> list[str]:
    """The end of what the last worker of a run printed."""
    starts = [number for number, line in enumerate(log) if line.startswith("--- worker ")]
    return log[starts[-1] + 1 :][-5:] if starts else log[-5:]


def _manner(code: int | None) -> str:
    if code is None:
        return "is gone without a last word"
    if code == -9:
        return "was killed; often the system does so when memory runs out"
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        crash = name in ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT")
        return f"{'crashed' if crash else 'was ended'} ({name})"
    return f"ended unexpectedly with code {code}"
