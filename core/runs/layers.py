"""The layers of a base model, told from its files' headers: what LoRA adapts, and how large it is.

No weights are read and no torch is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from core.config.job import Job
from core.data.tokens import count_tokens
from core.errors import UserError
from core.families.base import BaseModelFile
from core.families.detect import weight_files
from core.families.header import read_header
from core.families.unet_targets import is_text_target, is_unet_target

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_VOCABULARIES = ("tokenizer.json", "vocab.json")


@dataclass(frozen=True)
class Layer:
    """The weight of one layer. component: `unet`, `text` or `vae`; name: its module, as in the
    file; shape: (out, in, ...) or (channels,) for a norm."""

    component: str
    name: str
    shape: tuple[int, ...]


def layers_of(base: BaseModelFile, components: tuple[str, ...] = ("unet", "text")) -> list[Layer]:
    """The layers with weights of some components. Raises UserError or OSError."""
    if base.layout == "diffusers":
        folders = {"unet": "unet", "text": "text_encoder", "vae": "vae"}
        parts = [
            (component, file, "")
            for component in components
            for file in weight_files(base.path / folders[component])
        ]
    else:
        prefixes = {
            "unet": "model.diffusion_model.",
            "text": "cond_stage_model.",
            "vae": "first_stage_model.",
        }
        parts = [(component, base.path, prefixes[component]) for component in components]
    found: list[Layer] = []
    for component, file, prefix in parts:
        for name, shape in read_header(file).shapes.items():
            if name.startswith(prefix) and name.endswith(".weight"):
                module = name.removeprefix(prefix).removesuffix(".weight")
                found.append(Layer(component, module, shape))
    return found


@dataclass(frozen=True)
class EncodedShape:
    """What pictures and captions become: channels of the latents, pixels per latent along a side,
    and numbers per token. The defaults are SD1.x."""

    channels: int = 4
    scale: int = 8
    text_width: int = 768


def encoded_shape(layers: Iterable[Layer]) -> EncodedShape:
    """The shapes by a model's layers, those of SD1.x where the layers don't tell."""
    shape, halvings = EncodedShape(), 0
    for one in layers:
        if one.component == "vae" and one.name.startswith("encoder.") and len(one.shape) == 4:
            # The VAE halves the size with each of its downsamplers.
            halvings += ".downsample" in one.name
        if one.component == "vae" and one.name == "decoder.conv_in":
            shape = replace(shape, channels=one.shape[1])
        if one.component == "text" and one.name.endswith("token_embedding"):
            shape = replace(shape, text_width=one.shape[1])
    return replace(shape, scale=2**halvings) if halvings else shape


def tokens_of(base: BaseModelFile | None) -> Callable[[Sequence[str]], list[int]]:
    """What counts the tokens of captions for a base model: its own tokenizer where its folder has
    a good one, else that of Stable Diffusion 1.x."""
    folder = base.path / "tokenizer" if base is not None else None
    if folder is None or not any((folder / name).is_file() for name in _VOCABULARIES):
        return count_tokens
    try:
        count_tokens([""], folder)
    except UserError:
        return count_tokens  # loading the model will tell
    return partial(count_tokens, tokenizer_folder=folder)


def lora_weights(job: Job, base: BaseModelFile) -> int:
    """How many numbers the LoRA of `job` has; 0 when the headers cannot be read.

    A layer with weights (out, in, ...) gets rank x in x ... and out x rank numbers.
    """
    try:
        layers = layers_of(base)
    except (UserError, OSError):
        return 0
    # A convolution's kernel belongs to the first of the two factors.
    return sum(
        job.lora.rank * (math.prod(layer.shape[1:]) + layer.shape[0])
        for layer in layers
        if is_adapted(layer, job)
    )


def lora_bytes(job: Job, base: BaseModelFile) -> int:
    """Size of the LoRA file in bytes; 0 when the base model's headers cannot be read."""
    return lora_weights(job, base) * BYTES[job.checkpoints.dtype]


def is_adapted(layer: Layer, job: Job) -> bool:
    """Whether the LoRA of `job` changes this layer."""
    if len(layer.shape) < 2:
        return False
    if layer.component == "text":
        return job.lora.text_encoder and is_text_target(layer.name)
    return is_unet_target(layer.name, job.lora.targets)
