"""Text encoders as OpenCLIP spells them in single files, under the names of transformers.

Query, key and value lie in one matrix there, and the projection of pooled vectors is turned.
Torch-free at import: estimates read the shapes alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.families.kinds import Shapes

if TYPE_CHECKING:
    import torch

    from core.families.weights import Tensors

_WHOLE = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}
_IN_LAYER = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_LAYER = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)")


@dataclass(frozen=True)
class Piece:
    """Where a tensor lies in a file: its name there, which third of it, and whether turned."""

    stored: str
    third: int | None = None
    turned: bool = False

    def shape(self, whole: tuple[int, ...]) -> tuple[int, ...]:
        """Its shape, by that of the stored tensor."""
        if self.turned:
            return whole[::-1]
        return whole if self.third is None else (whole[0] // 3, *whole[1:])


def pieces(stored: Sequence[str]) -> dict[str, Piece]:
    """Name in transformers -> where it lies, for the stored names that are known."""
    found: dict[str, Piece] = {}
    for name in stored:
        if name in _WHOLE:
            found[_WHOLE[name]] = Piece(name)
        elif name == "text_projection":
            found["text_projection.weight"] = Piece(name, turned=True)
        elif match := _LAYER.fullmatch(name):
            layer, rest = f"encoder.layers.{match[1]}", match[2]
            if rest in ("attn.in_proj_weight", "attn.in_proj_bias"):
                leaf = rest.removeprefix("attn.in_proj_")
                for third, letter in enumerate("qkv"):
                    found[f"{layer}.self_attn.{letter}_proj.{leaf}"] = Piece(name, third)
            else:
                module, _, leaf = rest.rpartition(".")
                if module in _IN_LAYER:
                    found[f"{layer}.{_IN_LAYER[module]}.{leaf}"] = Piece(name)
    return found


def shapes_by_name(stored: Shapes) -> Shapes:
    """The shapes under the names of transformers."""
    return {n: piece.shape(stored[piece.stored]) for n, piece in pieces(list(stored)).items()}


class OpenClipTensors:
    """Reads like `core.families.weights.Tensors`; what is unknown keeps its stored name."""

    def __init__(self, stored: Tensors) -> None:
        self._stored = stored
        self._pieces: Mapping[str, Piece] = pieces(sorted(stored.names()))
        self.files, self.prefix = stored.files, stored.prefix

    def __contains__(self, name: str) -> bool:
        return name in self._pieces

    def names(self) -> set[str]:
        """All names."""
        known = {piece.stored for piece in self._pieces.values()}
        return set(self._pieces) | (self._stored.names() - known)

    def read(self, name: str) -> torch.Tensor:
        """One tensor, on the CPU, as stored but for its place."""
        piece = self._pieces[name]
        whole = self._stored.read(piece.stored)
        if piece.turned:
            return whole.T.contiguous()
        return whole if piece.third is None else whole.chunk(3)[piece.third]
