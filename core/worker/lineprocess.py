"""A process of ours that speaks in lines: started, heard, spoken to and ended from here.

No torch, no Qt. Nothing here waits for a process that hangs: reading and writing happen in threads.
"""

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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from core.worker.lines import LineSplitter

_ROOT = Path(__file__).resolve().parents[2]

Event = TypeVar("Event")

# Events read ahead of whoever takes them; further ones wait in the pipe.
MOST_WAITING = 2000
_LOOK_SECONDS = 0.2


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


class LineProcess(Generic[Event]):
    """A process that was started here; its events come from `get`.

    decode: an event from a line of its stdout, None for a line that is none; those are counted in
    `garbage` and dropped.
    """

    def __init__(self, command: Sequence[str], decode: Callable[[bytes], Event | None]) -> None:
        """Start it. Raises OSError."""
        self.garbage = 0
        self.ended = False
        self.last_heard = time.monotonic()
        self._decode = decode
        self._events: queue.Queue[Event | None] = queue.Queue(MOST_WAITING)
        self._deaf = threading.Event()
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._stderr: deque[str] = deque(maxlen=50)
        self._process = subprocess.Popen(
            list(command),
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
        """Its process id."""
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

    @property
    def waiting(self) -> int:
        """How many events were read and not taken yet, at most MOST_WAITING."""
        return self._events.qsize()

    def stop_listening(self) -> None:
        """Nobody will call `get` again; what it says from now on is read and dropped."""
        self._deaf.set()

    def send_line(self, line: bytes) -> None:
        """Send a line, its end included; returns at once, also when the process hangs."""
        self._outbox.put(line)

    def poll(self) -> int | None:
        """The exit code, or None while it lives; negative for a signal."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit code, or None when it still lives after `timeout` seconds."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def silent_for(self) -> float:
        """Seconds since the last event; above 15 it hangs (it has a heartbeat of 5)."""
        return time.monotonic() - self.last_heard

    def printed(self) -> str:
        """The last lines of its stderr."""
        return "\n".join(self._stderr)

    def terminate(self) -> None:
        """Ask it by a signal to end, with everything that it started.

        On Windows it is ended at once: a signal reaches only processes of the same console.
        """
        self._signal(hard=False)

    def kill(self) -> None:
        """End it at once, with everything that it started."""
        self._signal(hard=True)

    def _signal(self, hard: bool) -> None:
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                self._process.kill()
            elif self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL if hard else signal.SIGTERM)

    def _start(self, work: Callable[[IO[bytes]], None], stream: IO[bytes]) -> None:
        threading.Thread(target=work, args=(stream,), daemon=True).start()

    def _read_events(self, stream: IO[bytes]) -> None:
        splitter = LineSplitter()
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(stream.fileno(), 65536):
                for line in splitter.feed(data):
                    event = self._decode(line)
                    if event is None:
                        self.garbage += 1
                    else:
                        self.last_heard = time.monotonic()
                        self._keep(event)
        self._keep(None)
        # Nothing is left to say to a process whose end of the pipe is closed.
        self._outbox.put(None)
        self._close(stream)

    def _keep(self, event: Event | None) -> None:
        """Queue an event, waiting for room: a flood must not fill the memory."""
        while not self._deaf.is_set():
            try:
                self._events.put(event, timeout=_LOOK_SECONDS)
                return
            except queue.Full:
                continue

    def _read_stderr(self, stream: IO[bytes]) -> None:
        splitter = LineSplitter()
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(stream.fileno(), 65536):
                for line in splitter.feed(data):
                    self._stderr.append(line.decode("utf-8", "replace"))
        self._close(stream)

    def _write(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            while (data := self._outbox.get()) is not None:
                while data:
                    data = data[os.write(stream.fileno(), data) :]
        self._close(stream)

    def _close(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError):
            stream.close()
