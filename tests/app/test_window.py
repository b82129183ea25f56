"""The main window: first start, dropping, problems, plan, presets, session, closing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QWidget,
)

from app import theme
from app.hardware import Hardware
from app.state import new_item
from app.tabs.places import TABS
from app.tabs.training import TrainingTab
from app.widgets.labels import Elided
from app.window import Window
from core.config.job import Job
from core.paths import session_file

from .conftest import make_pictures

Settled = Callable[[Window], None]


@pytest.fixture
def complete(window: Window, pictures: Path, base_model: Path, settled: Settled) -> Window:
    """A window whose settings can be trained."""
    window.take_dropped([pictures])
    window.state.set("model.base", str(base_model))
    settled(window)
    return window


@pytest.fixture
def started(window: Window, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Jobs that were started; nothing really starts."""
    jobs: list[Job] = []
    monkeypatch.setattr(window.run, "start", jobs.append)
    return jobs


def training_tab(window: Window) -> TrainingTab:
    """The Training tab."""
    page = window.pages["training"]
    assert isinstance(page, TrainingTab)
    return page


def choose_optimizer(window: Window, name: str) -> None:
    """Choose an optimizer as a person does."""
    editor = training_tab(window).forms[0].editor("training.optimizer")
    assert isinstance(editor, QComboBox)
    index = editor.findData(name)
    editor.setCurrentIndex(index)
    editor.activated.emit(index)


def test_the_first_start_shows_steps_and_hardware(window: Window, qtbot: Any) -> None:
    assert window.welcome.isVisible()
    assert window.tabs.currentWidget() is window.pages["concepts"]
    assert window.run.isHidden()
    assert window.state.preset == "# sd 1.5 lora"
    assert "add pictures" in window.footer.summary.full_text() or window.plan_watch.busy
    qtbot.waitUntil(lambda: "GPU" in window.welcome.hardware.full_text(), timeout=20000)


def test_hardware_is_told_in_one_line(qtbot: Any) -> None:
    hardware = Hardware(QWidget())
    line = hardware.sentence("NVIDIA GeForce RTX 3060, 12288, 560.35.03\n")
    assert line == "NVIDIA GeForce RTX 3060, 12 GB, driver 560.35.03"
    assert "and 1 more" in hardware.sentence("A, 8192, 1\nB, 8192, 1\n")
    assert "processor" in hardware.sentence("")
    assert "processor" in hardware.sentence("garbage")


def test_a_missing_program_means_no_gpu(qtbot: Any) -> None:
    parent = QWidget()
    qtbot.addWidget(parent)
    hardware = Hardware(parent, program="no-such-program-anywhere")
    with qtbot.waitSignal(hardware.found) as told:
        hardware.ask()
    assert "processor" in told.args[0]


def test_dropped_things_find_their_place(
    window: Window, pictures: Path, base_model: Path, tmp_path: Path, qtbot: Any
) -> None:
    preset = tmp_path / "shared.json"
    preset.write_text('{"limner": 1, "training": {"epochs": 7}}')
    window.take_dropped([preset])
    assert window.state.get("training.epochs") == 7
    other = make_pictures(tmp_path / "cats", 2, 0)
    window.take_dropped([pictures, other / "picture 0.png", base_model])
    assert [c["path"] for c in window.state.get("concepts")] == [str(pictures), str(other)]
    assert window.state.get("model.base") == str(base_model)


def test_dragging_something_over_the_window_shows_that_it_can_be_dropped(
    window: Window, pictures: Path
) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(pictures))])
    none, left = Qt.KeyboardModifier.NoModifier, Qt.MouseButton.LeftButton
    copy = Qt.DropAction.CopyAction

    def drag_in() -> QDragEnterEvent:
        event = QDragEnterEvent(QPoint(300, 300), copy, data, left, none)
        QApplication.sendEvent(window, event)
        return event

    window.tabs.setCurrentWidget(window.pages["concepts"])
    assert drag_in().isAccepted() and not window.drop_hint.isVisible()  # the empty tab says it
    QApplication.sendEvent(window, QDragLeaveEvent())
    window.take_dropped([pictures])
    drag_in()
    assert window.drop_hint.isVisible()
    hint = window.drop_hint.geometry()
    assert window.rect().contains(hint)
    assert window.childAt(hint.center()) is not window.drop_hint
    QApplication.sendEvent(window, QDropEvent(QPointF(300, 300), copy, data, left, none))
    assert not window.drop_hint.isVisible()


def test_the_base_model_is_told(complete: Window) -> None:
    page = complete.pages["model"]
    assert page.found.text() == "Stable Diffusion 1.x, v-prediction, 64 px"  # type: ignore[attr-defined]
    assert page.found.kind() == "good"  # type: ignore[attr-defined]


def test_a_bad_base_model_is_refused_in_words(
    complete: Window, tmp_path: Path, settled: Settled, started: list[Job]
) -> None:
    bad = tmp_path / "page.safetensors"
    bad.write_text("<!DOCTYPE html><html>not found</html>")
    complete.state.set("model.base", str(bad))
    settled(complete)
    page = complete.pages["model"]
    assert page.found.kind() == "error"  # type: ignore[attr-defined]
    assert "page.safetensors" in page.found.text()  # type: ignore[attr-defined]
    complete.train()
    assert started == []
    assert complete.tabs.currentWidget() is page


def test_a_model_that_is_not_here_offers_the_download(
    window: Window, settled: Settled, qtbot: Any
) -> None:
    settled(window)
    page = window.pages["model"]
    assert not page.proposal.isHidden()  # type: ignore[attr-defined]
    assert "not on this computer" in page.proposal.text.text()  # type: ignore[attr-defined]
    page.proposal.button.click()  # type: ignore[attr-defined]
    assert window.state.get("model.allow_download") is True
    settled(window)
    assert "will be downloaded" in page.proposal.text.text()  # type: ignore[attr-defined]
    page.proposal.button.click()  # type: ignore[attr-defined]
    assert window.state.get("model.allow_download") is False
    settled(window)
    assert "not on this computer" in page.proposal.text.text()  # type: ignore[attr-defined]
    page.proposal.button.click()  # type: ignore[attr-defined]
    settled(window)
    assert window.plan_watch.problems()[0].code == "no_concepts"


def test_the_footer_tells_what_train_would_do(complete: Window, settled: Settled) -> None:
    complete.state.set("training.epochs", 4)
    complete.state.set("training.batch_size", 1)
    complete.state.set("training.resolution", 64)
    complete.state.set("training.warmup_steps", 0)
    complete.state.set("concepts.0.prompt.trigger", "zxrobot")
    complete.state.set("concepts.0.resolution", None)
    settled(complete)
    assert complete.footer.summary.full_text().startswith("5 pictures, ")
    assert " 20 steps" in complete.footer.summary.full_text()
    assert complete.footer.problems.text() == "1 warning"
    titles = [problem.title for problem in complete.plan_watch.problems()]
    assert "2 of 5 pictures" in titles[0]


def test_train_starts_the_job(complete: Window, started: list[Job]) -> None:
    complete.train()
    assert len(started) == 1
    assert started[0].model.base == complete.state.get("model.base")
    assert complete.run.isVisible()
    assert not complete.welcome.isVisible()


def test_train_leads_to_what_is_missing(
    complete: Window, started: list[Job], settled: Settled, qtbot: Any
) -> None:
    complete.state.set("training.epochs", "")
    settled(complete)
    assert complete.footer.problems.text() == "1 problem"
    assert "1 setting must be corrected" in complete.footer.summary.full_text()
    complete.train()
    assert started == []
    assert complete.tabs.currentWidget() is complete.pages["training"]


def test_the_list_of_problems_leads_to_the_fields(
    complete: Window, settled: Settled, qtbot: Any
) -> None:
    complete.state.set("training.epochs", 0)
    complete.state.set("lora.rank", "x")
    settled(complete)
    assert complete.footer.problems.text() == "2 problems"
    complete.footer.problems.click()
    rows = [line.text for line in complete.check.problems.lines()]
    complete.check.problems.choose(next(i for i, text in enumerate(rows) if "lora.rank" in text))
    assert complete.tabs.currentWidget() is complete.pages["lora"]
    assert complete.pages["lora"].forms[0].rows["lora.rank"].property("flash") == "true"


def test_prodigy_takes_the_rate_that_was_not_touched(window: Window) -> None:
    choose_optimizer(window, "prodigy")
    assert window.state.get("training.learning_rate") == 1.0
    proposal = training_tab(window).proposal
    assert not proposal.isHidden()
    assert "Prodigy" in proposal.text.text()
    assert proposal.button.text() == "Back to 1e-4"
    window.state.undo()
    assert window.state.get("training.optimizer") == "adamw"
    assert window.state.get("training.learning_rate") == 1e-4


def test_prodigy_proposes_where_the_rate_was_chosen(window: Window) -> None:
    window.state.set("training.learning_rate", 3e-4)
    choose_optimizer(window, "prodigy")
    assert window.state.get("training.learning_rate") == 3e-4
    proposal = training_tab(window).proposal
    assert proposal.button.text() == "Use 1"
    proposal.button.click()
    assert window.state.get("training.learning_rate") == 1.0
    assert proposal.isHidden()


def test_leaving_prodigy_proposes_a_usual_rate(window: Window) -> None:
    choose_optimizer(window, "prodigy")
    choose_optimizer(window, "adamw_8bit")
    assert window.state.get("training.learning_rate") == 1.0
    proposal = training_tab(window).proposal
    assert proposal.button.text() == "Use 1e-4"
    proposal.button.click()
    assert window.state.get("training.learning_rate") == 1e-4


def test_alpha_and_rank_tell_the_strength(window: Window) -> None:
    window.state.set("lora.rank", 64)
    window.state.set("lora.alpha", 16.0)
    assert window.pages["lora"].strength.text().endswith("= 0.25")  # type: ignore[attr-defined]
    window.state.set("lora.rank", "")
    assert window.pages["lora"].strength.text()  # type: ignore[attr-defined]


def test_basic_and_all(make_window: Callable[[], Window], qtbot: Any) -> None:
    window = make_window()
    row = window.pages["training"].forms[0].rows["training.beta1"]
    assert row.isHidden()
    window.pages["training"].forms[0].more.click()
    assert not row.isHidden()
    assert window.header.level.buttons["all"].isChecked()
    window.close()
    assert make_window().header.level.buttons["all"].isChecked()


def test_edits_come_back_at_the_next_start(
    make_window: Callable[[], Window], pictures: Path, qtbot: Any
) -> None:
    window = make_window()
    window.presets.choose("# sd 1.5 lora prodigy")
    window.take_dropped([pictures])
    window.state.set("training.epochs", 13)
    window.state.set("training.batch_size", 1)
    qtbot.waitUntil(lambda: session_file().exists(), timeout=20000)
    window.state.set("training.seed", 99)
    window.close()
    again = make_window()
    assert again.state.preset == "# sd 1.5 lora prodigy"
    assert again.state.get("training.epochs") == 13
    assert again.state.get("training.seed") == 99
    assert again.state.get("concepts.0.path") == str(pictures)
    assert again.state.dirty
    assert not again.state.differs("lora.rank")


def test_a_damaged_session_is_told_and_kept(
    make_window: Callable[[], Window], answers: dict[str, Any], qtbot: Any
) -> None:
    session_file().parent.mkdir(parents=True, exist_ok=True)
    session_file().write_text("{broken")
    make_window()
    qtbot.waitUntil(lambda: bool(answers["told"]), timeout=20000)
    assert answers["told"][0].code == "session_broken"
    assert session_file().with_name("session.json.bad").read_text() == "{broken"


def test_prompts_can_be_edited(window: Window, qtbot: Any) -> None:
    page = window.pages["sampling"]
    before = len(window.state.get("sampling.prompts"))
    window.tabs.setCurrentWidget(page)
    page.add.click()  # type: ignore[attr-defined]
    card = page.list.cards[before]  # type: ignore[attr-defined]
    qtbot.keyClicks(card.editors["prompt"], "a robot")
    card.editors["seed"].selectAll()
    qtbot.keyClicks(card.editors["seed"], "42")
    prompt = window.state.get(f"sampling.prompts.{before}")
    assert (prompt["prompt"], prompt["seed"]) == ("a robot", 42)
    window.state.undo()
    window.state.undo()
    assert window.state.get(f"sampling.prompts.{before}.prompt") == ""


def test_closing_while_training_asks(
    make_window: Callable[[], Window], answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    window = make_window()
    ended: list[str] = []
    running = [True]
    monkeypatch.setattr(window.run, "is_running", lambda: running[0])
    monkeypatch.setattr(window.run, "shutdown", ended.append)
    answers["ask"] = "cancel"
    assert not window.close()
    assert window.isVisible()
    assert ended == []
    for answer in ("detach", "stop"):
        answers["ask"] = answer
        window.show()
        assert window.close()
        assert ended[-1] == answer
    running[0] = False
    window.show()
    assert window.close()
    assert len(ended) == 2


def test_sizes_and_tab_come_back(make_window: Callable[[], Window]) -> None:
    window = make_window()
    window.resize(1111, 666)
    window.tabs.setCurrentIndex(TABS.index("lora"))
    window.close()
    again = make_window()
    assert again.tabs.currentIndex() == TABS.index("lora")


def test_the_picture_can_have_the_whole_window(window: Window) -> None:
    window.show_run(True)
    window.run.pictureZoomed.emit(True)
    assert window.left.isHidden()
    window.run.pictureZoomed.emit(False)
    assert window.left.isVisible()
    window.run.pictureZoomed.emit(True)
    window.reveal("lora.rank")
    assert window.left.isVisible()


@pytest.mark.parametrize(
    "keys",
    ["Ctrl+S", "Ctrl+Shift+S", "Ctrl+Z", "Ctrl+Y", "Ctrl+F", "Ctrl+Return", "Alt+1", "Alt+5"],
)
def test_everything_has_its_key(window: Window, keys: str) -> None:
    wanted = QKeySequence(keys)
    found = [s for s in window.findChildren(QShortcut) if s.key() == wanted and s.isEnabled()]
    assert len(found) == 1
    if keys.startswith("Alt"):
        found[0].activated.emit()
        assert window.tabs.currentIndex() == int(keys[-1]) - 1
    if keys == "Ctrl+Z":
        window.state.set("training.epochs", 3)
        found[0].activated.emit()
        assert window.state.get("training.epochs") != 3


def test_themes_reach_everything(window: Window, qtbot: Any) -> None:
    window.set_theme("dark")
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    assert app.palette().window().color().name() == theme.DARK.window
    assert theme.DARK.window in app.styleSheet()
    dark = window.grab().toImage().pixelColor(3, window.height() // 2).lightness()
    window.set_theme("light")
    light = window.grab().toImage().pixelColor(3, window.height() // 2).lightness()
    assert dark < 60 < 200 < light


def clipped(window: QWidget) -> list[str]:
    """Visible texts that have less room than they need."""
    found = []
    for label in window.findChildren(QLabel):
        if label.isVisible() and label.text() and not isinstance(label, Elided):
            needed = label.heightForWidth(label.width()) if label.wordWrap() else -1
            too_low = needed > label.height() + 1
            too_narrow = not label.wordWrap() and label.sizeHint().width() > label.width() + 1
            if too_low or too_narrow:
                found.append(label.text())
    for button in window.findChildren(QAbstractButton):
        if button.isVisible() and button.text() and button.sizeHint().width() > button.width() + 1:
            found.append(button.text())
    for line in window.findChildren(QLineEdit):
        shown = line.placeholderText() if not line.text() else ""
        if line.isVisible() and line.fontMetrics().horizontalAdvance(shown) > line.width():
            found.append(shown)
    for combo in window.findChildren(QComboBox):
        text = combo.fontMetrics().horizontalAdvance(combo.currentText())
        if combo.isVisible() and text > combo.width() - theme.unit(2):
            found.append(combo.currentText())
    return found


@pytest.mark.parametrize("factor", [1.0, 1.5])
@pytest.mark.parametrize("level", ["basic", "all"])
def test_no_text_is_clipped(
    styled: QApplication,
    make_window: Callable[[], Window],
    pictures: Path,
    factor: float,
    level: str,
    qtbot: Any,
) -> None:
    font = styled.font()
    font.setPointSizeF(font.pointSizeF() * factor)
    styled.setFont(font)
    theme.apply("light")
    window = make_window()
    window.set_level(level)
    window.show_run(True)
    window.take_dropped([pictures])
    window.state.add("sampling.prompts", new_item("sampling.prompts"))
    window.state.set("training.optimizer", "prodigy")
    window.pages["sampling"].list.open(0)  # type: ignore[attr-defined]
    assert window.minimumSizeHint().width() <= 1280
    assert window.minimumSizeHint().height() <= 720
    for name in TABS:
        window.tabs.setCurrentIndex(TABS.index(name))
        for _ in range(4):
            styled.processEvents()
        assert clipped(window) == [], name
        page = window.pages[name]
        assert page.horizontalScrollBar().maximum() == 0, name


def test_a_revealed_field_is_scrolled_into_view(window: Window, qtbot: Any) -> None:
    window.set_level("all")
    window.reveal("training.timesteps.input_perturbation")
    page = window.pages["training"]
    row = page.forms[0].rows["training.timesteps.input_perturbation"]

    def in_view() -> bool:
        top = row.mapTo(page.viewport(), QPoint(0, 0)).y()
        return top >= 0 and top + row.height() <= page.viewport().height()

    qtbot.waitUntil(in_view, timeout=20000)


def test_wheel_and_keys_never_reach_a_hidden_list(window: Window, qtbot: Any) -> None:
    before = json.dumps(dict(window.state.data))
    qtbot.keyClick(window.search, Qt.Key.Key_Down)
    qtbot.keyClick(window.search, Qt.Key.Key_Return)
    assert json.dumps(dict(window.state.data)) == before


def test_alpha_goes_along_with_the_rank_while_they_are_equal(window: Window) -> None:
    editor = window.pages["lora"].forms[0].editor("lora.rank")
    state = window.state

    def choose(rank: int) -> None:
        editor.set_value(rank)  # type: ignore[attr-defined]
        editor.edited.emit(rank)  # type: ignore[attr-defined]

    choose(32)
    assert (state.get("lora.rank"), state.get("lora.alpha")) == (32, 32.0)
    state.undo()
    assert (state.get("lora.rank"), state.get("lora.alpha")) == (16, 16.0)
    state.set("lora.alpha", 8.0)
    choose(64)
    assert (state.get("lora.rank"), state.get("lora.alpha")) == (64, 8.0)
    state.set("lora.alpha", 64.0)
    choose(48)
    assert (state.get("lora.rank"), state.get("lora.alpha")) == (48, 48.0)
