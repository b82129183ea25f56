"""Finds near duplicates among a concept's pictures, by a process beside the window."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from app.background import Background, StopCheck
from app.viewer.helper import Helper
from core.errors import Stopped

_log = logging.getLogger(__name__)

Groups = list[list[Path]]


def find_groups(
    pictures: Sequence[Path],
    progress: Callable[[int, int], object],
    failed: Callable[[Path, str], object],
    cancelled: StopCheck,
) -> Groups:
    """Groups of pictures that are nearly the same; `failed` hears of those that cannot be read.

    What was measured is remembered on disk. Raises Stopped, and HelperFailed.
    """
    from core.data.images import PictureError, load_picture

    helper = Helper()
    request = {"do": "survey", "paths": [str(path) for path in pictures], "groups": True}
    try:
        reply = helper.ask(request, progress, cancelled)
    finally:
        helper.close()
    for path in pictures:
        if str(path) in reply["sharpness"]:
            continue
        if cancelled():
            raise Stopped
        try:
            load_picture(path)
        except PictureError as error:
            failed(path, str(error))
    return [[Path(name) for name in group] for group in reply["groups"]]


class DuplicateSearch(QObject):
    """Signals: found(groups), progressed(done, total), failed(path, reason), ended()."""

    found = Signal(object)
    progressed = Signal(int, int)
    failed = Signal(object, str)
    ended = Signal()

    def __init__(self, background: Background, parent: QObject) -> None:
        super().__init__(parent)
        self._background = background
        self.busy = False

    def start(self, pictures: Sequence[Path]) -> None:
        """Look through these pictures."""
        chosen = tuple(pictures)
        self.busy = True

        def work(cancelled: StopCheck) -> Groups:
            return find_groups(chosen, self.progressed.emit, self.failed.emit, cancelled)

        self._background.run(self, ("duplicates", id(self)), work, self._done)

    def stop(self) -> None:
        """Look no further; what was measured is kept for the next time."""
        self._background.cancel(("duplicates", id(self)))
        if self.busy:
            self.busy = False
            self.ended.emit()

    def _done(self, result: object) -> None:
        self.busy = False
        if isinstance(result, list):
            self.found.emit(result)
        elif isinstance(result, Exception):
            _log.warning("look-alikes were not found: %s", result)
        self.ended.emit()
