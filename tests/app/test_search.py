"""Finding settings."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import Qt

from app.settings_search import find
from app.state import new_item
from app.window import Window


def test_titles_come_before_help_texts() -> None:
    paths = [info.path for info in find("learning rate")]
    assert paths[0] == "training.learning_rate"
    assert paths.index("training.warmup_steps") > paths.index("training.scheduler")


def test_paths_choices_and_every_word_count() -> None:
    assert find("gradient_checkpointing")[0].path == "training.gradient_checkpointing"
    assert "training.optimizer" in [info.path for info in find("prodigy optimizer")]
    assert find("prodigy elephants") == []
    assert find("   ") == []


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ("dim", "lora.rank"),
        ("network dim", "lora.rank"),
        ("network alpha", "lora.alpha"),
        ("lr scheduler", "training.scheduler"),
        ("lr", "training.learning_rate"),
        ("keep tokens", "concepts[].caption.keep"),
        ("shuffle caption", "concepts[].caption.shuffle"),
        ("backup", "checkpoints.every"),
        ("mixed precision", "training.precision"),
        ("snr gamma", "training.loss.min_snr_gamma"),
        ("v parameterization", "model.prediction_type"),
    ],
)
def test_the_words_of_other_programs_find_their_settings(words: str, path: str) -> None:
    assert find(words)[0].path == path


def test_augmentation_finds_the_changes_to_pictures_and_captions() -> None:
    found = {info.path for info in find("augmentation")}
    assert {"concepts[].image.flip", "concepts[].image.rotation"} <= found
    assert "concepts[].caption.shuffle" in found


def test_what_nothing_obeys_is_not_found() -> None:
    assert all(info.ready for info in find("e"))
    assert find("Mirror at random") == []


def test_a_result_leads_to_its_field_whatever_the_level(window: Window, qtbot: Any) -> None:
    window.set_level("basic")
    window._focus_search()
    qtbot.keyClicks(window.search, "beta 2")
    assert [hit.path for hit in window.search.hits()] == ["training.beta2"]
    qtbot.keyClick(window.search, Qt.Key.Key_Return)
    row = window.pages["training"].forms[0].rows["training.beta2"]
    assert window.tabs.currentWidget() is window.pages["training"]
    assert row.isVisible()
    assert row.property("flash") == "true"
    assert not window.search.hits()


def test_what_does_not_apply_leads_to_what_it_depends_on(window: Window, qtbot: Any) -> None:
    qtbot.keyClicks(window.search, "d_coef")
    hit = window.search.hits()[0]
    assert not hit.applies
    assert hit.path == "training.optimizer"
    assert "Prodigy" in hit.note
    window.state.set("training.optimizer", "prodigy")
    window.search.search()
    assert window.search.hits()[0].path == "training.prodigy.d_coef"


def test_settings_of_lists_lead_to_an_item(window: Window, pictures: Any, qtbot: Any) -> None:
    qtbot.keyClicks(window.search, "trigger word")
    assert window.search.hits()[0].path == "concepts"
    for _ in range(2):
        window.state.add("concepts", {**new_item("concepts"), "path": str(pictures)})
    window.pages["concepts"].list.open(1)  # type: ignore[attr-defined]
    window._focus_search()
    window.search.search()
    assert window.search.hits()[0].path == "concepts.1.prompt.trigger"


def test_escape_closes_the_results(window: Window, qtbot: Any) -> None:
    qtbot.keyClicks(window.search, "seed")
    assert window.search.hits()
    qtbot.keyClick(window.search, Qt.Key.Key_Escape)
    assert not window.search.hits()
    assert window.search.text() == ""
