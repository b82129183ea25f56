"""A model of a few hundred weights that encodes pictures and text, and counts what it did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from core.families.base import Conditioning

CHUNK = 8


class FakeText:
    """One token a word, in chunks of CHUNK with a start and an end mark, padded with zeros.

    Makes two things of captions: `embeddings` (B, L, 6) in half precision and `pooled` (B, 6).
    """

    def __init__(self) -> None:
        self.embedding = nn.Embedding(1000, 6)
        self.encoded: list[int] = []

    def length(self, caption: str) -> int:
        return max(1, -(-len(caption.split()) // (CHUNK - 2))) * CHUNK

    def encode(self, captions: Sequence[str], length: int | None = None) -> Conditioning:
        self.encoded.append(len(captions))
        return self.of(captions, length)

    def of(self, captions: Sequence[str], length: int | None = None) -> Conditioning:
        length = length or max(map(self.length, captions))
        found = self.embedding(torch.tensor([self._tokens(c, length) for c in captions]))
        return {"embeddings": found.cumsum(dim=1).half(), "pooled": found.sum(dim=1)}

    def _tokens(self, caption: str, length: int) -> list[int]:
        inner = CHUNK - 2
        row = [1 + sum(map(ord, word)) % 900 for word in caption.split()]
        row += [0] * (length // CHUNK * inner - len(row))
        parts = [row[start : start + inner] for start in range(0, len(row), inner)]
        return [token for part in parts for token in (901, *part, 902)]


class FakeModel:
    """As much of core.families.base.LoadedModel as preparing needs.

    The VAE is one convolution.
    """

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.vae = nn.Conv2d(3, 4, 8, stride=8)
        self.text = FakeText()
        self.parts = {"unet": nn.Linear(2, 2)}
        self.identity = {"vae": f"vae {seed}", "text": f"text {seed}"}
        self.latent_channels, self.latent_scale = 4, 8
        self.encoded: list[int] = []
        self.fail_at: int | None = None
        self.bad_brightness: float | None = None

    def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        assert pixels.dtype == torch.float32 and pixels.min() >= -1 and pixels.max() <= 1
        if self.fail_at is not None and len(self.encoded) >= self.fail_at:
            raise KeyboardInterrupt
        self.encoded += [1] * len(pixels)
        latents = self.vae(pixels)
        if self.bad_brightness is not None:
            bad = (pixels.mean(dim=(1, 2, 3)) - self.bad_brightness).abs() < 0.02
            latents = latents.masked_fill(bad[:, None, None, None], torch.nan)
        return latents

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"preparing should not need {name}")
