"""Where the worker's events go: the run's events.jsonl and the pipe to whoever started it.

The file gets every event, and the log every warning. The pipe is a courtesy: nobody may be at its
other end, or somebody who does not read. Training never waits for it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import deque

from core.runs.events import EventLog
from core.worker import protocol

log = logging.getLogger(__name__)

_MOST_WAITING = 1000
# Only the newest of these is of interest to a reader who is behind.
_FLEETING = ("step", "heartbeat", "phase")


class PipeWriter:
    """Writes lines to a file descriptor from a thread of its own; `put` never blocks.

    When the reader is behind by a thousand lines, all but the newest step, phase and heartbeat
    are left out. When the reader is gone, everything is.
    """

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._lines: deque[tuple[str, bytes]] = deque()
        self._changed = threading.Condition()
        self._writing = False
        self._gone = handle < 0
        threading.Thread(target=self._work, name="pipe", daemon=True).start()

    def put(self, kind: str, line: bytes) -> None:
        """Queue one line (with its end); `kind` is the event's type."""
        with self._changed:
            if self._gone:
                return
            if len(self._lines) >= _MOST_WAITING:
                self._coalesce()
            self._lines.append((kind, line))
            self._changed.notify_all()

    def drain(self, patience: float) -> bool:
        """Wait until everything is written, at most `patience` seconds; whether it was."""
        with self._changed:
            return self._changed.wait_for(lambda: self._gone or self._idle(), patience)

    def _idle(self) -> bool:
        return not self._lines and not self._writing

    def _coalesce(self) -> None:
        newest = {kind: index for index, (kind, _) in enumerate(self._lines) if kind in _FLEETING}
        kept = [
            entry
            for index, entry in enumerate(self._lines)
            if entry[0] not in _FLEETING or newest[entry[0]] == index
        ]
        self._lines = deque(kept[-(_MOST_WAITING - 1) :])

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._lines))
                _, line = self._lines.popleft()
                self._writing = True
            try:
                while line:
                    line = line[os.write(self._handle, line) :]
            except OSError:
                with self._changed:
                    self._gone = True
                    self._lines.clear()
            with self._changed:
                self._writing = False
                self._changed.notify_all()
            if self._gone:
                return


class Outlet:
    """The worker's one mouth; every method may be called from any thread.

    phase and step are those of the last events that told them.
    """

    def __init__(self, log: EventLog, pipe: PipeWriter) -> None:
        self._log = log
        self._pipe = pipe
        self._lock = threading.Lock()
        self._closed = False
        self.phase: protocol.PhaseName = "loading"
        self.step = 0

    def emit(self, event: protocol._Event) -> None:
        """Say one event; after `finish` nothing is said. Raises OSError when the disk is full."""
        with self._lock:
            if not self._closed:
                self._say(event)

    def finish(self, *last_words: protocol._Event) -> bool:
        """Say the last events and no more; False when somebody else already has.

        Never raises: with a full disk the pipe alone gets them.
        """
        with self._lock:
            if self._closed:
                return False
            for event in last_words:
                with contextlib.suppress(OSError):
                    self._say(event)
            self._closed = True
            with contextlib.suppress(OSError):
                self._log.close()
        self._pipe.drain(1.0)
        return True

    def _say(self, event: protocol._Event) -> None:
        match event:
            case protocol.Phase(name=name):
                self.phase = name
            case protocol.Step(step=step):
                self.step = step
            case protocol.Warning(title=title, detail=detail, hint=hint, file=file):
                parts = (title, detail, hint, f"[{file}]" if file else "")
                log.warning("%s", " ".join(part for part in parts if part))
            case _:
                pass
        kind = str(getattr(event, "type", ""))
        line = protocol.encode(event).encode("utf-8", "backslashreplace") + b"\n"
        try:
            self._log.append(event)
        finally:
            self._pipe.put(kind, line)
