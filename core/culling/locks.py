"""Locks between processes (and threads) that change the same folder.

The operating system frees a lock when its process ends in whatever way. The lock files lie in the
user's data folder, so that a folder of pictures gets no files for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from core.errors import fail
from core.filelock import try_lock, unlock

PATIENCE = 30.0
_PAUSE = 0.002


def folder_key(folder: Path) -> str:
    """A short name for a folder, the same by whichever path it is reached."""
    real = os.path.normcase(os.path.realpath(folder))
    return hashlib.sha256(os.fsencode(real)).hexdigest()[:24]


@contextlib.contextmanager
def held(file: Path, folder: Path) -> Iterator[None]:
    """Hold the lock `file` for the block; nobody else, in this process or another, has it too.

    Raises UserError, naming `folder`, when it is not free within PATIENCE seconds or the lock file
    cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise fail(
            "user_data_unwritable",
            f"Limner's own folder {file.parent} cannot be written ({error.strerror or error}), so "
            f"nothing in {folder} was changed; make room or change its permissions.",
            file=str(file.parent),
        ) from error
    try:
        deadline = time.monotonic() + PATIENCE
        while not try_lock(handle):
            if time.monotonic() >= deadline:
                raise fail(
                    "folder_busy",
                    f"Another window is changing {folder}; try again when it is done.",
                    file=str(folder),
                )
            time.sleep(_PAUSE)
        try:
            yield
        finally:
            unlock(handle)
    finally:
        os.close(handle)
