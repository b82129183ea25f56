"""Captions for models whose text encoders are too large to stay in memory while others work."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import nullcontext

import torch

from core.families.base import Conditioning, TextSide
from core.families.residency import Residency

_KEEP_BYTES = 256 * 2**20
_Row = dict[str, torch.Tensor]


class PassingText:
    """A text side that is loaded when a caption is asked for, and then given up again.

    While its encoders are placed they stay. What was encoded last is kept in main memory, so that
    sample prompts are read once; see `core.families.base.TextSide`.
    """

    def __init__(self, inner: TextSide, residency: Residency) -> None:
        self._inner, self._residency = inner, residency
        self._kept: OrderedDict[tuple[str, int], _Row] = OrderedDict()
        self._room = _KEEP_BYTES
        self.width = inner.width

    def length(self, caption: str) -> int:
        """The length of a caption alone."""
        return self._inner.length(caption)

    def count(self, caption: str) -> int:
        """Tokens of a caption without start and end marks."""
        return self._inner.count(caption)

    def encode(self, captions: Sequence[str], length: int | None = None) -> Conditioning:
        """The captions' conditioning on the CPU; not differentiable, as nothing here learns."""
        length = length or max(self.length(caption) for caption in captions)
        missing = [one for one in dict.fromkeys(captions) if (one, length) not in self._kept]
        rows = {one: self._kept[one, length] for one in captions if one not in missing}
        if missing:
            here = self._residency.has("text")
            with nullcontext() if here else self._residency.resident("text"):
                rows |= self._encode(missing, length)
        return {
            name: torch.stack([rows[one][name] for one in captions]) for name in rows[captions[0]]
        }

    def _encode(self, captions: list[str], length: int) -> dict[str, _Row]:
        # As captions are prepared, whatever number format the caller's samples are in.
        unmixed = torch.autocast(self._residency.device.type, enabled=False)
        with torch.no_grad(), unmixed:
            encoded = {n: v.cpu() for n, v in self._inner.encode(captions, length).items()}
        found: dict[str, _Row] = {}
        for number, caption in enumerate(captions):
            # Each a copy of its own, else one kept row would hold all of them in memory.
            row = found[caption] = {name: rows[number].clone() for name, rows in encoded.items()}
            self._kept[caption, length] = row
            self._room -= _bytes(row)
        while self._room < 0 and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._room += _bytes(oldest)
        return found


def _bytes(row: _Row) -> int:
    return sum(part.numel() * part.element_size() for part in row.values())
