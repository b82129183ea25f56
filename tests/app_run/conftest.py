"""The run panel with a scripted worker."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from app import theme
from app.run_panel.panel import RunPanel
from app.training_thread import Limits
from core.runs.folder import RunFolder, create
from core.runs.lock import running_pid
from tests.app_run.scripted import a_job

SCRIPT = Path(__file__).with_name("fake_worker.py")
QUICK = Limits(poll=0.02, silence=0.6, start=20.0, stop=0.5)


@pytest.fixture(autouse=True)
def _gui_collector(gui_collector: None) -> None:
    """See `gui_collector`."""


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Path]:
    """A folder for runs; workers that a test leaves behind are ended."""
    folder = tmp_path / "runs"
    folder.mkdir()
    yield folder
    for run in folder.iterdir():
        pid = running_pid(run)
        if pid:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def scenario(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Choose what the worker does that is started next."""

    def choose(name: str) -> None:
        def command(
            run: RunFolder,
            resume: str | None = None,
            python: str = "",
            accept_changes: bool = False,
        ) -> list[str]:
            words = [sys.executable, str(SCRIPT), name, str(run.path)]
            if resume:
                words += ["--resume", resume]
            return [*words, "--accept-changes"] if accept_changes else words

        monkeypatch.setattr("core.worker.client.worker_command", command)

    return choose


@pytest.fixture
def run(runs: Path) -> RunFolder:
    """A frozen run that nothing has worked on yet."""
    return create(a_job(), runs)


@pytest.fixture
def panel(qtbot: QtBot, qapp: object, runs: Path) -> Iterator[RunPanel]:
    """A panel on view, quick to lose its patience."""
    theme.apply("light")
    widget = RunPanel()
    widget.limits = QUICK
    widget.set_runs_dir(runs)
    qtbot.addWidget(widget)
    widget.resize(520, 640)
    widget.show()
    yield widget
    widget.shutdown("detach")
