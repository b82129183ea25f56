"""Writing, renaming and removing files: a reader never sees half of one, and nobody gives up early.

On Windows a file that a virus scanner, the search indexer, a synchroniser or another program has
open cannot be renamed, replaced or removed. Most let go within a second, so everything here tries
again for a few seconds; what stays locked is told by `reason`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import stat
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Windows: access denied, sharing violation, lock violation, file mapped by a program.
_DENIED = 5
_IN_USE = frozenset({32, 33, 1224})
# The superscript digits are numbers of ports too.
_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\s*\..*|\s*)", re.IGNORECASE
)
# Seconds to wait before each further try, 4.4 s in all.
_WAITS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.2, 1.6)


def is_in_use(error: OSError) -> bool:
    """Whether Windows refused because a program has the file, or one in the folder, open.

    Access denied counts too: Windows says so for files that are about to go and for folders with
    open files, and seldom for folders that are read-only.
    """
    number = getattr(error, "winerror", None)
    return number == _DENIED or number in _IN_USE


def reason(error: OSError) -> str:
    """Why a file could not be changed, as the rest of a sentence about it, with what to do."""
    if getattr(error, "winerror", None) in _IN_USE:
        return "it is open in another program; close it there and try again"
    if is_in_use(error):
        return "it is open in another program, or its folder is read-only; close it there"
    return _REASONS.get(error.errno or 0, error.strerror or str(error))


_REASONS = {
    errno.ENOSPC: "the disk is full; make room and try again",
    errno.EDQUOT: "the disk is full; make room and try again",
    errno.EACCES: "its folder is read-only; change the folder's permissions",
    errno.EPERM: "its folder is read-only; change the folder's permissions",
    errno.EROFS: "it is on a read-only disk",
    errno.EXDEV: "it lies on another volume",
    errno.EEXIST: "another file is in the way; rename that one and try again",
}


def rename(source: Path | str, target: Path | str) -> None:
    """`os.rename`, tried again while a program has the file or one in the folder open."""
    patiently(lambda: os.rename(source, target))


def replace(source: Path | str, target: Path | str) -> None:
    """`os.replace`, tried again while a program has either file open; a read-only target goes."""
    patiently(lambda: os.replace(source, target), target)


def unlink(path: Path | str, missing_ok: bool = False) -> None:
    """`os.unlink`, tried again while a program has the file open; a read-only file goes too."""
    try:
        patiently(lambda: os.unlink(path), path)
    except FileNotFoundError:
        if not missing_ok:
            raise


def remove_tree(folder: Path) -> bool:
    """Remove a folder and all in it, as far as it goes; returns whether it is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    for base, folders, names in os.walk(folder, topdown=False):
        for name in names:
            with contextlib.suppress(OSError):
                unlink(os.path.join(base, name))
        for name in folders:
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(base, name))
    with contextlib.suppress(OSError):
        os.rmdir(folder)
    return not os.path.lexists(folder)


def patiently(call: Callable[[], object], going: Path | str | None = None) -> None:
    """Do `call`, again and again for some seconds while another program is in the way.

    going: a file that the call removes. Its read-only attribute, which other systems ask of the
    folder alone, is taken away first.
    """
    for wait in (*_WAITS, None):
        try:
            call()
            return
        except OSError as error:
            if wait is None or not is_in_use(error):
                raise
            if going is not None and _make_writable(going):
                continue
        time.sleep(wait)


def _make_writable(path: Path | str) -> bool:
    """Take a file's read-only attribute away; whether it had one."""
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_mode & stat.S_IWRITE:
            return False
        os.chmod(path, stat.S_IMODE(status.st_mode) | stat.S_IWRITE)
    except OSError:
        return False
    return True


def is_reserved_name(name: str) -> bool:
    """Whether Windows takes a file's name for a device, whatever its ending: `con`, `COM¹.txt`.

    Source: Microsoft, "Naming Files, Paths, and Namespaces".
    """
    return _RESERVED.fullmatch(name) is not None


def new_file(folder: Path, prefix: str = ".writing-", suffix: str = "") -> Path:
    """Make an empty file under a name of its own and return its path. Raises OSError.

    `tempfile.mkstemp` would try two thousand million names in a folder that it is refused, as
    Windows says access denied for that and for a name that is taken (Python issue 66305).
    """
    path = folder / f"{prefix}{uuid.uuid4().hex[:12]}{suffix}"
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return path


def can_write(folder: Path) -> bool:
    """Whether new files can be made in a folder.

    Windows does not tell by permissions, so there one is made for a moment.
    """
    if sys.platform != "win32":
        return os.access(folder, os.W_OK | os.X_OK)
    try:
        probe = new_file(folder)
    except OSError:
        return False
    with contextlib.suppress(OSError):
        unlink(probe)
    return True


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well, flush it and rename it.

    When the block raises, the temporary file is removed and `path` stays as it was.
    The suffix is kept because some writers choose their format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = new_file(path.parent, suffix=path.suffix)
    usual = stat.S_IMODE(temporary.stat().st_mode)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        # Some writers make a file of their own that only its owner reads; people share LoRA files.
        if stat.S_IMODE(temporary.stat().st_mode) != usual:
            temporary.chmod(usual)
        replace(temporary, path)
        sync_folder(path.parent)
    finally:
        # Raising here would hide why the block failed.
        with contextlib.suppress(OSError):
            unlink(temporary, missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable; Windows has no such call and needs none."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Replace `path` by UTF-8 `text` in one step, line ends as given."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, data: Any) -> None:
    """Replace `path` by indented UTF-8 JSON in one step.

    Texts that UTF-8 cannot hold (names of files in another encoding) are written as escapes.
    """
    text = json.dumps(data, ensure_ascii=False, indent=2)
    if not _is_utf8(text):
        text = json.dumps(data, ensure_ascii=True, indent=2)
    write_text(path, text + "\n")


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def write_with(path: Path, writer: Callable[[Path], object]) -> None:
    """Replace `path` by what `writer(temporary_path)` writes, for libraries that want a path."""
    with replacing(path) as temporary:
        writer(temporary)
