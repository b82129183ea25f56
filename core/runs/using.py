"""Which running trainings read a folder: what is changed in it counts for their next run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from core.paths import user_path
from core.reading import Unreadable, read_json
from core.runs.folder import RunFolder
from core.runs.lock import is_running


def running_on(folder: Path, runs: Path) -> list[Path]:
    """Folders of the running runs in `runs` with a concept in `folder`, above or below it.

    Reads locks of all runs and settings of running ones alone. Runs whose settings cannot be read
    are left out.
    """
    wanted = os.path.realpath(folder)
    try:
        candidates = sorted(runs.iterdir(), reverse=True)
    except OSError:
        return []
    found = []
    for path in candidates:
        run = RunFolder(path)
        if is_running(run) and any(_touch(wanted, used) for used in _folders(run)):
            found.append(path)
    return found


def _folders(run: RunFolder) -> Iterator[str]:
    """The real paths of what a run was started with; read as plain data, which every version of
    the settings is."""
    try:
        concepts = read_json(run.job_file).get("concepts")
    except Unreadable:
        return
    for concept in concepts if isinstance(concepts, list) else []:
        path = concept.get("path") if isinstance(concept, dict) else None
        if isinstance(path, str) and path and concept.get("enabled", True):
            yield os.path.realpath(user_path(path))


def _touch(one: str, other: str) -> bool:
    """Whether two folders are the same, or one lies in the other."""
    try:
        return os.path.commonpath([one, other]) in (one, other)
    except ValueError:  # different drives
        return False
