"""Every culling test has a trash of its own, on the volume of its pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import files
from tests.refusals import Refusals, momentary_refusals


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
def refusals(monkeypatch: pytest.MonkeyPatch) -> Iterator[Refusals]:
    """Every file that was just written is held by a virus scanner for one try, as on Windows."""
    monkeypatch.setattr(files, "_WAITS", (0.0,) * 9)
    with momentary_refusals(monkeypatch) as told:
        yield told
