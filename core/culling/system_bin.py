"""The recycle bin of Windows and the trash of macOS: putting a file in and finding it again.

These systems choose the name inside by themselves, so a file is looked up after it was moved: on
Windows by the `$I` file that holds its former path, on macOS by its inode number.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FIXED_DRIVE = 3
# FILETIME counts 100 ns from 1601-01-01.
_EPOCH_OFFSET = 11_644_473_600
_MAX_INFO = 70_000


@dataclass(frozen=True)
class Binned:
    """A file in the bin. info: the file that describes it, None on macOS. time: of deletion."""

    file: Path
    info: Path | None
    original: str
    size: int
    time: float


def send(path: Path) -> None:
    """Move a file into the system's bin. Raises OSError when that fails."""
    from send2trash import send2trash

    send2trash(str(path))


def takes_files_of(folder: Path) -> bool:
    """Whether the system has a bin for this folder's volume and does not delete at once instead.

    Windows has bins on fixed drives only; from others `send` would delete for good.
    """
    if sys.platform == "win32":
        import ctypes

        drive = os.path.splitdrive(os.path.abspath(folder))[0]
        return bool(ctypes.windll.kernel32.GetDriveTypeW(f"{drive}\\") == _FIXED_DRIVE)
    return sys.platform == "darwin"


def find(original: Path, size: int, inode: int, since: float) -> Binned | None:
    """The newest file in the bin that is the one that lay at `original`, or None.

    inode: its number on its volume, 0 where unknown. since: Unix time; older deletions are of
    other files.
    """
    if sys.platform == "darwin":
        return _find_by_inode(original, inode)
    drive = os.path.splitdrive(os.path.abspath(original))[0]
    return find_in(Path(f"{drive}\\$Recycle.Bin"), original, size, inode, since)


def find_in(
    recycle_bin: Path, original: Path, size: int, inode: int, since: float
) -> Binned | None:
    """`find` in a given `$Recycle.Bin` folder, which has one subfolder for each user.

    Moving into the bin keeps a file's number, so that goes first: the bin may spell the path with
    short names or another drive than the user does.
    """
    wanted = os.path.normcase(str(original))
    by_path = None
    for binned, number in _binned_files(recycle_bin, since):
        if inode and number == inode:
            return binned
        if by_path is None and os.path.normcase(binned.original) == wanted:
            by_path = binned if binned.size == size else None
    return by_path


def _binned_files(recycle_bin: Path, since: float) -> Iterator[tuple[Binned, int]]:
    """What the bin holds that was deleted `since`, newest first, with the files' numbers."""
    infos = []
    for user in _entries(recycle_bin):
        for entry in _entries(user):
            if entry.name.upper().startswith("$I"):
                with contextlib.suppress(OSError):
                    infos.append((entry.stat().st_mtime, entry))
    for time, entry in sorted(infos, reverse=True):
        # The clock of the info's file and of the deletion are the same.
        if time < since - 5:
            return
        with contextlib.suppress(OSError, ValueError):
            binned = read_info(entry)
            if binned.time >= since - 5:
                yield binned, os.lstat(binned.file).st_ino


def _entries(folder: Path) -> list[Path]:
    # Other users' bins may not be read.
    with contextlib.suppress(OSError):
        return list(folder.iterdir())
    return []


def read_info(info: Path) -> Binned:
    """What a `$I` file says about the `$R` file beside it.

    Version 1 (Vista to 8.1): int64 version, size, FILETIME, then the path in 260 UTF-16 units.
    Version 2 (10 and 11): int64 version, size, FILETIME, int32 length, then the path. Raises
    ValueError when it is neither, OSError when it cannot be read.
    """
    with open(info, "rb") as file:
        data = file.read(_MAX_INFO)
    if len(data) < 28:
        raise ValueError("too short")
    version, size, filetime = struct.unpack_from("<qqq", data)
    if version == 2:
        (length,) = struct.unpack_from("<i", data, 24)
        text = data[28 : 28 + 2 * max(length, 0)]
    elif version == 1:
        text = data[24 : 24 + 520]
    else:
        raise ValueError(f"unknown version {version}")
    original = text.decode("utf-16-le", "surrogatepass").split("\0", 1)[0]
    file_beside = info.with_name("$R" + info.name[2:])
    return Binned(file_beside, info, original, size, filetime / 1e7 - _EPOCH_OFFSET)


def _find_by_inode(original: Path, inode: int) -> Binned | None:
    folders = [Path.home() / ".Trash"]
    if len(original.parts) > 2 and original.parts[1] == "Volumes" and sys.platform != "win32":
        folders.insert(0, Path(*original.parts[:3], ".Trashes", str(os.getuid())))
    for folder in folders:
        for entry in _entries(folder):
            status = os.lstat(entry)
            if status.st_ino == inode:
                return Binned(entry, None, str(original), status.st_size, status.st_ctime)
    return None
