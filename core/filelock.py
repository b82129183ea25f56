"""Locks on open files, freed by the operating system when their process ends in whatever way."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

# Windows refuses reading where another process has locked; the process id is at the beginning.
_LOCKED_BYTE = 1 << 30

if sys.platform == "win32":
    import msvcrt

    def try_lock(handle: int, *, shared: bool = False, at: int = 0) -> bool:
        """Lock an open file unless somebody else has; returns whether it is locked now.

        shared: others may hold it too, as long as all of them share (Windows has no such lock and
        takes a whole one). at: the byte that Windows locks and that nobody else can read then.
        """
        os.lseek(handle, at, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def unlock(handle: int, *, at: int = 0) -> None:
        """Let go of a lock taken with the same `at`."""
        os.lseek(handle, at, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def try_lock(handle: int, *, shared: bool = False, at: int = 0) -> bool:
        """Lock an open file unless somebody else has; returns whether it is locked now.

        shared: others may hold it too, as long as all of them share. at: has no meaning here,
        where the whole file is locked and can be read all the same.
        """
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def unlock(handle: int, *, at: int = 0) -> None:
        """Let go of a lock."""
        fcntl.flock(handle, fcntl.LOCK_UN)


@dataclass(frozen=True)
class Hold:
    """A held lock file; keep it until the process ends or `release` it."""

    handle: int

    def release(self) -> None:
        """Let another have the lock."""
        os.close(self.handle)


def hold(path: Path, patience: float = 1.0, note: str = "") -> Hold | None:
    """Lock a file, making it where it is not there; None when another process holds it.

    Waits `patience` seconds, because somebody who looks whether it is held holds it for a moment.
    The process id and then `note` become its text. Raises OSError when it cannot be written.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    deadline = time.monotonic() + patience
    while not try_lock(handle, at=_LOCKED_BYTE):
        if time.monotonic() >= deadline:
            os.close(handle)
            return None
        time.sleep(0.05)
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    text = f"{os.getpid()}\n" + (f"{note}\n" if note else "")
    os.write(handle, text.encode("utf-8", "backslashreplace"))
    return Hold(handle)


def is_held(path: Path) -> bool:
    """Whether a living process has locked the file. Never creates or changes it.

    Two who look at once may see each other on Windows, which shares no locks; so looks twice.
    """
    if not _seems_held(path):
        return False
    if sys.platform != "win32":
        return True
    time.sleep(0.05)
    return _seems_held(path)


def _seems_held(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        free = try_lock(handle, shared=True, at=_LOCKED_BYTE)
        if free:
            unlock(handle, at=_LOCKED_BYTE)
        return not free
    finally:
        os.close(handle)
