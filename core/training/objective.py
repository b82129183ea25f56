"""Noise, targets and loss: the mathematics of one training step, as pure functions.

Notation follows DDPM (arXiv 2006.11239): x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) e, with a_t the
cumulative product of alphas. SNR(t) = a_t / (1 - a_t).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from core.config.training import Loss, Timesteps
from core.families.base import NoiseSchedule, PredictionType
from core.training.randomness import generator


def draw_timestep(settings: Timesteps, count: int, *seed: int | str) -> int:
    """One sample's timestep in 0..count-1, from the distribution and range in `settings`.

    Logit-normal is that of Stable Diffusion 3 (arXiv 2403.03206, section 3.1).
    """
    random = generator(*seed, "timestep")
    if settings.distribution == "uniform":
        share = torch.rand((), generator=random, dtype=torch.float64)
    else:
        normal = torch.randn((), generator=random, dtype=torch.float64)
        share = torch.sigmoid(settings.logit_mean + settings.logit_std * normal)
    low, high = settings.min * count, settings.max * count
    return int(min(max(low + float(share) * (high - low), 0), count - 1))


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


def add_noise(
    latents: torch.Tensor, noise: torch.Tensor, alphas_cumprod: torch.Tensor
) -> torch.Tensor:
    """x_t for latents and noise (B, C, h, w) and alphas_cumprod at each sample's timestep (B,)."""
    a = alphas_cumprod.view(-1, 1, 1, 1)
    return a.sqrt() * latents + (1 - a).sqrt() * noise


def target_of(
    latents: torch.Tensor,
    noise: torch.Tensor,
    alphas_cumprod: torch.Tensor,
    prediction: PredictionType,
) -> torch.Tensor:
    """What the model should predict: the noise e, or the velocity v.

    v = sqrt(a) e - sqrt(1 - a) x_0 (arXiv 2202.00512, appendix D).
    """
    if prediction == "epsilon":
        return noise
    a = alphas_cumprod.view(-1, 1, 1, 1)
    return a.sqrt() * noise - (1 - a).sqrt() * latents


def timestep_weights(
    alphas_cumprod: torch.Tensor, prediction: PredictionType, settings: Loss
) -> torch.Tensor:
    """Weight of each sample's loss, (B,), from alphas_cumprod at its timestep (B,).

    Min-SNR (arXiv 2303.09556): min(snr, gamma) / snr, over snr + 1 for v-prediction. Debiased
    (arXiv 2310.08442): 1 / sqrt(snr), over snr + 1 for v, with snr at most 1000. Both as weights
    of the mean squared error of the model's own prediction.
    """
    if settings.weighting == "none":
        return torch.ones_like(alphas_cumprod)
    # A zero-terminal schedule has SNR 0 at its end; both formulas stay finite for v-prediction.
    snr = alphas_cumprod / (1 - alphas_cumprod).clamp_min(1e-12)
    if settings.weighting == "min_snr":
        capped = snr.clamp(max=settings.min_snr_gamma)
        return capped / snr.clamp_min(1e-8) if prediction == "epsilon" else capped / (snr + 1)
    snr = snr.clamp(max=1000.0)
    return 1 / snr.clamp_min(1e-8).sqrt() if prediction == "epsilon" else 1 / (snr + 1)


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


def spread_timesteps(settings: Timesteps, count: int, levels: int) -> list[int]:
    """`levels` timesteps in 0..count-1, the middles of equal parts of the range in `settings`."""
    low, high = settings.min * count, settings.max * count
    places = (low + (number + 0.5) / levels * (high - low) for number in range(levels))
    return [int(min(max(place, 0), count - 1)) for place in places]


def schedule_values(schedule: NoiseSchedule, timesteps: torch.Tensor) -> torch.Tensor:
    """alphas_cumprod at each timestep (B,), float32 on the timesteps' device."""
    return schedule.alphas_cumprod.to(timesteps.device)[timesteps]
