"""Pictures whose pixels proved damaged though their headers are good, remembered between starts.

Card, footer, Check and training leave out the same ones; a file that changes gets another chance.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core import files, paths
from core.reading import Unreadable, read_json

_MOST = 10_000
_PASSING = ("The file cannot be read", "The file changes", "The file is not there")
_lock = threading.Lock()
_known: dict[Path, dict[str, list[Any]]] = {}


def known_undecodable() -> dict[Path, str]:
    """Why each known picture cannot be decoded, of those that have not changed since."""
    with _lock:
        entries = list(_entries().items())
    return {Path(name): entry[0] for name, entry in entries if _stamp(Path(name)) == entry[1:]}


def remember_undecodable(reasons: Mapping[Path, str]) -> None:
    """Keep why pictures cannot be decoded; a disk that refuses costs only the memory.

    What the system refused to read, or another program was writing, may be whole next time.
    """
    new = {
        os.path.abspath(path): [reason, *stamp]
        for path, reason in reasons.items()
        if (stamp := _stamp(path)) is not None and not reason.startswith(_PASSING)
    }
    with _lock:
        entries = _entries()
        if all(entries.get(name) == entry for name, entry in new.items()):
            return
        entries.update(new)
        for name in list(entries)[: max(0, len(entries) - _MOST)]:
            del entries[name]
        try:
            files.write_json(_file(), entries)
        except OSError:
            return


def _file() -> Path:
    return paths.cache_dir() / "undecodable.json"


def _entries() -> dict[str, list[Any]]:
    """What the file holds, read once a process for each cache folder."""
    file = _file()
    if file not in _known:
        try:
            read = read_json(file)
        except (OSError, Unreadable):
            read = {}
        _known[file] = {
            name: entry
            for name, entry in read.items()
            if isinstance(entry, list) and len(entry) == 3 and isinstance(entry[0], str)
        }
    return _known[file]


def _stamp(path: Path) -> list[int] | None:
    """Size and time of a file; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]
