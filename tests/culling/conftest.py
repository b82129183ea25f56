"""Every culling test has a trash of its own, on the volume of its pictures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.refusals import Refusals


@pytest.fixture(autouse=True)
def own_trash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The trash folder of this test."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "Trash"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder for pictures; empty."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out flushing: a kill loses nothing that the system has taken over."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture(autouse=True)
def _held_for_a_moment(refusals: Refusals) -> None:
    """See `refusals`."""
