"""Noticing that folders and files change, without being in the way of whoever changes them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from PySide6.QtCore import QFileSystemWatcher, QObject, QTimer, Signal

from app.background import Background

LOOK_MS = 1500

State = tuple[int, int] | None


class LookingWatcher(QObject):
    """As QFileSystemWatcher, by looking at times and sizes every now and then.

    On Windows that one keeps each folder open, also a watched file's, so that Explorer can neither
    rename nor move any folder above it. Looking is done in a thread: a network folder may take
    long to answer.

    Signals: directoryChanged(path) after something in a folder has come, gone or got another name,
    or the folder itself; fileChanged(path) after a file was written to or is gone.
    """

    directoryChanged = Signal(str)
    fileChanged = Signal(str)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._folders: set[str] = set()
        self._files: set[str] = set()
        self._states: dict[str, State] = {}
        self._background = Background(self)
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._look)

    def directories(self) -> list[str]:
        """The folders that are watched."""
        return list(self._folders)

    def files(self) -> list[str]:
        """The files that are watched."""
        return list(self._files)

    def addPath(self, path: str) -> None:
        """Watch a folder or a file."""
        self.addPaths([path])

    def addPaths(self, paths: Iterable[str]) -> None:
        """Watch folders and files."""
        for path in paths:
            (self._folders if os.path.isdir(path) else self._files).add(path)
            self._states[path] = _state(path)
        self._timer.start()

    def removePaths(self, paths: Iterable[str]) -> None:
        """Watch these no more."""
        for path in paths:
            self._folders.discard(path)
            self._files.discard(path)
            self._states.pop(path, None)

    def _look(self) -> None:
        # A look that takes longer than the time between two must not pile up.
        if self._background.is_idle():
            paths = list(self._states)
            self._background.run(
                self, "look", lambda _stop: {path: _state(path) for path in paths}, self._compare
            )

    def _compare(self, now: object) -> None:
        if not isinstance(now, dict):
            return
        for path, state in now.items():
            if path in self._states and self._states[path] != state:
                self._states[path] = state
                changed = self.directoryChanged if path in self._folders else self.fileChanged
                changed.emit(path)


def _state(path: str) -> State:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def make_watcher(parent: QObject) -> QFileSystemWatcher | LookingWatcher:
    """Qt's watcher, which hears of changes at once, where it keeps no folder open."""
    return LookingWatcher(parent) if sys.platform == "win32" else QFileSystemWatcher(parent)
