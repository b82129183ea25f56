"""Locks on open files, freed by the operating system when their process ends in whatever way."""

from __future__ import annotations

import os
import sys

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
