"""The other side of the captioning worker: start it, hear it, stop it. No torch, no Qt."""

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
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from core.captioning import messages
from core.captioning.options import CaptionOptions
from core.errors import Problem
from core.worker.client import detached, worker_environment
from core.worker.lines import LineSplitter


def usual_command() -> list[str]:
    """The command line of a captioning worker."""
    # -P: a file named torch.py in the folder where Limner was started must not be imported.
    return [sys.executable, "-P", "-m", "core.captioning.worker"]


class CaptionWorker:
    """A captioning worker that was started here; its events come from `get`.

    Nothing here waits for a worker that hangs: reading and writing happen in threads.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        """Start it; `command` stands in for the usual command line. Raises OSError."""
        self.ended = False
        self.last_heard = time.monotonic()
        self._events: queue.SimpleQueue[messages.Event | None] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._stderr: deque[str] = deque(maxlen=50)
        self._process = subprocess.Popen(
            list(command) if command else usual_command(),
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

    def begin(self, pictures: Sequence[Path], options: CaptionOptions) -> None:
        """Tell it what to do; returns at once."""
        for start in range(0, len(pictures), messages.PATHS_A_LINE):
            part = pictures[start : start + messages.PATHS_A_LINE]
            self._send(messages.Pictures([os.path.abspath(path) for path in part]))
        self._send(messages.Start(asdict(options)))

    def stop(self) -> None:
        """Ask it to end; it does within two seconds, whatever it is doing."""
        self._send(messages.Stop())

    def get(self, timeout: float | None = None) -> messages.Event | None:
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

    def silent_for(self) -> float:
        """Seconds since the last event; above 15 the worker hangs (it has a heartbeat of 5)."""
        return time.monotonic() - self.last_heard

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit code, negative for a signal; None when it still lives after `timeout`."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End it at once, with everything that it started."""
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                self._process.kill()
            elif self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)

    def why_it_died(self) -> Problem:
        """What to tell about a worker that ended without `Done`."""
        code = self.wait(2.0)
        how = "ended unexpectedly" if code is None else f"ended unexpectedly with code {code}"
        if code == -signal.SIGTERM:
            how = "was ended from outside"
        elif code is not None and code < 0:
            killed = code == -9
            how = (
                "was killed; often the system does so when memory runs out"
                if killed
                else (f"crashed (signal {-code})")
            )
        tail = [line for line in self._stderr if line.strip()][-5:]
        return Problem(
            code="worker_died",
            title=f"The captioning process {how}.",
            detail="\n".join(["The last it printed:", *tail]) if tail else "",
            hint="What it had captioned is kept; start again for the rest.",
        )

    def _send(self, command: messages.Command) -> None:
        self._outbox.put(messages.encode(command))

    def _start(self, work: Any, stream: IO[bytes]) -> None:
        threading.Thread(target=work, args=(stream,), daemon=True).start()

    def _read_events(self, stream: IO[bytes]) -> None:
        splitter = LineSplitter()
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(stream.fileno(), 65536):
                for line in splitter.feed(data):
                    event = messages.decode(line)
                    if event is not None:
                        self.last_heard = time.monotonic()
                        self._events.put(event)  # type: ignore[arg-type]
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
