"""Training in several processes: what is said when one of them is gone."""

from __future__ import annotations

import torch

from core.errors import UserError, fail
from core.runs.folder import RunFolder

# gloo's errors are of no class of their own; these are its words and NCCL's.
_WORDS = ("gloo", "nccl", "connection closed by peer", "connection reset by peer")


def came_from_another(error: Exception) -> bool:
    """Whether an error tells that another process cannot be heard any more."""
    if isinstance(error, torch.distributed.DistError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in text for word in _WORDS)


def another_ended(run: RunFolder, saved_step: int) -> UserError:
    """What to tell then; saved_step: of the newest checkpoint, 0 where there is none."""
    rest = f"resume from step {saved_step}" if saved_step else "start the run again"
    return fail(
        "process_ended",
        f"Another process of this training ended; {rest}.",
        detail="Unless it was killed, the end of its own log in the run's folder (log-1.txt and so "
        "on) says why.",
        file=str(run.path),
    )
