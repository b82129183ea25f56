"""Finding the pictures off the GUI thread, and noticing when the folder changes."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from PySide6.QtCore import QFileSystemWatcher, QObject, QTimer, Signal

from app.background import Background
from app.viewer.source import Listing, Source, scan
from app.watching import LookingWatcher, make_watcher

# Network folders send no notices, so the folder's time is looked at besides.
CHECK_MS = 4000
_SETTLE_MS = 350
_MOST_WATCHED = 256
_log = logging.getLogger(__name__)


class Folder(QObject):
    """Scans a source and again whenever something in it changes.

    Signals: firstFound(path) as soon as the first picture is known; listed(Listing) after the
    first scan, changed(Listing) after each later one; fileChanged(path) for watched pictures.
    """

    firstFound = Signal(str)
    listed = Signal(object)
    changed = Signal(object)
    fileChanged = Signal(str)

    def __init__(self, source: Source, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.source = source
        self._background = Background(self)
        self._is_listed = False
        self._is_scanning = self._is_due = False
        self._times: dict[str, int] = {}
        self._watcher: QFileSystemWatcher | LookingWatcher | None = None
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.timeout.connect(self.rescan)
        self._check = QTimer(self)
        self._check.setInterval(CHECK_MS)
        self._check.timeout.connect(self._look)

    def start(self) -> None:
        """Find the pictures; `firstFound` and `listed` follow."""
        self.rescan()

    def rescan(self) -> None:
        """Look at the folder again."""
        if self._is_scanning:
            self._is_due = True  # to start anew each time would never end in a large folder
            return
        self._is_scanning = True
        source, tell = self.source, self.firstFound.emit
        is_first = not self._is_listed

        def work(stopped: Callable[[], bool]) -> tuple[Listing, dict[str, int]]:
            listing = scan(source, stopped, tell if is_first else lambda path: None)
            folders = {entry.folder for entry in listing.entries} | {str(source.root)}
            return listing, _times(sorted(folders)[:_MOST_WATCHED])

        self._background.run(self, "scan", work, self._found)

    def soon(self) -> None:
        """Look at the folder again in a moment, as a change seldom comes alone."""
        if not self._settle.isActive():
            self._settle.start()

    def watch_files(self, paths: list[str]) -> None:
        """Tell when one of these pictures is written to; they replace the ones before."""
        if self._watcher is None:
            return
        before = self._watcher.files()
        gone = [path for path in before if path not in paths]
        if gone:
            self._watcher.removePaths(gone)
        fresh = [path for path in paths if path not in before]
        if fresh:
            self._watcher.addPaths(fresh)

    def close(self) -> None:
        """Stop watching and wait for what runs."""
        self._check.stop()
        self._settle.stop()
        self._background.close()

    def _found(self, result: object) -> None:
        self._is_scanning = False
        if self._is_due:
            self._is_due = False
            self.soon()
        if isinstance(result, Exception):
            raise result
        listing: Listing
        listing, self._times = result  # type: ignore[misc]
        if self._is_listed:
            self.changed.emit(listing)
        else:
            self._is_listed = True
            self.listed.emit(listing)
            self._check.start()
        self._watch(list(self._times))

    def _watch(self, folders: list[str]) -> None:
        if self._watcher is None:
            self._watcher = make_watcher(self)
            # While a folder is being filled without a pause, it is read again and again.
            self._watcher.directoryChanged.connect(lambda _folder: self.soon())
            self._watcher.fileChanged.connect(self.fileChanged)
        fresh = [f for f in folders if f not in self._watcher.directories()]
        if fresh:
            self._watcher.addPaths(fresh)

    def _look(self) -> None:
        """Compare the folders' times with those of the last scan."""
        known = dict(self._times)

        def compared(now: object) -> None:
            if isinstance(now, dict) and now != known and known == self._times:
                self.soon()

        self._background.run(self, "times", lambda _stopped: _times(list(known)), compared)


def _times(folders: list[str]) -> dict[str, int]:
    times = {}
    for folder in folders:
        try:
            times[folder] = os.stat(folder).st_mtime_ns
        except OSError:
            times[folder] = 0
    return times
