"""Collects Python's garbage in the GUI thread, and nowhere else, a little at a time.

Python collects in whatever thread happens to allocate. Garbage with Qt objects in it, such as a
closed list with its timers and file watchers, would then be destroyed in a background thread,
which crashes Qt: a socket notifier must go in the thread that it was made in.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, Qt, QTimer
from PySide6.QtGui import QGuiApplication

EVERY_MS = 100
# Looking at so many objects takes a few milliseconds; with more the window would stand still.
MOST_AT_ONCE = 15_000
# The window was not in use for so many turns before everything is looked at.
_TURNS_AWAY = 100


class Collector(QObject):
    """Switches automatic collection off and collects by a timer instead; `stop` undoes it."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        gc.collect()
        # What is there now stays: later collections need not look at it.
        gc.freeze()
        gc.disable()
        self._put_off = False
        self._away = 0
        self._timer = QTimer(self)
        self._timer.setInterval(EVERY_MS)
        self._timer.timeout.connect(self._turn)
        self._timer.start()

    def collect(self) -> int:
        """Collect the oldest generation that is due; returns how many objects went.

        Where that is very much, such as the facts of a large folder that was just read, it is
        put off until `collect_all`.
        """
        counts, limits = gc.get_count(), gc.get_threshold()
        for generation in (2, 1, 0):
            if counts[generation] > limits[generation]:
                if _is_much(generation):
                    gc.freeze()
                    self._put_off = True
                    return 0
                return gc.collect(generation)
        return 0

    def collect_all(self) -> int:
        """Look at everything, which takes a moment; returns how many objects went."""
        gc.unfreeze()
        gone = gc.collect()
        gc.freeze()
        self._put_off = False
        return gone

    def stop(self) -> None:
        """Let Python collect by itself again."""
        self._timer.stop()
        gc.unfreeze()
        gc.enable()

    def _turn(self) -> None:
        in_use = QGuiApplication.applicationState() == Qt.ApplicationState.ApplicationActive
        self._away = 0 if in_use else self._away + 1
        if self._put_off and self._away > _TURNS_AWAY:
            self.collect_all()
        else:
            self.collect()


def _is_much(generation: int) -> bool:
    """Whether collecting a generation looks at more than MOST_AT_ONCE objects."""
    number = 0
    for young in range(generation + 1):
        # The counts do not tell: they go down when older objects go.
        number += len(gc.get_objects(young))
        if number > MOST_AT_ONCE:
            return True
    return False
