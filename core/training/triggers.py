"""When samples and checkpoints are due."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from core.config.training import Unit


@dataclass
class Trigger:
    """Fires every `every` steps, epochs or minutes. clock: seconds, steadily rising."""

    every: int
    unit: Unit
    clock: Callable[[], float] = time.monotonic
    _last: float = field(init=False)

    def __post_init__(self) -> None:
        self._last = self.clock()

    def due(self, step: int, epoch: int, epoch_ended: bool) -> bool:
        """Whether it fires after optimizer step `step` (1 for the first).

        epoch: number of the epoch that the step belongs to, from 0; epoch_ended: it was its last.
        """
        match self.unit:
            case "step":
                return step % self.every == 0
            case "epoch":
                return epoch_ended and (epoch + 1) % self.every == 0
            case "minute":
                now = self.clock()
                if now - self._last < 60 * self.every:
                    return False
                self._last = now
                return True
            case "never":
                return False
