"""One owner of what is on the device: nothing more than what was asked for, whatever happens."""

from __future__ import annotations

import pytest
import torch

from core.families.base import Role
from core.families.passing_text import PassingText
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


def test_what_passes_is_given_up_and_fetched_again_when_it_is_needed() -> None:
    networks = {name: torch.nn.Linear(2, 2) for name in ("unet", "one")}
    networks["unet"].to("meta")
    held: list[set[str]] = []

    def fetch(name: str) -> None:
        networks[name].to_empty(device="cpu")
        held.append({n for n, one in networks.items() if not one.weight.is_meta})

    late = {name: lambda name=name: fetch(name) for name in networks}
    residency = Residency(networks, ROLES, torch.device("cpu"), late, frozenset({"one"}))
    with residency.resident("text"):
        assert networks["unet"].weight.is_meta
    residency.place("denoiser")
    assert networks["one"].weight.is_meta and held == [{"unet"}]
    with residency.resident("text"):
        assert held[1:] == [{"unet", "one"}]
    assert networks["one"].weight.is_meta and not networks["unet"].weight.is_meta


def test_what_nobody_placed_is_fetched_where_it_is_needed() -> None:
    unet = torch.nn.Linear(2, 2, device="meta")
    late = {"unet": lambda: unet.to_empty(device="cpu")}
    residency = Residency({"unet": unet}, ROLES, torch.device("cpu"), late)
    residency.need("denoiser")
    assert not unet.weight.is_meta and residency.has("denoiser")


class Reader:
    """Counts what it reads."""

    width = 3

    def __init__(self) -> None:
        self.read: list[str] = []

    def length(self, caption: str) -> int:
        return 2

    def count(self, caption: str) -> int:
        return len(caption)

    def encode(self, captions: list[str], length: int) -> dict[str, torch.Tensor]:
        self.read += captions
        return {"pooled": torch.tensor([[float(len(one))] for one in captions])}


def test_captions_are_read_once_and_their_encoder_is_given_up() -> None:
    encoder = torch.nn.Linear(2, 2)
    late = {"one": lambda: encoder.to_empty(device="cpu")}
    residency = Residency({"one": encoder}, ROLES, torch.device("cpu"), late, frozenset({"one"}))
    reader = Reader()
    text = PassingText(reader, residency)
    assert text.encode(["a", "bb", "a"])["pooled"].tolist() == [[1], [2], [1]]
    assert encoder.weight.is_meta
    assert text.encode(["bb", "ccc"])["pooled"].tolist() == [[2], [3]]
    assert reader.read == ["a", "bb", "ccc"]
    with residency.resident("text"):
        text.encode(["dddd"])
        assert not encoder.weight.is_meta
