"""Numbers as people write them, the same in the window, on the command line and in JSON texts."""

from __future__ import annotations

import math
import re
import unicodedata

_NUMBER = re.compile(r"[+-]?([0-9]+([.,][0-9]*)?|[.,][0-9]+)([eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]+([eE]\+?[0-9]+)?")
# A thousand or one, depending on where the writer comes from; 0.001 is never a thousand of nothing.
_THOUSANDS = re.compile(r"([+-]?[1-9][0-9]{0,2})[.,]([0-9]{3})")
_SPACES = re.compile(r"[\s_]")
_LONGEST = 400


class NotANumber(ValueError):
    """A text is not a number; the text is what a number should look like there."""


class Ambiguous(NotANumber):
    """A text is a number in two ways; the text is the rest of a sentence that names both."""


def compact(text: str) -> str:
    """`text` without spaces and underscores, full-width digits and marks made plain."""
    return _SPACES.sub("", unicodedata.normalize("NFKC", text))


def is_ambiguous(text: str) -> bool:
    """Whether a mark and three digits after a whole number leave open what is meant: `1.000`."""
    return _THOUSANDS.fullmatch(compact(text)) is not None


def is_marked(text: str) -> bool:
    """Whether `text` is a number with a decimal mark."""
    return _NUMBER.fullmatch(compact(text)) is not None and bool(re.search("[.,]", compact(text)))


def parse_number(text: str, whole: bool) -> int | float:
    """The number in `text`: `1e-4`, `0,0001` and `0.0001` are one; a whole one takes no mark.

    Raises NotANumber, also for one that is not finite, and Ambiguous.
    """
    plain = compact(text)
    if len(plain) <= _LONGEST and (found := _THOUSANDS.fullmatch(plain)):
        before, after = found.groups()
        small, large = f"{before}.{after}".rstrip("0").rstrip("."), f"{before}{after}"
        choices = [small if "." not in small else f"{before}.{after}0", large]
        if whole and "." in small:
            choices = [large]
        raise Ambiguous(
            f"is written {text.strip()}, which can mean {small} or {large}; write "
            f"{' or '.join(choices)}"
        )
    wants = "a whole number" if whole else "a number"
    if len(plain) > _LONGEST or not (_WHOLE if whole else _NUMBER).fullmatch(plain):
        raise NotANumber(wants)
    if whole and plain.lstrip("+-").isdecimal():
        return int(plain)  # float would lose digits of a long seed
    value = float(plain.replace(",", "."))
    if not math.isfinite(value):
        raise NotANumber(wants)
    return int(value) if whole else value
