"""Where the finished LoRA goes besides the run's folder, and what its file tells."""

from __future__ import annotations

import json

import pytest


def test_the_output_is_written_and_never_over_another_file(make_job, run_trainer, tmp_path) -> None:
    output = tmp_path / "out" / "my lora.safetensors"
    output.parent.mkdir()
    output.write_bytes(b"somebody's older LoRA")
    job = make_job(model__output=str(output), training__max_steps=2)
    run = run_trainer(job)
    assert run.outcome.output == output
    assert output.read_bytes() == run.folder.lora_file.read_bytes()
    others = [p for p in output.parent.iterdir() if p != output]
    assert [p.read_bytes() for p in others] == [b"somebody's older LoRA"]
    assert "output_moved_aside" in [w.code for w in run.of("warning")]


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
