"""Learning rate over time, as a pure function of the step: nothing to save, nothing to drift."""

from __future__ import annotations

import math
from typing import Literal


def rate_factor(
    step: int, total: int, warmup: int, kind: Literal["constant", "linear", "cosine"]
) -> float:
    """Factor on the learning rate for optimizer step `step`, counted from 0 to total - 1.

    Rises in a line over `warmup` steps (the first step is already above 0), then stays, or falls
    to 0 after the last step in a line or along half a cosine (arXiv 1608.03983).
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if kind == "constant":
        return 1.0
    progress = min((step - warmup) / max(total - warmup, 1), 1.0)
    return 1.0 - progress if kind == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
