"""Fixtures for the viewer: a styled application, folders of pictures, an open viewer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication

from app import theme
from app.viewer import open_viewer
from app.viewer.window import Viewer
from app.window import prepare


@pytest.fixture(autouse=True)
def _gui_collector(gui_collector: None) -> None:
    """See `gui_collector`."""


@pytest.fixture(scope="session")
def styled(qapp: QApplication) -> QApplication:
    prepare(qapp)
    theme.apply("dark")
    return qapp


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twelve pictures `pic 1.png` to `pic 12.png` in unlike colours, the even ones captioned."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(1, 13):
        colour = (20 * number, 255 - 20 * number, 90)
        Image.new("RGB", (320, 240), colour).save(folder / f"pic {number}.png")
        if number % 2 == 0:
            (folder / f"pic {number}.txt").write_text(f"thing {number}", encoding="utf-8")
    return folder


@pytest.fixture
def viewers(styled: QApplication, qtbot: Any) -> Iterator[Callable[..., Viewer]]:
    """Opens viewers of 800 x 600, waits until their folder is listed, closes them at the end."""
    opened: list[Viewer] = []

    def make(*arguments: Any, wait: bool = True, **named: Any) -> Viewer:
        viewer = open_viewer(*arguments, full_screen=False, **named)
        viewer.resize(800, 600)
        opened.append(viewer)
        if wait:
            qtbot.waitUntil(lambda: viewer.is_listed, timeout=20000)
        return viewer

    yield make
    for viewer in opened:
        close(viewer, styled)


def close(viewer: Viewer, application: QApplication) -> None:
    """Close a viewer, after all its changes are on the disk, and destroy it."""
    import shiboken6

    if not shiboken6.isValid(viewer):
        return
    worker = viewer.judge.worker
    viewer._closing = True
    viewer.close()
    worker.join()
    application.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture
def shut(styled: QApplication) -> Callable[[Viewer], None]:
    """Closes a viewer before the test ends."""
    return lambda viewer: close(viewer, styled)


@pytest.fixture
def viewer(viewers: Callable[..., Viewer], pictures: Path) -> Viewer:
    """A viewer on the twelve pictures."""
    return viewers(pictures)


@pytest.fixture
def idle(qtbot: Any) -> Callable[[Viewer], None]:
    """Waits until all changes of a viewer are on the disk and told."""

    def wait(viewer: Viewer) -> None:
        qtbot.waitUntil(lambda: viewer.judge.worker.waiting == 0, timeout=20000)

    return wait


@pytest.fixture
def painted(qtbot: Any) -> Callable[[Viewer], None]:
    """Waits until the current picture, or why there is none, is on the screen."""

    def wait(viewer: Viewer) -> None:
        qtbot.waitUntil(lambda: viewer.panes.current.is_drawn, timeout=20000)

    return wait
