"""How much memory a run needs, from the base model's headers; no weights are read.

How it is estimated, in bytes on the device that trains:

- weights: every weight of UNet and text encoder in `model.dtype` (automatic: that of the
  calculation). The text encoder counts whether or not it is trained. The VAE is added on the
  processor, where it stays; on a GPU it leaves before the first step, unless the steps encode
  pictures.
- lora: each LoRA weight in float32 as weight, gradient and optimizer moments (AdamW two, 8-bit
  half a one, Prodigy four), and once more with EMA.
- activations: what the backward pass needs of the forward pass of one micro-batch at the largest
  trained resolution. Each layer keeps one output: channels x positions, where the positions are
  those of the latents, a quarter at each deeper level, and the caption's tokens for keys and
  values of captions. Norms keep theirs in float32, the rest is in the calculation's format; a
  gated feed-forward layer keeps half as much again, a norm before an activation twice, and layers
  beyond attention that LoRA adapts keep half of their inputs more. With gradient checkpointing
  each block keeps its input alone, and the largest block's inside is made again. A tenth is added
  for gradients in flight.
- sampling: decoding one sample picture, which begins when the activations are gone: so the
  larger of both counts.
- rest: the libraries and their working space. On the processor also the latents and embeddings
  that are held in memory.

`python -m tests.benchmarks.memory` compares it with what runs report; expect it to be right to
about a third.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from core.config.job import Job
from core.data.augment import versions
from core.data.estimate import latent_cache_bytes, text_cache_bytes
from core.data.tokens import CHUNK
from core.data.types import Bucket, Plan
from core.errors import UserError
from core.families.base import BaseModelFile
from core.families.unet_targets import ATTENTION
from core.optimizers import OPTIMIZERS
from core.runs.layers import (
    BYTES,
    Layer,
    encoded_shape,
    is_adapted,
    layers_of,
    lora_weights,
    tokens_of,
)

_CPU_REST, _GPU_REST = 610_000_000, 900_000_000
_MOST_LATENTS, _MOST_TEXTS = 2**30, 2**29
_IN_FLIGHT = 1.1
# The share of the adapted layers' inputs that nothing else keeps.
_INPUTS_KEPT = 0.5
_DEPTH = re.compile(r"(down_blocks|up_blocks|input_blocks|output_blocks)\.(\d+)\.")


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes of memory that a run needs at most, estimated as this module's head says."""

    weights: int
    lora: int
    activations: int
    sampling: int
    rest: int
    on_gpu: bool

    @property
    def total(self) -> int:
        """All that is held at the same time."""
        return self.weights + self.lora + max(self.activations, self.sampling) + self.rest


def gpu_driver_here() -> bool:
    """Whether this computer has a driver that torch could train on a GPU with.

    Without one there is certainly no such GPU; with one torch may still be a build without it.
    """
    if sys.platform == "win32":
        system = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32"
        return (system / "nvcuda.dll").exists() or (system / "amdhip64.dll").exists()
    return any(os.path.exists(path) for path in ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd"))


def memory_need(job: Job, base: BaseModelFile, plan: Plan, on_gpu: bool) -> MemoryNeed | None:
    """What training `plan` takes; None when the base model's headers cannot be read."""
    try:
        layers = layers_of(base, ("unet", "text", "vae"))
    except (UserError, OSError):
        return None
    training = job.training
    precision = training.precision
    if precision == "auto":
        precision = "bfloat16" if on_gpu else "float32"
    calculated = BYTES[precision]
    stored = calculated if job.model.dtype == "auto" else BYTES[job.model.dtype]
    kept = ("unet", "text") if on_gpu and not _encodes_at_steps(job) else ("unet", "text", "vae")
    weights = sum(math.prod(one.shape) for one in layers if one.component in kept) * stored
    copies = 2 + OPTIMIZERS[training.optimizer].moments + training.ema.enabled
    rest, shape = _GPU_REST if on_gpu else _CPU_REST, encoded_shape(layers)
    if not on_gpu:
        latents = latent_cache_bytes(plan, job, shape.channels, shape.scale)
        texts = text_cache_bytes(plan, job, shape.text_width, tokens_of(base))
        rest += min(_MOST_LATENTS, latents) + min(_MOST_TEXTS, texts)
    area = max((_area(bucket) for bucket in plan.buckets), default=training.resolution**2)
    positions = area / shape.scale**2
    one = _activations(layers, job, positions, calculated)
    batch = min(training.batch_size, max(plan.buckets.values(), default=1))
    return MemoryNeed(
        weights=weights,
        lora=int(lora_weights(job, base) * 4 * copies),
        activations=int(one * batch * _IN_FLIGHT),
        sampling=_sampling(layers, job, calculated),
        rest=rest,
        on_gpu=on_gpu,
    )


def _encodes_at_steps(job: Job) -> bool:
    return any(c.enabled and versions(c.image) == 0 for c in job.concepts if c.kind != "validation")


def _area(bucket: Bucket) -> int:
    return bucket.width * bucket.height


def _activations(layers: list[Layer], job: Job, positions: float, size: int) -> float:
    """Bytes that one sample keeps for the backward pass."""
    unet = [one for one in layers if one.component == "unet"]
    deepest = _deepest(unet)
    levels = _levels(unet, deepest)
    inside: dict[str, float] = defaultdict(float)
    inputs: dict[str, float] = defaultdict(float)
    for one in unet:
        if "time" in one.name or "emb_layers" in one.name:
            continue
        here = positions / 4 ** levels[one.name]
        block = _block_of(one.name)
        inside[block] += _kept(one, here, size)
        if is_adapted(one, job) and not one.name.endswith(ATTENTION):
            # LoRA's own layers need their input, which a frozen layer does not; what attention
            # reads is kept anyway.
            inside[block] += one.shape[1] * here * size * _INPUTS_KEPT
        inputs[block] = max(inputs[block], one.shape[0] * here * size)
    text = 0.0
    if job.lora.text_encoder:
        text = sum(
            one.shape[0] * CHUNK * size
            for one in layers
            if one.component == "text" and len(one.shape) == 2 and "embed" not in one.name
        )
    if job.training.gradient_checkpointing:
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
        return channels * CHUNK * size
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


def _levels(layers: list[Layer], deepest: int) -> dict[str, int]:
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


def _sampling(layers: list[Layer], job: Job, size: int) -> int:
    """Bytes while the VAE decodes the largest sample; 0 without samples."""
    if job.sampling.every_unit == "never":
        return 0
    side = job.training.resolution
    pixels = max(
        (
            (spec.width or side) * (spec.height or side)
            for spec in job.sampling.prompts
            if spec.enabled and spec.prompt.strip()
        ),
        default=0,
    )
    last = next(
        (
            one.shape[1]
            for one in layers
            if one.component == "vae" and one.name == "decoder.conv_out"
        ),
        0,
    )
    # Its last level works with twice its channels first, at the full size; four such at a time.
    return pixels * last * 2 * 4 * size
