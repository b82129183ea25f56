"""Noise, targets, weights, rates and averages against formulas written out here."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from core.config.training import Loss, Timesteps
from core.families.diffusion import Diffusion
from core.randomness import generator, seed_of
from core.schedules import rate_factor
from core.training import objective
from core.training.optimizers import park_state, unpark_state
from core.training.session import SmoothedLoss
from core.training.triggers import Trigger


@pytest.fixture
def alphas() -> torch.Tensor:
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0).float()


def shares(timesteps: list[int]) -> torch.Tensor:
    """Shares of noise time that lie in these of 1000 timesteps."""
    return (torch.tensor(timesteps) + 0.5) / 1000


def test_noise_and_targets_equal_diffusers(alphas: torch.Tensor) -> None:
    from diffusers import DDPMScheduler

    reference = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    random = torch.Generator().manual_seed(0)
    latents = torch.randn(4, 4, 8, 8, generator=random)
    noise = torch.randn(4, 4, 8, 8, generator=random)
    at = torch.tensor([0, 10, 500, 999])
    epsilon, velocity = Diffusion(alphas, "epsilon"), Diffusion(alphas, "v_prediction")
    t = shares(at.tolist())
    assert epsilon.time(t).tolist() == at.tolist()
    noisy = epsilon.mix(latents, noise, t)
    assert torch.allclose(noisy, reference.add_noise(latents, noise, at), atol=1e-5)
    v = velocity.target(latents, noise, t)
    assert torch.allclose(v, reference.get_velocity(latents, noise, at), atol=1e-5)
    assert epsilon.target(latents, noise, t) is noise


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_min_snr_and_debiased_weights(alphas: torch.Tensor, prediction) -> None:
    at = [0, 5, 100, 400, 700, 999]
    process = Diffusion(alphas, prediction)
    snr = [float(x / (1 - x)) for x in alphas[at].double()]
    got = process.weight(shares(at), Loss(weighting="min_snr", min_snr_gamma=5))
    divisor = [s if prediction == "epsilon" else s + 1 for s in snr]
    wanted = [min(s, 5) / d for s, d in zip(snr, divisor, strict=True)]
    assert got.tolist() == pytest.approx(wanted, rel=1e-4)
    got = process.weight(shares(at), Loss(weighting="debiased"))
    wanted = [
        1 / math.sqrt(min(s, 1000)) if prediction == "epsilon" else 1 / (min(s, 1000) + 1)
        for s in snr
    ]
    assert got.tolist() == pytest.approx(wanted, rel=1e-4)


def test_weights_stay_finite_at_zero_terminal_snr() -> None:
    process = Diffusion(torch.tensor([1.0, 0.5, 0.0]), "v_prediction", True)
    for weighting in ("min_snr", "debiased"):
        weights = process.weight(torch.tensor([0.1, 0.5, 0.9]), Loss(weighting=weighting))
        assert torch.isfinite(weights).all()


def test_losses_are_means_per_sample() -> None:
    predicted = torch.tensor([1.0, 2.0, 5.0]).view(3, 1, 1, 1).expand(3, 2, 2, 2)
    target = torch.zeros(3, 2, 2, 2)
    weights = torch.tensor([1.0, 0.5, 2.0])
    assert objective.sample_losses(predicted, target, weights, Loss()).tolist() == [1, 2, 50]
    huber = objective.sample_losses(
        predicted, target, torch.ones(3), Loss(kind="huber", huber_delta=0.1)
    )
    assert huber.tolist() == pytest.approx([0.95, 1.95, 4.95])


def drawn(process: Diffusion, settings: Timesteps, count: int) -> torch.Tensor:
    """Timesteps of `count` samples."""
    return process.time(torch.tensor([process.draw(settings, (64, 64), n) for n in range(count)]))


def test_timesteps_cover_their_range_evenly(alphas: torch.Tensor) -> None:
    process = Diffusion(alphas, "epsilon")
    everywhere = drawn(process, Timesteps(), 4000)
    assert 0 <= everywhere.min() < 10 and 990 < everywhere.max() <= 999
    counts = torch.histc(everywhere.float(), bins=10, min=0, max=1000)
    assert counts.min() > 330 and counts.max() < 470
    part = drawn(process, Timesteps(min=0.2, max=0.3), 500)
    assert part.min() >= 200 and part.max() <= 300
    measured = process.spread(Timesteps(min=0.2, max=0.3), (64, 64), 4)
    assert process.time(torch.tensor(measured)).tolist() == [212, 237, 262, 287]


def test_logit_normal_prefers_the_middle(alphas: torch.Tensor) -> None:
    found = drawn(Diffusion(alphas, "epsilon"), Timesteps(distribution="logit_normal"), 3000)
    middle = ((found > 250) & (found < 750)).float().mean()
    # P(|z| < log 3) for a standard normal z.
    assert float(middle) == pytest.approx(math.erf(math.log(3) / math.sqrt(2)), abs=0.03)


def test_noise_depends_on_its_seed_and_on_nothing_else() -> None:
    shape = torch.Size((4, 8, 8))
    torch.manual_seed(3)
    first, _ = objective.draw_noise(shape, Timesteps(), 0, 5, 1, 0)
    torch.rand(100)
    again, added = objective.draw_noise(shape, Timesteps(), 0, 5, 1, 0)
    other, _ = objective.draw_noise(shape, Timesteps(), 0, 6, 1, 0)
    assert torch.equal(first, again) and added is again and not torch.equal(first, other)


def test_offset_and_perturbation() -> None:
    shape = torch.Size((4, 64, 64))
    plain, _ = objective.draw_noise(shape, Timesteps(), 1)
    shifted, _ = objective.draw_noise(shape, Timesteps(noise_offset=0.5), 1)
    difference = shifted - plain
    assert torch.allclose(difference, difference[:, :1, :1].expand(shape), atol=1e-5)
    target, added = objective.draw_noise(shape, Timesteps(input_perturbation=0.1), 1)
    assert torch.equal(target, plain)
    assert float((added - target).std()) == pytest.approx(0.1, rel=0.05)


def test_seeds_tell_their_parts_apart() -> None:
    seeds = {seed_of(1, 23), seed_of(12, 3), seed_of("1", 23), seed_of(123), seed_of(1, 2, 3)}
    assert len(seeds) == 5 and all(0 <= s < 2**63 for s in seeds)
    assert seed_of(0, "noise") == 6029071906908135005
    draws = [torch.rand(3, generator=generator(4)) for _ in range(2)]
    assert torch.equal(*draws)


@pytest.mark.parametrize("kind", ["constant", "linear", "cosine"])
def test_rates_rise_then_fall(kind) -> None:
    factors = [rate_factor(step, 100, 10, kind) for step in range(100)]
    assert factors[:10] == pytest.approx([(n + 1) / 11 for n in range(10)])
    assert factors[10] == 1.0
    if kind == "constant":
        assert set(factors[10:]) == {1.0}
    else:
        assert all(a > b for a, b in itertools.pairwise(factors[10:]))
        assert 0 < factors[-1] < 0.02
    if kind == "cosine":
        assert factors[55] == pytest.approx(0.5)


def test_shown_loss_is_a_bias_corrected_average() -> None:
    smoothed = SmoothedLoss()
    assert smoothed.add(3.0) == pytest.approx(3.0)
    weights = [0.98 * 0.02, 0.02]
    assert smoothed.add(1.0) == pytest.approx((3 * weights[0] + weights[1]) / sum(weights))


def test_triggers() -> None:
    steps = Trigger(3, "step")
    assert [n for n in range(1, 10) if steps.due(n, 0, False)] == [3, 6, 9]
    epochs = Trigger(2, "epoch")
    assert not epochs.due(10, 1, False) and epochs.due(10, 1, True) and not epochs.due(5, 0, True)
    now = 0.0
    minutes = Trigger(2, "minute", clock=lambda: now)
    assert not minutes.due(1, 0, False)
    now = 121.0
    assert minutes.due(2, 0, False) and not minutes.due(3, 0, False)
    assert not Trigger(1, "never").due(1, 0, True)


class OnGpu(torch.Tensor):
    """A tensor that says that it lies on a GPU, and to where it was moved."""

    device = torch.device("cuda")

    def to(self, device: torch.device) -> torch.Tensor:
        return torch.full((1,), 7.0)


def test_a_paused_optimizer_gets_back_what_lay_on_the_gpu_and_only_that(monkeypatch) -> None:
    weight = torch.nn.Parameter(torch.zeros(3))
    optimizer = torch.optim.AdamW([weight])
    weight.grad = torch.ones(3)
    optimizer.step()
    state = optimizer.state[weight]
    count = state["step"]
    state["exp_avg"] = torch.zeros(3).as_subclass(OnGpu)
    parked = park_state(optimizer)
    assert state["exp_avg"].device.type == "cpu"
    assert [(name, device.type) for _, name, device in parked] == [("exp_avg", "cuda")]
    back: list[torch.device] = []
    monkeypatch.setattr(torch.Tensor, "to", lambda self, device: back.append(device) or self)
    unpark_state(parked)
    assert [device.type for device in back] == ["cuda"]
    # AdamW waits for each step count that lies on a GPU.
    assert state["step"] is count
