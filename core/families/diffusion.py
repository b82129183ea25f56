"""Diffusion with discrete timesteps, as Stable Diffusion 1, 2, XL and Kolors were trained.

Notation follows DDPM (arXiv 2006.11239): x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) e, with a_t the
cumulative product of alphas. SNR(t) = a_t / (1 - a_t). Sampling works on x_0 + sigma e
(arXiv 2206.00364), which the networks see divided by its width sqrt(1 + sigma^2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from core.config.training import Loss, Timesteps
from core.errors import fail
from core.families.base import Ancestral, PredictionType, Size
from core.families.sigmas import sigma_at, sigma_table, sigmas, timestep_at
from core.families.times import drawn_share, spread_shares


@dataclass(frozen=True)
class Diffusion:
    """The noise that a model was trained with; see `core.families.base.NoiseProcess`.

    alphas_cumprod: (T,) float32 on the CPU. zero_terminal_snr: the last is 0.
    """

    alphas_cumprod: torch.Tensor
    prediction_type: PredictionType
    zero_terminal_snr: bool = False

    @property
    def timesteps(self) -> int:
        """How many timesteps there are, T."""
        return len(self.alphas_cumprod)

    def draw(self, settings: Timesteps, size: Size, *seed: int | str) -> float:
        """One sample's share of noise time: the middle of the timestep that was drawn."""
        return self._middle(drawn_share(settings, *seed))

    def spread(self, settings: Timesteps, size: Size, levels: int) -> list[float]:
        """`levels` shares, evenly over the range in `settings`."""
        return [self._middle(share) for share in spread_shares(settings, levels)]

    def _middle(self, share: float) -> float:
        timestep = int(min(max(share * self.timesteps, 0), self.timesteps - 1))
        return (timestep + 0.5) / self.timesteps

    def time(self, t: torch.Tensor) -> torch.Tensor:
        """The whole timesteps (B,) int64 at shares (B,)."""
        return (t * self.timesteps).long().clamp(0, self.timesteps - 1)

    def _alphas(self, t: torch.Tensor) -> torch.Tensor:
        return self.alphas_cumprod.to(t.device)[self.time(t)]

    def mix(self, clean: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """x_t for latents and noise (B, C, h, w) at shares t (B,)."""
        a = self._alphas(t).view(-1, 1, 1, 1)
        return a.sqrt() * clean + (1 - a).sqrt() * noise

    def target(self, clean: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """What the model should predict: the noise e, or the velocity v.

        v = sqrt(a) e - sqrt(1 - a) x_0 (arXiv 2202.00512, appendix D).
        """
        if self.prediction_type == "epsilon":
            return noise
        a = self._alphas(t).view(-1, 1, 1, 1)
        return a.sqrt() * noise - (1 - a).sqrt() * clean

    def weight(self, t: torch.Tensor, loss: Loss) -> torch.Tensor:
        """Weight of each sample's loss, (B,), at shares t (B,).

        Min-SNR (arXiv 2303.09556): min(snr, gamma) / snr, over snr + 1 for v-prediction. Debiased
        (arXiv 2310.08442): 1 / sqrt(snr), over snr + 1 for v, with snr at most 1000. Both as
        weights of the mean squared error of the model's own prediction.
        """
        a = self._alphas(t)
        if loss.weighting == "none":
            return torch.ones_like(a)
        epsilon = self.prediction_type == "epsilon"
        # A zero-terminal schedule has SNR 0 at its end; both formulas stay finite for v-prediction.
        snr = a / (1 - a).clamp_min(1e-12)
        if loss.weighting == "min_snr":
            capped = snr.clamp(max=loss.min_snr_gamma)
            return capped / snr.clamp_min(1e-8) if epsilon else capped / (snr + 1)
        snr = snr.clamp(max=1000.0)
        return 1 / snr.clamp_min(1e-8).sqrt() if epsilon else 1 / (snr + 1)

    def sigmas(self, name: str, steps: int, size: Size) -> list[float]:
        """The noise levels of `steps` sampling steps, falling, the last 0."""
        table = sigma_table(self.alphas_cumprod)
        return sigmas(name, steps, table, lambda at: sigma_at(at, table)).tolist()

    def start(self, noise: torch.Tensor, sigma: float) -> torch.Tensor:
        """What sampling begins with: at full noise x is as wide as picture and noise together."""
        return noise * (1 + sigma**2) ** 0.5

    def to_model(self, x: torch.Tensor, sigma: float) -> tuple[torch.Tensor, torch.Tensor]:
        """What the network sees of x (B, C, h, w), and its timesteps (B,), which may be broken."""
        table = sigma_table(self.alphas_cumprod)
        at = timestep_at(torch.tensor([sigma]), table).float().to(x.device)
        return x / (1 + sigma**2) ** 0.5, at.expand(len(x))

    def from_model(self, x: torch.Tensor, out: torch.Tensor, sigma: float) -> torch.Tensor:
        """The guess of the clean latents that the network's output for x means."""
        if self.prediction_type == "v_prediction":
            width = (1 + sigma**2) ** 0.5
            return x / width**2 - out * (sigma / width)
        return x - out * sigma

    def ancestral(self, sigma: float, to: float) -> Ancestral:
        """As much fresh noise as the DDPM posterior has (eta 1): down^2 + up^2 = to^2."""
        up = min(to, math.sqrt(to**2 * (sigma**2 - to**2) / sigma**2))
        return Ancestral(down=math.sqrt(max(to**2 - up**2, 0.0)), scale=1.0, up=up)

    def half_log_snr(self, sigma: float) -> float:
        """ln(1 / sigma)."""
        return -math.log(sigma)


def diffusion(
    config: dict[str, Any], prediction_type: PredictionType, zero_terminal_snr: bool
) -> Diffusion:
    """The process that a diffusers scheduler config describes.

    Raises UserError `base_unreadable` for a kind of betas that is not known, `zero_snr_needs_v`.
    """
    if zero_terminal_snr and prediction_type == "epsilon":
        raise fail(
            "zero_snr_needs_v",
            "Zero terminal SNR needs a v-prediction model: from pure noise, predicting the noise "
            "tells nothing; switch it off or set the prediction type.",
            setting="model.zero_terminal_snr",
        )
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
    return Diffusion(alphas, prediction_type, zero_terminal_snr)


def with_zero_terminal_snr(alphas_cumprod: torch.Tensor) -> torch.Tensor:
    """alphas_cumprod (T,) shifted and scaled so that the last is 0 and the first stays.

    Algorithm 1 of arXiv 2305.08891.
    """
    roots = alphas_cumprod.double().sqrt()
    first, last = roots[0].clone(), roots[-1].clone()
    return (((roots - last) * first / (first - last)) ** 2).float()
