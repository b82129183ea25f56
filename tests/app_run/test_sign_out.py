"""Sign-out and shutdown stop a training with a checkpoint; the next start offers to go on."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from app import sign_out
from app.run_panel import unfinished
from app.run_panel.panel import RunPanel
from app.sign_out import SignOut
from core.runs.folder import RunFolder
from core.runs.history import summarize
from core.worker import awake, protocol
from tests.app_run.conftest import QUICK
from tests.app_run.scripted import append, make_run, write_checkpoint


@pytest.fixture
def next_start(qtbot: QtBot, runs: Path, limner_data_dir: Path) -> Callable[[], RunPanel]:
    """A new panel, as at the next start, that has looked for a run."""

    def make() -> RunPanel:
        panel = RunPanel()
        panel.limits = QUICK
        panel.set_runs_dir(runs)
        qtbot.addWidget(panel)
        looked: list[object] = []
        found = panel._on_found
        panel._on_found = lambda told: (looked.append(told), found(told))  # type: ignore[method-assign,func-returns-value]
        qtbot.waitUntil(lambda: bool(looked), timeout=20_000)
        if looked[0] is not None:
            qtbot.waitUntil(lambda: bool(panel.notice.title()), timeout=20_000)
        return panel

    return make


def end_session(answer: SignOut) -> None:
    """As Qt does when Windows asks all programs to end; its session manager cannot be made."""
    answer._prepare(None)  # type: ignore[arg-type]


def interrupted(runs: Path) -> RunFolder:
    return make_run(runs, until=120, total=140, pictures=False)


def test_a_training_is_stopped_with_a_checkpoint_and_waited_for(
    qtbot: QtBot,
    panel: RunPanel,
    scenario: Callable[[str], None],
    run: RunFolder,
    next_start: Callable[[], RunPanel],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    user32 = SimpleNamespace(
        ShutdownBlockReasonCreate=lambda window, reason: told.append(reason.value),
        ShutdownBlockReasonDestroy=lambda window: told.append("over"),
    )
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(user32=user32), raising=False)
    monkeypatch.setattr(sign_out, "sys", SimpleNamespace(platform="win32"))
    saved: list[bool] = []
    answer = SignOut(panel, lambda: saved.append(panel.is_running()), panel)
    scenario("long")
    panel.resume(run.path, "")
    qtbot.waitUntil(lambda: (view := panel.view()) is not None and view.step > 2, timeout=20_000)
    write_checkpoint(run, 3)
    end_session(answer)
    assert saved == [True]
    assert not panel.is_running()
    assert told == ["Limner is saving a checkpoint of the training.", "over"]
    summary = summarize(run.path)
    assert summary is not None and summary.status == "stopped"
    offer = next_start().notice
    assert "because the computer was shut down or you signed out" in offer.title()


def test_without_a_training_a_sign_out_waits_for_nothing(panel: RunPanel) -> None:
    saved: list[bool] = []
    end_session(SignOut(panel, lambda: saved.append(True), panel))
    assert saved == [True]


def test_qt_asks_when_the_session_ends(panel: RunPanel, qapp: QGuiApplication) -> None:
    signal = "2commitDataRequest(QSessionManager&)"
    before = qapp.receivers(signal)  # type: ignore[arg-type]
    SignOut(panel, lambda: None, panel)
    assert qapp.receivers(signal) == before + 1  # type: ignore[arg-type]


def test_a_run_that_died_is_offered_until_it_is_put_away(
    runs: Path, next_start: Callable[[], RunPanel]
) -> None:
    interrupted(runs)
    first = next_start()
    assert "interrupted" in first.notice.title()
    assert "Resume from step 100" in first.notice.buttons()
    assert "interrupted" in next_start().notice.title()
    first.notice.close_button.click()
    assert next_start().notice.title() == ""


def test_a_run_that_was_stopped_by_hand_is_not_offered(
    runs: Path, next_start: Callable[[], RunPanel]
) -> None:
    run = interrupted(runs)
    append(run, [protocol.Done(status="stopped", step=120)])
    assert next_start().notice.title() == ""
    unfinished.note_sign_out(run.path)
    assert "you signed out" in next_start().notice.title()
    unfinished.forget_sign_out()
    assert next_start().notice.title() == ""


def test_a_run_without_a_checkpoint_is_not_offered(
    runs: Path, next_start: Callable[[], RunPanel]
) -> None:
    run = interrupted(runs)
    run.checkpoints_folder.rename(run.path / "elsewhere")
    assert next_start().notice.title() == ""


def test_windows_ends_the_worker_last_and_does_not_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []
    kernel32 = SimpleNamespace(
        SetProcessShutdownParameters=lambda *values: asked.append(("last", *values)),
        SetThreadExecutionState=lambda *values: asked.append(("awake", *values)),
    )
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel32), raising=False)
    awake.end_last()
    awake.stay_awake()
    assert asked == []
    monkeypatch.setattr(awake, "sys", SimpleNamespace(platform="win32"))
    awake.end_last()
    awake.stay_awake()
    # ES_SYSTEM_REQUIRED alone, which holds for once.
    assert asked == [("last", 0x100, 0), ("awake", 1)]
