"""Tags: which may drop, which stay, and that the trigger word always does."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config.concepts import CaptionAugmentation
from core.data.captions import augment_caption, lasting_captions, settled_caption
from core.data.tags import may_drop, split_tags, vary_tags

TAGS = ["a", "b b", "c", "d", "e"]


def _shown(caption: str, times: int = 300, trigger: str = "", **settings: object) -> list[str]:
    augmentation = CaptionAugmentation(**settings)  # type: ignore[arg-type]
    return [augment_caption(caption, augmentation, 1, n, trigger=trigger) for n in range(times)]


@pytest.mark.parametrize(
    ("caption", "tags"),
    [
        ("a, b ,, c,", ["a", "b", "c"]),
        ("(red, blue:1.2), c", ["(red, blue:1.2)", "c"]),
        ("a, [[b, c], d], e", ["a", "[[b, c], d]", "e"]),
        ("{a, b}, (c)", ["{a, b}", "(c)"]),
        ("((a, b), c:1.1), d", ["((a, b), c:1.1)", "d"]),
        # Faces, escaped brackets and brackets that never close keep nothing together.
        (":(, smile, :)", [":(", "smile", ":)"]),
        ("(o)_(o), a, b", ["(o)_(o)", "a", "b"]),
        ("fate \\(a, b\\), c", ["fate \\(a", "b\\)", "c"]),
        ("(a, b, c", ["(a", "b", "c"]),
        ("(a, b) c, d", ["(a", "b) c", "d"]),
        ("a), (b", ["a)", "(b"]),
        ("cat (small, red), d", ["cat (small", "red)", "d"]),
    ],
)
def test_splitting(caption: str, tags: list[str]) -> None:
    assert split_tags(caption) == tags


def test_what_stands_in_brackets_stays_together() -> None:
    shown = _shown("a, (red, blue:1.2), c", 100, shuffle=True, tag_dropout=0.3, keep=0)
    assert len(set(shown)) > 5
    assert all("red" not in caption or "(red, blue:1.2)" in caption for caption in shown)


def test_each_tag_drops_by_its_chance() -> None:
    shown = _shown("a, b, c, d", 2000, tag_dropout=0.3, keep=1)
    counts = Counter(tag for caption in shown for tag in split_tags(caption))
    assert counts["a"] == 2000
    for tag in "bcd":
        assert abs(counts[tag] - 1400) < 90
    # Each by itself, in their order.
    assert len(set(shown)) == 8
    assert all(split_tags(c) == sorted(split_tags(c)) for c in shown)


def test_a_caption_that_loses_nothing_is_untouched() -> None:
    text = "a ,b,,  c \\(d\\), (e:1.2)"
    assert text in _shown(text, tag_dropout=0.2, keep=0)


def test_all_may_drop() -> None:
    assert set(_shown("a, b", 50, tag_dropout=1, keep=0)) == {""}
    assert set(_shown("a, b, c", 50, tag_dropout=1, keep=2)) == {"a, b"}


@pytest.mark.parametrize(
    ("tag_list", "tag", "listed"),
    [
        ("red, blue", "red", True),
        ("red\nblue", "Blue", True),
        ("red", "dark red", False),
        ("*red", "dark red", True),
        ("red*", "red (colour)", True),
        ("*hair*", "long_hair", True),
        ("long_hair", "long hair", True),
        ("long  hair", "long_hair", True),
        ("a.c", "abc", False),
        ("*", "anything", True),
        ("\\(x\\)", "\\(x\\)", True),
        ("", "red", False),
        (" , \n,", "red", False),
    ],
)
def test_lists_of_tags(tag_list: str, tag: str, listed: bool) -> None:
    only = CaptionAugmentation(tag_dropout=0.5, tag_dropout_for="listed", tag_list=tag_list)
    others = only.model_copy(update={"tag_dropout_for": "not_listed"})
    assert may_drop(tag, only) is listed
    assert may_drop(tag, others) is not listed
    assert may_drop(tag, CaptionAugmentation(tag_dropout=0.5))


def test_only_listed_tags_drop() -> None:
    settings = {"tag_dropout": 0.5, "keep": 0, "tag_dropout_for": "listed", "tag_list": "b*, d"}
    shown = set(_shown("a, b1, c, d", **settings))
    assert shown == {"a, b1, c, d", "a, c, d", "a, b1, c", "a, c"}


@given(
    st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4),
    st.integers(0, 6),
    st.floats(0, 1),
    st.booleans(),
)
def test_first_tags_stay(numbers: list[int], keep: int, dropout: float, shuffle: bool) -> None:
    settings = CaptionAugmentation(shuffle=shuffle, keep=keep, tag_dropout=dropout)
    got = split_tags(augment_caption(", ".join(TAGS), settings, *numbers))
    assert got[:keep] == TAGS[:keep]
    assert len(set(got)) == len(got) and set(got) <= set(TAGS)
    if not shuffle:
        assert got == [tag for tag in TAGS if tag in got]


@pytest.mark.parametrize(
    ("trigger", "caption", "places"),
    [
        ("zxc", "zxc, a, b, c, d", {0: "zxc"}),
        ("zxc", "a, photo of ZXC man, b, c, d", {1: "photo of ZXC man"}),
        ("zxc, man", "zxc, man, a, b, c", {0: "zxc", 1: "man"}),
        ("zxc", "zxcv, a, b, c, d", {}),
    ],
)
def test_the_trigger_word_keeps_its_place(
    trigger: str, caption: str, places: dict[int, str]
) -> None:
    others: Counter[int] = Counter()
    for seed in range(300):
        settings = CaptionAugmentation(shuffle=True, keep=0)
        got = split_tags(vary_tags(caption, settings, trigger, random.Random(seed)))
        assert sorted(got) == sorted(split_tags(caption))
        for place, tag in places.items():
            assert got[place] == tag
        others.update(place for place, tag in enumerate(got) if tag == split_tags(caption)[place])
    # All others move.
    assert all(others[place] < 200 for place in range(5) if place not in places)


def test_the_trigger_word_never_drops() -> None:
    for shuffle in (False, True):
        settings = {"tag_dropout": 1.0, "keep": 0, "shuffle": shuffle}
        assert set(_shown("a, big zxc, b", 50, "zxc", **settings)) == {"big zxc"}
        assert set(_shown("zxc, man, b", 50, "zxc, man", **settings)) == {"zxc, man"}


def test_a_choice_cannot_lose_the_trigger_word() -> None:
    shown = set(_shown("{zxc|a} robot", 50, "zxc", choices=True))
    assert shown == {"zxc robot", "zxc, a robot"}


def test_choices_come_before_tags() -> None:
    shown = set(_shown("x, {a, b|c}, {|d}", 400, choices=True, tag_dropout=1, keep=2))
    assert shown == {"x, a", "x, c"}
    assert set(_shown("{|a}, b,{|c}", choices=True)) == {"b", "a, b", "b,c", "a, b,c"}
    # Not asked for, they are text.
    assert set(_shown("{a|b} __c__")) == {"{a|b} __c__"}


def test_whole_captions_drop_at_their_share_beside_the_rest() -> None:
    shown = _shown("a, b, {c|d}", 4000, dropout=0.25, shuffle=True, keep=0, choices=True)
    assert abs(shown.count("") - 1000) < 120
    assert len(set(shown)) == 13


def test_lasting_and_settled_captions() -> None:
    captions = ("a, b", "{a|b}", "__c__")
    plain = CaptionAugmentation()
    assert lasting_captions(captions, plain) == captions
    assert lasting_captions(captions, CaptionAugmentation(choices=True)) == ("a, b",)
    assert lasting_captions(captions, CaptionAugmentation(dropout=0.1)) == ("", *captions)
    assert lasting_captions(captions, CaptionAugmentation(dropout=1)) == ("",)
    for changes in ({"shuffle": True}, {"tag_dropout": 0.1}):
        assert lasting_captions(captions, CaptionAugmentation(**changes)) == ()  # type: ignore[arg-type]
    everything = CaptionAugmentation(
        choices=True, shuffle=True, dropout=1, tag_dropout=1, keep=0, wildcards="x"
    )
    assert settled_caption(captions, everything, 1) == "a, b"
    drawn = {settled_caption(captions[1:], everything, n) for n in range(30)}
    assert drawn == {"a", "b"}
    assert settled_caption(captions[1:], everything, 3) == settled_caption(
        captions[1:], everything, 3
    )


def test_what_stands_before_kohyas_separator_stays_and_the_sign_is_never_trained() -> None:
    caption = "limbot, robot ||| red, blue, green, grey ||| white wall"
    shuffled = {
        vary_tags(caption, CaptionAugmentation(shuffle=True), "", random.Random(seed))
        for seed in range(30)
    }
    assert len(shuffled) > 5
    for text in shuffled:
        tags = split_tags(text)
        assert tags[:2] == ["limbot", "robot"] and tags[-1] == "white wall"
        assert sorted(tags[2:-1]) == ["blue", "green", "grey", "red"]
    dropped = vary_tags(caption, CaptionAugmentation(tag_dropout=1.0), "", random.Random(0))
    assert dropped == "limbot, robot, white wall"
    plain = augment_caption(caption, CaptionAugmentation(), 1, 2, 3)
    assert plain == "limbot, robot, red, blue, green, grey, white wall"
    assert lasting_captions((caption,), CaptionAugmentation()) == (plain,)


def test_the_commas_of_chinese_and_japanese_separate_tags() -> None:
    assert split_tags("红色，机器人、站着, robot") == ["红色", "机器人", "站着", "robot"]
