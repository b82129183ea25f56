"""A concept's statistics: what is counted, off the window's thread, and how it is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QApplication, QLabel

from app import concepts_statistics
from app.background import Background
from app.concepts_statistics import ConceptStatistics, aspect_bars, token_bars
from app.tabs.concepts import ConceptsTab
from app.window import Window
from core.config.job import Job
from core.data.plan import make_plan
from core.data.statistics import Statistics, statistics_of

from .conftest import Settled


def test_the_statistics_show_what_was_counted(styled: QApplication, qtbot: Any) -> None:
    facts = Statistics(
        pictures=5,
        skipped=1,
        smallest=(64, 64),
        largest=(200, 100),
        median_pixels=10_000,
        aspects={0: 3, 4: 2},
        captions=6,
        captions_long=1,
        tokens={10: 4, 75: 1, 76: 1},
        tags=(("cat", 5), ("hat", 2)),
    )
    view = ConceptStatistics(facts)
    qtbot.addWidget(view)
    view.show()
    assert [(bar.label, bar.value) for bar in view.tags.bars] == [("cat", 5), ("hat", 2)]
    assert sum(bar.value for bar in view.aspects.bars) == 5
    told = [label.text() for label in view.counts.findChildren(QLabel)]
    assert "6 for 5 pictures, 1 over 75 tokens" in told and "5, 1 skipped" in told
    chosen: list[str] = []
    view.tagChosen.connect(chosen.append)
    for y in (2, view.tags.height() - 3):
        qtbot.mouseClick(view.tags, Qt.MouseButton.LeftButton, pos=QPoint(2, y))
    assert chosen == ["cat", "hat"]
    assert not view.grab().isNull()
    view.set_facts(None)
    assert view.empty.isVisible()
    assert not view.tags.isVisible()


def test_the_statistics_count_in_the_background(
    styled: QApplication, qtbot: Any, pictures: Path
) -> None:
    job = Job.model_validate({"concepts": [{"path": str(pictures)}, {"path": "elsewhere"}]})
    plan = make_plan(Job.model_validate({"concepts": [{"path": str(pictures)}]}), bucket_step=64)
    background = Background()
    view = ConceptStatistics(background=background)
    qtbot.addWidget(view)
    view.look_at(job, 0, 64)
    # Nobody looks yet.
    assert background.is_idle()
    view.show()
    qtbot.waitUntil(lambda: view.facts is not None)
    assert view.facts == statistics_of(plan.items)
    (pictures / "picture 0.png").unlink()
    view.look_again()
    qtbot.waitUntil(
        lambda: view.facts is not None and view.facts.pictures == len(plan.items) - 1,
        timeout=10000,
    )
    background.close()


def test_the_statistics_fill_while_pictures_are_read(
    styled: QApplication, qtbot: Any, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concepts_statistics, "TELL_SECONDS", -1.0)
    job = Job.model_validate({"concepts": [{"path": str(pictures)}]})
    background = Background()
    view = ConceptStatistics(background=background)
    qtbot.addWidget(view)
    first: list[list[str]] = []
    view.filled.connect(lambda: first.append([x.text() for x in view.counts.findChildren(QLabel)]))
    view.look_at(job, 0, 64)
    view.show()
    assert "Looking" in view.empty.text()
    qtbot.waitUntil(lambda: view.facts is not None and view.facts.pictures == 5)
    qtbot.waitUntil(background.is_idle)
    assert len(first) == 1 and "1 so far" in first[0][1]
    assert view.counts.findChildren(QLabel)[1].text().startswith("5")
    assert "so far" not in view.counts.findChildren(QLabel)[1].text()
    # Nothing that is complete goes back to what is known so far.
    view.filled.connect(lambda: pytest.fail("filled again"))
    view.look_again()
    qtbot.waitUntil(background.is_idle)
    assert view.facts is not None and view.facts.pictures == 5
    background.close()


def test_a_concepts_card_has_its_statistics(complete: Window, qtbot: Any) -> None:
    page = complete.pages["concepts"]
    assert isinstance(page, ConceptsTab)
    card = page.card(0)
    card.enter("statistics")
    assert card.statistics is not None
    view = card.statistics
    qtbot.waitUntil(lambda: view.facts is not None and view.facts.pictures == 7)
    view.tagChosen.emit("thing 1")
    assert card.room == "pictures" and card.pictures is not None
    assert card.pictures.bar.search.text() == "thing 1"
    card.enter("statistics")
    complete.state.set("concepts.0.small", "leave_out")
    complete.state.set("training.resolution", 96)
    qtbot.waitUntil(lambda: view.facts is not None and view.facts.pictures < 7)


def test_the_statistics_of_the_last_of_many_concepts_come_into_view(
    complete: Window, tmp_path: Path, settled: Settled, qtbot: Any
) -> None:
    folders = [tmp_path / f"more {number}" for number in range(5)]
    for folder in folders:
        folder.mkdir()
        Image.new("RGB", (64, 64), (9, 200, 40)).save(folder / "1.png")
    complete.take_dropped(folders)
    settled(complete)
    page = complete.pages["concepts"]
    assert isinstance(page, ConceptsTab)
    card = page.card(5)
    card.enter("statistics")
    view = card.statistics
    assert view is not None
    qtbot.waitUntil(lambda: view.facts is not None and view.facts.pictures == 1)

    def seen() -> bool:
        room = page.viewport().rect()
        top = view.aspects.mapTo(page.viewport(), view.aspects.rect().topLeft())
        return room.contains(top) and room.contains(card.rooms.mapTo(page.viewport(), QPoint(0, 0)))

    qtbot.waitUntil(seen)


def test_bars_of_lengths_and_shapes() -> None:
    bars = token_bars({1: 2, 15: 1, 16: 4, 75: 1, 76: 2, 1000: 3})
    assert [bar.value for bar in bars[:6]] == [3, 4, 0, 0, 1, 2]
    assert [bar.warns for bar in bars[:6]] == [False] * 5 + [True]
    assert (bars[-1].value, bars[-1].label) == (3, ">225")
    assert len(token_bars({})) == 5
    shapes = aspect_bars({-8: 1, 0: 2})
    assert (shapes[0].label, shapes[0].value) == ("1:4", 1)
    assert next(bar.value for bar in shapes if bar.label == "1:1") == 2
