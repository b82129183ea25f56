"""The full SD 1.5 network with random weights, as a diffusers folder and as one original file."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from core.families import ldm_keys
from core.paths import resources_dir

UNET, CLIP, VAE = "model.diffusion_model.", "cond_stage_model.transformer.", "first_stage_model."
# SD 1.5's only up block without attention is the first.
PLAIN_UP_BLOCKS = frozenset({0})


def full_size_sd15(folder: Path, seed: int = 0, dtype: torch.dtype = torch.float16) -> Path:
    """Write the full SD 1.5 topology (1.07 billion random weights, 2.1 GB) in diffusers format."""
    shutil.copytree(resources_dir() / "models" / "sd15", folder)
    generator = torch.Generator().manual_seed(seed)
    for part, name in (
        ("unet", "diffusion_pytorch_model"),
        ("vae", "diffusion_pytorch_model"),
        ("text_encoder", "model"),
    ):
        weights = random_weights(empty_network(part), generator, dtype)
        if part == "text_encoder":
            # The key layout of every published SD 1.5 model.
            weights = {f"text_model.{k.removeprefix('text_model.')}": v for k, v in weights.items()}
        save_file(weights, folder / part / f"{name}.safetensors")
    return folder


def full_size_single_file(folder: Path, path: Path) -> Path:
    """Write the model in a diffusers folder (SD 1.5's shape) as one file in original naming."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(ldm_weights(folder), path, metadata={"format": "pt"})
    return path


def ldm_weights(folder: Path, up_blocks_without_attention: frozenset[int] = PLAIN_UP_BLOCKS) -> Any:
    """All tensors of a diffusers folder under their original names."""
    layers = json.loads((folder / "unet" / "config.json").read_text())["layers_per_block"]
    blocks = len(json.loads((folder / "vae" / "config.json").read_text())["block_out_channels"])
    weights: dict[str, torch.Tensor] = {}
    for name, tensor in _tensors(folder / "unet" / "diffusion_pytorch_model.safetensors"):
        weights[UNET + ldm_keys.unet_key(name, layers, up_blocks_without_attention)] = tensor
    for name, tensor in _tensors(folder / "vae" / "diffusion_pytorch_model.safetensors"):
        key = ldm_keys.vae_key(name, blocks)
        if ".mid.attn_1." in key and ".norm." not in key and key.endswith("weight"):
            # The original has 1x1 convolutions where diffusers has linear layers.
            tensor = tensor[:, :, None, None]
        weights[VAE + key] = tensor
    for name, tensor in _tensors(folder / "text_encoder" / "model.safetensors"):
        weights[f"{CLIP}text_model.{name.removeprefix('text_model.')}"] = tensor
    length = weights[f"{CLIP}text_model.embeddings.position_embedding.weight"].shape[0]
    weights[f"{CLIP}text_model.embeddings.position_ids"] = torch.arange(length)[None]
    weights["alphas_cumprod"] = torch.linspace(1, 0.005, 1000)
    return weights


def _tensors(path: Path) -> Any:
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118
            yield name, file.get_tensor(name)


def empty_network(part: str) -> torch.nn.Module:
    """SD 1.5's UNet, VAE or text encoder without memory for its weights."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    config = json.loads((resources_dir() / "models/sd15" / part / "config.json").read_text())
    with torch.device("meta"):
        if part == "unet":
            return UNet2DConditionModel.from_config(config)
        if part == "vae":
            return AutoencoderKL.from_config(config)
        return CLIPTextModel(CLIPTextConfig(**config))


def random_weights(
    network: torch.nn.Module, generator: torch.Generator, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """Weights that keep the width of what passes through: uniform by fan-in, norms at 1."""
    weights = {}
    for name, tensor in network.state_dict().items():
        fresh = torch.zeros(tensor.shape, dtype=dtype)
        if tensor.ndim > 1:
            bound = 1 / math.sqrt(math.prod(tensor.shape[1:]))
            fresh.uniform_(-bound, bound, generator=generator)
        elif name.endswith("weight"):
            fresh.fill_(1)
        weights[name] = fresh
    return weights
