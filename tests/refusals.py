"""Files that another program holds for a moment, as on Windows, on every system.

A virus scanner, an indexer or a synchroniser opens what was just written; until it lets go,
renaming, replacing and removing are refused.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

Call = Callable[..., None]

_TESTS = Path(__file__).resolve().parent
_PROGRAM = (str(_TESTS.parent / "core"), str(_TESTS.parent / "app"))


def refusal(path: object, number: int = 32) -> PermissionError:
    """What Python raises on Windows for a refused call. number: WinError, 32 sharing violation."""
    error = PermissionError(13, "used by another process", str(path))
    error.winerror = number  # type: ignore[attr-defined,unused-ignore]
    return error


@dataclass
class Refusals:
    """What was refused so far. young: seconds for which a file counts as just written."""

    young: float = 0.1
    refused: list[str] = field(default_factory=list)
    _told: set[tuple[str, int, int]] = field(default_factory=set)

    def check(self, *paths: object) -> None:
        """Refuse the first try at a file that was just written or that this process has open."""
        for path in paths:
            name = os.fsdecode(path)  # type: ignore[call-overload]
            for file in _files_at(name):
                status = os.lstat(file)
                known = (file, status.st_ino, status.st_mtime_ns)
                fresh = time.time() - status.st_mtime < self.young
                if known not in self._told and (fresh or _is_open(file)):
                    self._told.add(known)
                    self.refused.append(name)
                    raise refusal(name)


def is_programs_call() -> bool:
    """Whether Limner asks, and not a test that plays another program."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith((*_PROGRAM, str(_TESTS))):
            return name.startswith(_PROGRAM)
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _files_at(name: str) -> list[str]:
    """The file itself, or the files in a folder, all of which keep it from being renamed."""
    try:
        mode = os.lstat(name).st_mode
    except OSError:
        return []
    if stat.S_ISREG(mode):
        return [name]
    if stat.S_ISDIR(mode):
        return [str(path) for path in Path(name).rglob("*") if path.is_file()]
    return []


def _is_open(file: str) -> bool:
    real = os.path.realpath(file)
    for handle in Path("/proc/self/fd").glob("*"):
        try:
            if os.readlink(handle) == real:
                return True
        except OSError:
            continue
    return False


@contextmanager
def momentary_refusals(patch: pytest.MonkeyPatch) -> Iterator[Refusals]:
    """Refuse each rename, replacement and removal of a fresh or open file once."""
    refusals = Refusals()
    for name, two in (("rename", True), ("replace", True), ("unlink", False), ("remove", False)):
        patch.setattr(os, name, _refusing(getattr(os, name), refusals, two))
    yield refusals


def _refusing(call: Call, refusals: Refusals, two: bool) -> Call:
    def refused_once(*paths: object, **named: object) -> None:
        if named.get("dir_fd") is None and is_programs_call():
            refusals.check(*(paths[:2] if two else paths[:1]))
        call(*paths, **named)

    return refused_once
