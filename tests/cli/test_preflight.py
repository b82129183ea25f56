"""What stands in the way of a run is known before anything heavy is loaded."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from core.cli.check import check_target
from core.cli.job import build_job
from core.data.plan import NAMED_AT_MOST
from core.data.tokens import count_tokens
from core.errors import Problem
from core.runs import preflight as module
from core.runs.preflight import preflight
from core.runs.units import human_size


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


def test_a_prediction_type_that_contradicts_the_model_is_questioned(found: Any) -> None:
    result = found("model.prediction_type=v_prediction")
    (doubt,) = [p for p in result.problems if p.setting == "model.prediction_type"]
    assert doubt.severity == "warning"
    assert "set to v-prediction" in doubt.title and "predicts epsilon" in doubt.title
    for agreed in ("auto", "epsilon"):
        result = found(f"model.prediction_type={agreed}")
        assert all(p.setting != "model.prediction_type" for p in result.problems)


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
    monkeypatch.setattr(os, "access", lambda *_: False)
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


def drawn(path: Path, seed: int, size: int = 64) -> Path:
    """A picture of coloured noise, enlarged so that it has shapes."""
    generator = random.Random(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.frombytes("RGB", (4, 4), bytes(generator.randrange(256) for _ in range(48)))
    image.resize((size, size), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder with everything that pre-flight has something to say about."""
    folder = tmp_path / "mixed"
    for number in range(4):
        drawn(folder / f"{number}.png", number).with_suffix(".txt").write_text("a thing, red")
    drawn(folder / "small.png", 8, size=16).with_suffix(".txt").write_text("small thing")
    drawn(folder / "long.png", 9).with_suffix(".txt").write_text("very " * 100)
    drawn(folder / "bare.png", 10)
    shutil.copy(folder / "0.png", folder / "copy.png")
    Image.open(folder / "1.png").resize((128, 128)).save(folder / "again.jpg", quality=95)
    whole = drawn(folder / "cut.png", 11).read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "page.png").write_text("<html>log in</html>")
    return folder


def of_code(result: module.Preflight, code: str) -> list[Problem]:
    return [problem for problem in result.problems if problem.code == code]


def test_everything_is_told_with_its_place(settings: list[str], mixed: Path) -> None:
    own = [part for part in settings if part != "--set"]
    job = build_job("demo", [*own, f"concepts.0.path={mixed}"]).job
    phases: list[str] = []
    parts: list[module.Preflight] = []
    result = preflight(job, duplicates=True, phase=phases.append, partly=parts.append)
    assert phases == ["pictures", "captions", "duplicates"]
    assert [len(part.concepts) for part in parts] == [0, 1]
    assert result.errors == []
    (report,) = result.concepts
    # What cannot be decoded will not be trained, so it does not count.
    assert (report.summary.pictures, report.summary.skipped) == (9, 2)
    assert result.plan is not None and len(result.plan.items) == 9
    assert parts[-1].plan is not None and len(parts[-1].plan.items) == 10
    assert report.statistics.pictures == 9
    assert (report.duplicates_exact, report.duplicates_near, report.undecodable) == (2, 2, 1)
    assert report.statistics.captions_long == 1
    for code, name in (
        ("captions_missing", "again.jpg"),
        ("captions_long", "long.png"),
        ("pictures_upscaled", "small.png"),
        ("duplicates_exact", "copy.png"),
        ("duplicates_near", "1.png"),
    ):
        (problem,) = of_code(result, code)
        assert (problem.severity, Path(problem.file).name) == ("warning", name), code
        assert problem.setting.startswith("concepts.0."), code
    assert of_code(result, "captions_missing")[0].title.startswith("3 of 9 pictures")
    assert of_code(result, "pictures_upscaled")[0].title.startswith("1 of 9 pictures")
    assert all(problem.setting for problem in result.problems)  # each leads somewhere
    assert {Path(p.file).name for p in of_code(result, "picture_unreadable")} == {
        "cut.png",
        "page.png",
    }


def test_masks_are_decoded_with_the_pictures(settings: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "masked"
    for number in range(6):
        drawn(folder / f"{number}.png", number).with_suffix(".txt").write_text("a thing")
    half = Image.linear_gradient("L").resize((64, 64))
    half.save(folder / "0-masklabel.png")
    data = (folder / "0-masklabel.png").read_bytes()
    (folder / "1-masklabel.png").write_bytes(data[: len(data) // 2])
    Image.new("L", (64, 64), 0).save(folder / "2-masklabel.png")
    # White only where the crop never reaches.
    Image.new("RGB", (640, 80), "red").save(folder / "3.png")
    edge = Image.new("L", (640, 80), 0)
    edge.paste(255, (0, 0, 8, 80))
    edge.save(folder / "3-masklabel.png")
    own = [part for part in settings if part != "--set"]
    own += [f"concepts.0.path={folder}", "concepts.0.mask.source=file"]

    def left_out(*more: str) -> dict[str, str]:
        result = preflight(build_job("demo", [*own, *more]).job, duplicates=True)
        assert result.plan is not None
        codes = ("mask_unreadable", "mask_black")
        found = {p.title.split()[0]: p.code for p in result.problems if p.code in codes}
        assert len({item.path for item in result.plan.items}) == 6 - len(found)
        assert result.concepts[0].undecodable == result.concepts[0].summary.skipped == len(found)
        return found

    damaged = {"1.png": "mask_unreadable"}
    black = {"2.png": "mask_black", "3.png": "mask_black"}
    assert left_out() == {**damaged, **black}
    assert left_out("training.more_resolutions=96") == {**damaged, **black}
    assert left_out("concepts.0.mask.outside=0.1") == damaged
    # Prepared versions are known; those of each step may show what is white.
    assert left_out("concepts.0.image.flip=0.5") == {**damaged, **black}
    anew = ("concepts.0.image.crop_jitter=0.5", "concepts.0.image.caching=off")
    assert left_out(*anew) == {**damaged, "2.png": "mask_black"}


def test_transparency_that_leaves_nothing_is_told(settings: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "transparent"
    for number in range(4):
        drawn(folder / f"{number}.png", number).with_suffix(".txt").write_text("a thing")
    for name, opaque in (("0.png", (0, 0, 0, 0)), ("1.png", (0, 0, 9, 9))):
        picture = Image.open(folder / name).convert("RGBA")
        alpha = Image.new("L", picture.size, 0)
        alpha.paste(255, opaque)
        picture.putalpha(alpha)
        picture.save(folder / name)
    own = [part for part in settings if part != "--set"]
    own += [f"concepts.0.path={folder}", "concepts.0.mask.source=alpha"]

    def trained(*more: str) -> set[str]:
        result = preflight(build_job("demo", [*own, *more]).job, duplicates=True)
        assert result.plan is not None
        names = {item.path.name for item in result.plan.items}
        assert len(of_code(result, "mask_black")) == 4 - len(names)
        return names

    assert trained() == {"1.png", "2.png", "3.png"}
    assert len(trained("concepts.0.mask.outside=0.1")) == 4


def test_the_base_models_own_tokenizer_counts(settings: list[str], mixed: Path) -> None:
    own = [part for part in settings if part != "--set"]
    job = build_job("demo", [*own, f"concepts.0.path={mixed}", "concepts.0.prompt.trigger="]).job
    result = preflight(job)
    assert result.base is not None
    (tokens,) = count_tokens(["very " * 100], result.base.path / "tokenizer")
    (problem,) = of_code(result, "captions_long")
    assert tokens != count_tokens(["very " * 100])[0]
    assert f"({tokens})" in problem.title


def test_duplicates_are_looked_for_where_it_is_worth_it(settings: list[str], mixed: Path) -> None:
    own = [part for part in settings if part != "--set"]
    job = build_job("demo", [*own, f"concepts.0.path={mixed}"]).job
    assert preflight(job).duplicates is None
    assert preflight(job, duplicates=9).duplicates is None
    assert preflight(job, duplicates=10).duplicates is not None


def test_validation_pictures_that_are_trained_on(
    settings: list[str], pictures: Path, tmp_path: Path
) -> None:
    copies = tmp_path / "copies"
    shutil.copytree(pictures, copies)
    own = [part for part in settings if part != "--set"]
    own += ["concepts.1.enabled=true", "concepts.1.kind=validation"]
    result = preflight(build_job("demo", [*own, f"concepts.1.path={copies}"]).job, duplicates=True)
    leaks = of_code(result, "validation_copied")
    assert {Path(problem.file).name for problem in leaks} == {f"{n}.png" for n in range(5)}
    assert {problem.setting for problem in leaks} == {"concepts.1.path"}
    # Of the very same files planning tells, once for all.
    same = preflight(build_job("demo", [*own, f"concepts.1.path={pictures}"]).job, duplicates=True)
    assert of_code(same, "validation_copied") == []
    assert len(of_code(same, "validation_trained")) == 1


def test_what_does_not_fit_the_run(found: Any) -> None:
    long = found("training.warmup_steps=4")
    assert ("warmup_too_long", "warning") in codes(long)
    assert ("warmup_too_long", "warning") not in codes(found("training.warmup_steps=3"))
    usual = found().base.default_resolution
    assert of_code(found(f"training.resolution={usual}"), "resolution_far") == []
    for side in (4 * usual, max(64, usual // 4)):
        if side != usual:
            (problem,) = of_code(found(f"training.resolution={side}"), "resolution_far")
            assert (problem.severity, problem.setting) == ("warning", "training.resolution")


def test_float16_without_a_gpu_is_refused(found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.runs import findings

    monkeypatch.setattr(findings, "gpu_driver_here", lambda: False)
    result = found("training.precision=float16")
    assert [(p.code, p.setting) for p in result.errors] == [
        ("precision_unavailable", "training.precision")
    ]
    monkeypatch.setattr(findings, "gpu_driver_here", lambda: True)
    assert found("training.precision=float16").errors == []


def test_too_little_memory_is_a_warning(
    settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [part for part in settings if part != "--set"]
    job = build_job("demo", own).job
    folder = tmp_path / "runs" / "2026-01-01-a"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(job.model_dump_json())
    for memory, expected in ((10_000_000, 1), (10_000_000_000, 0)):
        hello = {"type": "hello", "device": "CPU, 1 thread", "memory": memory}
        (folder / "events.jsonl").write_text(json.dumps(hello))
        assert len(of_code(preflight(job, tmp_path / "runs"), "memory_low")) == expected


def test_earlier_runs_tell_the_time(settings: list[str], tmp_path: Path) -> None:
    own = [part for part in settings if part != "--set"]
    job = build_job("demo", own).job
    assert preflight(job, tmp_path / "runs").time.total == 0
    folder = tmp_path / "runs" / "2026-01-01-a"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(job.model_dump_json())
    (folder / "events.jsonl").write_text(json.dumps({"type": "step", "step": 1, "seconds": 2.5}))
    need = preflight(job, tmp_path / "runs").time
    assert (need.training, need.exact) == (10.0, True)


def test_the_command_checks_a_plain_folder(mixed: Path, limner: Any) -> None:
    done = limner("check", str(mixed))
    assert done.returncode == 0, done.stderr
    assert "copy.png" in done.stderr
    assert "The pictures can be used;" in done.stdout
    assert "base model" not in done.stdout + done.stderr
    done = limner("check", str(mixed), "--no-duplicates", "--set", "training.resolution=64")
    assert "copy.png" not in done.stderr
    assert "--duplicates" in done.stdout
    done = limner("check", str(mixed), "--json", "--set", "training.resolution=64")
    data = json.loads(done.stdout)
    assert data["ok"]
    assert [group["exact"] for group in data["duplicates"]] == [True, False]
    assert data["statistics"][0]["tags"]["a thing"] == 4
    assert data["statistics"][0]["most_tokens"] == 100


def test_json_names_every_file_that_the_text_only_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    Image.new("RGB", (64, 64)).save(folder / "good.png")
    for number in range(NAMED_AT_MOST + 3):
        (folder / f"bad {number}.png").write_bytes(b"")
    check_target(str(folder), [], runs=None, as_json=False)
    told = capsys.readouterr().err
    assert "3 more files" in told and "limner check --json" in told
    check_target(str(folder), [], runs=None, as_json=True)
    problems = json.loads(capsys.readouterr().out)["problems"]
    bad = [p["file"] for p in problems if p["code"] == "picture_unreadable"]
    assert len(bad) == len(set(bad)) == NAMED_AT_MOST + 3
    assert all(p["file"] for p in problems if p["code"] == "picture_unreadable")


def test_an_empty_folder_cannot_be_used(tmp_path: Path, limner: Any) -> None:
    (tmp_path / "empty").mkdir()
    done = limner("check", str(tmp_path / "empty"))
    assert done.returncode == 2
    assert "has no pictures" in done.stderr


def test_only_our_own_words_about_damaged_pictures_are_shown(tmp_path: Path, limner: Any) -> None:
    """Pillow warns of broken EXIF and TIFF with its own file and line."""
    folder = tmp_path / "damaged"
    folder.mkdir()
    drawn(folder / "good.png", 1)
    Image.effect_noise((90, 60), 40).save(folder / "cut.tif", compression="tiff_lzw")
    data = (folder / "cut.tif").read_bytes()
    (folder / "cut.tif").write_bytes(data[: len(data) * 2 // 3])
    done = limner("check", str(folder))
    assert done.returncode == 0 and "cut.tif cannot be used" in done.stderr
    assert "PIL" not in done.stderr and "UserWarning" not in done.stderr


@pytest.mark.parametrize(
    ("model", "setting", "words"),
    [
        ({"prediction_type": "epsilon"}, "model.prediction_type", "predicts v-prediction"),
        (
            {"prediction_type": "v_prediction", "zero_terminal_snr": "off"},
            "model.zero_terminal_snr",
            "was made with it",
        ),
        ({"prediction_type": "v_prediction"}, None, ""),
        ({}, None, ""),
    ],
)
def test_settings_that_contradict_the_model_are_told_in_footer_and_check(
    tmp_path: Path, model: dict[str, str], setting: str | None, words: str
) -> None:
    from core.config.job import Job
    from core.families.base import BaseModelFile
    from core.runs.findings import fitting_problems

    base = BaseModelFile(
        path=tmp_path / "noob.safetensors",
        family="sd15",
        layout="single_file",
        prediction_type="v_prediction",
        zero_terminal_snr=True,
        default_resolution=512,
        bucket_step=8,
    )
    problems = fitting_problems(Job.model_validate({"model": model}), base, None)
    assert [p.setting for p in problems] == ([setting] if setting else [])
    assert all(words in p.title for p in problems)


def test_another_family_than_the_models_is_refused_by_their_titles(found: Any) -> None:
    (problem,) = found("model.family=sdxl").errors
    assert (problem.code, problem.setting) == ("base_other_family", "model.family")
    assert "Stable Diffusion 1.x model" in problem.title
    assert "set to Stable Diffusion XL" in problem.title
