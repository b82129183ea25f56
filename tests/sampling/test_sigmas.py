"""Noise schedules against their formulas written out, and against diffusers' schedulers."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from core.families.diffusion import Diffusion, with_zero_terminal_snr
from core.families.sigmas import sigma_at, sigma_table, timestep_at

STEPS = [1, 2, 7, 20, 28]


def alphas() -> torch.Tensor:
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0)


def table() -> torch.Tensor:
    return sigma_table(alphas())


def between(t: float) -> float:
    """sigma(t), ln sigma being linear between whole timesteps."""
    levels = [math.sqrt((1 - a) / a) for a in alphas().tolist()]
    low = min(int(t), 998)
    return math.exp((1 - (t - low)) * math.log(levels[low]) + (t - low) * math.log(levels[low + 1]))


def expected(name: str, n: int) -> list[float]:
    levels = [math.sqrt((1 - a) / a) for a in alphas().tolist()]
    low, high = levels[0], levels[-1]
    share = [i / (n - 1) if n > 1 else 0.0 for i in range(n)]
    if name == "normal":
        found = [between(999 * (1 - part)) for part in share]
    elif name == "sgm_uniform":
        found = [between(999 * (1 - i / n)) for i in range(n)]
    elif name == "simple":
        found = [levels[-(1 + int(i * 1000 / n))] for i in range(n)]
    elif name == "karras":
        found = [(high ** (1 / 7) + p * (low ** (1 / 7) - high ** (1 / 7))) ** 7 for p in share]
    else:
        found = [math.exp(math.log(high) + p * (math.log(low) - math.log(high))) for p in share]
    return [*found, 0.0]


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("name", ["normal", "karras", "simple", "sgm_uniform", "exponential"])
def test_schedules_follow_their_formulas(name, steps):
    got = Diffusion(alphas(), "epsilon").sigmas(name, steps, (512, 512))
    assert got == pytest.approx(expected(name, steps), rel=1e-9)
    assert all(high > low for high, low in itertools.pairwise(got)) and got[-1] == 0


def test_sigma_max_is_that_of_sd15():
    assert float(table()[-1]) == pytest.approx(14.6146, abs=1e-3)
    assert float(table()[0]) == pytest.approx(0.0292, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("normal", {"timestep_spacing": "linspace"}),
        ("simple", {"timestep_spacing": "trailing"}),
        ("karras", {"timestep_spacing": "linspace", "use_karras_sigmas": True}),
        ("exponential", {"timestep_spacing": "linspace", "use_exponential_sigmas": True}),
    ],
)
def test_schedules_equal_diffusers(name, settings):
    from diffusers import EulerDiscreteScheduler

    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", **settings
    )
    scheduler.set_timesteps(20)
    ours = torch.tensor(Diffusion(alphas(), "epsilon").sigmas(name, 20, (512, 512)))
    assert torch.allclose(ours, scheduler.sigmas, rtol=1e-4)
    assert torch.allclose(
        timestep_at(ours[:-1], table()).float(), scheduler.timesteps.float(), atol=0.05
    )


def test_timesteps_and_levels_are_inverse():
    times = torch.tensor([0.0, 0.25, 17.0, 500.5, 998.75, 999.0], dtype=torch.float64)
    assert torch.allclose(timestep_at(sigma_at(times, table()), table()), times, atol=1e-9)
    outside = torch.tensor([0.0, 1e-9, 1e9], dtype=torch.float64)
    assert timestep_at(outside, table()).tolist() == pytest.approx([0, 0, 999], abs=1e-9)


def test_pure_noise_counts_as_a_very_large_finite_level():
    levels = sigma_table(with_zero_terminal_snr(alphas()))
    assert levels.isfinite().all()
    assert float(levels[-1]) == pytest.approx(4096, rel=1e-3)
    assert float(timestep_at(levels[-1:], levels)) == pytest.approx(999)
