"""The list that the viewer goes through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.viewer.album import Album
from app.viewer.source import Entry, Listing, Source, entries_of, key_of, scan, sort_key
from core.culling.notes import Note, change_notes
from core.data.scan import natural_key, scan_folder


def entry(name: str, mark: str = "", stars: int = 0, **more: object) -> Entry:
    note = Note(mark=mark, stars=stars)  # type: ignore[arg-type]
    return Entry(f"/p/{name}", "/p", name, sort_key(name), note=note, **more)  # type: ignore


@pytest.fixture
def album(styled: object) -> Album:
    album = Album()
    names = ["a", "b", "c", "d", "e"]
    album.set_entries([entry(name, "keep" if name in "bd" else "") for name in names])
    return album


def names(album: Album) -> str:
    return "".join(e.name for e in album.entries())


@given(st.lists(st.text(st.characters(min_codepoint=32), min_size=1, max_size=8), max_size=12))
def test_the_quick_sort_key_orders_as_training_does(texts: list[str]):
    assert sorted(set(texts), key=sort_key) == sorted(set(texts), key=natural_key)


def test_a_scan_lists_what_training_lists_in_its_order(tmp_path: Path):
    for name in ("b 10.png", "b 9.png", "A.jpg", "x-masklabel.png", ".hidden.png", "t.txt"):
        (tmp_path / name).touch()
    for folder in ("sub 2", "sub 10/deep"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "c.webp").touch()
    (tmp_path / "A.txt").touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    change_notes(tmp_path, {"A.jpg": {"mark": "reject", "stars": 2}})
    for below in (False, True):
        source = Source.of_folder(tmp_path, below)
        firsts: list[str] = []
        listing = scan(source, first=firsts.append)
        found = [Path(e.path) for e in listing.entries]
        assert found == scan_folder(tmp_path, below).pictures
        assert firsts == [str(found[0])]
        assert [e.key for e in listing.entries] == [key_of(e.path, source) for e in listing.entries]
        assert listing.entries[0].note == Note(mark="reject", stars=2)
        assert [e.name for e in listing.entries if e.captioned] == ["A.jpg"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path):
    listing = scan(Source.of_folder(tmp_path / "gone"))
    assert listing.entries == []
    assert "does not exist" in listing.problems[0].title


def test_chosen_pictures_keep_their_order(tmp_path: Path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    source = Source.of_paths([tmp_path / "b.png", tmp_path / "a.png"])
    assert [e.name for e in scan(source).entries] == ["b.png", "a.png"]
    assert entries_of([str(tmp_path / "a.png")], source)[0].key == scan(source).entries[1].key


def test_a_judged_picture_stays_until_one_has_left_it(album: Album):
    album.set_filter("unmarked")
    assert names(album) == "ace"
    current = album.current
    assert current is not None
    album.set_notes([(current, Note(mark="reject"))])
    assert names(album) == "ace"
    album.step(1)
    assert names(album) == "ce"
    assert album.current is not None and album.current.name == "c"


def test_filters_and_counts(album: Album):
    assert album.count("kept") == 2
    album.set_filter("kept")
    assert names(album) == "bd"
    album.set_filter("stars3")
    assert len(album) == 0 and album.current is None
    album.set_filter("all")
    assert names(album) == "abcde" and album.current is not None


def test_orders_put_the_unknown_last_and_keep_the_current_one(album: Album):
    for number, one in enumerate(album.entries()):
        one.size = -1 if one.name == "a" else 10 - number
    album.go(2)
    album.set_order("size")
    assert names(album) == "edcba"
    assert album.current is not None and album.current.name == "c"
    album.set_order("size", True)
    assert names(album) == "abcde"
    assert album.position == 2


def test_removing_the_current_one_goes_on_and_at_the_end_back(album: Album):
    album.go(1)
    for expected in ("c", "d", "e", "a"):
        assert album.current is not None
        album.remove(album.current)
        assert album.current is not None and album.current.name == expected
    album.remove(album.current)
    assert album.current is None


def test_new_pictures_join_in_their_place_without_moving(album: Album):
    album.go(2)
    more = [entry(name) for name in ("a2", "b2", "z")]
    came, went = album.merge(Listing([*album.entries(), *more]))
    assert (came, went) == (3, 0)
    assert [e.name for e in album.entries()] == ["a", "a2", "b", "b2", "c", "d", "e", "z"]
    assert album.current is not None and album.current.name == "c"
    assert album.position == 4


def test_the_one_on_the_screen_that_has_gone_is_missing_and_skipped(album: Album):
    album.go(2)
    there = [e for e in album.entries() if e.name not in "cd"]
    album.merge(Listing(there))
    assert album.current is not None and album.current.name == "c" and album.current.missing
    assert names(album) == "abce"
    album.step(1)
    assert album.current.name == "e"
    album.step(-1)
    assert album.current.name == "b"


@given(st.lists(st.tuples(st.sampled_from("armnf"), st.integers(0, 11)), max_size=40))
def test_the_list_is_always_what_a_fresh_one_would_be(steps: list[tuple[str, int]]):
    album = Album()
    pool = {n: entry(f"p{n}", stars=n % 4) for n in range(12)}
    album.set_entries([pool[n] for n in range(6)])
    for what, number in steps:
        one = pool[number]
        there = one.path in album.known
        if what == "a" and not there:
            album.add(one)
        elif what == "r" and there:
            album.remove(one)
        elif what == "m":
            album.go(number)
        elif what == "n" and there:
            album.set_notes([(one, Note(stars=(one.note.stars + 1) % 5))])
        elif what == "f":
            album.set_filter(["all", "stars2", "stars1"][number % 3])
        least = {"all": 0, "stars2": 2, "stars1": 1}[album.filter]
        wanted = {e.path for e in album.known.values() if e.note.stars >= least}
        shown = [e.path for e in album.entries()]
        extra = set(shown) - wanted
        assert extra <= ({album.current.path} if album.current else set())
        assert wanted <= set(shown)
        assert [e.key for e in album.entries()] == sorted(e.key for e in album.entries())
        assert (album.current is None) == (not shown)


@pytest.mark.parametrize("wanted", ["all", "unmarked"])
def test_many_changes_are_told_once(styled: object, qtbot: Any, wanted: str):
    album = Album()
    album.set_entries([entry(f"{number:03d}") for number in range(100)])
    album.set_filter(wanted)
    album.go(10)
    told: list[str] = []
    album.listChanged.connect(lambda: told.append("list"))
    album.moved.connect(lambda: told.append("moved"))
    album.entryChanged.connect(lambda _entry: told.append("entry"))
    album.set_notes((one, Note(mark="reject")) for one in album.entries()[20:60])
    assert told == ["list"]
    assert len(album) == (100 if wanted == "all" else 60)
    rejected = [one for one in album.known.values() if one.note.mark]
    album.remove(*rejected)
    assert told == ["list", "list"]
    assert len(album) == 60 and album.position == 10
    before = album.entries()
    album.remove(*before[5:40])
    assert told == ["list", "list", "moved", "list"]
    assert album.current is before[40]
    album.remove(*before[40:])
    assert album.current is before[4]
    album.add(*before[5:], *rejected)
    assert album.entries() == sorted(
        before if wanted != "all" else album.known.values(), key=lambda e: e.key
    )
    assert album.current is before[4]
