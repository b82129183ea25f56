"""The layers of a base model, told from its files' headers: what LoRA adapts, and how large it is.

No weights are read and no torch is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.config.job import Job
from core.config.lora import Lora
from core.errors import UserError
from core.families import open_clip
from core.families.base import BaseModelFile, Part, Role
from core.families.folders import part_files
from core.families.header import read_header
from core.families.kinds import Shapes
from core.families.registry import family

# How the table of a text encoder's tokens is called, in CLIP and in ChatGLM.
_EMBEDDINGS = ("token_embedding", "word_embeddings")
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Layer:
    """The weight of one layer. name: its module, as in the file; shape: (out, in, ...) or
    (channels,) for a norm."""

    part: Part
    name: str
    shape: tuple[int, ...]


def layers_of(base: BaseModelFile, roles: tuple[Role, ...] = ("denoiser", "text")) -> list[Layer]:
    """The layers with weights of the parts with some roles. Raises UserError or OSError."""
    found: list[Layer] = []
    for part in family(base.family).info.of(*roles):
        for name, shape in _shapes_of(base, part).items():
            if name.endswith(".weight"):
                found.append(Layer(part, name.removesuffix(".weight"), shape))
    return found


def _shapes_of(base: BaseModelFile, part: Part) -> Shapes:
    """The shapes of a part's tensors by their names without the part's prefix."""
    try:
        own = part_files(base, part)
    except UserError:
        if part.role == "vae":
            return {}  # another one is chosen, or else this is said when the model is looked at
        raise
    if own is not None:
        headers = [read_header(file).shapes for file in own.weights]
        return {name: shape for shapes in headers for name, shape in shapes.items()}
    whole = read_header(base.path).shapes
    for prefix in part.prefixes:
        mine = {n.removeprefix(prefix): s for n, s in whole.items() if n.startswith(prefix)}
        if mine:
            return open_clip.shapes_by_name(mine) if part.spelling == "open_clip" else mine
    return {}


@dataclass(frozen=True)
class EncodedShape:
    """What pictures and captions become: channels of the latents, pixels per latent along a side,
    and numbers per token. The defaults are SD1.x."""

    channels: int = 4
    scale: int = 8
    text_width: int = 768


def encoded_shape(layers: Sequence[Layer]) -> EncodedShape:
    """The shapes by a model's layers, those of SD1.x where the layers don't tell."""
    shape, halvings = EncodedShape(), 0
    for one in layers:
        if one.part.role == "vae" and one.name.startswith("encoder.") and len(one.shape) == 4:
            # The VAE halves the size with each of its downsamplers.
            halvings += ".downsample" in one.name
        if one.part.role == "vae" and one.name == "decoder.conv_in":
            shape = replace(shape, channels=one.shape[1])
    widths = [
        one.shape[1] for one in layers if one.part.role == "text" and one.name.endswith(_EMBEDDINGS)
    ]
    if widths:
        # Several encoders' numbers stand side by side.
        shape = replace(shape, text_width=sum(widths))
    return replace(shape, scale=2**halvings) if halvings else shape


def lora_weights(lora: Lora, base: BaseModelFile) -> int:
    """How many numbers a LoRA has; 0 when the headers cannot be read.

    A layer with weights (out, in, ...) gets rank x in x ... and out x rank numbers.
    """
    try:
        layers = layers_of(base)
    except (UserError, OSError):
        return 0
    # A convolution's kernel belongs to the first of the two factors.
    return sum(
        lora.rank * (math.prod(layer.shape[1:]) + layer.shape[0])
        for layer in layers
        if is_adapted(layer, lora)
    )


def lora_bytes(job: Job, base: BaseModelFile) -> int:
    """Size of the LoRA file in bytes; 0 when the base model's headers cannot be read."""
    return lora_weights(job.lora, base) * BYTES[job.checkpoints.dtype]


def is_adapted(layer: Layer, lora: Lora) -> bool:
    """Whether a LoRA changes this layer."""
    if len(layer.shape) < 2 or (layer.part.role == "text" and not lora.text_encoder):
        return False
    return layer.part.adapts(layer.name, lora.targets)
