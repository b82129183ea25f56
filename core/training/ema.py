"""Exponential moving average of the LoRA's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from core.lora.inject import Adapter


class Ema:
    """Averages of the weights, named as in files; warms up so that short runs are not held back.

    The decay at update n is min(decay, (1 + n) / (10 + n)), as in TensorFlow's
    ExponentialMovingAverage. Averages `down` and `up` separately, which is what every trainer
    does; it is not the average of their product.
    """

    def __init__(self, adapter: Adapter, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.weights = {name: p.detach().clone() for name, p in adapter.named_weights()}

    @torch.no_grad()
    def update(self, adapter: Adapter) -> None:
        """Take the weights after one optimizer step into the average."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        averages = list(self.weights.values())
        current = [p.detach() for _, p in adapter.named_weights()]
        torch._foreach_lerp_(averages, current, 1 - decay)

    def load(self, weights: Mapping[str, torch.Tensor], updates: int) -> None:
        """Go on from a saved average."""
        for name, average in self.weights.items():
            average.copy_(weights[name])
        self.updates = updates


@contextmanager
def averaged(adapter: Adapter, ema: Ema | None) -> Iterator[None]:
    """Within the block the adapter has the averaged weights; nothing happens without an EMA."""
    if ema is None:
        yield
        return
    kept = {name: p.detach().clone() for name, p in adapter.named_weights()}
    adapter.load_weights(ema.weights)
    try:
        yield
    finally:
        adapter.load_weights(kept)
