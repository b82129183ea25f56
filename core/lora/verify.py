"""Reading a saved LoRA back the way another program will, and comparing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from core.lora.file import change_of
from core.lora.inject import Adapter

# Relative to the largest change in a module; float32 rounding of a matrix product is near 1e-6.
TOLERANCE = 1e-5


def verify(path: Path, adapter: Adapter, weights: Mapping[str, torch.Tensor]) -> str:
    """Read `path` through diffusers' own converter and compare each module's weight change.

    weights: what was meant to be saved, named as in the file; both sides are compared at the
    file's own number format, so its rounding does not count. Returns an empty string when
    everything is the same to 1e-5, else one sentence saying what differs.
    """
    read = _read_with_diffusers(path)
    expected = {_plain(layer.component, layer.module) for layer in adapter.layers.values()}
    if read.keys() != expected:
        lost, extra = expected - read.keys(), read.keys() - expected
        return f"{len(lost)} layers are lost and {len(extra)} are unknown when the file is read."
    for key, layer in adapter.layers.items():
        down, up, alpha = read[_plain(layer.component, layer.module)]
        meant_down = weights[f"{key}.lora_down.weight"].detach().cpu().to(down.dtype)
        meant_up = weights[f"{key}.lora_up.weight"].detach().cpu().to(up.dtype)
        # Alpha itself is rounded by the file's format.
        meant_alpha = float(torch.tensor(layer.alpha).to(down.dtype))
        same = torch.equal(down, meant_down) and torch.equal(up, meant_up)
        if same and alpha == meant_alpha:
            continue  # equal factors give equal products; making those takes seconds
        got = change_of(down, up, alpha / down.shape[0])
        meant = change_of(meant_down, meant_up, meant_alpha / layer.rank)
        worst = float((got - meant).abs().max())
        if not worst <= TOLERANCE * max(float(meant.abs().max()), 1e-12):
            return f"{layer.module} differs by {worst:.2g} when the file is read."
    return ""


def _plain(component: str, module: str) -> str:
    if component.startswith("text_encoder") and module.startswith("text_model."):
        module = module.removeprefix("text_model.")
    return f"{component}.{module}"


def _read_with_diffusers(path: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor, float]]:
    """`component.module` -> (down, up, alpha), by the same steps as `load_lora_weights`."""
    from diffusers.loaders import StableDiffusionLoraLoaderMixin
    from diffusers.utils import (
        convert_state_dict_to_diffusers,
        convert_state_dict_to_peft,
        convert_unet_state_dict_to_peft,
    )

    state, alphas = StableDiffusionLoraLoaderMixin.lora_state_dict(path, local_files_only=True)[:2]
    found: dict[str, tuple[torch.Tensor, torch.Tensor, float]] = {}
    for component in ("unet", "text_encoder"):
        start = f"{component}."
        part = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
        own = {k.removeprefix(start): v for k, v in (alphas or {}).items() if k.startswith(start)}
        if not part:
            continue
        if component == "unet":
            part, own = convert_unet_state_dict_to_peft(part), convert_unet_state_dict_to_peft(own)
        else:
            part = convert_state_dict_to_peft(convert_state_dict_to_diffusers(part))
            own = convert_state_dict_to_peft(convert_state_dict_to_diffusers(own))
        for name, down in part.items():
            if name.endswith(".lora_A.weight"):
                module = name.removesuffix(".lora_A.weight")
                # The converters name alphas after the tensor or after the module.
                default = float(down.shape[0])
                alpha = own.get(f"{name}.alpha", own.get(f"{module}.alpha", default))
                up = part[f"{module}.lora_B.weight"]
                found[_plain(component, module)] = (down, up, float(alpha))
    return found
