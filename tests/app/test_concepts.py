"""The Concepts tab: adding folders, counting, cards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PySide6.QtCore import Qt

from app.background import Background
from app.concept_scan import ConceptScanner, look_into
from app.state import SettingsState
from app.tabs.concepts import ConceptCard, ConceptsTab
from app.widgets.thumbs import read_square
from core.config.concepts import Concept

from .conftest import make_pictures


@pytest.fixture
def tab(state: SettingsState, qtbot: Any) -> ConceptsTab:
    """The tab by itself."""
    background = Background()
    scanner = ConceptScanner(background, background)
    result = ConceptsTab(state, scanner)
    result.keep = (background, scanner)  # type: ignore[attr-defined]
    qtbot.addWidget(result, before_close_func=lambda _: background.close())
    result.resize(900, 600)
    result.show()
    return result


@pytest.fixture
def counted(tab: ConceptsTab, qtbot: Any) -> Callable[[], None]:
    """Waits until all folders are counted and drawn."""

    def wait() -> None:
        background = tab.keep[0]  # type: ignore[attr-defined]
        qtbot.waitUntil(background.is_idle, timeout=20000)

    return wait


def card(tab: ConceptsTab, index: int) -> ConceptCard:
    """A card of the tab."""
    found = tab.list.cards[index]
    assert isinstance(found, ConceptCard)
    return found


def test_without_pictures_the_tab_says_what_to_do(tab: ConceptsTab, qtbot: Any) -> None:
    assert tab.empty.isVisible()
    with qtbot.waitSignal(tab.demoRequested):
        qtbot.mouseClick(tab.demo, Qt.MouseButton.LeftButton)


def test_an_added_folder_is_counted(
    tab: ConceptsTab, state: SettingsState, pictures: Path, counted: Callable[[], None]
) -> None:
    tab.add_folders([pictures])
    assert state.get("concepts.0.path") == str(pictures)
    assert not tab.empty.isVisible()
    counted()
    shown = card(tab, 0)
    assert shown.title.full_text() == "robots"
    assert shown.counts.text() == "5 pictures, 3 captions"
    assert shown.trouble.text() == "2 without caption"
    assert shown.trouble.kind() == "warning"
    assert [image.isNull() for image in shown.thumbs.images()] == [False] * 4
    assert tab.summary.text() == "1 concept in use, 5 pictures"


def test_a_caption_that_cannot_be_read_is_named(
    tab: ConceptsTab, pictures: Path, counted: Callable[[], None]
) -> None:
    (pictures / "picture 1.txt").write_bytes(bytes(range(256)))
    tab.add_folders([pictures])
    counted()
    said = card(tab, 0).trouble.text()
    assert said.startswith("The caption of picture 1.png cannot be read: ")


def test_a_folder_is_not_added_twice(
    tab: ConceptsTab, state: SettingsState, pictures: Path
) -> None:
    tab.add_folders([pictures, pictures])
    tab.add_folders([pictures])
    assert len(state.get("concepts")) == 1


def test_counts_follow_the_settings(
    tab: ConceptsTab, state: SettingsState, pictures: Path, counted: Callable[[], None]
) -> None:
    tab.add_folders([pictures])
    state.set("concepts.0.prompt.source", "filename")
    counted()
    assert card(tab, 0).trouble.isHidden()
    make_pictures(pictures / "more", 2, 2)
    state.set("concepts.0.include_subfolders", True)
    counted()
    assert card(tab, 0).counts.text().startswith("7 pictures")


def test_counts_follow_the_folder(
    tab: ConceptsTab, pictures: Path, counted: Callable[[], None], qtbot: Any
) -> None:
    tab.add_folders([pictures])
    counted()
    (pictures / "picture 3.txt").write_text("a caption")
    (pictures / "picture 4.txt").write_text("a caption")
    qtbot.waitUntil(lambda: card(tab, 0).counts.text() == "5 pictures, 5 captions", timeout=20000)


def test_a_missing_folder_is_named(
    tab: ConceptsTab, tmp_path: Path, counted: Callable[[], None]
) -> None:
    tab.add_folders([tmp_path / "gone"])
    counted()
    assert card(tab, 0).trouble.kind() == "error"
    assert "gone" in card(tab, 0).trouble.text()


def test_cards_are_switched_off_duplicated_moved_and_removed(
    tab: ConceptsTab, state: SettingsState, pictures: Path, tmp_path: Path, qtbot: Any
) -> None:
    other = make_pictures(tmp_path / "cats", 1, 0)
    tab.add_folders([pictures, other])
    card(tab, 0).enabled.click()
    assert state.get("concepts.0.enabled") is False
    tab.list.act(1, "duplicate")
    assert [Path(c["path"]).name for c in state.get("concepts")] == ["robots", "cats", "cats"]
    tab.list.act(0, "down")
    assert [Path(c["path"]).name for c in state.get("concepts")] == ["cats", "robots", "cats"]
    card(tab, 0).setFocus()
    qtbot.keyClick(card(tab, 0), Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier)
    assert [Path(c["path"]).name for c in state.get("concepts")] == [
        "cats",
        "cats",
        "robots",
        "cats",
    ]
    card(tab, 0).setFocus()
    qtbot.keyClick(card(tab, 0), Qt.Key.Key_Delete)
    card(tab, 0).setFocus()
    qtbot.keyClick(card(tab, 0), Qt.Key.Key_Delete)
    assert [Path(c["path"]).name for c in state.get("concepts")] == ["robots", "cats"]
    state.undo()
    assert len(tab.list.cards) == 3


def test_the_open_card_edits_its_own_concept(
    tab: ConceptsTab, state: SettingsState, pictures: Path, tmp_path: Path, qtbot: Any
) -> None:
    tab.add_folders([pictures, make_pictures(tmp_path / "cats", 1, 0)])
    assert card(tab, 0).is_open()
    tab.list.toggle(1)
    assert not card(tab, 0).is_open()
    form = tab.forms[-1]
    qtbot.keyClicks(form.editor("concepts[].prompt.trigger"), "sks")
    assert state.get("concepts.1.prompt.trigger") == "sks"
    assert state.get("concepts.0.prompt.trigger") == ""
    tab.list.act(1, "up")
    assert card(tab, 0).is_open()
    assert tab.forms[0].editor("concepts[].prompt.trigger").value() == "sks"  # type: ignore[attr-defined]


def test_counting_agrees_with_what_training_takes(pictures: Path) -> None:
    facts = look_into(Concept(path=str(pictures)))
    assert (facts.pictures, facts.captioned, facts.without_caption) == (5, 3, 2)


def test_thumbnails_are_square_upright_and_never_fail(tmp_path: Path) -> None:
    wide = Image.new("RGB", (300, 100), "red")
    wide.paste("blue", (100, 0, 200, 100))
    wide.save(tmp_path / "wide.png")
    square = read_square(tmp_path / "wide.png", 40)
    assert (square.width(), square.height()) == (40, 40)
    assert square.pixelColor(20, 20).blue() > 200  # the middle third
    turned = Image.new("RGB", (100, 50), "red")
    turned.paste("lime", (0, 0, 50, 50))
    exif = turned.getexif()
    exif[0x0112] = 6  # shown turned a quarter: what is left comes to the top
    turned.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    upright = read_square(tmp_path / "turned.jpg", 40)
    assert upright.pixelColor(20, 2).green() > 150
    assert upright.pixelColor(20, 37).red() > 150
    Image.new("RGBA", (50, 50), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    clear = read_square(tmp_path / "clear.png", 40)
    assert clear.pixelColor(20, 20).name() == "#ffffff"
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    assert read_square(tmp_path / "broken.jpg", 40).isNull()
    assert read_square(tmp_path / "missing.jpg", 40).isNull()
