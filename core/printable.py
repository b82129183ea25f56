"""Texts from files made fit for a terminal and a log, which obey control characters."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys

from core.paths import user_data_dir

# C0 but tab and line feed, DEL, C1, the line ends of Unicode, and what turns the direction of
# writing, with which a name can look like another.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def printable(text: str, one_line: bool = False) -> str:
    """`text` with control characters written as `\\u001b`, which JSON reads back as they were.

    one_line: line feeds too, so that a file's name cannot look like a message of ours.
    """
    text = text.replace("\n", "\\n") if one_line else text
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class PrintableFormatter(logging.Formatter):
    """Log lines without control characters, as names of files and texts of libraries hold them."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's line, and lines of a traceback below it."""
        return printable(super().format(record))


def log_to_stderr(layout: str = "%(levelname)s:%(name)s:%(message)s") -> None:
    """Send this process's log to stderr, from level info on."""
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter(layout))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def keep_libraries_off_stderr() -> None:
    """From here on only Python writes to stderr; what C libraries print goes into libraries.log.

    Their lines about damaged pictures (libtiff's above all) name no file. Nothing changes where
    stderr is somebody else's already, or the log cannot be written.
    """
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr.fileno() != 2:
            return
        log = user_data_dir() / "libraries.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "wb", buffering=0) as file:
            ours = open(  # noqa: SIM115
                os.dup(2),
                "w",
                encoding=sys.stderr.encoding,
                errors="backslashreplace",
                buffering=1,
            )
            sys.stderr.flush()
            os.dup2(file.fileno(), 2)
        sys.stderr = ours
