"""The bottom line: what Train would do now, what stands against it, and the run's buttons."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QWidget

from app import theme
from app.forms import problem_kind
from app.i18n import counted
from app.icons import icon
from app.plan_watch import Forecast, PlanWatch
from app.widgets.labels import ICONS, ROLES, Elided
from core.errors import Problem


class Footer(QFrame):
    """Shows the plan. Signals: checkRequested() when more is asked for, by the button or by the
    number of problems; readyChanged(errors, warnings)."""

    checkRequested = Signal()
    readyChanged = Signal(int, int)

    def __init__(
        self, watch: PlanWatch, controls: QWidget | None, queue: QWidget | None = None
    ) -> None:
        super().__init__()
        self._watch = watch
        theme.set_role(self, "bar")
        self.summary = Elided()
        self.problems = QPushButton()
        theme.set_role(self.problems, "link")
        self.problems.setCursor(Qt.CursorShape.PointingHandCursor)
        self.problems.clicked.connect(self.checkRequested)
        self.check = QPushButton(icon("list"), self.tr("Check"))
        self.check.setToolTip(
            self.tr("What Train would do in detail, and everything that stands against it")
        )
        self.check.clicked.connect(self.checkRequested)
        row = QHBoxLayout(self)
        row.setContentsMargins(theme.unit(2), theme.unit(), theme.unit(1.5), theme.unit())
        row.setSpacing(theme.unit())
        row.addWidget(self.summary, 1)
        row.addWidget(self.problems)
        if queue is not None:
            row.addWidget(queue)
        row.addWidget(self.check)
        if controls is not None:
            row.addSpacing(theme.unit())
            row.addWidget(controls)
        watch.changed.connect(self._show)
        theme.notifier().changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        watch = self._watch
        problems = watch.problems()
        if watch.busy and watch.has_pictures():
            counted = self.tr("%1 of %2 pictures").replace("%1", str(watch.done))
            more = counted.replace("%2", str(watch.total)) if watch.total else ""
            text = self.tr("Looking at the pictures...")
            self.summary.set_text(f"{text} {more}".strip())
        elif watch.forecast is None or not watch.forecast.plan.items:
            self.summary.set_text(self._what_is_missing(problems))
        else:
            self.summary.set_text(summary_of(watch.forecast))
        theme.set_role(self.summary, "muted" if watch.busy and watch.has_pictures() else "")
        self._show_problems(problems)

    def _what_is_missing(self, problems: list[Problem]) -> str:
        codes = {problem.code for problem in problems}
        steps = []
        if codes & {"no_concepts", "concept_no_folder", "no_pictures"}:
            steps.append(self.tr("add pictures"))
        if codes & {"base_missing", "base_not_here"}:
            steps.append(self.tr("choose a base model"))
        wrong = sum(problem_kind(p) == "error" for p in problems)
        if wrong:
            text = self.tr("%n setting(s) must be corrected before training", "", wrong)
            return counted(text, wrong)
        if not steps:
            return self.tr("There is nothing to train yet.")
        text = self.tr("To train: %1").replace("%1", ", ".join(steps))
        return text

    def _show_problems(self, problems: list[Problem]) -> None:
        errors = sum(p.severity == "error" for p in problems)
        warnings = len(problems) - errors
        todo = sum(problem_kind(p) == "todo" for p in problems)
        wrong = errors - todo
        if wrong:
            text, kind = counted(self.tr("%n problem(s)", "", errors), errors), "error"
        elif todo:
            text, kind = counted(self.tr("%n thing(s) to fill in", "", todo), todo), "todo"
        else:
            text, kind = counted(self.tr("%n warning(s)", "", warnings), warnings), "warning"
        self.problems.setVisible(bool(problems))
        self.problems.setText(text)
        self.problems.setIcon(icon(ICONS[kind], ROLES[kind]))
        self.readyChanged.emit(errors, warnings)


def summary_of(forecast: Forecast) -> str:
    """What will be trained, in one line."""

    translate = QCoreApplication.translate
    plan = forecast.plan
    # Each once, as the cards and Check count them, and not once for each resolution.
    pictures = sum(one.pictures for one in plan.concepts if one.kind != "validation")
    rejected = sum(one.rejected for one in plan.concepts)
    buckets, steps = len(plan.buckets), plan.total_steps
    shown = counted(translate("Footer", "%n picture(s)", "", pictures), pictures)
    if rejected:
        shown += translate("Footer", " (%n rejected left out)", "", rejected)
    parts = [
        shown,
        counted(translate("Footer", "%n bucket(s)", "", buckets), buckets),
        counted(translate("Footer", "%n step(s)", "", steps), steps),
    ]
    if forecast.seconds:
        about = translate("Footer", "about %1")
        parts.append(about.replace("%1", duration(forecast.seconds)))
    if forecast.bytes:
        lora = translate("Footer", "LoRA file %1")
        parts.append(lora.replace("%1", size(forecast.bytes)))
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """A rough duration: `40 s`, `6 min`, `2.5 h`."""
    if seconds < 60:
        return f"{max(1, round(seconds, -1 if seconds > 10 else 0)):g} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def size(number: int) -> str:
    """A file size: `850 kB`, `18 MB`, `1.2 GB`."""
    if number < 1_000_000:
        return f"{max(1, round(number / 1000))} kB"
    if number < 1_000_000_000:
        return f"{round(number / 1_000_000)} MB"
    return f"{number / 1_000_000_000:.1f} GB"
