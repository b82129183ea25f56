"""The viewer on a folder in which other programs add, remove and replace pictures."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from PySide6.QtCore import QSize, Qt

from app.viewer.window import Viewer
from tests.viewer.driving import name, press

K = Qt.Key
Wait = Callable[[Viewer], None]


def test_the_live_folder_keeps_the_place(viewer: Viewer, pictures: Path, qtbot: Any, idle: Wait):
    idle(viewer)
    press(viewer, K.Key_Right, K.Key_Right)
    shutil.copy(pictures / "pic 9.png", pictures / "pic 1b.png")
    shutil.copy(pictures / "pic 9.png", pictures / "pic 20.png")
    qtbot.waitUntil(lambda: len(viewer.album) == 14, timeout=20000)
    assert name(viewer) == "pic 3.png"
    assert viewer.album.position == 3


def test_a_picture_that_is_still_being_written_is_read_when_it_is_whole(
    viewer: Viewer, pictures: Path, qtbot: Any
):
    data = (pictures / "pic 5.png").read_bytes()
    (pictures / "pic 0.png").write_bytes(data[:200])
    qtbot.waitUntil(lambda: len(viewer.album) == 13, timeout=20000)
    press(viewer, K.Key_Home)
    canvas = viewer.panes.current
    qtbot.waitUntil(lambda: canvas.picture is not None and bool(canvas.picture.problem))
    (pictures / "pic 0.png").write_bytes(data)
    qtbot.waitUntil(
        lambda: canvas.picture is not None and not canvas.picture.problem, timeout=20000
    )


def test_a_removed_picture_is_shown_as_missing_and_skipped(
    viewer: Viewer, pictures: Path, qtbot: Any, painted: Wait
):
    painted(viewer)
    (pictures / "pic 1.png").unlink()
    (pictures / "pic 3.png").unlink()
    qtbot.waitUntil(lambda: len(viewer.album) == 11, timeout=20000)
    assert viewer.notice.text == ""
    current = viewer.album.current
    assert current is not None and current.missing
    press(viewer, K.Key_Right, K.Key_Right)
    assert name(viewer) == "pic 4.png"
    press(viewer, K.Key_Left, K.Key_Left)
    assert name(viewer) == "pic 2.png"  # the missing one is passed by


def test_a_picture_that_another_program_brings_back_is_shown(
    viewer: Viewer, pictures: Path, qtbot: Any, painted: Wait
):
    painted(viewer)
    aside = (pictures / "pic 1.png").rename(pictures.parent / "aside.png")
    canvas = viewer.panes.current
    qtbot.waitUntil(lambda: canvas.picture is not None and canvas.picture.missing, timeout=20000)
    aside.rename(pictures / "pic 1.png")
    qtbot.waitUntil(
        lambda: canvas.picture is not None and not canvas.picture.missing, timeout=20000
    )


def test_a_picture_that_was_replaced_while_it_lay_ready_is_shown_as_it_is(
    viewer: Viewer, pictures: Path, qtbot: Any
):
    path = pictures / "pic 2.png"
    qtbot.waitUntil(lambda: viewer.loader.best(str(path)) is not None, timeout=20000)
    Image.new("RGB", (64, 48)).save(path)
    press(viewer, K.Key_Right)
    canvas = viewer.panes.current
    size = QSize(64, 48)
    qtbot.waitUntil(
        lambda: canvas.picture is not None and canvas.picture.size == size, timeout=20000
    )
