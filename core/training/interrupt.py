"""Making a stop take effect inside a forward or backward pass, which can last many seconds.

Weights change only in the optimizer's step, so a pass may be given up anywhere: the step in
work is lost, the run stands exactly where the last step left it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def interruptible(modules: Iterable[nn.Module], check: Callable[[], None]) -> Iterator[None]:
    """Within the block `check` is called before each block of the modules, forward and backward.

    `check` raises to interrupt. A block is what stands up to two levels below a module: small
    enough to be quick, few enough to cost nothing.
    """

    def before(_module: nn.Module, _args: Any) -> None:
        check()

    def after(_module: nn.Module, _args: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) and output else output
        if isinstance(first, torch.Tensor) and first.requires_grad:
            first.register_hook(lambda _grad: check())

    handles = []
    for module in modules:
        for block in _blocks(module, depth=2):
            handles.append(block.register_forward_pre_hook(before))
            handles.append(block.register_forward_hook(after))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _blocks(module: nn.Module, depth: int) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield from _blocks(child, depth)
        elif any(True for _ in child.children()):
            yield child
            if depth > 1:
                yield from _blocks(child, depth - 1)
