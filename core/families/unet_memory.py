"""What the backward pass of a UNet keeps, told from its layers' names and shapes. Torch-free."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from core.config.lora import Lora
from core.families.layers import Layer, is_adapted

# Tokens of one chunk of a caption.
_CAPTION = 75
# The share of the adapted layers' inputs that nothing else keeps.
_INPUTS_KEPT = 0.5
# Parts of the names of layers that see the picture as a whole, not each of its positions.
_OF_THE_WHOLE = ("time", "emb_layers", "add_embedding", "label_emb")
_DEPTH = re.compile(r"(down_blocks|up_blocks|input_blocks|output_blocks)\.(\d+)\.")


def activations(
    layers: Sequence[Layer], lora: Lora, positions: float, size: int, checkpointing: bool
) -> float:
    """Bytes that one sample keeps for the backward pass.

    positions: latents of a picture, width times height; size: bytes of a number as calculated.
    """
    unet = [one for one in layers if one.part.role == "denoiser"]
    deepest = _deepest(unet)
    levels = _levels(unet, deepest)
    inside: dict[str, float] = defaultdict(float)
    inputs: dict[str, float] = defaultdict(float)
    for one in unet:
        if any(word in one.name for word in _OF_THE_WHOLE):
            continue
        here = positions / 4 ** levels[one.name]
        block = _block_of(one.name)
        inside[block] += _kept(one, here, size)
        if is_adapted(one, lora) and not one.part.adapts(one.name, "attention"):
            # LoRA's own layers need their input, which a frozen layer does not; what attention
            # reads is kept anyway.
            inside[block] += one.shape[1] * here * size * _INPUTS_KEPT
        inputs[block] = max(inputs[block], one.shape[0] * here * size)
    text = 0.0
    if lora.text_encoder:
        text = sum(
            one.shape[0] * _CAPTION * size
            for one in layers
            if one.part.role == "text" and len(one.shape) == 2 and "embed" not in one.name
        )
    if checkpointing:
        return sum(inputs.values()) + max(inside.values(), default=0.0) + text
    return sum(inside.values()) + text


def _kept(layer: Layer, positions: float, size: int) -> float:
    """Bytes of one layer's output that are kept."""
    channels = layer.shape[0]
    if len(layer.shape) == 1:
        followed_by_activation = layer.name.endswith(("norm1", "norm2", "layers.0")) and (
            "transformer_blocks" not in layer.name
        )
        return channels * positions * (4 + (size if followed_by_activation else 0))
    if layer.name.endswith(("attn2.to_k", "attn2.to_v")):
        return channels * _CAPTION * size
    gated = layer.name.endswith("ff.net.0.proj")
    return channels * positions * size * (1.5 if gated else 1.0)


def _block_of(name: str) -> str:
    """The part of a module's name that gradient checkpointing recomputes as one."""
    match = re.match(r"(.*?transformer_blocks\.\d+)\.", name)
    if match:
        return match.group(1)
    match = re.match(r"(.*?(resnets|attentions)\.\d+)\.", name) or re.match(
        r"((input_blocks|output_blocks|middle_block)\.\d+(\.\d+)?)\.", name
    )
    return match.group(1) if match else name


def _deepest(layers: Iterable[Layer]) -> int:
    """How many levels lie below the first."""
    names = [one.name for one in layers]
    down = {
        int(m.group(2)) for n in names if (m := _DEPTH.match(n)) and m.group(1) == "down_blocks"
    }
    if down:
        return max(down)
    return sum(name.endswith(".op") for name in names)


def _levels(layers: Sequence[Layer], deepest: int) -> dict[str, int]:
    """Module name -> its level: how often its positions were quartered."""
    halving = sorted(
        int(match.group(2))
        for one in layers
        if (match := _DEPTH.match(one.name)) and one.name.endswith(".op")
    )
    doubling = sorted(
        int(match.group(2))
        for one in layers
        if (match := _DEPTH.match(one.name))
        and match.group(1) == "output_blocks"
        and one.name.endswith(".conv")
    )
    levels: dict[str, int] = {}
    for one in layers:
        match = _DEPTH.match(one.name)
        level = 0
        if match is None:
            level = deepest if one.name.startswith(("mid_block", "middle_block")) else 0
        else:
            number = int(match.group(2))
            match match.group(1):
                case "down_blocks":
                    level = number
                case "up_blocks":
                    level = deepest - number
                case "input_blocks":
                    level = sum(at <= number for at in halving)
                case "output_blocks":
                    level = deepest - sum(at < number for at in doubling)
        levels[one.name] = max(0, level)
    return levels
