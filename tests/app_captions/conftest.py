"""Fixtures for the caption workspace: a styled application, captioned pictures, a history."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication

from app.captions.tools import CaptionTools
from core.culling.history import History

CAPTIONS: list[str | None] = [
    "robot, rain, smile\r\nA robot stands in the rain.\r\n",
    "robot, night",
    None,
    "robot, rain, robot",
    "",
    "a very long sentence about a machine, which nobody would call a tag list at all.",
]


@pytest.fixture(autouse=True)
def _gui_collector(gui_collector: None) -> None:
    """See `gui_collector`."""


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Six pictures, captioned as CAPTIONS."""
    folder = tmp_path / "Bilder 图"
    folder.mkdir()
    paths = []
    for number, text in enumerate(CAPTIONS):
        path = folder / f"bild {number}.png"
        Image.new("RGB", (20 + number, 16), (30 * number, 90, 160)).save(path)
        if text is not None:
            path.with_suffix(".txt").write_bytes(text.encode())
        paths.append(path)
    return paths


@pytest.fixture
def history(pictures: list[Path]) -> History:
    return History.open(pictures[0].parent)


Settle = Callable[[CaptionTools], None]


@pytest.fixture
def settle(qtbot: Any) -> Settle:
    """Wait until everything is read and written."""

    def wait(tools: CaptionTools) -> None:
        qtbot.waitUntil(lambda: not tools.store.is_busy(), timeout=20000)

    return wait


@pytest.fixture
def tools(
    styled: QApplication, qtbot: Any, pictures: list[Path], history: History, settle: Settle
) -> Iterator[CaptionTools]:
    """The workspace on the six pictures, everything read."""
    made = CaptionTools(lambda: pictures, history)
    made.resize(400, 680)
    made.show()
    made.refresh()
    settle(made)
    yield made
    made.shutdown()
    made.close()
    made.deleteLater()
    styled.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture
def caption(pictures: list[Path]) -> Callable[[int], str]:
    """The bytes of a picture's caption file as text."""

    def read(number: int) -> str:
        return pictures[number].with_suffix(".txt").read_bytes().decode()

    return read
