"""The lock that tells whether a worker is alive: held by its process, freed by its death.

The operating system lets go of it when the process ends in whatever way, so a dead worker never
blocks a run. The file itself stays; its text is the process id of the last holder.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from core.filelock import Hold, hold, is_held
from core.runs.folder import RunFolder


def acquire(run: RunFolder, patience: float = 1.0) -> Hold | None:
    """Take the run's lock, or None when another process holds it.

    Waits `patience` seconds, because somebody who looks whether the run is alive holds it for a
    moment. Raises OSError when the lock file cannot be written.
    """
    return hold(run.lock_file, patience)


def is_running(run: RunFolder | Path) -> bool:
    """Whether a living worker holds the run. Never creates or changes a file."""
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    return is_held(folder.lock_file)


def running_pid(run: RunFolder | Path) -> int | None:
    """The process id of the living worker, or None when the run is not running."""
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    if not is_running(folder):
        return None
    with contextlib.suppress(OSError, ValueError):
        return int(folder.lock_file.read_text(encoding="ascii"))
    return None
