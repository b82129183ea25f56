"""The discrete noise schedules that models were trained with."""

from __future__ import annotations

from typing import Any

import torch

from core.errors import fail
from core.families.base import NoiseSchedule, PredictionType


def noise_schedule(
    config: dict[str, Any], prediction_type: PredictionType, zero_terminal_snr: bool
) -> NoiseSchedule:
    """The schedule that a diffusers scheduler config describes.

    Raises UserError `base_unreadable` for a kind of betas that is not known.
    """
    count = int(config.get("num_train_timesteps", 1000))
    kind = config.get("beta_schedule", "linear")
    start, end = float(config.get("beta_start", 1e-4)), float(config.get("beta_end", 0.02))
    if config.get("trained_betas") is not None:
        betas = torch.tensor(config["trained_betas"], dtype=torch.float32)
    elif kind == "linear":
        betas = torch.linspace(start, end, count, dtype=torch.float32)
    elif kind == "scaled_linear":
        betas = torch.linspace(start**0.5, end**0.5, count, dtype=torch.float32) ** 2
    else:
        raise fail(
            "base_unreadable",
            f"The model's noise schedule is of the kind {kind!r}, which Limner does not know; "
            "choose another model.",
        )
    alphas = torch.cumprod(1.0 - betas, dim=0)
    if zero_terminal_snr:
        alphas = with_zero_terminal_snr(alphas)
    return NoiseSchedule(alphas, prediction_type, zero_terminal_snr)


def with_zero_terminal_snr(alphas_cumprod: torch.Tensor) -> torch.Tensor:
    """alphas_cumprod (T,) shifted and scaled so that the last is 0 and the first stays.

    Algorithm 1 of arXiv 2305.08891.
    """
    roots = alphas_cumprod.double().sqrt()
    first, last = roots[0].clone(), roots[-1].clone()
    return (((roots - last) * first / (first - last)) ** 2).float()
