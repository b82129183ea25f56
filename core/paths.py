"""Where Limner's own files and the user's files lie.

Nothing here creates a folder or imports anything heavy: whoever writes creates the folder.
The environment variable `LIMNER_DATA_DIR` moves everything of the user's below one folder
(settings, presets, caches, runs); tests and portable installations use it.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import platformdirs

_APP = "Limner"
# Files by which the folder of a run is known.
JOB_NAME, EVENTS_NAME = "job.json", "events.jsonl"
_CORE = Path(__file__).resolve().parent


def _bundled(name: str) -> Path:
    """Folder `name` that comes with the program.

    A wheel carries it as `core/_data/<name>`; a checkout (and an editable installation, which
    points into a checkout) has it beside `core`.
    """
    packaged = _CORE / "_data" / name
    return packaged if packaged.is_dir() else _CORE.parent / name


def resources_dir() -> Path:
    """Folder of the icons, translations, demo model, demo dataset and offline model configs."""
    return _bundled("resources")


def builtin_presets_dir() -> Path:
    """Folder of the built-in presets, one sub-folder per model family; read-only for users."""
    return _bundled("presets")


def user_path(text: str | Path) -> Path:
    """A path that a user wrote, with `~` spelled out; as written where `~name` is nobody's home."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def foreign_system(text: str, windows: bool = os.name == "nt") -> str:
    """Whose path a text is when it cannot be one of this computer; empty when it can.

    `Windows` on other systems for drives, network shares and backslashes after dots; `Linux or
    macOS` on Windows for absolute paths without a drive. windows: whether this is Windows.
    """
    written = text.strip()
    if windows:
        return "Linux or macOS" if re.match(r"/(?!/)", written) else ""
    pattern = r"[A-Za-z]:([\\/]|$)|\\\\|\.{1,2}\\|~\\|%\w+%[\\/]"
    return "Windows" if re.match(pattern, written) else ""


def is_too_long(text: str) -> bool:
    """Whether no file system takes a path, for its length or that of a name in it."""
    parts = re.split(r"[\\/]" if os.name == "nt" else "/", text)
    if os.name == "nt":  # units of UTF-16
        return len(text) > 32_000 or any(len(part) > 255 for part in parts)
    sizes = [len(part.encode("utf-8", "surrogatepass")) for part in parts]
    return sum(sizes) + len(sizes) > 4096 or any(size > 255 for size in sizes)


def console_python() -> str:
    """The interpreter for processes of ours: never pythonw.exe, whose streams lead nowhere."""
    python = Path(sys.executable)
    if python.name.lower() == "pythonw.exe":
        return str(python.with_name("python.exe"))
    return sys.executable


def _override() -> Path | None:
    """The folder named by LIMNER_DATA_DIR as an absolute path, or None when it is not set."""
    value = os.environ.get("LIMNER_DATA_DIR", "").strip()
    return Path(value).expanduser().absolute() if value else None


def user_data_dir() -> Path:
    """Folder of the user's settings and presets (may not exist yet)."""
    return _override() or Path(platformdirs.user_data_dir(_APP, appauthor=False))


def user_presets_dir() -> Path:
    """Folder of the user's own presets (may not exist yet)."""
    return user_data_dir() / "presets"


def default_runs_dir() -> Path:
    """Folder that new runs go to unless the user names another (may not exist yet).

    It is in plain sight in the home folder: runs hold pictures and LoRA files that people look
    for, and gigabytes that do not belong into a synchronised documents folder.
    """
    override = _override()
    return override / "runs" if override else Path.home() / _APP / "runs"


def cache_dir() -> Path:
    """Folder of what can be computed again: latents, embeddings, thumbnails (may not exist yet)."""
    override = _override()
    if override:
        return override / "cache"
    return Path(platformdirs.user_cache_dir(_APP, appauthor=False))


def session_file() -> Path:
    """File that keeps the last edits and the window's state (may not exist yet)."""
    return user_data_dir() / "session.json"
