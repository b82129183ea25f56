"""The keyboard focus where buttons go away, and choice boxes that keys must not change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QComboBox, QLineEdit, QWidget

from app.tabs.concepts import ConceptsTab
from app.widgets.cards import Card
from app.window import Window

from .conftest import make_pictures


def focusable_buttons(window: Window) -> list[QAbstractButton]:
    """Every button on view that can have the focus."""
    return [
        button
        for button in window.findChildren(QAbstractButton)
        if button.isVisible() and button.isEnabled() and button.focusPolicy()
    ]


def acts_on_keys(widget: QWidget | None) -> bool:
    """Whether a key pressed on the widget could start, change or remove something."""
    return isinstance(widget, QAbstractButton | QComboBox | QLineEdit | Card)


@pytest.mark.parametrize("tab", range(5))
def test_no_button_that_goes_away_hands_the_focus_to_another(
    window: Window, pictures: Path, tab: int
) -> None:
    window.take_dropped([pictures])
    window.show_run(True)
    window.run.controls.set_state("running", True)
    window.tabs.setCurrentIndex(tab)
    buttons = focusable_buttons(window)
    assert {window.run.controls.pause, window.run.controls.stop} <= set(buttons)
    for take_away, bring_back in (
        (QWidget.setDisabled, lambda button: button.setEnabled(True)),
        (QWidget.setHidden, lambda button: button.setVisible(True)),
    ):
        for button in buttons:
            button.setFocus()
            take_away(button, True)
            assert not acts_on_keys(window.focusWidget()), button.text() or button.toolTip()
            bring_back(button)
            assert window.focusWidget() is button


def test_pause_has_the_focus_again_once_it_can_be_pressed(window: Window, qtbot: Any) -> None:
    controls, asked = window.run.controls, []
    window.show_run(True)
    controls.stopRequested.connect(asked.append)
    controls.set_state("running", True)
    controls.pause.setFocus()
    qtbot.keyClick(controls.pause, Qt.Key.Key_Space)
    assert not controls.pause.isEnabled()
    QTest.keyClick(window.focusWidget() or window, Qt.Key.Key_Space)
    assert not asked
    controls.set_state("paused", True)
    assert window.focusWidget() is controls.pause


def test_the_focus_is_not_given_back_when_it_was_moved_meanwhile(window: Window) -> None:
    controls = window.run.controls
    window.show_run(True)
    controls.set_state("running", True)
    controls.pause.setFocus()
    controls.pause.setEnabled(False)
    window.search.setFocus()
    controls.pause.setEnabled(True)
    assert window.focusWidget() is window.search


def test_tab_still_goes_from_field_to_field(window: Window, qtbot: Any) -> None:
    window.search.setFocus()
    qtbot.keyClick(window.search, Qt.Key.Key_Tab)
    first = window.focusWidget()
    assert first is not None and first is not window.search
    QTest.keyClick(first, Qt.Key.Key_Backtab)
    assert window.focusWidget() is window.search


@pytest.mark.parametrize("tab", range(5))
def test_a_closed_choice_box_ignores_arrows_and_letters(window: Window, tab: int) -> None:
    window.set_level("all")
    window.tabs.setCurrentIndex(tab)
    boxes = [box for box in window.findChildren(QComboBox) if box.isVisible()]
    assert window.presets.combo in boxes
    for box in boxes:
        before, chosen = box.currentIndex(), []
        box.activated.connect(chosen.append)
        box.setFocus()
        for key in ("Down", "Up", "PageDown", "PageUp", "Home", "End", "S", "P"):
            QTest.keyClick(box, getattr(Qt.Key, f"Key_{key}"))
        assert (box.currentIndex(), chosen) == (before, [])


def test_the_keyboard_still_opens_a_choice_box(window: Window, qtbot: Any) -> None:
    combo = window.presets.combo
    for key, held in (("Space", "No"), ("F4", "No"), ("Down", "Alt")):
        modifier = getattr(Qt.KeyboardModifier, f"{held}Modifier")
        qtbot.keyClick(combo, getattr(Qt.Key, f"Key_{key}"), modifier)
        assert combo.view().isVisible()
        combo.hidePopup()


def test_forms_go_with_their_cards(
    window: Window, pictures: Path, tmp_path: Path, process_deletions: Callable[[], None]
) -> None:
    concepts = window.pages["concepts"]
    assert isinstance(concepts, ConceptsTab)
    sampling = window.pages["sampling"]
    other = make_pictures(tmp_path / "cats", 2, 2)
    for folder in (pictures, other, pictures):
        window.take_dropped([folder])
        concepts.card(0).enter("statistics")
        concepts.card(0).enter("pictures")
        concepts.card(0).enter("settings")
        sampling.add_prompt()  # type: ignore[attr-defined]
        prompts = sampling.list  # type: ignore[attr-defined]
        prompts.open(0)
        concepts.list.act(0, "duplicate")
        for _ in range(2):
            concepts.list.act(0, "remove")
        prompts.act(0, "remove")
        process_deletions()
        assert concepts.forms == []
        assert len(sampling.forms) <= 1 + len(prompts.cards)
        for level in ("all", "basic"):
            window.set_level(level)
        window.state.undo()
        window.state.undo()
        process_deletions()
        window.state.redo()
        window.reveal("concepts.0.path")
        window.set_level("all")
        for index in reversed(range(len(concepts.list.cards))):
            concepts.list.act(index, "remove")
        for index in reversed(range(len(prompts.cards))):
            prompts.act(index, "remove")
        process_deletions()
    assert all(page.level == "all" for page in window.pages.values())
