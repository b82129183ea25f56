"""Presets: find, load and save them; rename, duplicate, delete, import and export.

A preset is a JSON file that holds only what differs from the defaults, and `"limner": 1`. The
built-in ones come with the program, are read-only, and their names begin with '#'; the user's
lie in the user data folder.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core import files
from core.config.job import Job
from core.config.json_files import read_json_object, write_json_object
from core.config.preset_data import (
    MIGRATIONS,
    Data,
    diff,
    migrate,
    minimal,
    over_defaults,
    resolve_paths,
    resolve_value,
)
from core.config.session import Session, load_session, save_session
from core.errors import Problem, UserError, fail
from core.files import write_bytes
from core.paths import builtin_presets_dir, user_presets_dir
from core.reading import LARGEST_JSON, read_bytes

__all__ = [
    "MIGRATIONS",
    "LoadedPreset",
    "PresetInfo",
    "Session",
    "delete_preset",
    "diff",
    "duplicate_preset",
    "export_preset",
    "find_preset",
    "import_preset",
    "is_builtin",
    "list_presets",
    "load_preset",
    "load_session",
    "minimal",
    "preset_path",
    "rename_preset",
    "resolve_paths",
    "resolve_value",
    "save_preset",
    "save_session",
    "valid_name",
]

_LONGEST_NAME = 200  # bytes of UTF-8; file systems allow 255 with the ending
_DELETED = "_deleted"


@dataclass(frozen=True)
class PresetInfo:
    """One preset on disk. family: the built-in's folder name; empty for the user's own."""

    name: str
    path: Path
    builtin: bool
    family: str


@dataclass(frozen=True)
class LoadedPreset:
    """A preset over the defaults.

    data: full plain data, paths as written. unknown: keys that this version does not know, to be
    handed to `save_preset`. problems: a warning per unknown key, an error per value that was
    wrong and replaced by its default.
    """

    path: Path
    data: Data
    unknown: Data = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def is_builtin(path: Path) -> bool:
    """Whether `path` lies in the folder of the built-in presets."""
    return path.absolute().is_relative_to(builtin_presets_dir().absolute())


def list_presets() -> list[PresetInfo]:
    """Built-in presets, then the user's, each sorted by name; broken files are listed too."""
    found = []
    for path in sorted(
        builtin_presets_dir().glob("*/#*.json"), key=lambda p: (p.parent.name, p.stem)
    ):
        name = "# " + path.stem.removeprefix("#").strip()
        found.append(PresetInfo(name, path, True, path.parent.name))
    own = [
        PresetInfo(path.stem, path, False, "")
        for path in user_presets_dir().glob("*.json")
        if not path.name.startswith(".") and path.is_file()
    ]
    return found + sorted(own, key=lambda info: (info.name.casefold(), info.name))


def find_preset(name: str) -> PresetInfo:
    """The preset called `name`; `# demo`, `#demo` and `demo` all find the built-in one.

    A preset of the user's with exactly that name comes first. Raises UserError that names the
    nearest ones when there is none.
    """
    presets = list_presets()
    wanted = _comparable(name)
    for info in presets:
        if not info.builtin and _comparable(info.name) == wanted:
            return info
    bare = _comparable(name.lstrip("# "))
    for info in presets:
        if info.builtin and _comparable(info.name.lstrip("# ")) == bare:
            return info
    names = [info.name for info in presets]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names[:10]
    raise fail(
        "preset_not_found",
        f"There is no preset named {name!r}.",
        hint="Did you mean " + ", ".join(repr(n) for n in near) + "?" if near else "",
    )


def preset_path(name: str) -> Path:
    """The file of the user's preset `name`, whether or not it exists.

    Raises UserError when `name` cannot be a preset's name.
    """
    return user_presets_dir() / f"{valid_name(name)}.json"


def valid_name(name: str) -> str:
    """`name` trimmed and in one Unicode form, fit for a file on every system.

    Raises UserError for an empty or too long name, one with characters that some system does not
    allow, a reserved one, and one that begins with '#' (the built-in ones do).
    """
    cleaned = unicodedata.normalize("NFC", name.strip())
    bad = sorted(set(re.findall(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]', cleaned)))
    reason = ""
    if not cleaned:
        reason = "is empty; type a name"
    elif cleaned.startswith("#"):
        reason = "begins with '#', which marks the built-in presets; leave the '#' away"
    elif bad:
        shown = " ".join(c if c.isprintable() else f"U+{ord(c):04X}" for c in bad)
        reason = f"contains {shown}, which file names cannot have; leave it away"
    elif cleaned.startswith(".") or cleaned.endswith("."):
        reason = "begins or ends with a dot; leave the dot away"
    elif files.is_reserved_name(cleaned):
        reason = "is a name that Windows keeps for itself; choose another"
    elif len(cleaned.encode("utf-8")) > _LONGEST_NAME:
        reason = "is too long; choose a shorter one"
    if reason:
        shown_name = cleaned if len(cleaned) <= 60 else cleaned[:57] + "..."
        shown_name = shown_name.encode("utf-8", "backslashreplace").decode()
        raise fail("preset_name_invalid", f"The name {shown_name!r} {reason}.")
    return cleaned


def load_preset(path: Path) -> LoadedPreset:
    """Read a preset (or a run's job.json) over the defaults; the file is never changed.

    Raises UserError when it is missing, no JSON, or of a newer version. Wrong values and unknown
    keys do not raise: they are in `problems`.
    """
    raw = read_json_object(path)
    try:
        current = migrate(raw, str(path))
    except UserError as error:
        raise UserError(*[replace(p, file=str(path)) for p in error.problems]) from None
    if "limner" not in raw and raw and not any(key in Job.model_fields for key in raw):
        raise fail(
            "preset_foreign",
            f"{path} is JSON, but not a preset of Limner: it has none of its settings.",
            file=str(path),
        )
    data, unknown, problems = over_defaults(current)
    return LoadedPreset(path, data, unknown, tuple(replace(p, file=str(path)) for p in problems))


def save_preset(
    path: Path, data: Mapping[str, Any], unknown: Mapping[str, Any] | None = None
) -> None:
    """Write the difference of `data` from the defaults, with `unknown` keys put back.

    Raises UserError for a built-in preset's path and when the file cannot be written; then what
    was there before is still there.
    """
    _refuse_builtin(path, "changed; save it under a name of your own")
    with _writing(path):
        write_json_object(path, minimal(data, unknown))


def rename_preset(path: Path, new_name: str) -> Path:
    """Rename one of the user's presets; returns its new path.

    Raises UserError for built-in presets, bad names and names that are taken.
    """
    _refuse_builtin(path, "renamed; duplicate it and rename the copy")
    target = path.with_name(f"{valid_name(new_name)}.json")
    _refuse_taken(target, but=path)
    with _writing(target):
        files.rename(path, target)
    return target


def duplicate_preset(path: Path, new_name: str) -> Path:
    """Copy any preset to one of the user's; returns its path. Raises UserError as rename does."""
    target = preset_path(new_name)
    _refuse_taken(target)
    _copy(path, target)
    return target


def restore_preset(path: Path, content: bytes) -> Path:
    """Put a deleted preset back, numbered when its name was taken meanwhile; returns its path.

    Raises UserError when the file cannot be written.
    """
    target = _free(path)
    with _writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(target, content)
    return target


def delete_preset(path: Path) -> Path | None:
    """Move one of the user's presets to the trash.

    Where the system has no trash, it goes to the folder `_deleted` beside it, and its new path is
    returned. Raises UserError for built-in presets and when the file cannot be moved.
    """
    _refuse_builtin(path, "deleted")
    if not path.exists():
        raise fail("preset_not_found", f"There is no file {path}; check the name.", file=str(path))
    try:
        from send2trash import send2trash

        send2trash(path)
        return None
    except Exception:  # every platform's trash has failures of its own
        if not path.exists():
            return None
    folder = path.parent / _DELETED
    with _writing(path):
        folder.mkdir(exist_ok=True)
        target = _free(folder / path.name)
        files.rename(path, target)
    return target


def import_preset(source: Path) -> Path:
    """Copy a preset file to the user's presets, numbered when the name is taken.

    Returns its new path. Raises UserError when the file is no preset that can be loaded.
    """
    load_preset(source)
    name = re.sub(r'[\x00-\x1f<>:"/\\|?*]+', "-", source.stem.lstrip("# .")).strip(" .-")
    try:
        name = valid_name(name)
    except UserError:
        name = valid_name(f"preset {name}"[:50])
    target = _free(preset_path(name))
    _copy(source, target)
    return target


def export_preset(
    target: Path, data: Mapping[str, Any], unknown: Mapping[str, Any] | None = None
) -> Path:
    """Write settings as a preset to `target` (`.json` is added when it has no ending).

    Returns the new path. Raises UserError as `save_preset` does.
    """
    target = target if target.suffix else target.with_suffix(".json")
    _refuse_builtin(target, "changed; export to another place")
    save_preset(target, data, unknown)
    return target


def _copy(source: Path, target: Path) -> None:
    with _writing(target):
        write_bytes(target, read_bytes(source, LARGEST_JSON))


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise fail(
            "preset_unwritable",
            f"{path} cannot be written; check the folder's permissions and free space.",
            detail=str(error),
            file=str(path),
        ) from error


def _refuse_builtin(path: Path, what: str) -> None:
    if is_builtin(path):
        raise fail(
            "preset_readonly", f"The built-in preset {path.stem} cannot be {what}.", file=str(path)
        )


def _refuse_taken(target: Path, but: Path | None = None) -> None:
    taken = _clash(target)
    if taken is not None and (but is None or taken.name != but.name):
        raise fail(
            "preset_exists",
            f"There already is a preset named {taken.stem!r}; choose another name.",
            file=str(taken),
        )


def _clash(target: Path) -> Path | None:
    # Windows and macOS hold names apart only by more than case.
    if not target.parent.is_dir():
        return None
    wanted = _comparable(target.stem)
    for path in target.parent.glob("*.json"):
        if _comparable(path.stem) == wanted:
            return path
    return None


def _free(target: Path) -> Path:
    candidate, number = target, 2
    while _clash(candidate) is not None:
        candidate = target.with_name(f"{target.stem} {number}{target.suffix}")
        number += 1
    return candidate


def _comparable(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip()).casefold()
