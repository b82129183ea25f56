"""Learning rate over time: one record for each curve, a pure function of progress.

Nothing is saved and nothing can drift: a resumed run asks the same function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from core.words import tr


@dataclass(frozen=True)
class Schedule:
    """One curve. factor: progress after the warm-up, 0 at its end and 1 after the last step, to a
    factor on the learning rate."""

    title: str
    help: str
    factor: Callable[[float], float]


SCHEDULES: dict[str, Schedule] = {
    "constant": Schedule(
        title=tr("Constant"),
        help=tr("Stays as it is to the end."),
        factor=lambda progress: 1.0,
    ),
    "linear": Schedule(
        title=tr("Linear"),
        help=tr("Falls in a line, to zero after the last step."),
        factor=lambda progress: 1.0 - progress,
    ),
    "cosine": Schedule(
        title=tr("Cosine"),
        help=tr("Falls along half a cosine, slowly at first and at the end (arXiv 1608.03983)."),
        factor=lambda progress: 0.5 * (1 + math.cos(math.pi * progress)),
    ),
}


def rate_factor(step: int, total: int, warmup: int, name: str) -> float:
    """Factor on the learning rate for optimizer step `step`, counted from 0 to total - 1.

    Rises in a line over `warmup` steps (the first step is already above 0), then follows the
    schedule `name`. Raises KeyError for an unknown one.
    """
    schedule = SCHEDULES[name]
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return schedule.factor(min((step - warmup) / max(total - warmup, 1), 1.0))
