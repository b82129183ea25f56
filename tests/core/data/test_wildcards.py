"""Choices and wildcards: what is replaced, how often each comes, what stays as it is written."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.wildcards import expand, has_choices, read_wildcards


def _all(text: str, lines: dict[str, tuple[str, ...]] | None = None, times: int = 200) -> set[str]:
    return {expand(text, lines or {}, random.Random(seed)) for seed in range(times)}


@pytest.mark.parametrize(
    ("text", "results"),
    [
        ("a {red|blue} robot", {"a red robot", "a blue robot"}),
        ("{a|{b|c} d}", {"a", "b d", "c d"}),
        ("{a|b}{1|2}", {"a1", "a2", "b1", "b2"}),
        ("{|x}", {"", "x"}),
        ("{ a , b | c }", {"a , b", "c"}),
        # Just text.
        ("no choice", {"no choice"}),
        ("{a}", {"{a}"}),
        ("{}", {"{}"}),
        ("a|b", {"a|b"}),
        ("{a|b", {"{a|b"}),
        ("a|b}", {"a|b}"}),
        ("{a|b}}", {"a}", "b}"}),
        ("{{a|b}", {"{a", "{b"}),
        ("__colour__", {"__colour__"}),
    ],
)
def test_choices(text: str, results: set[str]) -> None:
    assert _all(text) == results


def test_every_choice_comes_by_its_weight() -> None:
    generator = random.Random(5)
    counts = Counter(expand("{2::a|b|0.5::c|0::d}", {}, generator) for _ in range(7000))
    assert set(counts) == {"a", "b", "c"}
    assert abs(counts["a"] - 4000) < 200
    assert abs(counts["b"] - 2000) < 150 and abs(counts["c"] - 1000) < 120


def test_wildcards_are_lines_that_may_hold_more() -> None:
    lines = {
        "colour": ("red", "{light|dark} blue"),
        "sub/thing": ("a __colour__ robot", "a cat"),
    }
    expected = {
        *("red", "light blue", "dark blue", "a red robot", "a cat"),
        *("a light blue robot", "a dark blue robot"),
    }
    assert _all("{__colour__|__sub/thing__}", lines, 500) == expected
    assert _all("x __gone__ {__colour__}", {"colour": ("red",)}) == {"x __gone__ {red}"}


def test_circles_and_doubling_end() -> None:
    assert _all("__a__", {"a": ("__b__",), "b": ("__a__",)}, 1) == {"__a__"}
    (text,) = _all("__a__", {"a": ("x __a__ __a__",)}, 1)
    assert len(text) < 10_000


@given(st.text("{}|_ab/:2., ", max_size=40), st.integers(0, 2**32))
def test_any_text_gives_a_text_that_only_the_draw_decides(text: str, seed: int) -> None:
    lines = {"a": ("{a|b}", "__b__"), "b": ("x", "__a__")}
    once = expand(text, lines, random.Random(seed))
    assert once == expand(text, lines, random.Random(seed))
    if not has_choices(text):
        assert once == text


def test_files_are_read_as_deep_as_they_name_each_other(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "colour.txt").write_text("# comment\n\n red \n__sub/dark__\n#x\n", encoding="utf-8")
    (folder / "sub" / "dark.txt").write_bytes("黑色的猫坐着\n__colour__\n".encode("gb18030"))
    (folder / "unused.txt").write_text("x")
    lines, problems = read_wildcards(str(folder), ["a __colour__", "b", "__colour__"])
    assert problems == []
    assert lines == {
        "colour": ("red", "__sub/dark__"),
        "sub/dark": ("黑色的猫坐着", "__colour__"),
    }


def test_what_is_missing_is_named_once(folder: Path) -> None:
    (folder / "empty.txt").write_text("# nothing\n")
    (folder / "binary.txt").write_bytes(b"\0\1\2")
    (folder / "good.txt").write_text("__gone__\n")
    texts = ["__good__ __empty__", "__binary__ __gone__", "__gone__"]
    lines, problems = read_wildcards(str(folder), texts)
    assert lines == {"good": ("__gone__",)}
    assert {p.code: p.file for p in problems} == {
        "wildcard_empty": str(folder / "empty.txt"),
        "wildcard_unreadable": str(folder / "binary.txt"),
        "wildcard_missing": str(folder / "gone.txt"),
    }
    assert all(p.severity == "warning" and "stays" in p.title for p in problems)
    assert len(problems) == 3


@pytest.mark.parametrize("name", ["../secret", "sub/../../secret", "/etc/hostname", "link/secret"])
def test_nothing_outside_the_folder_is_read(folder: Path, name: str) -> None:
    inside = folder / "wildcards"
    (inside / "sub").mkdir(parents=True)
    (folder / "secret.txt").write_text("password\n")
    (inside / "link").symlink_to(folder, target_is_directory=True)
    lines, problems = read_wildcards(str(inside), [f"__{name}__"])
    assert lines == {}
    assert [p.code for p in problems] == ["wildcard_outside"]
    assert name in problems[0].title


def test_without_a_folder(folder: Path) -> None:
    assert read_wildcards("", ["{a|b}"]) == ({}, [])
    lines, problems = read_wildcards("", ["__a__"])
    assert lines == {} and [p.code for p in problems] == ["wildcard_missing"]
    for wrong in (str(folder / "gone"), "a\0b"):
        lines, problems = read_wildcards(wrong, ["__a__"])
        assert lines == {} and [p.code for p in problems] == ["wildcard_folder_missing"]
        assert read_wildcards(wrong, ["{a|b}"]) == ({}, [])


def test_several_of_the_options_are_taken_where_their_number_is_given() -> None:
    for seed in range(50):
        drawn = expand("a {2$$red|blue|green} robot", {}, random.Random(seed))
        inside = drawn.removeprefix("a ").removesuffix(" robot").split(", ")
        assert len(set(inside)) == 2 and set(inside) <= {"red", "blue", "green"}
        some = expand("{1-2$$ and $$red|blue|green}", {}, random.Random(seed)).split(" and ")
        assert len(some) in (1, 2) and set(some) <= {"red", "blue", "green"}
        assert expand("{5$$a|b}", {}, random.Random(seed)) in ("a, b", "b, a")
    assert has_choices("{2$$__colour__}")
    assert expand("costs 5$$ and {no choice}", {}, random.Random(0)) == "costs 5$$ and {no choice}"


def test_names_may_have_spaces_and_stand_for_many_files(folder: Path) -> None:
    (folder / "animals").mkdir()
    (folder / "animals" / "cats.txt").write_text("cat")
    (folder / "animals" / "dogs.txt").write_text("dog\npuppy")
    (folder / "colour name.txt").write_text("red")
    texts = ["a __animals/*__ in __colour name__", "__ not a name __"]
    lines, problems = read_wildcards(str(folder), texts)
    assert problems == []
    assert lines == {"animals/*": ("cat", "dog", "puppy"), "colour name": ("red",)}
    drawn = {expand(texts[0], lines, random.Random(seed)) for seed in range(40)}
    assert drawn == {f"a {animal} in red" for animal in ("cat", "dog", "puppy")}
    assert not has_choices(texts[1])
    missing, problems = read_wildcards(str(folder), ["__nothing/*__", "__../*__"])
    assert missing == {}
    assert [p.code for p in problems] == ["wildcard_missing", "wildcard_outside"]
