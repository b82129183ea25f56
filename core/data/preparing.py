"""What preparing latents and preparing text embeddings have in common."""

from __future__ import annotations

import os
import time

import torch

from core.errors import Problem
from core.families.base import LoadedModel
from core.training.control import Emit
from core.worker import protocol


class Progress:
    """Counts towards `total` and sends `caching` phase events, a few a second at most."""

    _EVERY_SECONDS = 0.25

    def __init__(self, emit: Emit, total: int, text: str) -> None:
        self._emit, self._total, self._text = emit, total, text
        self._done = 0
        self.tell()

    def add(self, number: int) -> None:
        """So many more are done."""
        self._done += number
        if self._done == self._total or time.monotonic() - self._last >= self._EVERY_SECONDS:
            self.tell()

    def tell(self) -> None:
        """Send the event now."""
        self._last = time.monotonic()
        self._emit(
            protocol.Phase(name="caching", done=self._done, total=self._total, text=self._text)
        )


def warn(emit: Emit, problem: Problem) -> None:
    """Send a problem as a warning event."""
    fields = problem.as_dict()
    del fields["severity"]
    emit(protocol.Warning(**fields))


def on_cpu(model: LoadedModel) -> bool:
    """Whether none of the model's networks is on a GPU."""
    parameters = (next(part.parameters(), None) for part in model.parts.values())
    return all(p is None or p.device.type in ("cpu", "meta") for p in parameters)


def reading_threads(model: LoadedModel) -> int:
    """How many threads read pictures: one for each core that does not calculate with the model.

    More would only take turns with it, and it is what everything waits for.
    """
    cores = (os.cpu_count() or 1) - (torch.get_num_threads() if on_cpu(model) else 0)
    return max(1, min(8, cores))
