"""One owner of what is on the device: nothing more than what was asked for, whatever happens."""

from __future__ import annotations

import pytest
import torch

from core.families.base import Role
from core.families.residency import Residency

ROLES: dict[str, Role] = {"unet": "denoiser", "one": "text", "two": "text", "vae": "vae"}


class Network(torch.nn.Module):
    """Remembers where it was sent, as a GPU is not needed to see that."""

    def __init__(self) -> None:
        super().__init__()
        self.at = "cpu"

    def to(self, device: torch.device) -> Network:  # type: ignore[override]
        self.at = device.type
        return self


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Network]:
    monkeypatch.setattr("core.families.residency.free_memory", lambda: None)
    return {name: Network() for name in ROLES}


def here(networks: dict[str, Network]) -> list[str]:
    return [name for name, network in networks.items() if network.at == "cuda"]


def test_parts_come_and_go_by_their_roles(networks: dict[str, Network]) -> None:
    residency = Residency(networks, ROLES, torch.device("cuda"))
    assert here(networks) == []
    residency.place("denoiser")
    with residency.resident("text", "vae"):
        assert here(networks) == ["one", "two", "vae"]
        with residency.resident():
            assert here(networks) == []
        assert here(networks) == ["one", "two", "vae"]
    assert here(networks) == ["unet"]


def test_after_an_error_nothing_comes_back_and_it_is_known_where_all_is(
    networks: dict[str, Network],
) -> None:
    residency = Residency(networks, ROLES, torch.device("cuda"))
    residency.place("denoiser")
    with pytest.raises(RuntimeError), residency.resident():
        raise RuntimeError
    assert here(networks) == []
    residency.place("vae")
    assert here(networks) == ["vae"]


def test_what_leaves_goes_before_what_comes(networks: dict[str, Network]) -> None:
    order: list[str] = []

    class Watched(Network):
        def to(self, device: torch.device) -> Network:  # type: ignore[override]
            order.append(device.type)
            return super().to(device)

    watched = {name: Watched() for name in ROLES}
    residency = Residency(watched, ROLES, torch.device("cuda"))
    residency.place("denoiser")
    residency.place("text")
    assert order == ["cuda", "cpu", "cuda", "cuda"]
