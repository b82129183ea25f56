"""Moving, copying and replacing files so that nothing is ever overwritten or half there."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

from core import files
from core.culling import faults

_AT_FDCWD = -100
_NOREPLACE = 1
_EXCHANGE = 2
# What a file system (or an old kernel or C library) answers that does not know the request.
_UNKNOWN = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES})


def move_file(source: Path, target: Path) -> None:
    """Rename a file or symbolic link on its volume; FileExistsError where `target` is taken.

    In one step wherever the system can (Linux: renameat2; Windows: plain renaming refuses by
    itself). Else by a second hard link, where a kill in between leaves one file under both names;
    else over an empty file made for it. Raises OSError, EXDEV when the volumes differ.
    """
    if sys.platform == "win32":
        files.rename(source, target)
        return
    if _rename(source, target, _NOREPLACE):
        return
    try:
        link_file(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _move_over_placeholder(source, target)
        return
    faults.point("linked")
    try:
        files.unlink(source)
    except OSError:
        files.unlink(target)
        raise


def link_file(source: Path, target: Path) -> None:
    """Give a file a second name; FileExistsError where it is taken, OSError where links fail."""
    if os.link in os.supports_follow_symlinks:
        os.link(source, target, follow_symlinks=False)
    elif source.is_symlink():
        raise OSError(errno.EPERM, "a link cannot have a second name here", str(source))
    else:
        os.link(source, target)


def _move_over_placeholder(source: Path, target: Path) -> None:
    handle = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    ours = os.fstat(handle)
    os.close(handle)
    try:
        now = os.lstat(target)
        if (now.st_ino, now.st_size) != (ours.st_ino, 0):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        files.rename(source, target)
    except FileExistsError:
        raise
    except OSError:
        files.unlink(target)
        raise


def exchange_files(one: Path, other: Path) -> bool:
    """Swap two files in one step; False where the system cannot (nothing has changed then)."""
    return _rename(one, other, _EXCHANGE)


def _rename(source: Path, target: Path, flags: int) -> bool:
    call = _renameat2()
    if call is None:
        return False
    ctypes.set_errno(0)
    if call(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN:
        return False
    raise OSError(number, os.strerror(number), str(source), None, str(target))


@functools.cache
def _renameat2() -> Callable[..., int] | None:
    if sys.platform != "linux":
        return None
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    call.restype = ctypes.c_int
    return call


def free_name(path: Path) -> Path:
    """`path`, or the first of `a-2.png`, `a-3.png`, ... that is not taken."""
    free, number = path, 2
    while os.path.lexists(free):
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
        number += 1
    return free


def write_new(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write and flush a file that must not exist yet; nothing is left of it when that fails.

    mode: permissions, which the process's umask limits.
    """
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), mode)
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        files.unlink(path, missing_ok=True)
        raise


def replace_file(path: Path, temporary: Path, data: bytes) -> None:
    """Make `data` the content of `path` in one step, by way of `temporary` in the same folder.

    A file of that name is left over from a kill and is replaced.
    """
    files.unlink(temporary, missing_ok=True)
    write_new(temporary, data)
    faults.point("temporary-written")
    try:
        files.replace(temporary, path)
    except OSError:
        files.unlink(temporary, missing_ok=True)
        raise
    files.sync_folder(path.parent)


def copy_file(source: Path, target: Path, temporary: Path) -> None:
    """Copy a file with its times and permissions, whole or not at all; a link stays a link.

    temporary: a name in the target's folder that is ours alone. FileExistsError where `target`
    is taken.
    """
    files.unlink(temporary, missing_ok=True)
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    try:
        if source.is_symlink():
            os.symlink(os.readlink(source), temporary)
        else:
            shutil.copyfile(source, temporary)
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        # A volume that keeps no permissions still keeps the picture. An undo knows the copy by
        # its time.
        with contextlib.suppress(PermissionError):
            shutil.copystat(source, temporary, follow_symlinks=False)
        faults.point("copied")
        move_file(temporary, target)
    except OSError:
        files.unlink(temporary, missing_ok=True)
        raise


def is_regular(status: os.stat_result) -> bool:
    """Whether a file of this lstat result holds bytes of its own."""
    return stat.S_ISREG(status.st_mode)
