"""Numbers as people type and read them: 1e-4 and 0,0001, always the same in every locale."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_PARTIAL = re.compile(r"[+-]?\d*[.,]?\d*([eE][+-]?\d*)?")


def parse(text: str, whole: bool) -> int | float | None:
    """The number in `text`, or None when it is none (or not whole, where it must be).

    A comma is a decimal point; spaces around and between digits are ignored.
    """
    text = re.sub(r"[\s_]", "", text)
    if not _NUMBER.fullmatch(text):
        return None
    if whole and re.fullmatch(r"[+-]?\d+", text):
        return int(text)  # float would lose digits of a long seed
    value = float(text.replace(",", "."))
    if not math.isfinite(value):
        return None
    if whole:
        return int(value) if value.is_integer() else None
    return value


def could_become(text: str) -> bool:
    """Whether `text` is the beginning of a number."""
    return bool(_PARTIAL.fullmatch(re.sub(r"[\s_]", "", text)))


def show(value: Any) -> str:
    """A number as short as it can be without loss: 1e-4 rather than 0.0001, 16 for 16.0."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        text = repr(value)
        return text.removesuffix(".0")
    return f"{Decimal(repr(value)).normalize():e}".replace("e+", "e")
