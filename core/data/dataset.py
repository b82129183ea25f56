"""What a training step reads: latents and text embeddings, computed once and kept by content."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import torch

from core.config.concepts import Concept
from core.data.augment import Variation, unchanged
from core.data.cache import FileDigests, TensorCache, latent_cache
from core.data.encoding import Encoder, Pixels, Prepared
from core.data.images import PictureError
from core.data.masks import unusable_masks
from core.data.plan import NAMED_AT_MOST, unreadable_picture, without
from core.data.plan_notes import black_mask, log_unnamed, more_files
from core.data.preparing import Progress, reading_threads, warn
from core.data.text import TextStore, prepare_text
from core.data.types import Item, Plan
from core.errors import Problem, UserError, fail
from core.families.base import LoadedModel
from core.training.control import Control, Emit

__all__ = ["LatentStore", "TextStore", "prepare_latents", "prepare_text"]

KEEP_BYTES = 2**30
# So many versions of a picture are decoded at once; more of them wait in memory to be encoded.
_VERSIONS_AT_ONCE = 4
# How often a picture is read that another program is just writing.
_ATTEMPTS = 3
# Written while the next ones are encoded.
_WRITTEN_BEHIND = 32


class LatentStore:
    """The prepared versions of the plan's items, by item id and version.

    They stay in memory up to `keep_bytes` and are read from the cache beyond that. One that has
    vanished from the cache meanwhile is computed again. Equal versions are kept once.
    `store[item_id]` gives the latents of version 0.
    """

    def __init__(
        self, encoder: Encoder, cache: TensorCache, keep_bytes: int, digests: FileDigests
    ) -> None:
        self.encoder = encoder
        self._cache = cache
        self._digests = digests
        self._room = keep_bytes
        self._items: dict[int, Item] = {}
        self._keys: dict[int, dict[int, str]] = {}
        self._kept: dict[str, Prepared] = {}

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item_id: int) -> bool:
        return item_id in self._items

    def __getitem__(self, item_id: int) -> torch.Tensor:
        return self.version(item_id).latents

    def version(self, item_id: int, number: int = 0) -> Prepared:
        """One version of an item. Raises UserError `picture_vanished`."""
        key = self._keys[item_id][number]
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        item = self._items[item_id]
        tensors = self._cache.get(key)
        variation = self.encoder.variation(item, number)
        prepared = self.encoder.fits(item, variation, tensors) if tensors else None
        if prepared is None:
            prepared, same = self._again(item, variation, key)
            on_disk = same and keep(self._cache, key, prepared)
            self.add(item, number, key, prepared, on_disk=on_disk)
        return prepared

    def _again(self, item: Item, variation: Variation, key: str) -> tuple[Prepared, bool]:
        """A version made again, and whether its picture is what the key stands for."""
        try:
            pixels = self.encoder.read(item, [variation])
            same = self.encoder.key_of(item, variation, self._digests) == key
        except PictureError as error:
            raise fail(
                "picture_vanished",
                f"{item.path} and its cached latents are gone; put the picture back and resume.",
                detail=str(error),
                file=str(item.path),
            ) from error
        return self.encoder.encode([item], pixels)[0], same

    def discard(self, item_id: int) -> None:
        """Forget an item."""
        self._items.pop(item_id, None)
        self._keys.pop(item_id, None)

    def keys(self) -> set[str]:
        """The cache entries that the store stands on."""
        return {key for versions in self._keys.values() for key in versions.values()}

    def has_room(self) -> bool:
        """Whether further latents would be held in memory."""
        return self._room > 0

    def add(
        self, item: Item, number: int, key: str, prepared: Prepared | None, on_disk: bool
    ) -> None:
        """Take in a version; `prepared` may be None for one that the cache holds."""
        self._items[item.id] = item
        self._keys.setdefault(item.id, {})[number] = key
        # What no disk holds must stay in memory, whatever the limit.
        if prepared is not None and key not in self._kept and (self._room > 0 or not on_disk):
            self._room -= prepared.bytes()
            self._kept[key] = prepared


def keep(cache: TensorCache, key: str, prepared: Prepared) -> bool:
    """Write a version to the cache; returns whether it is there."""
    more = {} if prepared.mask is None else {"mask": prepared.mask}
    return cache.put(key, {"tensor": prepared.latents, **more})


def prepare_latents(
    plan: Plan,
    model: LoadedModel,
    emit: Emit,
    control: Control,
    batch_size: int | None = None,
    *,
    concepts: Sequence[Concept] = (),
    cache: TensorCache | None = None,
    keep_bytes: int = KEEP_BYTES,
) -> tuple[LatentStore, Plan]:
    """All prepared versions of every picture, from the cache or encoded now, and the plan less
    bad pictures. What is only measured is prepared too.

    Threads read and decode ahead while the VAE encodes. A picture that proves unusable costs a
    warning event and its place in the plan, also where each step changes it anew: such pictures
    are decoded to see that they are whole. batch_size: versions of a bucket encoded together; by
    default one on the CPU, where the numbers must not depend on which pictures were cached
    already, else as many as suit a GPU.
    Raises Stopped between pictures when asked to stop; what was encoded stays in the cache.
    Raises UserError when a concept's folder has vanished, when no picture is left to learn, or
    when latents are not finite.
    """
    cache = cache or latent_cache()
    encoder = Encoder(model, concepts)
    digests = FileDigests()
    store = LatentStore(encoder, cache, keep_bytes, digests)
    work = [one for item in (*plan.items, *plan.validation) for one in _work_of(item, encoder)]
    filling = _Filling(store, cache, encoder, emit, total=sum(len(w.numbers) or 1 for w in work))
    filling.batch_size = batch_size

    def read(one: _Work) -> _Read:
        if not one.numbers:
            return _look_at(one.item, encoder, concepts)
        return _read(one, digests, store, cache, encoder)

    work.sort(key=lambda w: (str(w.item.placement.bucket), w.item.id, w.numbers[:1]))
    try:
        for one, result in _read_ahead(read, work, control.check, reading_threads(model)):
            filling.take(one, result)
        filling.flush()
    finally:
        filling.finish_writing()
        digests.save()
    filling.finish()
    plan = without(plan, filling.bad)
    if errors := [p for p in plan.problems if p.severity == "error"]:
        raise UserError(*errors)
    return store, plan


@dataclass(frozen=True)
class _Work:
    """What one thread reads at once: some versions of a picture; none to see that it is whole."""

    item: Item
    numbers: tuple[int, ...]


def _work_of(item: Item, encoder: Encoder) -> list[_Work]:
    count = encoder.versions(item)
    if count == 0:
        return [_Work(item, ())]
    starts = range(0, count, _VERSIONS_AT_ONCE)
    return [_Work(item, tuple(range(s, min(s + _VERSIONS_AT_ONCE, count)))) for s in starts]


@dataclass
class _Version:
    """What was found out about one version: what the cache has of it, or its pixels.

    Neither: it is in the cache and need not be held in memory.
    """

    number: int
    key: str
    prepared: Prepared | None = None
    pixels: Pixels | None = None


@dataclass
class _Read:
    """What a reading thread found out about a picture. failure: why it cannot be read; problem:
    what else keeps it from being learned."""

    versions: list[_Version] = field(default_factory=list)
    failure: str = ""
    problem: Problem | None = None


def _look_at(item: Item, encoder: Encoder, concepts: Sequence[Concept]) -> _Read:
    try:
        encoder.read(item, [unchanged(item.placement)])
    except PictureError as error:
        return _Read(failure=str(error))
    if encoder.is_masked(item):
        return _Read(problem=unusable_masks([item], concepts).get(item.id))
    return _Read()


def _read(
    work: _Work, digests: FileDigests, store: LatentStore, cache: TensorCache, encoder: Encoder
) -> _Read:
    try:
        for _attempt in range(_ATTEMPTS):
            found = _read_once(work, digests, store, cache, encoder)
            if all(v.pixels is None or _is_still(v, work.item, digests, encoder) for v in found):
                return _Read(found)
        raise PictureError("The file changes while it is read.")
    except PictureError as error:
        return _Read(failure=str(error))


def _is_still(version: _Version, item: Item, digests: FileDigests, encoder: Encoder) -> bool:
    """Whether what was read is of the content that the version's key stands for."""
    return encoder.key_of(item, encoder.variation(item, version.number), digests) == version.key


def _read_once(
    work: _Work, digests: FileDigests, store: LatentStore, cache: TensorCache, encoder: Encoder
) -> list[_Version]:
    item = work.item
    found, missing = list[_Version](), list[tuple[_Version, Variation]]()
    # A mask that is black all over tells only when it is read.
    must_read = encoder.is_masked(item)
    for number in work.numbers:
        variation = encoder.variation(item, number)
        version = _Version(number, encoder.key_of(item, variation, digests))
        found.append(version)
        if must_read or store.has_room():
            tensors = cache.get(version.key)
            version.prepared = encoder.fits(item, variation, tensors) if tensors else None
            if version.prepared is None:
                missing.append((version, variation))
        elif not cache.has(version.key):
            missing.append((version, variation))
    if missing:
        # Changes that come out alike give the same key.
        alike = {version.key: variation for version, variation in missing}
        pixels = dict(zip(alike, encoder.read(item, list(alike.values())), strict=True))
        for version, _ in missing:
            version.pixels = pixels[version.key]
    return found


def _read_ahead(
    read: Callable[[_Work], _Read], work: Sequence[_Work], check: Callable[[], None], threads: int
) -> Iterator[tuple[_Work, _Read]]:
    """Read in threads, a bounded number ahead, and give the results in the order of the work."""
    # In versions, which is what takes memory.
    ahead, waiting_for = 4 * threads + 8, 0
    waiting: deque[tuple[_Work, Future[_Read]]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="pictures")
    try:
        for one in work:
            waiting.append((one, pool.submit(read, one)))
            waiting_for += len(one.numbers)
            while waiting_for >= ahead or len(waiting) >= ahead:
                waiting_for -= len(waiting[0][0].numbers)
                yield _next(waiting, check)
        while waiting:
            yield _next(waiting, check)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _next(
    waiting: deque[tuple[_Work, Future[_Read]]], check: Callable[[], None]
) -> tuple[_Work, _Read]:
    work, future = waiting.popleft()
    check()
    # A huge picture may take seconds to decode; a stop does not wait for it.
    while not wait([future], timeout=0.2).done:
        check()
    return work, future.result()


class _Filling:
    """Gathers what the readers found into batches, encodes them and fills the store."""

    def __init__(
        self,
        store: LatentStore,
        cache: TensorCache,
        encoder: Encoder,
        emit: Emit,
        total: int,
    ) -> None:
        self.store, self.cache, self.encoder = store, cache, encoder
        self.emit = emit
        self.progress = Progress(emit, total, "Preparing pictures")
        self.batch_size: int | None = None
        self.bad: set[int] = set()
        self._bad_files: set[Path] = set()
        self._pending: list[tuple[Item, _Version, Pixels]] = []
        self._encoded: set[str] = set()
        self._black: dict[int, tuple[Item, int]] = {}
        self._told_of_cache = False
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="cache")
        self._writing: deque[tuple[Item, _Version, Prepared, Future[bool]]] = deque()

    def take(self, work: _Work, result: _Read) -> None:
        """What was read of one picture."""
        item = work.item
        if result.failure:
            if gone := self.encoder.gone(item, result.failure):
                raise UserError(gone)
            self._skip(item, unreadable_picture(item.path, result.failure, item.concept))
        elif result.problem is not None:
            self._skip(item, result.problem)
        if item.id in self.bad or not work.numbers:
            self.progress.add(len(work.numbers) or 1)
            return
        for version in result.versions:
            found = version.prepared or version.pixels
            if found is not None and found.mask is not None and not found.mask.any():
                self._black[item.id] = (item, self._black.get(item.id, (item, 0))[1] + 1)
            if version.pixels is None or version.key in self._encoded:
                self.store.add(item, version.number, version.key, version.prepared, on_disk=True)
                self.progress.add(1)
            else:
                self._await(item, version, version.pixels)

    def _await(self, item: Item, version: _Version, pixels: Pixels) -> None:
        if self._pending and self._pending[0][0].placement.bucket != item.placement.bucket:
            self.flush()
        self._encoded.add(version.key)
        self._pending.append((item, version, pixels))
        if len(self._pending) >= (self.batch_size or self.encoder.batch_size(item)):
            self.flush()

    def flush(self) -> None:
        """Encode what has gathered."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        items = [item for item, _, _ in pending]
        encoded = self.encoder.encode(items, [pixels for _, _, pixels in pending])
        for (item, version, _), prepared in zip(pending, encoded, strict=True):
            written = self._writer.submit(keep, self.cache, version.key, prepared)
            self._writing.append((item, version, prepared, written))
        while len(self._writing) > _WRITTEN_BEHIND:
            self._written()
        self.progress.add(len(pending))

    def finish_writing(self) -> None:
        """Wait until all that was encoded is in the cache, however preparing ended."""
        while self._writing:
            self._written()
        self._writer.shutdown()

    def _written(self) -> None:
        item, version, prepared, written = self._writing.popleft()
        self.store.add(item, version.number, version.key, prepared, on_disk=written.result())
        if self.cache.problem is not None and not self._told_of_cache:
            self._told_of_cache = True
            warn(self.emit, self.cache.problem)

    def finish(self) -> None:
        """Leave out pictures whose masks show nothing; tell how many bad ones were not named."""
        for item, count in self._black.values():
            nothing_else = self.encoder.concept(item).mask.outside == 0
            if nothing_else and count == self.encoder.versions(item):
                self._skip(item, black_mask(item))
        unnamed = len(self._bad_files) - NAMED_AT_MOST
        if unnamed > 0:
            title = "{} more pictures cannot be used and are left out."
            warn(self.emit, more_files("picture_unreadable", unnamed, title))

    def _skip(self, item: Item, problem: Problem) -> None:
        if item.id in self.bad:
            return
        self.bad.add(item.id)
        self.store.discard(item.id)
        # A picture that is trained at several resolutions is told once.
        if item.path not in self._bad_files:
            self._bad_files.add(item.path)
            if len(self._bad_files) <= NAMED_AT_MOST:
                warn(self.emit, problem)
            else:
                log_unnamed(problem)
