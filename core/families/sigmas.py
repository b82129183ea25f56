"""Noise levels for sampling: which sigmas, in which order.

A discrete model knows T noise levels, sigma = sqrt((1 - a) / a) with a = alphas_cumprod. Between
them sigma(t) interpolates ln sigma linearly (k-diffusion, arXiv 2206.00364). The schedules are
those of ComfyUI under the same names.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

# Zero terminal SNR means infinite noise at the last level; this is the most that is counted with
# (sigma 4096), as diffusers does.
_SMALLEST_ALPHA = 2.0**-24
_KARRAS_RHO = 7.0


def sigma_table(alphas_cumprod: torch.Tensor) -> torch.Tensor:
    """Noise levels (T,) float64, ascending, of a discrete schedule's alphas_cumprod (T,)."""
    alphas = alphas_cumprod.double().clamp(min=_SMALLEST_ALPHA)
    return ((1 - alphas) / alphas).sqrt()


def sigma_at(timesteps: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Noise levels at timesteps, which may lie between two whole ones."""
    logs = table.log()
    low = timesteps.floor().clamp(0, len(table) - 1).long()
    high = (low + 1).clamp(max=len(table) - 1)
    part = timesteps.double() - low
    return ((1 - part) * logs[low] + part * logs[high]).exp()


def timestep_at(sigmas: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Timesteps float64 of noise levels, the inverse of `sigma_at`; clamped to the table."""
    logs = table.log()
    wanted = sigmas.double().clamp(min=float(table[0]), max=float(table[-1])).log()
    high = torch.searchsorted(logs, wanted).clamp(1, len(logs) - 1)
    low = high - 1
    return low + (wanted - logs[low]) / (logs[high] - logs[low])


def sigmas(
    name: str, steps: int, table: torch.Tensor, at: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """The noise levels of `steps` sampling steps, (steps + 1,) float64, falling, the last 0.

    table: the levels that the model knows, (T,) ascending. at: the levels at places 0..T-1 of the
    table, which may lie between two.
    """
    last = len(table) - 1
    if name == "normal":
        levels = at(torch.linspace(last, 0, steps, dtype=torch.float64))
    elif name == "sgm_uniform":
        levels = at(torch.linspace(last, 0, steps + 1, dtype=torch.float64)[:-1])
    elif name == "simple":
        picks = [last - int(index * len(table) / steps) for index in range(steps)]
        levels = table[torch.tensor(picks)]
    elif name == "karras":
        levels = _karras(steps, float(table[0]), float(table[-1]))
    elif name == "exponential":
        ends = table[[-1, 0]].log()
        levels = torch.linspace(float(ends[0]), float(ends[1]), steps, dtype=torch.float64).exp()
    else:
        raise ValueError(f"unknown noise schedule {name!r}")
    return torch.cat([levels, levels.new_zeros(1)])


def _karras(steps: int, lowest: float, highest: float) -> torch.Tensor:
    """Equation 5 of arXiv 2206.00364."""
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    top, bottom = highest ** (1 / _KARRAS_RHO), lowest ** (1 / _KARRAS_RHO)
    return (top + ramp * (bottom - top)) ** _KARRAS_RHO
