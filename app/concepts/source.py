"""Keeps what is known of a concept's pictures up to date with its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal

from app.background import Background, StopCheck
from app.concepts.facts import FactsReader, Listing, Look, PictureFacts
from app.watching import make_watcher
from core.paths import user_path

SETTLE_MS = 400
# Folders with pictures that are watched; a system gives every program only so many.
_MOST_WATCHED = 256


class PictureSource(QObject):
    """Reads the pictures and again whenever the folder changes. Signals:

    listed(Listing): which pictures there are. found(list of PictureFacts): what was read of some.
    finished(error): all are read; error is an exception or None.
    """

    listed = Signal(object)
    found = Signal(object)
    finished = Signal(object)
    _came = Signal(int, object)

    def __init__(
        self,
        background: Background,
        known: Callable[[], Mapping[Path, PictureFacts]],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._background, self._known = background, known
        self._look: Look | None = None
        self._run = 0
        self._held = self._again = False
        self.busy = False
        self._there = True
        self._watcher = make_watcher(self)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.timeout.connect(self.refresh)
        self._watcher.directoryChanged.connect(self._folder_changed)
        self._came.connect(self._take)

    def set_look(self, look: Look | None) -> None:
        """Read these pictures, so; None for none."""
        if look != self._look:
            self._look = look
            self.refresh()

    def look(self) -> Look | None:
        """How the pictures are read now."""
        return self._look

    def hold(self, held: bool) -> None:
        """While files are being changed, nothing half-changed is read; afterwards all is."""
        self._held = held
        if held:
            self._again = self._again or self.busy
            self._stop()
        elif self._again:
            self.refresh()

    def refresh(self) -> None:
        """Read everything that may have changed."""
        self._stop()
        if self._held:
            self._again = True
            return
        self._again = False
        look = self._look
        if look is None or not look.concept.path.strip():
            self.listed.emit(Listing())
            self.finished.emit(None)
            return
        run, known = self._run, dict(self._known())
        self.busy = True

        def work(cancelled: StopCheck) -> None:
            FactsReader(look, known).run(
                lambda listing: self._came.emit(run, listing),
                lambda facts: self._came.emit(run, facts),
                cancelled,
            )

        self._background.run(self, ("pictures", id(self)), work, lambda r: self._done(run, r))

    def _stop(self) -> None:
        self._run += 1
        self.busy = False
        self._background.cancel(("pictures", id(self)))

    def _take(self, run: int, what: object) -> None:
        if run != self._run:
            return
        if isinstance(what, Listing):
            self._watch(what)
            self.listed.emit(what)
        else:
            self.found.emit(what)

    def _done(self, run: int, result: object) -> None:
        if run == self._run:
            self.busy = False
            self.finished.emit(result if isinstance(result, Exception) else None)

    def _folder_changed(self, folder: str) -> None:
        """Read again; of the folder above only whether the pictures' own has come or gone."""
        if self._look is None:
            return
        root = user_path(self._look.concept.path)
        if Path(folder) != root.parent or root.is_dir() != self._there:
            self._settle.start()

    def _watch(self, listing: Listing) -> None:
        assert self._look is not None
        root = user_path(self._look.concept.path)
        self._there = root.is_dir()
        wanted = {
            str(root),
            str(root.parent),
            *listing.folders[:_MOST_WATCHED],
        }
        there = set(self._watcher.directories())
        if gone := there - wanted:
            self._watcher.removePaths(list(gone))
        if new := [folder for folder in wanted - there if Path(folder).is_dir()]:
            self._watcher.addPaths(new)
