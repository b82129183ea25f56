"""Settings, presets, runs and data, with files that another program holds for a moment."""

from __future__ import annotations

import pytest

from tests.refusals import Refusals


@pytest.fixture(autouse=True)
def _held_for_a_moment(refusals: Refusals) -> None:
    """See `refusals`."""
