"""Finding pictures that are the same or nearly so, by their hashes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from core.data.scan import StopCheck, ask_stop

if TYPE_CHECKING:
    import numpy as np

BITS = 64
# Of 64 bits; what a change of size, of compression or of a detail usually makes.
NEAR = 6
# Of 255, in any part of the picture.
_COLOUR_LIMIT = 40
_ROWS_AT_ONCE = 512
_PAIRS_AT_ONCE = 65536


def groups(
    hashes: Sequence[int],
    distance: int = NEAR,
    check_stop: StopCheck | None = None,
    *,
    colours: Sequence[bytes] | None = None,
) -> list[list[int]]:
    """Indexes of near duplicates: groups of two and more, in the order of their first members.

    Two pictures belong together when their 64-bit hashes differ in at most `distance` bits, or
    when a chain of such pairs connects them. With `colours` (Measures.colours, all of one length)
    the colours must be near too: hashes alone take a red ball for a blue one. Two hashes that
    differ in d bits agree in at least one of d + 1 parts (Norouzi et al. 2012, multi-index
    hashing), so only those are compared. Raises Stopped when `check_stop` says so.
    """
    import numpy as np

    if not 0 <= distance < BITS:
        raise ValueError(f"a distance of {distance} bits of {BITS} finds nothing")
    if len(hashes) < 2:
        return []
    search = _Search(
        np.array(hashes, dtype=np.uint64), distance, None if colours is None else _table(colours)
    )
    for shift, width in _parts(distance + 1):
        search.compare_where_equal(shift, width, check_stop)
    members: dict[int, list[int]] = defaultdict(list)
    for index in range(len(hashes)):
        members[search.sets.root(index)].append(index)
    return sorted(group for group in members.values() if len(group) > 1)


def exact_groups(digests: Sequence[str]) -> list[list[int]]:
    """Indexes of equal digests, groups of two and more; an empty digest equals nothing."""
    members: dict[str, list[int]] = defaultdict(list)
    for index, digest in enumerate(digests):
        if digest:
            members[digest].append(index)
    return [group for group in members.values() if len(group) > 1]


def _table(colours: Sequence[bytes]) -> np.ndarray:
    """(pictures, values) int16."""
    import numpy as np

    return np.frombuffer(b"".join(colours), np.uint8).reshape(len(colours), -1).astype(np.int16)


def _parts(count: int) -> list[tuple[int, int]]:
    """(lowest bit, number of bits) of `count` parts of 64 bits."""
    ends = [BITS * number // count for number in range(count + 1)]
    return [(low, high - low) for low, high in pairwise(ends)]


class _Search:
    """Joins what is near, part by part of the hashes."""

    def __init__(self, hashes: np.ndarray, distance: int, colours: np.ndarray | None) -> None:
        import numpy as np

        self.sets = _Sets(len(hashes))
        self._hashes, self._distance, self._colours = hashes, distance, colours
        # Equal labels mean the same set; the same set may still have several labels.
        self._labels = np.arange(len(hashes))

    def compare_where_equal(self, shift: int, width: int, check_stop: StopCheck | None) -> None:
        """Compare all pictures whose hashes agree in the `width` bits from bit `shift` on."""
        import numpy as np

        part = (self._hashes >> np.uint64(shift)) & np.uint64((1 << width) - 1)
        order = np.argsort(part, kind="stable")
        borders = np.flatnonzero(np.diff(part[order])) + 1
        for alike in np.split(order, borders):
            for start in range(0, len(alike) - 1, _ROWS_AT_ONCE):
                ask_stop(check_stop)
                self._compare(alike[start : start + _ROWS_AT_ONCE], alike[start:], check_stop)

    def _compare(self, rows: np.ndarray, columns: np.ndarray, stop: StopCheck | None) -> None:
        import numpy as np

        apart = np.bitwise_count(self._hashes[rows][:, None] ^ self._hashes[columns])
        near = apart <= self._distance
        near &= self._labels[rows][:, None] != self._labels[columns]
        first, second = np.nonzero(near)
        for at in range(0, len(first), _PAIRS_AT_ONCE):
            ask_stop(stop)
            some = slice(at, at + _PAIRS_AT_ONCE)
            self._join(rows[first[some]], columns[second[some]])

    def _join(self, first: np.ndarray, second: np.ndarray) -> None:
        """Join pairs unless they are joined already or their colours are far apart."""
        import numpy as np

        apart = self._labels[first] != self._labels[second]
        first, second = first[apart], second[apart]
        if self._colours is not None and len(first):
            differences = np.abs(self._colours[first] - self._colours[second])
            alike = differences.max(axis=1, initial=0) <= _COLOUR_LIMIT
            first, second = first[alike], second[alike]
        if not len(first):
            return
        for a, b in zip(first.tolist(), second.tolist(), strict=True):
            self.sets.join(a, b)
        members = np.unique(np.concatenate([first, second]))
        self._labels[members] = [self.sets.root(member) for member in members.tolist()]


class _Sets:
    """Disjoint sets of the numbers 0 .. count - 1 (union-find with path halving)."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def root(self, member: int) -> int:
        """The number that stands for the member's set."""
        parent = self._parent
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    def join(self, first: int, second: int) -> None:
        """Make one set of two."""
        a, b = self.root(first), self.root(second)
        if a != b:
            self._parent[max(a, b)] = min(a, b)
