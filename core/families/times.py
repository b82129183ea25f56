"""How much noise a sample gets, as a share of noise time: 0 is the picture, 1 pure noise."""

from __future__ import annotations

import torch

from core.config.training import Timesteps
from core.randomness import generator


def drawn_share(settings: Timesteps, *seed: int | str) -> float:
    """One sample's share, from the distribution and range in `settings`; `seed` decides alone.

    Logit-normal is that of Stable Diffusion 3 (arXiv 2403.03206, section 3.1).
    """
    random = generator(*seed, "timestep")
    if settings.distribution == "uniform":
        share = torch.rand((), generator=random, dtype=torch.float64)
    else:
        normal = torch.randn((), generator=random, dtype=torch.float64)
        share = torch.sigmoid(settings.logit_mean + settings.logit_std * normal)
    return settings.min + float(share) * (settings.max - settings.min)


def spread_shares(settings: Timesteps, levels: int) -> list[float]:
    """The middles of `levels` equal parts of the range in `settings`."""
    width = settings.max - settings.min
    return [settings.min + (number + 0.5) / levels * width for number in range(levels)]
