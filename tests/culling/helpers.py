"""Folders of pictures for the culling tests, and looking at all that is left of them."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path

from core.culling import faults


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
        if not name.endswith((".trashinfo", ".limner.json"))
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
