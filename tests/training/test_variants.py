"""Changed pictures: several prepared versions, or new ones at each step; resume stays exact."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.data.augment import draw, vary, version_seed
from core.data.batches import epoch_batches
from core.data.images import load_picture
from core.errors import UserError
from core.training import trainer
from core.training.control import Control
from core.worker import protocol
from tests.training.test_step import open_for

CHANGES = {
    f"concepts__0__image__{name}": 0.5
    for name in ("flip", "crop_jitter", "scale", "rotation", "brightness", "hue", "blur")
}


@pytest.fixture
def own_pictures(pictures: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    shutil.copytree(pictures, folder)
    return folder


def encoded(session: Any, pixels: Any) -> torch.Tensor:
    """The VAE's latents of (H, W, 3) pixels."""
    batch = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
    return session.model.encode_pixels(batch)[0]


def test_prepared_versions_are_those_of_their_seeds(make_job, tmp_path: Path) -> None:
    job = make_job(**CHANGES, concepts__0__image__variants=3)
    session = open_for(job, tmp_path)
    seen = set()
    for epoch in range(6):
        for group in epoch_batches(session.plan, job, epoch):
            for batch in group:
                loaded = session.pictures.load(0, batch)
                assert loaded is not None
                for one, latents in zip(loaded.draws, loaded.latents, strict=True):
                    seen.add(one.variant)
                    image = load_picture(one.item.path)
                    pixels, _ = vary(
                        image,
                        None,
                        one.item.placement,
                        job.concepts[0].image,
                        *version_seed(one.item.path, one.variant),
                    )
                    torch.testing.assert_close(latents, encoded(session, pixels))
    assert seen == {0, 1, 2}
    session.close()


def test_pictures_changed_at_each_step_are_those_of_their_seeds(make_job, tmp_path: Path) -> None:
    job = make_job(**CHANGES, concepts__0__image__caching="off")
    session = open_for(job, tmp_path)
    assert session.pictures.any_live
    variations = set()
    batches = [batch for group in epoch_batches(session.plan, job, 0) for batch in group]
    batch = max(batches, key=lambda one: len(one.draws))
    assert len(batch.draws) == 2
    for step in range(3):
        # What was expected, or not, does not matter.
        session.pictures.expect([(step, [batch])] if step == 1 else [])
        loaded = session.pictures.load(step, batch)
        assert loaded is not None
        for one, latents in zip(loaded.draws, loaded.latents, strict=True):
            seed = (job.training.seed, step, one.item.id, one.repeat)
            placement, settings = one.item.placement, job.concepts[0].image
            variations.add(draw(placement, settings, *seed))
            pixels, _ = vary(load_picture(one.item.path), None, placement, settings, *seed)
            torch.testing.assert_close(latents, encoded(session, pixels))
    assert len(variations) == 3 * len(batch.draws)
    session.close()


@pytest.mark.parametrize("caching", ["variants", "off"])
def test_resume_is_exact(make_job, run_trainer, caching: str, monkeypatch) -> None:
    settings = {
        **CHANGES,
        "concepts__0__image__caching": caching,
        "checkpoints__every": 3,
        "checkpoints__every_unit": "step",
        "training__max_steps": 7,
    }
    straight = run_trainer(make_job(**settings))

    def stop(event: Any, control: Control) -> None:
        if event.type == "step" and event.step == 3:
            control.submit(protocol.Stop())

    first = run_trainer(make_job(**settings), on_event=stop)
    assert first.outcome.step == 3
    # Nor does it matter how far ahead is decoded.
    monkeypatch.setattr(trainer, "_STEPS_AHEAD", 1)
    second = run_trainer(
        make_job(**settings), folder=first.folder, resume=first.folder.checkpoint(3)
    )
    losses = [s.loss for run in (first, second) for s in run.of("step")]
    assert losses == [s.loss for s in straight.of("step")]
    a, b = load_file(straight.outcome.lora), load_file(second.outcome.lora)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_progress_counts_versions(make_job, run_trainer) -> None:
    done = run_trainer(make_job(**CHANGES, concepts__0__image__variants=5))
    phases = [p for p in done.of("phase") if p.text == "Preparing pictures"]
    assert (phases[-1].done, phases[-1].total) == (35, 35)


def test_a_picture_that_vanishes_costs_only_itself(
    make_job, run_trainer, own_pictures: Path
) -> None:
    """It goes, another is added, both while training without a cache."""

    def remove(event: Any, _control: Control) -> None:
        if event.type == "step" and event.step == 2:
            (own_pictures / "3.png").unlink()
            (own_pictures / "4.png").write_bytes(b"not a picture")
            shutil.copy(own_pictures / "1.png", own_pictures / "new.png")

    job = make_job(
        **CHANGES,
        concepts__0__path=str(own_pictures),
        concepts__0__image__caching="off",
        training__max_steps=16,
        training__batch_size=1,
    )
    done = run_trainer(job, on_event=remove)
    assert done.outcome.status == "finished" and done.outcome.step == 16
    told = {Path(w.file).name for w in done.of("warning") if w.code == "picture_unreadable"}
    assert told == {"3.png", "4.png"}
    losses = [s.loss for s in done.of("step")]
    assert len(losses) == 16
    assert 2 <= sum(loss is None for loss in losses) <= 6


def test_a_folder_that_vanishes_ends_the_run_with_its_work_saved(
    make_job, run_trainer, own_pictures: Path
) -> None:
    away = own_pictures.with_name("away")

    def remove(event: Any, _control: Control) -> None:
        if event.type == "step" and event.step == 3:
            own_pictures.rename(away)

    job = make_job(
        **CHANGES,
        concepts__0__path=str(own_pictures),
        concepts__0__image__caching="off",
        training__max_steps=20,
    )
    plain = run_trainer(job)
    folders: list[Any] = []

    def note(event: Any, control: Control) -> None:
        folders.append(event)
        remove(event, control)

    from core.runs.folder import create

    folder = create(job, own_pictures.parent / "runs of this")
    with pytest.raises(UserError) as caught:
        run_trainer(job, folder=folder, on_event=note)
    problem = caught.value.problem
    assert problem.code == "pictures_gone" and str(own_pictures) in problem.title
    saved = [e.step for e in folders if e.type == "checkpoint"]
    # What was decoded ahead is still trained.
    assert saved and 3 <= saved[-1] < 20
    away.rename(own_pictures)
    second = run_trainer(job, folder=folder, resume=folder.checkpoint(saved[-1]))
    a, b = load_file(plain.outcome.lora), load_file(second.outcome.lora)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_cached_training_needs_no_folder(make_job, run_trainer, own_pictures: Path) -> None:
    def remove(event: Any, _control: Control) -> None:
        if event.type == "step" and event.step == 2:
            shutil.rmtree(own_pictures)

    done = run_trainer(make_job(concepts__0__path=str(own_pictures)), on_event=remove)
    assert done.outcome.status == "finished" and not done.of("warning")


def test_several_resolutions_train_each_picture_at_each(make_job, run_trainer) -> None:
    job = make_job(training__more_resolutions="96", training__epochs=1, training__max_steps=None)
    done = run_trainer(job)
    assert done.outcome.status == "finished"
    phases = [p for p in done.of("phase") if p.text == "Preparing pictures"]
    assert phases[-1].total == 14
