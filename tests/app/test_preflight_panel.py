"""The panel before training: what it says, where its lines lead, and that it can be stopped."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QLabel

from app.footer import duration, size
from app.preflight.problems import lines_of
from app.tabs.concepts import ConceptsTab
from app.window import Window
from core.config.job import Job
from core.errors import Problem

from .conftest import Settled


@pytest.fixture
def checked(complete: Window, qtbot: Any) -> Window:
    """The same with the panel open and its work done."""
    complete.footer.check.click()
    wait(complete, qtbot)
    return complete


def wait(window: Window, qtbot: Any) -> None:
    qtbot.waitUntil(
        lambda: window.preflight_watch.status == "done" and not window.plan_watch.busy,
        timeout=20000,
    )


def codes(window: Window) -> set[str]:
    return {line.problem.code for line in window.check.problems.lines() if line.problem}


def row_of(window: Window, code: str) -> int:
    lines = window.check.problems.lines()
    return next(i for i, line in enumerate(lines) if line.problem and line.problem.code == code)


def test_it_tells_everything_with_its_numbers(checked: Window) -> None:
    panel = checked.check
    assert panel.isVisible()
    assert {"captions_missing", "captions_long", "duplicates_exact"} <= codes(checked)
    assert panel.verdict.full_text().startswith("Can be trained; ")
    assert "7 pictures" in panel.needs.values["steps"].text()
    assert "about" in panel.needs.values["memory"].text()
    assert [name.text() for name in panel.needs.findChildren(QLabel)][::2] == [
        "Steps",
        "Time",
        "Memory",
        "Disk",
    ]
    assert "cache" in panel.needs.values["disk"].text()
    assert "not known" in panel.needs.values["time"].text()
    titles = [panel.table.horizontalHeaderItem(n).text() for n in range(panel.table.columnCount())]
    assert titles[:2] == ["Concept", "Pictures"]
    cells = {t: panel.table.item(0, n).text() for n, t in enumerate(titles)}
    assert (cells["Concept"], cells["Pictures"], cells["Long"]) == ("robots", "7", "1")
    assert cells["Twice"] == "2"
    assert "Skipped" not in cells
    # The footer counts what the closer look has found.
    number = len([line for line in panel.problems.lines() if line.problem])
    assert checked.footer.problems.text() == f"{number} warnings"


def test_a_line_leads_to_the_setting(checked: Window) -> None:
    checked.tabs.setCurrentWidget(checked.pages["lora"])
    checked.check.problems.choose(row_of(checked, "captions_missing"), "sliders-horizontal")
    assert checked.tabs.currentWidget() is checked.pages["concepts"]


def test_a_line_leads_to_the_picture(checked: Window, qtbot: Any) -> None:
    checked.tabs.setCurrentWidget(checked.pages["lora"])
    checked.check.problems.choose(row_of(checked, "captions_long"))
    page = checked.pages["concepts"]
    assert isinstance(page, ConceptsTab)
    assert checked.tabs.currentWidget() is page
    grid = page.card(0).pictures
    assert grid is not None
    qtbot.waitUntil(lambda: "long.png" in chosen_names(grid))


def chosen_names(pictures: Any) -> list[str]:
    """The names of the pictures that are selected in a concept's grid."""
    return [path.name for path in pictures.grid.selected()]


def test_a_line_about_many_leads_to_all_of_them(
    complete: Window, pictures: Path, qtbot: Any
) -> None:
    (pictures / "picture 0.txt").write_bytes(bytes(range(256)))
    complete.footer.check.click()
    wait(complete, qtbot)
    complete.check.problems.choose(row_of(complete, "captions_missing"))
    tab = complete.pages["concepts"]
    assert isinstance(tab, ConceptsTab)
    page = tab.card(0).pictures
    assert page is not None
    qtbot.waitUntil(lambda: page.model.filter_name() == "no_caption")
    assert [p.name for p in page.model.shown()] == [
        "picture 0.png",
        "picture 3.png",
        "picture 4.png",
        "twin.png",
    ]
    assert chosen_names(page) == ["picture 0.png"]
    complete.check.problems.choose(row_of(complete, "duplicates_exact"))
    qtbot.waitUntil(lambda: page.model.filter_name() == "duplicates")
    assert set(chosen_names(page)) < {p.name for p in page.model.shown()}
    assert {p.name for p in page.model.shown()} >= {"picture 1.png", "twin.png"}
    # A line about one picture shows it whatever is filtered.
    complete.check.problems.choose(row_of(complete, "captions_long"))
    qtbot.waitUntil(lambda: chosen_names(page) == ["long.png"])
    assert page.model.filter_name() == "all"


def test_a_broken_picture_is_told_with_its_reason_and_not_counted_again(
    complete: Window, pictures: Path, qtbot: Any, settled: Settled
) -> None:
    whole = (pictures / "picture 0.png").read_bytes()
    Image.effect_noise((200, 200), 90).save(pictures / "torn.png")
    data = (pictures / "torn.png").read_bytes()
    (pictures / "torn.png").write_bytes(data[: len(data) // 2])
    complete.footer.check.click()
    qtbot.waitUntil(lambda: "picture_unreadable" in codes(complete), timeout=20000)
    wait(complete, qtbot)
    (line,) = [
        one
        for one in complete.check.problems.lines()
        if one.problem and one.problem.code == "picture_unreadable"
    ]
    assert line.text.startswith("torn.png") and "early" in line.detail
    index = complete.check.problems.model().index(row_of(complete, "picture_unreadable"), 0)
    assert line.detail in index.data(Qt.ItemDataRole.AccessibleTextRole)

    def planned() -> int:
        assert complete.plan_watch.forecast is not None
        return len(complete.plan_watch.forecast.plan.items)

    assert planned() == 7
    complete.check.put_away()
    complete.state.set("training.epochs", 3)
    settled(complete)
    assert planned() == 7
    # Another file of that name is given a chance.
    (pictures / "torn.png").write_bytes(whole)
    complete.state.set("training.epochs", 4)
    settled(complete)
    assert planned() == 8


def test_a_picture_that_cannot_be_shown_is_not_counted(
    complete: Window, pictures: Path, qtbot: Any
) -> None:
    Image.effect_noise((200, 200), 90).save(pictures / "torn.png")
    data = (pictures / "torn.png").read_bytes()
    (pictures / "torn.png").write_bytes(data[: len(data) // 2])
    tab = complete.pages["concepts"]
    assert isinstance(tab, ConceptsTab)
    tab.card(0).enter("pictures")

    def left_out() -> bool:
        forecast = complete.plan_watch.forecast
        return forecast is not None and any(
            problem.file == str(pictures / "torn.png") for problem in forecast.plan.problems
        )

    qtbot.waitUntil(left_out, timeout=20000)
    assert complete.plan_watch.forecast is not None
    assert len(complete.plan_watch.forecast.plan.items) == 7


def test_a_click_on_a_line_and_on_its_buttons(checked: Window, qtbot: Any) -> None:
    problems = checked.check.problems
    row = row_of(checked, "captions_long")
    pictures, settings = [], []
    problems.pictureChosen.connect(lambda concept, path: pictures.append(path))
    problems.settingChosen.connect(settings.append)
    problems.scrollTo(problems.model().index(row, 0))
    rect = problems.visualRect(problems.model().index(row, 0))
    zones = [problems._delegate.zone_rect(rect, place).center() for place in (0, 1)]

    def click(at: Any) -> None:
        qtbot.mouseClick(problems.viewport(), Qt.MouseButton.LeftButton, pos=at)

    click(zones[0])
    assert (len(pictures), settings) == (0, ["concepts.0.prompt.source"])
    click(zones[1])
    assert (len(pictures), len(settings)) == (1, 1)
    click(QPoint(rect.left() + rect.width() // 3, rect.center().y()))
    assert (len(pictures), len(settings)) == (2, 1)


def test_the_pointer_shows_where_a_line_leads(checked: Window) -> None:
    problems = checked.check.problems
    heading = problems.visualRect(problems.model().index(0, 0)).center()
    problem = problems.visualRect(problems.model().index(1, 0)).center()
    for at, shape in (
        (heading, Qt.CursorShape.ArrowCursor),
        (problem, Qt.CursorShape.PointingHandCursor),
    ):
        event = QMouseEvent(
            QEvent.Type.MouseMove,
            QPointF(at),
            problems.viewport().mapToGlobal(QPointF(at)),
            Qt.MouseButton.NoButton,
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(problems.viewport(), event)
        assert problems.viewport().cursor().shape() == shape


def test_errors_open_the_panel_instead_of_training(
    complete: Window, monkeypatch: pytest.MonkeyPatch, settled: Settled
) -> None:
    started: list[Job] = []
    monkeypatch.setattr(complete.run, "start", started.append)
    complete.state.set("training.epochs", 0)
    complete.state.set("lora.rank", "x")
    settled(complete)
    complete.train()
    assert started == []
    assert complete.check.isVisible()
    first = complete.check.problems.lines()
    assert first[0].heading.startswith("Must be corrected")
    assert {line.problem.setting for line in first[1:3] if line.problem} == {
        "training.epochs",
        "lora.rank",
    }
    assert "must be corrected" in complete.check.verdict.full_text()


def test_training_puts_the_panel_away(checked: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Job] = []
    monkeypatch.setattr(checked.run, "start", started.append)
    checked.train()
    assert len(started) == 1
    assert checked.check.isHidden()


def test_it_follows_the_settings_while_it_is_open(checked: Window, qtbot: Any) -> None:
    assert "warmup_too_long" not in codes(checked)
    checked.state.set("training.warmup_steps", 100_000)
    qtbot.waitUntil(lambda: "warmup_too_long" in codes(checked), timeout=20000)
    wait(checked, qtbot)
    checked.state.set("training.warmup_steps", 0)
    qtbot.waitUntil(lambda: "warmup_too_long" not in codes(checked), timeout=20000)
    wait(checked, qtbot)
    assert "duplicates_exact" in codes(checked)


def test_the_footer_takes_in_what_the_closer_look_found(
    complete: Window, pictures: Path, settled: Settled, qtbot: Any
) -> None:
    torn = pictures / "torn.png"
    torn.write_bytes((pictures / "picture 1.png").read_bytes()[:-100])
    complete.look_again()
    qtbot.wait(50)
    settled(complete)
    assert complete.plan_watch.forecast is not None
    count = len(complete.plan_watch.forecast.plan.items)
    assert torn in {item.path for item in complete.plan_watch.forecast.plan.items}
    complete.footer.check.click()
    wait(complete, qtbot)
    assert complete.preflight_watch.found is not None
    assert complete.preflight_watch.found.plan is complete.plan_watch.forecast.plan
    assert len(complete.plan_watch.forecast.plan.items) == count - 1
    assert not complete.preflight_watch.stale


def test_a_mended_fault_is_gone(checked: Window, pictures: Path, qtbot: Any) -> None:
    (pictures / "twin.png").unlink()
    checked.look_again()
    qtbot.waitUntil(lambda: "duplicates_exact" not in codes(checked), timeout=20000)


def test_it_can_be_stopped_and_begun_again(
    complete: Window, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.runs import preflight as module

    real, entered, stopped = module.find_duplicates, threading.Event(), threading.Event()

    def slow(plan: Any, **options: Any) -> Any:
        entered.set()
        while not options["check_stop"]():
            stopped.wait(0.01)
        stopped.set()
        return real(plan, **options)

    monkeypatch.setattr(module, "find_duplicates", slow)
    complete.footer.check.click()
    qtbot.waitUntil(entered.is_set, timeout=20000)
    qtbot.waitUntil(lambda: complete.preflight_watch.progress.phase == "duplicates")
    panel = complete.check
    assert "Comparing" in panel.verdict.full_text()
    assert panel.stop.isVisible()
    # What is known without comparing is there already.
    assert "captions_long" in codes(complete)
    panel.stop.click()
    qtbot.waitUntil(stopped.is_set)
    assert panel.verdict.full_text() == "Stopped before everything was looked at."
    assert panel.again.isVisible()
    monkeypatch.setattr(module, "find_duplicates", real)
    panel.again.click()
    wait(complete, qtbot)
    assert "duplicates_exact" in codes(complete)


def test_putting_it_away_stops_the_work(
    complete: Window, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete.footer.check.click()
    complete.footer.check.click()
    assert complete.check.isHidden()
    assert complete.preflight_watch.status in ("stopped", "done")
    complete.footer.problems.click()
    wait(complete, qtbot)
    qtbot.keyClick(complete.check.problems, Qt.Key.Key_Escape)
    assert complete.check.isHidden()


def test_nothing_to_complain_about(
    window: Window, tmp_path: Path, base_model: Path, settled: Settled, qtbot: Any
) -> None:
    folder = tmp_path / "good"
    folder.mkdir()
    for number, colour in enumerate(((250, 0, 0), (0, 250, 0), (0, 0, 250))):
        Image.new("RGB", (64, 64), colour).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"colour {number}")
    window.take_dropped([folder])
    window.state.set("model.base", str(base_model))
    window.state.set("training.resolution", 64)
    window.state.set("training.warmup_steps", 0)
    window.state.set("concepts.0.prompt.trigger", "zxcol")
    settled(window)
    window.footer.check.click()
    wait(window, qtbot)
    assert window.check.problems.lines() == []
    assert window.check.good.isVisible()
    assert window.check.verdict.full_text() == "Can be trained."


def test_lines_are_grouped() -> None:
    from app.preflight.problems import Words

    def problem(setting: str, severity: Any = "warning", file: str = "") -> Problem:
        return Problem(code="x", title=setting, setting=setting, severity=severity, file=file)

    lines = lines_of(
        [
            problem("concepts.1.path", file="/a/b.png"),
            problem("training.epochs", "error"),
            problem("concepts.0.path", file="/a/no picture.txt"),
            problem("concepts"),
            problem("lora.rank"),
        ],
        {0: "cats", 1: "dogs"},
        Words("Errors", "Settings"),
    )
    shown = [(line.heading or line.text, line.picture) for line in lines]
    assert shown == [
        ("Errors  (1)", ""),
        ("training.epochs", ""),
        ("Settings  (2)", ""),
        ("concepts", ""),
        ("lora.rank", ""),
        ("cats  (1)", ""),
        ("concepts.0.path", ""),
        ("dogs  (1)", ""),
        ("concepts.1.path", str(Path("/a/b.png"))),
    ]


def test_two_concepts_are_summed_up(
    complete: Window, tmp_path: Path, settled: Settled, qtbot: Any
) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    Image.new("RGB", (64, 64), (9, 200, 40)).save(folder / "1.png")
    complete.take_dropped([folder])
    settled(complete)
    complete.footer.check.click()
    wait(complete, qtbot)
    table = complete.check.table
    shown = [[table.item(row, column).text() for column in (0, 1)] for row in range(3)]
    assert shown == [["robots", "7"], ["more", "1"], ["In all", "8"]]
    table.selectRow(1)
    assert complete.check.statistics_title.text() == "more"
    assert complete.check.statistics.facts.pictures == 1


def test_durations_and_sizes_are_rough() -> None:
    assert [duration(s) for s in (4, 42, 61, 1800, 9000)] == [
        "4 s",
        "40 s",
        "1 min",
        "30 min",
        "2.5 h",
    ]
    assert [size(n) for n in (90_000, 18_400_000, 1_200_000_000)] == ["90 kB", "18 MB", "1.2 GB"]
