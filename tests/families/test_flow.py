"""Rectified flow against its formulas, diffusers' scheduler and a flow known in closed form."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from core.config.training import Loss, Timesteps
from core.families.flow import DynamicShift, Flow
from core.sampling.solvers import SOLVERS

SIZE = (1024, 1024)
CENTRE, SPREAD = 0.7, 0.4


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_mixing_and_target_equal_diffusers() -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    clean, fresh, t = noise(3, 4, 8, 8), noise(3, 4, 8, 8, seed=1), torch.tensor([0.1, 0.5, 1.0])
    scheduler = FlowMatchEulerDiscreteScheduler()
    at = torch.tensor([900, 500, 0])
    expected = scheduler.scale_noise(clean, scheduler.timesteps[at], fresh)
    process = Flow()
    assert torch.allclose(process.mix(clean, fresh, t), expected, atol=1e-5)
    assert torch.equal(process.target(clean, fresh, t), fresh - clean)
    assert process.time(t) is t


def test_the_prediction_leads_back_to_the_clean_latents() -> None:
    process, clean, fresh = Flow(), noise(2, 4, 8, 8), noise(2, 4, 8, 8, seed=1)
    t = torch.full((2,), 0.3)
    seen, time = process.to_model(process.mix(clean, fresh, t), 0.3)
    assert torch.equal(time, t)
    found = process.from_model(seen, process.target(clean, fresh, t), 0.3)
    assert torch.allclose(found, clean, atol=1e-6)


def test_times_are_shifted_towards_the_noise() -> None:
    settings, k = Timesteps(), 3.0
    plain = [Flow().draw(settings, SIZE, n) for n in range(50)]
    shifted = [Flow(shift=k).draw(settings, SIZE, n) for n in range(50)]
    assert shifted == pytest.approx([k * s / (1 + (k - 1) * s) for s in plain])
    assert Flow().spread(settings, SIZE, 2) == [0.25, 0.75]
    assert Flow(shift=k).spread(settings, SIZE, 2) == pytest.approx([0.5, 0.9])


def test_the_dynamic_shift_is_that_of_flux() -> None:
    """exp(0.5) at 256 tokens of 16 px, exp(1.15) at 4096, mu linear between."""
    shift = DynamicShift()
    assert shift.at((256, 256)) == pytest.approx(math.exp(0.5))
    assert shift.at((1024, 1024)) == pytest.approx(math.exp(1.15))
    assert math.log(shift.at((512, 512))) == pytest.approx(0.5 + 0.65 * (1024 - 256) / 3840)


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9])
def test_weights_are_those_of_the_errors_they_stand_for(share: float) -> None:
    """Min-SNR weighs the error of x_0, debiased that of the noise; the velocity's is another."""
    snr, t = ((1 - share) / share) ** 2, torch.tensor([share])
    velocity_error = 0.1
    clean_error, noise_error = share * velocity_error, (1 - share) * velocity_error
    got = Flow().weight(t, Loss(weighting="min_snr", min_snr_gamma=5)) * velocity_error**2
    assert float(got) == pytest.approx(min(snr, 5) * clean_error**2, rel=1e-4)
    got = Flow().weight(t, Loss(weighting="debiased")) * velocity_error**2
    assert float(got) == pytest.approx(noise_error**2 / math.sqrt(min(snr, 1000)), rel=1e-4)
    assert Flow().weight(t, Loss()).tolist() == [1.0]


def test_weights_are_finite_at_both_ends() -> None:
    for weighting in ("min_snr", "debiased"):
        assert Flow().weight(torch.tensor([0.0, 1.0]), Loss(weighting=weighting)).isfinite().all()


@pytest.mark.parametrize("name", ["normal", "karras", "simple", "sgm_uniform", "exponential"])
def test_levels_fall_from_pure_noise_to_none(name: str) -> None:
    levels = Flow(shift=3.0).sigmas(name, 12, SIZE)
    assert len(levels) == 13 and levels[0] == pytest.approx(1) and levels[-1] == 0
    assert all(high > low for high, low in itertools.pairwise(levels))


def test_simple_levels_equal_diffusers() -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(sigmas=[1 - n / 10 for n in range(10)])
    assert Flow(shift=3.0).sigmas("simple", 10, SIZE) == pytest.approx(
        scheduler.sigmas.tolist(), abs=1e-5
    )


def denoise(x: torch.Tensor, s: float) -> torch.Tensor:
    """The best guess where clean values are normal around CENTRE."""
    weight = (1 - s) * SPREAD**2 / ((1 - s) ** 2 * SPREAD**2 + s**2)
    return CENTRE + (x - (1 - s) * CENTRE) * weight


@pytest.mark.parametrize("name", list(SOLVERS))
def test_every_solver_ends_in_the_right_distribution(name: str) -> None:
    process = Flow()
    random = torch.Generator().manual_seed(1)

    def fresh() -> torch.Tensor:
        return torch.randn(4000, generator=random, dtype=torch.float64)

    levels = process.sigmas("simple", 100, SIZE)
    start = process.start(fresh(), levels[0])
    out = SOLVERS[name](denoise, start, levels, fresh, lambda i, clean: None, process)
    assert float(out.mean()) == pytest.approx(CENTRE, abs=0.03)
    assert float(out.std()) == pytest.approx(SPREAD, abs=0.03)


@pytest.mark.parametrize(("sigma", "to"), [(1.0, 0.9), (0.7, 0.6), (0.3, 0.05), (0.4, 0.0)])
def test_an_ancestral_step_keeps_picture_and_noise_in_proportion(sigma: float, to: float) -> None:
    down, scale, up = Flow().ancestral(sigma, to)
    assert down == pytest.approx(to**2 / sigma)
    assert scale * (1 - down) == pytest.approx(1 - to)
    assert math.hypot(scale * down, up) == pytest.approx(to)
