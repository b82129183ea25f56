"""Tiny random models for tests, built from nothing: no network, no stored files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

# Enough text for byte pairs of everyday caption words.
_TEXT = (
    "a photo of a red circle on a blue background",
    "a drawing of a small robot with a green hat, standing beside the big yellow house",
    "portrait of a woman in the garden, soft light, high quality, detailed",
    "two white cats sleep on an old wooden chair near the window",
)
_START, _END = "<|startoftext|>", "<|endoftext|>"


def build_tokenizer(merges: int = 250) -> Any:
    """A CLIP tokenizer with a vocabulary of 512 bytes, some merges and the two marks."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Lowercase()
    # Words without the space before them: CLIP marks where a word ends instead.
    learner.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=512 + merges,
        initial_alphabet=alphabet,
        show_progress=False,
        end_of_word_suffix="</w>",
    )
    learner.train_from_iterator(_TEXT, trainer)
    learned = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    words = [*alphabet, *(f"{one}</w>" for one in alphabet)]
    words += [word for pair in learned if (word := "".join(pair)) not in words]
    vocabulary = {word: index for index, word in enumerate([*words, _START, _END])}
    return CLIPTokenizer(vocab=vocabulary, merges=learned, model_max_length=77)


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
