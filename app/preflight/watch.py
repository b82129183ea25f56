"""Runs pre-flight in the background while somebody looks at it, and again after each change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QObject, Signal

from app.background import Background, StopCheck
from app.plan_watch import PlanWatch
from app.state import SettingsState
from core.errors import Problem

if TYPE_CHECKING:
    from core.config.job import Job
    from core.runs.preflight import Preflight

Status = Literal["idle", "busy", "done", "stopped", "failed"]


@dataclass(frozen=True)
class Progress:
    """How far it is: what is being done (`pictures`, `captions`, `duplicates`) and counts."""

    phase: str = "pictures"
    done: int = 0
    total: int = 0


class PreflightWatch(QObject):
    """Keeps the findings of the settings as they are now, while it is watching.

    Signals: changed() after anything below changed. found: what is known, more with each part;
    None before. stale: it is of settings that were changed since. error: what failed.
    """

    changed = Signal()
    _came = Signal(int, object)
    _went = Signal(int, object)

    def __init__(self, state: SettingsState, plan: PlanWatch, parent: QObject) -> None:
        super().__init__(parent)
        self._state, self.plan = state, plan
        # Comparing pictures may take minutes; the window's own threads have other things to do.
        self._background = Background(self)
        self.found: Preflight | None = None
        self.status: Status = "idle"
        self.progress = Progress()
        self.stale = False
        self.error = ""
        self._number = 0
        self._watching = self._refining = False
        self._forecast: object = None
        self._came.connect(self._take)
        self._went.connect(self._show_progress)
        plan.changed.connect(self._plan_changed)

    def set_watching(self, watching: bool) -> None:
        """Begin or end to keep it up to date."""
        if watching == self._watching:
            return
        self._watching = watching
        if watching:
            if self.found is None or self.stale or self.status != "done":
                self.start()
        else:
            self.cancel()

    def start(self) -> None:
        """Look now."""
        self._number += 1
        number, job = self._number, self._state.job()
        self._forecast = self.plan.forecast
        self.error = ""
        if job is None:
            # What is wrong with the settings is known already, and nothing more can be.
            self._background.cancel("preflight")
            self.found, self.status, self.stale = None, "idle", False
            self.changed.emit()
            return
        self.status, self.progress = "busy", Progress()
        self._background.run(
            self,
            "preflight",
            lambda cancelled: self._work(number, job, cancelled),
            lambda result: self._finish(number, result),
        )
        self.changed.emit()

    def cancel(self) -> None:
        """Stop looking; what was found until now stays."""
        if self.status == "busy":
            self._number += 1
            self._background.cancel("preflight")
            self.status = "stopped"
            self.changed.emit()

    def close(self) -> None:
        """End for good."""
        self._background.close()

    def problems(self) -> list[Problem]:
        """Everything that is wrong with the settings as they are now, errors first."""
        return self.plan.problems()

    def _work(self, number: int, job: Job, cancelled: StopCheck) -> Preflight:
        from core.paths import default_runs_dir
        from core.runs.preflight import preflight

        progress = Progress()

        def phase(name: str) -> None:
            nonlocal progress
            progress = Progress(name)
            self._went.emit(number, progress)

        def counted(done: int, total: int) -> None:
            nonlocal progress
            # A signal for each of a hundred thousand pictures would keep the window busy.
            if done == total or (done - progress.done) * 100 >= total:
                progress = Progress(progress.phase, done, total)
                self._went.emit(number, progress)

        return preflight(
            job,
            default_runs_dir(),
            progress=counted,
            check_stop=cancelled,
            duplicates=True,
            phase=phase,
            partly=lambda found: self._came.emit(number, found),
        )

    def _take(self, number: int, found: Preflight) -> None:
        if number == self._number:
            self.found, self.stale = found, False
            self._hand_on()
            self.changed.emit()

    def _hand_on(self) -> None:
        """Let the footer count what was found, unless the settings have changed since."""
        if self.found is not None and self.found.duplicates is not None:
            self.plan.remember_bad(self.found.duplicates.unreadable)
        if self.found is not None and self.plan.forecast is self._forecast:
            if self.found.plan is not None:
                self._refining = True
                self.plan.refine(self.found.plan)
                self._forecast, self._refining = self.plan.forecast, False
            # The watch of the base model says the same in words of its own.
            self.plan.add_problems([p for p in self.found.problems if p.setting != "model.base"])

    def _show_progress(self, number: int, progress: Progress) -> None:
        if number == self._number and self.status == "busy":
            self.progress = progress
            self.changed.emit()

    def _finish(self, number: int, result: object) -> None:
        from core.runs.preflight import Preflight

        if number != self._number:
            return
        if isinstance(result, Preflight):
            self.found, self.status, self.stale = result, "done", False
            self._hand_on()
        else:
            self.status, self.error = "failed", str(result)
        self.changed.emit()

    def _plan_changed(self) -> None:
        if self._refining:
            return  # by what was found here
        if self.plan.forecast is not self._forecast or self.plan.busy:
            self.stale = self.found is not None
        if not self._watching:
            return
        if not self.plan.busy and self.plan.forecast is not self._forecast:
            self.start()
        else:
            self.changed.emit()
