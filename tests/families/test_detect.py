"""Base models are told apart from headers alone, and everything else in one sentence."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from core.errors import UserError
from core.families import hub
from core.families.detect import detect

UNET, CLIP, VAE = "model.diffusion_model.", "cond_stage_model.", "first_stage_model."
TO_K = f"{UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
SD15 = {
    f"{UNET}input_blocks.0.0.weight": (2, 4, 1, 1),
    TO_K: (2, 768),
    f"{CLIP}transformer.text_model.final_layer_norm.weight": (2,),
    f"{VAE}decoder.conv_in.weight": (2,),
}


def write(path: Path, shapes: dict, metadata: dict | None = None, cut: int = 0) -> Path:
    """A safetensors file of float16 zeros; `cut` bytes are missing at its end."""
    header: dict = {"__metadata__": metadata} if metadata else {}
    offset = 0
    for name, shape in shapes.items():
        size = 2
        for side in shape:
            size *= side
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    data = struct.pack("<Q", len(text)) + text + bytes(offset)
    path.write_bytes(data[: len(data) - cut])
    return path


def refusal(path: Path | str, **named) -> tuple[str, str]:
    """Code and sentence with which a path is refused."""
    with pytest.raises(UserError) as caught:
        detect(str(path), **named)
    problem = caught.value.problem
    assert problem.title.endswith((".", "!")) and "\n" not in problem.title
    return problem.code, problem.title


def test_a_checkpoint_is_recognised(tmp_path):
    found = detect(str(write(tmp_path / "model.safetensors", SD15)))
    assert (found.family, found.layout, found.prediction_type) == ("sd15", "single_file", "epsilon")
    assert (found.default_resolution, found.bucket_step) == (512, 8)
    assert not found.zero_terminal_snr


def test_relative_paths_resolve_against_the_given_folder(tmp_path, monkeypatch):
    write(tmp_path / "model.safetensors", SD15)
    found = detect("model.safetensors", relative_to=tmp_path)
    assert found.path == tmp_path / "model.safetensors"
    monkeypatch.chdir(tmp_path)
    assert detect("model.safetensors").path == tmp_path / "model.safetensors"


@pytest.mark.parametrize("path", ["x" * 5000, "a\0b.safetensors", "~no-such-user/x.safetensors"])
def test_paths_that_no_system_takes_are_one_sentence(path):
    assert refusal(path)[0] in ("base_unreadable", "base_not_found")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "model.safetensors")
    script = "import sys; from core.families.detect import detect; detect(sys.argv[1])"
    command = [sys.executable, "-c", script, str(tmp_path / "model.safetensors")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "model.safetensors is a pipe, not a file" in ended.stderr


@pytest.mark.parametrize(
    ("extra", "metadata", "sidecar", "expected"),
    [
        ({"v_pred": (1,)}, None, "", ("v_prediction", False)),
        ({"v_pred": (1,), "ztsnr": (1,)}, None, "", ("v_prediction", True)),
        ({}, {"modelspec.prediction_type": "v"}, "", ("v_prediction", False)),
        ({}, {"modelspec.prediction_type": "epsilon"}, "", ("epsilon", False)),
        ({}, None, 'model:\n  params:\n    parameterization: "v"\n', ("v_prediction", False)),
        ({}, None, "model:\n  params:\n    linear_start: 0.1\n", ("epsilon", False)),
        ({}, {"ss_v_parameterization": "True"}, "", ("v_prediction", False)),
        (
            {},
            {"modelspec.prediction_type": "v", "ss_zero_terminal_snr": "True"},
            "",
            ("v_prediction", True),
        ),
    ],
)
def test_prediction_type_of_a_checkpoint(tmp_path, extra, metadata, sidecar, expected):
    path = write(tmp_path / "model.safetensors", SD15 | extra, metadata)
    if sidecar:
        path.with_suffix(".yaml").write_text(sidecar)
    found = detect(str(path))
    assert (found.prediction_type, found.zero_terminal_snr) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NoobAI-XL-Vpred-v1.0", ("v_prediction", True)),
        ("my_v-pred_mix", ("v_prediction", False)),
        ("something v prediction ztsnr", ("v_prediction", True)),
        ("evpredicted", ("epsilon", False)),
        ("noob_eps", ("epsilon", False)),
    ],
)
def test_a_name_tells_where_nothing_else_does(tmp_path, name, expected):
    found = detect(str(write(tmp_path / f"{name}.safetensors", SD15)))
    assert (found.prediction_type, found.zero_terminal_snr) == expected
    assert found.known_by == ("name" if expected[0] == "v_prediction" else "family")
    certain = write(tmp_path / f"{name}.safetensors", SD15, {"modelspec.prediction_type": "eps"})
    assert detect(str(certain)).prediction_type == "epsilon"


XL = {f"{UNET}input_blocks.0.0.weight": (2, 4, 1, 1), "conditioner.embedders.1.model.x": (1,)}


@pytest.mark.parametrize(
    ("shapes", "code", "said"),
    [
        (XL, "base_other_family", "Stable Diffusion XL"),
        (
            {f"{UNET}input_blocks.0.0.weight": (2, 4, 1, 1), "conditioner.embedders.0.model.x": ()},
            "base_other_family",
            "refiner",
        ),
        (SD15 | {TO_K: (2, 1024)}, "base_other_family", "Stable Diffusion 2"),
        (
            SD15 | {f"{UNET}input_blocks.0.0.weight": (2, 9, 1, 1)},
            "base_other_family",
            "inpainting",
        ),
        ({f"{UNET}joint_blocks.0.x": (1,)}, "base_other_family", "Stable Diffusion 3"),
        ({"double_blocks.0.img_attn.qkv.weight": (1,)}, "base_other_family", "Flux"),
        (
            {"encoder_hid_proj.weight": (1,), "down_blocks.1.attentions.0.x": (1,)},
            "base_other_family",
            "Kolors",
        ),
        (
            {f"{UNET}noise_refiner.0.attention.out.weight": (1,)},
            "base_other_family",
            "Z-Image",
        ),
        ({"transformer_blocks.0.img_mod.1.weight": (1,)}, "base_other_family", "Qwen-Image"),
        (
            {"encoder.conv_in.weight": (1,), "decoder.conv_in.weight": (1,)},
            "base_other_family",
            "VAE",
        ),
        (
            {"text_model.encoder.layers.0.mlp.fc1.weight": (1,)},
            "base_other_family",
            "text encoder",
        ),
        ({"emb_params": (1, 768)}, "base_other_family", "embedding"),
        ({"control_model.input_blocks.0.0.weight": (1,)}, "base_other_family", "ControlNet"),
        ({"lora_unet_mid_block.lora_down.weight": (1, 2)}, "base_is_lora", "is a LoRA"),
        ({"unet.mid_block.to_q.lora_A.weight": (1, 2)}, "base_is_lora", "is a LoRA"),
        ({"something.weight": (1,)}, "base_unreadable", "no model"),
        ({}, "base_unreadable", "no tensors"),
        (
            {name: shape for name, shape in SD15.items() if name.startswith(UNET)},
            "base_incomplete",
            "only a UNet",
        ),
    ],
)
def test_other_safetensors_files_are_named(tmp_path, shapes, code, said):
    got, sentence = refusal(write(tmp_path / "thing.safetensors", shapes))
    assert got == code
    assert said in sentence and "thing.safetensors" in sentence


def test_files_that_are_no_safetensors(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"\n<!DOCTYPE html><html><body>Log in</body></html>")
    assert refusal(path)[0] == "base_html"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    assert refusal(path)[0] == "base_truncated"
    path.write_bytes(b"")
    assert refusal(path)[0] == "base_truncated"
    path.write_bytes(b"GGUF\x03\x00\x00\x00rest")
    assert refusal(path)[0] == "base_unreadable"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert refusal(path)[0] == "base_unreadable"
    path.write_bytes(struct.pack("<Q", 9) + b'{"a":[1]}')
    assert refusal(path)[0] == "base_unreadable"
    assert refusal(tmp_path / "missing.safetensors")[0] == "base_not_found"
    assert refusal("")[0] == "base_not_found"


@pytest.mark.parametrize("cut", [1, 6000])
def test_a_download_that_broke_off(tmp_path, cut):
    path = write(tmp_path / "model.safetensors", SD15, cut=cut)
    if cut == 6000:
        data = write(path, SD15).read_bytes()
        path.write_bytes(data[:100])
    code, sentence = refusal(path)
    assert code == "base_truncated"
    assert "incomplete" in sentence


class Evil:
    """Leaves a mark when unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("name", ["model.ckpt", "model.pt", "model.safetensors"])
def test_pickles_are_refused_and_never_opened(tmp_path, name):
    mark, path = tmp_path / "mark", tmp_path / name
    path.write_bytes(pickle.dumps(Evil(mark)))
    assert refusal(path)[0] == "base_pickle"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Evil(mark)))
    assert refusal(path)[0] == "base_pickle"
    assert not mark.exists()


def test_a_diffusers_folder_is_recognised(tiny_folder):
    found = detect(str(tiny_folder))
    assert (found.family, found.layout) == ("sd15", "diffusers")
    # 8 latents of 8 px.
    assert (found.default_resolution, found.bucket_step) == (64, 8)


def change(path: Path, **values) -> None:
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | values))


@pytest.fixture
def folder(tiny_folder, tmp_path) -> Path:
    """A copy of the tiny model that a test may damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


def test_prediction_type_of_a_folder(folder):
    settings = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    change(folder / "scheduler" / "scheduler_config.json", **settings)
    found = detect(str(folder))
    assert (found.prediction_type, found.zero_terminal_snr) == ("v_prediction", True)


@pytest.mark.parametrize(
    "name",
    [
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "text_encoder/model.safetensors",
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer.json",
    ],
)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    for other in ("vocab.json", "merges.txt"):
        (folder / "tokenizer" / other).unlink(missing_ok=True)
    assert refusal(folder)[0] == "base_incomplete"


def test_damaged_folders(folder):
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    assert refusal(folder)[0] == "base_truncated"
    weights.rename(weights.with_name("diffusion_pytorch_model.bin"))
    code, sentence = refusal(folder)
    assert code == "base_pickle" and "diffusion_pytorch_model.bin" in sentence
    (folder / "unet" / "config.json").write_text("{")
    assert refusal(folder)[0] == "base_unreadable"


def test_a_missing_shard_is_named(folder):
    unet = folder / "unet"
    index = unet / "diffusion_pytorch_model.safetensors.index.json"
    (unet / "diffusion_pytorch_model.safetensors").unlink()
    names = [f"diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index.write_text(json.dumps({"weight_map": {"a": names[0], "b": names[1]}}))
    write(unet / names[0], {"a": (1,)})
    code, sentence = refusal(folder)
    assert code == "base_incomplete" and names[1] in sentence
    index.write_text(json.dumps({"weight_map": {"a": "../../secret.safetensors"}}))
    assert refusal(folder)[0] == "base_unreadable"


def test_folders_of_other_families(folder):
    unet = folder / "unet" / "config.json"
    for settings, said in (
        ({"addition_embed_type": "text_time"}, "Stable Diffusion XL"),
        ({"cross_attention_dim": 1024}, "Stable Diffusion 2"),
        ({"in_channels": 9}, "inpainting"),
    ):
        before = unet.read_text()
        change(unet, **settings)
        code, sentence = refusal(folder)
        assert code == "base_other_family" and said in sentence
        unet.write_text(before)
    change(folder / "model_index.json", _class_name="KolorsPipeline")
    code, sentence = refusal(folder)
    assert code == "base_other_family" and "Kolors" in sentence


def test_a_folder_that_is_no_model_says_what_to_choose(folder, tmp_path):
    assert "folder above" in refusal(folder / "unet")[1]
    write(tmp_path / "model.safetensors", SD15)
    assert "model.safetensors" in refusal(tmp_path)[1]


def in_cache(folder: Path, cache: Path, name: str) -> Path:
    """Put a folder into a Hugging Face cache as a snapshot."""
    repo = cache / f"models--{name.replace('/', '--')}"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("abc123")
    return Path(shutil.copytree(folder, repo / "snapshots" / "abc123"))


def test_a_hub_name_is_found_in_the_cache(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path), raising=False)
    code, sentence = refusal("someone/tiny")
    assert code == "base_not_found" and "Download if missing" in sentence
    snapshot = in_cache(tiny_folder, tmp_path, "someone/tiny")
    assert detect("someone/tiny").path == snapshot


def test_a_download_takes_what_is_needed_and_no_pickle():
    listed = [
        "README.md",
        "model_index.json",
        "v1-5-pruned.ckpt",
        "v1-5-pruned.safetensors",
        "scheduler/scheduler_config.json",
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
        "safety_checker/model.safetensors",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "text_encoder/pytorch_model.bin",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.bin",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors.index.json",
        "vae/diffusion_pytorch_model-00001-of-00002.safetensors",
        "vae/diffusion_pytorch_model-00002-of-00002.safetensors",
    ]
    assert hub.needed_files("someone/model", listed) == [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
        "text_encoder/config.json",
        "unet/config.json",
        "vae/config.json",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "text_encoder/model.safetensors",
        "vae/diffusion_pytorch_model-00001-of-00002.safetensors",
        "vae/diffusion_pytorch_model-00002-of-00002.safetensors",
        "vae/diffusion_pytorch_model.safetensors.index.json",
    ]
    only_pickles = [name for name in listed if not name.startswith("vae/diffusion")]
    with pytest.raises(UserError) as caught:
        hub.needed_files("someone/model", only_pickles)
    assert caught.value.problem.code == "base_pickle"
    with pytest.raises(UserError):
        hub.needed_files("someone/model", ["model.safetensors"])


def test_a_missing_model_is_downloaded_when_allowed(tiny_folder, tmp_path, monkeypatch):
    import huggingface_hub

    asked = {}

    class Api:
        def model_info(self, name, files_metadata):
            names = [str(f.relative_to(tiny_folder)) for f in tiny_folder.rglob("*") if f.is_file()]
            siblings = [type("S", (), {"rfilename": n, "size": 10})() for n in names]
            return type("Info", (), {"siblings": siblings})()

    def snapshot(name, allow_patterns):
        asked[name] = allow_patterns
        return str(tiny_folder)

    monkeypatch.setattr(hub, "cached_folder", lambda name: None)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    told = []
    found = detect("someone/tiny", allow_download=True, tell=told.append)
    assert found.path == tiny_folder
    assert told == [10 * len(asked["someone/tiny"])]
    assert all(not n.endswith((".bin", ".ckpt")) for n in asked["someone/tiny"])
    assert "unet/diffusion_pytorch_model.safetensors" in asked["someone/tiny"]


def test_a_download_without_network_is_one_sentence(tmp_path, monkeypatch, no_network):
    monkeypatch.setattr(hub, "cached_folder", lambda name: None)
    code, sentence = refusal("someone/tiny", allow_download=True)
    assert code == "base_download_failed" and "someone/tiny" in sentence
    no_network.clear()


@pytest.mark.parametrize("library", ["httpx", "httpx2", "requests", "unheard_of"])
def test_a_failed_download_is_one_sentence_whatever_library_fails(library, monkeypatch):
    import huggingface_hub

    failure = type("ConnectError", (Exception,), {"__module__": f"{library}._exceptions"})

    class Api:
        def model_info(self, name, files_metadata):
            raise failure("[Errno -3] Temporary failure in name resolution")

    monkeypatch.setattr(hub, "cached_folder", lambda name: None)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    with pytest.raises(UserError, match=r"check the connection.*name resolution") as caught:
        detect("someone/tiny", allow_download=True)
    assert caught.value.problem.code == "base_download_failed"


def test_a_model_larger_than_the_disk_is_refused_before_it_is_fetched(monkeypatch):
    import huggingface_hub

    stem = "diffusion_pytorch_model.safetensors"
    names = ["model_index.json", f"unet/{stem}", f"vae/{stem}", "text_encoder/model.safetensors"]

    class Api:
        def model_info(self, name, files_metadata):
            siblings = [type("S", (), {"rfilename": n, "size": 10**18})() for n in names]
            return type("Info", (), {"siblings": siblings})()

    monkeypatch.setattr(hub, "cached_folder", lambda name: None)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: pytest.fail())
    code, sentence = refusal("someone/tiny", allow_download=True)
    assert code == "disk_full" and "GB free" in sentence


def test_detecting_needs_no_torch():
    code = (
        "import sys, core.families.detect as d\n"
        "try: d.detect('nowhere/at-all')\n"
        "except Exception as e: print(e.problem.code)\n"
        "heavy = {'torch', 'numpy', 'diffusers', 'transformers', 'safetensors'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["base_not_found", "[]"]


SCHEDULER, VAE_FILE = "scheduler/scheduler_config.json", "vae/config.json"


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        (SCHEDULER, "num_train_timesteps", 0),
        (SCHEDULER, "num_train_timesteps", 10**9),
        (SCHEDULER, "num_train_timesteps", "1000"),
        (SCHEDULER, "beta_start", -0.1),
        (SCHEDULER, "beta_end", True),
        (SCHEDULER, "beta_schedule", "squaredcos_cap_v2"),
        (SCHEDULER, "trained_betas", [0.1, 0.2]),
        (SCHEDULER, "rescale_betas_zero_snr", "no"),
        (VAE_FILE, "scaling_factor", 0),
        (VAE_FILE, "scaling_factor", "0.18"),
        (VAE_FILE, "block_out_channels", [8] * 100_000),
        (VAE_FILE, "norm_num_groups", 3),
        ("unet/config.json", "layers_per_block", 100_000),
        ("unet/config.json", "block_out_channels", []),
        ("unet/config.json", "transformer_layers_per_block", [[10**6]]),
        ("unet/config.json", "down_block_types", ["DownBlock2D"]),
        ("unet/config.json", "down_block_types", None),
        ("unet/config.json", "attention_head_dim", [1]),
        ("tokenizer/tokenizer_config.json", "eos_token", "<|not there|>"),
        ("tokenizer/tokenizer_config.json", "pad_token", {"content": 7}),
        ("text_encoder/config.json", "num_hidden_layers", 10**5),
        ("text_encoder/config.json", "hidden_size", 33),
    ],
)
def test_settings_that_no_model_has_are_refused_and_named(folder, name, setting, value):
    change(folder / name, **{setting: value})
    code, sentence = refusal(folder)
    assert code == "base_unreadable" and name in sentence and setting in sentence
    assert len(sentence) < 400


def test_an_empty_scheduler_config_is_refused_and_not_trained_with_defaults(folder):
    (folder / SCHEDULER).write_text("{}")
    code, sentence = refusal(folder)
    assert code == "base_unreadable" and "lacks num_train_timesteps" in sentence


def test_tokens_beyond_the_text_encoders_vocabulary_are_refused(folder):
    encoder = folder / "text_encoder" / "config.json"
    known = json.loads(encoder.read_text())["vocab_size"]
    change(encoder, vocab_size=known - 1)
    code, sentence = refusal(folder)
    assert code == "base_unexpected_weights" and f"the token {known - 1}" in sentence


def test_a_tokenizer_longer_than_the_text_encoder_is_refused(folder):
    settings = folder / "tokenizer" / "tokenizer_config.json"
    change(settings, model_max_length=154)
    assert refusal(folder)[0] == "base_unexpected_weights"
    # What older folders hold for "unknown".
    change(settings, model_max_length=1000000000000000019884624838656)
    assert detect(str(folder)).family == "sd15"


def test_numbers_of_thousands_of_digits_cost_no_time(folder):
    (folder / SCHEDULER).write_text('{"num_train_timesteps": ' + "9" * 4000 + "}")
    code, sentence = refusal(folder)
    assert code == "base_unreadable" and len(sentence) < 400
