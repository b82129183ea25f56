"""Facts about the networks that Stable Diffusion and its successors are built of."""

from __future__ import annotations

from typing import Literal

from core.families.base import Part

_ATTENTION = (".to_q", ".to_k", ".to_v", ".to_out.0")
_FEED_FORWARD = (".ff.net.0.proj", ".ff.net.2", ".proj_in", ".proj_out")
_TEXT = (".q_proj", ".k_proj", ".v_proj", ".out_proj", ".fc1", ".fc2")

UNET = Part(
    name="unet",
    role="denoiser",
    title="UNet",
    folder="unet",
    stem="diffusion_pytorch_model",
    prefixes=("model.diffusion_model.",),
    lora_prefix="lora_unet",
    targets={"attention": _ATTENTION, "attention_ff": _ATTENTION + _FEED_FORWARD, "all": ("",)},
    # What lies outside of the blocks (conv_in, conv_out, the time embedding) is left alone:
    # kohya's scripts drop LoRA layers on it without a word, older versions of diffusers with a
    # warning.
    blocks=(
        *("down_blocks.", "mid_block.", "up_blocks."),
        *("input_blocks.", "middle_block.", "output_blocks."),
    ),
    outside=("input_blocks.0.",),
)
VAE = Part(
    name="vae",
    role="vae",
    title="VAE",
    folder="vae",
    stem="diffusion_pytorch_model",
    prefixes=("first_stage_model.",),
)


def clip_part(
    name: str,
    title: str,
    lora_prefix: str,
    prefixes: tuple[str, ...],
    tokenizer: str,
    spelling: Literal["own", "open_clip"] = "own",
    layers_left: int = 1,
) -> Part:
    """A CLIP text encoder; `name` is its folder's too."""
    return Part(
        name=name,
        role="text",
        title=title,
        folder=name,
        stem="model",
        prefixes=prefixes,
        spelling=spelling,
        tokenizer=tokenizer,
        vocabulary="sd15/tokenizer",
        layers_left=layers_left,
        lora_prefix=lora_prefix,
        targets=dict.fromkeys(("attention", "attention_ff", "all"), _TEXT),
    )
