"""Tiny random models for tests, built from nothing: no network, no stored files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

# Words that are one token each; any other text is spelt in letters.
_WORDS = (
    "a and background beside big blue cat chair circle detailed drawing garden green hat house in "
    "light near of old on photo portrait red robot small soft standing the two white window woman "
    "yellow"
)
_START, _END = "<|startoftext|>", "<|endoftext|>"


def build_tokenizer() -> Any:
    """A CLIP tokenizer with a vocabulary of 512 byte letters, some words and the two marks."""
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    merges: dict[tuple[str, str], None] = {}
    for word in _WORDS.split():
        # Letter by letter from the left; the last one also marks the end of the word.
        letters = [*word[:-1], f"{word[-1]}</w>"]
        for index in range(1, len(letters)):
            merges["".join(letters[:index]), letters[index]] = None
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [one + other for one, other in merges]
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *pairs, _START, _END]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=list(merges), model_max_length=77)


def build_tiny_sd15(folder: Path, seed: int) -> Path:
    """Write a random SD 1.x model of under 3 MB in diffusers format; gives `folder`.

    VAE factor 8, made for 64 px, bucket step 16. The same seed gives the same weights; the
    global random state is left as it was.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = build_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=77,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        unet = UNet2DConditionModel(
            sample_size=8,
            in_channels=4,
            out_channels=4,
            block_out_channels=(16, 32),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=32,
            attention_head_dim=2,
            norm_num_groups=8,
        )
        vae = AutoencoderKL(
            block_out_channels=(8, 8, 16, 16),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=4,
            sample_size=64,
        )
    write_pipeline(folder, unet=unet, text_encoder=encoder, vae=vae, tokenizer=tokenizer)
    return folder


def write_pipeline(
    folder: Path,
    *,
    unet: Any,
    text_encoder: Any,
    vae: Any,
    tokenizer: Any,
    scheduler: dict[str, Any] | None = None,
) -> None:
    """Write the parts as a StableDiffusionPipeline folder; `scheduler` changes SD 1.5's."""
    from diffusers import DDIMScheduler

    settings: dict[str, Any] = {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "clip_sample": False,
        "set_alpha_to_one": False,
        "steps_offset": 1,
    }
    folder.mkdir(parents=True, exist_ok=True)
    unet.save_pretrained(folder / "unet", safe_serialization=True)
    vae.save_pretrained(folder / "vae", safe_serialization=True)
    text_encoder.save_pretrained(folder / "text_encoder", safe_serialization=True)
    tokenizer.save_pretrained(folder / "tokenizer")
    DDIMScheduler(**(settings | (scheduler or {}))).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")
