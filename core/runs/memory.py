"""How much memory a run needs, from the base model's headers; no weights are read.

How it is estimated, in bytes on the device that trains:

- weights: every weight of the parts that are on the device, in `model.dtype` (automatic: that of
  the calculation). On the processor those are all; on a GPU the VAE leaves before the first step,
  unless the steps encode pictures, and the text side, unless it is trained or captions are new at
  each step.
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
- sampling: decoding one sample picture, and the parts that come back for it, when the activations
  are gone: so the larger of both counts.
- reading: the weights of a text side that is too large to stay; it is given up before the rest is
  loaded, so it counts only where it is more than all that.
- rest: the libraries and their working space. On the processor also the latents and embeddings
  that are held in memory.

`python -m tests.benchmarks.memory` compares it with what runs report; expect it to be right to
about a third.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from core.config.job import Job
from core.data.augment import versions
from core.data.batches import captions_last
from core.data.estimate import latent_cache_bytes, text_cache_bytes
from core.data.tokens import tokens_of
from core.data.types import Bucket, Plan
from core.errors import UserError
from core.families.base import ROLES, BaseModelFile, Role
from core.families.layers import BYTES, Layer, encoded_shape, layers_of, lora_weights
from core.families.registry import family
from core.optimizers import OPTIMIZERS

_CPU_REST, _GPU_REST = 610_000_000, 900_000_000
_MOST_LATENTS, _MOST_TEXTS = 2**30, 2**29
_IN_FLIGHT = 1.1


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes of memory that a run needs at most, estimated as this module's head says."""

    weights: int
    lora: int
    activations: int
    sampling: int
    rest: int
    on_gpu: bool
    reading: int = 0

    @property
    def total(self) -> int:
        """All that is held at the same time."""
        training = self.weights + self.lora + max(self.activations, self.sampling)
        return max(training, self.reading) + self.rest


def memory_need(job: Job, base: BaseModelFile, plan: Plan, on_gpu: bool) -> MemoryNeed | None:
    """What training `plan` takes; None when the base model's headers cannot be read."""
    try:
        layers = layers_of(base, ROLES)
    except (UserError, OSError):
        return None
    training = job.training
    calculated, stored = number_bytes(job, on_gpu)
    info = family(base.family).info
    by_steps = _kept_by_steps(job, plan)
    kept = by_steps if on_gpu else tuple({*by_steps, *info.staying})
    everything = _weights(layers, {*kept, *info.staying}) * stored
    weights = _weights(layers, kept) * stored
    sampling = _sampling(layers, job, calculated)
    copies = 2 + OPTIMIZERS[training.optimizer].moments + training.ema.enabled
    rest, shape = _GPU_REST if on_gpu else _CPU_REST, encoded_shape(layers)
    if not on_gpu:
        latents = latent_cache_bytes(plan, job, shape.channels, shape.scale)
        texts = text_cache_bytes(plan, job, shape.text_width, tokens_of(base), stored, info.tokens)
        rest += min(_MOST_LATENTS, latents) + min(_MOST_TEXTS, texts)
    area = max((_area(bucket) for bucket in plan.buckets), default=training.resolution**2)
    positions = area / shape.scale**2
    one = family(base.family).activations(
        layers, job.lora, positions, calculated, training.gradient_checkpointing
    )
    batch = min(training.batch_size, max(plan.buckets.values(), default=1))
    return MemoryNeed(
        weights=weights,
        lora=int(lora_weights(job.lora, base) * 4 * copies),
        activations=int(one * batch * _IN_FLIGHT),
        # Samples need what the steps do not.
        sampling=sampling + everything - weights if sampling else 0,
        rest=rest,
        on_gpu=on_gpu,
        reading=_weights(layers, set(ROLES) - set(info.staying)) * stored,
    )


def _weights(layers: Sequence[Layer], roles: Collection[Role]) -> int:
    """How many weights the parts with some roles have."""
    return sum(math.prod(one.shape) for one in layers if one.part.role in roles)


def number_bytes(job: Job, on_gpu: bool) -> tuple[int, int]:
    """Bytes of a number as the run calculates, and as it keeps the base model's weights."""
    precision = job.training.precision
    if precision == "auto":
        precision = "bfloat16" if on_gpu else "float32"
    calculated = BYTES[precision]
    return calculated, calculated if job.model.dtype == "auto" else BYTES[job.model.dtype]


def _kept_by_steps(job: Job, plan: Plan) -> tuple[Role, ...]:
    """What stays on a GPU while steps are trained, as the session decides it."""
    kept: list[Role] = ["denoiser"]
    if job.lora.text_encoder or not captions_last(plan, job):
        kept.append("text")
    live = (c for c in job.concepts if c.enabled and versions(c.image) == 0)
    if any(concept.kind != "validation" for concept in live):
        kept.append("vae")
    return tuple(kept)


def _area(bucket: Bucket) -> int:
    return bucket.width * bucket.height


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
            if one.part.role == "vae" and one.name == "decoder.conv_out"
        ),
        0,
    )
    # Its last level works with twice its channels first, at the full size; four such at a time.
    return pixels * last * 2 * 4 * size
