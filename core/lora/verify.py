"""Reading a saved LoRA back the way other programs will, and comparing it with what was trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from core.families.base import Part
from core.lora.inject import Adapter, LoraLayer
from core.lora.readers import unread_by


@dataclass(frozen=True)
class Verified:
    """What reading a file back showed.

    difference: one sentence saying what is wrong; empty when every program reads every layer and
    each number is the trained one as the file's format holds it. rounding: how far that format
    moves the LoRA, as the length of the difference of all weight changes over the length of the
    trained ones. zeroed: how many numbers that were trained are 0 in the file, of `numbers`.
    """

    difference: str = ""
    rounding: float = 0.0
    zeroed: int = 0
    numbers: int = 0


def verify(path: Path, adapter: Adapter, weights: Mapping[str, torch.Tensor]) -> Verified:
    """Read `path` through diffusers' own converter and compare each module's weight change.

    weights: what was trained, float32, named as in the file.
    """
    if lost := unread_by(adapter.layers):
        program, keys = next(iter(lost.items()))
        return Verified(f"{program} does not read {len(keys)} of its layers, such as {keys[0]}.")
    parts = {layer.part.name: layer.part for layer in adapter.layers.values()}
    read = _read_with_diffusers(path, list(parts.values()))
    expected = {_plain(layer.part, layer.module) for layer in adapter.layers.values()}
    if read.keys() != expected:
        gone, extra = expected - read.keys(), read.keys() - expected
        return Verified(
            f"{len(gone)} layers are lost and {len(extra)} are unknown when the file is read."
        )
    squares = moved = 0.0
    zeroed = numbers = 0
    for key, layer in adapter.layers.items():
        down, up, alpha = read[_plain(layer.part, layer.module)]
        meant = [weights[f"{key}.lora_{part}.weight"].detach().cpu() for part in ("down", "up")]
        if wrong := _unlike(layer, (down, up, alpha), meant):
            return Verified(wrong)
        for got, trained in zip((down, up), meant, strict=True):
            zeroed += int(((got == 0) & (trained != 0)).sum())
            numbers += trained.numel()
        own, off = _squares(down, up, *meant)
        # Alpha over rank stretches a module's change and its error alike.
        squares += own * (layer.alpha / layer.rank) ** 2
        moved += off * (layer.alpha / layer.rank) ** 2
    rounding = math.sqrt(moved / squares) if squares else 0.0
    return Verified("", rounding, zeroed, numbers)


def _unlike(
    layer: LoraLayer,
    read: tuple[torch.Tensor, torch.Tensor, float],
    meant: list[torch.Tensor],
) -> str:
    """What of a layer is not as it was trained, beyond the rounding of the file's format."""
    down, up, alpha = read
    if alpha != float(torch.tensor(layer.alpha)):
        return f"Alpha of {layer.module} is {alpha:g} instead of {layer.alpha:g} in the file."
    for got, trained in zip((down, up), meant, strict=True):
        if got.shape != trained.shape or not torch.equal(got, trained.to(got.dtype)):
            return f"{layer.module} differs when the file is read."
    return ""


def _squares(
    down: torch.Tensor, up: torch.Tensor, meant_down: torch.Tensor, meant_up: torch.Tensor
) -> tuple[float, float]:
    """Squared lengths (Frobenius) of the trained up x down, and of its distance to the read one.

    |U D|^2 is the sum of (U^T U) * (D D^T), which spares the large products themselves; the
    distance is that of [u - U, U] x [d; d - D].
    """
    u, d = up.double().flatten(1), down.double().flatten(1)
    big_u, big_d = meant_up.double().flatten(1), meant_down.double().flatten(1)
    own = ((big_u.T @ big_u) * (big_d @ big_d.T)).sum()
    left, right = torch.cat([u - big_u, big_u], dim=1), torch.cat([d, d - big_d])
    off = ((left.T @ left) * (right @ right.T)).sum()
    return float(own), max(float(off), 0.0)


def _plain(part: Part, module: str) -> str:
    if part.role == "text":
        module = module.removeprefix("text_model.")
    return f"{part.name}.{module}"


def _read_with_diffusers(
    path: Path, parts: list[Part]
) -> dict[str, tuple[torch.Tensor, torch.Tensor, float]]:
    """`part.module` -> (down, up, alpha), by the same steps as `load_lora_weights`."""
    from diffusers.loaders import StableDiffusionLoraLoaderMixin
    from diffusers.utils import (
        convert_state_dict_to_diffusers,
        convert_state_dict_to_peft,
        convert_unet_state_dict_to_peft,
    )

    state, alphas = StableDiffusionLoraLoaderMixin.lora_state_dict(path, local_files_only=True)[:2]
    found: dict[str, tuple[torch.Tensor, torch.Tensor, float]] = {}
    for part in parts:
        start = f"{part.name}."
        mine = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
        own = {k.removeprefix(start): v for k, v in (alphas or {}).items() if k.startswith(start)}
        if not mine:
            continue
        if part.role == "denoiser":
            mine, own = convert_unet_state_dict_to_peft(mine), convert_unet_state_dict_to_peft(own)
        else:
            mine = convert_state_dict_to_peft(convert_state_dict_to_diffusers(mine))
            own = convert_state_dict_to_peft(convert_state_dict_to_diffusers(own))
        for name, down in mine.items():
            if name.endswith(".lora_A.weight"):
                module = name.removesuffix(".lora_A.weight")
                # The converters name alphas after the tensor or after the module.
                default = float(down.shape[0])
                alpha = own.get(f"{name}.alpha", own.get(f"{module}.alpha", default))
                up = mine[f"{module}.lora_B.weight"]
                found[_plain(part, module)] = (down, up, float(alpha))
    return found
