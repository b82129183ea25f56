"""The gallery: following the newest sample, looking back, comparing, crisp scaling."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor, QImage
from pytestqt.qtbot import QtBot

from app import theme
from app.run_panel.gallery import Gallery
from app.run_panel.model import RunView
from app.run_panel.picture import fit_image
from app.run_panel.pictures import PictureLoader
from app.run_panel.prompt_chips import MOST
from core.runs.folder import RunFolder
from core.worker import protocol
from tests.app_run.scripted import PROMPTS, draw, events


@pytest.fixture
def loader(qapp: object) -> Iterator[PictureLoader]:
    theme.apply("dark")
    result = PictureLoader()
    yield result
    result.close()


@pytest.fixture
def gallery(qtbot: QtBot, loader: PictureLoader, tmp_path: Path) -> Gallery:
    """A gallery of a run with samples at steps 0, 50 and 100 of three prompts."""
    view = RunView()
    view.apply(events(RunFolder(tmp_path), until=100, total=200))
    widget = Gallery(loader)
    qtbot.addWidget(widget)
    widget.resize(500, 480)
    widget.show()
    widget.show_run(tmp_path, view, "nothing yet")
    qtbot.waitUntil(lambda: bool(widget.picture.shown()))
    return widget


def at(gallery: Gallery) -> tuple[int, int]:
    """Prompt and step on view."""
    picture = gallery.shown_picture()
    assert picture is not None
    return picture.index, picture.step


def add(gallery: Gallery, folder: Path, step: int, index: int = 0) -> None:
    path = RunFolder(folder).samples(step) / f"{index:02d}.png"
    draw(path, min(index, 2), step / 200)
    sample = protocol.Sample(
        step=step, index=index, path=path.relative_to(folder).as_posix(), prompt="p", seed=1
    )
    gallery._view.apply([sample])
    gallery.refresh()


def test_the_newest_is_shown_and_followed(gallery: Gallery, tmp_path: Path) -> None:
    assert at(gallery) == (0, 100)
    assert gallery.caption.full_text() == PROMPTS[0]
    add(gallery, tmp_path, 150)
    assert at(gallery) == (0, 150)


def test_looking_back_is_not_disturbed(gallery: Gallery, tmp_path: Path) -> None:
    gallery.show_step(50)
    add(gallery, tmp_path, 150)
    assert at(gallery) == (0, 50)
    assert gallery.slider.maximum() == 3
    gallery.slider.setValue(3)
    assert at(gallery) == (0, 150)
    add(gallery, tmp_path, 200)
    assert at(gallery) == (0, 200), "at the end it follows again"


def test_keys(qtbot: QtBot, gallery: Gallery) -> None:
    picture = gallery.picture
    for key, expected in (
        (Qt.Key.Key_Left, (0, 50)),
        (Qt.Key.Key_Down, (1, 50)),
        (Qt.Key.Key_Home, (1, 0)),
        (Qt.Key.Key_Left, (1, 0)),
        (Qt.Key.Key_End, (1, 100)),
        (Qt.Key.Key_Up, (0, 100)),
        (Qt.Key.Key_Up, (0, 100)),
    ):
        qtbot.keyClick(picture, key)
        assert at(gallery) == expected
    with qtbot.waitSignal(gallery.zoomAsked):
        qtbot.keyClick(picture, Qt.Key.Key_F)


def test_prompts_by_their_numbers(gallery: Gallery) -> None:
    chips = gallery.chips.buttons()
    assert [chip.text() for chip in chips] == ["1", "2", "3"]
    assert chips[1].toolTip() == PROMPTS[1]
    chips[1].click()
    assert at(gallery) == (1, 100)
    assert [chip.isChecked() for chip in chips] == [False, True, False]
    chips[1].click()
    assert [chip.isChecked() for chip in chips] == [False, True, False]
    assert gallery.caption.full_text() == PROMPTS[1]


def test_many_prompts_are_all_within_reach(gallery: Gallery, tmp_path: Path) -> None:
    for index in range(3, 10):
        add(gallery, tmp_path, 100, index)
    assert len(gallery.chips.buttons()) == MOST
    menu = gallery.chips.menu()
    assert menu is not None and len(menu.actions()) == 10 - MOST
    menu.actions()[-1].trigger()
    assert at(gallery) == (9, 100)
    assert not any(chip.isChecked() for chip in gallery.chips.buttons())


def test_the_strip_shows_a_step_when_clicked(qtbot: QtBot, gallery: Gallery) -> None:
    viewport = gallery.strip.viewport()
    pitch = gallery.strip._pitch()
    where = QPoint(pitch + pitch // 2, viewport.height() // 3)
    qtbot.mouseClick(viewport, Qt.MouseButton.LeftButton, pos=where)
    assert at(gallery) == (0, 50)


def test_before_and_after(qtbot: QtBot, gallery: Gallery) -> None:
    gallery.compare.setChecked(True)
    qtbot.waitUntil(lambda: len(gallery.picture.shown()) == 2)
    assert [shown.label for shown in gallery.picture.shown()] == ["before training", "step 100"]
    gallery.compare.setChecked(False)
    qtbot.waitUntil(lambda: [shown.label for shown in gallery.picture.shown()] == [""])
    after = gallery.picture.shown()[0].image
    qtbot.keyPress(gallery.picture, Qt.Key.Key_B)
    qtbot.waitUntil(lambda: gallery.picture.shown()[0].label == "before training")
    assert gallery.picture.shown()[0].image != after
    qtbot.keyRelease(gallery.picture, Qt.Key.Key_B)
    assert gallery.picture.shown()[0].image == after


def test_an_unreadable_picture_is_no_end(qtbot: QtBot, gallery: Gallery, tmp_path: Path) -> None:
    bad = RunFolder(tmp_path).samples(150) / "00.png"
    bad.parent.mkdir(parents=True)
    bad.write_bytes(b"no picture")
    relative = bad.relative_to(tmp_path).as_posix()
    gallery._view.apply([protocol.Sample(step=150, index=0, path=relative, prompt="p", seed=1)])
    gallery.refresh()
    qtbot.waitUntil(lambda: gallery.picture.shown()[0].image.isNull())
    gallery.grab()
    gallery.show_step(100)
    assert not gallery.picture.shown()[0].image.isNull()


def test_a_resume_that_undoes_the_step_on_view(gallery: Gallery) -> None:
    gallery._view.apply([protocol.Hello(pid=2, resumed_from="step-000060")])
    gallery.refresh()
    assert at(gallery) == (0, 50)
    gallery._view.apply([protocol.Hello(pid=3)])
    gallery.refresh()
    assert gallery.shown_picture() is None
    assert not gallery.slider.isEnabled()


def test_small_pictures_grow_by_whole_blocks() -> None:
    small = QImage(8, 8, QImage.Format.Format_RGB32)
    for x in range(8):
        for y in range(8):
            small.setPixelColor(x, y, QColor("white" if (x + y) % 2 else "black"))
    large = fit_image(small, 40, 64)
    assert (large.width(), large.height()) == (40, 40)
    colours = {large.pixelColor(x, y).name() for x in range(40) for y in range(40)}
    assert colours == {"#ffffff", "#000000"}, "no grey between the blocks"


def test_a_factor_that_is_not_whole_fills_the_room() -> None:
    small = QImage(64, 64, QImage.Format.Format_RGB32)
    small.fill(QColor("red"))
    large = fit_image(small, 300, 250)
    assert (large.width(), large.height()) == (250, 250)


def test_large_pictures_shrink_with_their_shape() -> None:
    wide = QImage(1024, 512, QImage.Format.Format_RGB32)
    wide.fill(QColor("red"))
    small = fit_image(wide, 300, 300)
    assert (small.width(), small.height()) == (300, 150)
    assert fit_image(QImage(), 10, 10).isNull()


def test_only_wanted_whole_pictures_are_read(
    qtbot: QtBot, loader: PictureLoader, tmp_path: Path
) -> None:
    paths = []
    for number in range(12):
        paths.append(tmp_path / f"{number}.png")
        draw(paths[-1], 0, 0.5, 256)
    seen: list[str] = []
    loader.loaded.connect(lambda path, _edge, _image: seen.append(path))
    for path in paths:  # as a slider that is dragged through all of them
        loader.want(path)
        loader.get(path)
    qtbot.waitUntil(lambda: str(paths[-1]) in seen)
    qtbot.wait(50)
    assert len(seen) < len(paths)
    assert loader.get(paths[-1]) is not None
