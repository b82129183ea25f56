"""A run's events.jsonl: written by the worker, read while it grows by everyone else."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from core.runs.folder import step_of
from core.worker import protocol
from core.worker.protocol import Event, decode_event, encode

_DURABLE = (protocol.Checkpoint, protocol.ProblemEvent, protocol.Done)


class EventLog:
    """Appends events, each as one whole line that is with the operating system on return.

    Opening a log that ends in half a line (its writer was killed) drops that half. Every method
    may be called from any thread.
    """

    def __init__(self, path: Path) -> None:
        """Open or create `path`. Raises OSError when it cannot be written."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            self._end = _end_of_last_line(self._handle)
            os.ftruncate(self._handle, self._end)
        except BaseException:
            os.close(self._handle)
            raise

    def append(self, event: protocol._Event) -> None:
        """Write one event. Raises OSError (disk full) and then leaves no half line behind."""
        line = encode(event).encode("utf-8", "backslashreplace") + b"\n"
        with self._lock:
            try:
                _write_at(self._handle, self._end, line)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._handle, self._end)
                raise
            self._end += len(line)
            if isinstance(event, _DURABLE):
                os.fsync(self._handle)

    def close(self) -> None:
        """Close the file; further appends raise OSError."""
        with self._lock:
            if self._handle >= 0:
                os.close(self._handle)
                self._handle = -1


def _write_at(handle: int, offset: int, data: bytes) -> None:
    os.lseek(handle, offset, os.SEEK_SET)
    while data:
        data = data[os.write(handle, data) :]


def _end_of_last_line(handle: int) -> int:
    end = os.lseek(handle, 0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 65536)
        os.lseek(handle, start, os.SEEK_SET)
        found = os.read(handle, end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def read_events(
    path: Path, from_offset: int = 0, at_most: int | None = None
) -> tuple[list[Event], int]:
    """Events from byte `from_offset` on, and the offset to go on from.

    Only whole lines are taken; half a line at the end waits for the next call. Lines that are no
    events are skipped. A file that is missing gives nothing; one that has become shorter than
    `from_offset` is read from its beginning. at_most bounds the bytes read in one call (a line
    that is longer is still read whole).
    """
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size < from_offset:
                from_offset = 0
            file.seek(from_offset)
            data = file.read() if at_most is None else file.read(at_most)
            if at_most is not None and len(data) == at_most and not data.endswith(b"\n"):
                data += file.readline()
    except FileNotFoundError:
        return [], from_offset
    whole = data.rfind(b"\n") + 1
    events = [event for line in data[:whole].split(b"\n") if (event := _decode(line))]
    return events, from_offset + whole


def _decode(line: bytes) -> Event | None:
    # Plain text that got into the file is not worth a JSON parser's error.
    return decode_event(line) if line.startswith(b"{") else None


def after_resume(events: Iterable[Event]) -> list[Event]:
    """`events` without those that a resume undid.

    A run that is resumed from step 100 repeats what it had done after it; the file keeps both.
    `hello` marks the place; its `resumed_from` names the checkpoint, empty for a new beginning.
    """
    kept: list[Event] = []
    for event in events:
        if isinstance(event, protocol.Hello) and kept:
            step = step_of(event.resumed_from)
            kept = [e for e in kept if e.type != "done" and getattr(e, "step", 0) <= (step or 0)]
            kept = kept if step is not None else []
        kept.append(event)
    return kept
