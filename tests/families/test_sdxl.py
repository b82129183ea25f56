"""Stable Diffusion XL: recognised, loaded, conditioned and sampled as diffusers' pipeline does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.config.lora import Lora
from core.errors import UserError
from core.families import ldm_keys
from core.families.base import Frame
from core.families.detect import detect
from core.families.layers import encoded_shape, layers_of, lora_weights
from core.families.registry import family
from core.families.sdxl import INFO, told_of_pictures
from core.lora.keys import key_table
from core.lora.readers import unread_by
from core.lora.targets import target_modules, targets_of
from core.paths import resources_dir
from core.sampling.engine import draw
from core.sampling.genspec import GenSpec
from tests.families.loading import load

CPU = torch.device("cpu")
UNET, VAE = "model.diffusion_model.", "first_stage_model."
SMALL, LARGE = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."
PROMPTS = ["a red circle on a blue background", "", "It's a Robot!"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SDXL model in diffusers format; not to be changed."""
    return family("sdxl").build_tiny(tmp_path_factory.mktemp("tiny") / "xl", 3)


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return load(folder)


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Any:
    from diffusers import StableDiffusionXLPipeline

    found = StableDiffusionXLPipeline.from_pretrained(folder, local_files_only=True)
    found.set_progress_bar_config(disable=True)
    return found


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_folder_is_recognised_with_its_own_size(folder: Path, model: Any) -> None:
    found = detect(str(folder))
    assert (found.family, found.layout, found.known_by) == ("sdxl", "diffusers", "config")
    assert (found.default_resolution, found.bucket_step) == (64, 8)
    assert list(model.parts) == ["unet", "text_encoder", "text_encoder_2", "vae"]
    assert (model.latent_channels, model.latent_scale) == (4, 8)
    assert model.parts["vae"].config.scaling_factor == 0.13025


@pytest.mark.parametrize("skip", [0, 1])
def test_conditioning_equals_the_pipelines(folder: Path, pipeline: Any, skip: int) -> None:
    with torch.no_grad():
        ours = load(folder, clip_skip=skip).text.encode(PROMPTS)
        theirs, _, pooled, _ = pipeline.encode_prompt(
            PROMPTS, device=CPU, do_classifier_free_guidance=False, clip_skip=skip or None
        )
    assert torch.equal(ours["embeddings"], theirs) and torch.equal(ours["pooled"], pooled)


def test_skipping_leaves_a_layer_to_read(folder: Path) -> None:
    with pytest.raises(UserError) as caught:
        load(folder, clip_skip=2)
    assert caught.value.problem.code == "clip_skip_too_large"
    assert "first text encoder has only 3 layers" in caught.value.problem.title


def test_long_captions_are_read_whole_and_pooled_by_their_first_chunk(model: Any) -> None:
    long = " ".join(["red robot"] * 60)
    assert model.text.length(long) == 2 * 77 and model.text.length("a") == 77
    with torch.no_grad():
        both = model.text.encode([long, "a cat"])
        first = model.text.encode([" ".join(["red robot"] * 37 + ["red"]), "a cat"])
    assert both["embeddings"].shape == (2, 2 * 77, 32 + 24)
    assert torch.allclose(both["pooled"], first["pooled"], atol=1e-5)
    assert torch.allclose(both["embeddings"][:, :77], first["embeddings"], atol=1e-5)


def test_what_is_told_of_pictures_puts_heights_first() -> None:
    frames = [Frame((400, 100), (60, 0), (50, 40)), Frame.whole((64, 48))]
    told = told_of_pictures({"pooled": torch.ones(2, 16)}, frames)
    assert told["time_ids"].tolist() == [[100, 400, 0, 60, 40, 50], [48, 64, 0, 0, 48, 64]]
    assert told["text_embeds"].shape == (2, 16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_predictions_equal_the_networks(folder: Path, dtype: torch.dtype) -> None:
    model = load(folder, dtype=dtype)
    noisy, times = noise(2, 4, 8, 8), torch.tensor([3, 700])
    text = {"embeddings": noise(2, 77, 56).to(dtype), "pooled": noise(2, 16).to(dtype)}
    # bfloat16 knows no 1023: sizes must reach the network in float32.
    frames = [Frame((1023, 769), (3, 1), (64, 64))] * 2
    ids = torch.tensor([[769.0, 1023, 1, 3, 64, 64]] * 2)
    unet = model.parts["unet"]
    with torch.no_grad():
        expected = unet(
            noisy.to(dtype),
            times,
            text["embeddings"],
            added_cond_kwargs={"text_embeds": text["pooled"], "time_ids": ids},
        ).sample
        got = model.predict(noisy, times, text, frames)
        other = model.predict(noisy, times, text, [Frame((1024, 769), (3, 1), (64, 64))] * 2)
    assert torch.equal(got, expected.float()) and not torch.equal(got, other)


SPEC = GenSpec(
    prompt="a red circle", negative="blue", seed=5, steps=8, cfg=6.0, width=64, height=48
)


@pytest.mark.parametrize(
    ("sampler", "prediction", "zero_snr"),
    [
        ("euler", "epsilon", False),
        ("dpmpp_2m", "epsilon", False),
        ("euler", "v_prediction", False),
        ("euler", "v_prediction", True),
    ],
)
def test_samples_equal_the_pipelines(
    folder: Path, pipeline: Any, sampler: str, prediction: str, zero_snr: bool
) -> None:
    from diffusers import DPMSolverMultistepScheduler, EulerDiscreteScheduler

    kinds = {"euler": EulerDiscreteScheduler, "dpmpp_2m": DPMSolverMultistepScheduler}
    pipeline.scheduler = kinds[sampler].from_config(
        dict(pipeline.scheduler.config) | {"timestep_spacing": "trailing"},
        prediction_type=prediction,
        rescale_betas_zero_snr=zero_snr,
    )
    pipeline.scheduler.set_timesteps(SPEC.steps)
    latents = noise(1, 4, 6, 8, seed=SPEC.seed)
    most = float(pipeline.scheduler.init_noise_sigma)
    if sampler == "euler":
        # This scheduler starts at sigma; full noise is sqrt(1 + sigma^2) wide.
        latents = latents * (1 + most**2) ** 0.5 / most
    expected = pipeline(
        SPEC.prompt,
        negative_prompt=SPEC.negative,
        num_inference_steps=SPEC.steps,
        guidance_scale=SPEC.cfg,
        width=64,
        height=48,
        latents=latents,
        output_type="np",
    ).images[0]
    model = load(folder, prediction_type=prediction, zero_terminal_snr=zero_snr)
    recipe = SPEC.model_copy(update={"sampler": sampler, "schedule": "simple"})
    drawn = np.asarray(draw(model, recipe, default_size=64, device=CPU)).astype("float64")
    assert expected.std() * 255 > 5
    assert np.abs(drawn - expected * 255).max() < 0.5 + 0.1


def original(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a diffusers folder under the names of single files."""
    found: dict[str, torch.Tensor] = {}
    for name, tensor in load_file(folder / "unet/diffusion_pytorch_model.safetensors").items():
        found[UNET + ldm_keys.unet_key(name, 1, frozenset({1}))] = tensor
    for name, tensor in load_file(folder / "vae/diffusion_pytorch_model.safetensors").items():
        found[VAE + ldm_keys.vae_key(name, 4)] = tensor
    for name, tensor in load_file(folder / "text_encoder/model.safetensors").items():
        found[f"{SMALL}text_model.{name.removeprefix('text_model.')}"] = tensor
    large = {
        name.removeprefix("text_model."): tensor
        for name, tensor in load_file(folder / "text_encoder_2/model.safetensors").items()
    }
    found[f"{LARGE}text_projection"] = large.pop("text_projection.weight").T.contiguous()
    found[f"{LARGE}logit_scale"] = torch.tensor(4.6)
    found[f"{LARGE}token_embedding.weight"] = large.pop("embeddings.token_embedding.weight")
    found[f"{LARGE}positional_embedding"] = large.pop("embeddings.position_embedding.weight")
    renamed = (("layer_norm", "ln_"), ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"))
    for number in range(3):
        own, theirs = f"encoder.layers.{number}.", f"{LARGE}transformer.resblocks.{number}."
        for leaf in ("weight", "bias"):
            parts = [large.pop(f"{own}self_attn.{one}_proj.{leaf}") for one in "qkv"]
            found[f"{theirs}attn.in_proj_{leaf}"] = torch.cat(parts)
            found[f"{theirs}attn.out_proj.{leaf}"] = large.pop(f"{own}self_attn.out_proj.{leaf}")
        for name in [name for name in large if name.startswith(own)]:
            short = name.removeprefix(own)
            for mine, other in renamed:
                short = short.replace(mine, other)
            found[theirs + short] = large.pop(name)
    for leaf in ("weight", "bias"):
        found[f"{LARGE}ln_final.{leaf}"] = large.pop(f"final_layer_norm.{leaf}")
    assert not large
    return found


@pytest.fixture
def single_file(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model as one file in original naming, its settings as the bundled ones."""
    resources = tmp_path / "resources"
    shutil.copytree(folder, resources / "models" / "sdxl")
    shutil.copytree(folder / "tokenizer", resources / "models" / "sd15" / "tokenizer")
    monkeypatch.setattr("core.families.sources.resources_dir", lambda: resources)
    monkeypatch.setattr("core.families.kinds.attention_width", lambda shapes: 2048)
    monkeypatch.setattr("core.families.sdxl._DEEPEST", f"{UNET}middle_block.1.")
    save_file(original(folder), tmp_path / "xl.safetensors")
    return tmp_path / "xl.safetensors"


def test_a_single_file_loads_like_the_folder(single_file: Path, folder: Path, model: Any) -> None:
    found = detect(str(single_file))
    assert (found.family, found.layout, found.default_resolution) == ("sdxl", "single_file", 1024)
    one = load(single_file)
    assert one.identity == model.identity
    noisy, times = noise(1, 4, 8, 8), torch.tensor([400])
    with torch.no_grad():
        texts = [which.text.encode(PROMPTS[:1]) for which in (one, model)]
        assert all(torch.equal(texts[0][name], texts[1][name]) for name in texts[0])
        frames = [Frame.whole((64, 64))]
        results = [which.predict(noisy, times, texts[0], frames) for which in (one, model)]
    assert torch.equal(*results)


def test_estimates_read_the_same_of_either_layout(single_file: Path, folder: Path) -> None:
    """A single file is told from its header alone, fused matrices and all."""
    one, other = detect(str(single_file)), detect(str(folder))
    for targets in ("attention", "attention_ff", "all"):
        lora = Lora(targets=targets, text_encoder=True, rank=3)
        assert lora_weights(lora, one) == lora_weights(lora, other) > 0
    shape = encoded_shape(layers_of(one, ("text", "vae")))
    assert shape == encoded_shape(layers_of(other, ("text", "vae")))
    assert shape.text_width == 32 + 24


SINGLE = {
    f"{UNET}input_blocks.0.0.weight": (2, 4, 1, 1),
    f"{UNET}input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (2, 2048),
    f"{UNET}middle_block.1.transformer_blocks.9.norm1.weight": (2,),
    f"{SMALL}text_model.final_layer_norm.weight": (2,),
    f"{LARGE}ln_final.weight": (2,),
}


def test_whole_checkpoints_alone_are_sdxl() -> None:
    sdxl, sd15 = family("sdxl"), family("sd15")
    assert sdxl.matches(SINGLE) and not sd15.matches(SINGLE)
    for lacking in SINGLE:
        assert not sdxl.matches({n: s for n, s in SINGLE.items() if n != lacking}), lacking


def test_the_refiner_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    index = json.loads((copy / "model_index.json").read_text())
    index |= {"text_encoder": [None, None], "requires_aesthetics_score": True}
    index["_class_name"] = "StableDiffusionXLImg2ImgPipeline"
    (copy / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(UserError) as caught:
        detect(str(copy))
    assert caught.value.problem.code == "base_other_family"
    assert "refiner" in caught.value.problem.title


def empty(part: str) -> torch.nn.Module:
    """A real-size part without memory for its weights."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = json.loads((resources_dir() / "models/sdxl" / part / "config.json").read_text())
    with torch.device("meta"):
        if part == "unet":
            return UNet2DConditionModel.from_config(config)
        kind = CLIPTextModelWithProjection if part == "text_encoder_2" else CLIPTextModel
        return kind(CLIPTextConfig(**config))


def test_the_real_networks_have_the_real_numbers_of_layers() -> None:
    parts = {part.name: empty(part.name) for part in INFO.of("denoiser", "text")}
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    assert count["unet"] == 2_567_463_684 and count["text_encoder_2"] == 694_659_840
    unet = INFO.part("unet")
    assert len(target_modules(unet, parts["unet"], "attention")) == 560
    found = {
        part.name: target_modules(part, parts[part.name], "all")
        for part in INFO.parts
        if part.lora_prefix
    }
    assert [len(found[name]) for name in ("text_encoder", "text_encoder_2")] == [72, 192]
    table = key_table(found, INFO)
    assert unread_by(table) == {}
    assert sum(key.startswith("lora_te2_text_model_encoder_layers_31_") for key in table) == 6


def test_every_lora_target_loads_in_diffusers(model: Any, folder: Path, tmp_path: Path) -> None:
    """A LoRA on each target, under the keys of its files, arrives with the right weights."""
    from diffusers import StableDiffusionXLPipeline

    generator = torch.Generator().manual_seed(0)
    stored, wanted = {}, {}
    targets = targets_of(model, Lora(targets="all", text_encoder=True))
    for key, (part, name) in key_table(targets, INFO).items():
        weight = model.parts[part.name].get_submodule(name).weight
        down = torch.randn((4, *weight.shape[1:]), generator=generator)
        up = torch.randn((weight.shape[0], 4, *[1] * (weight.ndim - 2)), generator=generator)
        stored |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}
        stored[f"{key}.alpha"] = torch.tensor(2.0)
        delta = up.flatten(1) @ down.flatten(1) * (2.0 / 4)
        wanted[part.name, name] = delta.reshape(weight.shape)
    save_file(stored, tmp_path / "lora.safetensors")
    pipeline = StableDiffusionXLPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.load_lora_weights(tmp_path / "lora.safetensors", use_safetensors=True)
    for (part, name), delta in wanted.items():
        layer = getattr(pipeline, part).get_submodule(name)
        assert torch.allclose(layer.get_delta_weight("default_0"), delta, atol=1e-5), (part, name)
