"""The full SD 1.5 topology loads from a folder and from one original file, with equal results."""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from core.config.job import defaults, require, set_path
from core.lora.file import read_header
from core.runs.folder import create
from tests.families.fullsize import full_size_sd15, full_size_single_file
from tests.families.loading import load


def results(path: Path) -> tuple:
    """Identity, prompt embeddings, prediction and latents of a model; frees it."""
    model = load(path, dtype=torch.bfloat16)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        text = model.text.encode(["a photo of a cat"])
        noisy = torch.randn((1, 4, 8, 8), generator=generator)
        out = model.predict(noisy, torch.tensor([500]), text, [])
        latents = model.encode_pixels(torch.rand((1, 3, 64, 64), generator=generator) * 2 - 1)
    assert model.file.bucket_step == 8 and model.file.default_resolution == 512
    assert model.text.count("a photo of a cat") == 5
    return dict(model.identity), text["embeddings"], out, latents


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The full-size model as a folder and as one file."""
    root = tmp_path_factory.mktemp("full size")
    folder = full_size_sd15(root / "folder")
    path = full_size_single_file(folder, root / "model.safetensors")
    gc.collect()
    yield folder, path
    # 4 GB that pytest would keep for the next three runs.
    shutil.rmtree(root)


@pytest.mark.slow
def test_folder_and_single_file_give_the_same(models: tuple[Path, Path]) -> None:
    first = results(models[0])
    gc.collect()
    second = results(models[1])
    assert first[0] == second[0]
    for one, other in zip(first[1:], second[1:], strict=True):
        assert torch.equal(one, other)
        assert one.isfinite().all() and one.std() > 1e-3


def photographs(folder: Path) -> Path:
    """Pictures of several sizes and formats, turned, with alpha, and one that is none."""
    folder.mkdir()
    random = numpy.random.default_rng(0)
    for number, (width, height, suffix) in enumerate(
        [(400, 300, "jpg"), (300, 450, "webp"), (256, 256, "png"), (700, 280, "bmp")]
    ):
        coarse = random.integers(0, 255, (height // 16, width // 16, 3), dtype=numpy.uint8)
        image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        exif = Image.Exif()
        exif[0x0112] = 6
        if suffix == "png":
            image.putalpha(200)
        options = {"exif": exif} if suffix == "jpg" else {}
        image.save(folder / f"photo {number}.{suffix}", **options)
        (folder / f"photo {number}.txt").write_text(f"a photograph, number {number}")
    (folder / "broken.jpg").write_bytes(b"<html>not found</html>")
    return folder


@pytest.mark.slow
def test_training_the_full_size_model(models: tuple[Path, Path], tmp_path: Path) -> None:
    """A few steps at 256 px from the single file, by the real worker, within 8 GB."""
    data = defaults()
    for setting, value in {
        "model.base": str(models[1]),
        "concepts.0.path": str(photographs(tmp_path / "Fotos 写真")),
        "training.resolution": 256,
        "training.batch_size": 1,
        "training.max_steps": 2,
        "lora.rank": 4,
        "lora.alpha": 4.0,
        "lora.targets": "attention_ff",
        "sampling.every_unit": "never",
    }.items():
        data = set_path(data, setting, value)
    run = create(require(data), tmp_path / "runs")
    process = subprocess.Popen(
        [sys.executable, "-m", "core.worker", str(run.path), "--no-stdin"],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
    )
    if hasattr(os, "wait4"):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        assert peak < 8 * 2**30, f"{peak / 2**30:.1f} GiB"
    log = run.log_file.read_text(encoding="utf-8")
    assert process.wait() == 0, log[-3000:]
    events = [json.loads(line) for line in run.events_file.read_text().splitlines()]
    losses = [e["loss"] for e in events if e["type"] == "step"]
    assert len(losses) == 2 and all(0 < loss < 10 for loss in losses)
    assert [e["verified"] for e in events if e["type"] == "checkpoint"] == [True]
    skipped = [e for e in events if e.get("code") == "picture_unreadable"]
    assert len(skipped) == 1 and "broken.jpg" in skipped[0]["title"]
    names = {name.split(".")[0] for name in read_header(run.lora_file)[0]}
    attention = {n for n in names if re.search(r"attn[12]_to_(q|k|v|out_0)$", n)}
    assert len(attention) == 128 and len(names - attention) == 64
    assert "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q" in attention
    assert "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_out_0" in attention
    assert "lora_unet_up_blocks_3_attentions_2_transformer_blocks_0_ff_net_2" in names
