"""Works out in the background what Train would do now: pictures, buckets, steps, time, size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError
from PySide6.QtCore import QObject, QTimer, Signal

from app.background import Background, StopCheck
from app.concept_scan import ConceptScanner
from app.detection import BaseModelWatch
from app.state import SettingsState
from core.config.job import Job
from core.data.types import Plan
from core.data.undecodable import known_undecodable, remember_undecodable
from core.errors import Problem
from core.families.base import BaseModelFile

DELAY_MS = 350
# SD1.x, until the base model has told its own.
USUAL_STEP = 8


@dataclass(frozen=True)
class Forecast:
    """What Train would do. seconds and bytes: 0 where nothing is known to judge by.

    problems: what does not fit the base model, the number of steps or this computer.
    """

    plan: Plan
    seconds: float = 0.0
    bytes: int = 0
    problems: tuple[Problem, ...] = ()


class PlanWatch(QObject):
    """Keeps a forecast of the settings. Signals: changed() after anything below changed.

    forecast: None before the first one or when nothing can be planned. busy: a newer one is
    being worked out, done/total counts pictures while it is. more: problems that a closer look at
    this very forecast has found.
    """

    changed = Signal()
    _progressed = Signal(int, int, int)

    def __init__(
        self,
        state: SettingsState,
        model: BaseModelWatch,
        scanner: ConceptScanner,
        background: Background,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._state, self._model, self._background = state, model, background
        self.forecast: Forecast | None = None
        self.more: tuple[Problem, ...] = ()
        self.busy = False
        self.done = self.total = 0
        self._number = 0
        self._delay = QTimer(self)
        self._delay.setSingleShot(True)
        self._delay.setInterval(DELAY_MS)
        self._delay.timeout.connect(self._start)
        self._progressed.connect(self._progress)
        for signal in (state.changed, state.reloaded, model.changed, scanner.updated):
            signal.connect(self.ask)
        state.problemsChanged.connect(self.changed)
        self.ask()

    def ask(self) -> None:
        """Work it out anew, soon."""
        self.busy = True
        self._delay.start()
        self.changed.emit()

    def has_pictures(self) -> bool:
        """Whether there is a folder to look into."""
        return any(
            concept["enabled"] and str(concept["path"]).strip()
            for concept in self._state.get("concepts")
        )

    def problems(self) -> list[Problem]:
        """Everything that is wrong: settings, base model, pictures; errors first."""
        found = self._state.problems()
        if self._model.kind in ("error", "todo"):
            code = "base_not_here" if self._model.missing else "base_unusable"
            found.append(Problem(code=code, title=self._model.sentence, setting="model.base"))
        if self.forecast is not None:
            known = {(p.code, p.setting) for p in found}
            more = (*self.forecast.plan.problems, *self.forecast.problems)
            found += [p for p in more if (p.code, p.setting) not in known]
            told = {(p.code, p.setting, p.title) for p in found}
            found += [p for p in self.more if (p.code, p.setting, p.title) not in told]
        return sorted(found, key=lambda p: p.severity)

    def add_problems(self, problems: Sequence[Problem]) -> None:
        """Take in what a closer look has found; forgotten when the forecast changes."""
        if tuple(problems) != self.more:
            self.more = tuple(problems)
            self.changed.emit()

    def refine(self, plan: Plan) -> None:
        """Take in a newer plan of the same settings, as a closer look has made it."""
        if self.forecast is not None and plan != self.forecast.plan:
            self.forecast = replace(self.forecast, plan=plan)
            self.changed.emit()

    def remember_bad(self, reasons: Mapping[Path, str]) -> None:
        """Pictures that a closer look could not decode: they are left out from the next forecast
        on, until their files change."""
        remember_undecodable(reasons)

    def add_bad(self, path: Path, reason: str) -> None:
        """A picture that could not be decoded when it was to be shown: plan without it."""
        if path not in known_undecodable():
            self.remember_bad({path: reason})
            self.ask()

    def _start(self) -> None:
        self._number += 1
        number, file = self._number, self._model.file
        try:
            job = Job.model_validate(dict(self._state.data))
        except ValidationError:
            self._finish(None)
            return
        if not any(concept.enabled and concept.path.strip() for concept in job.concepts):
            self._finish(None)
            return

        def progress(done: int, total: int) -> None:
            self._progressed.emit(number, done, total)

        def work(cancelled: StopCheck) -> Forecast:
            return make_forecast(job, file, progress, cancelled)

        self.done = self.total = 0
        self._background.run(self, "plan", work, self._finish)

    def _progress(self, number: int, done: int, total: int) -> None:
        if number == self._number and self.busy:
            self.done, self.total = done, total
            self.changed.emit()

    def _finish(self, result: object) -> None:
        self.forecast = result if isinstance(result, Forecast) else None
        self.more = ()
        self.busy = self._delay.isActive()
        self.changed.emit()


def make_forecast(
    job: Job,
    file: BaseModelFile | None,
    progress: object = None,
    cancelled: StopCheck = lambda: False,
) -> Forecast:
    """Plan a job and estimate its time and file size; raises Stopped when cancelled."""
    from core.data.plan import make_plan
    from core.families.layers import lora_bytes
    from core.runs.estimates import measured_speed, time_need
    from core.runs.findings import fitting_problems
    from core.runs.preflight import samples_drawn

    step = file.bucket_step if file else USUAL_STEP
    plan = make_plan(
        job,
        bucket_step=step,
        progress=progress,  # type: ignore[arg-type]
        check_stop=cancelled,
    )
    need = time_need(measured_speed(job), plan, samples_drawn(job, plan))
    return Forecast(
        plan,
        # Whether pictures are cached already is not known here.
        need.training + need.sampling if need.training else 0.0,
        lora_bytes(job, file) if file else 0,
        tuple(fitting_problems(job, file, plan)),
    )
