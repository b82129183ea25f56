"""What a safetensors file holds, told from its tensors' names and shapes. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Shapes = dict[str, tuple[int, ...]]

UNET = "model.diffusion_model."
VAE = "first_stage_model."
_FIRST = "input_blocks.0.0.weight"
_LORA_PARTS = (
    ".lora_down.",
    ".lora_up.",
    ".lora_A.",
    ".lora_B.",
    ".lora.down.",
    ".lora.up.",
    "_lora.down.",
    "_lora.up.",
    ".hada_w1_a",
    ".lokr_w1",
    ".lora_mid.",
    ".oft_blocks",
    ".oft_diag",
)

# Tensor-name beginnings or parts that belong to one kind of model only, most telling first.
# Kinds with `model.diffusion_model.` stripped: single files and bare networks look alike.
_TRANSFORMERS = (
    ("single_stream_modulation", "Flux.2"),
    ("double_stream_modulation", "Flux.2"),
    ("distilled_guidance_layer", "Chroma"),
    ("double_blocks.", "Flux"),
    ("single_transformer_blocks.", "Flux"),
    ("joint_blocks.", "Stable Diffusion 3"),
    ("noise_refiner.", "Lumina or Z-Image"),
    ("img_mod.1.", "Qwen-Image"),
    ("caption_embedder.", "PixArt or Sana"),
    ("cap_embedder.", "Lumina or Z-Image"),
    ("patch_embedding.", "Wan (video)"),
    ("clip_txt_mapper.", "Stable Cascade"),
    ("encoder_hid_proj.", "differently packed Kolors"),
)


@dataclass(frozen=True)
class Kind:
    """What a file is, with a name for people: a LoRA, something else that is whole, a part of a
    model, or nothing known."""

    what: Literal["lora", "other", "incomplete", "unknown"]
    name: str = ""


def _any(names: Iterable[str], *parts: str) -> bool:
    return any(part in name for name in names for part in parts)


def addition_of(shapes: Shapes) -> Kind | None:
    """What a file is that only adds to a model, such as a LoRA; None where it is not."""
    if not shapes:
        return Kind("unknown", "no tensors at all")
    if _any(shapes, *_LORA_PARTS):
        return Kind("lora")
    if _any(shapes, "motion_modules."):
        return Kind("other", "an AnimateDiff motion module")
    if any(name.startswith(("control_model.", "controlnet_", "lllite_")) for name in shapes):
        return Kind("other", "a ControlNet")
    if _any(shapes, "ip_adapter.", "image_proj."):
        return Kind("other", "an IP-Adapter")
    if any(name in shapes for name in ("emb_params", "clip_l", "clip_g")) or (
        len(shapes) <= 2 and _any(shapes, "string_to_param", "<")
    ):
        return Kind("other", "a textual inversion embedding")
    return None


def kind_of(shapes: Shapes) -> Kind:
    """What a file is that no family knows as its own."""
    if f"{UNET}{_FIRST}" in shapes:
        channels = shapes[f"{UNET}{_FIRST}"][1:2]
        if channels == (9,):
            return Kind("other", "an inpainting model (its UNet takes 9 channels)")
        if channels != (4,):
            taken = channels[0] if channels else 0
            return Kind("other", f"a model whose UNet takes {taken} channels")
    if any(name.startswith("conditioner.embedders.1.") for name in shapes):
        return Kind("other", "a cut-down Stable Diffusion XL model")
    if any(name.startswith("conditioner.embedders.0.") for name in shapes):
        return Kind("other", "a Stable Diffusion XL refiner")
    for part, name in _TRANSFORMERS:
        if _any(shapes, part):
            return Kind("other", f"a {name} model")
    if f"{UNET}{_FIRST}" in shapes:
        return _unet_kind(shapes)
    return _part_kind(shapes)


def _unet_kind(shapes: Shapes) -> Kind:
    """The kind of a file with a UNet in the original (LDM) naming."""
    width = attention_width(shapes)
    if f"{UNET}label_emb.0.0.weight" in shapes or width == 2048:
        return Kind("incomplete", "only a Stable Diffusion XL UNet, without the text encoders")
    if width == 1024:
        return Kind("other", "a Stable Diffusion 2 model")
    if width != 768:
        return Kind("unknown", "a UNet of a kind that Limner does not know")
    return Kind("incomplete", "only a UNet, without the text encoder")


def takes_latents(shapes: Shapes, channels: int = 4) -> bool:
    """Whether there is a UNet in the original naming that takes latents and nothing else."""
    return shapes.get(f"{UNET}{_FIRST}", ())[1:2] == (channels,)


def attention_width(shapes: Shapes) -> int:
    """How many numbers per token the UNet of a single file takes; 0 without one."""
    for name, shape in shapes.items():
        if name.startswith(UNET) and name.endswith("attn2.to_k.weight") and len(shape) == 2:
            return shape[1]
    return 0


def _part_kind(shapes: Shapes) -> Kind:
    """The kind of a file that is one part of a model, or nothing known."""
    if _any(shapes, "down_blocks.0.attentions.", "down_blocks.1.attentions."):
        return Kind("incomplete", "only the UNet of a diffusers folder")
    if _any(shapes, "decoder.conv_in.", "decoder.conv_out.", "encoder.conv_in."):
        return Kind("other", "a VAE alone")
    if _any(shapes, "text_model.encoder.layers.", "encoder.block.0.layer.", "model.embed_tokens."):
        return Kind("other", "a text encoder alone")
    if _any(shapes, "RDB1.conv1", "model.0.weight", "conv_first."):
        return Kind("other", "an upscaler")
    return Kind("unknown", "no model that Limner knows")
