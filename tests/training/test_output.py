"""Where the finished LoRA goes besides the run's folder, and what its file tells."""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from core.errors import UserError
from core.lora.file import read_header


def test_a_file_that_is_not_ours_stays_where_it_is(make_job, run_trainer, tmp_path) -> None:
    """Another program's LoRA, a damaged file and a pipe that would be waited for without end."""
    output = tmp_path / "out" / "my lora.safetensors"
    output.parent.mkdir()
    foreign = {"lora_unet_x.lora_down.weight": torch.ones(1, 2)}
    save_file(foreign, output, metadata={"ss_output_name": "theirs"})
    before = output.read_bytes()
    job = make_job(model__output=str(output), training__max_steps=1)
    run = run_trainer(job)
    assert run.outcome.status == "finished" and run.outcome.output is None
    assert output.read_bytes() == before and list(output.parent.iterdir()) == [output]
    assert [w.code for w in run.of("warning")] == ["output_foreign"]
    output.unlink()
    if hasattr(os, "mkfifo"):
        os.mkfifo(output)
        again = run_trainer(job, folder=run.folder, resume=run.folder.checkpoint(1))
        assert again.outcome.status == "finished" and stat.S_ISFIFO(output.stat().st_mode)
        assert [w.code for w in again.of("warning")] == ["output_foreign"]


def test_an_output_in_the_place_of_the_base_model_is_refused_before_anything_is_loaded(
    make_job, run_trainer, tiny_model: Path
) -> None:
    weights = tiny_model / "unet" / "diffusion_pytorch_model.safetensors"
    before = weights.read_bytes()
    with pytest.raises(UserError) as caught:
        run_trainer(make_job(model__output=str(weights), training__max_steps=1))
    assert caught.value.problem.code == "output_taken"
    assert weights.read_bytes() == before


def test_only_the_run_itself_replaces_its_output(make_job, run_trainer, tmp_path) -> None:
    from core.runs.folder import create

    job = make_job(model__output=str(tmp_path / "given" / "x.safetensors"), training__max_steps=2)
    first = run_trainer(job, folder=create(job, tmp_path, tmp_path / "a" / "out"))
    again = run_trainer(job, folder=first.folder, resume=first.folder.checkpoint(2))
    assert again.of("warning") == []
    assert len(list((tmp_path / "given").iterdir())) == 1
    other = run_trainer(job, folder=create(job, tmp_path, tmp_path / "b" / "out"))
    assert [w.code for w in other.of("warning")] == ["output_moved_aside"]
    assert len(list((tmp_path / "given").iterdir())) == 2


@pytest.mark.parametrize("output", ["file/x.safetensors", "folder.safetensors"])
def test_an_output_that_cannot_be_written_is_a_warning(
    make_job, run_trainer, tmp_path, output: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder.safetensors").mkdir()
    job = make_job(model__output=str(tmp_path / output), training__max_steps=1)
    run = run_trainer(job)
    assert run.outcome.status == "finished" and run.outcome.lora is not None
    assert "output_unwritable" in [w.code for w in run.of("warning")]
    assert (tmp_path / "folder.safetensors").is_dir()


def test_a_file_that_is_damaged_after_it_was_looked_at_fails_nothing(
    make_job, run_trainer, tmp_path, monkeypatch
) -> None:
    from core.training import saving

    output = tmp_path / "x.safetensors"
    output.write_bytes(b"\xff" * 64)
    monkeypatch.setattr(saving, "is_lora_of_ours", lambda path: True)
    run = run_trainer(make_job(model__output=str(output), training__max_steps=1))
    assert run.outcome.status == "finished" and run.outcome.output is None
    assert "output_unwritable" in [w.code for w in run.of("warning")]
    assert output.read_bytes() == b"\xff" * 64


def test_metadata_tells_what_other_programs_look_for(make_job, run_trainer) -> None:
    from core.lora.file import lora_info

    job = make_job(training__max_steps=2, concepts__0__prompt__trigger="zxc", name="my LoRA")
    run = run_trainer(job)
    info = lora_info(run.folder.lora_file)
    found = info.metadata
    assert found["modelspec.architecture"] == "stable-diffusion-v1/lora"
    assert found["modelspec.trigger_phrase"] == "zxc" and found["modelspec.title"] == "my LoRA"
    assert found["ss_network_dim"] == "4" and found["ss_steps"] == "2"
    buckets = json.loads(found["ss_bucket_info"])["buckets"]
    assert sum(b["count"] for b in buckets.values()) == 7
    assert set(info.modules) == {"lora_unet", "lora_te"}


def test_metadata_tells_what_was_really_done(make_job, run_trainer, pictures: Path) -> None:
    """The job says 50 epochs, but only 6 steps are made."""
    job = make_job(
        training__max_steps=6,
        training__epochs=50,
        lora__targets="all",
        training__text_encoder_learning_rate=2e-4,
        checkpoints__every_unit="step",
        checkpoints__every=1,
    )
    run = run_trainer(job)
    events = run.of("step")
    ends = [header(run.folder.checkpoint(step)) for step in range(1, 7)]
    # The epoch that a step belongs to, counted from 1.
    assert [m["ss_epoch"] for m in ends] == [str(math.ceil(round(e.epoch, 6))) for e in events]
    found = ends[-1]
    assert {m["ss_num_epochs"] for m in ends} == {found["ss_epoch"]}
    assert found["ss_mixed_precision"] == "no"
    assert (found["ss_unet_lr"], found["ss_text_encoder_lr"]) == ("0.001", "0.0002")
    assert json.loads(found["ss_network_args"]) == {"conv_dim": "4", "conv_alpha": "4.0"}
    tags = json.loads(found["ss_tag_frequency"])
    assert tags == {pictures.name: {"a drawing": 7} | {f"thing {n}": 1 for n in range(7)}}
    assert json.loads(found["ss_dataset_dirs"]) == {pictures.name: {"n_repeats": 1, "img_count": 7}}


def header(checkpoint: Path) -> dict[str, str]:
    return read_header(checkpoint / "lora.safetensors")[1]


def test_captions_and_folder_names_stay_private_where_that_is_wished(
    make_job, run_trainer, pictures: Path
) -> None:
    job = make_job(training__max_steps=1, checkpoints__tell_captions=False)
    raw = run_trainer(job).folder.lora_file.read_bytes()
    assert pictures.name.encode() not in raw and b"a drawing" not in raw


def test_the_rate_that_prodigy_found_is_told(make_job, run_trainer) -> None:
    job = make_job(
        training__max_steps=3,
        training__optimizer="prodigy",
        training__learning_rate=1.0,
        training__prodigy__d0=1e-5,
        training__scheduler="constant",
        lora__text_encoder=False,
    )
    run = run_trainer(job)
    told = float(read_header(run.folder.lora_file)[1]["ss_learning_rate"])
    assert told == pytest.approx(run.of("step")[-1].lr["unet"], rel=1e-6) and told < 0.1


def test_words_of_prior_concepts_are_not_the_loras(make_job, run_trainer) -> None:
    job = make_job(training__max_steps=1, concepts__0__prompt__trigger="zxc")
    prior = job.concepts[0].model_copy(deep=True)
    prior.kind, prior.prompt.trigger = "prior", "a person"
    job.concepts.append(prior)
    found = read_header(run_trainer(job).folder.lora_file)[1]
    assert found["modelspec.trigger_phrase"] == "zxc"
    assert found["ss_num_reg_images"] == "7"
    assert "a person" not in found["ss_tag_frequency"]
    assert len(json.loads(found["ss_reg_dataset_dirs"])) == 1
