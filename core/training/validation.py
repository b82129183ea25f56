"""The loss on pictures that are never trained, measured without disturbing the training."""

from __future__ import annotations

from functools import partial

import torch

from core.data.batches import validation_batches
from core.data.types import Draw
from core.lora.inject import set_training
from core.runs.events import read_events
from core.training import objective
from core.training.ema import averaged
from core.training.losses import losses_at
from core.training.pictures import Loaded
from core.training.session import Session, rest
from core.worker import protocol


def validation_wanted(session: Session) -> bool:
    """Whether this run measures anything."""
    unit = session.job.training.validation.every_unit
    return bool(session.plan.validation) and unit != "never" and session.is_main


def was_measured(session: Session) -> bool:
    """Whether the run's events have the loss at the session's step already."""
    events, _ = read_events(session.run.events_file)
    return any(isinstance(e, protocol.Validation) and e.step == session.step for e in events)


def measure(session: Session) -> None:
    """Measure the loss at the session's step and say so. Raises Stopped when asked to stop.

    Measured are the weights that would be saved: the averages where averaging is on. LoRA dropout
    is off; nothing is drawn from a global random state, and the weights are put back as they were.
    In a run of several processes the first one measures; the others wait at the next step.
    """
    if not validation_wanted(session) or session.validated_step == session.step:
        return
    total = session.plan.total_steps
    session.emit(
        protocol.Phase(
            name="training", done=session.step, total=total, text="Measuring the validation loss"
        )
    )
    resting = partial(rest, session.control, session.emit, session.model, "training")
    set_training(session.model, session.adapter, False)
    try:
        with averaged(session.adapter, session.ema), session.control.pausing(resting):
            loss = _mean_loss(session)
    finally:
        set_training(session.model, session.adapter, True)
    session.validated_step = session.step
    if loss is not None:
        session.emit(protocol.Validation(step=session.step, loss=loss))


def _mean_loss(session: Session) -> float | None:
    """The mean over all pictures and noise levels; None when masks leave nothing to measure."""
    losses: list[torch.Tensor] = []
    for batch in validation_batches(session.plan, session.job):
        loaded = session.pictures.measured(batch)
        if loaded is not None:
            losses += _at_all_levels(session, loaded)
    together = torch.cat(losses) if losses else torch.empty(0)
    return float(together.mean()) if together.numel() else None


def _at_all_levels(session: Session, batch: Loaded) -> list[torch.Tensor]:
    """The losses of a batch's pictures, one tensor (B,) for each noise level."""
    settings, shape = session.job.training, batch.latents.shape[1:]
    levels = session.model.process.spread(
        settings.timesteps, session.pixels_of(shape), settings.validation.timesteps
    )
    losses = []
    for number, share in enumerate(levels):
        session.control.check()
        noise = torch.stack([_noise(session, draw, shape, number) for draw in batch.draws])
        t = torch.full((len(batch.draws),), share)
        with torch.no_grad():
            losses.append(losses_at(session, batch, (noise, noise), t).double().cpu())
    return losses


def _noise(session: Session, draw: Draw, shape: torch.Size, level: int) -> torch.Tensor:
    """Fixed noise (C, h, w) of a picture at a level: by its name and bucket, so that neither the
    training's seed nor pictures that join change what is measured."""
    item = draw.item
    seed = ("validation", item.path.name, str(item.placement.bucket), level)
    return objective.draw_noise(shape, session.job.training.timesteps, *seed)[0]
