"""Cutting a stream of bytes into lines, whatever the other side sends."""

from __future__ import annotations

_LONGEST = 1024 * 1024


class LineSplitter:
    """Collects bytes and gives whole lines without their ends.

    A line that grows beyond a megabyte is garbage (no message is that long) and is left out.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are complete after `data`, empty ones left out."""
        *lines, rest = (self._rest + data).split(b"\n")
        if lines and self._skipping:
            del lines[0]
            self._skipping = False
        if len(rest) > _LONGEST:
            rest, self._skipping = b"", True
        self._rest = rest
        return [line.rstrip(b"\r") for line in lines if line.strip()]
