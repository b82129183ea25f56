"""Tells, without being in the way, that a running training reads the pictures on the screen."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from app.background import Background
from core.paths import default_runs_dir
from core.runs.using import running_on

# Deletions come faster than runs do.
AGAIN_SECONDS = 5.0


class InUse(QObject):
    """Looks for running trainings in a thread. Signals: found(name) once for each run."""

    found = Signal(str)

    def __init__(self, background: Background, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._background = background
        self._told: set[tuple[Path, Path]] = set()
        self._looked: tuple[Path | None, float] = (None, 0.0)

    def look(self, folder: Path) -> None:
        """Ask whether a training that runs now reads this folder."""
        now = time.monotonic()
        before, when = self._looked
        if before == folder and now - when < AGAIN_SECONDS:
            return
        self._looked = (folder, now)

        def work(_cancelled: Callable[[], bool]) -> list[Path]:
            return running_on(folder, default_runs_dir())

        def tell(runs: object) -> None:
            if isinstance(runs, Exception):
                raise runs
            assert isinstance(runs, list)
            fresh = [run for run in runs if (folder, run) not in self._told]
            self._told |= {(folder, run) for run in fresh}
            if fresh:
                self.found.emit(fresh[0].name)

        self._background.run(self, "in use", work, tell)
