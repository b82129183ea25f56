"""Keeping the cache within its size, without taking anything from a training that runs.

Each running job holds a lease: a locked file that the operating system frees when the process
ends in whatever way. While a job prepares, its lease protects all that was used since it began;
afterwards it names its entries and protects those. Lines are only ever appended to a lease: the
process, the moment it began (nanoseconds), the entries, an end mark. Without that it is one of a
job that still prepares, or that a full disk has kept from naming them.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core import files, paths
from core.filelock import Hold, hold, is_held

_FOLDERS = ("latents", "text")
_END = "end"
# An empty lease that is not locked may be one that is just being made.
_YOUNG_SECONDS = 60.0
_LEFTOVER_SECONDS = 24 * 3600.0


@dataclass
class Lease:
    """A running job's claim on cache entries. Without a place to write there is none."""

    path: Path | None
    held: Hold | None

    def name(self, keys: Iterable[str]) -> None:
        """From now on protect these entries alone; to be called once."""
        if self.held is None:
            return
        data = ("".join(f"{key}\n" for key in sorted(keys)) + f"{_END}\n").encode("ascii")
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self.held.handle, data) :]

    def end(self) -> None:
        """Claim nothing any more."""
        if self.held is not None:
            self.held.release()
            self.held = None
        if self.path is not None:
            with contextlib.suppress(OSError):
                files.unlink(self.path)


def begin_lease(root: Path | None = None) -> Lease:
    """Protect from now on every entry that is used. Never raises: a disk that refuses leaves
    entries unprotected, which costs only time."""
    folder = (root or paths.cache_dir()) / "leases"
    path = folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.lease"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = hold(path)
    except OSError:
        return Lease(None, None)
    if held is not None:
        with contextlib.suppress(OSError):
            began = os.fstat(held.handle).st_mtime_ns
            os.write(held.handle, f"{began}\n".encode("ascii"))
    return Lease(path, held)


@dataclass(frozen=True)
class CacheSize:
    """What lies in the cache: entries and bytes; removed: what `trim` took away, in bytes."""

    entries: int
    bytes: int
    removed: int = 0


@dataclass(frozen=True)
class _Entry:
    path: Path
    bytes: int
    used_ns: int


def cache_size(root: Path | None = None) -> CacheSize:
    """How much lies in the caches of latents and text."""
    entries = list(_entries(root or paths.cache_dir()))
    return CacheSize(len(entries), sum(entry.bytes for entry in entries))


def trim(limit_bytes: float, root: Path | None = None) -> CacheSize:
    """Remove the longest unused entries until the rest is at most `limit_bytes`.

    Entries of running jobs stay, even when they alone are more. One process at a time; a second
    one leaves it to the first. Returns what is left. Never raises for files that cannot go.
    """
    root = root or paths.cache_dir()
    try:
        (root / "leases").mkdir(parents=True, exist_ok=True)
        held = hold(root / "leases" / "trim.lock", patience=0)
    except OSError:
        held = None
    if held is None:
        return cache_size(root)
    try:
        _remove_leftovers(root)
        entries = sorted(_entries(root), key=lambda entry: entry.used_ns)
        total = sum(entry.bytes for entry in entries)
        number, removed = len(entries), 0
        claims = _claims(root)
        for entry in entries:
            if total <= limit_bytes:
                break
            if claims.cover(entry) or not _remove(entry):
                continue
            total -= entry.bytes
            removed += entry.bytes
            number -= 1
        return CacheSize(number, total, removed)
    finally:
        held.release()


@dataclass(frozen=True)
class _Claims:
    """What running jobs hold: entries by key, and all that were used since a moment."""

    keys: frozenset[str]
    since_ns: int | None

    def cover(self, entry: _Entry) -> bool:
        if self.since_ns is not None and entry.used_ns >= self.since_ns:
            return True
        return entry.path.stem in self.keys


def _claims(root: Path) -> _Claims:
    """The claims of all living leases; those of dead processes are removed."""
    keys: set[str] = set()
    since: int | None = None
    for path in (root / "leases").glob("*.lease"):
        try:
            status = path.stat()
            lines = path.read_text("ascii", errors="replace").split("\n")
        except OSError:
            continue
        young = status.st_size == 0 and time.time() - status.st_mtime < _YOUNG_SECONDS
        if not young and not is_held(path):
            with contextlib.suppress(OSError):
                files.unlink(path)
        elif lines[-2:] == [_END, ""]:
            keys.update(lines[2:-2])
        else:
            began = _began(lines, status)
            since = began if since is None else min(since, began)
    return _Claims(frozenset(keys), since)


def _began(lines: list[str], status: os.stat_result) -> int:
    # The second line is whole once there is something behind it, if only an empty third.
    with contextlib.suppress(ValueError):
        if len(lines) > 2:
            return int(lines[1])
    return status.st_mtime_ns


def _entries(root: Path) -> Iterator[_Entry]:
    for name in _FOLDERS:
        for folder in _listing(root / name):
            for file in _listing(Path(folder.path)):
                if file.name.endswith(".safetensors"):
                    with contextlib.suppress(OSError):
                        status = file.stat()
                        yield _Entry(Path(file.path), status.st_size, status.st_mtime_ns)


def _listing(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _remove(entry: _Entry) -> bool:
    with contextlib.suppress(OSError):
        # Somebody may have begun to use it while the others were looked at.
        if entry.path.stat().st_mtime_ns == entry.used_ns:
            files.unlink(entry.path)
            return True
    return False


def _remove_leftovers(root: Path) -> None:
    """Remove what killed processes left half-written."""
    for name in _FOLDERS:
        for folder in _listing(root / name):
            for file in _listing(Path(folder.path)):
                if file.name.startswith(".writing-"):
                    with contextlib.suppress(OSError):
                        if time.time() - file.stat().st_mtime > _LEFTOVER_SECONDS:
                            files.unlink(file.path)
