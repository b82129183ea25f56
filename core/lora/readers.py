"""Which LoRA layers of a file the programs that people use really read.

Loading without an error proves nothing: programs drop what they don't know, most without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_BLOCKS = r"lora_unet_(down_blocks_\d+|mid_block|up_blocks_\d+)_"
_ATTENTION = (
    r"attentions_\d+_(proj_(in|out)|transformer_blocks_\d+_"
    r"(attn[12]_(to_[qkv]|to_out_0)|ff_net_(0_proj|2)))"
)
_RESNET = r"resnets_\d+_(conv1|conv2|conv_shortcut|time_emb_proj)"
_SCALING = r"(down|up)samplers_0_conv"
_TEXT = r"lora_te[12]?_text_model_encoder_layers_\d+_(self_attn_(q|k|v|out)_proj|mlp_fc[12])"
_COMMON = rf"{_BLOCKS}({_ATTENTION}|{_RESNET}|{_SCALING})|{_TEXT}"
_OUTER = r"lora_unet_(conv_(in|out)|time_embedding_linear_[12])"

# ComfyUI: the tables of comfy/utils.py (unet_to_diffusers) and comfy/lora.py. sd-scripts: the
# modules that networks/lora.py looks into (Transformer2DModel, ResnetBlock2D, Downsample2D,
# Upsample2D, CLIPAttention, CLIPMLP). diffusers: loaders/lora_conversion_utils.py, of 0.32, which
# does not yet know what lies outside of the blocks.
READERS = {
    "ComfyUI": re.compile(rf"{_COMMON}|{_OUTER}"),
    "sd-scripts": re.compile(_COMMON),
    "diffusers": re.compile(_COMMON),
}


def unread_by(keys: Iterable[str]) -> dict[str, list[str]]:
    """Program -> the keys (without `.lora_down.weight` and the like) that it drops, if any.

    For kohya-flat keys of families with a UNet of diffusers' block names.
    """
    keys = list(keys)
    dropped = {
        program: [key for key in keys if known.fullmatch(key) is None]
        for program, known in READERS.items()
    }
    return {program: lost for program, lost in dropped.items() if lost}
