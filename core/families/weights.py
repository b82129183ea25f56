"""Strict loading of networks from safetensors: every tensor present, none unknown, none random."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from core.errors import UserError, fail
from core.families.open_clip import OpenClipTensors


class Tensors:
    """Tensors of one or several safetensors files under one roof, read one at a time.

    prefix: only names that begin with it count, and it is left off.
    """

    def __init__(self, files: Sequence[Path], stack: ExitStack, prefix: str = "") -> None:
        self.files = list(files)
        self.prefix = prefix
        self._owner: dict[str, Any] = {}
        for file in files:
            try:
                handle = stack.enter_context(safe_open(file, framework="pt"))
            except Exception as error:
                raise fail(
                    "base_unreadable",
                    f"{file.name} cannot be read; download or copy it again.",
                    detail=str(error),
                    file=str(file),
                ) from None
            for name in handle.keys():  # noqa: SIM118 (not a dict)
                if name.startswith(prefix):
                    self._owner[name.removeprefix(prefix)] = handle

    def __contains__(self, name: str) -> bool:
        return name in self._owner

    def names(self) -> set[str]:
        """All names, without the prefix."""
        return set(self._owner)

    def read(self, name: str) -> torch.Tensor:
        """One tensor, on the CPU, as stored."""
        return self._owner[name].get_tensor(self.prefix + name)


def fill(
    module: torch.nn.Module,
    tensors: Tensors | OpenClipTensors,
    names_for: Callable[[str], Sequence[str]],
    *,
    what: str,
    dtype: torch.dtype,
    ignore: Callable[[str], bool] = lambda name: False,
    digest: hashlib._Hash | None = None,
) -> None:
    """Put stored weights into a module that was built on the meta device, in main memory.

    names_for: the module's name of a tensor -> the names that it may have in the file.
    ignore: file names that need no place. what: the part's name for messages (`UNet`).
    digest: updated with names, shapes and stored bytes, so equal weights give equal hashes
    whatever file they come from.

    The weights are copied out of the file, so it may be replaced while they are in use.
    Raises UserError `base_incomplete`, `base_unexpected_weights` or `base_unreadable`.
    """
    wanted = module.state_dict()
    found = matched(module, tensors, names_for, what=what, ignore=ignore)
    file = tensors.files[0]
    filled: dict[str, torch.Tensor] = {}
    for name in sorted(wanted):
        stored = _shaped(tensors.read(found[name]), wanted[name].shape, name, what, file)
        if digest is not None:
            digest.update(f"{name} {stored.dtype} {tuple(stored.shape)}\n".encode())
            digest.update(stored.contiguous().view(torch.uint8).numpy().data)
        filled[name] = stored.to(dtype=dtype, copy=True)
    module.load_state_dict(filled, assign=True)
    module.requires_grad_(False).eval()


def matched(
    module: torch.nn.Module,
    tensors: Tensors | OpenClipTensors,
    names_for: Callable[[str], Sequence[str]],
    *,
    what: str,
    ignore: Callable[[str], bool] = lambda name: False,
) -> dict[str, str]:
    """The module's names of its tensors -> those in the file; see `fill`. No weights are read.

    Raises UserError `base_incomplete` or `base_unexpected_weights`.
    """
    wanted = module.state_dict()
    found, absent = _match(wanted, tensors, names_for)
    file = tensors.files[0]
    if absent:
        raise fail(
            "base_incomplete",
            f"{file.name} lacks {len(absent)} of the {len(wanted)} tensors of the {what}; choose "
            "a complete model.",
            detail=f"The first is {absent[0]}.",
            file=str(file),
        )
    unknown = sorted(n for n in tensors.names() - set(found.values()) if not ignore(n))
    if unknown:
        raise fail(
            "base_unexpected_weights",
            f"{file.name} holds {len(unknown)} tensors that no {what} of this kind has; it is of "
            "another kind.",
            detail=f"The first is {unknown[0]}.",
            file=str(file),
        )
    return found


def _match(
    wanted: dict[str, torch.Tensor],
    tensors: Tensors | OpenClipTensors,
    names_for: Callable[[str], Sequence[str]],
) -> tuple[dict[str, str], list[str]]:
    found: dict[str, str] = {}
    absent: list[str] = []
    for name in wanted:
        stored = next((other for other in names_for(name) if other in tensors), None)
        if stored is None:
            absent.append(name)
        else:
            found[name] = stored
    return found, absent


def _shaped(
    stored: torch.Tensor, shape: torch.Size, name: str, what: str, file: Path
) -> torch.Tensor:
    """The tensor in the module's shape; 1x1 convolutions and linear layers are the same thing."""
    if stored.shape == shape:
        return stored
    flat = [side for side in stored.shape if side != 1]
    if flat == [side for side in shape if side != 1]:
        return stored.reshape(shape)
    raise fail(
        "base_unexpected_weights",
        f"{file.name} is of another kind: {name} of the {what} has the shape "
        f"{tuple(stored.shape)} instead of {tuple(shape)}.",
        file=str(file),
    )


def build(make: Callable[[], torch.nn.Module], config: Path) -> torch.nn.Module:
    """The network that `make` builds, on the meta device: no memory, no random numbers drawn.

    Raises UserError `base_unreadable` when the settings in `config` make no sense.
    """
    try:
        with torch.device("meta"):
            return make()
    except UserError:
        raise
    except Exception as error:
        raise fail(
            "base_unreadable",
            f"{config.parent.name}/{config.name} describes no network that can be built; download "
            "or copy the model again.",
            detail=f"{type(error).__name__}: {error}",
            file=str(config),
        ) from error


def materialise_positions(module: torch.nn.Module) -> None:
    """Recompute the text encoder's position numbers, which no file stores."""
    for name, buffer in list(module.named_buffers()):
        if not buffer.is_meta:
            continue
        owner, _, leaf = name.rpartition(".")
        if leaf != "position_ids":
            raise RuntimeError(f"buffer {name} has no value")
        holder = module.get_submodule(owner)
        values = torch.arange(buffer.shape[-1]).expand(1, -1)
        holder.register_buffer(leaf, values, persistent=False)
