"""Where the finished LoRA goes besides the run's folder, and what its file tells."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from core.errors import UserError


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


@pytest.mark.parametrize(
    "output", ["file/x.safetensors", "folder.safetensors", "x" * 300 + ".safetensors"]
)
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
