"""Files of the build: atomic states, a log, contact sheets."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image


class Log:
    """Prints lines with the seconds since the start and keeps them in a file."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.begun = time.monotonic()

    def __call__(self, line: str) -> None:
        text = f"{time.monotonic() - self.begun:7.0f}  {line}"
        print(text, flush=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")


def save_state(path: Path, **values: Any) -> None:
    """Writes tensors and numbers under a temporary name, then renames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        torch.save(values, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_state(path: Path) -> dict[str, Any] | None:
    """What `save_state` wrote, or None where there is nothing yet."""
    return torch.load(path, weights_only=True) if path.is_file() else None


def need_state(path: Path) -> dict[str, Any]:
    """What `save_state` wrote; without it, says which stage is missing."""
    state = load_state(path)
    if state is None:
        raise FileNotFoundError(f"{path} is missing: run the stages before this one first")
    return state


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    temporary.replace(path)


def contact_sheet(pictures: list[Image.Image], columns: int, scale: int = 2) -> Image.Image:
    """The pictures in rows on grey, enlarged without smoothing."""
    width, height = (side * scale for side in pictures[0].size)
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + 4), rows * (height + 4)), (128, 128, 128))
    for index, picture in enumerate(pictures):
        place = (index % columns * (width + 4) + 2, index // columns * (height + 4) + 2)
        sheet.paste(picture.resize((width, height), Image.Resampling.NEAREST), place)
    return sheet
