"""Pictures to latents and back, with the AutoencoderKL of Stable Diffusion and its successors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image

from core.errors import fail
from core.families import ldm_keys
from core.families.configs import read_json
from core.families.sources import Source
from core.families.weights import build, fill
from core.hardware import free_memory, gpu_has_bfloat16, is_out_of_memory

log = logging.getLogger(__name__)

# Pixels along a side of what a VAE works on when a whole picture is too much.
_TILE = 256


class Autoencoder:
    """A loaded VAE. channels: of its latents; scale: pixels per latent."""

    def __init__(self, vae: Any) -> None:
        self.vae = vae
        self.channels = int(vae.config.latent_channels)
        self.scale = int(2 ** (len(vae.config.block_out_channels) - 1))

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in -1..1 -> scaled latents (B, C, H/f, W/f) float32, the VAE's mean.

        Raises UserError `vae_not_finite`.
        """
        with torch.no_grad():
            mean = self._through(pixels, lambda x: self.vae.encode(x).latent_dist.mean)
        config = self.vae.config
        return (mean - (config.shift_factor or 0.0)) * config.scaling_factor

    def decode(self, latents: torch.Tensor) -> list[Image.Image]:
        """Scaled latents (B, C, h, w) -> RGB pictures. Raises UserError `vae_not_finite`."""
        config = self.vae.config
        z = latents.float() / config.scaling_factor + (config.shift_factor or 0.0)
        with torch.no_grad():
            pixels = self._through(z, lambda x: self.vae.decode(x).sample)
        levels = ((pixels / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
        return [Image.fromarray(one.permute(1, 2, 0).contiguous().numpy()) for one in levels.cpu()]

    def _through(
        self, x: torch.Tensor, run: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """`run(x)` as float32 in the VAE's own number format; once more in float32 on NaN.

        A single picture that does not fit into memory is done in tiles, which overlap.
        """
        try:
            return self._finite(x, run)
        except Exception as error:
            if len(x) > 1 or not is_out_of_memory(error):
                raise
        # Outside of the except block, which would hold on to the memory that did not suffice.
        free_memory()
        log.warning("The VAE takes too much memory for a whole picture; working in tiles.")
        with _in_tiles(self.vae, self.scale):
            return self._finite(x, run)

    def _finite(self, x: torch.Tensor, run: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        weight = next(self.vae.parameters())
        with torch.autocast(weight.device.type, enabled=False):
            y = run(x.to(weight.device, weight.dtype)).float()
            if torch.isfinite(y).all():
                return y
            if weight.dtype != torch.float32 and torch.isfinite(x).all():
                log.warning("The VAE overflowed in %s; trying again in float32.", weight.dtype)
                with _in_float32(self.vae):
                    y = run(x.to(weight.device, torch.float32))
                if torch.isfinite(y).all():
                    return y
        raise fail(
            "vae_not_finite",
            "The VAE gave numbers that are not finite; choose another VAE under model.vae, or "
            "look whether the model or LoRA is damaged.",
            setting="model.vae",
        )


@contextmanager
def _in_float32(module: torch.nn.Module) -> Iterator[None]:
    before = next(module.parameters()).dtype
    module.to(torch.float32)
    try:
        yield
    finally:
        module.to(before)


@contextmanager
def _in_tiles(vae: Any, scale: int) -> Iterator[None]:
    """Let the VAE work on tiles of 256 pixels, four to nine for a picture of 512."""
    before = vae.tile_sample_min_size, vae.tile_latent_min_size
    vae.tile_sample_min_size, vae.tile_latent_min_size = _TILE, _TILE // scale
    vae.enable_tiling()
    try:
        yield
    finally:
        vae.disable_tiling()
        vae.tile_sample_min_size, vae.tile_latent_min_size = before


def load_vae(source: Source, device: torch.device, digest: Any) -> Any:
    """An AutoencoderKL in main memory, in the number format for `device`.

    digest: updated with everything that latents depend on. Raises UserError as `fill` does.
    """
    from diffusers import AutoencoderKL

    config = read_json(source.config)
    vae = build(lambda: AutoencoderKL.from_config(config), source.config)
    blocks = len(config.get("block_out_channels", ()))

    def names(name: str) -> list[str]:
        return [name, ldm_keys.vae_key(name, blocks), ldm_keys.old_vae_key(name)]

    def ignore(name: str) -> bool:
        # Left over from the VAE's own training: its loss network and its averaged copy.
        return name.startswith(("loss.", "model_ema."))

    fill(
        vae,
        source.tensors,
        names,
        what=source.part.title,
        dtype=vae_dtype(device),
        ignore=ignore,
        digest=digest,
    )
    settings: Any = vae.config
    digest.update(f"{settings.scaling_factor} {settings.shift_factor} {vae.dtype}".encode())
    return vae


def vae_dtype(device: torch.device) -> torch.dtype:
    """float16 overflows in some VAEs; bfloat16 has the range but not every device."""
    if device.type == "cuda" and gpu_has_bfloat16():
        return torch.bfloat16
    return torch.float32
