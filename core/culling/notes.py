"""What was decided about the pictures of a folder: marks, stars and the focus for cropping.

They lie in one small hidden file beside the pictures, `.limner.json`:
`{"limner": 1, "pictures": {"a.png": {"mark": "keep", "stars": 3, "focus": [0.5, 0.25]}}}`
(and the focus once more, see core.culling.focus).
Where the folder is read-only, the same file lies in the user's data folder instead, and is
then the one that counts. Keys that this version does not know are kept.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core import files
from core.culling import focus as focus_points
from core.culling import locks
from core.culling.moving import free_name, move_file, replace_file
from core.errors import Problem, fail
from core.paths import user_data_dir
from core.reading import Unreadable, parse_json, read_bytes

NOTES_NAME = ".limner.json"
VERSION = 1

Mark = Literal["", "keep", "reject"]
Raw = dict[str, Any]

_NO_WRITING = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_CACHED_FOLDERS = 16
_LARGEST = 256 * 2**20  # the marks of about a million pictures
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Note:
    """What was decided about one picture.

    stars: 0 to 5. focus: what crops keep in view, (x, y) as fractions of the upright picture's
    width and height, from its left upper corner; None leaves it to the middle.
    """

    mark: Mark = ""
    stars: int = 0
    focus: tuple[float, float] | None = None


@dataclass
class _Content:
    """A notes file as it was read: everything in it, and the text of each picture's line."""

    pictures: dict[str, Raw] = field(default_factory=dict)
    others: Raw = field(default_factory=dict)
    version: int = VERSION
    lines: dict[str, str] = field(default_factory=dict)


class _Damaged(ValueError):
    """The file does not hold notes."""


_cache: dict[Path, tuple[tuple[int, int, int], _Content]] = {}
_cache_lock = threading.Lock()


def notes_file(folder: Path) -> Path:
    """The file that holds the notes of exactly this folder; it need not exist."""
    elsewhere = _file_elsewhere(folder)
    return elsewhere if elsewhere.exists() else folder / NOTES_NAME


def read_notes(folder: Path, problems: list[Problem] | None = None) -> dict[str, Note]:
    """The notes of the pictures in exactly this folder, by file name; {} when there are none.

    One that is damaged or cannot be read is told in `problems` (or the log) and left as it is.
    Focus points that an older version stored lying are turned upright, which `problems` tells too.
    """
    content = _read(notes_file(folder), problems)
    turned = focus_points.upright(folder, content.pictures)
    if turned and problems is not None:
        problems.append(focus_points.told(folder, list(turned)))
    return {name: note_of(raw) for name, raw in {**content.pictures, **turned}.items()}


def raw_notes(folder: Path, names: Iterable[str]) -> dict[str, Raw]:
    """What the file says about these pictures, unknown keys included; {} for those without."""
    pictures = _read(notes_file(folder)).pictures
    wanted = {name: dict(pictures.get(name, {})) for name in names}
    return wanted | focus_points.upright(folder, wanted)


def note_of(raw: Mapping[str, Any]) -> Note:
    """The note in a picture's entry; a field that makes no sense counts as not set."""
    mark, stars, focus = raw.get("mark"), raw.get("stars"), raw.get("focus")
    good_stars = isinstance(stars, int) and not isinstance(stars, bool) and 0 <= stars <= 5
    return Note(
        mark=mark if mark in ("keep", "reject") else "",
        stars=stars if good_stars else 0,  # type: ignore[arg-type]
        focus=focus_points.point_of(focus),
    )


def change_notes(folder: Path, changes: Mapping[str, Mapping[str, object]]) -> None:
    """Merge fields into pictures' notes: `{"a.png": {"mark": "keep", "focus": None}}`.

    None, "" and 0 stars take a field out. A damaged file is moved aside first, under a name ending
    in `.bad`. Raises UserError with a sentence when the notes cannot be written anywhere, or an
    unreadable file would be lost; then nothing has changed.
    """

    def merge(pictures: dict[str, Raw]) -> None:
        for name, fields in changes.items():
            if "focus" in fields:
                fields = {**fields, focus_points.UPRIGHT: fields["focus"]}
            entry = {k: v for k, v in pictures.get(name, {}).items() if k not in fields}
            entry.update((key, value) for key, value in fields.items() if _says(value))
            _put(pictures, name, entry)

    _rewrite(folder, merge, changes)


def replace_notes(folder: Path, entries: Mapping[str, Mapping[str, object] | None]) -> None:
    """Set pictures' whole entries, None or {} taking them out. Raises as `change_notes`."""

    def put(pictures: dict[str, Raw]) -> None:
        for name, entry in entries.items():
            _put(pictures, name, dict(entry or {}))

    _rewrite(folder, put, entries)


def _put(pictures: dict[str, Raw], name: str, entry: Raw) -> None:
    if entry:
        pictures[name] = entry
    else:
        pictures.pop(name, None)


def _says(value: object) -> bool:
    return value is not None and value != "" and (value != 0 or isinstance(value, bool))


def _file_elsewhere(folder: Path) -> Path:
    return user_data_dir() / "notes" / f"{locks.folder_key(folder)}.json"


def _rewrite(folder: Path, edit: Callable[[dict[str, Raw]], None], names: Iterable[str]) -> None:
    beside, elsewhere = folder / NOTES_NAME, _file_elsewhere(folder)
    lock = user_data_dir() / "locks" / f"notes-{locks.folder_key(folder)}.lock"
    with locks.held(lock, folder):
        if not folder.is_dir():
            raise fail(
                "folder_missing",
                f"The folder {folder} is no longer there; open it again where it is now.",
                file=str(folder),
            )
        used = elsewhere if elsewhere.exists() else beside
        content = _load_to_change(used)
        if content.version > VERSION:
            raise fail(
                "notes_newer",
                f"{used} was written by a newer Limner; update Limner to change marks here.",
                file=str(used),
            )
        changed = _Content(
            dict(content.pictures), content.others, content.version, dict(content.lines)
        )
        turned = focus_points.upright(folder, changed.pictures)
        changed.pictures.update(turned)
        edit(changed.pictures)
        for name in (*names, *turned):
            changed.lines.pop(name, None)
        try:
            try:
                _write(beside, changed)
                files.unlink(elsewhere, missing_ok=True)
            except OSError as error:
                locked = files.is_in_use(error) and files.can_write(folder)
                if error.errno not in _NO_WRITING or locked:
                    raise
                _write(elsewhere, changed)
        except OSError as error:
            raise fail(
                "notes_unwritable",
                f"The marks in {beside} cannot be written: {files.reason(error)}.",
                file=str(beside),
            ) from error


def _signature(path: Path) -> tuple[int, int, int]:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not an ordinary file")  # a pipe would never end
    return status.st_mtime_ns, status.st_size, status.st_ino


def _remember(path: Path, content: _Content, signature: tuple[int, int, int]) -> None:
    with _cache_lock:
        _cache.pop(path, None)
        _cache[path] = signature, content
        while len(_cache) > _CACHED_FOLDERS:
            del _cache[next(iter(_cache))]


def _read(path: Path, problems: list[Problem] | None = None) -> _Content:
    """The file's content, not to be changed by the caller; empty where there is none."""
    try:
        return _load(path)
    except _Damaged as error:
        _tell(path, "is damaged, so its marks do not count", problems, str(error))
    except Unreadable as error:
        _tell(path, f"{error}; its marks are left", problems)
    except OSError as error:
        _tell(path, f"cannot be read ({error.strerror or error}); its marks are left", problems)
    return _Content()


def _load(path: Path) -> _Content:
    """As `_read`, but raises _Damaged, Unreadable or OSError."""
    try:
        signature = _signature(path)
        with _cache_lock:
            cached = _cache.get(path)
        if cached and cached[0] == signature:
            return cached[1]
        content = _parse(read_bytes(path, _LARGEST))
    except FileNotFoundError:
        return _Content()
    _remember(path, content, signature)
    return content


def _load_to_change(path: Path) -> _Content:
    """The content of a file that is about to be written; a damaged one is moved aside.

    Raises UserError where it cannot be read, as writing would lose what it says.
    """
    try:
        return _load(path)
    except _Damaged as error:
        _move_aside(path, str(error))
        return _Content()
    except Unreadable as error:
        wrong = str(error)
    except OSError as error:
        wrong = f"cannot be read ({error.strerror or error})"
    raise fail(
        "notes_unreadable",
        f"The file of marks {path} {wrong}; nothing was changed.",
        file=str(path),
    )


def _parse(data: bytes) -> _Content:
    try:
        document = parse_json(data)
    except Unreadable as error:
        raise _Damaged(str(error)) from error
    pictures = document.get("pictures", {}) if isinstance(document, dict) else None
    if not isinstance(pictures, dict):
        raise _Damaged("It holds no pictures.")
    version = document.get("limner")
    others = {key: value for key, value in document.items() if key not in ("limner", "pictures")}
    return _Content(
        {name: entry for name, entry in pictures.items() if isinstance(entry, dict)},
        others,
        version if isinstance(version, int) else VERSION,
    )


def _move_aside(path: Path, detail: str) -> None:
    try:
        aside = free_name(path.with_name(path.name + ".bad"))
        move_file(path, aside)
    except OSError as error:
        raise fail(
            "notes_unreadable",
            f"The file of marks {path} is damaged, and is in the way: {files.reason(error)}.",
            detail=detail,
            file=str(path),
        ) from error
    _tell(path, f"was damaged and is now {aside.name}; marks begin again", None, detail)


def _tell(path: Path, what: str, problems: list[Problem] | None, detail: str = "") -> None:
    problem = Problem(
        code="notes_unreadable",
        title=f"The file of marks {path} {what}.",
        severity="warning",
        detail=detail,
        file=str(path),
    )
    if problems is None:
        _log.warning("%s", problem.sentence())
    else:
        problems.append(problem)


def _write(path: Path, content: _Content) -> None:
    if not content.pictures and not content.others:
        # A file that says nothing has no place among somebody's pictures.
        files.unlink(path, missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, path.with_name(path.name + ".new"), _text(content).encode("utf-8"))
    _remember(path, content, _signature(path))


def _text(content: _Content) -> str:
    lines = content.lines
    for name, entry in content.pictures.items():
        if name not in lines:
            lines[name] = f"{_json(name)}: {_json(dict(sorted(entry.items())))}"
    others = "".join(f"{_json(key)}: {_json(value)},\n" for key, value in content.others.items())
    # In one order, so that undoing a change gives the file back to the byte.
    body = ",\n".join(lines[name] for name in sorted(content.pictures))
    return f'{{\n"limner": {content.version},\n{others}"pictures": {{\n{body}\n}}\n}}\n'


def _json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # A file name whose bytes are no UTF-8.
        return json.dumps(value)
    return text
