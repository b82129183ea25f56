"""Models whose denoiser is a UNet of diffusers: Stable Diffusion 1, 2, XL and Kolors.

What differs between them is the text side and what else the UNet is told; a family hands both in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from PIL import Image

from core.errors import fail
from core.families import ldm_keys
from core.families.autoencoder import Autoencoder, load_vae
from core.families.base import (
    BaseModelFile,
    Conditioning,
    FamilyInfo,
    Frame,
    Loading,
    NoiseProcess,
    Role,
    TextSide,
)
from core.families.configs import read_json
from core.families.diffusion import diffusion
from core.families.passing_text import PassingText
from core.families.residency import Residency
from core.families.sources import Source, bundled, open_parts, opened_again
from core.families.weights import build, fill, matched

# Text sides are built from each text part's source, with a digest of what they depend on.
MakeText = Callable[[Mapping[str, Source], Any], tuple[dict[str, Any], TextSide]]
Added = Callable[[Conditioning, Sequence[Frame]], Mapping[str, torch.Tensor]]
# Puts the stored weights of a part into its network in main memory.
Refill = Callable[[Any, Source], None]


@dataclass
class UNetModel:
    """A model with a UNet in memory; see `core.families.base.LoadedModel`.

    added: what the UNet takes beside embeddings, `added_cond_kwargs` in diffusers' words. late: see
    `Residency`.
    """

    info: FamilyInfo
    file: BaseModelFile
    parts: Mapping[str, Any]
    process: NoiseProcess
    text: TextSide
    identity: Mapping[Role, str]
    device: torch.device
    added: Added | None = None
    late: Mapping[str, Callable[[], None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (unet,), (vae,) = (self._only("denoiser"), self._only("vae"))
        self._unet, self._pixels = self.parts[unet], Autoencoder(self.parts[vae])
        self.latent_channels, self.latent_scale = self._pixels.channels, self._pixels.scale
        roles = {part.name: part.role for part in self.info.parts}
        passing = frozenset(part.name for part in self.info.parts if part.passing)
        self._residency = Residency(self.parts, roles, self.device, self.late, passing)
        if passing:
            self.text = PassingText(self.text, self._residency)

    def _only(self, role: Role) -> list[str]:
        return [part.name for part in self.info.of(role)]

    def place(self, *roles: Role) -> None:
        """Have the parts with these roles on the device, and no others, from now on."""
        self._residency.place(*roles)

    def resident(self, *roles: Role) -> AbstractContextManager[None]:
        """The same for the time of a block."""
        return self._residency.resident(*roles)

    def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in -1..1 -> scaled latents (B, C, H/f, W/f) float32, the VAE's mean.

        Raises UserError `vae_not_finite`.
        """
        return self._pixels.encode(pixels)

    def decode_latents(self, latents: torch.Tensor) -> list[Image.Image]:
        """Scaled latents (B, C, h, w) -> RGB pictures. Raises UserError `vae_not_finite`."""
        return self._pixels.decode(latents)

    def predict(
        self,
        noisy: torch.Tensor,
        time: torch.Tensor,
        text: Conditioning,
        frames: Sequence[Frame],
    ) -> torch.Tensor:
        """Noisy latents (B, C, h, w), timesteps (B,), B captions and frames -> prediction alike.

        Computed in the UNet's number format or the caller's autocast, returned in noisy's.
        Timesteps need not be whole numbers.
        """
        self._residency.need("denoiser")
        weight = self._unet.conv_in.weight
        more = {}
        if self.added is not None:
            told = self.added(text, frames)
            # In their own number formats: bfloat16 would round sizes to multiples of 8.
            more["added_cond_kwargs"] = {n: rows.to(weight.device) for n, rows in told.items()}
        out = self._unet(
            noisy.to(weight.device, weight.dtype),
            time.to(weight.device),
            text["embeddings"].to(weight.device, weight.dtype),
            return_dict=False,
            **more,
        )[0]
        return out.to(noisy.device, noisy.dtype)


def load_unet_model(
    info: FamilyInfo,
    file: BaseModelFile,
    how: Loading,
    make_text: MakeText,
    added: Added | None = None,
    refill: Refill | None = None,
) -> UNetModel:
    """Load fully offline into main memory, weights frozen and in eval mode.

    refill: for families with parts that pass. The weights of these come back through it, and
    those of the UNet are read when they are needed, so that both are never held together.

    Raises UserError `base_incomplete`, `base_unexpected_weights`, `base_unreadable`,
    `base_truncated`, `vae_unsuitable`, `zero_snr_needs_v`, and what `make_text` raises.
    """
    whole = file.layout == "diffusers"
    scheduler = (file.path if whole else bundled(info.name)) / "scheduler" / "scheduler_config.json"
    process = diffusion(read_json(scheduler), how.prediction_type, how.zero_terminal_snr)
    text_digest, vae_digest = hashlib.sha256(), hashlib.sha256()
    with ExitStack() as stack:
        sources = open_parts(info, file, how.vae, stack)
        (unet,), (vae,) = info.of("denoiser"), info.of("vae")
        network = build_unet(sources[unet.name])
        late: dict[str, Callable[[], None]] = {}
        if refill is None:
            fill_unet(network, sources[unet.name], how.dtype)
        else:
            _match_unet(network, sources[unet.name])
            put = partial(fill_unet, dtype=how.dtype)
            late[unet.name] = partial(_fetch, put, network, sources[unet.name])
        parts = {unet.name: network}
        encoders, text = make_text(sources, text_digest)
        for part in info.parts:
            if part.passing and refill is not None:
                late[part.name] = partial(_fetch, refill, encoders[part.name], sources[part.name])
        parts |= encoders
        parts[vae.name] = load_vae(sources[vae.name], how.device, vae_digest)
    _check_vae(parts[unet.name], parts[vae.name], sources[vae.name])
    _check_text(parts[unet.name], text, sources[unet.name])
    text_digest.update(f"{how.clip_skip} {how.dtype}".encode())
    return UNetModel(
        info=info,
        file=file,
        parts=parts,
        process=process,
        text=text,
        identity={"vae": vae_digest.hexdigest(), "text": text_digest.hexdigest()},
        device=how.device,
        added=added,
        late=late,
    )


def _fetch(put: Refill, network: Any, source: Source) -> None:
    with ExitStack() as stack:
        put(network, opened_again(source, stack))


def build_unet(source: Source) -> Any:
    """A UNet2DConditionModel without weights. Raises UserError as `build` does."""
    from diffusers import UNet2DConditionModel

    config = read_json(source.config)
    return build(lambda: UNet2DConditionModel.from_config(config), source.config)


def fill_unet(unet: Any, source: Source, dtype: torch.dtype) -> None:
    """Put the stored weights into it, in main memory. Raises UserError as `fill` does."""
    fill(unet, source.tensors, _unet_names(source), what=source.part.title, dtype=dtype)


def _match_unet(unet: Any, source: Source) -> None:
    """Raise UserError as `fill` does where weights are missing or unknown."""
    matched(unet, source.tensors, _unet_names(source), what=source.part.title)


def _unet_names(source: Source) -> Callable[[str], list[str]]:
    """Which names a tensor of the UNet may have in the file."""
    config = read_json(source.config)
    key = partial(
        ldm_keys.unet_key,
        layers_per_block=config.get("layers_per_block", 2),
        upsampling_only=frozenset(
            index
            for index, kind in enumerate(config.get("up_block_types", ()))
            if "Attn" not in str(kind)
        ),
    )

    def names(name: str) -> list[str]:
        return [key(name)] if source.tensors.prefix else [name]

    return names


def _check_vae(unet: Any, vae: Any, source: Source) -> None:
    """Refuse a VAE that does not belong to the UNet, which would fail at the first step."""
    if vae.config.latent_channels != unet.config.in_channels:
        raise fail(
            "vae_unsuitable",
            f"The VAE makes latents of {vae.config.latent_channels} channels, but the UNet takes "
            f"{unet.config.in_channels}; choose another under model.vae.",
            file=str(source.tensors.files[0]),
            setting="model.vae",
        )


def _check_text(unet: Any, text: TextSide, source: Source) -> None:
    """Refuse encoders that do not belong to the UNet."""
    wanted = unet.config.encoder_hid_dim or unet.config.cross_attention_dim
    if text.width != wanted:
        raise fail(
            "base_unexpected_weights",
            f"The text side gives {text.width} numbers a token, but the UNet takes {wanted}; the "
            "folder mixes two models.",
            file=str(source.config.parent.parent),
        )
