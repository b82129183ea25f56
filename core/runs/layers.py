"""The layers of a base model, told from its files' headers: what LoRA adapts, and how large it is.

No weights are read and no torch is loaded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.config.job import Job
from core.errors import UserError
from core.families.base import BaseModelFile
from core.families.detect import weight_files
from core.families.header import read_header

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
ATTENTION = (".to_q", ".to_k", ".to_v", ".to_out.0")
_FEED_FORWARD = (".ff.net.0.proj", ".ff.net.2", ".proj_in", ".proj_out")
_TEXT = (".q_proj", ".k_proj", ".v_proj", ".out_proj", ".fc1", ".fc2")


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
    name = f".{layer.name}"
    if layer.component == "text":
        return job.lora.text_encoder and name.endswith(_TEXT)
    if job.lora.targets == "all":
        return True
    endings = ATTENTION if job.lora.targets == "attention" else ATTENTION + _FEED_FORWARD
    return name.endswith(endings)
