"""LoRA layers that every program reads, on the real shape of Stable Diffusion 1.5."""

from __future__ import annotations

import json

import pytest
import torch

from core.families.sd15 import INFO
from core.families.unet_parts import UNET
from core.lora.keys import flat_key
from core.lora.readers import unread_by
from core.lora.targets import target_modules
from core.paths import resources_dir

CONFIGS = resources_dir() / "models" / "sd15"
TEXT = INFO.part("text_encoder")
OUTER = ["conv_in", "time_embedding.linear_1", "time_embedding.linear_2", "conv_out"]


@pytest.fixture(scope="module")
def unet() -> torch.nn.Module:
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        return UNet2DConditionModel.from_config(
            json.loads((CONFIGS / "unet" / "config.json").read_text())
        )


@pytest.fixture(scope="module")
def encoder() -> torch.nn.Module:
    from transformers import CLIPTextConfig, CLIPTextModel

    config = json.loads((CONFIGS / "text_encoder" / "config.json").read_text())
    with torch.device("meta"):
        return CLIPTextModel(CLIPTextConfig(**config))


@pytest.mark.parametrize(
    ("targets", "count"), [("attention", 128), ("attention_ff", 192), ("all", 278)]
)
def test_every_program_reads_every_layer_that_is_trained(unet, encoder, targets, count) -> None:
    names = target_modules(UNET, unet, targets)
    keys = [flat_key(UNET, name) for name in names]
    keys += [flat_key(TEXT, name) for name in target_modules(TEXT, encoder, targets)]
    assert len(names) == count and len(keys) == count + 72
    assert unread_by(keys) == {}


def test_all_is_every_layer_but_the_four_outside_of_the_blocks(unet) -> None:
    every = [
        name
        for name, module in unet.named_modules()
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d))
    ]
    assert [name for name in every if name not in target_modules(UNET, unet, "all")] == OUTER


def test_what_some_program_drops_is_named_with_the_program() -> None:
    good = "lora_unet_mid_block_attentions_0_proj_in"
    found = unread_by([good, *(flat_key(UNET, name) for name in OUTER)])
    outer = [flat_key(UNET, name) for name in OUTER]
    assert found == {"sd-scripts": outer, "diffusers": outer}
    assert set(unread_by(["unet.mid_block.attentions.0.proj_in"])) == {
        "ComfyUI",
        "sd-scripts",
        "diffusers",
    }


def test_the_estimate_counts_the_same_layers_by_either_spelling(unet) -> None:
    """Original checkpoints name their layers otherwise; their headers are all that is read."""
    from core.families.ldm_keys import unet_key

    layers = {n: m for n, m in unet.named_modules() if hasattr(m, "weight") and m.weight.ndim > 1}
    for targets in ("attention", "attention_ff", "all"):
        mine = set(target_modules(UNET, unet, targets))
        for name in layers:
            original = unet_key(f"{name}.weight", 2, frozenset({0})).removesuffix(".weight")
            assert UNET.adapts(original, targets) == (name in mine), original
