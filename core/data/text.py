"""What captions become for the model when no text encoder is trained."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch

from core.config.job import Job
from core.data.batches import LASTING_AT_MOST, captions_last, lasting_captions
from core.data.cache import TensorCache, text_cache, text_key
from core.data.preparing import Progress, on_cpu, warn
from core.data.types import Plan
from core.families.base import Conditioning, LoadedModel
from core.training.control import Control, Emit

KEEP_BYTES = 512 * 2**20
_GPU_BATCH = 16
_LENGTHS_AT_MOST = 100_000
_Row = dict[str, torch.Tensor]


class TextStore:
    """Conditioning by captions: `store[captions]` gives rows on the CPU, as encoded.

    Their length is that of the longest caption of the batch. What is not in memory or in the
    cache is encoded on demand, so the model's text side must stay usable. lasting: captions worth
    a place on the disk, because every run meets them again; shuffled ones are not. complete: no
    step asks for any other, so that the text encoder is hardly needed.
    """

    def __init__(
        self,
        model: LoadedModel,
        cache: TensorCache,
        lasting: frozenset[str] = frozenset(),
        keep_bytes: int = KEEP_BYTES,
        *,
        complete: bool = False,
    ) -> None:
        self.complete = complete
        self._model = model
        self._cache = cache
        self._lasting = lasting
        self._room = keep_bytes
        self._kept: OrderedDict[tuple[str, int], _Row] = OrderedDict()
        self._lengths: dict[str, int] = {}
        # On the CPU numbers must not depend on which other captions were encoded along with one.
        self._batch = 1 if on_cpu(model) else _GPU_BATCH

    def keys(self) -> set[str]:
        """The cache entries that the store reads and writes: each lasting caption at its own
        length, and at those of longer captions that may come into one batch with it."""
        lengths = {self.length_of(caption) for caption in self._lasting}
        lengths |= set(self._lengths.values())
        return {
            self._key(caption, length)
            for caption in self._lasting
            for length in lengths
            if length >= self.length_of(caption)
        }

    def __getitem__(self, captions: Sequence[str]) -> Conditioning:
        length = max(self.length_of(caption) for caption in captions)
        rows = {caption: self._find(caption, length) for caption in dict.fromkeys(captions)}
        missing = [caption for caption, row in rows.items() if row is None]
        for start in range(0, len(missing), self._batch):
            rows.update(self._encode(missing[start : start + self._batch], length))
        ready = [row for caption in captions if (row := rows[caption]) is not None]
        return {name: torch.stack([row[name] for row in ready]) for name in ready[0]}

    def length_of(self, caption: str) -> int:
        """The length of a caption alone."""
        length = self._lengths.get(caption)
        if length is None:
            if len(self._lengths) >= _LENGTHS_AT_MOST:
                self._lengths.clear()
            length = self._lengths[caption] = self._model.text.length(caption)
        return length

    def _find(self, caption: str, length: int) -> _Row | None:
        kept = self._kept.get((caption, length))
        if kept is not None:
            self._kept.move_to_end((caption, length))
            return kept
        if caption not in self._lasting:
            return None
        row = self._cache.get(self._key(caption, length))
        if row is not None:
            self._keep(caption, length, row)
        return row

    def _encode(self, captions: list[str], length: int) -> dict[str, _Row]:
        with torch.no_grad():
            encoded = self._model.text.encode(captions, length)
        on_cpu = {name: rows.detach().cpu() for name, rows in encoded.items()}
        found: dict[str, _Row] = {}
        for number, caption in enumerate(captions):
            # Each a copy of its own, else one kept row would hold all of them in memory.
            row = found[caption] = {name: rows[number].clone() for name, rows in on_cpu.items()}
            self._keep(caption, length, row)
            if caption in self._lasting:
                self._cache.put(self._key(caption, length), row)
        return found

    def _keep(self, caption: str, length: int, row: _Row) -> None:
        self._kept[caption, length] = row
        self._room -= _bytes(row)
        while self._room < 0 and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._room += _bytes(oldest)

    def _key(self, caption: str, length: int) -> str:
        return text_key(caption, length, self._model.identity["text"])


def _bytes(row: _Row) -> int:
    return sum(part.numel() * part.element_size() for part in row.values())


def prepare_text(
    plan: Plan,
    job: Job,
    model: LoadedModel,
    emit: Emit,
    control: Control,
    *,
    cache: TensorCache | None = None,
    keep_bytes: int = KEEP_BYTES,
) -> TextStore:
    """Conditioning of the captions, that of those that stay the same all through the run made now.

    Shuffled captions are new at each step and are encoded then. Raises Stopped when asked to
    stop; what was encoded stays in the cache.
    """
    cache = cache or text_cache()
    lasting = lasting_captions(plan, job)
    if len(lasting) > LASTING_AT_MOST:
        return TextStore(model, cache, keep_bytes=keep_bytes)
    complete = captions_last(plan, job)
    store = TextStore(model, cache, frozenset(lasting), keep_bytes, complete=complete)
    progress = Progress(emit, len(lasting), "Reading captions")
    lasting.sort(key=lambda caption: (store.length_of(caption), caption))
    batch = 1 if on_cpu(model) else _GPU_BATCH
    for start in range(0, len(lasting), batch):
        control.check()
        some = lasting[start : start + batch]
        store[some]
        progress.add(len(some))
    if cache.problem is not None:
        warn(emit, cache.problem)
    return store
