"""Finds near duplicates among a concept's pictures, in the background and remembered on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from app.background import Background, StopCheck

Groups = list[list[Path]]


def find_groups(
    pictures: Sequence[Path],
    progress: object,
    failed: object,
    cancelled: StopCheck,
    threads: int | None = None,
) -> Groups:
    """Groups of pictures that are nearly the same. Raises Stopped when cancelled."""
    # Late: the hashing library is large, and few look for duplicates at once.
    from core.data.measures import MeasureStore
    from core.data.similar import groups

    store = MeasureStore()
    try:
        measures = store.measure_all(
            pictures,
            progress,  # type: ignore[arg-type]
            cancelled,
            failed=failed,  # type: ignore[arg-type]
            threads=threads,
        )
    finally:
        store.close()
    known = [path for path in pictures if path in measures]
    found = groups(
        [measures[path].dhash for path in known],
        check_stop=cancelled,
        colours=[measures[path].colours for path in known],
    )
    return [[known[number] for number in group] for group in found]


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
            return find_groups(chosen, self.progressed.emit, self.failed.emit, cancelled, threads=1)

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
        self.ended.emit()
