"""Which modules of a model's networks get a LoRA."""

from __future__ import annotations

import torch

from core.config.lora import Lora
from core.families.base import LoadedModel, Part


def target_modules(part: Part, network: torch.nn.Module, targets: str) -> list[str]:
    """Full names of the linear layers and convolutions of a part that get one, in order."""
    return [
        name
        for name, module in network.named_modules()
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)) and part.adapts(name, targets)
    ]


def targets_of(model: LoadedModel, settings: Lora) -> dict[str, list[str]]:
    """Part -> full names of its modules that get a LoRA, for the parts that learn."""
    return {
        part.name: target_modules(part, model.parts[part.name], settings.targets)
        for part in model.info.parts
        if part.lora_prefix and (part.role != "text" or settings.text_encoder)
    }
