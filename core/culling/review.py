"""The list of pictures that is gone through: order, filter, the current one. Without a window."""

from __future__ import annotations

import bisect
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, get_args

from core.culling.notes import Note
from core.data.scan import natural_key

Order = Literal["name", "date", "size", "pixels", "sharpness", "similarity"]
Show = Literal["all", "unmarked", "keep", "reject", "stars", "no caption"]
ORDERS: tuple[Order, ...] = get_args(Order)
SHOWS: tuple[Show, ...] = get_args(Show)

_UNKNOWN = math.inf
_NO_NOTE = Note()


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a picture so far; None for what is not.

    date: Unix time of the last change. size: bytes. pixels: width times height. group: number of
    its group of near duplicates, None also for a picture without any.
    """

    date: float | None = None
    size: int | None = None
    pixels: int | None = None
    sharpness: float | None = None
    group: int | None = None
    captioned: bool | None = None
    note: Note = _NO_NOTE


_NOTHING = Facts()


@dataclass(slots=True)
class _Row:
    """One picture. place: its key in the order by name."""

    path: Path
    facts: Facts
    place: Any


class Review:
    """Pictures in an order, those shown under a filter, and the current one of these.

    Whatever joins or leaves, the current picture stays the current one; when it leaves itself,
    the one that comes after it takes its place. Unknown dates and measures sort behind known ones.
    Indexes count the pictures shown. One picture's change takes logarithmic time.
    """

    def __init__(self, pictures: Iterable[Path] = ()) -> None:
        self._rows: dict[Path, _Row] = {}
        self._folder_keys: dict[str, Any] = {}
        self._order: Order = "name"
        self._descending = False
        self._show: Show = "all"
        self._stars = 1
        # The pictures shown in ascending order, and the keys that they are ordered by.
        self._paths: list[Path] = []
        self._keys: list[Any] = []
        self._current: Path | None = None
        self._marks: Counter[str] = Counter()
        self.add(pictures)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Path:
        if not 0 <= index < len(self._paths):
            raise IndexError(index)
        return self._paths[self._turned(index)]

    def __iter__(self) -> Iterator[Path]:
        return iter(self._paths[::-1] if self._descending else self._paths)

    @property
    def total(self) -> int:
        """How many pictures there are, shown or not."""
        return len(self._rows)

    @property
    def pictures(self) -> list[Path]:
        """All pictures, shown or not, in the order in which they came."""
        return list(self._rows)

    @property
    def marks(self) -> Mapping[str, int]:
        """How many pictures have each mark: "keep", "reject" and "" for none."""
        return self._marks

    @property
    def order(self) -> tuple[Order, bool]:
        """What the pictures are sorted by, and whether from the end."""
        return self._order, self._descending

    @property
    def show(self) -> tuple[Show, int]:
        """The filter, and the least number of stars for "stars"."""
        return self._show, self._stars

    @property
    def current(self) -> Path | None:
        """The current picture; None only while none is shown."""
        return self._current

    @property
    def index(self) -> int:
        """The current picture's index, -1 while none is shown."""
        return -1 if self._current is None else self.index_of(self._current)

    def index_of(self, picture: Path) -> int:
        """A picture's index; -1 when it is not shown."""
        place = self._place(picture)
        return -1 if place is None else self._turned(place)

    def facts(self, picture: Path) -> Facts:
        """What is known of a picture."""
        row = self._rows.get(picture)
        return row.facts if row else _NOTHING

    def go(self, index: int) -> Path | None:
        """Make the picture at `index`, or the nearest one that there is, the current one."""
        if self._paths:
            self._current = self[min(max(index, 0), len(self._paths) - 1)]
        return self._current

    def go_to(self, picture: Path) -> bool:
        """Make `picture` the current one; False when it is not shown."""
        if self._place(picture) is None:
            return False
        self._current = picture
        return True

    def step(self, by: int) -> Path | None:
        """Go so many pictures on, or back; stays within the list."""
        return self.go(self.index + by)

    def next_where(self, show: Show, backwards: bool = False) -> int:
        """The index of the next picture shown, after the current, that a filter passes; else -1."""
        direction = -1 if backwards else 1
        index = self.index + direction
        while 0 <= index < len(self._paths):
            if self._passes(self._rows[self[index]].facts, show):
                return index
            index += direction
        return -1

    def add(self, pictures: Iterable[Path], facts: Mapping[Path, Facts] | None = None) -> None:
        """Let pictures join, each at its place; those that are there already stay as they are."""
        new: list[_Row] = []
        for path in pictures:
            if path in self._rows:
                continue
            fact = facts.get(path, _NOTHING) if facts else _NOTHING
            row = self._rows[path] = _Row(path, fact, self._place_by_name(path))
            new.append(row)
            self._marks[fact.note.mark] += 1
        self._insert([row for row in new if self._passes(row.facts, self._show)])
        if self._current is None:
            self.go(0)

    def remove(self, pictures: Iterable[Path]) -> None:
        """Let pictures leave; those that are not there are no error."""
        gone = [path for path in dict.fromkeys(pictures) if path in self._rows]
        self._take_out(gone)
        for path in gone:
            self._marks[self._rows.pop(path).facts.note.mark] -= 1

    def rename(self, old: Path, new: Path) -> None:
        """Put a picture under its new name, with all that is known of it."""
        if old not in self._rows or new == old:
            return
        was_current, facts = self._current == old, self._rows[old].facts
        self.remove([old])
        self.add([new], {new: facts})
        if was_current:
            self.go_to(new)

    def follow(self, moved: Iterable[tuple[Path | None, Path | None]], inside: Path) -> None:
        """Take over what an operation has moved (`Done.moved`), of pictures below `inside`."""
        leaving, coming = [], []
        for before, after in moved:
            here = after is not None and after.is_relative_to(inside)
            if before is not None and before in self._rows and before != after:
                if here and after is not None:
                    self.rename(before, after)
                else:
                    leaving.append(before)
            elif here and after is not None:
                coming.append(after)
        self.remove(leaving)
        self.add(coming)

    def learn(self, known: Mapping[Path, Mapping[str, Any]]) -> None:
        """Take over facts by picture, such as `{path: {"note": Note("keep"), "size": 10}}`.

        Pictures move to their new places, join what is shown or leave it accordingly.
        """
        changed: list[tuple[_Row, Facts]] = []
        for path, fields in known.items():
            row = self._rows.get(path)
            if row is not None and (new := replace(row.facts, **fields)) != row.facts:
                changed.append((row, new))
        affected = [row for row, new in changed if self._concerns(row.facts, new)]
        was_current = self._current
        self._take_out([row.path for row in affected])
        for row, new in changed:
            self._marks[row.facts.note.mark] -= 1
            self._marks[new.note.mark] += 1
            row.facts = new
        self._insert([row for row in affected if self._passes(row.facts, self._show)])
        if was_current is not None and self._place(was_current) is not None:
            self._current = was_current
        elif self._current is None:
            self.go(0)

    def sort_by(self, order: Order, descending: bool = False) -> None:
        """Change the order; the current picture stays the current one."""
        self._order, self._descending = order, descending
        self._rebuild()

    def filter_by(self, show: Show, stars: int = 1) -> None:
        """Change what is shown; "stars" shows pictures with at least so many.

        Where the current picture is not shown any more, the next one that is becomes it.
        """
        old_key = None if self._current is None else self._key(self._rows[self._current])
        self._show, self._stars = show, stars
        self._rebuild()
        if self._current is None and self._paths and old_key is not None:
            place = bisect.bisect_left(self._keys, old_key) - (1 if self._descending else 0)
            self.go(self._turned(min(max(place, 0), len(self._paths) - 1)))
        elif self._current is None:
            self.go(0)

    def _turned(self, place: int) -> int:
        return len(self._paths) - 1 - place if self._descending else place

    def _place(self, picture: Path) -> int | None:
        row = self._rows.get(picture)
        if row is None:
            return None
        place = bisect.bisect_left(self._keys, self._key(row))
        there = place < len(self._paths) and self._paths[place] == picture
        return place if there else None

    def _concerns(self, old: Facts, new: Facts) -> bool:
        """Whether new facts change a picture's place or whether it is shown."""
        return self._passes(old, self._show) != self._passes(new, self._show) or (
            self._measure(old) != self._measure(new)
        )

    def _rebuild(self) -> None:
        shown = [row for row in self._rows.values() if self._passes(row.facts, self._show)]
        pairs = sorted((self._key(row), row.path) for row in shown)
        self._keys = [key for key, _path in pairs]
        self._paths = [path for _key, path in pairs]
        if self._current is not None and self._place(self._current) is None:
            self._current = None

    def _insert(self, rows: list[_Row]) -> None:
        if len(rows) > 100 + len(self._paths) // 100:
            self._rebuild()
            return
        for row in rows:
            key = self._key(row)
            place = bisect.bisect_left(self._keys, key)
            self._keys.insert(place, key)
            self._paths.insert(place, row.path)

    def _take_out(self, paths: list[Path]) -> None:
        if len(paths) > 100 + len(self._paths) // 100:
            gone = set(paths)
            kept = [i for i, path in enumerate(self._paths) if path not in gone]
            if self._current in gone:
                self._current = self._following(gone)
            self._keys = [self._keys[i] for i in kept]
            self._paths = [self._paths[i] for i in kept]
            return
        if self._current in paths:
            self._current = self._following(set(paths))
        for path in paths:
            place = self._place(path)
            if place is not None:
                del self._keys[place], self._paths[place]

    def _following(self, gone: set[Path]) -> Path | None:
        """The nearest picture that stays: after the current one, else before it."""
        index = self.index
        for other in chain(range(index, len(self._paths)), range(index - 1, -1, -1)):
            if self[other] not in gone:
                return self[other]
        return None

    def _passes(self, facts: Facts, show: Show) -> bool:
        match show:
            case "unmarked":
                return facts.note.mark == ""
            case "keep" | "reject":
                return facts.note.mark == show
            case "stars":
                return facts.note.stars >= self._stars
            case "no caption":
                return facts.captioned is False
            case _:
                return True

    def _measure(self, facts: Facts) -> float:
        match self._order:
            case "date":
                value: float | None = facts.date
            case "size":
                value = facts.size
            case "pixels":
                value = facts.pixels
            case "sharpness":
                value = facts.sharpness
            case "similarity":
                value = facts.group
            case _:
                return 0.0
        if value is None:
            return -_UNKNOWN if self._descending else _UNKNOWN
        return value

    def _key(self, row: _Row) -> Any:
        return self._measure(row.facts), row.place

    def _place_by_name(self, path: Path) -> Any:
        folder, name = os.path.split(str(path))
        key = self._folder_keys.get(folder)
        if key is None:
            key = tuple(natural_key(part) for part in path.parent.parts)
            self._folder_keys[folder] = key
        return key, natural_key(name)
