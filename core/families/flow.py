"""Rectified flow, as Stable Diffusion 3, Flux and their successors were trained.

x_s = (1 - s) x_0 + s n, and the network predicts the velocity n - x_0 (arXiv 2209.03003). The
noise level sigma of sampling is s itself. Large pictures need more noise to lose their shape, so
times are shifted towards it: s' = k s / (1 + (k - 1) s) (arXiv 2403.03206, section 5.3.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from core.config.training import Loss, Timesteps
from core.families.base import Ancestral, PredictionType, Size
from core.families.sigmas import sigmas
from core.families.times import drawn_share, spread_shares

# Samplers' schedules count noise levels in thousandths, as those of discrete models.
_LEVELS = 1000


@dataclass(frozen=True)
class DynamicShift:
    """A shift that grows with the picture: k = e^mu, mu linear in the number of image tokens.

    least and most: mu at `few` and at `many` tokens (Flux.1: 0.5 at 256, 1.15 at 4096).
    token: pixels along a side of what becomes one token.
    """

    least: float = 0.5
    most: float = 1.15
    few: int = 256
    many: int = 4096
    token: int = 16

    def at(self, size: Size) -> float:
        """k for a picture of (width, height) pixels."""
        tokens = (size[0] // self.token) * (size[1] // self.token)
        slope = (self.most - self.least) / (self.many - self.few)
        return math.exp(self.least + slope * (tokens - self.few))


@dataclass(frozen=True)
class Flow:
    """The noise that a flow model was trained with; see `core.families.base.NoiseProcess`.

    shift: k, or how it follows from the picture's size.
    """

    shift: float | DynamicShift = 1.0
    prediction_type: PredictionType = "velocity"

    def _shifted(self, share: float, size: Size) -> float:
        k = self.shift.at(size) if isinstance(self.shift, DynamicShift) else self.shift
        return k * share / (1 + (k - 1) * share)

    def draw(self, settings: Timesteps, size: Size, *seed: int | str) -> float:
        """One sample's share of noise time, shifted for its size."""
        return self._shifted(drawn_share(settings, *seed), size)

    def spread(self, settings: Timesteps, size: Size, levels: int) -> list[float]:
        """`levels` shares, evenly over the range in `settings` before the shift."""
        return [self._shifted(share, size) for share in spread_shares(settings, levels)]

    def time(self, t: torch.Tensor) -> torch.Tensor:
        """The shares themselves; a family's `predict` brings them to what its network takes."""
        return t

    def mix(self, clean: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """x_s for latents and noise (B, C, h, w) at shares t (B,)."""
        s = t.view(-1, 1, 1, 1)
        return (1 - s) * clean + s * noise

    def target(self, clean: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The velocity n - x_0."""
        return noise - clean

    def weight(self, t: torch.Tensor, loss: Loss) -> torch.Tensor:
        """Weight of each sample's loss, (B,), at shares t (B,), with snr = ((1 - s) / s)^2.

        An error of the velocity is s times as large in x_0 and 1 - s times in the noise. So
        min-SNR, min(snr, gamma) on the error of x_0, is s^2 min(snr, gamma) here; debiased,
        1 / sqrt(snr) on that of the noise, is (1 - s)^2 / sqrt(snr), with snr at most 1000.
        """
        if loss.weighting == "none":
            return torch.ones_like(t)
        snr = ((1 - t) / t.clamp_min(1e-6)) ** 2
        if loss.weighting == "min_snr":
            return t**2 * snr.clamp(max=loss.min_snr_gamma)
        # (1 - s)^2 / sqrt(snr) in the form that stays finite at s = 1.
        return torch.where(snr < 1000.0, t * (1 - t), (1 - t) ** 2 / 1000.0**0.5)

    def sigmas(self, name: str, steps: int, size: Size) -> list[float]:
        """The noise levels of `steps` sampling steps, shifted for the size, falling, the last 0."""

        def at(index: torch.Tensor) -> torch.Tensor:
            shares = ((index.double() + 1) / _LEVELS).tolist()
            return torch.tensor([self._shifted(s, size) for s in shares], dtype=torch.float64)

        return sigmas(name, steps, at(torch.arange(_LEVELS)), at).tolist()

    def start(self, noise: torch.Tensor, sigma: float) -> torch.Tensor:
        """What sampling begins with: the noise alone, of level 1."""
        return noise * sigma

    def to_model(self, x: torch.Tensor, sigma: float) -> tuple[torch.Tensor, torch.Tensor]:
        """What the network sees of x (B, C, h, w), and the shares (B,)."""
        return x, torch.full((len(x),), sigma, dtype=torch.float32, device=x.device)

    def from_model(self, x: torch.Tensor, out: torch.Tensor, sigma: float) -> torch.Tensor:
        """The guess of the clean latents that the network's output for x means: x - s v."""
        return x - out * sigma

    def ancestral(self, sigma: float, to: float) -> Ancestral:
        """Down to to^2 / sigma, as the samplers of other programs go, then up to `to` again.

        Between them the picture's share goes from 1 - down to 1 - to, so all is scaled by their
        ratio, and the noise that is missing then is added.
        """
        down = to**2 / sigma
        scale = (1 - to) / (1 - down)
        return Ancestral(down, scale, math.sqrt(max(to**2 - (scale * down) ** 2, 0.0)))

    def half_log_snr(self, sigma: float) -> float:
        """ln((1 - s) / s)."""
        return -math.inf if sigma >= 1 else math.log((1 - sigma) / sigma)
