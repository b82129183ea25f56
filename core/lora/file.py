"""Reading and writing LoRA files: one .safetensors, kohya-flat keys, true alpha, metadata."""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import fail
from core.files import replacing
from core.reading import (
    SafetensorsHeader,
    TensorEntry,
    Unreadable,
    open_regular,
    read_safetensors_header,
)

if TYPE_CHECKING:
    import torch

_WIDTHS = {"F32": 4, "F16": 2, "BF16": 2}  # bytes of the numbers that alpha is stored in
_CODES = {
    "missing": "file_not_found",
    "system": "file_unreadable",
    "large": "file_unreadable",
    "kind": "not_safetensors",
    "damaged": "not_safetensors",
    "cut_off": "file_truncated",
}


@dataclass(frozen=True)
class LoraFileInfo:
    """What a LoRA file's header says, without reading its weights.

    modules: number of adapted modules by key prefix (`lora_unet`, `lora_te`, ...); ranks: rank ->
    how many modules have it; dtypes: safetensors names such as `F16`; size in bytes.
    """

    path: Path
    size: int
    modules: Mapping[str, int]
    ranks: Mapping[int, int]
    dtypes: tuple[str, ...]
    metadata: Mapping[str, str]
    alphas: Mapping[float, int]


def write_lora(
    path: Path,
    weights: Mapping[str, torch.Tensor],
    alphas: Mapping[str, float],
    metadata: Mapping[str, str],
    dtype: torch.dtype,
) -> None:
    """Write a LoRA file in one step: it is there whole or not at all.

    weights: `<key>.lora_down.weight` and `<key>.lora_up.weight`, stored in `dtype`; alphas: by
    key, always stored in float32. Raises UserError
    `lora_not_finite` rather than writing weights that are not numbers, also when they only
    overflow in `dtype`. The SHA-256 of the tensor data goes into the metadata under the two names
    that model managers look for.
    """
    import torch
    from safetensors.torch import save, save_file

    tensors: dict[str, torch.Tensor] = {}
    for name, value in weights.items():
        tensor = value.detach().to("cpu", dtype, copy=True).contiguous()
        if not torch.isfinite(tensor).all():
            raise fail(
                "lora_not_finite",
                f"The LoRA has weights that are not finite in {dtype} ({name}); it was not "
                f"written and the last good checkpoint is untouched.",
                hint="Lower the learning rate, or save as float32.",
                file=str(path),
            )
        tensors[name] = tensor
    for key, alpha in alphas.items():
        # Alpha has no part in the file's size, and bfloat16 would make 256 of 257.
        tensors[f"{key}.alpha"] = torch.tensor(float(alpha), dtype=torch.float32)
    serialised = save(tensors)
    data = serialised[8 + int.from_bytes(serialised[:8], "little") :]
    digest = hashlib.sha256(data).hexdigest()
    hashes = {"modelspec.hash_sha256": f"0x{digest}", "sshs_model_hash": digest}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={**metadata, **hashes})


def read_header(path: Path) -> tuple[Mapping[str, TensorEntry], Mapping[str, str]]:
    """(tensors by name, metadata) of a safetensors file; reads only the header.

    Raises UserError when the file is missing, truncated or something else.
    """
    header = _header(path)
    return header.tensors, header.metadata


def _header(path: Path) -> SafetensorsHeader:
    try:
        return read_safetensors_header(path)
    except Unreadable as error:
        said = f"{path} {error}"
        if error.why == "cut_off":
            said += "; copy or download it again"
        elif error.why in ("kind", "damaged"):
            said += "; choose a .safetensors file"
        raise fail(_CODES[error.why], f"{said}.", file=str(path)) from None


def lora_info(path: Path) -> LoraFileInfo:
    """What is in a LoRA file. Raises UserError when it is damaged or holds no LoRA."""
    header = _header(path)
    tensors = header.tensors
    downs = [
        n for n in tensors if n.endswith((".lora_down.weight", ".lora_A.weight", ".lora_A.default"))
    ]
    if not downs:
        raise fail("not_a_lora", f"{path} holds no LoRA layers.", file=str(path))
    modules: dict[str, int] = {}
    ranks: dict[int, int] = {}
    for name in downs:
        component = _component(name)
        modules[component] = modules.get(component, 0) + 1
        shape = tensors[name].shape
        if not shape:
            raise fail(
                "not_a_lora", f"{path} is damaged: {name[:80]!r} holds one number.", file=str(path)
            )
        rank = shape[0]
        ranks[rank] = ranks.get(rank, 0) + 1
    alphas = Counter(_scalars(path, header, ".alpha"))
    dtypes = tuple(sorted({tensors[name].dtype for name in downs}))
    return LoraFileInfo(path, header.size, modules, ranks, dtypes, header.metadata, alphas)


def _scalars(path: Path, header: SafetensorsHeader, suffix: str) -> list[float]:
    """Values of all one-number tensors whose name ends in `suffix`, without any tensor library."""
    values = []
    with open_regular(path) as file:
        for name, entry in header.tensors.items():
            width = _WIDTHS.get(entry.dtype)
            if name.endswith(suffix) and entry.last - entry.first == width:
                file.seek(header.data_start + entry.first)
                raw = file.read(width)
                # bfloat16 is the upper half of a float32.
                raw = b"\0\0" + raw if entry.dtype == "BF16" else raw
                values.append(struct.unpack("<e" if len(raw) == 2 else "<f", raw)[0])
    return values


def _component(name: str) -> str:
    for prefix in ("lora_unet", "lora_te1", "lora_te2", "lora_te"):
        if name.startswith(f"{prefix}_"):
            return prefix
    return name.split(".", 1)[0]


def change_of(down: torch.Tensor, up: torch.Tensor, scale: float) -> torch.Tensor:
    """The change of a module's weight, float32: scale x up x down, in the weight's own shape.

    down: (rank, in[, kh, kw]); up: (out, rank[, 1, 1]); returns (out, in[, kh, kw]).
    """
    product = up.float().flatten(1) @ down.float().flatten(1)
    return (product * scale).reshape(up.shape[0], *down.shape[1:])
