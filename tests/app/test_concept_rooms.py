"""The Concepts tab with its rooms: adding folders as they lie, pictures, being led there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu

from app.concepts.pictures import PicturesPage
from app.concepts.tiles import CaptionEditor
from app.tabs.concepts import ConceptsTab
from app.viewer.window import Viewer
from app.window import Window

from .conftest import make_pictures


def tab_of(window: Window) -> ConceptsTab:
    """The window's Concepts tab, in front."""
    tab = window.pages["concepts"]
    assert isinstance(tab, ConceptsTab)
    window.tabs.setCurrentWidget(tab)
    return tab


def enter_pictures(tab: ConceptsTab, index: int = 0) -> PicturesPage:
    """Press the Pictures segment of a card."""
    card = tab.card(index)
    if not card.is_open():
        tab.list.toggle(index)
    QTest.mouseClick(card.rooms.buttons["pictures"], Qt.MouseButton.LeftButton)
    assert card.pictures is not None
    return card.pictures


@pytest.fixture
def read(qtbot: Any) -> Callable[[PicturesPage], None]:
    """Waits until a page has read its pictures."""

    def wait(page: PicturesPage) -> None:
        def done() -> bool:
            facts = page.model.facts().values()
            return not page.source.busy and bool(facts) and all(f.read for f in facts)

        qtbot.waitUntil(done, timeout=20000)

    return wait


def test_kohya_folders_become_concepts_and_that_is_said(window: Window, tmp_path: Path) -> None:
    tab = tab_of(window)
    make_pictures(tmp_path / "set" / "10_red robot", 2, 0)
    make_pictures(tmp_path / "set" / "3_blue cat", 2, 2)
    window.take_dropped([tmp_path / "set"])
    concepts = window.state.get("concepts")
    assert [(c["name"], c["repeats"]) for c in concepts] == [("blue cat", 3), ("red robot", 10)]
    assert concepts[1]["prompt"]["source"] == "folder_name"
    assert tab.said.isVisible()
    assert "kohya" in tab.said.text() and "2 concepts" in tab.said.text()
    window.state.undo()
    assert window.state.get("concepts") == []


def test_a_table_of_captions_is_recognised(window: Window, tmp_path: Path) -> None:
    tab = tab_of(window)
    folder = make_pictures(tmp_path / "data" / "train", 2, 0)
    (folder / "metadata.csv").write_text('file_name,text\n"picture 0.png","one, two"\n')
    window.take_dropped([tmp_path / "data"])
    assert window.state.get("concepts.0.prompt.source") == "metadata"
    assert "table" in tab.said.text()


def test_a_plain_folder_needs_no_words_and_a_known_one_is_told(
    window: Window, pictures: Path
) -> None:
    tab = tab_of(window)
    window.take_dropped([pictures])
    assert not tab.said.isVisible()
    window.take_dropped([pictures / "picture 0.png"])
    assert len(window.state.get("concepts")) == 1
    assert "already" in tab.said.text()


def test_several_folders_are_several_concepts(window: Window, tmp_path: Path) -> None:
    folders = [make_pictures(tmp_path / name, 1, 0) for name in ("a", "b", "c")]
    window.take_dropped(folders)
    assert [c["path"] for c in window.state.get("concepts")] == [str(f) for f in folders]


def test_removing_says_how_to_come_back(window: Window, pictures: Path, qtbot: Any) -> None:
    tab = tab_of(window)
    window.take_dropped([pictures])
    tab.list.act(0, "remove")
    window.take_dropped([pictures])
    tab.list.open(-1)
    tab.card(0).setFocus()
    qtbot.keyClick(tab.card(0), Qt.Key.Key_Delete)
    assert "Ctrl+Z" in tab.said.text()
    window.state.undo()
    assert len(window.state.get("concepts")) == 1


def test_pictures_fill_the_tab_and_settings_bring_the_list_back(
    window: Window, pictures: Path, tmp_path: Path, read: Callable[..., None], qtbot: Any
) -> None:
    tab = tab_of(window)
    window.take_dropped([pictures, make_pictures(tmp_path / "cats", 1, 0)])
    page = enter_pictures(tab)
    read(page)
    assert page.isVisible()
    assert not tab.card(1).isVisible() and not tab.add.isVisible()
    qtbot.waitUntil(lambda: page.height() > 300)
    qtbot.waitUntil(lambda: tab.verticalScrollBar().maximum() == 0)
    card = tab.card(0)
    assert card.mapTo(window, QPoint(0, card.height())).y() <= 720
    QTest.mouseClick(card.rooms.buttons["settings"], Qt.MouseButton.LeftButton)
    assert tab.card(1).isVisible() and tab.add.isVisible() and not page.isVisible()


def test_a_click_on_the_thumbnails_opens_the_pictures(
    window: Window, pictures: Path, read: Callable[..., None]
) -> None:
    tab = tab_of(window)
    window.take_dropped([pictures])
    tab.list.open(-1)
    QTest.mouseClick(tab.card(0).thumbs, Qt.MouseButton.LeftButton)
    page = tab.card(0).pictures
    assert page is not None
    read(page)
    assert len(page.model.shown()) == 5


def test_the_check_leads_to_a_picture(
    window: Window, pictures: Path, read: Callable[..., None], qtbot: Any
) -> None:
    tab = tab_of(window)
    window.take_dropped([pictures])
    tab.reveal_picture(0, pictures / "picture 3.png")
    page = tab.card(0).pictures
    assert page is not None
    read(page)
    qtbot.waitUntil(lambda: page.grid.current() == pictures / "picture 3.png")
    page.model.set_filter("bad")
    assert page.model.shown() == []
    tab.reveal_picture(0, pictures / "picture 4.png")
    assert page.grid.current() == pictures / "picture 4.png"
    tab.reveal_picture(7, pictures / "picture 4.png")


def test_settings_change_what_is_shown_at_once(
    window: Window, pictures: Path, read: Callable[..., None], qtbot: Any
) -> None:
    tab = tab_of(window)
    window.take_dropped([pictures])
    window.state.set("training.resolution", 64)
    page = enter_pictures(tab)
    read(page)
    look = page.look()
    assert look is not None and look.sides == (64,)
    assert page.model.filter_counts["small"] == 0
    window.state.set("training.more_resolutions", "128")
    look = page.look()
    assert look is not None and look.sides == (64, 128)
    qtbot.waitUntil(lambda: page.model.filter_counts["small"] == 5, timeout=20000)
    window.state.set("concepts.0.prompt.source", "filename")
    qtbot.waitUntil(lambda: page.model.filter_counts["no_caption"] == 0, timeout=20000)
    window.state.set("concepts.0.image.flip", 0.5)
    qtbot.waitUntil(lambda: bool(page.detail.variations.images()), timeout=20000)


def test_undo_in_the_grid_is_of_files_and_elsewhere_of_settings(
    window: Window,
    pictures: Path,
    read: Callable[..., None],
    qtbot: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    tab = tab_of(window)
    window.take_dropped([pictures])
    window.state.set("training.epochs", 7)
    page = enter_pictures(tab)
    read(page)
    page.grid.select([pictures / "picture 0.png"])
    page.grid.setFocus()
    qtbot.keyClick(page.grid, Qt.Key.Key_F2)
    (editor,) = page.grid.findChildren(CaptionEditor)
    qtbot.keyClicks(editor, " changed")
    qtbot.keyClick(editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    file = pictures / "picture 0.txt"
    qtbot.waitUntil(lambda: file.read_text() == "thing 0 changed", timeout=20000)
    page.grid.setFocus()
    qtbot.keyClick(page.grid, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: file.read_text() == "thing 0", timeout=20000)
    assert window.state.get("training.epochs") == 7
    qtbot.waitUntil(lambda: not page.changes.is_busy(), timeout=20000)
    window.state.undo()
    assert window.state.get("training.epochs") != 7


def test_the_caption_tools_work_on_the_same_pictures(
    window: Window, pictures: Path, read: Callable[..., None], qtbot: Any
) -> None:
    tab = tab_of(window)
    window.take_dropped([pictures])
    page = enter_pictures(tab)
    read(page)
    QTest.mouseClick(page.side.switch.buttons["captions"], Qt.MouseButton.LeftButton)
    tools = page.side.tools
    assert tools is not None
    qtbot.waitUntil(
        lambda: len(tools.store.texts) == 5 and tools.store.history is not None, timeout=20000
    )
    page.grid.select([pictures / "picture 1.png"])
    qtbot.waitUntil(lambda: tools.editor.edit.toPlainText() == "thing 1", timeout=20000)
    tools.set_filter(["thing 2"])
    qtbot.waitUntil(lambda: page.model.shown() == [pictures / "picture 2.png"], timeout=20000)
    tools.set_filter([])
    qtbot.waitUntil(lambda: len(page.model.shown()) == 5, timeout=20000)


def test_broken_pictures_need_no_caption(
    window: Window, pictures: Path, read: Callable[..., None], qtbot: Any
) -> None:
    (pictures / "broken.png").write_bytes(b"<html></html>")
    tab = tab_of(window)
    window.take_dropped([pictures])
    page = enter_pictures(tab)
    page.side.show_page("captions")
    read(page)
    assert page.side.tools is not None
    store = page.side.tools.store
    qtbot.waitUntil(lambda: len(page.model.facts()) == 6, timeout=20000)
    qtbot.waitUntil(lambda: len(store.pictures) == 5, timeout=20000)
    assert pictures / "broken.png" not in store.pictures


def test_a_picture_that_one_is_led_to_can_be_seen_in_a_low_window(
    window: Window, pictures: Path, read: Callable[..., None], qtbot: Any
) -> None:
    tab = tab_of(window)
    window.take_dropped([make_pictures(pictures.parent / "many", 30, 0)])
    page = enter_pictures(tab)
    read(page)
    window.welcome.dismissed.emit()
    window.check.open()
    window.resize(1280, 720)
    qtbot.wait(50)
    last = pictures.parent / "many" / "picture 29.png"
    window.reveal_picture(0, str(last))

    def seen() -> bool:
        grid = page.grid
        tile = grid.visualRect(grid.currentIndex())
        place = grid.viewport().mapTo(tab.viewport(), tile.center())
        return grid.current() == last and tab.viewport().rect().contains(place)

    qtbot.waitUntil(seen, timeout=20000)


def viewers() -> list[Viewer]:
    """The viewers on the screen."""
    return [w for w in QApplication.topLevelWidgets() if isinstance(w, Viewer) and w.isVisible()]


def test_the_viewer_opens_at_the_current_picture_and_gives_its_own_back(
    window: Window, pictures: Path, read: Callable[..., None], qtbot: Any
) -> None:
    tab = tab_of(window)
    window.take_dropped([pictures])
    page = enter_pictures(tab)
    read(page)
    page.grid.select([pictures / "picture 2.png"])
    page.grid.setFocus()
    qtbot.keyClick(page.grid, Qt.Key.Key_Space)
    (viewer,) = viewers()
    qtbot.waitUntil(lambda: viewer.is_listed and viewer.album.current is not None, timeout=20000)
    assert Path(viewer.album.current.path) == pictures / "picture 2.png"
    qtbot.keyClick(viewer, Qt.Key.Key_Right)
    with qtbot.waitSignal(viewer.closed, timeout=20000):
        viewer.close()
    assert page.grid.current() == pictures / "picture 3.png"
    qtbot.wait(50)


def test_a_concept_is_gone_through_without_its_room(
    window: Window, pictures: Path, qtbot: Any
) -> None:
    tab = tab_of(window)
    window.take_dropped([pictures])
    card, menu = tab.card(0), QMenu()
    card.extra_actions(menu)
    next(a for a in menu.actions() if a.text() == "Go through pictures").trigger()
    (viewer,) = viewers()
    qtbot.waitUntil(lambda: viewer.is_listed, timeout=20000)
    assert card.pictures is None and len(viewer.album) == 5
    with qtbot.waitSignal(viewer.closed, timeout=20000):
        viewer.close()
    qtbot.wait(50)
