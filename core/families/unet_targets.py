"""Which modules of a diffusers UNet and of a CLIP text encoder get a LoRA."""

from __future__ import annotations

import torch

_ATTENTION = (".to_q", ".to_k", ".to_v", ".to_out.0")
_FEED_FORWARD = (".ff.net.0.proj", ".ff.net.2", ".proj_in", ".proj_out")
_TEXT = (".q_proj", ".k_proj", ".v_proj", ".out_proj", ".fc1", ".fc2")


def unet_targets(unet: torch.nn.Module, targets: str) -> list[str]:
    """Full names of the UNet's modules for `attention`, `attention_ff` or `all`, in order.

    `attention`: query, key, value and output of self and cross attention (128 in SD 1.5).
    `attention_ff`: also the transformer blocks' feed-forward layers and the projections into and
    out of them (64 more). `all`: every linear layer and convolution.
    """
    names = [name for name, module in unet.named_modules() if isinstance(module, _LAYERS) and name]
    if targets == "all":
        return names
    endings = _ATTENTION if targets == "attention" else _ATTENTION + _FEED_FORWARD
    return [name for name in names if ".attentions." in name and name.endswith(endings)]


def text_encoder_targets(encoder: torch.nn.Module) -> list[str]:
    """Full names of the attention and feed-forward layers of a CLIP text encoder, in order."""
    return [
        name
        for name, module in encoder.named_modules()
        if isinstance(module, torch.nn.Linear) and name.endswith(_TEXT)
    ]


_LAYERS = (torch.nn.Linear, torch.nn.Conv2d)
