"""The loss of pictures at given noise levels, the same for training and for validation."""

from __future__ import annotations

import torch

from core.data.types import Draw
from core.lora.inject import without_adapter
from core.training import objective
from core.training.pictures import Loaded
from core.training.session import Session


def losses_at(
    session: Session,
    batch: Loaded,
    noise: tuple[torch.Tensor, torch.Tensor],
    t: torch.Tensor,
) -> torch.Tensor:
    """The weighted loss of each picture of a batch, (B,), with its graph.

    noise: that of the target and that of the input, each (B, C, h, w). t: shares of noise time,
    (B,). All may be on the CPU.
    """
    model, device, loss = session.model, session.device, session.job.training.loss
    process = model.process
    latents, t = batch.latents.to(device), t.to(device)
    clean, perturbed = (one.to(device) for one in noise)
    noisy = process.mix(latents, perturbed, t)
    target = process.target(latents, clean, t)
    target = _with_prior_targets(session, batch, target, noisy, t)
    predicted = _predicted(session, batch, noisy, t)
    shares = torch.tensor([_share_of(session, draw) for draw in batch.draws], device=device)
    areas = None if batch.areas is None else batch.areas.to(device)
    weights = process.weight(t, loss) * shares
    return objective.sample_losses(predicted, target, weights, loss, areas)


def _share_of(session: Session, draw: Draw) -> float:
    """How much a picture counts; what is only measured counts alike."""
    concept = session.job.concepts[draw.item.concept]
    return 1.0 if concept.kind == "validation" else concept.loss_weight


def _predicted(
    session: Session, batch: Loaded, noisy: torch.Tensor, t: torch.Tensor
) -> torch.Tensor:
    model = session.model
    with session.compute.accelerator.autocast():
        text = session.conditioning([draw.caption for draw in batch.draws])
        return model.predict(noisy, model.process.time(t), text, batch.frames)


def _with_prior_targets(
    session: Session,
    batch: Loaded,
    target: torch.Tensor,
    noisy: torch.Tensor,
    t: torch.Tensor,
) -> torch.Tensor:
    """Targets (B, C, h, w), those of prior pictures replaced by what the base model predicts.

    Learning without Forgetting (arXiv 1606.09282): what the model said before is the target, so
    that it keeps saying it; the picture itself is only where the question is asked.
    """
    concepts = session.job.concepts
    rows = [n for n, draw in enumerate(batch.draws) if concepts[draw.item.concept].kind == "prior"]
    if not rows:
        return target
    with torch.no_grad(), without_adapter(session.model, session.adapter):
        predicted = _predicted(session, batch.only(rows), noisy[rows], t[rows])
    target = target.clone()
    target[rows] = predicted.to(target)
    return target
