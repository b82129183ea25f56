"""The panel as a whole: from Train to the end, trouble, attaching, looking back, earlier runs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import shiboken6
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QLabel, QPushButton
from pytestqt.qtbot import QtBot

from app import theme
from app.run_panel.checkpoint_choice import CheckpointChoice
from app.run_panel.panel import LOG, PICTURES, RUNS, RunPanel
from core.runs.folder import RunFolder
from core.runs.lock import is_running, running_pid
from core.worker import protocol
from tests.app_run.conftest import QUICK
from tests.app_run.scripted import a_job, append, make_run, write_checkpoint

Choose = Callable[[str], None]


def until(qtbot: QtBot, done: Callable[[], bool], timeout: int = 20_000) -> None:
    qtbot.waitUntil(done, timeout=timeout)


def until_idle(qtbot: QtBot, panel: RunPanel) -> None:
    until(qtbot, lambda: not panel.is_running())


def step_of(panel: RunPanel) -> int:
    view = panel.view()
    return view.step if view else 0


def enabled(panel: RunPanel) -> set[str]:
    """Which of the buttons can be pressed."""
    c = panel.controls
    buttons = {
        "train": c.train,
        "pause": c.pause,
        "stop": c.stop,
        "sample": c.sample,
        "checkpoint": c.checkpoint,
    }
    return {name for name, button in buttons.items() if button.isEnabled()}


def test_before_any_run(panel: RunPanel) -> None:
    assert enabled(panel) == {"train"}
    assert panel.pages.currentWidget() is panel.empty
    assert not panel.is_running()
    assert panel.notice.isHidden()


def test_train_to_the_end(qtbot: QtBot, panel: RunPanel, scenario: Choose, runs: Path) -> None:
    scenario("normal")
    titles: list[str] = []
    attention: list[str] = []
    panel.titleProgress.connect(titles.append)
    panel.attentionNeeded.connect(attention.append)
    with qtbot.waitSignal(panel.trainRequested):
        panel.controls.train.click()
    with qtbot.waitSignals([panel.collapsedChanged, panel.runningChanged]):
        panel.start(a_job("cat"))
    assert panel.is_running()
    assert "train" not in enabled(panel) and {"pause", "stop"} <= enabled(panel)
    until_idle(qtbot, panel)
    view = panel.view()
    assert view is not None and (view.state, view.step) == ("finished", 40)
    assert enabled(panel) == {"train"}
    assert panel.notice.title().startswith("Finished")
    (folder,) = runs.iterdir()
    assert str(folder / "lora.safetensors") in panel.notice.detail()
    panel.notice.buttons()["Copy path"].click()
    assert QGuiApplication.clipboard().text() == str(folder / "lora.safetensors")
    assert any(title.endswith("% · cat") for title in titles) and titles[-1] == ""
    assert attention and attention[-1].startswith("cat: Finished")
    assert panel.header.name.full_text() == "cat"


def test_buttons_follow_the_run(
    qtbot: QtBot, panel: RunPanel, scenario: Choose, run: RunFolder
) -> None:
    scenario("long")
    panel.resume(run.path, "")
    until(qtbot, lambda: step_of(panel) > 2)
    assert enabled(panel) == {"pause", "stop", "sample", "checkpoint"}
    panel.controls.pause.click()
    assert not panel.controls.pause.isEnabled(), "no second press before the first is obeyed"
    until(qtbot, lambda: panel.controls.pause.text() == "Resume")
    assert enabled(panel) == {"pause", "stop"}
    panel.controls.pause.click()
    until(qtbot, lambda: panel.controls.pause.text() == "Pause")
    panel.controls.sample.click()
    panel.controls.checkpoint.click()
    view = panel.view()
    assert view is not None
    until(qtbot, lambda: bool(view.prompts()) and view.last_checkpoint() is not None)
    panel.controls.stop.click()
    assert enabled(panel) == set() and panel.controls.stop.text().startswith("Stopping")
    until_idle(qtbot, panel)
    assert view.state == "stopped"
    assert panel.notice.title().startswith("Stopped at step")
    assert any(text.startswith("Resume from step") for text in panel.notice.buttons())


def test_train_leads_to_what_is_wrong(panel: RunPanel) -> None:
    panel.set_ready(2, 1)
    assert panel.controls.train.isEnabled()
    assert "2 settings" in panel.controls.train.toolTip()
    panel.set_ready(0, 1)
    assert "1 warning" in panel.controls.train.toolTip()


def test_a_failed_run_names_the_setting(
    qtbot: QtBot, panel: RunPanel, scenario: Choose, run: RunFolder
) -> None:
    scenario("failed")
    panel.resume(run.path, "")
    until_idle(qtbot, panel)
    assert panel.notice.title() == "The GPU's memory is not enough for these settings."
    assert "Lower the batch size." in panel.notice.detail()
    with qtbot.waitSignal(panel.settingRequested) as asked:
        panel.notice.buttons()["Go to setting"].click()
    assert asked.args == ["training.batch_size"]


def test_a_changed_model_is_accepted_by_a_button(
    qtbot: QtBot, panel: RunPanel, scenario: Choose, runs: Path
) -> None:
    run = make_run(runs, until=120, total=140, pictures=False)
    scenario("changed")
    panel.resume(run.path, "step-000100")
    until_idle(qtbot, panel)
    assert panel.notice.title() == "The VAE has changed since this run began."
    assert "accept the change" in panel.notice.detail()
    # A plain resume would only be refused again.
    assert list(panel.notice.buttons()) == [
        "Accept the change and go on",
        "Go to setting",
        "Show log",
    ]
    panel.notice.buttons()["Accept the change and go on"].click()
    until_idle(qtbot, panel)
    assert panel.notice.title().startswith("Finished")
    view = panel.view()
    assert view is not None and view.hello is not None
    assert view.hello.resumed_from == "step-000100"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_worker_and_the_way_on(
    qtbot: QtBot, panel: RunPanel, scenario: Choose, runs: Path
) -> None:
    run = make_run(runs, until=220, total=400, pictures=False)
    scenario("killed")
    panel.resume(run.path)
    until_idle(qtbot, panel)
    assert "killed" in panel.notice.title()
    view = panel.view()
    assert view is not None and view.state == "died"
    panel.notice.buttons()["Show log"].click()
    assert panel.pages.currentWidget() is panel.log
    assert enabled(panel) == {"train"}


def test_resume_from_the_message(
    qtbot: QtBot, panel: RunPanel, scenario: Choose, runs: Path
) -> None:
    run = make_run(runs, until=120, total=140, pictures=False)
    panel.attach(run.path)
    until(qtbot, lambda: bool(panel.notice.title()))
    assert "interrupted" in panel.notice.title()
    scenario("normal")
    panel.notice.buttons()["Resume from step 100"].click()
    assert panel.is_running() and panel.notice.isHidden()
    until_idle(qtbot, panel)
    assert panel.notice.title().startswith("Finished")


def test_a_hang_offers_to_end_it(
    qtbot: QtBot, panel: RunPanel, scenario: Choose, run: RunFolder
) -> None:
    scenario("hang")
    panel.resume(run.path, "")
    until(qtbot, lambda: "no sign of life" in panel.notice.title())
    panel.notice.buttons()["Keep waiting"].click()
    assert panel.notice.isHidden()
    until(qtbot, lambda: step_of(panel) == 2)
    until(qtbot, lambda: "no sign of life" in panel.notice.title())
    panel.notice.buttons()["End it now"].click()
    until_idle(qtbot, panel)
    assert "at your request" in panel.notice.title()
    assert not is_running(run)


def test_a_stop_that_is_not_obeyed_offers_to_end_it(
    qtbot: QtBot, panel: RunPanel, scenario: Choose, run: RunFolder
) -> None:
    scenario("deaf")
    panel.resume(run.path, "")
    until(qtbot, lambda: step_of(panel) > 2)
    panel.controls.stop.click()
    until(qtbot, lambda: "not stopped yet" in panel.notice.title())
    panel.notice.buttons()["End it now"].click()
    until_idle(qtbot, panel)
    assert not is_running(run)


def test_a_refused_start_is_told(qtbot: QtBot, panel: RunPanel, runs: Path) -> None:
    (runs / "file").write_text("")
    panel.runs_dir = runs / "file"
    panel.start(a_job())
    until_idle(qtbot, panel)
    assert "cannot be written" in panel.notice.title()
    assert enabled(panel) == {"train"}
    (runs / "file").unlink()


def test_a_flood_ends_complete(
    qtbot: QtBot, panel: RunPanel, scenario: Choose, run: RunFolder
) -> None:
    scenario("flood")
    panel.resume(run.path, "")
    until(qtbot, lambda: not panel.is_running(), 60_000)
    view = panel.view()
    assert view is not None and list(view.loss.steps) == list(range(1, 20_001))


def test_a_second_run_is_not_started_beside_the_first(
    qtbot: QtBot, panel: RunPanel, scenario: Choose, run: RunFolder, runs: Path
) -> None:
    scenario("long")
    panel.resume(run.path, "")
    until(qtbot, lambda: step_of(panel) > 0)
    panel.start(a_job("another"))
    panel.resume(run.path)
    assert [folder.name for folder in runs.iterdir()] == [run.path.name]
    panel.shutdown("stop")
    until(qtbot, lambda: not is_running(run))


def test_a_new_window_finds_the_running_worker(
    qtbot: QtBot, panel: RunPanel, scenario: Choose, run: RunFolder, runs: Path
) -> None:
    scenario("long")
    panel.resume(run.path, "")
    until(qtbot, lambda: step_of(panel) > 2)
    panel.shutdown("detach")
    assert is_running(run)
    second = RunPanel()
    second.limits = QUICK
    second.set_runs_dir(runs)
    qtbot.addWidget(second)
    until(qtbot, lambda: second.is_running() and step_of(second) > 5)
    view = second.view()
    assert view is not None and view.loss.steps[0] == 1
    assert {"pause", "stop"} <= enabled(second)
    second.controls.stop.click()
    until_idle(qtbot, second)
    assert view.state == "stopped"
    second.shutdown("detach")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_the_first_windows_objects_may_be_gone(
    qtbot: QtBot, qapp: object, scenario: Choose, run: RunFolder, runs: Path
) -> None:
    scenario("long")
    first = RunPanel()
    first.set_runs_dir(runs)
    first.resume(run.path, "")
    until(qtbot, lambda: step_of(first) > 2)
    shiboken6.delete(first)
    qtbot.wait(300)
    assert is_running(run)
    second = RunPanel()
    second.set_runs_dir(runs)
    qtbot.addWidget(second)
    until(qtbot, lambda: second.is_running())
    pid = running_pid(run)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until_idle(qtbot, second)
    assert second.notice.title()
    second.shutdown("detach")


def test_looking_at_an_earlier_run_while_one_trains(
    qtbot: QtBot, panel: RunPanel, scenario: Choose, run: RunFolder, runs: Path
) -> None:
    old = make_run(runs, "2026-01-02_03-04-05-old", until=60, total=60, status="finished")
    scenario("long")
    panel.resume(run.path, "")
    until(qtbot, lambda: step_of(panel) > 2)
    panel.attach(old.path)
    until(qtbot, lambda: panel.notice.title().startswith("Finished"))
    assert panel.header.name.full_text() == "old"
    assert panel.is_running() and "stop" in enabled(panel)
    assert not panel.back.isHidden() and "robot" in panel.back.text()
    assert panel.notice.buttons().keys() == {"Show in folder", "Copy path"}
    panel.back.click()
    assert panel.header.name.full_text() == "robot" and panel.back.isHidden()
    before = step_of(panel)
    until(qtbot, lambda: step_of(panel) > before)
    panel.controls.stop.click()
    until_idle(qtbot, panel)


def test_warnings_lead_to_their_settings(qtbot: QtBot, panel: RunPanel, runs: Path) -> None:
    run = make_run(runs, until=20, pictures=False)
    append(
        run,
        [
            protocol.Warning(
                code="captions_missing",
                title="3 pictures have no caption.",
                hint="Write captions.",
                setting="concepts.0.prompt.source",
            ),
            protocol.Done(status="stopped", step=20),
        ],
    )
    panel.attach(run.path)
    until(qtbot, lambda: len(panel.log.cards()) == 1)
    panel.show_page(LOG)
    (card,) = panel.log.cards()
    words = [label.text() for label in card.findChildren(QLabel)]
    assert "3 pictures have no caption." in words and "Write captions." in words
    (link,) = card.findChildren(QPushButton)
    with qtbot.waitSignal(panel.settingRequested) as asked:
        link.click()
    assert asked.args == ["concepts.0.prompt.source"]

    def fits() -> bool:
        return panel.log._scroll.viewport().height() >= panel.log._list.height()

    until(qtbot, fits)
    assert "made 4 buckets" in panel.log.text.toPlainText()
    assert "1 warning" in panel.header._pages.button(LOG).toolTip()


def test_the_list_of_runs(qtbot: QtBot, panel: RunPanel, runs: Path) -> None:
    make_run(runs, "2026-01-02_03-04-05-cat", until=60, total=60, status="finished")
    make_run(runs, "2026-02-03_04-05-06-dog", until=120, total=400)
    panel.show_page(RUNS)
    until(qtbot, lambda: len(panel.runs.model.runs) == 2)
    assert [run.name for run in panel.runs.model.runs] == ["dog", "cat"]
    assert panel.runs.resume_button.isEnabled()
    panel.runs.view.setCurrentIndex(panel.runs.model.index(1))
    assert not panel.runs.resume_button.isEnabled(), "cat has no checkpoint"
    panel.runs.open_button.click()
    assert panel.pages.currentWidget() is not panel.runs
    until(qtbot, lambda: step_of(panel) == 60)
    view = panel.view()
    assert view is not None and list(view.loss.steps) == list(range(1, 61))
    assert panel.gallery.shown_picture() is not None


def test_a_run_goes_to_the_trash_only_when_confirmed(
    qtbot: QtBot, panel: RunPanel, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(runs, "2026-01-02_03-04-05-cat", until=20, pictures=False, status="finished")
    panel.show_page(RUNS)
    until(qtbot, lambda: len(panel.runs.model.runs) == 1)
    trashed: list[str] = []

    class File:
        def __init__(self, path: str) -> None:
            self.path = path

        def moveToTrash(self) -> bool:
            trashed.append(self.path)
            return len(trashed) > 1

    monkeypatch.setattr("app.run_panel.runs_list.QFile", File)
    answers = iter(["", "delete", "delete"])
    monkeypatch.setattr("app.dialogs.ask", lambda *_, **__: next(answers))
    panel.runs.delete_button.click()
    assert trashed == []
    panel.runs.delete_button.click()
    until(qtbot, lambda: "could not be moved" in panel.runs._told.text())
    assert run.path.exists(), "nothing is deleted when there is no trash"
    panel.runs.delete_button.click()
    until(qtbot, lambda: len(trashed) == 2)
    assert trashed == [str(run.path)] * 2


def test_damaged_checkpoints_cannot_be_chosen(
    qtbot: QtBot, panel: RunPanel, scenario: Choose, runs: Path
) -> None:
    run = make_run(runs, until=20, total=400, pictures=False, status="stopped")
    write_checkpoint(run, 10, state=False)
    write_checkpoint(run, 20)
    write_checkpoint(run, 30, damaged=True)
    panel.show_page(RUNS)
    until(qtbot, lambda: panel.runs.resume_button.isEnabled())
    panel.runs.resume_button.click()
    until(qtbot, lambda: bool(panel.findChildren(CheckpointChoice)))
    (dialog,) = panel.findChildren(CheckpointChoice)
    texts = [dialog.list.item(row).text() for row in range(dialog.list.count())]
    assert [text.split("\n")[0] for text in texts] == ["Step 30", "Step 20", "Step 10"]
    assert "damaged" in texts[0] and "LoRA only" in texts[2]
    usable = [bool(dialog.list.item(row).flags() & Qt.ItemFlag.ItemIsEnabled) for row in range(3)]
    assert usable == [False, True, False]
    assert dialog.chosen() == "step-000020"
    scenario("normal")
    dialog.resume.click()
    assert panel.is_running()
    until_idle(qtbot, panel)
    view = panel.view()
    assert view is not None and view.hello is not None
    assert view.hello.resumed_from == "step-000020"
    assert list(view.loss.steps) == list(range(1, 41))


def test_the_picture_takes_the_window_and_gives_it_back(
    qtbot: QtBot, panel: RunPanel, runs: Path
) -> None:
    run = make_run(runs, until=60, total=60, status="finished")
    panel.attach(run.path)
    until(qtbot, lambda: panel.gallery.shown_picture() is not None)
    zoomed: list[bool] = []
    panel.pictureZoomed.connect(zoomed.append)
    qtbot.mouseDClick(panel.gallery.picture, Qt.MouseButton.LeftButton)
    assert zoomed == [True] and panel.plot.isHidden()
    panel.show_page(PICTURES)
    qtbot.mouseDClick(panel.gallery.picture, Qt.MouseButton.LeftButton)
    assert zoomed == [True, False] and not panel.plot.isHidden()


def test_in_a_low_window_the_plot_gives_way_to_the_picture(
    panel: RunPanel, runs: Path, qtbot: QtBot
) -> None:
    panel.attach(make_run(runs, until=60, total=60, status="finished").path)
    panel.resize(panel.width(), 1200)
    until(qtbot, lambda: not panel.plot.isHidden())
    panel.resize(panel.width(), 300)
    until(qtbot, panel.plot.isHidden)
    assert not panel.gallery.isHidden() and not panel.numbers.isHidden()
    panel.resize(panel.width(), 1200)
    until(qtbot, lambda: not panel.plot.isHidden())


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_nothing_is_cut_off_at_the_smallest_size(
    qtbot: QtBot, panel: RunPanel, runs: Path, mode: theme.Mode
) -> None:
    theme.apply(mode)
    run = make_run(runs, until=60, total=60, status="finished")
    panel.attach(run.path)
    until(qtbot, lambda: panel.notice.isVisible())
    panel.resize(panel.minimumWidth(), 560)
    qtbot.wait(50)
    for label in (panel.header.step, panel.numbers.finish, panel.numbers.memory):
        assert label.width() >= label.fontMetrics().horizontalAdvance(label.text())
        assert label.isVisible() and panel.rect().contains(label.geometry().center())
    for button in panel.notice.buttons().values():
        assert button.width() >= button.sizeHint().width()
        assert panel.notice.rect().contains(button.geometry())
    for text in panel.notice.findChildren(QLabel):
        if text.isVisible() and text.wordWrap():
            assert text.height() >= text.heightForWidth(text.width())
    for widget in (panel.gallery.picture, panel.plot, panel.numbers, panel.gallery.slider):
        corner = widget.mapTo(panel, widget.rect().bottomRight())
        assert panel.rect().contains(corner), type(widget).__name__
