"""What of a model is on the device that calculates, and what waits in main memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from core.families.base import Role
from core.hardware import free_memory

_CPU = torch.device("cpu")


class Residency:
    """The one owner of where a model's networks are. On the processor all are always there."""

    def __init__(
        self,
        networks: Mapping[str, torch.nn.Module],
        roles: Mapping[str, Role],
        device: torch.device,
    ) -> None:
        self._networks, self._roles, self._device = networks, roles, device
        self._here: frozenset[Role] = frozenset()

    def place(self, *roles: Role) -> None:
        """Have the networks with these roles on the device, and no others, from now on."""
        wanted = frozenset(roles)
        if self._device.type != "cpu":
            # What leaves makes room for what comes.
            self._move(self._here - wanted, _CPU)
            free_memory()
            self._move(wanted - self._here, self._device)
        self._here = wanted

    def _move(self, roles: frozenset[Role], to: torch.device) -> None:
        for name, network in self._networks.items():
            if self._roles[name] in roles:
                network.to(to)

    @contextmanager
    def resident(self, *roles: Role) -> Iterator[None]:
        """The same for the time of a block; what was there before comes back at its end.

        After an exception nothing comes back: the device may be full, and it ends the work.
        """
        before = self._here
        self.place(*roles)
        yield
        self.place(*before)
