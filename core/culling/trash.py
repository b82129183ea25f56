"""The trash of freedesktop.org systems (Trash specification 1.0), with places known beforehand.

A file's future name in the trash must stand in the journal before the file moves, so that an undo
finds it after whatever happens; desktop libraries choose the name by themselves and don't tell it.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from core import files
from core.culling import faults
from core.culling.moving import move_file

_LONGEST_NAME = 240


@dataclass(frozen=True)
class TrashFolder:
    """One trash folder, with `files` and `info` below it.

    top: the top folder of its volume, which paths in its info files are relative to; None for the
    home trash, whose paths are absolute.
    """

    path: Path
    top: Path | None = None

    def file(self, name: str) -> Path:
        """Where a trashed file of this name lies."""
        return self.path / "files" / name

    def info(self, name: str) -> Path:
        """The info file of that trashed file."""
        return self.path / "info" / f"{name}.trashinfo"


def home_trash() -> TrashFolder:
    """The user's own trash; it may not exist yet."""
    base = os.environ.get("XDG_DATA_HOME", "")
    folder = Path(base) if os.path.isabs(base) else Path.home() / ".local" / "share"
    return TrashFolder(folder / "Trash")


def trash_folders(folder: Path) -> list[TrashFolder]:
    """The trash folders that can take files from `folder` by renaming, best first.

    They exist and may be written. Empty where none does; the reason doesn't matter to callers.
    """
    found = []
    home = home_trash()
    if _prepare(home) and volume_of(home.path) == volume_of(folder):
        return [home]
    with contextlib.suppress(OSError):
        top = _top_folder(folder)
        user = _user()
        shared = top / ".Trash"
        if _is_shared_trash(shared):
            found.append(TrashFolder(shared / str(user), top))
        found.append(TrashFolder(top / f".Trash-{user}", top))
    return [trash for trash in found if _prepare(trash) and _is_own(trash.path)]


def volume_of(folder: Path) -> tuple[int, int]:
    """What two folders have in common between which files can be renamed.

    Device and mount: the same file system mounted twice does not rename between the mounts.
    """
    device = os.stat(folder).st_dev
    if sys.platform != "linux":
        return device, 0
    try:
        handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return device, 0
    try:
        with open(f"/proc/self/fdinfo/{handle}", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file if ":" in line)
        return device, int(lines.get("mnt_id", "0"))
    except (OSError, ValueError):
        return device, 0
    finally:
        os.close(handle)


def _top_folder(folder: Path) -> Path:
    top = Path(os.path.realpath(folder))
    volume = volume_of(top)
    while top.parent != top and volume_of(top.parent) == volume:
        top = top.parent
    return top


def _is_shared_trash(path: Path) -> bool:
    """Whether an administrator made this folder for everybody, as the specification asks it."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return False
    return stat.S_ISDIR(mode) and bool(mode & stat.S_ISVTX)


def _is_own(path: Path) -> bool:
    """Whether a trash outside the home folder is a folder of this user's and no link."""
    status = os.lstat(path)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == _user()


def _user() -> int:
    """The user's number; 0 on Windows, which has its own bin."""
    if sys.platform == "win32":
        return 0
    return os.getuid()


def _prepare(trash: TrashFolder) -> bool:
    try:
        trash.path.parent.mkdir(parents=True, exist_ok=True)
        for folder in (trash.path, trash.path / "files", trash.path / "info"):
            if not folder.is_dir():
                folder.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        return False
    return all(os.access(trash.path / name, os.W_OK | os.X_OK) for name in ("files", "info"))


def free_entry(trash: TrashFolder, name: str, taken: set[str]) -> str:
    """A name under which nothing lies in the trash, like `name`; it is added to `taken`.

    taken: names that are spoken for but not there yet.
    """
    stem, suffix = os.path.splitext(name)
    while len(os.fsencode(stem + suffix)) > _LONGEST_NAME:
        stem = stem[:-8]
    free, number = stem + suffix, 2
    while (
        f"{trash.path}/{free}" in taken
        or os.path.lexists(trash.info(free))
        or os.path.lexists(trash.file(free))
    ):
        free = f"{stem}.{number}{suffix}"
        number += 1
    taken.add(f"{trash.path}/{free}")
    return free


def info_bytes(original: str, date: str) -> bytes:
    """The content of an info file. original: path as `listed_path`; date: 2026-01-31T12:00:00."""
    path = quote(os.fsencode(original), safe="/")
    return f"[Trash Info]\nPath={path}\nDeletionDate={date}\n".encode("ascii")


def listed_path(trash: TrashFolder, original: Path) -> str:
    """`original` as this trash's info files name it."""
    if trash.top is None:
        return str(original)
    real = Path(os.path.realpath(original.parent)) / original.name
    return os.path.relpath(real, trash.top)


def put(source: Path, target: Path, info: Path, content: bytes) -> None:
    """Move a file into the trash under the name that was chosen for it.

    An info file of the same content is our own, from before a kill. Raises FileExistsError when
    another program has taken the name, OSError when the file cannot be moved; nothing has changed
    then.
    """
    try:
        write_info(info, content)
    except FileExistsError:
        if not is_info(info, content):
            raise
    faults.point("info-written")
    try:
        move_file(source, target)
    except OSError:
        # Between our info file and this, somebody may have emptied the trash.
        files.unlink(info, missing_ok=True)
        raise


def write_info(info: Path, content: bytes) -> None:
    """Write an info file that must not exist yet. Not flushed: the journal knows its content."""
    handle = os.open(info, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        os.write(handle, content)
    except OSError:
        files.unlink(info, missing_ok=True)
        raise
    finally:
        os.close(handle)


def is_info(info: Path, content: bytes) -> bool | None:
    """Whether an info file has this content; None where there is none or it cannot be read."""
    try:
        return info.read_bytes() == content
    except OSError:
        return None


def has_own_trash() -> bool:
    """Whether this system keeps its trash in the way of this module."""
    return sys.platform not in ("win32", "darwin")
