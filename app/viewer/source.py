"""What the viewer goes through: a folder or chosen pictures, found in a thread of their own."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from heapq import merge
from pathlib import Path

from core import files
from core.culling.notes import Note, read_notes
from core.data.buckets import Shapes
from core.data.captions import CAPTION_SUFFIXES
from core.data.scan import is_picture_name
from core.errors import Problem

CHUNK = 500
NO_NOTE = Note()


@dataclass(frozen=True)
class Source:
    """The pictures to go through. root: the folder whose history of changes is used.

    paths: exactly these pictures; None for all in the folder.
    """

    root: Path
    include_subfolders: bool = False
    paths: tuple[Path, ...] | None = None

    @cached_property
    def places(self) -> dict[str, int]:
        """Where each of the chosen pictures stands."""
        return {str(path): number for number, path in enumerate(self.paths or ())}

    @staticmethod
    def of_folder(folder: Path, include_subfolders: bool = False) -> Source:
        """All pictures of a folder; of a picture's path, the folder that it lies in."""
        folder = Path(os.path.abspath(folder))
        if folder.is_file():
            folder = folder.parent
        return Source(folder, include_subfolders)

    @staticmethod
    def of_paths(paths: Iterable[Path]) -> Source:
        """Exactly these pictures, in this order."""
        whole = tuple(Path(os.path.abspath(path)) for path in paths)
        parents = [str(path.parent) for path in whole]
        root = os.path.commonpath(parents) if parents else os.getcwd()
        return Source(Path(root), paths=whole)


def dropped(paths: list[Path]) -> tuple[Source, Path | None] | None:
    """What dropped files mean, and the picture to begin with: a folder, the folder of a single
    picture, or exactly these pictures; None for anything else."""
    folders = [path for path in paths if path.is_dir()]
    pictures = [path for path in paths if is_picture_name(path.name) and path.is_file()]
    if folders:
        return Source.of_folder(folders[0]), None
    if len(pictures) == 1:
        return Source.of_folder(pictures[0].parent), pictures[0]
    return (Source.of_paths(pictures), None) if pictures else None


@dataclass(frozen=True)
class Training:
    """How training will see the pictures: resolution in pixels, buckets, trigger word."""

    resolution: int = 512
    shapes: Shapes = field(default_factory=Shapes)
    trigger: str = ""


@dataclass(slots=True, eq=False)
class Entry:
    """One picture in the list. pixels: width, height when known; (0, 0) is unreadable."""

    path: str
    folder: str
    name: str
    key: str
    captioned: bool = False
    note: Note = NO_NOTE
    mtime: int = 0
    size: int = -1
    pixels: tuple[int, int] | None = None
    missing: bool = False
    sharpness: float | None = None
    brightness: float | None = None
    group: int = -1
    suggested: bool = False
    why: str = ""

    def take_measures(self, other: Entry) -> None:
        """Take over what was found out about the same picture when it was in the list before."""
        self.mtime, self.size, self.pixels = other.mtime, other.size, other.pixels
        self.sharpness, self.brightness = other.sharpness, other.brightness
        self.group, self.suggested, self.why = other.group, other.suggested, other.why


@dataclass
class Listing:
    """What a scan found: entries by `key`, and what hindered it.

    started: when it began, by `time.monotonic`.
    """

    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    read_only: bool = False
    started: float = field(default_factory=time.monotonic)


_DIGITS = re.compile(r"(\d+)")


def sort_key(name: str) -> str:
    """A text that sorts as `core.data.scan.natural_key` does, but in one quick comparison."""
    parts = []
    for part in _DIGITS.split(name.casefold()):
        if part.isdecimal():
            digits = str(int(part))
            # The count of digits in front makes longer numbers larger.
            parts.append(f"\x01{chr(len(digits) + 1)}{digits}")
        elif part:
            parts.append(f"\x02{part}")
    return "".join(parts) + "\0" + name


def scan(
    source: Source,
    stopped: Callable[[], bool] = lambda: False,
    first: Callable[[str], object] = lambda path: None,
) -> Listing:
    """Find the pictures with their notes; `first` hears of the first one before the rest is done.

    A folder that cannot be read is told in `problems`.
    """
    if source.paths is not None:
        return _scan_paths(source, first)
    listing = Listing(read_only=not _can_write(str(source.root)))
    seen: set[tuple[int, int]] = set()
    waiting = [(str(source.root), "")]
    told = False
    while waiting and not stopped():
        folder, prefix = waiting.pop()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            names, subfolders = _names(folder, source.include_subfolders)
        except OSError as error:
            listing.problems.append(_problem(folder, error, folder == str(source.root)))
            continue
        pictures = [name for name in names if is_picture_name(name)]
        if pictures and not told:
            told = True
            first(os.path.join(folder, min(pictures, key=sort_key)))
        listing.entries.extend(_entries(folder, prefix, names, pictures, listing.problems))
        subfolders.sort(key=sort_key, reverse=True)
        waiting += [(os.path.join(folder, n), f"{prefix}\x03{sort_key(n)}\0") for n in subfolders]
    return listing


_writable: set[str] = set()


def _can_write(folder: str) -> bool:
    """As `files.can_write`, remembered where it is so: on Windows asking makes a file for a moment,
    for which a watched folder would be read again and again."""
    if folder not in _writable and files.can_write(Path(folder)):
        _writable.add(folder)
    return folder in _writable


def _scan_paths(source: Source, first: Callable[[str], object]) -> Listing:
    assert source.paths is not None
    listing = Listing()
    if source.paths:
        first(str(source.paths[0]))
    notes: dict[str, dict[str, Note]] = {}
    for number, path in enumerate(source.paths):
        folder = str(path.parent)
        if folder not in notes:
            notes[folder] = read_notes(path.parent, listing.problems)
            listing.read_only |= not _can_write(folder)
        captioned = any(path.with_suffix(s).is_file() for s in CAPTION_SUFFIXES)
        note = notes[folder].get(path.name, NO_NOTE)
        key = f"{number:09d}"
        listing.entries.append(Entry(str(path), folder, path.name, key, captioned, note))
    return listing


def _names(folder: str, with_subfolders: bool) -> tuple[set[str], list[str]]:
    """Names of the files (links among them), and of the subfolders."""
    names: set[str] = set()
    subfolders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_file():
                    names.add(entry.name)
                elif with_subfolders and entry.is_dir():
                    subfolders.append(entry.name)
            except OSError:
                # A link that leads in a circle is neither file nor folder.
                continue
    return names, subfolders


def _entries(
    folder: str, prefix: str, names: set[str], pictures: list[str], problems: list[Problem]
) -> list[Entry]:
    notes = read_notes(Path(folder), problems)
    chunks = []
    for start in range(0, len(pictures), CHUNK):
        chunk = []
        for name in pictures[start : start + CHUNK]:
            stem = os.path.splitext(name)[0]
            captioned = any(stem + suffix in names for suffix in CAPTION_SUFFIXES)
            chunk.append(
                Entry(
                    os.path.join(folder, name),
                    folder,
                    name,
                    prefix + sort_key(name),
                    captioned,
                    notes.get(name, NO_NOTE),
                )
            )
        # One long sort would hold the interpreter's lock and stop the window.
        chunk.sort(key=lambda entry: entry.key)
        chunks.append(chunk)
    return list(merge(*chunks, key=lambda entry: entry.key))


def entries_of(paths: Iterable[str], source: Source) -> list[Entry]:
    """List entries for pictures that are there again or newly."""
    notes: dict[str, dict[str, Note]] = {}
    entries = []
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in notes:
            notes[folder] = read_notes(Path(folder))
        stem = os.path.splitext(path)[0]
        captioned = any(os.path.isfile(stem + suffix) for suffix in CAPTION_SUFFIXES)
        note = notes[folder].get(name, NO_NOTE)
        entries.append(Entry(path, folder, name, key_of(path, source), captioned, note))
    return entries


def key_of(path: str, source: Source) -> str:
    """The sort key by which a scan of `source` lists this picture."""
    if source.paths is not None:
        return f"{source.places.get(path, len(source.paths)):09d}"
    folder, name = os.path.split(path)
    inner = os.path.relpath(folder, source.root)
    parts = [] if inner == "." else inner.split(os.sep)
    return "".join(f"\x03{sort_key(part)}\0" for part in parts) + sort_key(name)


def _problem(folder: str, error: OSError, is_root: bool) -> Problem:
    if isinstance(error, FileNotFoundError):
        what = "does not exist; choose the folder again"
    elif isinstance(error, NotADirectoryError):
        what = "is a file; choose the folder that holds the pictures"
    elif isinstance(error, PermissionError):
        what = "may not be read; change its permissions"
    else:
        what = f"cannot be read ({error.strerror or error})"
    return Problem(
        code="folder_unreadable",
        title=f"The folder {folder} {what}.",
        severity="error" if is_root else "warning",
        file=folder,
    )
