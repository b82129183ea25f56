"""The last edits, kept while the window is closed and restored when it opens again."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core import files
from core.config.json_files import read_json_object, write_json_object
from core.config.preset_data import Data, migrate, minimal, over_defaults
from core.errors import Problem, UserError, fail
from core.paths import session_file


@dataclass(frozen=True)
class Session:
    """What was being edited. preset: name of the preset that the edits began with, or empty.

    data and unknown as in LoadedPreset. window: whatever the window wants to find again.
    problems: what could not be restored, and where it was put aside.
    """

    data: Data
    unknown: Data = field(default_factory=dict)
    preset: str = ""
    window: Data = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def save_session(
    data: Mapping[str, Any],
    unknown: Mapping[str, Any] | None = None,
    preset_name: str = "",
    window: Mapping[str, Any] | None = None,
) -> None:
    """Write the session file in one step; `window` None keeps what was stored for the window.

    A damaged file that is in the way is put aside first. Raises UserError when the session cannot
    be written.
    """
    path = session_file()
    if path.exists():
        try:
            stored = read_json_object(path).get("window")
        except UserError as error:
            _put_aside(path, error.problem)
        else:
            if window is None and isinstance(stored, dict):
                window = stored
    session = {
        "preset": preset_name,
        "settings": minimal(data, unknown),
        "window": dict(window or {}),
    }
    try:
        write_json_object(path, session)
    except OSError as error:
        raise fail(
            "session_unwritable",
            f"The last edits cannot be kept in {path}; check the folder's permissions and space.",
            detail=str(error),
            file=str(path),
        ) from error


def load_session() -> Session | None:
    """The stored session, or None when there is none.

    A damaged file is renamed to end in `.bad` and the session holds the defaults; from one with
    single wrong values the rest is taken and a copy ending in `.bad` is kept. `problems` says so.
    """
    path = session_file()
    if not path.exists():
        return None
    try:
        raw = read_json_object(path)
        settings = raw.get("settings")
        if not isinstance(settings, dict):
            raise fail("session_broken", "It holds no settings.", file=str(path))
        data, unknown, problems = over_defaults(migrate(settings, str(path)))
    except UserError as error:
        return Session(over_defaults({})[0], problems=(_put_aside(path, error.problem),))
    problems = [replace(p, file=str(path)) for p in problems]
    if any(p.severity == "error" for p in problems):
        with contextlib.suppress(OSError):
            shutil.copyfile(path, _free_bad(path))
    preset, window = raw.get("preset"), raw.get("window")
    return Session(
        data,
        unknown,
        preset if isinstance(preset, str) else "",
        window if isinstance(window, dict) else {},
        tuple(problems),
    )


def _put_aside(path: Path, cause: Problem) -> Problem:
    try:
        kept = _free_bad(path)
        files.rename(path, kept)
        where = f"it was kept as {kept.name}"
    except OSError:
        where = "it was left where it is"
    return Problem(
        code="session_broken",
        severity="warning",
        title=f"The last edits in {path} could not be restored; {where}.",
        detail=cause.sentence(),
        file=str(path),
    )


def _free_bad(path: Path) -> Path:
    candidate, number = path.with_name(path.name + ".bad"), 2
    while candidate.exists():
        candidate = path.with_name(f"{path.name}.bad{number}")
        number += 1
    return candidate
