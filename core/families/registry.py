"""The families by name. Their code is imported when first asked for: it needs torch."""

from __future__ import annotations

from core.families.base import Family

NAMES = ("sd15",)


def family(name: str) -> Family:
    """The family called `name`, such as `sd15`. Raises KeyError for an unknown name."""
    if name == "sd15":
        from core.families.sd15 import SD15

        return SD15
    raise KeyError(name)
