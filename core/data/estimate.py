"""How much disk a run needs, told before anything is loaded."""

from __future__ import annotations

from core.data.types import Plan

# A safetensors header with one tensor and the few facts that the cache keeps with it.
_HEADER_BYTES = 256


def latent_cache_bytes(plan: Plan, channels: int = 4, scale: int = 8) -> int:
    """Bytes of the cached latents of all pictures, float32.

    channels: of the latents; scale: pixels per latent; the defaults are SD1.x.
    """
    return sum(
        count * (channels * (bucket.width // scale) * (bucket.height // scale) * 4 + _HEADER_BYTES)
        for bucket, count in plan.buckets.items()
    )
