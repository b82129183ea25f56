"""The one place where tests can interrupt the program between any two steps."""

from __future__ import annotations

from collections.abc import Callable


def _go_on(name: str) -> None:
    """What happens at a fault point outside tests: nothing."""


hook: Callable[[str], object] = _go_on


def point(name: str) -> None:
    """Mark the moment between two changes to the disk; a test's `hook` may end the process here."""
    hook(name)
