"""Tidying captions up: what becomes of commas, spaces, repeated tags and underscores."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.captioning.tags import remove_duplicates
from core.captioning.tidying import spaced, tidied
from core.data.tags import split_tags


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b , c", "a, b, c"),
        ("红色，机器人、蓝天,", "红色, 机器人, 蓝天"),
        ("limbot,,red  robot, ,\u3000sky,,", "limbot, red robot, sky"),
        ("robot, sky, Robot,  SKY, (robot:1.2)", "robot, sky, (robot:1.2)"),
        ("(red,  sky:1.2), cat, [blue, sky]", "(red, sky:1.2), cat, [blue, sky]"),
        ("solo,\r\n\r\nred robot,rain\r\n", "solo\r\n\r\nred robot, rain\r\n"),
        ("limbot,red ||| rain,,sky", "limbot, red ||| rain, sky"),
        ("{red, blue} hair, {red, green} eyes", "{red, blue} hair, {red, green} eyes"),
        # Sentences keep their words, and numbers their commas.
        ("A robot  stands ,in rain.", "A robot stands, in rain."),
        ("It weighs 1,000 kg,in all.", "It weighs 1,000 kg, in all."),
        ("机器人在雨中，很高兴。", "机器人在雨中，很高兴。"),
        ("red_robot, sky", "red_robot, sky"),
        ("", ""),
    ],
)
def test_a_caption_takes_the_usual_form(text, expected):
    assert tidied(text) == expected
    assert tidied(expected) == expected


def test_underscores_become_spaces_by_choice():
    text = "long_hair,^_^, o_o, __animals__, score_8_up, rating_safe, long hair"
    expected = "long hair, ^_^, o_o, __animals__, score_8_up, rating_safe"
    assert tidied(text, underscores=True) == expected
    assert spaced("simple_background") == "simple background"


def test_parts_of_choices_are_not_repeated_tags():
    line = "{red, blue} hair, {red, green} eyes, sky, sky"
    assert remove_duplicates(line) == "{red, blue} hair, {red, green} eyes, sky"


@given(st.lists(st.text("ab ,，、_()", max_size=12), max_size=4).map("\n".join))
def test_no_tag_is_lost_and_twice_is_like_once(text: str):
    once = tidied(text)
    assert tidied(once) == once
    for before, after in zip(text.split("\n"), once.split("\n"), strict=True):
        assert {tag.replace(" ", "") for tag in split_tags(before)} == {
            tag.replace(" ", "") for tag in split_tags(after)
        }
