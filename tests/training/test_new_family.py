"""A new family is one file and one line: everything from Check to the saved LoRA knows it then."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from core.config.job import defaults, set_path
from core.config.job import validate as validate_job
from core.data.batches import epoch_batches
from core.data.types import Batch
from core.families import registry
from core.families.detect import detect
from core.lora.file import read_header
from core.model_families import FAMILIES, FAMILY_CHOICES, FamilyKind
from core.runs.preflight import preflight
from core.training.trainer import train_step
from tests.training import made_up_family
from tests.training.test_step import open_for, seeded

PROMPT = {
    "prompt": "a thing",
    "negative": "blue",
    "steps": 4,
    "cfg": 5.0,
    "width": 64,
    "height": 48,
}


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A tiny model of the made-up family, which is in the list for the time of a test."""
    kind = FamilyKind("Made up", "For this test.")
    for choices in (FAMILIES, FAMILY_CHOICES):
        monkeypatch.setitem(choices, "made_up", kind)
    monkeypatch.setitem(sys.modules, "core.families.made_up", made_up_family)
    registry.family.cache_clear()
    return made_up_family.FAMILY.build_tiny(tmp_path / "made up", 3)


def test_it_is_found_checked_and_can_be_chosen(base: Path, make_job: Any) -> None:
    assert detect(str(base)).family == "made_up"
    job = make_job(model__base=str(base), model__family="made_up")
    told = preflight(job)
    assert told.errors == [] and told.memory is not None and told.disk is not None
    assert told.disk.lora > 0 and told.memory.activations > 0
    wrong, problems = validate_job(set_path(defaults(), "model.family", "another"))
    assert wrong is None and problems


@pytest.mark.parametrize("text_encoder", [False, True])
def test_its_loss_is_that_of_a_flow_with_masks_and_frames(
    base: Path, make_job: Any, tmp_path: Path, text_encoder: bool
) -> None:
    job = make_job(model__base=str(base), lora__text_encoder=text_encoder)
    session = open_for(job, tmp_path)
    groups = epoch_batches(session.plan, job, 0)[0]
    unet, text = session.model.parts["unet"], session.model.parts["text_encoder"]
    losses = []
    for draw in (draw for batch in groups for draw in batch.draws):
        batch = Batch(draw.item.placement.bucket, (draw,))
        clean = session.pictures.load(0, batch).latents
        seed = (job.training.seed, 0, draw.item.id, draw.repeat)
        noise = torch.randn(clean.shape[1:], generator=seeded(*seed, "noise"))[None]
        share = float(torch.rand((), generator=seeded(*seed, "timestep"), dtype=torch.float64))
        s = made_up_family.SHIFT * share / (1 + (made_up_family.SHIFT - 1) * share)
        tokenizer = session.model.text._plain.tokenizer
        ids = tokenizer([draw.caption], padding="max_length", max_length=77, return_tensors="pt")
        words = len(tokenizer(draw.caption, add_special_tokens=False).input_ids)
        with torch.no_grad():
            states = text(input_ids=ids.input_ids).last_hidden_state.clone()
            states[:, words + 1 :] = 0
            states = states + draw.item.size[0] / 1000
            mixed = (1 - s) * clean + s * noise
            predicted = unet(mixed, torch.tensor([1000 * s]), states).sample
        losses.append(float(torch.nn.functional.mse_loss(predicted, noise - clean)))
    loss = train_step(session, groups)
    session.close()
    assert loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_it_trains_samples_saves_and_resumes(base: Path, make_job: Any, run_trainer: Any) -> None:
    job = make_job(
        model__base=str(base),
        training__max_steps=4,
        checkpoints__every_unit="step",
        checkpoints__every=2,
        sampling__every_unit="step",
        sampling__every=2,
        sampling__prompts=[{**PROMPT, "sampler": name} for name in ("euler_ancestral", "dpmpp_2m")],
    )
    run = run_trainer(job)
    assert [event.verified for event in run.of("checkpoint")] == [True, True]
    pictures = [Image.open(run.folder.path / event.path) for event in run.of("sample")]
    assert len(pictures) >= 4 and all(picture.size == (64, 48) for picture in pictures)
    metadata = read_header(run.folder.lora_file)[1]
    assert "modelspec.prediction_type" not in metadata  # it has no word for flow
    weights = load_file(run.folder.lora_file)
    again = run_trainer(job, folder=run.folder, resume=run.folder.checkpoint(2))
    resumed = load_file(again.folder.lora_file)
    assert again.outcome.step == 4 and resumed.keys() == weights.keys()
    assert all(torch.equal(resumed[name], value) for name, value in weights.items())
