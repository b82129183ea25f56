"""The lock that tells whether a worker is alive: held by its process, freed by its death.

The operating system lets go of it when the process ends in whatever way, so a dead worker never
blocks a run. The file itself stays; its text is the process id of the last holder.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from core.filelock import try_lock, unlock
from core.runs.folder import RunFolder

# Windows refuses reading where another process has locked; the process id is at the beginning.
_LOCKED_BYTE = 1 << 30


@dataclass(frozen=True)
class WorkerLock:
    """A held lock; keep it until the process ends or `release` it."""

    handle: int

    def release(self) -> None:
        """Let another worker have the run."""
        os.close(self.handle)


def acquire(run: RunFolder, patience: float = 1.0) -> WorkerLock | None:
    """Take the run's lock, or None when another process holds it.

    Waits `patience` seconds, because somebody who looks whether the run is alive holds it for a
    moment. Raises OSError when the lock file cannot be written.
    """
    return hold(run.lock_file, patience)


def hold(path: Path, patience: float = 1.0) -> WorkerLock | None:
    """Lock any file as `acquire` locks a run's, making it where it is not there."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    deadline = time.monotonic() + patience
    while not try_lock(handle, at=_LOCKED_BYTE):
        if time.monotonic() >= deadline:
            os.close(handle)
            return None
        time.sleep(0.05)
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, f"{os.getpid()}\n".encode())
    return WorkerLock(handle)


def is_running(run: RunFolder | Path) -> bool:
    """Whether a living worker holds the run. Never creates or changes a file."""
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    return is_held(folder.lock_file)


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


def running_pid(run: RunFolder | Path) -> int | None:
    """The process id of the living worker, or None when the run is not running."""
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    if not is_running(folder):
        return None
    with contextlib.suppress(OSError, ValueError):
        return int(folder.lock_file.read_text(encoding="ascii"))
    return None
