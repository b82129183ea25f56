"""A concept's page of pictures, on real files, and what a person does with it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from app.background import Background
from app.concepts.facts import Look, PictureFacts
from app.concepts.pictures import PicturesPage
from app.concepts.tiles import CaptionEditor
from app.thumbnails import ThumbnailStore
from core.config.concepts import Concept
from core.data.buckets import Shapes


@pytest.fixture(autouse=True)
def _gui_collector(gui_collector: None) -> None:
    """See `gui_collector`."""


def picture(path: Path, size: tuple[int, int] = (96, 96), seed: int = 0) -> Path:
    """A picture of large random patches, unlike those of other seeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed or hash(path.name))
    small = Image.frombytes("RGB", (6, 6), rng.randbytes(108))
    small.resize(size, Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def trash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A trash of the test's own."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("XDG_DATA_HOME", str(home))
    return home / "Trash"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures of 96 px; three have captions."""
    where = tmp_path / "机器人 robots"
    for number in range(6):
        picture(where / f"p {number}.png", seed=number + 1)
    (where / "p 0.txt").write_bytes(b"first line\r\n\r\n  third, with spaces  \r\n")
    (where / "p 1.txt").write_text("a red robot", encoding="utf-8")
    (where / "p 2.txt").write_text("一个机器人", encoding="utf-8")
    return where


@dataclass
class Room:
    """A page of pictures, and what one does with it."""

    page: PicturesPage
    background: Background
    qtbot: Any

    def open(self, folder: Path, sides: tuple[int, ...] = (64,), **concept: Any) -> PicturesPage:
        """Show a folder and wait until all is read."""
        look = Look(Concept(path=str(folder), **concept), sides, Shapes(64))
        self.page.set_look(look)
        self.settle()
        return self.page

    def settle(self) -> None:
        """Wait until nothing is read, decoded or changed any more."""

        def calm() -> bool:
            page = self.page
            return (
                self.background.is_idle()
                and page.store.is_idle()
                and not page.changes.is_busy()
                and not page.source.busy
            )

        for _ in range(3):
            self.qtbot.waitUntil(calm, timeout=20000)
            self.qtbot.wait(20)

    def names(self) -> list[str]:
        """What the grid shows, in order."""
        return [path.name for path in self.page.model.shown()]

    def facts(self, name: str) -> PictureFacts:
        """What is known of a picture."""
        return next(f for p, f in self.page.model.facts().items() if p.name == name)

    def choose(self, *names: str) -> None:
        """Select pictures by name."""
        paths = [p for p in self.page.model.facts() if p.name in names]
        self.page.grid.select(paths)
        self.page.grid.setFocus()

    def key(self, key: Qt.Key, *modifiers: Qt.KeyboardModifier) -> None:
        """Press a key in the grid."""
        with_all = Qt.KeyboardModifier.NoModifier
        for modifier in modifiers:
            with_all |= modifier
        self.qtbot.keyClick(self.page.grid, key, with_all)

    def edit(self) -> CaptionEditor:
        """Begin to edit the current picture's caption by its key."""
        self.key(Qt.Key.Key_F2)
        editors = [e for e in self.page.grid.findChildren(CaptionEditor) if e.isVisible()]
        assert len(editors) == 1
        return editors[0]

    def until(self, true: Callable[[], bool]) -> None:
        """Wait for something that is sure to come."""
        self.qtbot.waitUntil(true, timeout=20000)


@pytest.fixture
def room(styled: QApplication, qtbot: Any, tmp_path: Path, trash: Path) -> Iterator[Room]:
    """A page by itself."""
    background = Background()
    store = ThumbnailStore(folder=tmp_path / "thumbnails")
    page = PicturesPage(background, store)
    page.resize(1000, 640)
    page.show()
    qtbot.waitExposed(page)
    yield Room(page, background, qtbot)
    page.close_down()
    background.close()
    store.close()
    page.close()
    page.deleteLater()
    qtbot.wait(1)
