"""Follows a run's log.txt while it grows."""

from __future__ import annotations

import time
from pathlib import Path

CHUNK = 64 * 1024


class LogTail:
    """Reads a growing text file by whole lines; a flood is cut to its last part.

    A carriage return rewrites the line, as progress bars do: the last version stays.
    """

    def __init__(self, path: Path, interval: float = 0.25) -> None:
        self._path, self._interval = path, interval
        self._offset = 0
        self._rest = b""
        self._next = 0.0

    def read(self, force: bool = False) -> list[str]:
        """New whole lines, at most once per interval; with force also a last line without end."""
        if not force and time.monotonic() < self._next:
            return []
        self._next = time.monotonic() + self._interval
        fresh = self._fetch()
        data = self._rest + fresh
        cut = len(data) if force else data.rfind(b"\n") + 1
        whole, self._rest = data[:cut], data[cut:][-CHUNK:]
        lines = whole.decode("utf-8", "replace").split("\n")
        if not lines[-1]:
            lines.pop()
        return [line.rstrip("\r").rpartition("\r")[2] for line in lines]

    def _fetch(self) -> bytes:
        try:
            with open(self._path, "rb") as file:
                size = file.seek(0, 2)
                if size < self._offset:  # the file was replaced
                    self._offset, self._rest = 0, b""
                if size - self._offset > CHUNK:
                    self._rest = b""
                    file.seek(size - CHUNK)
                    file.readline()
                else:
                    file.seek(self._offset)
                data = file.read(2 * CHUNK)
                self._offset = file.tell()
                return data
        except OSError:
            return b""
