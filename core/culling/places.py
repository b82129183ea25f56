"""Where deleted files go: the trash of their volume, the system's bin, or `_rejected` beside them.

Nothing is ever deleted for good.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from core.culling import system_bin, trash
from core.culling.moving import free_name
from core.culling.steps import Refused, Step, identity_of
from core.culling.units import ending_of, free_stem
from core.data.scan import REJECTED_FOLDER
from core.errors import Problem

SystemBin = str
Place = trash.TrashFolder | SystemBin
_BIN: SystemBin = "bin"
_REJECTED: SystemBin = "rejected"


@dataclass
class Places:
    """Chooses where files of a folder go, and keeps names apart that are spoken for."""

    _places: dict[Path, list[Place]] = field(default_factory=dict)
    _told: set[Path] = field(default_factory=set)
    _taken: set[str] = field(default_factory=set)
    _stems: dict[Path, set[str]] = field(default_factory=dict)
    _avoided: dict[Path, set[Place]] = field(default_factory=dict)

    def begin(self) -> None:
        """Forget the names that an earlier operation has spoken for, and what refused it."""
        self._taken.clear()
        self._stems.clear()
        self._avoided.clear()

    def removals(self, steps: list[Step]) -> list[Step]:
        """The steps that remove the sources of `steps`, in that order.

        Of the steps count source, main, identity, exact, and `new`: the bytes that a text must
        hold to be removed. Raises Refused where it holds others.
        """
        planned: dict[Path, Step] = {}
        by_folder: dict[Path, list[Step]] = {}
        for step in steps:
            by_folder.setdefault(step.source.parent, []).append(_plain(step))
        for folder, group in by_folder.items():
            planned.update((step.source, step) for step in self._removals_in(folder, group))
        return [planned[step.source] for step in steps]

    def avoid(self, step: Step) -> bool:
        """Leave out the place of a removal that failed, for this operation.

        False when it was the last one.
        """
        if step.kind == "move":
            return False
        folder = step.source.parent
        failed = _BIN if step.info is None else step.info.parent.parent
        # Where an earlier picture has failed in the same way, the place is left out already.
        self._avoided.setdefault(folder, set()).update(
            place
            for place in self._options(folder)
            if failed == (place if isinstance(place, str) else place.path)
        )
        return True

    def told(self, steps: Iterable[Step]) -> list[Problem]:
        """A warning for each folder whose files went to `_rejected`, the first time only."""
        problems = []
        for step in steps:
            # A bin that did not take a file has left it under its spare name.
            spare = step.spare if step.kind == "bin" and step.binned is None else None
            kept = spare is not None and os.path.lexists(spare)
            aside = spare.parent if spare is not None else step.target.parent
            moved = step.kind == "move" and aside.name == REJECTED_FOLDER
            if (kept or moved) and aside not in self._told:
                self._told.add(aside)
                problems.append(
                    Problem(
                        code="trash_unavailable",
                        title=f"There is no trash for {step.source.parent}; what is "
                        f"deleted there goes into its subfolder {REJECTED_FOLDER}.",
                        severity="warning",
                        file=str(aside),
                    )
                )
        return problems

    def _options(self, folder: Path) -> list[Place]:
        places = self._places.get(folder)
        if places:
            first = places[0]
            if isinstance(first, str) or (
                (first.path / "info").is_dir() and (first.path / "files").is_dir()
            ):
                return places
        found: list[Place] = []
        if trash.has_own_trash():
            found.extend(trash.trash_folders(folder))
        elif system_bin.takes_files_of(folder):
            found.append(_BIN)
        found.append(_REJECTED)
        self._places[folder] = found
        return found

    def _removals_in(self, folder: Path, steps: list[Step]) -> list[Step]:
        avoided = self._avoided.get(folder, set())
        place = next(place for place in self._options(folder) if place not in avoided)
        if isinstance(place, trash.TrashFolder):
            date = f"{datetime.now():%Y-%m-%dT%H:%M:%S}"
            return [self._into_trash(place, step, date) for step in steps]
        if place == _REJECTED:
            return self._aside(folder, steps)
        return [
            replace(
                step,
                kind="bin",
                spare=free_name(folder / REJECTED_FOLDER / step.source.name),
                since=time.time(),
            )
            for step in steps
        ]

    def _into_trash(self, place: trash.TrashFolder, step: Step, date: str) -> Step:
        name = trash.free_entry(place, step.source.name, self._taken)
        listing = trash.info_bytes(trash.listed_path(place, step.source), date).decode("ascii")
        return replace(
            step, kind="trash", target=place.file(name), info=place.info(name), listing=listing
        )

    def _aside(self, folder: Path, steps: list[Step]) -> list[Step]:
        aside = folder / REJECTED_FOLDER
        stem = next((step for step in steps if step.main), steps[0]).source.stem
        names = [step.source.name for step in steps]
        endings = [ending for name in names if (ending := ending_of(stem, name))]
        taken = self._stems.setdefault(aside, set())
        free = free_stem(aside, stem, endings, taken)
        taken.add(free)
        return [
            replace(step, kind="move", target=aside / (free + ending))
            if (ending := ending_of(stem, name))
            else replace(step, kind="move", target=free_name(aside / name))
            for step, name in zip(steps, names, strict=True)
        ]


def is_removal(step: Step) -> bool:
    """Whether a step takes a file away from the user's pictures."""
    return step.kind in ("trash", "bin") or (
        step.kind == "move" and step.target.parent.name == REJECTED_FOLDER
    )


def _plain(step: Step) -> Step:
    """The step with nothing but what a removal needs to know of it."""
    identity = step.identity
    if step.new is not None:
        try:
            content = step.source.read_bytes()
        except FileNotFoundError:
            raise Refused("is no longer there", lost=True) from None
        if content != step.new:
            raise Refused("was changed by another program", lost=True)
        identity = identity_of(step.source)
    return Step("trash", step.source, step.source, step.main, identity, step.exact)
