"""Finding the pictures of a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from core.config.concepts import Concept
from core.data.companions import is_companion, is_picture_file, name_key
from core.data.kinds import not_read, unread_kind
from core.data.left_out import (
    are_samples,
    is_run_folder,
    is_sample_folder,
    is_system_folder,
    perhaps_generated,
    why_left_out,
)
from core.data.metadata import table_of
from core.data.textfile import CaptionError
from core.errors import Problem, Severity, Stopped
from core.paths import user_path

# Where culling puts pictures that it cannot put into the system's trash.
REJECTED_FOLDER = "_rejected"
_CHECK_EVERY = 256

StopCheck = Callable[[], object]


@dataclass
class Scan:
    """The pictures of a folder in natural order, and what hindered the search.

    Iterating gives the pictures. A problem is an error when the folder itself cannot be read, a
    warning when one of its subfolders cannot.
    """

    pictures: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def __iter__(self) -> Iterator[Path]:
        return iter(self.pictures)

    def __len__(self) -> int:
        return len(self.pictures)


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key that puts `2` before `10`, ignores case and is never equal for unlike names."""
    parts: list[tuple[int, int, str]] = []
    for part in re.split(r"(\d+)", name.casefold()):
        if part:
            parts.append((0, int(part), "") if part.isdecimal() else (1, 0, part))
    return parts, name


def is_picture_name(name: str) -> bool:
    """Whether a file of this name is taken for a picture to learn from."""
    return is_picture_file(name) and not is_companion(name)


def is_never_searched(name: str) -> bool:
    """Whether a subfolder of this name holds nothing that a person wants to train."""
    return name == REJECTED_FOLDER or is_system_folder(name)


def ask_stop(stop: StopCheck | None) -> None:
    """Raise Stopped when `stop` returns true; it may also raise by itself, as Control.check."""
    if stop is not None and stop():
        raise Stopped


def scan_concept(concept: Concept, stop: StopCheck | None = None) -> Scan:
    """All pictures of a concept: those of its folder, and those that its table of captions lists.

    Rows of the table without a file are warnings. Else as `scan_folder`.
    """
    scan = scan_folder(Path(concept.path), concept.include_subfolders, stop)
    if concept.prompt.source == "metadata" and not any(
        p.severity == "error" for p in scan.problems
    ):
        _add_listed(scan, concept, stop)
    return scan


def _add_listed(scan: Scan, concept: Concept, stop: StopCheck | None) -> None:
    try:
        table = table_of(concept)
    except CaptionError:
        return  # Whoever asks for the captions is told.
    scan.problems += table.problems
    root = table.path.parent
    known = {name_key(os.fspath(path)) for path in scan.pictures}
    for count, name in enumerate(table.names):
        if count % _CHECK_EVERY == 0:
            ask_stop(stop)
        path = root / name
        if name_key(os.fspath(path)) in known:
            continue
        if os.path.isfile(path):
            scan.pictures.append(path)
        else:
            scan.problems.append(
                Problem(
                    code="metadata_file_missing",
                    title=f"{name} stands in {table.path.name} but does not exist; put it back or "
                    "remove its line.",
                    severity="warning",
                    file=os.fspath(path),
                )
            )


def scan_folder(folder: Path, include_subfolders: bool, stop: StopCheck | None = None) -> Scan:
    """All pictures in `folder`, its own files before those of its subfolders.

    Names beginning with a dot are left out, and so are mask and condition pictures, subfolders of
    the system's and `_rejected`, where deleted pictures lie when there is no trash for them. Runs
    of Limner and other trainers' samples are left out with a warning, and so are pictures of kinds
    that are not read, unless one of the same name is. A folder that is reached twice through
    symbolic links is searched once. A picture's name that links to nothing is in the list, so that
    it is told when it cannot be read. `stop` is asked now and then; raises Stopped when it says so.
    """
    scan = Scan()
    unread: list[Path] = []
    seen: set[tuple[int, int]] = set()
    root = user_path(folder)
    waiting = [root]
    while waiting:
        ask_stop(stop)
        current = waiting.pop()
        try:
            status = os.stat(current)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            names, subfolders, others = _entries(current, include_subfolders, stop)
        except ValueError:
            scan.problems.append(_no_path(current))
            continue
        except OSError as error:
            scan.problems.append(
                _problem(current, error, "error" if current == root else "warning")
            )
            continue
        if problem := _about(current, names, subfolders, chosen=current == root):
            scan.problems.append(problem)
            if problem.code != "pictures_generated":
                continue
        names.sort(key=natural_key)
        scan.pictures.extend(current / name for name in names)
        unread.extend(current / name for name in _without_twin(others, names))
        subfolders.sort(key=natural_key, reverse=True)
        waiting.extend(current / name for name in subfolders)
    if unread:
        scan.problems.append(not_read(root, unread))
    return scan


def _without_twin(unread: list[str], pictures: list[str]) -> list[str]:
    """Names of pictures that are not read, without those of which a readable version is there."""
    if not unread:
        return []
    known = {name_key(os.path.splitext(name)[0]) for name in pictures}
    lone = [n for n in unread if name_key(os.path.splitext(n)[0]) not in known]
    return sorted(lone, key=natural_key)


def _about(folder: Path, names: list[str], subfolders: list[str], chosen: bool) -> Problem | None:
    """What is to be said of a folder by what it is. chosen: somebody named this very folder."""
    if not chosen:
        return why_left_out(folder, names) or (
            perhaps_generated(folder) if names and is_sample_folder(folder) else None
        )
    if subfolders and is_run_folder(folder):
        return why_left_out(folder, names)
    return perhaps_generated(folder) if are_samples(folder, names) else None


def _entries(
    folder: Path, include_subfolders: bool, stop: StopCheck | None
) -> tuple[list[str], list[str], list[str]]:
    """Names of pictures, of subfolders, and of pictures of kinds that are not read."""
    names: list[str] = []
    subfolders: list[str] = []
    unread: list[str] = []
    with os.scandir(folder) as entries:
        for count, entry in enumerate(entries):
            if count % _CHECK_EVERY == 0:
                ask_stop(stop)
            if entry.name.startswith("."):
                continue
            if is_picture_name(entry.name) and _is_file(entry):
                names.append(entry.name)
            elif unread_kind(entry.name) and _is_file(entry):
                unread.append(entry.name)
            elif include_subfolders and not is_never_searched(entry.name) and _is_folder(entry):
                subfolders.append(entry.name)
    return names, subfolders, unread


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file, or a link that leads nowhere: whoever reads that says so."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:
        return True  # a link that leads in a circle by itself


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _no_path(folder: Path) -> Problem:
    written = os.fspath(folder).replace("\0", "\\0")
    return Problem(
        code="folder_missing",
        title=f"The folder {written} cannot exist, as its name holds a NUL character; choose the "
        "folder again.",
    )


def _problem(folder: Path, error: OSError, severity: Severity) -> Problem:
    if isinstance(error, FileNotFoundError):
        code, what = "folder_missing", "does not exist; choose the folder again"
    elif isinstance(error, NotADirectoryError):
        code, what = "folder_is_file", "is a file; choose the folder that holds the pictures"
    elif isinstance(error, PermissionError):
        code, what = "folder_unreadable", "may not be read; change its permissions"
    else:
        code, what = "folder_unreadable", f"cannot be read ({error.strerror or error})"
    return Problem(
        code=code,
        title=f"The folder {folder} {what}.",
        severity=severity,
        file=str(folder),
    )
