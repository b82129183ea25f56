"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well, flush it and rename it.

    When the block raises, the temporary file is removed and `path` stays as it was.
    The suffix is kept because some writers choose their format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".writing-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        _give_usual_permissions(temporary)
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable; Windows has no such call and needs none."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _give_usual_permissions(path: Path) -> None:
    # mkstemp makes files that only their owner reads; people share LoRA files.
    if os.name == "posix":
        umask = os.umask(0)
        os.umask(umask)
        path.chmod(0o666 & ~umask)


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
