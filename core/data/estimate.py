"""How much disk a run's cache needs, told before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.config.job import Job
from core.data.augment import versions
from core.data.batches import LASTING_AT_MOST, lasting_captions
from core.data.tokens import count_tokens
from core.data.types import Item, Plan
from core.families.base import CLIP_TOKENS, TokenRule

# A safetensors header with one tensor and the few facts that the cache keeps with it.
_HEADER_BYTES = 256


def latent_cache_bytes(plan: Plan, job: Job, channels: int = 4, scale: int = 8) -> int:
    """Bytes of the cached latents of all pictures, float32: every prepared version of each, those
    for validation too, and none of those that each step changes anew.

    channels: of the latents; scale: pixels per latent; the defaults are SD1.x. A mask takes as
    much as one channel.
    """
    prepared = [versions(concept.image) for concept in job.concepts]

    def bytes_of(item: Item) -> int:
        bucket = item.placement.bucket
        masked = item.mask is not None or job.concepts[item.concept].mask.source == "alpha"
        numbers = (channels + masked) * (bucket.width // scale) * (bucket.height // scale)
        return numbers * 4 + _HEADER_BYTES

    trained = sum(prepared[item.concept] * bytes_of(item) for item in plan.items)
    return trained + sum(bytes_of(item) for item in plan.validation)


def text_cache_bytes(
    plan: Plan,
    job: Job,
    width: int = 768,
    count: Callable[[Sequence[str]], list[int]] = count_tokens,
    size: int = 4,
    rule: TokenRule = CLIP_TOKENS,
) -> int:
    """Bytes of the cached embeddings of captions: of those that some showings have exactly as they
    are written; none where the text encoder is trained.

    width: numbers per token; count: captions -> their lengths in tokens; size: bytes of a number,
    as the text encoders calculate; rule: how captions are read. The defaults are SD1.x in float32.
    """
    captions = [] if job.lora.text_encoder else lasting_captions(plan, job)
    if len(captions) > LASTING_AT_MOST:
        return 0
    rows = sum(rule.rows_of(length) for length in count(captions))
    return rows * width * size + len(captions) * _HEADER_BYTES
