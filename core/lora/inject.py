"""Putting LoRA layers into a model, through peft, and getting at their weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from core.config.lora import Lora
from core.families.base import LoadedModel, Part, Role, trained_parts
from core.lora.keys import key_table
from core.lora.targets import targets_of
from core.randomness import generator

ADAPTER = "default"


@dataclass(frozen=True)
class LoraLayer:
    """One adapted module: change of its weight is scale x up x down, scale = alpha / rank.

    down: (rank, in) or (rank, in, kh, kw); up: (out, rank) or (out, rank, 1, 1). Both are the
    live float32 parameters.
    """

    part: Part
    module: str
    down: nn.Parameter
    up: nn.Parameter
    alpha: float

    @property
    def component(self) -> str:
        """The part's name."""
        return self.part.name

    @property
    def rank(self) -> int:
        """Inner dimension."""
        return self.down.shape[0]


@dataclass(frozen=True)
class Adapter:
    """All LoRA layers of a model by their key in files, in a fixed order."""

    layers: Mapping[str, LoraLayer]

    def parameters(self, component: str | None = None) -> list[nn.Parameter]:
        """Trainable parameters of one component, or of all, in the order of the layers."""
        return [
            parameter
            for layer in self.layers.values()
            if component in (None, layer.component)
            for parameter in (layer.down, layer.up)
        ]

    def components(self) -> list[str]:
        """Names of the components that have layers."""
        return list(dict.fromkeys(layer.component for layer in self.layers.values()))

    def role(self, component: str) -> Role:
        """What a component does in the model. Raises KeyError for one without layers."""
        return {layer.component: layer.part.role for layer in self.layers.values()}[component]

    def named_weights(self) -> Iterator[tuple[str, nn.Parameter]]:
        """(`<key>.lora_down.weight`, parameter) pairs, the names used in files and states."""
        for key, layer in self.layers.items():
            yield f"{key}.lora_down.weight", layer.down
            yield f"{key}.lora_up.weight", layer.up

    def alphas(self) -> dict[str, float]:
        """File key -> alpha."""
        return {key: layer.alpha for key, layer in self.layers.items()}

    @torch.no_grad()
    def load_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Copy weights (named as in `named_weights`) in. Raises ValueError when they don't fit."""
        mine = dict(self.named_weights())
        if mine.keys() != weights.keys():
            missing, extra = mine.keys() - weights.keys(), weights.keys() - mine.keys()
            raise ValueError(f"{len(missing)} weights are missing and {len(extra)} are unknown")
        for name, parameter in mine.items():
            if parameter.shape != weights[name].shape:
                raise ValueError(f"{name} has shape {tuple(weights[name].shape)}")
            parameter.copy_(weights[name])


def inject(model: LoadedModel, settings: Lora, seed: int) -> Adapter:
    """Add LoRA layers to `model` in place; returns handles to their float32 weights.

    up starts at zero, so the model's output is unchanged; down starts Kaiming-uniform from a
    generator of (seed, key), so it depends neither on the order of modules nor on global state.
    """
    from peft import LoraConfig, inject_adapter_in_model

    targets = targets_of(model, settings)
    table = key_table(targets, model.info)
    for component, names in targets.items():
        if not names:
            continue
        config = LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,  # type: ignore[arg-type]  # peft takes floats
            lora_dropout=settings.dropout,
            target_modules=set(names),
            init_lora_weights=True,
        )
        inject_adapter_in_model(config, model.parts[component], adapter_name=ADAPTER)
    layers = {}
    for key, (part, name) in table.items():
        wrapped = model.parts[part.name].get_submodule(name)
        down, up = wrapped.lora_A[ADAPTER], wrapped.lora_B[ADAPTER]
        _start(down, up, seed, key)
        layers[key] = LoraLayer(part, name, down.weight, up.weight, settings.alpha)
    for network in trained_parts(model).values():
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(".lora_A." in name or ".lora_B." in name)
    return Adapter(layers)


@torch.no_grad()
def _start(down: nn.Module, up: nn.Module, seed: int, key: str) -> None:
    # GradScaler cannot unscale half-precision gradients, and half-precision weights lose small
    # updates: LoRA weights are float32 whatever the base model is kept in.
    down.to(torch.float32)
    up.to(torch.float32)
    assert isinstance(down.weight, torch.Tensor) and isinstance(up.weight, torch.Tensor)
    start = torch.empty(down.weight.shape, dtype=torch.float32)
    nn.init.kaiming_uniform_(start, a=math.sqrt(5), generator=generator(seed, "lora", key))
    down.weight.copy_(start)
    up.weight.zero_()


@contextmanager
def without_adapter(model: LoadedModel, adapter: Adapter) -> Iterator[None]:
    """Within the block the model gives what it gave before `inject`, in all its parts."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    wrapped = []
    for layer in adapter.layers.values():
        module = model.parts[layer.part.name].get_submodule(layer.module)
        assert isinstance(module, BaseTunerLayer)
        wrapped.append(module)
    for module in wrapped:
        module.enable_adapters(False)
    try:
        yield
    finally:
        for module in wrapped:
            module.enable_adapters(True)


def set_training(model: LoadedModel, adapter: Adapter, training: bool) -> None:
    """Switch LoRA dropout (and the encoders' gradient checkpointing) on or off.

    The base model's own dropout, if its config has any, stays off: it is frozen.
    """
    for name in adapter.components():
        component = model.parts[name]
        component.train(training)
        for path, module in component.named_modules():
            if isinstance(module, nn.Dropout) and ".lora_dropout." not in path:
                module.eval()
