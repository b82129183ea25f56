"""The caption files of a set of pictures: which they are, what they hold, writing them back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.captioning.tags import Change
from core.data.captions import CaptionError, caption_path, read_text
from core.data.scan import StopCheck, ask_stop
from core.errors import Problem

# Gives the caption file that editing a picture writes, None where the caption is not a file's.
FileOf = Callable[[Path], Path | None]

_ASK_EVERY = 64


def beside(picture: Path) -> Path:
    """The caption file beside a picture: the one it has, else the `.txt` it would get."""
    return caption_path(picture) or picture.with_suffix(".txt")


@dataclass
class CaptionSet:
    """The caption texts of pictures, in their order.

    texts: picture -> the file's exact text, None where there is no file yet. Pictures whose
    caption cannot be read, or is not a file, are missing there; problems has the reasons.
    """

    texts: dict[Path, str | None] = field(default_factory=dict)
    problems: dict[Path, Problem] = field(default_factory=dict)


def read_captions(
    pictures: Iterable[Path], file_of: FileOf = beside, stop: StopCheck | None = None
) -> CaptionSet:
    """Read the caption files of pictures; changes nothing. Raises Stopped when `stop` says so."""
    found = CaptionSet()
    for number, picture in enumerate(pictures):
        if number % _ASK_EVERY == 0:
            ask_stop(stop)
        try:
            found.texts[picture] = read_caption(picture, file_of)
        except CaptionError as error:
            found.problems[picture] = unreadable(picture, file_of, error)
    return found


def read_caption(picture: Path, file_of: FileOf = beside) -> str | None:
    """The exact text of a picture's caption file, None without one. Raises CaptionError."""
    file = file_of(picture)
    if file is None:
        raise CaptionError("Its caption is not in a file of its own.")
    try:
        return read_text(file)
    except FileNotFoundError:
        return None


def unreadable(picture: Path, file_of: FileOf, error: CaptionError) -> Problem:
    """The problem that tells why a picture's caption is left alone."""
    file = file_of(picture) or picture
    return Problem(
        code="caption_unreadable",
        severity="warning",
        title=f"The caption of {picture.name} is left as it is: {error}",
        file=str(file),
    )


def pictures_by_file(pictures: Iterable[Path], file_of: FileOf = beside) -> dict[Path, list[Path]]:
    """Caption file -> the pictures that share it (`a.png` and `a.jpg` have one `a.txt`)."""
    groups: dict[Path, list[Path]] = {}
    for picture in pictures:
        if (file := file_of(picture)) is not None:
            groups.setdefault(file, []).append(picture)
    return groups


def checked(
    changes: Sequence[Change], file_of: FileOf = beside
) -> tuple[dict[Path, str], dict[Path, Path], list[Problem]]:
    """What to write for changes that were previewed: only onto what the preview showed.

    Returns file -> text, file -> picture, and a problem for each file that another program has
    changed since or that cannot be read. A change that changes nothing writes nothing, so that a
    file in another encoding is turned into UTF-8 only together with its text.
    """
    texts: dict[Path, str] = {}
    owners: dict[Path, Path] = {}
    problems: list[Problem] = []
    for change in changes:
        if change.after == (change.before or ""):
            continue
        try:
            now = read_caption(change.picture, file_of)
        except CaptionError as error:
            problems.append(unreadable(change.picture, file_of, error))
            continue
        file = file_of(change.picture)
        if file is None:
            continue
        if now != change.before:
            problems.append(_changed_meanwhile(change.picture, file))
        elif texts.get(file, change.after) != change.after:
            problems.append(_shared(change.picture, owners[file], file))
        else:
            texts[file] = change.after
            owners[file] = change.picture
    return texts, owners, problems


def _changed_meanwhile(picture: Path, file: Path) -> Problem:
    return Problem(
        code="caption_changed",
        severity="warning",
        title=f"{file.name} has changed since the preview and is left as it is; look at it again.",
        file=str(file),
    )


def _shared(picture: Path, other: Path, file: Path) -> Problem:
    return Problem(
        code="caption_shared",
        severity="warning",
        title=f"{picture.name} and {other.name} share the caption file {file.name}, so only one "
        "caption was kept; rename one of the pictures.",
        file=str(picture),
    )
