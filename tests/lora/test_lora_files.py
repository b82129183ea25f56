"""LoRA files: names, numbers, metadata, verification and damaged files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.config.lora import Lora
from core.errors import UserError
from core.families.base import FamilyInfo
from core.families.sd15 import INFO
from core.families.unet_parts import UNET
from core.lora.file import change_of, lora_info, read_header, write_lora
from core.lora.inject import Adapter, inject
from core.lora.keys import flat_key, key_table
from core.lora.verify import verify


@pytest.fixture
def parts() -> dict[str, torch.nn.Module]:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32,
        norm_num_groups=8,
        attention_head_dim=2,
    )
    config = CLIPTextConfig(
        vocab_size=600,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=598,
        eos_token_id=599,
    )
    return {"unet": unet, "text_encoder": CLIPTextModel(config)}


def learning(endings: tuple[str, ...]) -> FamilyInfo:
    """SD 1.x, but what learns of the UNet are modules whose names end so."""
    unet, *others = INFO.parts
    return replace(INFO, parts=(replace(unet, targets={"all": endings}), *others))


def adapted(parts: dict[str, torch.nn.Module], lora: Lora, seed: int = 0) -> Adapter:
    """LoRA on the attention, convolutions and text encoder, with weights that are not zero."""
    ends = ("to_q", "to_k", "to_v", "to_out.0", "conv1", "time_emb_proj", "proj_in")
    model = SimpleNamespace(parts=parts, info=learning(ends))
    lora = lora.model_copy(update={"targets": "all", "text_encoder": True})
    adapter = inject(model, lora, seed)  # type: ignore[arg-type]
    random = torch.Generator().manual_seed(1)
    for parameter in adapter.parameters():
        parameter.data = 0.05 * torch.randn(parameter.shape, generator=random)
    return adapter


def test_names_are_the_kohya_ones() -> None:
    name = "down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_out.0"
    assert (
        flat_key(UNET, name)
        == "lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_out_0"
    )
    wanted = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
    for name in ("encoder.layers.0", "text_model.encoder.layers.0"):
        assert flat_key(INFO.part("text_encoder"), f"{name}.self_attn.q_proj") == wanted


def test_two_modules_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="lora_unet_a_b"):
        key_table({"unet": ["a.b", "a_b"]}, INFO)


def test_injection_changes_nothing_and_depends_on_the_seed_only(parts) -> None:
    latents, context = torch.randn(1, 4, 8, 8), torch.randn(1, 5, 32)
    with torch.no_grad():
        before = parts["unet"](latents, 3, context).sample
    lora = Lora(rank=3, alpha=1.5, targets="all")
    torch.manual_seed(1)
    model = SimpleNamespace(parts=parts, info=learning((".to_q", ".to_v")))
    adapter = inject(model, lora, seed=7)  # type: ignore[arg-type]
    with torch.no_grad():
        assert torch.equal(parts["unet"](latents, 3, context).sample, before)
    trainable = [p for p in parts["unet"].parameters() if p.requires_grad]
    assert {id(p) for p in trainable} == {id(p) for p in adapter.parameters()}
    first = next(iter(adapter.layers.values()))
    assert first.down.dtype == torch.float32 and float(first.down.detach().std()) > 0
    torch.manual_seed(2)
    only = learning((".attn2.to_v",))
    again = inject(
        SimpleNamespace(parts=parts | {"unet": _fresh(parts["unet"])}, info=only),  # type: ignore[arg-type]
        lora,
        seed=7,
    )
    assert 0 < len(again.layers) < len(adapter.layers)
    for key, layer in again.layers.items():
        assert torch.equal(layer.down, adapter.layers[key].down)


def _fresh(unet: torch.nn.Module) -> torch.nn.Module:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel.from_config(unet.config)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_file_reads_back_with_the_same_change(parts, tmp_path: Path, dtype) -> None:
    adapter = adapted(parts, Lora(rank=4, alpha=2.0))
    weights = dict(adapter.named_weights())
    path = tmp_path / "lora.safetensors"
    write_lora(path, weights, adapter.alphas(), {"modelspec.title": "x"}, dtype)
    assert verify(path, adapter, weights).difference == ""
    info = lora_info(path)
    assert dict(info.ranks) == {4: len(adapter.layers)}
    assert dict(info.alphas) == {2.0: len(adapter.layers)}
    assert info.metadata["modelspec.title"] == "x"
    assert info.modules["lora_te"] == 12


def test_verification_notices_a_changed_number_and_a_lost_layer(parts, tmp_path: Path) -> None:
    adapter = adapted(parts, Lora(rank=4, alpha=4.0))
    weights = dict(adapter.named_weights())
    path = tmp_path / "lora.safetensors"
    write_lora(path, weights, adapter.alphas(), {}, torch.float32)
    tensors = load_file(path)
    name = next(n for n in tensors if n.endswith("attn1_to_q.lora_up.weight"))
    changed = dict(tensors) | {name: tensors[name] + 1e-3}
    save_file(changed, path)
    assert "differs" in verify(path, adapter, weights).difference
    lost = {n: t for n, t in tensors.items() if not n.startswith(name.split(".")[0])}
    save_file(lost, path)
    assert "1 layers are lost" in verify(path, adapter, weights).difference
    alpha = dict(tensors)
    alpha[name.replace("lora_up.weight", "alpha")] = torch.tensor(1.0)
    save_file(alpha, path)
    assert "instead of 4" in verify(path, adapter, weights).difference


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_alpha_is_kept_whatever_format_the_weights_have(parts, tmp_path: Path, dtype) -> None:
    """257 is not a bfloat16, and 2049.5 not a float16 either."""
    for alpha in (257.0, 2049.5):
        adapter = adapted(parts_again(parts), Lora(rank=4, alpha=alpha))
        weights = dict(adapter.named_weights())
        path = tmp_path / f"{alpha}.safetensors"
        write_lora(path, weights, adapter.alphas(), {}, dtype)
        assert dict(lora_info(path).alphas) == {alpha: len(adapter.layers)}
        assert verify(path, adapter, weights).difference == ""


def parts_again(parts: dict[str, torch.nn.Module]) -> dict[str, torch.nn.Module]:
    """The same networks without LoRA layers."""
    from transformers import CLIPTextModel

    return {
        "unet": _fresh(parts["unet"]),
        "text_encoder": CLIPTextModel(parts["text_encoder"].config),
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_what_the_file_format_costs_is_measured_against_the_trained_weights(
    parts, tmp_path: Path, dtype
) -> None:
    adapter = adapted(parts, Lora(rank=4, alpha=2.0))
    # Below float16's smallest number, 6e-8, all of them; bfloat16 keeps their size.
    first = next(iter(adapter.layers.values()))
    first.up.data = torch.full_like(first.up, 1e-8)
    weights = dict(adapter.named_weights())
    path = tmp_path / "lora.safetensors"
    write_lora(path, weights, adapter.alphas(), {}, dtype)
    found = verify(path, adapter, weights)
    # The same by the plain products.
    off = trained = 0.0
    for layer in adapter.layers.values():
        meant = change_of(layer.down.detach().double(), layer.up.detach().double(), 0.5).double()
        got = change_of(layer.down.detach().to(dtype), layer.up.detach().to(dtype), 0.5).double()
        off += float((got - meant).square().sum())
        trained += float(meant.square().sum())
    wanted = (off / trained) ** 0.5
    assert found.rounding == pytest.approx(wanted, rel=1e-3, abs=1e-6)
    assert found.zeroed == (first.up.numel() if dtype == torch.float16 else 0)
    assert found.numbers == sum(p.numel() for p in adapter.parameters())
    assert found.rounding == 0 if dtype == torch.float32 else 1e-4 < found.rounding < 5e-3


def test_the_change_of_a_convolution_equals_running_it() -> None:
    random = torch.Generator().manual_seed(0)
    down = torch.randn(2, 3, 3, 3, generator=random)
    up = torch.randn(5, 2, 1, 1, generator=random)
    x = torch.randn(1, 3, 6, 6, generator=random)
    direct = torch.nn.functional.conv2d(torch.nn.functional.conv2d(x, down), up) * 0.5
    merged = torch.nn.functional.conv2d(x, change_of(down, up, 0.5))
    assert torch.allclose(direct, merged, atol=1e-4)


def test_weights_that_are_not_numbers_are_never_written(tmp_path: Path) -> None:
    path = tmp_path / "lora.safetensors"
    good = {"k.lora_down.weight": torch.ones(1, 2), "k.lora_up.weight": torch.ones(2, 1)}
    write_lora(path, good, {"k": 1.0}, {}, torch.float16)
    before = path.read_bytes()
    bad = good | {"k.lora_up.weight": torch.full((2, 1), 1e6)}
    with pytest.raises(UserError) as caught:
        write_lora(path, bad, {"k": 1.0}, {}, torch.float16)
    assert caught.value.problem.code == "lora_not_finite"
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["lora.safetensors"]


def test_the_hash_in_the_metadata_is_that_of_the_data(tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "lora.safetensors"
    tensors = {"k.lora_down.weight": torch.ones(1, 2), "k.lora_up.weight": torch.ones(2, 1)}
    write_lora(path, tensors, {"k": 1.0}, {"a": "b"}, torch.float32)
    raw = path.read_bytes()
    data = raw[8 + int.from_bytes(raw[:8], "little") :]
    metadata = read_header(path)[1]
    assert metadata["sshs_model_hash"] == hashlib.sha256(data).hexdigest()
    assert metadata["modelspec.hash_sha256"] == "0x" + metadata["sshs_model_hash"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "file_truncated"),
        (b"<!DOCTYPE html><html>not found</html>", "not_safetensors"),
        (b"\x80\x02}q\x00.", "file_truncated"),
        ((8).to_bytes(8, "little") + b"{}      ", "not_a_lora"),
    ],
)
def test_files_that_hold_no_lora_are_named(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "bad file.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        lora_info(path)
    assert caught.value.problem.code == code
    assert "bad file.safetensors" in caught.value.problem.title


def test_a_truncated_file_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "lora.safetensors"
    save_file({"k.lora_down.weight": torch.ones(64, 64)}, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError) as caught:
        lora_info(path)
    assert caught.value.problem.code == "file_truncated"


def test_a_header_with_the_wrong_shape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lora.safetensors"
    header = json.dumps({"x": [1, 2]}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(UserError) as caught:
        lora_info(path)
    assert caught.value.problem.code == "not_safetensors"


DOWN = "lora_unet_x.lora_down.weight"


@pytest.mark.parametrize(
    "header",
    [
        f'{{"{DOWN}":{{"dtype":"F32","shape":[1e999,4],"data_offsets":[0,16]}}}}',
        f'{{"{DOWN}":{{"dtype":"F32","shape":[],"data_offsets":[0,4]}}}}',
        f'{{"{DOWN}":{{"dtype":"F32","shape":["4"],"data_offsets":[0,16]}}}}',
        f'{{"{DOWN}":{{"shape":[4],"data_offsets":[0,16]}}}}',
        f'{{"__metadata__":[1],"{DOWN}":{{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}}}',
        '{"a":' + "[" * 5000 + "]" * 5000 + "}",
        '{"a":{"dtype":"F32","shape":[' + "9" * 4000 + '],"data_offsets":[0,16]}}',
    ],
)
def test_every_damaged_header_is_one_sentence(tmp_path: Path, header: str) -> None:
    path = tmp_path / "lora.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(16))
    with pytest.raises(UserError) as caught:
        lora_info(path)
    assert caught.value.problem.code in ("not_safetensors", "not_a_lora")
    assert len(caught.value.problem.title) < 300 + len(str(path))
