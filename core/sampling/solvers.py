"""Samplers: from noise at sigma_max to a clean latent, one function each.

All work on x = clean + sigma * noise (arXiv 2206.00364); `denoise(x, sigma)` gives the model's
guess of the clean latent. A step is written as a mix of x and that guess, which loses no digits
where sigma is very large (zero terminal SNR). The same line from x to the clean latent is right
for flow models, whose x is (1 - sigma) clean + sigma noise; what differs is asked of the process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from core.families.base import Ancestral
from core.sampling.genspec import Sampler

Denoise = Callable[[torch.Tensor, float], torch.Tensor]
Noise = Callable[[], torch.Tensor]
AfterStep = Callable[[int, torch.Tensor], None]


class Levels(Protocol):
    """What solvers ask of a `NoiseProcess`."""

    def ancestral(self, sigma: float, to: float) -> Ancestral: ...
    def half_log_snr(self, sigma: float) -> float: ...


Solver = Callable[[Denoise, torch.Tensor, Sequence[float], Noise, AfterStep, Levels], torch.Tensor]


def _towards(x: torch.Tensor, clean: torch.Tensor, sigma: float, to: float) -> torch.Tensor:
    """Move x along the line to `clean`, from noise level sigma to `to`."""
    return clean + (x - clean) * (to / sigma)


def euler(
    denoise: Denoise,
    x: torch.Tensor,
    sigmas: Sequence[float],
    noise: Noise,
    after: AfterStep,
    process: Levels,
) -> torch.Tensor:
    """Euler's method, algorithm 2 of arXiv 2206.00364 without churn; equal to DDIM at eta 0."""
    for index in range(len(sigmas) - 1):
        clean = denoise(x, sigmas[index])
        x = _towards(x, clean, sigmas[index], sigmas[index + 1])
        after(index, clean)
    return x


def euler_ancestral(
    denoise: Denoise,
    x: torch.Tensor,
    sigmas: Sequence[float],
    noise: Noise,
    after: AfterStep,
    process: Levels,
) -> torch.Tensor:
    """Euler's method with fresh noise at each step (eta 1)."""
    for index in range(len(sigmas) - 1):
        sigma, to = sigmas[index], sigmas[index + 1]
        clean = denoise(x, sigma)
        down, scale, up = process.ancestral(sigma, to)
        x = _towards(x, clean, sigma, down)
        if to > 0:
            x = x * scale + noise() * up
        after(index, clean)
    return x


def heun(
    denoise: Denoise,
    x: torch.Tensor,
    sigmas: Sequence[float],
    noise: Noise,
    after: AfterStep,
    process: Levels,
) -> torch.Tensor:
    """Heun's second-order method, algorithm 1 of arXiv 2206.00364; the last step is Euler's."""
    for index in range(len(sigmas) - 1):
        sigma, to = sigmas[index], sigmas[index + 1]
        clean = denoise(x, sigma)
        predicted = _towards(x, clean, sigma, to)
        if to > 0:
            slope = (x - clean) / sigma
            slope_there = (predicted - denoise(predicted, to)) / to
            predicted = x + (slope + slope_there) / 2 * (to - sigma)
        x = predicted
        after(index, clean)
    return x


def dpmpp_2m(
    denoise: Denoise,
    x: torch.Tensor,
    sigmas: Sequence[float],
    noise: Noise,
    after: AfterStep,
    process: Levels,
) -> torch.Tensor:
    """DPM-Solver++(2M), algorithm 2 of arXiv 2211.01095; the first and last step first order."""
    before: torch.Tensor | None = None
    for index in range(len(sigmas) - 1):
        sigma, to = sigmas[index], sigmas[index + 1]
        clean = denoise(x, sigma)
        aim = clean
        if before is not None and to > 0:
            here = process.half_log_snr(sigma)
            step = process.half_log_snr(to) - here
            ratio = (here - process.half_log_snr(sigmas[index - 1])) / step
            aim = clean + (clean - before) / (2 * ratio)
        x = _towards(x, aim, sigma, to)
        before = clean
        after(index, clean)
    return x


SOLVERS: dict[Sampler, Solver] = {
    "dpmpp_2m": dpmpp_2m,
    "euler": euler,
    "euler_ancestral": euler_ancestral,
    "heun": heun,
    "ddim": euler,
}
