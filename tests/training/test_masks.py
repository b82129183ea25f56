"""Masked training: the weighted mean over the mask, against a reference written here."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from core.config.training import Loss
from core.data.batches import epoch_batches
from core.errors import UserError
from core.training import objective
from core.training.trainer import train_step
from tests.training.test_step import Reference, open_for, shake

MaskedFolder = Path


@pytest.fixture
def masked(pictures: Path, tmp_path: Path) -> Path:
    """The pictures with masks in several sizes and modes; number 5 has none."""
    folder = tmp_path / "masked"
    shutil.copytree(pictures, folder)
    for number, mode in enumerate(("L", "RGB", "1", "P", "RGBA")):
        picture = Image.open(folder / f"{number}.png")
        size = tuple(side * (1 + number % 3) // 2 for side in picture.size)
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).ellipse((2, 4, size[0] * 2 // 3, size[1] // 2), fill=255)
        mask.convert(mode).save(folder / f"{number}-masklabel.png")
    return folder


def test_area_mean_is_the_documented_sum() -> None:
    random = torch.Generator().manual_seed(1)
    predicted, target = (torch.randn(2, 4, 3, 5, generator=random) for _ in range(2))
    areas = torch.rand(2, 3, 5, generator=random)
    areas[0, 1] = 0
    weights = torch.tensor([2.0, 0.5])
    for kind, single in (
        ("mse", lambda d: d * d),
        ("huber", lambda d: (0.5 * d * d if abs(d) <= 0.1 else 0.1 * (abs(d) - 0.05)) / 0.1),
    ):
        got = objective.sample_losses(predicted, target, weights, Loss(kind=kind), areas)
        for b in range(2):
            above = below = 0.0
            for y in range(3):
                for x in range(5):
                    d = [float(predicted[b, c, y, x] - target[b, c, y, x]) for c in range(4)]
                    above += float(areas[b, y, x]) * sum(map(single, d)) / 4
                    below += float(areas[b, y, x])
            assert float(got[b]) == pytest.approx(float(weights[b]) * above / below, rel=1e-5)


def test_even_areas_change_nothing() -> None:
    random = torch.Generator().manual_seed(1)
    predicted, target = (torch.randn(2, 4, 3, 5, generator=random) for _ in range(2))
    plain = objective.sample_losses(predicted, target, torch.ones(2), Loss())
    even = objective.sample_losses(
        predicted, target, torch.ones(2), Loss(), torch.full((2, 3, 5), 0.2)
    )
    torch.testing.assert_close(plain, even)


class MaskedReference(Reference):
    """As Reference, the loss weighted by the mask file, resized and cut with the picture."""

    outside = 0.0

    def loss(self, draw: Any, session: Any, unet: dict, text: dict) -> torch.Tensor:
        found: list[torch.Tensor] = []
        real = torch.nn.functional.mse_loss

        def weighted(predicted: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
            errors = ((predicted - noise) ** 2).mean(dim=1)[0]
            weights = self.weights(draw.item, tuple(errors.shape))
            found.append((errors * weights).sum() / weights.sum())
            return found[-1]

        torch.nn.functional.mse_loss = weighted  # type: ignore[assignment]
        try:
            return super().loss(draw, session, unet, text)
        finally:
            torch.nn.functional.mse_loss = real

    def weights(self, item: Any, shape: tuple[int, int]) -> torch.Tensor:
        path = item.path.with_name(f"{item.path.stem}-masklabel.png")
        if not path.exists():
            return torch.ones(shape)
        placement = item.placement
        mask = Image.open(path)
        if "A" in mask.mode:
            mask = Image.alpha_composite(Image.new("RGBA", mask.size, "black"), mask)
        mask = mask.convert("L").resize(placement.resized, Image.Resampling.BILINEAR)
        left, top = placement.crop
        bucket = placement.bucket
        mask = mask.crop((left, top, left + bucket.width, top + bucket.height))
        step = bucket.width // shape[1]
        blocks = np.array(mask, np.float64).reshape(shape[0], step, shape[1], step) / 255
        inside = torch.from_numpy(blocks.mean(axis=(1, 3))).float()
        return self.outside + (1 - self.outside) * inside


@pytest.mark.parametrize("outside", [0.0, 0.3])
def test_loss_and_gradients_are_those_of_the_masked_mean(
    make_job, tiny_model: Path, tmp_path: Path, masked: Path, outside: float
) -> None:
    job = make_job(
        concepts__0__path=str(masked),
        concepts__0__mask__source="file",
        concepts__0__mask__outside=outside,
        training__batch_size=3,
        training__gradient_accumulation=5,
        training__max_grad_norm=None,
    )
    session = open_for(job, tmp_path)
    assert sum(item.mask is not None for item in session.plan.items) == 5
    shake(session)
    groups = epoch_batches(session.plan, job, 0)[0]
    reference = MaskedReference(tiny_model)
    reference.outside = outside
    wanted, gradients = reference.step(session, groups)
    taken: dict[str, torch.Tensor] = {}
    session.optimizer.step = lambda *_: taken.update(
        {n: p.grad.clone() for n, p in session.adapter.named_weights()}
    )
    loss = train_step(session, groups)
    # Scaling in one step and in two rounds the masks' edges differently.
    assert loss == pytest.approx(wanted, rel=2e-3)
    largest = max(float(g.abs().max()) for g in gradients.values())
    for name, gradient in gradients.items():
        assert torch.allclose(taken[name], gradient, atol=4e-3 * largest, rtol=1e-2), name
    session.close()


def test_transparency_is_a_mask(make_job, tmp_path: Path) -> None:
    folder = tmp_path / "alpha"
    folder.mkdir()
    image = Image.new("RGBA", (64, 64), (200, 30, 40, 255))
    ImageDraw.Draw(image).rectangle((0, 0, 63, 31), fill=(0, 0, 0, 0))
    image.save(folder / "half.png")
    Image.new("RGB", (64, 64), (1, 2, 3)).save(folder / "whole.png")
    job = make_job(
        concepts__0__path=str(folder),
        concepts__0__mask__source="alpha",
        concepts__0__background="#0000ff",
    )
    session = open_for(job, tmp_path)
    (batch,) = epoch_batches(session.plan, job, 0)[0]
    loaded = session.pictures.load(0, batch)
    assert loaded is not None and loaded.areas is not None
    by_name = {d.item.path.stem: a for d, a in zip(loaded.draws, loaded.areas, strict=True)}
    assert (by_name["whole"] == 1).all()
    half = by_name["half"]
    middle = half.shape[0] // 2
    assert (half[:middle] == 0).all() and (half[middle:] == 1).all()
    # The colour behind transparency is what the VAE sees.
    item = next(i for i in session.plan.items if i.path.stem == "half")
    picture = session.pictures.encoder.read(item, [session.pictures.encoder.variation(item, 0)])[0]
    assert picture.picture[:, 5, 5].tolist() == [0, 0, 255]
    session.close()


def test_black_masks_never_make_a_loss_that_is_no_number(
    make_job, run_trainer, masked: Path
) -> None:
    for number in range(4):
        Image.new("L", (20, 20)).save(masked / f"{number}-masklabel.png")
    job = make_job(
        concepts__0__path=str(masked), concepts__0__mask__source="file", training__max_steps=8
    )
    done = run_trainer(job)
    assert done.outcome.status == "finished"
    told = [w for w in done.of("warning") if w.code == "mask_black"]
    assert sorted(Path(w.file).name for w in told) == [f"{n}-masklabel.png" for n in range(4)]
    assert all(math.isfinite(step.loss) for step in done.of("step"))
    # With some weight outside nothing is left out.
    outside = job.model_copy(deep=True)
    outside.concepts[0].mask.outside = 0.1
    again = run_trainer(outside)
    assert not [w for w in again.of("warning") if w.code == "mask_black"]
    assert all(math.isfinite(step.loss) for step in again.of("step"))


def test_mask_that_is_black_at_one_step_only_costs_that_showing(
    make_job, run_trainer, tmp_path: Path
) -> None:
    """Moved crops show the mask's white end now and then."""
    folder = tmp_path / "long"
    folder.mkdir()
    for number in range(4):
        Image.new("RGB", (256, 64), (number * 50, 90, 120)).save(folder / f"{number}.png")
        mask = Image.new("L", (256, 64))
        ImageDraw.Draw(mask).rectangle((210, 0, 255, 63), fill=255)
        mask.save(folder / f"{number}-masklabel.png")
    job = make_job(
        concepts__0__path=str(folder),
        concepts__0__mask__source="file",
        concepts__0__resolution=64,
        concepts__0__image__scale=1,
        concepts__0__image__scale_most=4,
        concepts__0__image__caching="off",
        training__batch_size=1,
        training__max_steps=12,
    )
    done = run_trainer(job)
    losses = [step.loss for step in done.of("step")]
    assert done.outcome.status == "finished" and len(losses) == 12
    assert any(loss is None for loss in losses)
    assert any(loss is not None for loss in losses)
    assert all(loss is None or math.isfinite(loss) for loss in losses)
    assert {w.code for w in done.of("warning")} >= {"mask_black"}


def test_nothing_but_black_masks_is_an_error(make_job, run_trainer, masked: Path) -> None:
    for number in range(7):
        Image.new("L", (20, 20)).save(masked / f"{number}-masklabel.png")
    job = make_job(concepts__0__path=str(masked), concepts__0__mask__source="file")
    with pytest.raises(UserError) as caught:
        run_trainer(job)
    assert caught.value.problem.code == "no_pictures"
