"""Models of real size with random weights, in seconds and without gigabytes on the disk.

A model is a diffusers folder whose weight files have a true header and, after it, a hole: reading
one gives zeros and takes no place on the disk. While `random_weights` lasts, what loads tensors
from such files gets random numbers of their shapes, the same ones on every machine.
"""

from __future__ import annotations

import json
import math
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from core.families.base import FamilyInfo
from core.families.sources import bundled
from core.families.tiny import build_vocabulary
from core.families.weights import Tensors, build

# Random numbers that are drawn once; every tensor begins somewhere else in them.
_POOL = 2**24
_BYTES = 2


def write_full_size(info: FamilyInfo, folder: Path) -> Path:
    """Write a model with the family's own settings as a diffusers folder; gives `folder`.

    Raises OSError where the program brings no settings for the family.
    """
    shutil.copytree(bundled(info.name), folder)
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    for part in info.parts:
        network = _empty(folder / part.folder / "config.json", *index[part.name])
        shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        write_hole(folder / part.folder / f"{part.stem}.safetensors", shapes)
        if not part.tokenizer or (folder / part.tokenizer).exists():
            continue
        if part.vocabulary:
            shutil.copytree(bundled(part.vocabulary), folder / part.tokenizer)
        else:
            build_vocabulary(folder / part.tokenizer)
    return folder


def _empty(config: Path, library: str, name: str) -> torch.nn.Module:
    """The network that model_index.json names, on the meta device."""
    plain = library in ("diffusers", "transformers")
    kind: Any = getattr(import_module(library if plain else f"diffusers.pipelines.{library}"), name)
    settings = json.loads(config.read_text(encoding="utf-8"))
    if library == "kolors":
        # By default it would ask for memory in spite of the meta device.
        return build(lambda: kind(kind.config_class(**settings), empty_init=False), config)
    if hasattr(kind, "config_class"):
        return build(lambda: kind(kind.config_class(**settings)), config)
    return build(lambda: kind.from_config(settings), config)


def write_hole(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A safetensors file of bfloat16 tensors with nothing in it but its header."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + math.prod(shape) * _BYTES
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


@contextmanager
def random_weights(seed: int = 0) -> Iterator[None]:
    """Within the block every tensor that is loaded from a file is random instead.

    Weights are uniform by fan-in and norms are 1, which keeps the width of what passes through a
    network; so a prediction is about as large as its input and depends on all layers.
    """
    generator = torch.Generator().manual_seed(seed)
    pool = torch.rand(_POOL, generator=generator) * 2 - 1

    def read(self: Tensors, name: str) -> torch.Tensor:
        return random_tensor(pool, name, self._owner[name].get_slice(self.prefix + name))

    with mock.patch.object(Tensors, "read", read):
        yield


def random_tensor(pool: torch.Tensor, name: str, stored: Any) -> torch.Tensor:
    """Random numbers in bfloat16 of the shape of a safetensors slice."""
    shape = stored.get_shape()
    if len(shape) < 2:
        return torch.full(shape, float(name.endswith("weight")), dtype=torch.bfloat16)
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    filled = torch.empty(shape, dtype=torch.bfloat16)
    flat = filled.view(-1)
    done, first = 0, zlib.crc32(name.encode()) % len(pool)
    while done < len(flat):
        piece = pool[first : first + len(flat) - done]
        torch.mul(piece, bound, out=flat[done : done + len(piece)])
        done, first = done + len(piece), 0
    return filled
