"""What the panel knows of one run, folded from its events one list at a time. No Qt in here."""

from __future__ import annotations

import time
from array import array
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from core.runs.folder import step_of
from core.worker import protocol

SMOOTHING = 0.98
ETA_AFTER = 10

# What the run is doing, as the buttons and the header need to know it.
State = Literal[
    "idle", "starting", "running", "paused", "stopping", "finished", "stopped", "failed", "died"
]
ALIVE: tuple[State, ...] = ("starting", "running", "paused", "stopping")


@dataclass
class Curve:
    """Values by step, steps strictly increasing.

    Arrays rather than lists: numpy takes a hundred thousand of them in well under a millisecond.
    """

    steps: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))

    def add(self, step: int, value: float) -> None:
        """Append a point; points at or after `step` are superseded."""
        if self.steps and step <= self.steps[-1]:
            self.cut(step - 1)
        self.steps.append(step)
        self.values.append(value)

    def cut(self, step: int) -> None:
        """Forget everything after `step`."""
        keep = bisect_right(self.steps, step)
        del self.steps[keep:], self.values[keep:]


@dataclass
class Picture:
    """One sample on disk; path relative to the run's folder."""

    step: int
    index: int
    path: str
    prompt: str
    seed: int


@dataclass
class RunView:
    """One run as its events tell it.

    rates: a curve per parameter group. pictures: by prompt index, then by step. revision counts
    changes, so that a widget knows when to redraw; pictures_revision those of pictures alone.
    """

    state: State = "idle"
    step: int = 0
    total: int = 0
    epoch: float = 0.0
    loss: Curve = field(default_factory=Curve)
    smoothed: Curve = field(default_factory=Curve)
    validation: Curve = field(default_factory=Curve)
    rates: dict[str, Curve] = field(default_factory=dict)
    pictures: dict[int, dict[int, Picture]] = field(default_factory=dict)
    checkpoints: dict[int, protocol.Checkpoint] = field(default_factory=dict)
    problems: list[protocol.Warning | protocol.ProblemEvent] = field(default_factory=list)
    phase: protocol.Phase | None = None
    hello: protocol.Hello | None = None
    done: protocol.Done | None = None
    memory: int = 0
    seconds: float = 0.0
    bad_losses: int = 0
    revision: int = 0
    pictures_revision: int = 0
    _average: float = 0.0
    _weight: float = 0.0
    _timed: int = 0
    _trained: float = 0.0
    _first_time: float = 0.0
    _first_step: int = 0
    _last_time: float = 0.0
    _paused_at: float = 0.0

    def apply(self, events: list[protocol.Event]) -> None:
        """Fold more events in, in the order in which they were written."""
        for event in events:
            match event:
                case protocol.Step():
                    self._on_step(event)
                case protocol.Sample():
                    self.pictures_revision += 1
                    by_step = self.pictures.setdefault(event.index, {})
                    by_step[event.step] = Picture(
                        event.step, event.index, event.path, event.prompt, event.seed
                    )
                case protocol.Phase():
                    self._on_phase(event)
                case protocol.Checkpoint():
                    self.checkpoints[event.step] = event
                case protocol.Validation():
                    self.validation.add(event.step, event.loss)
                case protocol.Warning() | protocol.ProblemEvent():
                    self.problems.append(event)
                case protocol.Hello():
                    self._on_hello(event)
                case protocol.Done():
                    self.done, self.state, self.phase = event, event.status, None
        self.revision += 1

    def _on_hello(self, event: protocol.Hello) -> None:
        self.hello, self.done = event, None
        self.phase, self.state = None, "starting"
        self._timed, self._trained, self._first_time, self.seconds = 0, 0.0, 0.0, 0.0
        # Problems of the process before were told when they came; this is a new attempt.
        self.problems.clear()
        resumed = step_of(event.resumed_from)
        self.cut(-1 if resumed is None else resumed)

    def cut(self, step: int) -> None:
        """Forget what came after `step`: the run went on from there (-1: from its beginning)."""
        for curve in (self.loss, self.smoothed, self.validation, *self.rates.values()):
            curve.cut(step)
        self.pictures_revision += 1
        for by_step in self.pictures.values():
            for later in [s for s in by_step if s > step]:
                del by_step[later]
        for later in [s for s in self.checkpoints if s > step]:
            del self.checkpoints[later]
        self.step = max(0, min(self.step, step))
        self._average = self.smoothed.values[-1] if self.smoothed.values else 0.0
        self._weight = 1.0 if self.smoothed.values else 0.0

    def _on_step(self, event: protocol.Step) -> None:
        self.step, self.total, self.epoch = event.step, event.total, event.epoch
        self.memory = event.memory or self.memory
        if self.state in ("idle", "starting"):
            self.state = "running"
        if event.loss is None:
            self.bad_losses += 1
        else:
            self.loss.add(event.step, event.loss)
            self.smoothed.add(event.step, self._smooth(event))
        for group, rate in event.lr.items():
            self.rates.setdefault(group, Curve()).add(event.step, rate)
        if event.seconds > 0:
            self._timed += 1
            self._trained += event.seconds
            share = max(0.05, 1 / self._timed)
            self.seconds += (event.seconds - self.seconds) * share
        if not self._first_time:
            self._first_time, self._first_step = event.time, event.step
        self._last_time = event.time

    def _smooth(self, event: protocol.Step) -> float:
        """The worker's smoothed loss, or a bias-corrected moving average where it sent none."""
        if event.smoothed is not None:
            return event.smoothed
        assert event.loss is not None
        # Adam's bias correction (arXiv 1412.6980, section 3) in its running-weight form.
        self._weight = SMOOTHING * self._weight + (1 - SMOOTHING)
        self._average += (event.loss - self._average) * (1 - SMOOTHING) / self._weight
        return self._average

    def _on_phase(self, event: protocol.Phase) -> None:
        self.phase = event
        if self.state == "stopping":
            return
        if event.name == "paused":
            self.state, self._paused_at = "paused", event.time
        elif event.name in ("training", "sampling", "saving"):
            if self.state == "paused" and self._first_time and self._paused_at:
                self._first_time += max(0.0, event.time - self._paused_at)
            self.state = "running"
            if event.name == "training" and event.total:
                # A resume may count other steps than before, and have none left to tell it.
                self.step, self.total = max(self.step, event.done), event.total
        elif self.state != "paused":
            self.state = "starting"

    def seconds_left(self) -> float | None:
        """Expected seconds to the end, with samples and saving at the rate seen so far; None
        before ten steps and when there is nothing left."""
        left = self.total - self.step
        if self._timed < ETA_AFTER or left <= 0 or self.state not in ("running", "stopping"):
            return None
        done = self.step - self._first_step
        wall = (self._last_time - self._first_time) / done if done > 0 else 0.0
        # The recent pace counts for training, the whole past for what comes between the steps.
        between = max(0.0, wall - self._trained / self._timed)
        return left * (self.seconds + between)

    def duration(self) -> float | None:
        """Seconds that the last worker of the run took, or None when it was not told."""
        if self.hello is None or self.done is None:
            return None
        return self.done.time - self.hello.time

    def speed(self) -> float | None:
        """Steps per second of training, or None before the first timed step."""
        return 1 / self.seconds if self.seconds > 0 else None

    def prompts(self) -> list[int]:
        """Indices of the prompts that have pictures, in order."""
        return sorted(index for index, by_step in self.pictures.items() if by_step)

    def picture_steps(self, index: int) -> list[int]:
        """Steps at which prompt `index` has a picture, in order."""
        return sorted(self.pictures.get(index, {}))

    def newest_picture(self) -> Picture | None:
        """The latest step's picture, of the first prompt that has one there."""
        step = max((max(by_step) for by_step in self.pictures.values() if by_step), default=None)
        if step is None:
            return None
        return next(self.pictures[i][step] for i in self.prompts() if step in self.pictures[i])

    def last_checkpoint(self) -> int | None:
        """Step of the newest checkpoint, or None."""
        return max(self.checkpoints, default=None)


def finish_text(seconds: float, now: float | None = None) -> str:
    """When something that takes `seconds` more ends: `finishes 14:32`, or `ends Wed 14:32`."""
    now = time.time() if now is None else now
    end = datetime.fromtimestamp(now + seconds)
    if end.date() == datetime.fromtimestamp(now).date():
        return f"finishes {end:%H:%M}"
    if seconds < 6 * 86400:
        return f"ends {end:%a %H:%M}"
    return f"ends {end:%d %b}"


def duration_text(seconds: float) -> str:
    """`45 s`, `6 min`, `1 h 05 min`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def speed_text(steps_per_second: float) -> str:
    """`3.1 steps/s`, or `4.2 s/step` where a step takes longer than a second."""
    if steps_per_second >= 1:
        digits = 1 if steps_per_second < 99.95 else 0
        return f"{steps_per_second:.{digits}f} steps/s"
    return f"{1 / steps_per_second:.1f} s/step"


def memory_text(size: int) -> str:
    """A number of bytes in GB or MB, as people count memory."""
    if size >= 1024**3:
        return f"{size / 1024**3:.1f} GB"
    return f"{size / 1024**2:.0f} MB"
