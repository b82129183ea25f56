"""What a training step reads: latents and text embeddings, computed once and kept by content."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import torch

from core.data.cache import FileDigests, TensorCache, latent_cache, latent_key
from core.data.images import WHITE, Color, PictureError, load_pixels, picture_size
from core.data.plan import NAMED_AT_MOST, unreadable_picture, without
from core.data.preparing import Progress, on_cpu, warn
from core.data.text import TextStore, prepare_text
from core.data.types import Item, Plan
from core.errors import Problem, UserError, fail
from core.families.base import LoadedModel
from core.training.control import Control, Emit

__all__ = ["LatentStore", "TextStore", "prepare_latents", "prepare_text"]

KEEP_BYTES = 2**30
# What a GPU encodes at once: four pictures of 512 px, fewer of larger ones.
_GPU_PIXELS = 4 * 512 * 512
_DTYPE = "float32"


class LatentStore:
    """Latents of the plan's items by item id: (C, h, w) float32 on the CPU.

    They stay in memory up to `keep_bytes` and are read from the cache beyond that. One that has
    vanished from the cache meanwhile is computed again.
    """

    def __init__(self, encoder: _Encoder, cache: TensorCache, keep_bytes: int) -> None:
        self._encoder = encoder
        self._cache = cache
        self._room = keep_bytes
        self._kept: dict[int, torch.Tensor] = {}
        self._elsewhere: dict[int, tuple[Item, str]] = {}

    def __len__(self) -> int:
        return len(self._kept) + len(self._elsewhere)

    def __contains__(self, item_id: int) -> bool:
        return item_id in self._kept or item_id in self._elsewhere

    def __getitem__(self, item_id: int) -> torch.Tensor:
        kept = self._kept.get(item_id)
        if kept is not None:
            return kept
        item, key = self._elsewhere[item_id]
        latents = self._cache.get(key)
        if latents is None:
            latents = self._again(item)
            self.add(item, key, latents, on_disk=self._cache.put(key, latents))
        return latents

    def _again(self, item: Item) -> torch.Tensor:
        try:
            pixels = self._encoder.pixels_of(item)
        except PictureError as error:
            raise fail(
                "picture_vanished",
                f"{item.path} and its cached latents are gone; put the picture back and resume.",
                detail=str(error),
                file=str(item.path),
            ) from error
        return self._encoder.encode([item], [pixels])[0]

    def has_room(self) -> bool:
        """Whether further latents would be held in memory."""
        return self._room > 0

    def add(self, item: Item, key: str, latents: torch.Tensor | None, on_disk: bool) -> None:
        """Take in an item; latents may be None for one that the cache holds."""
        # What no disk holds must stay in memory, whatever the limit.
        if latents is not None and (self._room > 0 or not on_disk):
            self._room -= latents.numel() * latents.element_size()
            self._kept[item.id] = latents
            self._elsewhere.pop(item.id, None)
        else:
            self._elsewhere[item.id] = (item, key)


def prepare_latents(
    plan: Plan,
    model: LoadedModel,
    emit: Emit,
    control: Control,
    batch_size: int | None = None,
    *,
    background: Color = WHITE,
    cache: TensorCache | None = None,
    keep_bytes: int = KEEP_BYTES,
) -> tuple[LatentStore, Plan]:
    """Latents of every picture, from the cache or encoded now, and the plan less bad pictures.

    Threads read and decode ahead while the VAE encodes. A picture that proves unusable costs a
    warning event and its place in the plan. batch_size: pictures of a bucket encoded together;
    by default one on the CPU, where the numbers must not depend on which pictures were cached
    already, else as many as suit a GPU. Raises Stopped between pictures when asked to stop;
    what was encoded stays in the cache. Raises UserError when no picture is left, or when
    latents are not finite.
    """
    cache = cache or latent_cache()
    encoder = _Encoder(model, background)
    store = LatentStore(encoder, cache, keep_bytes)
    digests = FileDigests()
    filling = _Filling(store, cache, encoder, emit, total=len(plan.items))
    filling.batch_size = batch_size

    def read(item: Item) -> _Read:
        return _read(item, digests, store, cache, encoder)

    by_bucket = sorted(plan.items, key=lambda item: (str(item.placement.bucket), item.id))
    try:
        for item, result in _read_ahead(read, by_bucket, control.check):
            filling.take(item, result)
        filling.flush()
    finally:
        digests.save()
    filling.finish()
    plan = without(plan, filling.bad)
    if not plan.items:
        raise UserError(*[p for p in plan.problems if p.severity == "error"])
    return store, plan


@dataclass
class _Read:
    """What a reading thread found out about a picture: its cached latents, or its pixels.

    Neither: its latents are in the cache and need not be held in memory.
    """

    key: str = ""
    latents: torch.Tensor | None = None
    pixels: torch.Tensor | None = None
    failure: str = ""


def _read(
    item: Item, digests: FileDigests, store: LatentStore, cache: TensorCache, encoder: _Encoder
) -> _Read:
    try:
        key = encoder.key_of(item, digests)
        if store.has_room():
            latents = cache.get(key)
            if latents is not None and encoder.fits(item, latents):
                return _Read(key, latents=latents)
        elif cache.has(key):
            return _Read(key)
        return _Read(key, pixels=encoder.pixels_of(item))
    except PictureError as error:
        return _Read(failure=str(error))


def _read_ahead(
    read: Callable[[Item], _Read], items: Sequence[Item], check: Callable[[], None]
) -> Iterator[tuple[Item, _Read]]:
    """Read items in threads, a bounded number ahead, and give them in their order."""
    threads = max(1, min(8, os.cpu_count() or 1))
    ahead = 2 * threads + 8
    waiting: deque[tuple[Item, Future[_Read]]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="pictures")
    try:
        for item in items:
            waiting.append((item, pool.submit(read, item)))
            if len(waiting) >= ahead:
                yield _next(waiting, check)
        while waiting:
            yield _next(waiting, check)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _next(
    waiting: deque[tuple[Item, Future[_Read]]], check: Callable[[], None]
) -> tuple[Item, _Read]:
    item, future = waiting.popleft()
    check()
    # A huge picture may take seconds to decode; a stop does not wait for it.
    while not wait([future], timeout=0.2).done:
        check()
    return item, future.result()


class _Encoder:
    """From a picture to its latents."""

    def __init__(self, model: LoadedModel, background: Color) -> None:
        self.model = model
        self.background = background

    def key_of(self, item: Item, digests: FileDigests) -> str:
        """The cache key of an item's latents. Raises PictureError."""
        try:
            digest = digests.digest(item.path)
        except FileNotFoundError as error:
            raise PictureError("The file is not there any more.") from error
        except OSError as error:
            raise PictureError(f"The file cannot be read ({error.strerror or error}).") from error
        identity = self.model.identity["vae"]
        return latent_key(digest, item.placement, self.background, identity, _DTYPE)

    def fits(self, item: Item, latents: torch.Tensor) -> bool:
        """Whether cached latents have the shape that they should have."""
        bucket, scale = item.placement.bucket, self.model.latent_scale
        channels = self.model.latent_channels
        return tuple(latents.shape) == (channels, bucket.height // scale, bucket.width // scale)

    def pixels_of(self, item: Item) -> torch.Tensor:
        """(3, H, W) uint8. Raises PictureError."""
        if picture_size(item.path) != item.size:
            raise PictureError("The file was changed after it was looked at.")
        pixels = load_pixels(item.path, item.placement, self.background)
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()

    def encode(self, items: list[Item], pixels: list[torch.Tensor]) -> list[torch.Tensor]:
        """Latents (C, h, w) of pictures of one bucket. Raises UserError naming the picture."""
        try:
            batch = torch.stack(pixels).float() / 127.5 - 1.0
            with torch.no_grad():
                latents = self.model.encode_pixels(batch).detach().float().cpu()
            if not torch.isfinite(latents).all():
                raise fail("vae_not_finite", "The VAE gave numbers that are not finite.")
        except (UserError, torch.OutOfMemoryError) as error:
            if len(items) > 1:
                pairs = zip(items, pixels, strict=True)
                return [self.encode([item], [one])[0] for item, one in pairs]
            if isinstance(error, UserError):
                raise _not_finite(items[0], error) from error
            raise
        # Each a copy of its own, else one kept picture would hold its whole batch in memory.
        return [one.clone() for one in latents]

    def batch_size(self, item: Item) -> int:
        """How many pictures of an item's bucket are encoded at once by default."""
        if on_cpu(self.model):
            return 1
        bucket = item.placement.bucket
        return max(1, _GPU_PIXELS // (bucket.width * bucket.height))


def _not_finite(item: Item, error: UserError) -> UserError:
    return fail(
        "latents_not_finite",
        f"The latents of {item.path} are not finite; look at the picture, or choose another VAE "
        "under model.vae.",
        detail=error.problem.title,
        file=str(item.path),
        setting="model.vae",
    )


class _Filling:
    """Gathers what the readers found into batches, encodes them and fills the store."""

    def __init__(
        self,
        store: LatentStore,
        cache: TensorCache,
        encoder: _Encoder,
        emit: Emit,
        total: int,
    ) -> None:
        self.store, self.cache, self.encoder = store, cache, encoder
        self.emit = emit
        self.progress = Progress(emit, total, "Preparing pictures")
        self.batch_size: int | None = None
        self.bad: list[int] = []
        self._pending: list[tuple[Item, str, torch.Tensor]] = []
        self._told_of_cache = False

    def take(self, item: Item, result: _Read) -> None:
        """One picture that was read."""
        if result.failure:
            self._skip(item, result.failure)
        elif result.pixels is None:
            self.store.add(item, result.key, result.latents, on_disk=True)
            self.progress.add(1)
        else:
            if self._pending and self._pending[0][0].placement.bucket != item.placement.bucket:
                self.flush()
            self._pending.append((item, result.key, result.pixels))
            if len(self._pending) >= (self.batch_size or self.encoder.batch_size(item)):
                self.flush()

    def flush(self) -> None:
        """Encode what has gathered."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        items = [item for item, _, _ in pending]
        encoded = self.encoder.encode(items, [pixels for _, _, pixels in pending])
        for (item, key, _), latents in zip(pending, encoded, strict=True):
            on_disk = self.cache.put(key, latents)
            self.store.add(item, key, latents, on_disk)
        if self.cache.problem is not None and not self._told_of_cache:
            self._told_of_cache = True
            warn(self.emit, self.cache.problem)
        self.progress.add(len(pending))

    def finish(self) -> None:
        """Tell how many bad pictures were not named one by one."""
        unnamed = len(self.bad) - NAMED_AT_MOST
        if unnamed > 0:
            title = f"{unnamed} more pictures cannot be used and are left out."
            warn(self.emit, Problem(code="picture_unreadable", title=title, severity="warning"))

    def _skip(self, item: Item, reason: str) -> None:
        self.bad.append(item.id)
        if len(self.bad) <= NAMED_AT_MOST:
            warn(self.emit, unreadable_picture(item.path, reason, item.concept))
        self.progress.add(1)
