"""Reading and writing LoRA files: one .safetensors, kohya-flat keys, true alpha, metadata."""

from __future__ import annotations

import hashlib
import json
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import fail
from core.files import replacing

if TYPE_CHECKING:
    import torch

# A safetensors header beyond this is not a LoRA's; the format itself allows 100 MB.
_HEADER_LIMIT = 100_000_000


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


def read_header(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """(tensor name -> {dtype, shape, data_offsets}, metadata) of a safetensors file.

    Reads only the header. Raises UserError when the file is missing, truncated or something else.
    """
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            raw = file.read(length) if length <= min(size, _HEADER_LIMIT) else b""
    except FileNotFoundError:
        raise fail("file_not_found", f"{path} does not exist.", file=str(path)) from None
    except OSError as error:
        raise fail(
            "file_unreadable", f"{path} cannot be read: {error.strerror}.", file=str(path)
        ) from error
    try:
        header = json.loads(raw)
        metadata = header.pop("__metadata__", {}) or {}
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except (ValueError, AttributeError, KeyError, TypeError, IndexError):
        raise fail(
            "not_safetensors",
            f"{path} is not a .safetensors file, or its beginning is damaged.",
            file=str(path),
        ) from None
    if 8 + length + end > size:
        raise fail(
            "file_truncated",
            f"{path} is cut off ({size} of {8 + length + end} bytes); copy or download it again.",
            file=str(path),
        )
    return header, {str(k): str(v) for k, v in metadata.items()}


def lora_info(path: Path) -> LoraFileInfo:
    """What is in a LoRA file. Raises UserError when it is damaged or holds no LoRA."""
    header, metadata = read_header(path)
    downs = [
        n for n in header if n.endswith((".lora_down.weight", ".lora_A.weight", ".lora_A.default"))
    ]
    if not downs:
        raise fail("not_a_lora", f"{path} holds no LoRA layers.", file=str(path))
    modules: dict[str, int] = {}
    ranks: dict[int, int] = {}
    for name in downs:
        component = _component(name)
        modules[component] = modules.get(component, 0) + 1
        rank = int(header[name]["shape"][0])
        ranks[rank] = ranks.get(rank, 0) + 1
    alphas = Counter(_scalars(path, header, ".alpha"))
    dtypes = sorted({header[name]["dtype"] for name in downs})
    return LoraFileInfo(path, path.stat().st_size, modules, ranks, tuple(dtypes), metadata, alphas)


def _scalars(path: Path, header: Mapping[str, Any], suffix: str) -> list[float]:
    """Values of all one-number tensors whose name ends in `suffix`, without any tensor library."""
    values = []
    with open(path, "rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        for name, entry in header.items():
            if name.endswith(suffix) and entry["dtype"] in ("F32", "F16", "BF16"):
                file.seek(start + entry["data_offsets"][0])
                raw = file.read(2 if entry["dtype"] != "F32" else 4)
                # bfloat16 is the upper half of a float32.
                raw = b"\0\0" + raw if entry["dtype"] == "BF16" else raw
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
