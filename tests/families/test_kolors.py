"""Kolors: recognised in its three layouts, loaded, conditioned and sampled as diffusers does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.config.lora import Lora
from core.data.tokens import tokens_of
from core.errors import UserError
from core.families.base import Frame
from core.families.detect import detect
from core.families.hub import needed_files
from core.families.kolors import INFO
from core.families.layers import encoded_shape, layers_of, lora_weights
from core.families.registry import family
from core.lora.keys import key_table
from core.lora.readers import unread_by
from core.lora.targets import target_modules
from core.paths import resources_dir
from core.sampling.engine import draw
from core.sampling.genspec import GenSpec
from tests.families.loading import load

CPU = torch.device("cpu")
PROMPTS = ["a red circle on a blue background", "", "It's a Robot!", "一只猫 " * 200]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Kolors model in diffusers format; not to be changed."""
    return family("kolors").build_tiny(tmp_path_factory.mktemp("tiny") / "kolors", 3)


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return load(folder)


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Any:
    from diffusers import KolorsPipeline

    found = KolorsPipeline.from_pretrained(folder, local_files_only=True)
    found.set_progress_bar_config(disable=True)
    return found


def test_captions_become_what_the_pipeline_makes_of_them(model: Any, pipeline: Any) -> None:
    ours = model.text.encode(PROMPTS)
    with torch.no_grad():
        theirs, _, pooled, _ = pipeline.encode_prompt(
            PROMPTS, device=CPU, do_classifier_free_guidance=False
        )
    assert ours["embeddings"].shape == (4, 256, 16) and theirs.std() > 0.5
    assert torch.equal(ours["embeddings"], theirs) and torch.equal(ours["pooled"], pooled)


def test_tokens_are_counted_alike_with_and_without_the_model(folder: Path, model: Any) -> None:
    counts = tokens_of(detect(str(folder)))(PROMPTS)
    assert counts == [model.text.count(one) for one in PROMPTS] and counts[-1] > 254
    assert INFO.tokens.rows_of(counts[-1]) == INFO.tokens.rows_of(1) == 256


def test_the_text_encoder_is_gone_before_the_unet_is_there(folder: Path) -> None:
    model = load(folder)
    unet, encoder = (model.parts[name].parameters for name in ("unet", "text_encoder"))
    assert all(one.is_meta for one in unet())
    with model.resident("text"):
        first = model.text.encode(["a red cat"])
        assert not any(one.is_meta for one in encoder())
    assert all(one.is_meta for one in (*unet(), *encoder()))
    model.place("denoiser", "vae")
    assert not any(one.is_meta for one in unet()) and all(one.is_meta for one in encoder())
    again = model.text.encode(["a blue cat", "a red cat"])
    assert all(one.is_meta for one in encoder()) and not any(one.is_meta for one in unet())
    assert torch.equal(again["embeddings"][1:], first["embeddings"])


def test_noise_and_sampling_have_eleven_hundred_timesteps(model: Any) -> None:
    assert model.process.timesteps == 1100
    assert model.process.sigmas("karras", 5, (64, 64))[0] == pytest.approx(29.06, abs=0.01)
    assert model.parts["vae"].config.scaling_factor == 0.13025


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m"])
def test_samples_equal_the_pipelines(model: Any, pipeline: Any, sampler: str) -> None:
    from diffusers import DPMSolverMultistepScheduler, EulerDiscreteScheduler

    kinds = {"euler": EulerDiscreteScheduler, "dpmpp_2m": DPMSolverMultistepScheduler}
    pipeline.scheduler = kinds[sampler].from_config(
        dict(pipeline.scheduler.config) | {"timestep_spacing": "trailing"}
    )
    spec = GenSpec(
        prompt="a red circle",
        negative="blue",
        seed=5,
        steps=11,
        cfg=6.0,
        width=64,
        height=48,
        sampler=sampler,
        schedule="simple",
    )
    pipeline.scheduler.set_timesteps(spec.steps)
    generator = torch.Generator().manual_seed(spec.seed)
    latents = torch.randn(1, 4, 6, 8, generator=generator)
    most = float(pipeline.scheduler.init_noise_sigma)
    if sampler == "euler":
        # This scheduler starts at sigma; full noise is sqrt(1 + sigma^2) wide.
        latents = latents * (1 + most**2) ** 0.5 / most
    expected = pipeline(
        spec.prompt,
        negative_prompt=spec.negative,
        num_inference_steps=spec.steps,
        guidance_scale=spec.cfg,
        width=64,
        height=48,
        latents=latents,
        output_type="np",
    ).images[0]
    drawn = np.asarray(draw(model, spec, default_size=64, device=CPU)).astype("float64")
    assert expected.std() * 255 > 5
    assert np.abs(drawn - expected * 255).max() < 2


def makers(folder: Path, to: Path) -> Path:
    """The makers' layout: SDXL's pipeline in the index, the vocabulary beside the encoder."""
    shutil.copytree(folder, to)
    index = json.loads((to / "model_index.json").read_text())
    index["_class_name"] = "StableDiffusionXLPipeline"
    (to / "model_index.json").write_text(json.dumps(index))
    (to / "tokenizer" / "tokenizer.model").rename(to / "text_encoder" / "tokenizer.model")
    shutil.rmtree(to / "tokenizer")
    return to


def _comfy(folder: Path, to: Path) -> Path:
    """ComfyUI's models folder with the text encoder as a file of its own."""
    (to / "LLM" / "checkpoints").mkdir(parents=True)
    shutil.copy(
        folder / "text_encoder" / "model.safetensors", to / "LLM/checkpoints/glm.safetensors"
    )
    shutil.copy(folder / "tokenizer" / "tokenizer.model", to / "LLM")
    return to


def comfy_folder(folder: Path, to: Path) -> Path:
    models = _comfy(folder, to / "models")
    ignored = shutil.ignore_patterns("text_encoder", "tokenizer", "vae")
    return Path(shutil.copytree(folder, models / "diffusers" / "Kolors", ignore=ignored))


def comfy_file(folder: Path, to: Path) -> Path:
    unet = _comfy(folder, to / "models") / "unet" / "kolors.safetensors"
    unet.parent.mkdir()
    shutil.copy(folder / "unet" / "diffusion_pytorch_model.safetensors", unet)
    return unet


@pytest.fixture
def bundled(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model's settings as those that come with the program."""
    resources = tmp_path / "resources"
    shutil.copytree(folder, resources / "models" / "kolors")
    monkeypatch.setattr("core.families.sources.resources_dir", lambda: resources)
    monkeypatch.setattr("core.families.kolors.resources_dir", lambda: resources)


@pytest.mark.parametrize("layout", [makers, comfy_folder, comfy_file])
def test_every_layout_loads_the_same_model(
    layout: Callable[[Path, Path], Path], bundled: None, folder: Path, model: Any, tmp_path: Path
) -> None:
    path = layout(folder, tmp_path / "other")
    base = detect(str(path))
    assert base.family == "kolors"
    other = load(path, vae=None if layout is makers else folder / "vae")
    texts = [one.text.encode(PROMPTS[:1]) for one in (model, other)]
    assert all(torch.equal(texts[0][name], texts[1][name]) for name in texts[0])
    noisy, frames = torch.ones(1, 4, 8, 8), [Frame.whole((64, 64))]
    with torch.no_grad():
        made = [
            one.predict(noisy, torch.tensor([1050]), texts[0], frames) for one in (model, other)
        ]
    assert torch.equal(*made)
    assert lora_weights(Lora(rank=3), base) == lora_weights(Lora(rank=3), detect(str(folder))) > 0
    assert encoded_shape(layers_of(base, ("text",))).text_width == 16
    assert tokens_of(base)(PROMPTS[:1]) == [8]


def test_a_model_without_a_vae_asks_for_one(bundled: None, folder: Path, tmp_path: Path) -> None:
    for layout in (comfy_folder, comfy_file):
        with pytest.raises(UserError) as caught:
            load(layout(folder, tmp_path / layout.__name__))
        assert caught.value.problem.setting == "model.vae"


def test_a_text_encoder_that_cannot_be_read_is_named_with_what_to_do(
    bundled: None, folder: Path, tmp_path: Path
) -> None:
    pickled = makers(folder, tmp_path / "pickled")
    (pickled / "text_encoder" / "model.safetensors").rename(
        pickled / "text_encoder" / "pytorch_model-00001-of-00007.bin"
    )
    unet = comfy_file(folder, tmp_path / "shrunk")
    encoder = tmp_path / "shrunk/models/LLM/checkpoints/glm.safetensors"
    tensors = load_file(encoder)
    save_file(tensors | {"encoder.layers.0.mlp.weight_scale": torch.ones(1)}, encoder)
    for path, code, said in (
        (pickled, "base_pickle", "chatglm3-fp16.safetensors"),
        (unet, "base_incomplete", "glm.safetensors is quantized"),
    ):
        with pytest.raises(UserError) as caught:
            detect(str(path))
        assert caught.value.problem.code == code and said in caught.value.problem.title
    # ComfyUI's file beside the pickles is taken.
    shutil.copy(
        folder / "text_encoder" / "model.safetensors", pickled / "text_encoder/glm.safetensors"
    )
    assert detect(str(pickled)).family == "kolors"


def test_the_vocabulary_is_fetched_with_the_rest() -> None:
    stems = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model"}
    files = [f"{folder}/{stem}.fp16.safetensors" for folder, stem in stems.items()]
    shards = [f"text_encoder/model.fp16-0000{n}-of-00002.safetensors" for n in (1, 2)]
    files += [*shards, "model_index.json", "tokenizer/tokenizer.model", "tokenizer/vocab.txt"]
    assert set(files) == set(needed_files("a/b", files))


def test_the_real_network_has_the_real_number_of_layers() -> None:
    from diffusers import UNet2DConditionModel

    config = json.loads((resources_dir() / "models/kolors/unet/config.json").read_text())
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config)
    found = target_modules(INFO.part("unet"), unet, "attention")
    assert len(found) == 560 and sum(p.numel() for p in unet.parameters()) == 2_579_458_820
    table = key_table({"unet": found}, INFO)
    assert unread_by(table) == {}
    assert "lora_unet_mid_block_attentions_0_transformer_blocks_9_attn2_to_out_0" in table
