"""Stable Diffusion 1.x: one CLIP text encoder, a UNet of convolutions and attention, a VAE.

Everything is read from the model's own configs, so smaller models of the same build (the demo
model) load here too. Nothing asks the network.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image

from core.errors import fail
from core.families import clip_text, ldm_keys
from core.families.base import BaseModelFile, Conditioning, FamilyInfo, Frame, PredictionType
from core.families.configs import read_json
from core.families.detect import vae_files, weight_files
from core.families.diffusion import Diffusion, diffusion
from core.families.kinds import CLIP, UNET, VAE
from core.families.tiny import build_tiny_sd15
from core.families.unet_targets import text_encoder_targets, unet_targets
from core.families.weights import Tensors, build, fill, materialise_positions
from core.hardware import free_memory, gpu_has_bfloat16, is_out_of_memory
from core.paths import resources_dir

log = logging.getLogger(__name__)

INFO = FamilyInfo(
    name="sd15",
    title="Stable Diffusion 1.x",
    default_resolution=512,
    bucket_step=64,
    architecture="stable-diffusion-v1/lora",
)
# Pixels along a side of what a VAE works on when a whole picture is too much.
_TILE = 256
_KEY_PREFIXES = {"unet": "lora_unet", "text_encoder": "lora_te"}
Component = Literal["vae", "text_encoder", "unet"]


@dataclass
class SD15Model:
    """A Stable Diffusion 1.x model in memory; see `core.families.base.LoadedModel`."""

    info: FamilyInfo
    file: BaseModelFile
    unet: Any
    text_encoder: Any
    vae: Any
    tokenizer: Any
    process: Diffusion
    identity: Mapping[str, str]
    clip_skip: int
    latent_channels: int
    latent_scale: int

    def __post_init__(self) -> None:
        self.components = {"unet": self.unet, "text_encoder": self.text_encoder}
        self.key_prefixes = dict(_KEY_PREFIXES)
        self.text = clip_text.ClipText(self.tokenizer, self.text_encoder, self.clip_skip)

    def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in -1..1 -> scaled latents (B, C, H/f, W/f) float32, the VAE's mean.

        Raises UserError `vae_not_finite`.
        """
        with torch.no_grad():
            mean = self._through_vae(pixels, lambda x: self.vae.encode(x).latent_dist.mean)
        config = self.vae.config
        return (mean - (config.shift_factor or 0.0)) * config.scaling_factor

    def decode_latents(self, latents: torch.Tensor) -> list[Image.Image]:
        """Scaled latents (B, C, h, w) -> RGB pictures. Raises UserError `vae_not_finite`."""
        config = self.vae.config
        z = latents.float() / config.scaling_factor + (config.shift_factor or 0.0)
        with torch.no_grad():
            pixels = self._through_vae(z, lambda x: self.vae.decode(x).sample)
        levels = ((pixels / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
        return [Image.fromarray(one.permute(1, 2, 0).contiguous().numpy()) for one in levels.cpu()]

    def _through_vae(self, x: torch.Tensor, run: Any) -> torch.Tensor:
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
        with _in_tiles(self.vae, self.latent_scale):
            return self._finite(x, run)

    def _finite(self, x: torch.Tensor, run: Any) -> torch.Tensor:
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

    def predict(
        self,
        noisy: torch.Tensor,
        time: torch.Tensor,
        text: Conditioning,
        frames: Sequence[Frame],
    ) -> torch.Tensor:
        """Noisy latents (B, C, h, w), timesteps (B,), B captions -> prediction alike.

        Computed in the UNet's number format or the caller's autocast, returned in noisy's.
        Timesteps need not be whole numbers. This family has no use for frames.
        """
        weight = self.unet.conv_in.weight
        out = self.unet(
            noisy.to(weight.device, weight.dtype),
            time.to(weight.device),
            text["embeddings"].to(weight.device, weight.dtype),
            return_dict=False,
        )[0]
        return out.to(noisy.device, noisy.dtype)

    def lora_targets(self, targets: str, text_encoder: bool) -> dict[str, list[str]]:
        """Component -> full names of the modules that get a LoRA, for `lora.targets`."""
        chosen = {"unet": unet_targets(self.unet, targets)}
        if text_encoder:
            chosen["text_encoder"] = text_encoder_targets(self.text_encoder)
        return chosen

    def place(self, component: Component, on: torch.device) -> None:
        """Move one part to a device (to the CPU to free GPU memory)."""
        getattr(self, component).to(on)


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


@dataclass(frozen=True)
class _Sources:
    """Where each part's weights and settings come from."""

    unet: Tensors
    text_encoder: Tensors
    vae: Tensors
    configs: Path
    vae_config: Path


class _SD15Family:
    """The Stable Diffusion 1.x family."""

    info = INFO

    def load(
        self,
        file: BaseModelFile,
        *,
        vae: Path | None,
        dtype: torch.dtype,
        device: torch.device,
        clip_skip: int,
        prediction_type: PredictionType,
        zero_terminal_snr: bool,
    ) -> SD15Model:
        """Load fully offline, weights frozen and in eval mode.

        vae: another VAE, a file or a diffusers folder. dtype: of UNet and text encoder; the VAE
        is bfloat16 on GPUs that have it and float32 elsewhere.

        Raises UserError `base_incomplete`, `base_unexpected_weights`, `base_unreadable`,
        `base_truncated`, `vae_unsuitable`, `clip_skip_too_large`, `zero_snr_needs_v`.
        """
        with ExitStack() as stack:
            sources = _open(file, vae, stack)
            unet = _load_unet(sources, dtype, device)
            text = hashlib.sha256()
            encoder = _load_text_encoder(sources, dtype, device, text)
            tokenizer = _load_tokenizer(sources.configs / "tokenizer", text)
            pixels = hashlib.sha256()
            autoencoder = _load_vae(sources, device, pixels)
        _check_fit(unet, encoder, autoencoder, clip_skip, sources)
        text.update(f"{clip_skip} {dtype}".encode())
        scale, shift = autoencoder.config.scaling_factor, autoencoder.config.shift_factor
        pixels.update(f"{scale} {shift} {autoencoder.dtype}".encode())
        scheduler = read_json(sources.configs / "scheduler" / "scheduler_config.json")
        return SD15Model(
            info=self.info,
            file=file,
            unet=unet,
            text_encoder=encoder,
            vae=autoencoder,
            tokenizer=tokenizer,
            process=diffusion(scheduler, prediction_type, zero_terminal_snr),
            identity={"vae": pixels.hexdigest(), "text": text.hexdigest()},
            clip_skip=clip_skip,
            latent_channels=int(unet.config.in_channels),
            latent_scale=2 ** (len(autoencoder.config.block_out_channels) - 1),
        )

    def build_tiny(self, folder: Path, seed: int) -> Path:
        """Write a tiny random model of this family in diffusers format, for tests."""
        return build_tiny_sd15(folder, seed)


def _open(file: BaseModelFile, vae: Path | None, stack: ExitStack) -> _Sources:
    bundled = resources_dir() / "models" / "sd15"
    if file.layout == "diffusers":
        folder = file.path
        unet = Tensors(weight_files(folder / "unet"), stack)
        encoder = Tensors(weight_files(folder / "text_encoder"), stack)
        own = None if vae else Tensors(weight_files(folder / "vae"), stack)
        configs = folder
    else:
        unet = Tensors([file.path], stack, UNET)
        encoder = Tensors([file.path], stack, CLIP)
        own = None if vae else Tensors([file.path], stack, VAE)
        configs = bundled
    vae_config = configs / "vae" / "config.json"
    if vae is not None:
        own, vae_config = _open_vae(vae, stack, bundled)
    assert own is not None
    if not own.names():
        raise fail(
            "base_incomplete",
            f"{file.path.name} holds no VAE; choose one under model.vae.",
            file=str(file.path),
            setting="model.vae",
        )
    return _Sources(unet, encoder, own, configs, vae_config)


def _open_vae(path: Path, stack: ExitStack, bundled: Path) -> tuple[Tensors, Path]:
    """Weights and settings of a VAE chosen by the user: a file, its folder or a whole model."""
    files, prefix, config = vae_files(path)
    return Tensors(files, stack, prefix), config or bundled / "vae" / "config.json"


def _load_unet(sources: _Sources, dtype: torch.dtype, device: torch.device) -> Any:
    from diffusers import UNet2DConditionModel

    path = sources.configs / "unet" / "config.json"
    config = read_json(path)
    unet = build(lambda: UNet2DConditionModel.from_config(config), path)
    layers = config.get("layers_per_block", 2)
    plain = frozenset(
        index
        for index, kind in enumerate(config.get("up_block_types", ()))
        if "Attn" not in str(kind)
    )

    def names(name: str) -> list[str]:
        if not sources.unet.prefix:
            return [name]
        return [ldm_keys.unet_key(name, layers, plain)]

    fill(unet, sources.unet, names, what="UNet", dtype=dtype, device=device)
    return unet


def _load_text_encoder(
    sources: _Sources, dtype: torch.dtype, device: torch.device, digest: Any
) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    path = sources.configs / "text_encoder" / "config.json"
    config = read_json(path)
    encoder = build(lambda: CLIPTextModel(CLIPTextConfig(**config)), path)
    ahead = "transformer." if sources.text_encoder.prefix else ""

    def names(name: str) -> list[str]:
        bare = name.removeprefix("text_model.")
        return [f"{ahead}text_model.{bare}", f"{ahead}{bare}"]

    def ignore(name: str) -> bool:
        # Position numbers, and the projection of full CLIP models, which SD 1.x does not use.
        return name.endswith(("position_ids", "text_projection.weight", "logit_scale"))

    fill(
        encoder,
        sources.text_encoder,
        names,
        what="text encoder",
        dtype=dtype,
        device=device,
        ignore=ignore,
        digest=digest,
    )
    materialise_positions(encoder, device)
    digest.update(json.dumps(config, sort_keys=True, default=str).encode())
    return encoder


def _load_tokenizer(folder: Path, digest: Any) -> Any:
    from transformers import CLIPTokenizer

    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        if (folder / name).is_file():
            digest.update(name.encode() + (folder / name).read_bytes())
    try:
        tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:
        raise fail(
            "base_unreadable",
            f"The tokenizer in {folder} cannot be read; download or copy the model again.",
            detail=str(error),
            file=str(folder),
        ) from error
    if tokenizer.model_max_length > 10_000:
        # transformers' "unknown": older folders lack tokenizer_config.json.
        tokenizer.model_max_length = 77
    return tokenizer


def _load_vae(sources: _Sources, device: torch.device, digest: Any) -> Any:
    from diffusers import AutoencoderKL

    config = read_json(sources.vae_config)
    vae = build(lambda: AutoencoderKL.from_config(config), sources.vae_config)
    blocks = len(config.get("block_out_channels", ()))

    def names(name: str) -> list[str]:
        return [name, ldm_keys.vae_key(name, blocks), ldm_keys.old_vae_key(name)]

    def ignore(name: str) -> bool:
        # Left over from the VAE's own training: its loss network and its averaged copy.
        return name.startswith(("loss.", "model_ema."))

    fill(
        vae,
        sources.vae,
        names,
        what="VAE",
        dtype=_vae_dtype(device),
        device=device,
        ignore=ignore,
        digest=digest,
    )
    return vae


def _vae_dtype(device: torch.device) -> torch.dtype:
    """float16 overflows in some VAEs; bfloat16 has the range but not every device."""
    if device.type == "cuda" and gpu_has_bfloat16():
        return torch.bfloat16
    return torch.float32


def _check_fit(unet: Any, encoder: Any, vae: Any, clip_skip: int, sources: _Sources) -> None:
    """Refuse parts that do not belong together, which would fail at the first step."""
    if vae.config.latent_channels != unet.config.in_channels:
        raise fail(
            "vae_unsuitable",
            f"The VAE makes latents of {vae.config.latent_channels} channels, but the UNet takes "
            f"{unet.config.in_channels}; choose another under model.vae.",
            file=str(sources.vae.files[0]),
            setting="model.vae",
        )
    if encoder.config.hidden_size != unet.config.cross_attention_dim:
        raise fail(
            "base_unexpected_weights",
            f"The text encoder gives {encoder.config.hidden_size} numbers a token, but the UNet "
            f"takes {unet.config.cross_attention_dim}; the folder mixes two models.",
            file=str(sources.configs),
        )
    if clip_skip >= encoder.config.num_hidden_layers:
        raise fail(
            "clip_skip_too_large",
            f"model.clip_skip is {clip_skip}, but the text encoder has only "
            f"{encoder.config.num_hidden_layers} layers; lower it.",
            setting="model.clip_skip",
        )


SD15 = _SD15Family()
