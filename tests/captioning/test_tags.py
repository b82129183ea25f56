"""Changes to caption texts: exactly what was asked for, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.captioning.replacing import Search, preview_search, replacer
from core.captioning.tags import (
    Change,
    add_tag,
    count_tags,
    has_tag,
    is_tag_list,
    join_tags,
    move_tag,
    order_by_frequency,
    preview,
    remove_duplicates,
    remove_tag,
    rename_tag,
    split_tags,
    tags_of,
    trigger_to_front,
)
from core.errors import Stopped, UserError

# Brackets that emphasise hold several words as one tag.
GROUPS = "(red, sky:1.2), cat, [blue, sky], cat"
MIXED = "  a robot,  rain ,blue sky,\r\n\r\nA robot stands, in rain.\r\nsolo\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1girl, solo", True),
        ("solo", True),
        ("red eyes robot", True),
        ("a robot in rain", False),
        ("A robot stands, in rain.", False),
        ("a house, a very long sentence that goes on and on here", False),
        ("1boy, dr. stone, 1.5 metres", True),
        ("love live! school idol project, smile, k-on!", True),
        ("Dr. Stone stands there. He smiles, too", False),
        ("A robot waves, happily!", False),
        ("what a day! The robot waves, happily", False),
        ("a robot stands. it waves, happily", False),
        ("version 1.5, sketch", True),
        ("!?, ..., solo", True),
        ("，".join("一只猫") + "。", False),
        ("", False),
        (" , ,", False),
    ],
)
def test_tag_lists_are_told_from_sentences(line, expected):
    assert is_tag_list(line) is expected


def test_tags_are_split_joined_and_counted():
    assert split_tags(" a,  b c ,, d,") == ["a", "b c", "d"]
    assert join_tags(["a", "b c"]) == "a, b c"
    assert tags_of(MIXED) == ["a robot", "rain", "blue sky", "solo"]
    assert count_tags([MIXED, "rain, rain", "solo"]) == {
        "a robot": 1,
        "rain": 2,
        "blue sky": 1,
        "solo": 2,
    }


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            add_tag(MIXED, "x"),
            "  a robot,  rain ,blue sky, x\r\n\r\nA robot stands, in rain. x\r\nsolo, x\n",
        ),
        (
            add_tag(MIXED, "rain"),
            "  a robot,  rain ,blue sky,\r\n\r\nA robot stands, in rain. rain\r\nsolo, rain\n",
        ),
        (
            add_tag(MIXED, " x, ", front=True),
            "  x, a robot,  rain ,blue sky,\r\n\r\nx, A robot stands, in rain.\r\nx, solo\n",
        ),
        (
            remove_tag(MIXED, "rain"),
            "  a robot,blue sky,\r\n\r\nA robot stands, in rain.\r\nsolo\n",
        ),
        (
            remove_tag(MIXED, "a robot"),
            "  rain ,blue sky,\r\n\r\nA robot stands, in rain.\r\nsolo\n",
        ),
        (remove_tag(MIXED, "robot"), MIXED),
        (remove_tag(MIXED, "solo"), MIXED.replace("solo", "")),
        (rename_tag(MIXED, "rain", "snow"), MIXED.replace(" rain ", " snow ")),
        (
            rename_tag(MIXED, "rain", "blue sky"),
            "  a robot,blue sky,\r\n\r\nA robot stands, in rain.\r\nsolo\n",
        ),
        (rename_tag(MIXED, "rain", "rain"), MIXED),
        (
            move_tag(MIXED, "blue sky", 0),
            "  blue sky, a robot, rain,\r\n\r\nA robot stands, in rain.\r\nsolo\n",
        ),
        (
            move_tag(MIXED, "a robot", -1),
            "  rain, blue sky, a robot,\r\n\r\nA robot stands, in rain.\r\nsolo\n",
        ),
        (move_tag(MIXED, "cat", 0), MIXED),
        (
            trigger_to_front(MIXED, "blue sky"),
            "  blue sky, a robot, rain,\r\n\r\nblue sky, A robot stands, in rain.\r\n"
            "blue sky, solo\n",
        ),
        (
            order_by_frequency(MIXED, {"rain": 5, "blue sky": 9}),
            "  blue sky, rain, a robot,\r\n\r\nA robot stands, in rain.\r\nsolo\n",
        ),
        (
            order_by_frequency(MIXED, {"rain": 5, "blue sky": 9}, keep=1),
            "  a robot, blue sky, rain,\r\n\r\nA robot stands, in rain.\r\nsolo\n",
        ),
        (order_by_frequency(MIXED, {}), MIXED),
        (remove_duplicates(MIXED), MIXED),
        (remove_duplicates("Rain, solo, rain ,  RAIN, x"), "Rain, solo, x"),
        (remove_duplicates("It rains, and it rains, and stops."),) * 2,
        (remove_tag(GROUPS, "(red, sky:1.2)"), "cat, [blue, sky], cat"),
        (rename_tag(GROUPS, "(red, sky:1.2)", "dog"), "dog, cat, [blue, sky], cat"),
        (remove_duplicates(GROUPS), "(red, sky:1.2), cat, [blue, sky]"),
        (add_tag("", "x"), "x"),
        (add_tag("\n", "x"), "x\n"),
        (add_tag("a", " , "), "a"),
        (trigger_to_front("", "mika"), "mika"),
        (trigger_to_front("MIKA, robot", "mika"), "mika, robot"),
        (trigger_to_front("A photo of Mika in the rain.", "mika"),) * 2,
    ],
)
def test_changes(changed, expected):
    assert changed == expected


TEXTS = st.lists(
    st.sampled_from(["a", "b c", " d ", "", "Long one. Yes", ",", "\n", "\r\n", ", "]), max_size=12
).map("".join)


@given(TEXTS, st.sampled_from(["a", "b c", "d", "zz"]))
def test_every_change_holds_its_promise(text, tag):
    ends = text.count("\n")
    added = add_tag(text, tag)
    assert has_tag(added, tag) or not is_tag_list(added.splitlines()[0])
    assert add_tag(added, tag) == added or not all(map(is_tag_list, text.splitlines()))
    removed = remove_tag(text, tag)
    assert not has_tag(removed, tag)
    renamed = rename_tag(text, tag, "new")
    assert has_tag(renamed, "new") == has_tag(text, tag) and not has_tag(renamed, tag)
    for changed in (removed, renamed, move_tag(text, tag, 0), remove_duplicates(text)):
        assert changed.count("\n") == ends
    if not has_tag(text, tag):
        assert removed == renamed == move_tag(text, tag, 0) == text
    ordered = order_by_frequency(text, {tag: 1})
    assert count_tags([ordered]) == count_tags([text])


def test_previews_hold_only_what_changes():
    captions = {Path("a.png"): "rain, x", Path("b.png"): "x", Path("c.png"): None}
    changes = preview(captions, lambda text: remove_tag(text, "rain"))
    assert changes == [Change(Path("a.png"), "rain, x", "x")]
    changes = preview(captions, lambda text: add_tag(text, "x"))
    assert changes == [Change(Path("c.png"), None, "x")]


@pytest.mark.parametrize(
    ("search", "text", "expected"),
    [
        (Search("rain", "snow"), "Rain, brain\r\nrain", "snow, bsnow\r\nsnow"),
        (Search("rain", "snow", capitals=True), "Rain, rain", "Rain, snow"),
        (Search("rain", "snow", whole=True), "rain, brain, rainy", "snow, brain, rainy"),
        (Search("(a)", "\\1", capitals=True), "x (a)", "x \\1"),
        (Search(".", "!"), "a.b", "a!b"),
        (Search(r"(\w+) sky", r"\1 sea", regular=True), "blue sky", "blue sea"),
        (Search(r"(?P<x>\w+) sky", r"\g<x>", regular=True), "blue sky", "blue"),
        (Search(r"^", "new, ", regular=True), "a\nb", "new, a\nnew, b"),
        (Search(r"\s+", "_", regular=True), "a b\nc d\n", "a_b\nc_d\n"),
        (Search("rain", "", tags=True, whole=True), "rain,  heavy rain, x", "heavy rain, x"),
        (Search("rain", "", tags=True, whole=True), "x, rain", "x"),
        (Search("rain", "snow", tags=True), " heavy  rain , x", " heavy  snow , x"),
        (Search(r".*rain.*", "", regular=True, tags=True), "a, heavy rain, b", "a, b"),
        (Search("sky]", "", whole=True, tags=True), GROUPS, GROUPS),
        (Search("[blue, sky]", "", whole=True, tags=True), GROUPS, "(red, sky:1.2), cat, cat"),
        (Search("", "x"), "a", "a"),
    ],
)
def test_find_and_replace(search, text, expected):
    assert replacer(search)(text) == expected


@pytest.mark.parametrize("pattern", ["(a", "[", "*", "a{2,1}", "(?P<x>a)(?P<x"])
def test_a_bad_pattern_is_named(pattern):
    with pytest.raises(UserError) as error:
        replacer(Search(pattern, regular=True))
    assert error.value.problem.code == "bad_pattern"
    assert f"The pattern {pattern} is not valid" in error.value.problem.title


def test_a_bad_replacement_is_named():
    with pytest.raises(UserError, match="The replacement"):
        replacer(Search("(a)", r"\2", regular=True))("a")


def test_a_pattern_that_runs_away_is_stopped():
    with pytest.raises(UserError) as error:
        replacer(Search("(a|aa)+$", regular=True))("a" * 60 + "!")
    assert error.value.problem.code == "slow_pattern"


def test_a_preview_of_many_is_cancelled():
    captions = {Path(f"{n}.png"): "rain" for n in range(1000)}
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(Stopped):
        preview_search(captions, Search("rain", "x"), stop)
    assert len(preview_search(captions, Search("rain", "x"))) == 1000
