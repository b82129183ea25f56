"""The end of the user's session: a training is stopped with a checkpoint, and waited for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from PySide6.QtCore import QEventLoop, QObject, QTimer
from PySide6.QtGui import QGuiApplication, QSessionManager

from app.run_panel import unfinished
from app.run_panel.panel import RunPanel
from core.worker import protocol

# A checkpoint of a large model on a slow disk; Windows lets people shut down before that.
MOST_SECONDS = 180


class SignOut(QObject):
    """Answers sign-out, restart and shutdown for the window that holds the run panel."""

    def __init__(self, panel: RunPanel, save: Callable[[], object], parent: QObject) -> None:
        """save: keeps what was edited last; is called first."""
        super().__init__(parent)
        self._panel, self._save = panel, save
        self._asked = False
        app = QGuiApplication.instance()
        if isinstance(app, QGuiApplication):
            app.commitDataRequest.connect(self._prepare)
        panel.runningChanged.connect(self._on_running)

    def has_stopped_run(self) -> bool:
        """Whether the run that is still saving was stopped from here, so nobody need be asked."""
        return self._asked

    def _on_running(self, running: bool) -> None:
        if running:
            self._asked = False

    def _prepare(self, _manager: QSessionManager) -> None:
        self._save()
        if not self._panel.is_running():
            return
        self._asked = True
        if (run := self._panel.running_folder()) is not None:
            unfinished.note_sign_out(run)
        reason = self.tr("Limner is saving a checkpoint of the training.")
        with _shutdown_held(int(self._panel.window().winId()), reason):
            self._panel.send(protocol.Stop(save=True))
            self._wait()

    def _wait(self) -> None:
        """Until the worker has ended, without taking clicks meanwhile."""
        loop = QEventLoop()
        self._panel.runningChanged.connect(loop.quit)
        QTimer.singleShot(MOST_SECONDS * 1000, loop, loop.quit)
        if self._panel.is_running():
            loop.exec(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)


@contextmanager
def _shutdown_held(window: int, reason: str) -> Iterator[None]:
    """Let Windows wait, and show why; without a reason it ends a program after five seconds."""
    if sys.platform != "win32":
        yield
        return
    import ctypes

    ctypes.windll.user32.ShutdownBlockReasonCreate(
        ctypes.c_void_p(window), ctypes.c_wchar_p(reason)
    )
    try:
        yield
    finally:
        ctypes.windll.user32.ShutdownBlockReasonDestroy(ctypes.c_void_p(window))
