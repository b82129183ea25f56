"""`limner cull`: what is checked before the viewer opens. The viewer itself is the window's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.data.scan import is_picture_name
from core.errors import fail
from core.paths import user_path


@dataclass(frozen=True)
class Wish:
    """What shall be shown. start: the first picture, None for the folder's first."""

    folder: Path
    start: Path | None
    include_subfolders: bool
    resolution: int
    step: int
    trigger: str
    windowed: bool


# Set by the program that has a window; core itself never loads one.
opener: Callable[[Wish], int] | None = None


def cull_folder(
    target: Path, *, subfolders: bool, resolution: int, step: int, trigger: str, windowed: bool
) -> int:
    """Open the viewer on a folder, or on the folder of a picture. Raises UserError."""
    path = user_path(target).absolute()
    if path.is_dir():
        folder, start = path, None
    elif path.is_file() and is_picture_name(path.name):
        folder, start = path.parent, path
    elif path.exists():
        raise fail("folder_is_file", f"{path} is neither a folder nor a picture.", file=str(path))
    else:
        raise fail(
            "folder_missing",
            f"The folder {path} does not exist; name the one that holds the pictures.",
            file=str(path),
        )
    if opener is None:
        raise fail("no_window", "The viewer is part of the window; start it with `limner cull`.")
    return opener(Wish(folder, start, subfolders, resolution, step, trigger, windowed))
