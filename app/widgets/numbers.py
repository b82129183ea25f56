"""Numbers in fields: what is being typed, and how a number is shown, the same in every locale."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from core.config.numbers import NotANumber, compact, is_ambiguous, parse_number

_PARTIAL = re.compile(r"[+-]?[0-9]*[.,]?[0-9]*([eE][+-]?[0-9]*)?")


def parse(text: str, whole: bool) -> int | float | None:
    """The number in `text`, or None when it is not one, or one of two (`core.config.numbers`)."""
    try:
        return parse_number(text, whole)
    except NotANumber:
        return None


def could_become(text: str) -> bool:
    """Whether `text` is the beginning of a number."""
    return bool(_PARTIAL.fullmatch(compact(text)))


def show(value: Any) -> str:
    """A number as short as it can be without loss: 1e-4 rather than 0.0001, 16 for 16.0."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        text = repr(value).removesuffix(".0")
        # 1.125 would be taken for 1125 where a point separates thousands.
        return f"{text}0" if is_ambiguous(text) else text
    return f"{Decimal(repr(value)).normalize():e}".replace("e+", "e")
