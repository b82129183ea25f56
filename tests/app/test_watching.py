"""Folders are watched on Windows without keeping them open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from PySide6.QtCore import QFileSystemWatcher, QObject
from pytestqt.qtbot import QtBot

from app import watching
from app.background import Background
from app.concept_scan import ConceptScanner
from app.watching import LookingWatcher


@pytest.fixture
def watcher(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> Iterator[LookingWatcher]:
    """One that looks often."""
    monkeypatch.setattr(watching, "LOOK_MS", 20)
    parent = QObject()
    yield LookingWatcher(parent)


def test_what_comes_to_a_folder_and_what_is_written_is_told_once(
    qtbot: QtBot, watcher: LookingWatcher, tmp_path: Path
) -> None:
    picture = tmp_path / "in" / "a.png"
    picture.parent.mkdir()
    picture.write_bytes(b"1")
    told: list[str] = []
    watcher.directoryChanged.connect(told.append)
    watcher.fileChanged.connect(told.append)
    watcher.addPaths([str(tmp_path), str(picture)])
    assert (watcher.directories(), watcher.files()) == ([str(tmp_path)], [str(picture)])
    os.utime(tmp_path, (1, 1))
    qtbot.waitUntil(lambda: told == [str(tmp_path)])
    picture.write_bytes(b"22")
    qtbot.waitUntil(lambda: told == [str(tmp_path), str(picture)])
    watcher.removePaths([str(tmp_path)])
    os.utime(tmp_path, (2, 2))
    picture.unlink()
    qtbot.waitUntil(lambda: len(told) == 3)
    assert told[2] == str(picture)


def test_a_watched_folder_is_not_open(watcher: LookingWatcher, tmp_path: Path) -> None:
    watcher.addPath(str(tmp_path))
    handles = [os.path.realpath(h) for h in Path("/proc/self/fd").glob("*")]
    assert str(tmp_path) not in handles


def test_windows_alone_looks(qapp: object, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = QObject()
    assert isinstance(watching.make_watcher(parent), QFileSystemWatcher)
    monkeypatch.setattr(watching, "sys", SimpleNamespace(platform="win32"))
    background = Background(parent)
    scanner = ConceptScanner(background, parent)
    assert scanner.findChildren(LookingWatcher) and not scanner.findChildren(QFileSystemWatcher)
    background.close()
