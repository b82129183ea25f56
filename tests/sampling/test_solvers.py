"""Solvers on a denoiser that is known in closed form, and against the papers' formulas."""

from __future__ import annotations

import math

import pytest
import torch

from core.families.diffusion import Diffusion
from core.sampling.solvers import SOLVERS

CENTRE, SPREAD = 0.7, 0.4
BETAS = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
PROCESS = Diffusion(torch.cumprod(1 - BETAS, 0), "epsilon")


def denoise(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """The best guess where clean values are normal around CENTRE."""
    weight = SPREAD**2 / (SPREAD**2 + sigma**2)
    return CENTRE + (x - CENTRE) * weight


def exact(x: torch.Tensor, sigma: float, to: float) -> torch.Tensor:
    """Where the probability flow takes x from level sigma to another."""
    return CENTRE + (x - CENTRE) * math.sqrt((SPREAD**2 + to**2) / (SPREAD**2 + sigma**2))


def levels(steps: int) -> list[float]:
    return PROCESS.sigmas("karras", steps, (64, 64))


def start(sigma: float) -> tuple[torch.Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(500, generator=generator, dtype=torch.float64) * sigma, generator


@pytest.mark.parametrize(
    ("name", "order"), [("euler", 1), ("ddim", 1), ("heun", 2), ("dpmpp_2m", 2)]
)
def test_errors_shrink_with_the_order_of_the_method(name, order):
    errors = []
    for steps in (20, 80):
        # Without the last step to 0, which is always of first order.
        there = levels(steps)[:-1]
        x, _ = start(there[0])
        out = SOLVERS[name](denoise, x, there, x.clone, lambda i, clean: None, PROCESS)
        errors.append(float((out - exact(x, there[0], there[-1])).abs().max()))
    gain = math.log(errors[0] / errors[1], 4)
    assert order - 0.25 < gain < order + 0.8
    assert errors[1] < (5e-2 if order == 1 else 3e-3)


@pytest.mark.parametrize("name", list(SOLVERS))
def test_every_step_is_told_once(name):
    seen: list[int] = []
    x, _ = start(levels(5)[0])
    SOLVERS[name](denoise, x, levels(5), lambda: x * 0, lambda i, clean: seen.append(i), PROCESS)
    assert seen == [0, 1, 2, 3, 4]


def test_ancestral_sampling_gives_the_right_distribution():
    x, generator = start(levels(200)[0])

    def noise() -> torch.Tensor:
        return torch.randn(500, generator=generator, dtype=torch.float64)

    out = SOLVERS["euler_ancestral"](denoise, x, levels(200), noise, lambda i, clean: None, PROCESS)
    assert float(out.mean()) == pytest.approx(CENTRE, abs=0.08)
    assert float(out.std()) == pytest.approx(SPREAD, abs=0.06)


def test_dpmpp_2m_follows_the_papers_formula():
    """Algorithm 2 of arXiv 2211.01095 in the form x' = (s'/s) x - (e^-h - 1) D, with t = -ln s."""
    steps = levels(12)
    x = torch.linspace(-10, 10, 50, dtype=torch.float64)
    expected, old = x, None
    for index in range(12):
        sigma, to = steps[index], steps[index + 1]
        guess = denoise(expected, sigma)
        if to == 0:
            expected = guess
            break
        h = math.log(sigma) - math.log(to)
        aim = guess
        if old is not None:
            r = (math.log(steps[index - 1]) - math.log(sigma)) / h
            aim = (1 + 1 / (2 * r)) * guess - 1 / (2 * r) * old
        expected = (to / sigma) * expected - (math.exp(-h) - 1) * aim
        old = guess
    got = SOLVERS["dpmpp_2m"](denoise, x, steps, lambda: x, lambda i, clean: None, PROCESS)
    assert torch.allclose(got, expected, atol=1e-12)


def test_ancestral_step_follows_its_formula():
    x, fresh = torch.tensor([3.0, -2.0]), torch.tensor([0.5, 1.5])
    sigma, to = 2.0, 1.2
    up = math.sqrt(to**2 * (sigma**2 - to**2) / sigma**2)
    down = math.sqrt(to**2 - up**2)
    slope = (x - denoise(x, sigma)) / sigma
    middle = x + slope * (down - sigma) + fresh * up
    expected = denoise(middle, to)
    got = SOLVERS["euler_ancestral"](
        denoise, x, [sigma, to, 0.0], lambda: fresh, lambda i, c: None, PROCESS
    )
    assert torch.allclose(got, expected, atol=1e-6)
