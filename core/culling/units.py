"""A picture and the files that belong to it: what is deleted, moved and renamed as one."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from core.data.companions import (
    CAPTION_SUFFIXES,
    CONDITION,
    MASK,
    PICTURE_SUFFIXES,
    companions_of,
    is_companion,
    name_key,
)
from core.data.scan import is_picture_name
from core.files import is_reserved_name


def _spellings(ending: str) -> list[str]:
    """An ending in the capitals that cameras and other systems give it: the usual one first."""
    beginning, suffix = os.path.splitext(ending) if ending[0] != "." else ("", ending)
    spelled = [suffix, suffix.upper(), "." + suffix[1:].capitalize()]
    return [*(beginning + one for one in spelled), *([ending.upper()] if beginning else [])]


_MASKS = (f"{MASK}.png", f"{CONDITION}.png")
# What usually stands behind a picture's stem in the names of the files that belong to it.
SIDECAR_ENDINGS = tuple(
    spelling for ending in (*CAPTION_SUFFIXES, ".json", *_MASKS) for spelling in _spellings(ending)
)
_ENDINGS = tuple(spelling for suffix in sorted(PICTURE_SUFFIXES) for spelling in _spellings(suffix))


def ending_of(stem: str, name: str) -> str:
    """What stands behind a picture's stem in the name of a file that belongs to it.

    The name may spell the stem in other capitals or with its accents apart. "" for another name.
    """
    if name.startswith(stem):
        return name[len(stem) :]
    wanted = name_key(stem)
    return next((name[n:] for n in range(1, len(name)) if name_key(name[:n]) == wanted), "")


@dataclass(frozen=True)
class Unit:
    """Pictures that share folder and stem, and what goes with them.

    sidecars move with the pictures; shared ones also belong to a picture outside the unit and
    stay where they are.
    """

    folder: Path
    stem: str
    pictures: tuple[Path, ...]
    sidecars: tuple[Path, ...]
    shared: tuple[Path, ...] = ()


def sidecars_of(picture: Path, names: Collection[str] | None = None) -> list[Path]:
    """The files beside a picture that belong to it: captions, .json, mask and condition picture.

    names: those in the picture's folder where the caller has them already. Pictures that share a
    stem (a.png, a.jpg) share these files.
    """
    folder, stem = picture.parent, picture.stem
    others = companions_of(picture)
    if names is not None:
        found = [stem + ending for ending in SIDECAR_ENDINGS if stem + ending in names]
        paths = [folder / name for name in found if name != picture.name]
        return list(dict.fromkeys([*paths, *others]))
    beside = os.path.join(folder, stem)
    there = [ending for ending in SIDECAR_ENDINGS if os.path.lexists(beside + ending)]
    paths = [folder / (stem + ending) for ending in there if stem + ending != picture.name]
    return _each_once(list(dict.fromkeys([*paths, *others])))


def _each_once(paths: list[Path]) -> list[Path]:
    """The paths without those that are another spelling of a file before them."""
    found: dict[object, Path] = {}
    for path in paths:
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue
        # Two names of one file are two files to its owner.
        is_own = status.st_nlink > 1 or not status.st_ino
        found.setdefault(path if is_own else (status.st_dev, status.st_ino), path)
    return list(found.values())


def pictures_of_stem(folder: Path, stem: str, names: Collection[str] | None = None) -> list[Path]:
    """The pictures in `folder` whose name without suffix is `stem`."""
    if names is not None:
        found = {stem + ending for ending in _ENDINGS if stem + ending in names}
    else:
        beside = os.path.join(folder, stem)
        found = {stem + ending for ending in _ENDINGS if os.path.lexists(beside + ending)}
    return [folder / name for name in sorted(found) if is_picture_name(name)]


def units_of(pictures: Collection[Path]) -> list[Unit]:
    """The pictures, with all that belongs to them, grouped by folder and stem in the given order.

    Pictures that are not there any more are in it too.
    """
    groups: dict[tuple[Path, str], list[Path]] = {}
    for picture in dict.fromkeys(pictures):
        groups.setdefault((picture.parent, picture.stem), []).append(picture)
    listed = _listings(groups)
    units = []
    for (folder, stem), members in groups.items():
        names = listed.get(folder)
        sidecars = tuple(sidecars_of(members[0], names))
        sidecars = tuple(path for path in sidecars if path not in members)
        others = False
        if sidecars:
            same = _same_files(members)
            others = any(p not in same for p in pictures_of_stem(folder, stem, names))
        units.append(
            Unit(
                folder,
                stem,
                tuple(members),
                () if others else sidecars,
                sidecars if others else (),
            )
        )
    return units


def _same_files(members: list[Path]) -> set[Path]:
    """The members under all spellings that a file system without upper and lower case accepts."""
    same = set(members)
    if os.name == "nt":
        for member in members:
            stem, suffix = member.stem, member.suffix.lower()
            same.update(member.with_name(stem + e) for e in _ENDINGS if e.lower() == suffix)
    return same


def _listings(groups: Collection[tuple[Path, str]]) -> dict[Path, frozenset[str]]:
    """Names in the folders of which so many pictures are asked that listing is cheaper."""
    counts: dict[Path, int] = {}
    for folder, _stem in groups:
        counts[folder] = counts.get(folder, 0) + 1
    listed = {}
    for folder, count in counts.items():
        if count < 100:
            continue
        try:
            listed[folder] = frozenset(os.listdir(folder))
        except OSError:
            continue
    return listed


def stem_is_taken(folder: Path, stem: str, endings: Collection[str]) -> bool:
    """Whether a unit with these name endings would meet files of another unit in `folder`.

    Another picture of the same stem counts too: it would share captions with the newcomer.
    """
    wanted = {stem + ending for ending in endings} | {stem + end for end in SIDECAR_ENDINGS}
    return any(os.path.lexists(folder / name) for name in wanted) or bool(
        pictures_of_stem(folder, stem)
    )


def free_stem(
    folder: Path, stem: str, endings: Collection[str], taken: Collection[str] = ()
) -> str:
    """`stem`, or the first of `stem-2`, `stem-3`, ... under which nothing lies in `folder`."""
    free, number = stem, 2
    while free in taken or stem_is_taken(folder, free, endings):
        free = f"{stem}-{number}"
        number += 1
    return free


def name_problem(stem: str) -> str:
    """Why `stem` cannot be a picture's name, as the end of a sentence; "" when it can."""
    if not stem.strip():
        return "is empty"
    if re.search(r'[\x00-\x1f<>:"/\\|?*]', stem):
        return 'holds one of the characters < > : " / \\ | ? *, which file names cannot have'
    if stem.startswith(".") or stem.endswith((" ", ".")):
        return "begins with a dot or ends with a dot or space"
    if is_reserved_name(stem):
        return "is reserved by Windows"
    if is_companion(f"{stem}.png"):
        return "would make it the mask of another picture"
    if len(os.fsencode(stem)) > 200:
        return "is too long"
    return ""


def same_folder(one: Path, other: Path) -> bool:
    """Whether two paths lead to one folder, also through links; one need not exist."""
    return os.path.normcase(os.path.realpath(one)) == os.path.normcase(os.path.realpath(other))
