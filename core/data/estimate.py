"""How much disk a run needs, told before anything is loaded."""

from __future__ import annotations

from core.config.job import Job
from core.data.augment import versions
from core.data.types import Item, Plan

# A safetensors header with one tensor and the few facts that the cache keeps with it.
_HEADER_BYTES = 256


def latent_cache_bytes(plan: Plan, job: Job, channels: int = 4, scale: int = 8) -> int:
    """Bytes of the cached latents of all pictures, float32: every prepared version of each, those
    for validation too, and none of those that each step changes anew.

    channels: of the latents; scale: pixels per latent; the defaults are SD1.x.
    """
    prepared = [versions(concept.image) for concept in job.concepts]

    def bytes_of(item: Item) -> int:
        bucket = item.placement.bucket
        numbers = channels * (bucket.width // scale) * (bucket.height // scale)
        return numbers * 4 + _HEADER_BYTES

    trained = sum(prepared[item.concept] * bytes_of(item) for item in plan.items)
    return trained + sum(bytes_of(item) for item in plan.validation)
