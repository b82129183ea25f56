"""The run's optimizer: its parameter groups and rates, and what a pause moves of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from core.config.training import Training
from core.families.base import Role
from core.lora.inject import Adapter
from core.optimizers import OPTIMIZERS


def build_optimizer(adapter: Adapter, settings: Training) -> torch.optim.Optimizer:
    """The optimizer over the LoRA's parameters, one group per component.

    Each group has `name` (the component) and `base_lr`; `set_rates` scales from that.
    Raises UserError when the optimizer's library is missing or does not work here.
    """
    groups = [
        {
            "params": adapter.parameters(component),
            "name": component,
            "lr": (rate := _base_rate(adapter.role(component), settings)),
            "base_lr": rate,
        }
        for component in adapter.components()
    ]
    return OPTIMIZERS[settings.optimizer].build(groups, settings)


def _base_rate(role: Role, settings: Training) -> float:
    own = settings.text_encoder_learning_rate
    if role == "text" and own and not OPTIMIZERS[settings.optimizer].finds_rate:
        return own
    return settings.learning_rate


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's rate to its base rate times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def shown_rates(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """The effective rate of each group; for Prodigy that is its estimate d times the rate."""
    return {
        group["name"]: float(group["lr"]) * float(group.get("d", 1.0))
        for group in optimizer.param_groups
    }


def found_rates(optimizer: torch.optim.Optimizer, adapter: Adapter) -> dict[str, float]:
    """The rate of each role without the schedule's factor; for Prodigy the one that it found."""
    return {
        adapter.role(group["name"]): float(group["base_lr"]) * float(group.get("d", 1.0))
        for group in optimizer.param_groups
    }


Parked = list[tuple[dict[str, Any], str, torch.device]]


def park_state(optimizer: torch.optim.Optimizer) -> Parked:
    """Move the optimizer's state to main memory, so that a paused run frees the GPU.

    Returns what `unpark_state` needs. Tensors that lie in main memory anyway are not in it:
    AdamW's step counts belong there, on a GPU each of them would be waited for at every step.
    """
    parked: Parked = []
    for state in optimizer.state.values():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.device.type != "cpu":
                parked.append((state, name, value.device))
                state[name] = value.to(torch.device("cpu"))
    return parked


def unpark_state(parked: Parked) -> None:
    """Move what `park_state` moved back to where it was."""
    for state, name, device in parked:
        state[name] = state[name].to(device)


def total_norm(parameters: Sequence[torch.nn.Parameter]) -> torch.Tensor:
    """Euclidean norm of all gradients together, 0-d; 0 when there are none."""
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads:
        return torch.zeros(())
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
