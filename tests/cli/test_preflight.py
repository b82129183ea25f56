"""What stands in the way of a run is known before anything heavy is loaded."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from core.cli.job import build_job
from core.runs import preflight as module
from core.runs.preflight import human_size, preflight


@pytest.fixture
def found(settings: list[str], tmp_path: Path) -> Any:
    """Look at the small job with some settings changed."""

    def look(*sets: str) -> module.Preflight:
        own = [part for part in settings if part != "--set"]
        return preflight(build_job("demo", [*own, *sets]).job, tmp_path / "runs" / "new")

    return look


def codes(result: module.Preflight) -> list[tuple[str, str]]:
    return [(p.code, p.severity) for p in result.problems]


def test_a_good_job(found: Any) -> None:
    result = found()
    assert codes(result) == [("captions_missing", "warning")]
    assert result.errors == []
    assert result.plan.total_steps == 4
    assert result.disk.checkpoints == 2
    assert result.disk.samples == 0


def test_a_base_model_that_will_be_fetched_is_a_warning(found: Any) -> None:
    name = "model.base=somebody/some-model"
    assert ("base_not_found", "error") in codes(found(name))
    result = found(name, "model.allow_download=true")
    assert ("base_will_be_downloaded", "warning") in codes(result)
    assert result.errors == []
    assert result.base is None
    # The pictures are looked at all the same.
    assert len(result.plan.items) == 5


def test_a_missing_file_is_not_fetched(found: Any, tmp_path: Path) -> None:
    missing = tmp_path / "none.safetensors"
    result = found(f"model.base={missing}", "model.allow_download=true")
    assert [p.setting for p in result.errors] == ["model.base"]


def test_a_missing_vae(found: Any) -> None:
    result = found("model.vae=none.safetensors")
    assert [(p.code, p.setting) for p in result.errors] == [("vae_not_found", "model.vae")]


def test_a_vae_that_is_none(found: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.safetensors"
    page.write_text("<!DOCTYPE html><html>please log in</html>")
    lora = tmp_path / "lora.safetensors"
    save_file({"a.lora_down.weight": torch.zeros(2, 2)}, lora)
    for file, code in [
        (page, "base_html"),
        (lora, "vae_unsuitable"),
        (tmp_path, "base_incomplete"),
    ]:
        result = found(f"model.vae={file}")
        assert [(p.code, p.setting) for p in result.errors] == [(code, "model.vae")]


def test_a_vae_in_each_of_its_forms(found: Any, base_model: Path, tmp_path: Path) -> None:
    alone = tmp_path / "vae.safetensors"
    save_file({"decoder.conv_in.weight": torch.zeros(2, 2)}, alone)
    for choice in (alone, base_model, base_model / "vae"):
        assert found(f"model.vae={choice}").errors == []


def test_settings_that_the_base_model_cannot_follow_are_told_together(found: Any) -> None:
    result = found("model.zero_terminal_snr=on", "model.clip_skip=11")
    assert [(p.code, p.setting) for p in result.errors] == [
        ("ztsnr_needs_v_prediction", "model.zero_terminal_snr"),
        ("clip_skip_too_large", "model.clip_skip"),
    ]
    assert found("model.zero_terminal_snr=on", "model.prediction_type=v_prediction").errors == []
    assert found("model.clip_skip=1").errors == []


def test_an_output_that_cannot_be_written(
    found: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "file").touch()
    for name in ("folder.safetensors", "file/lora.safetensors"):
        result = found(f"model.output={tmp_path / name}")
        assert [(p.code, p.setting) for p in result.errors] == [
            ("output_unwritable", "model.output")
        ]
    good = f"model.output={tmp_path / 'new' / 'lora.safetensors'}"
    assert codes(found(good)) == [("captions_missing", "warning")]
    monkeypatch.setattr(module.os, "access", lambda *_: False)
    assert ("output_unwritable", "warning") in codes(found(good))


def test_base_and_pictures_are_told_together(found: Any, tmp_path: Path) -> None:
    result = found(f"model.base={tmp_path / 'a'}", f"concepts.0.path={tmp_path / 'b'}")
    assert {p.setting for p in result.errors} == {"model.base", "concepts.0.path"}


def test_little_space_is_a_warning(found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    asked: list[Path] = []

    def nearly_full(folder: Path) -> Any:
        asked.append(folder)
        return usage(100, 90, 10)

    monkeypatch.setattr(module.shutil, "disk_usage", nearly_full)
    result = found()
    assert ("disk_space_low", "warning") in codes(result)
    assert asked[0].exists()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("checkpoints.every_unit=never", 1),
        ("checkpoints.every=3", 2),
        ("checkpoints.every=1", 4),
        ("checkpoints.every_unit=minute", 0),
    ],
)
def test_checkpoints_are_counted_ahead(change: str, expected: int, found: Any) -> None:
    assert found(change).disk.checkpoints == expected


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1500, "1.5 kB"),
        (18_400_000, "18 MB"),
        (2.5e9, "2.5 GB"),
    ],
)
def test_sizes_are_for_people(count: float, shown: str) -> None:
    assert human_size(count) == shown
