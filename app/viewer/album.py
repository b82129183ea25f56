"""The list that the viewer goes through: what is shown, in which order, and where one is."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, get_args

from PySide6.QtCore import QObject, Signal

from app.viewer.source import Entry, Listing
from core.culling.notes import Note

Order = Literal["name", "date", "size", "pixels", "sharpness", "brightness", "similarity"]
ORDERS: tuple[Order, ...] = get_args(Order)
# Filters by name; stars1 to stars5 mean at least so many.
FILTERS = (
    "all",
    "unmarked",
    "kept",
    "rejected",
    "stars1",
    "stars2",
    "stars3",
    "stars4",
    "stars5",
    "no_caption",
)
_NOWHERE = 1 << 60
# More changes than these are cheaper by going through the list once.
_MANY = 16


def sort_keys(order: Order) -> Callable[[Entry], Any]:
    """What entries are ordered by; unknown values come last, blurred and dark pictures first."""

    def area(entry: Entry) -> int:
        return math.prod(entry.pixels) if entry.pixels else _NOWHERE

    keys: dict[Order, Callable[[Entry], Any]] = {
        "name": lambda e: e.key,
        "date": lambda e: (e.mtime or _NOWHERE, e.key),
        "size": lambda e: (e.size if e.size >= 0 else _NOWHERE, e.key),
        "pixels": lambda e: (area(e), e.key),
        "sharpness": lambda e: (math.inf if e.sharpness is None else e.sharpness, e.key),
        "brightness": lambda e: (math.inf if e.brightness is None else e.brightness, e.key),
        "similarity": lambda e: (e.group if e.group >= 0 else _NOWHERE, not e.suggested, e.key),
    }
    return keys[order]


def matches(entry: Entry, wanted: str) -> bool:
    """Whether a picture passes the filter of this name."""
    if wanted.startswith("stars"):
        return entry.note.stars >= int(wanted[5:])
    match wanted:
        case "unmarked":
            return not entry.note.mark
        case "kept":
            return entry.note.mark == "keep"
        case "rejected":
            return entry.note.mark == "reject"
        case "no_caption":
            return not entry.captioned
    return True


class Album(QObject):
    """Entries in order, and the current one.

    A picture that stops to match the filter, or whose file has gone, stays until one has left it.

    Signals: listChanged() when what is shown changed; moved() when another picture is current;
    entryChanged(entry) when something about one changed.
    """

    listChanged = Signal()
    moved = Signal()
    entryChanged = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.known: dict[str, Entry] = {}
        self.order: Order = "name"
        self.reversed = False
        self.filter = "all"
        self.direction = 1
        self._shown: list[Entry] = []
        # Taken out; an undo brings them back to where they stood.
        self._gone: dict[str, Entry] = {}
        self._current: Entry | None = None

    # --- asking --------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._shown)

    def at(self, position: int) -> Entry:
        """The entry at a position from 0."""
        return self._shown[len(self._shown) - 1 - position if self.reversed else position]

    @property
    def current(self) -> Entry | None:
        """The picture in front of the user."""
        return self._current

    @property
    def position(self) -> int:
        """Where the current picture stands, from 0; -1 when there is none."""
        return self.position_of(self._current) if self._current is not None else -1

    def position_of(self, entry: Entry) -> int:
        """Where an entry stands, from 0; -1 when it is not shown."""
        index = self._index(entry)
        return len(self._shown) - 1 - index if self.reversed and index >= 0 else index

    def entries(self) -> list[Entry]:
        """What is shown, in order."""
        return self._shown[::-1] if self.reversed else list(self._shown)

    def count(self, wanted: str) -> int:
        """How many of all pictures match a filter."""
        return sum(matches(entry, wanted) for entry in self.known.values())

    def _index(self, entry: Entry) -> int:
        key = sort_keys(self.order)
        index = bisect_left(self._shown, key(entry), key=key)
        while index < len(self._shown) and key(self._shown[index]) == key(entry):
            if self._shown[index] is entry:
                return index
            index += 1
        # Its value changed since the list was ordered.
        return next((i for i, e in enumerate(self._shown) if e is entry), -1)

    # --- the list ------------------------------------------------------------

    def set_entries(self, entries: Iterable[Entry], start: str = "") -> None:
        """Show these from now on, beginning with the picture `start` or the first."""
        self.known = {entry.path: entry for entry in entries}
        self._current = None
        self._rebuild()
        chosen = self.known.get(start)
        if chosen is None or self.position_of(chosen) < 0:
            chosen = self.at(0) if self._shown else None
        self._current = chosen
        self.listChanged.emit()
        self.moved.emit()

    def merge(self, listing: Listing) -> tuple[int, int]:
        """Take in another scan's result without moving; returns how many came and went."""
        came, changed = [], []
        for fresh in listing.entries:
            old = self.known.get(fresh.path)
            if old is None:
                came.append(fresh)
            elif old.missing or old.captioned != fresh.captioned or old.note != fresh.note:
                old.missing, old.captioned, old.note = False, fresh.captioned, fresh.note
                changed.append(old)
        found = {entry.path for entry in listing.entries}
        gone = [entry for path, entry in self.known.items() if path not in found]
        current = self._current
        if current is not None and current in gone:
            gone.remove(current)
            if not current.missing:
                current.missing = True
                self.entryChanged.emit(current)
        self._take(gone)
        self._put(came)
        if changed:
            self._refilter(changed)
        if came or gone:
            self._tell_list()
        return len(came), len(gone)

    def add(self, *entries: Entry) -> None:
        """Put pictures (back) in their places without moving."""
        fresh = [entry for entry in entries if entry.path not in self.known]
        if fresh:
            self._put(fresh)
            self._tell_list()

    def remove(self, *entries: Entry) -> None:
        """Take pictures out; the next one that stays becomes current if it was among them."""
        gone = {id(entry) for entry in entries}
        following = self._current
        if following is not None and id(following) in gone:
            following = self._nearest_besides(gone)
        self._take(entries)
        if following is not self._current:
            self._current = following
            self.moved.emit()
        self.listChanged.emit()

    def set_notes(self, notes: Iterable[tuple[Entry, Note]]) -> None:
        """Take over marks, stars and focus of pictures."""
        changed = []
        for entry, note in notes:
            entry.note = note
            changed.append(entry)
        if changed:
            self._refilter(changed)

    def set_captioned(self, entry: Entry, captioned: bool) -> None:
        """Take over whether a picture has a caption."""
        if entry.captioned != captioned:
            entry.captioned = captioned
            self._refilter([entry])

    def set_order(self, order: Order, is_reversed: bool = False) -> None:
        """Another order; the current picture stays."""
        self.order, self.reversed = order, is_reversed
        self.resort()

    def set_filter(self, wanted: str) -> None:
        """Show only what matches; the current picture stays if it does, else the next one."""
        before = self.position
        self.filter = wanted
        self._rebuild()
        current = self._current
        if current is None or self._index(current) < 0:
            last = len(self._shown) - 1
            self._current = self.at(min(max(before, 0), last)) if self._shown else None
            self.moved.emit()
        self.listChanged.emit()

    def forget_gone(self) -> None:
        """Pictures that come back have to be measured anew: groups have other numbers now."""
        self._gone.clear()

    def resort(self) -> None:
        """Order anew after the values that it goes by have changed."""
        self._rebuild(keep=self._current)
        self.listChanged.emit()

    # --- moving --------------------------------------------------------------

    def go(self, position: int) -> bool:
        """Make the picture at a position current; returns whether it is another one."""
        if not self._shown:
            return False
        target = self.at(max(0, min(position, len(self._shown) - 1)))
        return self.go_to(target)

    def go_to(self, entry: Entry) -> bool:
        """Make a shown picture current; returns whether it is another one."""
        left = self._current
        if entry is left:
            return False
        if left is not None:
            before, after = self.position_of(left), self.position_of(entry)
            self.direction = 1 if after > before else -1
        self._current = entry
        if left is not None and left.missing:
            self._take([left])
            self.listChanged.emit()
        elif left is not None and left.path in self.known and not matches(left, self.filter):
            index = self._index(left)
            if index >= 0:
                del self._shown[index]
                self.listChanged.emit()
        self.moved.emit()
        return True

    def step(self, by: int) -> bool:
        """Go on by so many pictures, skipping missing ones; returns whether it moved."""
        position = self.position
        if position < 0:
            return False
        way = 1 if by > 0 else -1
        target = max(0, min(position + by, len(self._shown) - 1))
        while 0 <= target < len(self._shown) and self.at(target).missing:
            target += way
        if not 0 <= target < len(self._shown):
            return False
        return self.go(target)

    # --- inside --------------------------------------------------------------

    def _rebuild(self, keep: Entry | None = None) -> None:
        self._shown = list(self.known.values())
        if self.filter != "all":
            self._shown = [e for e in self._shown if e is keep or matches(e, self.filter)]
        self._shown.sort(key=sort_keys(self.order))

    def _nearest_besides(self, gone: set[int]) -> Entry | None:
        """The picture behind the current one that stays, else one before it."""
        count, position = len(self._shown), self.position
        order = [*range(position + 1, count), *range(position - 1, -1, -1)]
        return next((e for e in map(self.at, order) if id(e) not in gone), None)

    def _put(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if (before := self._gone.pop(entry.path, None)) is not None:
                entry.take_measures(before)
        self.known.update((entry.path, entry) for entry in entries)
        fresh = [entry for entry in entries if matches(entry, self.filter)]
        key = sort_keys(self.order)
        if len(fresh) > _MANY:
            self._shown.extend(fresh)
            self._shown.sort(key=key)
        else:
            for entry in fresh:
                insort(self._shown, entry, key=key)

    def _take(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self.known.pop(entry.path, None)
            self._gone[entry.path] = entry
        if len(entries) > _MANY:
            gone = {id(entry) for entry in entries}
            self._shown = [entry for entry in self._shown if id(entry) not in gone]
            return
        for index in map(self._index, entries):
            if index >= 0:
                del self._shown[index]

    def _tell_list(self) -> None:
        """The list is another one; begin with its first picture if there was none."""
        if self._current is None and self._shown:
            self._current = self.at(0)
            self.moved.emit()
        self.listChanged.emit()

    def _refilter(self, entries: Sequence[Entry]) -> None:
        """Show or hide pictures whose mark or caption changed, and tell it."""
        if len(entries) > _MANY:
            self._rebuild(keep=self._current)
            self.listChanged.emit()
            return
        moved = False
        for entry in entries:
            if entry.path in self.known and entry is not self._current:
                moved |= self._show_or_hide(entry)
        if moved:
            self.listChanged.emit()
        for entry in entries:
            self.entryChanged.emit(entry)

    def _show_or_hide(self, entry: Entry) -> bool:
        index, wanted = self._index(entry), matches(entry, self.filter)
        if wanted and index < 0:
            insort(self._shown, entry, key=sort_keys(self.order))
        elif not wanted and index >= 0:
            del self._shown[index]
        return wanted != (index >= 0)
