"""Places where the finished LoRA may and may not be put."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from core.config.job import Job
from core.runs.output import is_lora_of_ours, output_problems


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """A base model as file and as folder, a VAE and a folder of pictures."""
    made = {name: tmp_path / name for name in ("model.safetensors", "vae.safetensors")}
    for path in made.values():
        save_file({"x": torch.zeros(1)}, path)
    for name in ("diffusers/unet", "pictures/more"):
        (tmp_path / name).mkdir(parents=True)
    made |= {"diffusers": tmp_path / "diffusers", "pictures": tmp_path / "pictures"}
    return made


def codes(places: dict[str, Path], output: Path, base: str = "model.safetensors") -> list[str]:
    job = Job.model_validate(
        {
            "model": {
                "base": str(places[base]),
                "vae": str(places["vae.safetensors"]),
                "output": str(output),
            },
            "concepts": [{"path": str(places["pictures"])}],
        }
    )
    return [p.code for p in output_problems(job, None) if p.severity == "error"]


def test_what_the_run_stands_on_is_never_the_output(places: dict[str, Path]) -> None:
    folder = places["diffusers"]
    assert codes(places, places["model.safetensors"]) == ["output_taken"]
    assert codes(places, places["vae.safetensors"]) == ["output_taken"]
    assert codes(places, folder / "unet" / "new.safetensors", "diffusers") == ["output_taken"]
    assert codes(places, places["pictures"] / "more" / "new.safetensors") == ["output_taken"]
    assert codes(places, folder / "unet" / "new.safetensors") == []
    beside = folder.with_name("diffusers-lora.safetensors")
    assert codes(places, beside, "diffusers") == []


def test_links_and_roundabout_paths_lead_to_the_same_file(
    places: dict[str, Path], tmp_path: Path
) -> None:
    model = places["model.safetensors"]
    assert codes(places, tmp_path / "pictures" / ".." / model.name) == ["output_taken"]
    hard, soft = tmp_path / "hard.safetensors", tmp_path / "soft.safetensors"
    os.link(model, hard)
    soft.symlink_to(model)
    (tmp_path / "linked").symlink_to(places["diffusers"], target_is_directory=True)
    assert codes(places, hard) == ["output_taken"]
    assert codes(places, soft) == ["output_taken"]
    assert codes(places, tmp_path / "linked" / "x.safetensors", "diffusers") == ["output_taken"]


def test_only_a_lora_of_ours_gives_way(places: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / "lora.safetensors"
    assert codes(places, output) == []
    for content in (b"", b"a note", b"\xff" * 64):
        output.write_bytes(content)
        assert codes(places, output) == ["output_foreign"]
    save_file({"x": torch.zeros(1)}, output, metadata={"ss_output_name": "theirs"})
    assert codes(places, output) == ["output_foreign"]
    save_file({"x": torch.zeros(1)}, output, metadata={"limner": json.dumps({"run": "mine"})})
    assert is_lora_of_ours(output) and codes(places, output) == []
    if hasattr(os, "mkfifo"):
        output.unlink()
        os.mkfifo(output)
        assert codes(places, output) == ["output_foreign"]
