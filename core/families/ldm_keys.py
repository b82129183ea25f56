"""Names of tensors in original (LDM) Stable Diffusion checkpoints, from diffusers' names.

The original network is one list of blocks in the order of the forward pass (input_blocks,
middle_block, output_blocks); diffusers groups them by resolution. Both hold the same tensors.
"""

from __future__ import annotations

import re

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_UNET_OUTER = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}
# How diffusers itself named the VAE's attention before 0.17; published SD 1.5 folders have these.
_OLD_VAE_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def unet_key(name: str, layers_per_block: int, upsampling_only: frozenset[int]) -> str:
    """The LDM name, without prefix, of a UNet tensor that diffusers calls `name`.

    upsampling_only: the up blocks without attention, whose upsampler comes one place earlier.
    Raises KeyError for a name that no such UNet has.
    """
    stem, leaf = name.rsplit(".", 1)
    if stem in _UNET_OUTER:
        return f"{_UNET_OUTER[stem]}.{leaf}"
    if found := re.match(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)", name):
        part, index, rest = found[1], int(found[2]), found[3]
        if part == "attentions":
            return f"middle_block.{2 * index + 1}.{rest}"
        return f"middle_block.{2 * index}.{_resnet(rest)}"
    found = re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)", name)
    if not found:
        raise KeyError(name)
    side, block, part, layer, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
    if side == "down":
        first = 1 + block * (layers_per_block + 1)
        if part == "downsamplers":
            return f"input_blocks.{first + layers_per_block}.0.{rest.replace('conv', 'op')}"
        place = f"input_blocks.{first + layer}"
    else:
        first = block * (layers_per_block + 1)
        if part == "upsamplers":
            slot = 1 if block in upsampling_only else 2
            return f"output_blocks.{first + layers_per_block}.{slot}.{rest}"
        place = f"output_blocks.{first + layer}"
    return f"{place}.1.{rest}" if part == "attentions" else f"{place}.0.{_resnet(rest)}"


def _resnet(rest: str) -> str:
    part, leaf = rest.split(".", 1)
    return f"{_RESNET[part]}.{leaf}"


def vae_key(name: str, blocks: int) -> str:
    """The LDM name, without prefix, of a VAE tensor that diffusers calls `name`.

    blocks: how many resolutions the VAE has; the original counts the decoder's from the last.
    """
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"mid_block\.resnets\.(\d+)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    if found := re.match(r"(encoder|decoder)\.mid_block\.attentions\.0\.(.+)\.(\w+)$", name):
        return f"{found[1]}.mid.attn_1.{_VAE_ATTENTION[found[2]]}.{found[3]}"
    name = re.sub(r"(encoder\.down|decoder\.up)_blocks", r"\1", name)
    name = re.sub(r"decoder\.up\.(\d+)", lambda m: f"decoder.up.{blocks - 1 - int(m[1])}", name)
    name = re.sub(r"\.resnets\.(\d+)", r".block.\1", name)
    return name.replace("downsamplers.0", "downsample").replace("upsamplers.0", "upsample")


def old_vae_key(name: str) -> str:
    """What older diffusers versions call the VAE tensor `name`."""
    for new, old in _OLD_VAE_ATTENTION.items():
        name = name.replace(f"attentions.0.{new}.", f"attentions.0.{old}.")
    return name
