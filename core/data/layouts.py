"""What a folder that somebody drops on the window is: proposals for the list of concepts.

Known are kohya's folders `10_name class` (alone, several in one folder, or below `img` and `reg`),
tables metadata.csv and metadata.jsonl, and Hugging Face's folders `train` and `validation`.
Everything else is one concept.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from core.config.concepts import Concept, Kind
from core.data.captions import CAPTION_SUFFIXES, kohya_name
from core.data.metadata import TABLE_NAMES, TRAIN_FOLDER
from core.data.scan import is_never_searched, is_picture_name, natural_key
from core.paths import user_path

_VALIDATION_FOLDERS = ("validation", "val", "valid")
_MOST_REPEATS = 10000
# So many files tell whether a folder has captions.
_LOOKED_AT = 2000


def concepts_of_folder(folder: Path) -> list[dict[str, Any]]:
    """One or more concepts for `folder`, each as complete plain data to put into the list.

    Looks at names only; an unreadable folder gives one plain concept, whose scan tells what is
    wrong.
    """
    folder = Path(os.path.abspath(user_path(folder)))
    look = _look(folder)
    found = _kohya_concepts(folder, look)
    if not found:
        found = _splits(folder, look)
    if not found:
        found = [_concept(folder, look)]
    return [concept.model_dump() for concept in found]


class _Look:
    """The names in a folder, in natural order."""

    def __init__(self) -> None:
        self.pictures = False
        self.captions = False
        self.table = ""
        self.folders: list[str] = []


def _look(folder: Path) -> _Look:
    look = _Look()
    try:
        with os.scandir(folder) as entries:
            for number, entry in enumerate(entries):
                lower = entry.name.lower()
                if entry.name.startswith(".") or is_never_searched(entry.name):
                    continue
                if lower in TABLE_NAMES:
                    look.table = min(look.table or lower, lower)
                elif number < _LOOKED_AT and lower.endswith(CAPTION_SUFFIXES):
                    look.captions = True
                elif is_picture_name(entry.name):
                    look.pictures = True
                elif os.path.isdir(entry.path):
                    look.folders.append(entry.name)
    except (OSError, ValueError):
        pass  # whoever reads the concept's pictures tells
    look.folders.sort(key=natural_key)
    return look


def _kohya_concepts(folder: Path, look: _Look) -> list[Concept]:
    """Concepts of kohya's layout, at this folder or in it or below its `img` and `reg`."""
    if kohya_name(folder.name) and look.pictures:
        return [_concept(folder, look)]
    found = [_concept(folder / name, _look(folder / name)) for name in look.folders if _is(name)]
    if found:
        # Pictures beside such folders are not trained by kohya; here they are one concept more.
        return [_concept(folder, look), *found] if look.pictures else found
    for name in look.folders:
        kind: Kind = "prior" if name.lower() == "reg" else "train"
        if name.lower() in ("img", "image", "images", "reg"):
            below = _look(folder / name).folders
            found += [
                _concept(folder / name / inner, _look(folder / name / inner), kind)
                for inner in below
                if _is(inner)
            ]
    return found if any(concept.kind == "train" for concept in found) else []


def _is(name: str) -> bool:
    return kohya_name(name) is not None


def _splits(folder: Path, look: _Look) -> list[Concept]:
    """Concepts of `train` and `validation` below a folder that has no pictures itself."""
    if look.pictures or look.table:
        return []
    by_name = {name.lower(): name for name in look.folders}
    if TRAIN_FOLDER not in by_name:
        return []
    train = folder / by_name[TRAIN_FOLDER]
    inner = _look(train)
    if not (inner.pictures or inner.table):
        return []
    found = [_concept(train, inner, name=folder.name)]
    for name in _VALIDATION_FOLDERS:
        if name in by_name:
            held_out = folder / by_name[name]
            found.append(_concept(held_out, _look(held_out), "validation", folder.name))
    return found


def _concept(folder: Path, look: _Look, kind: Kind = "train", name: str = "") -> Concept:
    concept = Concept(path=str(folder), kind=kind, name=name)
    kohya = kohya_name(folder.name)
    if kohya is not None:
        repeats, concept.name = kohya
        # kohya leaves folders out that it shall repeat zero times.
        concept.enabled = repeats > 0
        concept.repeats = float(min(max(repeats, 1), _MOST_REPEATS))
    if look.table:
        concept.prompt.source = "metadata"
    elif kohya is not None and not look.captions:
        concept.prompt.source = "folder_name"
    concept.include_subfolders = not look.pictures and not look.table and bool(look.folders)
    return concept
