"""Numbers as they are typed and shown."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.widgets import numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("0,0001", 1e-4),
        ("0.0001", 1e-4),
        (" 1 000 ", 1000.0),
        ("1E3", 1000.0),
        (",5", 0.5),
        ("-2,5e-3", -0.0025),
        ("0,001", 0.001),
        ("1.000e-4", 1e-4),
        ("1.1250", 1.125),
        ("２０，５", 20.5),
    ],
)
def test_parses_what_people_type(text: str, value: float) -> None:
    assert numbers.parse(text, whole=False) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "1,000.5",
        "1.000",
        "1,000",
        "-12.345",
        "1.000.000",
        "1_0,000",
        "1e",
        "--1",
        "1e999",
        "nan",
        "inf",
    ],
)
def test_refuses_what_is_no_number(text: str) -> None:
    assert numbers.parse(text, whole=False) is None


def test_whole_numbers_keep_all_their_digits() -> None:
    assert numbers.parse(str(2**63 - 1), whole=True) == 2**63 - 1
    assert numbers.parse("1e3", whole=True) == 1000
    assert all(numbers.parse(text, whole=True) is None for text in ("1.5", "16.0", "1.", "1e-3"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-4, "1e-4"),
        (2.5e-5, "2.5e-5"),
        (16.0, "16"),
        (0.001, "0.001"),
        (None, ""),
        (7, "7"),
        (1.125, "1.1250"),
    ],
)
def test_shows_numbers_short(value: float, text: str) -> None:
    assert numbers.show(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_is_shown_reads_back_exactly(value: float) -> None:
    back = numbers.parse(numbers.show(value), whole=False)
    assert back == value
    assert math.copysign(1, back) == math.copysign(1, value) or value == 0


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_beginning_of_a_shown_number_can_be_typed(value: float) -> None:
    text = numbers.show(value)
    assert all(numbers.could_become(text[:end]) for end in range(len(text) + 1))
