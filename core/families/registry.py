"""The families themselves. Each one's module is imported when it is first asked for."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from core.families.base import Family
from core.model_families import FAMILIES


@cache
def family(name: str) -> Family:
    """The family called `name`, such as `sd15`. Raises KeyError for an unknown name."""
    if name not in FAMILIES:
        raise KeyError(name)
    found: Family = import_module(f"core.families.{name}").FAMILY
    return found


def families() -> tuple[Family, ...]:
    """All of them."""
    return tuple(family(name) for name in FAMILIES)
