"""Loading, encoding and predicting with SD 1.x models, against diffusers' own pipeline."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.config.lora import Lora
from core.errors import UserError
from core.families.clip_text import chunked_ids
from core.families.clip_text import encode as clip_encode
from core.families.diffusion import with_zero_terminal_snr
from core.families.registry import family
from core.families.sd15 import INFO
from core.families.tiny import build_tokenizer, write_pipeline
from core.families.unet_parts import UNET
from core.lora.targets import target_modules, targets_of
from tests.families.fullsize import empty_network, ldm_weights
from tests.families.loading import load

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pipeline(tiny_folder):
    """diffusers' pipeline of the same tiny model."""
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline.from_pretrained(tiny_folder, local_files_only=True)


@pytest.fixture
def folder(tiny_folder, tmp_path) -> Path:
    """A copy of the tiny model that a test may change."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def refused(path: Path, **changes) -> str:
    with pytest.raises(UserError) as caught:
        load(path, **changes)
    assert caught.value.problem.title.endswith(".")
    return caught.value.problem.code


def test_weights_are_frozen_and_at_rest(tiny):
    assert list(tiny.parts) == ["unet", "text_encoder", "vae"]
    for part in tiny.parts.values():
        assert not part.training
        assert not any(weight.requires_grad for weight in part.parameters())
    assert (tiny.latent_channels, tiny.latent_scale) == (4, 8)
    assert [part.lora_prefix for part in tiny.info.parts] == ["lora_unet", "lora_te", ""]


def test_loading_and_building_leave_random_states_alone(tiny_folder, tmp_path, tiny):
    before = torch.get_rng_state()
    load(tiny_folder)
    again = family("sd15").build_tiny(tmp_path / "again", 3)
    assert torch.equal(torch.get_rng_state(), before)
    assert load(again).identity == tiny.identity
    assert sum(f.stat().st_size for f in again.rglob("*") if f.is_file()) < 3_000_000
    other = family("sd15").build_tiny(tmp_path / "other", 4)
    assert load(other).identity != tiny.identity


@pytest.mark.parametrize("skip", [0, 1])
def test_prompt_embeddings_equal_diffusers(tiny_folder, pipeline, skip, monkeypatch):
    model = load(tiny_folder, clip_skip=skip)
    # diffusers 0.42 looks for the final norm where transformers kept it before 5.6.
    encoder = pipeline.text_encoder
    monkeypatch.setitem(encoder.__dict__, "text_model", encoder)
    prompts = ["a red circle on a blue background", ""]
    with torch.no_grad():
        ours = model.text.encode(prompts)["embeddings"]
        theirs, _ = pipeline.encode_prompt(prompts, CPU, 1, False, clip_skip=skip or None)
    assert torch.equal(ours, theirs)


def test_long_prompts_are_encoded_whole_in_chunks(tiny):
    words = [f"{word} robot" for word in ("red", "blue", "green", "white")] * 25
    prompt = " ".join(words)
    assert tiny.text.count(prompt) == 200
    tokens = chunked_ids(tiny.text.tokenizer, [prompt, "a cat", ""])
    assert tokens.shape == (3, 3 * 77)
    start, end = tiny.text.tokenizer.bos_token_id, tiny.text.tokenizer.eos_token_id
    rows = tokens.reshape(3, 3, 77)
    assert (rows[:, :, 0] == start).all()
    content = [t for chunk in rows[0].tolist() for t in chunk if t not in (start, end)]
    assert content == tiny.text.tokenizer(prompt, add_special_tokens=False).input_ids
    # 75 + 75 + 50 tokens, each chunk closed by its own end mark.
    assert [chunk.index(end) for chunk in rows[0].tolist()] == [76, 76, 51]
    empty = chunked_ids(tiny.text.tokenizer, [""])[0]
    assert torch.equal(rows[1, 1], empty) and torch.equal(rows[2, 2], empty)
    with torch.no_grad():
        whole = tiny.text.encode([prompt, "a cat", ""])["embeddings"]
        parts = clip_encode(tiny.parts["text_encoder"], rows[0], 77, 0).reshape(1, 3 * 77, -1)
    assert torch.allclose(whole[:1], parts, atol=1e-6)


def test_short_prompts_equal_the_tokenizer(tiny):
    texts = ["a red circle", "It's a Robot!"]
    theirs = tiny.text.tokenizer(texts, padding="max_length", max_length=77, return_tensors="pt")
    assert torch.equal(chunked_ids(tiny.text.tokenizer, texts), theirs.input_ids)
    assert [tiny.text.length(text) for text in texts] == [77, 77]


def test_latents_are_the_scaled_mean_and_decode_to_pictures(tiny, pipeline):
    pixels = noise(2, 3, 64, 48).clamp(-1, 1)
    with torch.no_grad():
        expected = pipeline.vae.encode(pixels).latent_dist.mean * 0.18215
    latents = tiny.encode_pixels(pixels)
    assert torch.allclose(latents, expected, atol=1e-6)
    pictures = tiny.decode_latents(latents)
    with torch.no_grad():
        decoded = pipeline.vae.decode(latents / 0.18215).sample
    reference = pipeline.image_processor.postprocess(decoded, output_type="pil")
    assert [p.size for p in pictures] == [(48, 64)] * 2
    assert [p.tobytes() for p in pictures] == [r.tobytes() for r in reference]


def test_predictions_equal_the_network_and_gradients_flow(tiny, pipeline):
    noisy, times, text = noise(2, 4, 8, 8), torch.tensor([3, 700]), noise(2, 77, 32)
    with torch.no_grad():
        expected = pipeline.unet(noisy, times, text).sample
    assert torch.equal(tiny.predict(noisy, times, {"embeddings": text}, []), expected)
    text.requires_grad_(True)
    tiny.predict(noisy, times, {"embeddings": text}, []).square().mean().backward()
    assert text.grad is not None and text.grad.abs().sum() > 0


@pytest.mark.parametrize("size", [(9, 7), (5, 13), (33, 63)])
def test_sides_in_steps_of_the_vae_alone_go_through_the_network(tiny, pipeline, size) -> None:
    """Latents that do not halve evenly, as pictures in steps of 8 pixels give them."""
    noisy, times, text = noise(1, 4, *size), torch.tensor([300]), noise(1, 77, 32)
    with torch.no_grad():
        out = tiny.predict(noisy, times, {"embeddings": text}, [])
        latents = tiny.encode_pixels(noise(1, 3, 8 * size[0], 8 * size[1]).clamp(-1, 1))
        assert torch.equal(out, pipeline.unet(noisy, times, text).sample)
    assert out.shape == noisy.shape == (1, *latents.shape[1:])
    assert tiny.decode_latents(latents)[0].size == (8 * size[1], 8 * size[0])


def test_half_precision_takes_and_gives_float32_latents(tiny_folder):
    model = load(tiny_folder, dtype=torch.bfloat16)
    assert model.parts["unet"].dtype == torch.bfloat16 and model.parts["vae"].dtype == torch.float32
    with torch.no_grad():
        text = model.text.encode(["a cat"])
        out = model.predict(noise(1, 4, 8, 8), torch.tensor([5]), text, [])
    assert text["embeddings"].dtype == torch.bfloat16 and out.dtype == torch.float32


def test_zero_terminal_snr_follows_the_paper(tiny_folder):
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    roots = torch.cumprod(1 - betas, 0).sqrt()
    shifted = roots - roots[-1]
    expected = (shifted * roots[0] / shifted[0]) ** 2
    model = load(tiny_folder, prediction_type="v_prediction", zero_terminal_snr=True)
    got = model.process.alphas_cumprod
    assert got[-1] == 0 and model.process.timesteps == 1000
    assert torch.allclose(got.double(), expected, atol=1e-6)
    assert math.isclose(float(got[0]), float(roots[0] ** 2), rel_tol=1e-6)
    plain = load(tiny_folder).process.alphas_cumprod
    assert torch.allclose(with_zero_terminal_snr(plain), got)
    assert refused(tiny_folder, zero_terminal_snr=True) == "zero_snr_needs_v"


def edit(path: Path, change) -> None:
    weights = load_file(path)
    change(weights)
    save_file(weights, path)


@pytest.mark.parametrize(
    ("part", "change", "code"),
    [
        ("unet", lambda w: w.pop("conv_in.bias"), "base_incomplete"),
        ("vae", lambda w: w.pop("decoder.conv_in.bias"), "base_incomplete"),
        ("text_encoder", lambda w: w.pop(next(iter(w))), "base_incomplete"),
        ("unet", lambda w: w.update(extra=torch.ones(1)), "base_unexpected_weights"),
        (
            "unet",
            lambda w: w.update({"conv_in.bias": torch.ones(7)}),
            "base_unexpected_weights",
        ),
    ],
)
def test_weights_that_do_not_fit_are_an_error(folder, part, change, code):
    edit(next((folder / part).glob("*.safetensors")), change)
    assert refused(folder) == code


def test_configs_that_make_no_sense_are_an_error(folder):
    config = folder / "unet" / "config.json"
    data = json.loads(config.read_text())
    config.write_text(json.dumps(data | {"down_block_types": ["NoSuchBlock", "NoSuchBlock"]}))
    assert refused(folder) == "base_unreadable"


def test_clip_skip_beyond_the_encoder_is_an_error(tiny_folder):
    assert refused(tiny_folder, clip_skip=2) == "clip_skip_too_large"


def test_older_key_layouts_load_alike(folder, tiny):
    """Published SD 1.5 folders: `text_model.` in the text encoder, old names in the VAE."""
    encoder = folder / "text_encoder" / "model.safetensors"
    weights = {
        f"text_model.{key.removeprefix('text_model.')}": value
        for key, value in load_file(encoder).items()
    }
    weights["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(weights, encoder)
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    vae = folder / "vae" / "diffusion_pytorch_model.safetensors"

    def old(key: str) -> str:
        for new, before in names.items():
            key = key.replace(f"attentions.0.{new}.", f"attentions.0.{before}.")
        return key

    renamed = {old(key): value for key, value in load_file(vae).items()}
    assert any("proj_attn" in key for key in renamed)
    save_file(renamed, vae)
    assert load(folder).identity == tiny.identity


def test_another_vae_from_folder_or_file(folder, tiny_folder, tiny, tmp_path):
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    edit(weights, lambda w: w["decoder.conv_in.bias"].add_(1))
    for place in (folder, folder / "vae"):
        model = load(tiny_folder, vae=place)
        assert model.identity["vae"] != tiny.identity["vae"]
        assert model.identity["text"] == tiny.identity["text"]
        biases = [one.parts["vae"].decoder.conv_in.bias for one in (model, tiny)]
        assert torch.equal(biases[0], biases[1] + 1)
    # The bundled settings describe SD 1.5's VAE, which this tiny one is not.
    assert refused(tiny_folder, vae=weights) == "base_incomplete"
    assert refused(tiny_folder, vae=tmp_path / "none.safetensors") == "base_not_found"
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    assert refused(tiny_folder, vae=unet) == "vae_unsuitable"


def test_identity_follows_what_embeddings_depend_on(tiny_folder, folder, tiny):
    skipped = load(tiny_folder, clip_skip=1)
    assert skipped.identity["text"] != tiny.identity["text"]
    assert skipped.identity["vae"] == tiny.identity["vae"]
    config = folder / "vae" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"scaling_factor": 0.13}))
    assert load(folder).identity["vae"] != tiny.identity["vae"]


@pytest.mark.parametrize("part", ["encode", "decode"])
def test_a_picture_too_large_for_the_memory_goes_through_the_vae_in_tiles(
    tiny, monkeypatch, part: str
) -> None:
    x = noise(1, 3, 320, 384).clamp(-1, 1) if part == "encode" else noise(1, 4, 40, 48)
    whole = tiny.encode_pixels(x) if part == "encode" else tiny.decode_latents(x)[0]
    network = "encoder" if part == "encode" else "decoder"
    real, sizes = getattr(tiny.parts["vae"], network).forward, []

    def forward(x, *args):
        sizes.append(tuple(x.shape[-2:]))
        if max(x.shape[-2:]) > (256 if part == "encode" else 32):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(x, *args)

    monkeypatch.setattr(getattr(tiny.parts["vae"], network), "forward", forward)
    got = tiny.encode_pixels(x) if part == "encode" else tiny.decode_latents(x)[0]
    assert len(sizes) > 1 and not tiny.parts["vae"].use_tiling
    if part == "encode":
        assert got.shape == whole.shape
        assert float((got - whole).abs().mean()) < 0.1 * float(whole.std())
        with pytest.raises(torch.OutOfMemoryError):
            tiny.encode_pixels(torch.cat([x, x]))
    else:
        assert got.size == whole.size == (384, 320)


def test_a_vae_that_overflows_is_run_again_in_float32(tiny_folder, tiny):
    model = load(tiny_folder)
    model.parts["vae"].half()
    with torch.no_grad():
        # Beyond float16's 65504; the following norm brings it back.
        model.parts["vae"].decoder.conv_in.weight.mul_(6e4)
        model.parts["vae"].decoder.conv_in.bias.mul_(6e4)
    latents = noise(1, 4, 8, 8) * 3
    picture = model.decode_latents(latents)[0]
    assert picture.getextrema() != ((0, 0),) * 3
    assert model.parts["vae"].dtype == torch.float16
    with pytest.raises(UserError) as caught:
        model.decode_latents(latents * float("nan"))
    assert caught.value.problem.code == "vae_not_finite"


def single_file(folder: Path, path: Path, monkeypatch) -> Path:
    """The tiny model as one original-format file, with its own settings as the bundled ones."""
    weights = ldm_weights(folder, frozenset({0}))
    bundled = path.parent / "resources"
    shutil.copytree(folder, bundled / "models" / "sd15")
    monkeypatch.setattr("core.families.sources.resources_dir", lambda: bundled)
    monkeypatch.setattr("core.families.kinds.attention_width", lambda shapes: 768)
    save_file(weights, path)
    return path


def test_single_files_load_like_folders(tiny_folder, tiny, tmp_path, monkeypatch):
    path = single_file(tiny_folder, tmp_path / "model.safetensors", monkeypatch)
    model = load(path)
    assert model.identity == tiny.identity
    noisy, times = noise(1, 4, 8, 8), torch.tensor([400])
    text = {"embeddings": noise(1, 77, 32)}
    with torch.no_grad():
        assert torch.equal(
            model.predict(noisy, times, text, []), tiny.predict(noisy, times, text, [])
        )
    edit(path, lambda w: [w.pop(k) for k in list(w) if k.startswith("first_stage_model.")])
    with pytest.raises(UserError) as caught:
        load(path)
    assert caught.value.problem.code == "base_incomplete"
    assert caught.value.problem.setting == "model.vae"
    assert load(path, vae=tiny_folder).identity == tiny.identity
    edit(path, lambda w: w.pop("model.diffusion_model.out.2.bias"))
    assert refused(path, vae=tiny_folder) == "base_incomplete"


def test_original_names_agree_with_diffusers_conversion():
    """Our table against diffusers' own converter, over all tensors of SD 1.5's UNet and VAE."""
    from diffusers.loaders.single_file_utils import (
        convert_ldm_unet_checkpoint,
        convert_ldm_vae_checkpoint,
    )

    from core.families import ldm_keys

    unet = empty_network("unet")
    ours = {ldm_keys.unet_key(name, 2, frozenset({0})): name for name in unet.state_dict()}
    assert len(ours) == 686
    stored = {f"model.diffusion_model.{key}": torch.tensor(i) for i, key in enumerate(ours)}
    converted = convert_ldm_unet_checkpoint(stored, dict(unet.config))
    numbers = {name: i for i, name in enumerate(ours.values())}
    assert {name: int(value) for name, value in converted.items()} == numbers

    vae = empty_network("vae")
    ours = {ldm_keys.vae_key(name, 4): name for name in vae.state_dict()}
    assert len(ours) == 248
    stored = {
        f"first_stage_model.{key}": torch.full((1, 1, 1, 1), float(i)) for i, key in enumerate(ours)
    }
    converted = convert_ldm_vae_checkpoint(stored, dict(vae.config))
    numbers = {name: i for i, name in enumerate(ours.values())}
    assert {name: int(value) for name, value in converted.items()} == numbers


def test_lora_targets_of_the_full_network():
    unet = empty_network("unet")
    attention = target_modules(UNET, unet, "attention")
    wider = target_modules(UNET, unet, "attention_ff")
    every = target_modules(UNET, unet, "all")
    assert len(attention) == 128
    assert {name.rsplit(".", 1)[-1] for name in attention} == {"to_q", "to_k", "to_v", "0"}
    assert len(wider) == 128 + 64
    assert set(attention) < set(wider) < set(every)
    assert len(every) == 278
    assert "mid_block.resnets.0.time_emb_proj" in every
    encoder = empty_network("text_encoder")
    assert len(target_modules(INFO.part("text_encoder"), encoder, "all")) == 12 * 6


def test_every_lora_target_loads_in_diffusers(tiny, tiny_folder, tmp_path):
    """A LoRA on each target, under kohya's names, arrives with the right weights."""
    from diffusers import StableDiffusionPipeline

    generator = torch.Generator().manual_seed(0)
    stored, wanted = {}, {}
    for part, names in targets_of(tiny, Lora(targets="all", text_encoder=True)).items():
        for name in names:
            weight = tiny.parts[part].get_submodule(name).weight
            down = torch.randn((4, *weight.shape[1:]), generator=generator)
            up = torch.randn((weight.shape[0], 4, *[1] * (weight.ndim - 2)), generator=generator)
            path = name if part == "unet" else f"text_model.{name.removeprefix('text_model.')}"
            key = f"{tiny.info.part(part).lora_prefix}_{path.replace('.', '_')}"
            stored[f"{key}.lora_down.weight"], stored[f"{key}.lora_up.weight"] = down, up
            stored[f"{key}.alpha"] = torch.tensor(2.0)
            delta = up.flatten(1) @ down.flatten(1) * (2.0 / 4)
            wanted[part, name] = delta.reshape(weight.shape)
    save_file(stored, tmp_path / "lora.safetensors")
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_folder, local_files_only=True)
    pipeline.load_lora_weights(tmp_path / "lora.safetensors", use_safetensors=True)
    for (part, name), delta in wanted.items():
        layer = getattr(pipeline, part).get_submodule(name)
        assert torch.allclose(layer.get_delta_weight("default_0"), delta, atol=1e-5), name


def test_models_of_other_sizes_load_by_their_configs(tmp_path):
    """As the demo model: VAE factor 4, another text width, v-prediction, one resolution more."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = build_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=24,
                intermediate_size=48,
                num_hidden_layers=1,
                num_attention_heads=2,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
        )
        unet = UNet2DConditionModel(
            sample_size=16,
            in_channels=3,
            out_channels=3,
            block_out_channels=(8, 16, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=24,
            attention_head_dim=2,
            norm_num_groups=4,
        )
        vae = AutoencoderKL(
            block_out_channels=(8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            latent_channels=3,
            norm_num_groups=4,
            scaling_factor=0.7,
        )
    write_pipeline(
        tmp_path,
        unet=unet,
        text_encoder=encoder,
        vae=vae,
        tokenizer=tokenizer,
        scheduler={"prediction_type": "v_prediction", "num_train_timesteps": 500},
    )
    model = load(tmp_path)
    assert (model.file.default_resolution, model.file.bucket_step) == (64, 4)
    assert (model.latent_scale, model.latent_channels) == (4, 3)
    assert model.process.prediction_type == "v_prediction" and model.process.timesteps == 500
    with torch.no_grad():
        latents = model.encode_pixels(noise(1, 3, 48, 32))
        text = model.text.encode(["a cat"])
        out = model.predict(latents, torch.tensor([499]), text, [])
    assert latents.shape == out.shape == (1, 3, 12, 8) and text["embeddings"].shape == (1, 77, 24)
    assert model.decode_latents(out)[0].size == (32, 48)
