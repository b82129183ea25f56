"""The full SD 1.5 topology loads from a folder and from one original file, with equal results."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch

from tests.families.fullsize import full_size_sd15, full_size_single_file
from tests.families.loading import load


def results(path: Path) -> tuple:
    """Identity, prompt embeddings, prediction and latents of a model; frees it."""
    model = load(path, dtype=torch.bfloat16)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        text = model.encode_tokens(model.tokenize(["a photo of a cat"]))
        noisy = torch.randn((1, 4, 8, 8), generator=generator)
        out = model.predict(noisy, torch.tensor([500]), text)
        latents = model.encode_pixels(torch.rand((1, 3, 64, 64), generator=generator) * 2 - 1)
    assert model.file.bucket_step == 64 and model.file.default_resolution == 512
    assert model.token_count("a photo of a cat") == 5
    return dict(model.identity), text, out, latents


@pytest.mark.slow
def test_folder_and_single_file_give_the_same(tmp_path):
    folder = full_size_sd15(tmp_path / "folder")
    path = full_size_single_file(folder, tmp_path / "model.safetensors")
    try:
        gc.collect()
        first = results(folder)
        gc.collect()
        second = results(path)
    finally:
        # 4 GB that pytest would keep for the next three runs.
        path.unlink()
        for file in folder.rglob("*.safetensors"):
            file.unlink()
    assert first[0] == second[0]
    for one, other in zip(first[1:], second[1:], strict=True):
        assert torch.equal(one, other)
        assert one.isfinite().all() and one.std() > 1e-3
