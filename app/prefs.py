"""The window's own preferences (theme, sizes, recent paths), kept apart from settings."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QSettings

from core.paths import user_data_dir


def store() -> QSettings:
    """The file that holds them, `window.ini` in the user's data folder."""
    folder = user_data_dir()
    folder.mkdir(parents=True, exist_ok=True)
    return QSettings(str(folder / "window.ini"), QSettings.Format.IniFormat)


def text(key: str, default: str) -> str:
    """A preference as text."""
    return str(store().value(key, default))


def put(key: str, value: Any) -> None:
    """Keep a preference."""
    store().setValue(key, value)


def recent(kind: str) -> list[str]:
    """Paths of a kind that were chosen before, newest first."""
    value = store().value(f"recent/{kind}", [])
    values = value if isinstance(value, list) else [value]
    return [str(v) for v in values if v]


def add_recent(kind: str, path: str, most: int) -> None:
    """Put a path in front of the recent ones of its kind."""
    put(f"recent/{kind}", [path, *(p for p in recent(kind) if p != path)][:most])
