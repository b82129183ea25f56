"""Which modules of a UNet and of a CLIP text encoder get a LoRA. Torch-free at import."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

ATTENTION = (".to_q", ".to_k", ".to_v", ".to_out.0")
_FEED_FORWARD = (".ff.net.0.proj", ".ff.net.2", ".proj_in", ".proj_out")
_TEXT = (".q_proj", ".k_proj", ".v_proj", ".out_proj", ".fc1", ".fc2")
# Inside of the UNet's blocks, by diffusers' names and by those of original checkpoints. What lies
# outside (conv_in, conv_out, the time embedding) is left alone: kohya's scripts drop LoRA layers
# on it without a word, older versions of diffusers with a warning.
_IN_BLOCKS = re.compile(
    r"(down_blocks|mid_block|up_blocks|middle_block|output_blocks)\.|input_blocks\.(?!0\.)"
)


def is_unet_target(name: str, targets: str) -> bool:
    """Whether a linear layer or convolution of the UNet gets a LoRA under `lora.targets`.

    name: as in diffusers or as in an original checkpoint. `attention`: query, key, value and
    output of self and cross attention (128 in SD 1.5). `attention_ff`: also the transformer
    blocks' feed-forward layers and the projections into and out of them (64 more). `all`: every
    linear layer and convolution inside the blocks (278), which is what every program reads.
    """
    if targets == "all":
        return _IN_BLOCKS.match(name) is not None
    return name.endswith(ATTENTION if targets == "attention" else ATTENTION + _FEED_FORWARD)


def is_text_target(name: str) -> bool:
    """Whether a linear layer of a CLIP text encoder gets a LoRA."""
    return name.endswith(_TEXT)


def unet_targets(unet: torch.nn.Module, targets: str) -> list[str]:
    """Full names of a diffusers UNet's modules that get a LoRA, in order."""
    from torch.nn import Conv2d, Linear

    return [
        name
        for name, module in unet.named_modules()
        if isinstance(module, (Linear, Conv2d)) and is_unet_target(name, targets)
    ]


def text_encoder_targets(encoder: torch.nn.Module) -> list[str]:
    """Full names of the attention and feed-forward layers of a CLIP text encoder, in order."""
    from torch.nn import Linear

    return [
        name
        for name, module in encoder.named_modules()
        if isinstance(module, Linear) and is_text_target(name)
    ]
