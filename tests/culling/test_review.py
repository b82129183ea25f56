"""The list that is gone through, against a plain list that is sorted anew each time."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.culling.notes import Note
from core.culling.review import ORDERS, SHOWS, Facts, Review
from core.data.scan import scan_folder
from tests.culling.helpers import fill

ROOT = Path("/pictures")


def paths(*names: str) -> list[Path]:
    return [ROOT / name for name in names]


def names(review: Review) -> list[str]:
    return [path.name for path in review]


def test_natural_order_is_that_of_the_scan(pictures: Path) -> None:
    fill(pictures, "10.png 2.png B.png a.png a1.png")
    fill(pictures / "sub 10", "1.png")
    fill(pictures / "sub 9", "3.png 20.png")
    fill(pictures / "sub 9" / "deep", "0.png")
    scanned = scan_folder(pictures, include_subfolders=True).pictures
    assert list(Review(reversed(scanned))) == scanned
    assert len(scanned) == 9


def test_joining_pictures_leave_the_current_one() -> None:
    review = Review(paths("b.png", "d.png"))
    assert (review.current, review.index) == (ROOT / "b.png", 0)
    review.add(paths("a.png", "c.png", "b.png"))
    assert names(review) == ["a.png", "b.png", "c.png", "d.png"]
    assert (review.current, review.index) == (ROOT / "b.png", 1)
    assert review.total == 4


def test_the_next_one_follows_a_deleted_one_and_undo_puts_it_back_in_place() -> None:
    review = Review(paths("a.png", "b.png", "c.png"))
    review.go(1)
    review.follow([(ROOT / "b.png", None)], ROOT)
    assert (review.current, review.index) == (ROOT / "c.png", 1)
    review.follow([(ROOT / "c.png", None)], ROOT)
    assert (review.current, review.index) == (ROOT / "a.png", 0)
    review.follow([(None, ROOT / "b.png"), (None, Path("/elsewhere/x.png"))], ROOT)
    assert names(review) == ["a.png", "b.png"]
    assert review.go_to(ROOT / "b.png")
    assert not review.go_to(ROOT / "x.png")


def test_empty_and_out_of_range() -> None:
    review = Review()
    assert (len(review), review.current, review.index) == (0, None, -1)
    assert review.go(3) is None
    assert review.step(1) is None
    review.add(paths("a.png", "b.png"))
    assert review.go(99) == ROOT / "b.png"
    assert review.step(-99) == ROOT / "a.png"
    with pytest.raises(IndexError):
        review[2]
    review.remove(paths("a.png", "b.png", "c.png"))
    assert (review.current, review.index) == (None, -1)


def test_rename_keeps_facts_and_the_current_picture() -> None:
    review = Review(paths("a.png", "b.png"))
    review.learn({ROOT / "a.png": {"note": Note("keep", 3)}})
    review.follow([(ROOT / "a.png", ROOT / "z.png")], ROOT)
    assert (review.current, review.index) == (ROOT / "z.png", 1)
    assert review.facts(ROOT / "z.png").note == Note("keep", 3)
    assert review.marks["keep"] == 1


def test_marking_under_a_filter_goes_on_to_the_next() -> None:
    review = Review(paths("a.png", "b.png", "c.png"))
    review.filter_by("unmarked")
    review.learn({ROOT / "a.png": {"note": Note("reject")}})
    assert (names(review), review.current) == (["b.png", "c.png"], ROOT / "b.png")
    review.learn({ROOT / "a.png": {"note": Note()}})
    assert (names(review), review.current) == (["a.png", "b.png", "c.png"], ROOT / "b.png")
    review.learn({path: {"note": Note("keep")} for path in review.pictures})
    assert review.current is None
    review.filter_by("all")
    assert review.current == ROOT / "a.png"
    assert review.marks == {"keep": 3, "reject": 0, "": 0}


def test_filter_moves_on_from_a_picture_that_it_hides() -> None:
    review = Review(paths("a.png", "b.png", "c.png"))
    review.learn({ROOT / "b.png": {"note": Note("keep", 2)}, ROOT / "a.png": {"captioned": False}})
    review.go(0)
    review.filter_by("keep")
    assert review.current == ROOT / "b.png"
    review.filter_by("no caption")
    assert names(review) == ["a.png"]
    review.filter_by("stars", 3)
    assert names(review) == []
    review.filter_by("stars", 2)
    assert names(review) == ["b.png"]


def test_next_of_a_kind() -> None:
    review = Review(paths("a.png", "b.png", "c.png"))
    review.learn({ROOT / "a.png": {"note": Note("keep")}, ROOT / "b.png": {"note": Note("reject")}})
    assert review.next_where("unmarked") == 2
    review.go(2)
    assert review.next_where("unmarked") == -1
    assert review.next_where("keep", backwards=True) == 0


numbers = st.one_of(st.none(), st.integers(0, 3))
facts = st.builds(
    Facts,
    date=numbers,
    size=numbers,
    pixels=numbers,
    sharpness=numbers,
    group=numbers,
    captioned=st.one_of(st.none(), st.booleans()),
    note=st.builds(Note, mark=st.sampled_from(["", "keep", "reject"]), stars=st.integers(0, 5)),
)
some_paths = st.lists(st.sampled_from(paths(*(f"{n}.png" for n in range(12)))), max_size=6)
changes = st.lists(
    st.one_of(
        st.tuples(st.just("add"), some_paths, facts),
        st.tuples(st.just("remove"), some_paths, facts),
        st.tuples(st.just("learn"), some_paths, facts),
        st.tuples(st.just("sort"), st.sampled_from(ORDERS), st.booleans()),
        st.tuples(st.just("filter"), st.sampled_from(SHOWS), st.integers(0, 5)),
        st.tuples(st.just("go"), st.integers(-1, 12), st.none()),
    ),
    max_size=25,
)
FIELDS = {"similarity": "group"}
TESTS = {
    "all": lambda f, stars: True,
    "unmarked": lambda f, stars: not f.note.mark,
    "keep": lambda f, stars: f.note.mark == "keep",
    "reject": lambda f, stars: f.note.mark == "reject",
    "stars": lambda f, stars: f.note.stars >= stars,
    "no caption": lambda f, stars: f.captioned is False,
}


def reference(known: dict[Path, Facts], order, show) -> list[Path]:
    """The list as it should be, by plain comparison of every two pictures."""

    def compare(one: Path, other: Path) -> int:
        if order[0] != "name":
            field = FIELDS.get(order[0], order[0])
            a, b = getattr(known[one], field), getattr(known[other], field)
            if (a is None) != (b is None):
                return 1 if a is None else -1
            if a is not None and a != b:
                return (1 if a > b else -1) * (-1 if order[1] else 1)
        return (int(one.stem) - int(other.stem)) * (-1 if order[1] else 1)

    shown = [path for path, fact in known.items() if TESTS[show[0]](fact, show[1])]
    return sorted(shown, key=functools.cmp_to_key(compare))


@given(changes)
def test_any_changes_give_the_list_that_sorting_would(steps) -> None:
    review, known = Review(), {}
    order, show = ("name", False), ("all", 1)
    for kind, first, second in steps:
        before = review.current
        if kind == "add":
            review.add(first, {path: second for path in first})
            known |= {path: second for path in first if path not in known}
        elif kind == "remove":
            review.remove(first)
            known = {path: fact for path, fact in known.items() if path not in first}
        elif kind == "learn":
            fields = {name: getattr(second, name) for name in Facts.__slots__}
            review.learn({path: fields for path in first})
            known |= {path: second for path in first if path in known}
        elif kind == "sort":
            order = (first, second)
            review.sort_by(*order)
        elif kind == "filter":
            show = (first, second)
            review.filter_by(*show)
        else:
            review.go(first)
        expected = reference(known, order, show)
        assert list(review) == expected
        assert [review[i] for i in range(len(review))] == expected
        assert review.total == len(known)
        assert {k: v for k, v in review.marks.items() if v} == {
            mark: count
            for mark in ("", "keep", "reject")
            if (count := sum(f.note.mark == mark for f in known.values()))
        }
        assert (review.current is None) == (not expected)
        if expected:
            assert expected[review.index] == review.current
        if before in expected and kind != "go":
            assert review.current == before
