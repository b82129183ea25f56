"""What a training step does alike for every family: noise and losses, as pure functions.

How noise is mixed in and what is predicted is the family's `NoiseProcess`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from core.config.training import Loss, Timesteps
from core.randomness import generator


def draw_noise(
    shape: torch.Size, settings: Timesteps, *seed: int | str
) -> tuple[torch.Tensor, torch.Tensor]:
    """(target noise, noise added to the input), each (C, h, w) float32 on the CPU.

    They differ only under input perturbation (arXiv 2301.11706), where the target stays clean.
    Noise offset adds one value per channel, which lets a model change overall brightness.
    """
    random = generator(*seed, "noise")
    noise = torch.randn(shape, generator=random)
    if settings.noise_offset:
        noise = noise + settings.noise_offset * torch.randn(shape[0], 1, 1, generator=random)
    if not settings.input_perturbation:
        return noise, noise
    extra = torch.randn(shape, generator=random)
    return noise, noise + settings.input_perturbation * extra


def sample_losses(
    predicted: torch.Tensor,
    target: torch.Tensor,
    weights: torch.Tensor,
    settings: Loss,
    areas: torch.Tensor | None = None,
) -> torch.Tensor:
    """Each sample's weighted loss, (B,) float32: mean over (C, h, w), times weights (B,).

    areas: how much each latent counts in that mean, (B, h, w); none may be 0 all over. The mean
    is sum(area x loss) / sum(area), so that a small mask trains as strongly as a large one.
    """
    predicted, target = predicted.float(), target.float()
    if settings.kind == "huber":
        # Divided by delta so that it nears the absolute error, not delta times it, far from 0.
        loss = F.huber_loss(predicted, target, reduction="none", delta=settings.huber_delta)
        loss = loss / settings.huber_delta
    else:
        loss = F.mse_loss(predicted, target, reduction="none")
    if areas is None:
        return loss.mean(dim=(1, 2, 3)) * weights
    weighted = (loss.mean(dim=1) * areas).sum(dim=(1, 2)) / areas.sum(dim=(1, 2))
    return weighted * weights


def area_weights(mask: torch.Tensor, outside: float) -> torch.Tensor:
    """How much each latent counts, (h, w), by a mask (h, w) of 0..1 and the weight outside it."""
    return outside + (1 - outside) * mask
