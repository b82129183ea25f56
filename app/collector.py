"""Collects Python's garbage in the GUI thread, and nowhere else.

Python collects in whatever thread happens to allocate. Garbage with Qt objects in it, such as a
closed list with its timers and file watchers, would then be destroyed in a background thread,
which crashes Qt: a socket notifier must go in the thread that it was made in.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, QTimer

EVERY_MS = 1000


class Collector(QObject):
    """Switches automatic collection off and collects by a timer instead; `stop` undoes it."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        gc.collect()
        # What is there now stays: later collections need not look at it.
        gc.freeze()
        gc.disable()
        self._timer = QTimer(self)
        self._timer.setInterval(EVERY_MS)
        self._timer.timeout.connect(self.collect)
        self._timer.start()

    def collect(self) -> int:
        """Collect the oldest generation that is due; returns how many objects went."""
        counts, limits = gc.get_count(), gc.get_threshold()
        for generation in (2, 1, 0):
            if counts[generation] > limits[generation]:
                return gc.collect(generation)
        return 0

    def stop(self) -> None:
        """Let Python collect by itself again."""
        self._timer.stop()
        gc.unfreeze()
        gc.enable()
