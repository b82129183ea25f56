"""Folders of pictures for the culling tests, and looking at all that is left of them."""

from __future__ import annotations

import os
import signal
import struct
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.culling import faults, system_bin, trash


def fill(folder: Path, names: str) -> list[Path]:
    """Write files of these names, each with content of its own; returns the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names.split():
        (folder / name).write_bytes(f"content of {name}".encode())
    return [folder / n for n in names.split() if n.endswith((".png", ".jpg")) and "label" not in n]


def tree(folder: Path, hidden: bool = True) -> dict[str, bytes]:
    """Every file below a folder with its bytes; links as what they lead to."""
    found = {}
    for base, _folders, names in os.walk(folder):
        for name in names:
            path = Path(base, name)
            if name.startswith(".") and not hidden:
                continue
            key = path.relative_to(folder).as_posix()
            found[key] = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
    return found


def contents(*folders: Path) -> list[bytes]:
    """The bytes of every file of the user's below the folders, sorted."""
    return sorted(
        data
        for folder in folders
        for name, data in tree(folder).items()
        if not name.endswith(".trashinfo")
        and not any(mark in f"/{name}" for mark in ("/$I", "/.writing-", "/.limner.json"))
    )


def killed_at(number: int, action: Callable[[], object]) -> bool:
    """Run `action` in a process that kills itself at its `number`th fault point.

    Returns False when the action ended before that; fails when it raised.
    """
    child = os.fork()
    if child == 0:
        count = 0

        def hook(name: str) -> None:
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

        faults.hook = hook
        code = 1
        try:
            action()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _pid, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the action raised"
    return False


def bin_info(version: int, original: str, size: int, when: float) -> bytes:
    """The content of a `$I` file of the Windows recycle bin."""
    filetime = int((when + 11_644_473_600) * 10_000_000)
    path = original.encode("utf-16-le")
    if version == 1:
        return struct.pack("<qqq", 1, size, filetime) + path.ljust(520, b"\0")
    length = len(original.encode("utf-16-le")) // 2 + 1
    return struct.pack("<qqqi", 2, size, filetime, length) + path + b"\0\0"


class RecycleBin:
    """What Windows does with deleted files; `works` off deletes them for good, as Windows may."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "$Recycle.Bin" / "S-1-5-21-1000"
        self.folder.mkdir(parents=True)
        (folder / "$Recycle.Bin" / "S-1-5-18").mkdir()
        self.works = True
        self.taken = 0

    def send(self, path: Path) -> None:
        """Delete a file."""
        if not self.works:
            path.unlink()
            return
        self.taken += 1
        name = f"{self.taken:06}{path.suffix}"
        while (self.folder / f"$R{name}").exists():
            self.taken += 1
            name = f"{self.taken:06}{path.suffix}"
        size = os.lstat(path).st_size
        os.rename(path, self.folder / f"$R{name}")
        (self.folder / f"$I{name}").write_bytes(bin_info(2, str(path), size, time.time()))

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let culling use this bin as it uses that of Windows."""
        monkeypatch.setattr(trash, "has_own_trash", lambda: False)
        monkeypatch.setattr(system_bin, "takes_files_of", lambda folder: True)
        monkeypatch.setattr(system_bin, "send", self.send)
        monkeypatch.setattr(
            system_bin,
            "find",
            lambda original, size, inode, since: system_bin.find_in(
                self.folder.parent, original, size, inode, since
            ),
        )


def only(done: Any) -> str:
    """The sentence of the one problem."""
    [problem] = done.problems
    assert problem.title.endswith(".")
    return problem.title


def failing(real: Callable[..., Any], number: int, when: Callable[..., bool]) -> Any:
    """`real`, but raising OSError `number` for arguments that `when` is true of."""

    def call(*arguments: Any, **named: Any) -> Any:
        if when(*arguments):
            raise OSError(number, os.strerror(number), str(arguments[0]))
        return real(*arguments, **named)

    return call
