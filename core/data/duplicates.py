"""Finding pictures of a plan that are there twice: the same file contents, or nearly the same."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.data.better import Why, best_of, copy_of
from core.data.measures import Measures, MeasureStore
from core.data.scan import StopCheck
from core.data.similar import NEAR, exact_groups, groups
from core.data.types import Item, Plan

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Member:
    """One picture of a group, as one concept has it."""

    concept: int
    path: Path
    validation: bool = False


@dataclass(frozen=True)
class DuplicateGroup:
    """Pictures that are the same (`exact`) or look nearly so.

    members: two and more, in the order of the plan. best: which of them to keep, as a suggestion,
    and why: as better.best_of finds it.
    """

    exact: bool
    members: tuple[Member, ...]
    best: int
    why: Why = "first"

    @property
    def concepts(self) -> tuple[int, ...]:
        """The concepts that it reaches into."""
        return tuple(sorted({member.concept for member in self.members}))

    @property
    def leaks(self) -> bool:
        """Whether a picture is trained on that is there to measure with."""
        return len({member.validation for member in self.members}) > 1


@dataclass(frozen=True)
class Duplicates:
    """What was found. unreadable: path -> why a picture's pixels cannot be decoded."""

    groups: tuple[DuplicateGroup, ...]
    unreadable: dict[Path, str]


def find_duplicates(
    plan: Plan,
    store: MeasureStore | None = None,
    *,
    progress: Progress | None = None,
    check_stop: StopCheck | None = None,
) -> Duplicates:
    """Compare all pictures of a plan, those for validation too.

    Decodes every picture once and remembers what it measured; contents are compared only where
    files are equally large. Raises Stopped when `check_stop` says so.
    """
    items = _first_items([*plan.items, *plan.validation])
    validation = {id(item) for item in plan.validation}
    members = [Member(item.concept, item.path, id(item) in validation) for item in items]
    unreadable: dict[Path, str] = {}
    opened = store or MeasureStore()
    try:
        measured = opened.measure_all(
            [item.path for item in items],
            progress,
            check_stop,
            failed=lambda path, reason: unreadable.setdefault(path, reason),
        )
        twins = _of_equal_size(path for path in measured)
        measured |= opened.measure_all(twins, None, check_stop, digest=True)
    finally:
        if store is None:
            opened.close()
    known = [number for number, item in enumerate(items) if item.path in measured]
    search = _Grouping(
        [items[number] for number in known],
        [members[number] for number in known],
        [measured[items[number].path] for number in known],
    )
    return Duplicates(tuple(search.groups(check_stop)), unreadable)


def _first_items(items: Sequence[Item]) -> list[Item]:
    """One item for each picture of each concept, whatever the number of its resolutions."""
    first: dict[tuple[int, Path], Item] = {}
    for item in items:
        first.setdefault((item.concept, item.path), item)
    return list(first.values())


def _of_equal_size(pictures: Iterable[Path]) -> list[Path]:
    sizes: dict[int, list[Path]] = defaultdict(list)
    for path in pictures:
        try:
            sizes[os.stat(path).st_size].append(path)
        except OSError:
            continue
    return [path for same in sizes.values() if len(same) > 1 for path in same]


class _Grouping:
    """Groups by what was measured."""

    def __init__(self, items: list[Item], members: list[Member], measures: list[Measures]) -> None:
        self._members = members
        self._measures = measures
        self._items = items
        # A picture that two concepts have is the same one whatever its size says.
        self._identity = [
            one.digest or os.path.abspath(member.path)
            for one, member in zip(measures, members, strict=True)
        ]

    def groups(self, check_stop: StopCheck | None) -> list[DuplicateGroup]:
        """Exact groups, and near ones that are more than one exact group."""
        exact = exact_groups(self._identity)
        near = groups(
            [one.dhash for one in self._measures],
            NEAR,
            check_stop,
            colours=[one.colours for one in self._measures],
        )
        found = [self._group(group, True) for group in exact]
        found += [
            self._group(group, False)
            for group in near
            if len({self._identity[index] for index in group}) > 1
        ]
        return found

    def _group(self, group: list[int], exact: bool) -> DuplicateGroup:
        members = tuple(self._members[index] for index in group)
        if exact:
            return DuplicateGroup(True, members, 0)
        best, why = best_of(
            [
                copy_of(members[n].path, self._items[i].size, self._measures[i].sharpness)
                for n, i in enumerate(group)
            ]
        )
        return DuplicateGroup(False, members, best, why)
