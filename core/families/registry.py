"""The families by name: a new one is a module here with a `FAMILY`, and its name in the list."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from core.families.base import Family

NAMES = ("sd15",)


@cache
def family(name: str) -> Family:
    """The family called `name`, such as `sd15`. Raises KeyError for an unknown name."""
    if name not in NAMES:
        raise KeyError(name)
    found: Family = import_module(f"core.families.{name}").FAMILY
    return found


def families() -> tuple[Family, ...]:
    """All of them."""
    return tuple(family(name) for name in NAMES)
