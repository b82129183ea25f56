"""Three epochs over 37 pictures in odd sizes train each exactly three times, all counting alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from core.config.job import Job
from core.training import trainer

Losses = list[tuple[str, float]]


@pytest.fixture
def odd_pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "odd sizes"
    folder.mkdir()
    for number in range(37):
        size = (30 + 37 * number % 131, 30 + 53 * number % 113)
        Image.effect_noise(size, 20 + number).convert("RGB").save(folder / f"{number}.png")
    return folder


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Losses:
    """The picture and the loss of every sample that went through the model."""
    found: Losses = []
    real = trainer.batch_losses

    def watched(session: Any, batch: Any, number: int) -> torch.Tensor:
        losses = real(session, batch, number)
        names = [draw.item.path.name for draw in batch.draws]
        assert len(names) == len(losses) == len(batch.latents)
        found.extend(zip(names, losses.tolist(), strict=True))
        return losses

    monkeypatch.setattr(trainer, "batch_losses", watched)
    return found


@pytest.fixture
def step_ends(seen: Losses, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many samples there were after each optimizer step."""
    ends: list[int] = []
    real = trainer.train_step

    def watched(session: Any, batches: Any) -> float | None:
        loss = real(session, batches)
        ends.append(len(seen))
        return loss

    monkeypatch.setattr(trainer, "train_step", watched)
    return ends


@pytest.mark.parametrize("batching", [(1, 1), (4, 1), (5, 3)])
def test_three_epochs(
    make_job: Callable[..., Job],
    run_trainer: Callable[..., Any],
    odd_pictures: Path,
    seen: Losses,
    step_ends: list[int],
    batching: tuple[int, int],
) -> None:
    batch_size, accumulation = batching
    job = make_job(
        concepts__0__path=str(odd_pictures),
        lora__text_encoder=False,
        training__epochs=3,
        training__max_steps=None,
        training__batch_size=batch_size,
        training__gradient_accumulation=accumulation,
    )
    run = run_trainer(job)
    assert run.outcome.status == "finished"
    names = [name for name, _ in seen]
    assert Counter(names) == Counter({f"{number}.png": 3 for number in range(37)})
    # Epoch by epoch too, and by the log alone: the last step of each is a whole number.
    for epoch in range(3):
        assert len(set(names[37 * epoch : 37 * (epoch + 1)])) == 37
    steps = run.of("step")
    assert [step.step for step in steps] == list(range(1, steps[-1].total + 1))
    assert sum(float(step.epoch).is_integer() for step in steps) == 3
    # A step's loss is the mean over its samples, however few the last batch of a bucket has.
    ends = [0, *step_ends]
    assert len(ends) == len(steps) + 1 and ends[-1] == len(seen)
    for step, start, end in zip(steps, ends, ends[1:], strict=False):
        own = [loss for _, loss in seen[start:end]]
        assert 1 <= len(own) <= batch_size * accumulation
        assert step.loss == pytest.approx(sum(own) / len(own), rel=1e-5)
