"""Groups of near and exact duplicates, against comparing all with all."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.similar import exact_groups, groups
from core.errors import Stopped


def reference(hashes: list[int], distance: int) -> list[list[int]]:
    """Connected components by flooding."""
    left, found = set(range(len(hashes))), []
    while left:
        start = min(left)
        group, waiting = {start}, [start]
        while waiting:
            one = waiting.pop()
            near = [
                other
                for other in left - group
                if (hashes[one] ^ hashes[other]).bit_count() <= distance
            ]
            group.update(near)
            waiting += near
        left -= group
        if len(group) > 1:
            found.append(sorted(group))
    return found


@given(
    st.lists(
        st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 31), st.just(2**64 - 1)), max_size=40
    ),
    st.integers(0, 40),
)
def test_groups_are_those_of_comparing_all(hashes: list[int], distance: int) -> None:
    assert groups(hashes, distance) == reference(hashes, distance)


def test_each_number_of_changed_bits() -> None:
    generator = random.Random(7)
    for changed in range(9):
        hashes = [generator.getrandbits(64) for _ in range(50)]
        hashes[30] = hashes[9]
        for bit in generator.sample(range(64), changed):
            hashes[30] ^= 1 << bit
        assert groups(hashes, 6) == ([[9, 30]] if changed <= 6 else [])


def test_chains_make_one_group() -> None:
    steps = [(1 << (5 * n)) - 1 for n in range(12)]
    assert groups(steps, 6) == [list(range(12))]
    assert groups(steps, 4) == []


def test_groups_of_many_in_order() -> None:
    generator = random.Random(1)
    hashes = [generator.getrandbits(64) for _ in range(12_000)]
    expected = []
    for first in range(100, 11_000, 500):
        hashes[first + 7] = hashes[first] ^ (1 << generator.randrange(64))
        expected.append([first, first + 7])
    assert groups(hashes) == expected


def test_a_thousand_pictures_that_are_all_alike() -> None:
    generator = random.Random(2)
    hashes = [1 << generator.randrange(64) for _ in range(1500)]
    assert groups(hashes) == [list(range(1500))]


def test_other_colours_are_other_pictures() -> None:
    red, blue, reddish = bytes([250, 0, 0] * 16), bytes([0, 0, 250] * 16), bytes([240, 9, 5] * 16)
    one_spot = bytes([250, 0, 0] * 15 + [250, 120, 0])
    hashes = [0, 0, 0, 0]
    assert groups(hashes) == [[0, 1, 2, 3]]
    assert groups(hashes, colours=[red, blue, reddish, one_spot]) == [[0, 2]]


def test_nothing_and_one() -> None:
    assert groups([]) == []
    assert groups([5]) == []
    assert groups([5], colours=[bytes(48)]) == []


@pytest.mark.parametrize("distance", [-1, 64])
def test_an_impossible_distance(distance: int) -> None:
    with pytest.raises(ValueError, match="bits"):
        groups([1, 2], distance)


def test_grouping_can_be_stopped() -> None:
    with pytest.raises(Stopped):
        groups(list(range(1000)), check_stop=lambda: True)


def test_exact_groups() -> None:
    assert exact_groups(["a", "", "b", "a", "", "b", "a", "c"]) == [[0, 3, 6], [2, 5]]
