"""What of a model is on the device that calculates, in main memory, or still on the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

from core.families.base import Role
from core.hardware import free_memory

_CPU, _NOWHERE = torch.device("cpu"), torch.device("meta")


class Residency:
    """The one owner of where a model's networks are. On the processor all are always there, but
    for those that come late.

    late: what puts the weights of such a network into main memory, by the network's name; it is
    called when the network is needed and has none. passing: networks of these that give up their
    weights when others take their place, because they are too large to be kept beside them.
    """

    def __init__(
        self,
        networks: Mapping[str, torch.nn.Module],
        roles: Mapping[str, Role],
        device: torch.device,
        late: Mapping[str, Callable[[], None]] | None = None,
        passing: frozenset[str] = frozenset(),
    ) -> None:
        self._networks, self._roles, self.device = networks, roles, device
        self._late, self._passing = late or {}, passing
        self._here: frozenset[Role] = frozenset()

    def place(self, *roles: Role) -> None:
        """Have the networks with these roles on the device, and no others, from now on."""
        wanted = frozenset(roles)
        leaving, coming = self._here - wanted, wanted - self._here
        # What leaves makes room for what comes.
        self._give_up(leaving)
        if self.device.type != "cpu":
            self._move(leaving, _CPU)
            free_memory()
        self._fetch(wanted)
        if self.device.type != "cpu":
            self._move(coming, self.device)
        self._here = wanted

    def need(self, role: Role) -> None:
        """Have the weights of the networks with a role, where nobody placed them before."""
        if role not in self._here and any(
            self._roles[name] == role and _is_empty(self._networks[name]) for name in self._late
        ):
            self.place(*self._here, role)

    def has(self, role: Role) -> bool:
        """Whether the networks with a role were placed."""
        return role in self._here

    def _give_up(self, roles: frozenset[Role]) -> None:
        gone = [name for name in self._passing if self._roles[name] in roles]
        for name in gone:
            self._networks[name].to(_NOWHERE)
        if gone:
            free_memory()

    def _fetch(self, roles: frozenset[Role]) -> None:
        for name, fetch in self._late.items():
            if self._roles[name] in roles and _is_empty(self._networks[name]):
                fetch()

    def _move(self, roles: frozenset[Role], to: torch.device) -> None:
        for name, network in self._networks.items():
            given_up = to == _CPU and name in self._passing
            if self._roles[name] in roles and not given_up:
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


def _is_empty(network: torch.nn.Module) -> bool:
    return any(parameter.is_meta for parameter in network.parameters())
