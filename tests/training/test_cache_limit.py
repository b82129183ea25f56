"""A run makes room in the cache, keeps what it needs and lets go of it at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core import paths
from core.data.leases import cache_size, trim
from core.training.control import Control
from core.worker import protocol


def entries() -> set[str]:
    return {path.stem for path in paths.cache_dir().rglob("*.safetensors")}


def leases() -> list[Path]:
    return list((paths.cache_dir() / "leases").glob("*.lease"))


@pytest.mark.parametrize("text_encoder", [True, False])
def test_older_runs_make_room_and_the_running_one_keeps_its_own(
    make_job, run_trainer, text_encoder: bool
) -> None:
    run_trainer(make_job(training__resolution=96, lora__text_encoder=text_encoder))
    old = entries()
    assert len(old) >= 7
    seen: list[tuple[set[str], int]] = []

    def look(event: Any, _control: Control) -> None:
        if event.type == "step":
            trim(0)
            seen.append((entries(), len(leases())))

    job = make_job(training__cache_limit=1e-6, lora__text_encoder=text_encoder)
    with_limit = run_trainer(job, on_event=look)
    assert with_limit.outcome.status == "finished"
    # Latents of seven pictures, and their captions where the encoder is not trained, stay
    # throughout; of the first run only captions that both have.
    first = seen[0][0]
    assert len(first) == (7 if text_encoder else 14)
    assert all(step == (first, 1) for step in seen)
    assert len(old & first) == (0 if text_encoder else 7)
    assert not leases()
    assert trim(0).entries == 0 and cache_size().entries == 0


def test_a_run_that_is_stopped_or_fails_lets_go(make_job, run_trainer, pictures: Path) -> None:
    def stop(event: Any, control: Control) -> None:
        if event.type == "phase" and event.name == "caching":
            control.submit(protocol.Stop())

    assert run_trainer(make_job(), on_event=stop).outcome.status == "stopped"
    assert not leases()

    def fail(event: Any, _control: Control) -> None:
        if event.type == "step":
            raise RuntimeError("from outside")

    with pytest.raises(RuntimeError):
        run_trainer(make_job(), on_event=fail)
    assert not leases()
