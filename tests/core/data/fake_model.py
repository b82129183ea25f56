"""A model of a few hundred weights that encodes pictures and text, and counts what it did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

CHUNK = 8


class FakeModel:
    """As much of core.families.base.LoadedModel as preparing needs.

    The VAE is one convolution; the tokenizer gives one token a word, in chunks of CHUNK with a
    start and an end mark, padded with zeros.
    """

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.vae = nn.Conv2d(3, 4, 8, stride=8)
        self.embedding = nn.Embedding(1000, 6)
        self.components = {"unet": nn.Linear(2, 2)}
        self.identity = {"vae": f"vae {seed}", "text": f"text {seed}"}
        self.latent_channels, self.latent_scale = 4, 8
        self.encoded: list[int] = []
        self.texts: list[int] = []
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

    def tokenize(self, prompts: Sequence[str]) -> torch.Tensor:
        inner = CHUNK - 2
        words = [[1 + sum(map(ord, word)) % 900 for word in p.split()] for p in prompts]
        chunks = max(1, *(-(-len(row) // inner) for row in words))
        rows = []
        for row in words:
            row = row + [0] * (chunks * inner - len(row))
            parts = [row[start : start + inner] for start in range(0, len(row), inner)]
            rows.append([token for part in parts for token in (901, *part, 902)])
        return torch.tensor(rows)

    def encode_tokens(self, tokens: torch.Tensor) -> torch.Tensor:
        self.texts.append(len(tokens))
        return self.embedding(tokens).cumsum(dim=1)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"preparing should not need {name}")
