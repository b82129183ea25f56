"""Tiny random models for tests, built from nothing: no network, no stored files."""

from __future__ import annotations

import json
from io import BytesIO
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

    VAE factor 8, made for 64 px. The same seed gives the same weights; the global random state is
    left as it was.
    """
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel

    tokenizer = build_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = CLIPTextModel(_clip_config(tokenizer, 32))
        unet = UNet2DConditionModel(
            **_UNET,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=32,
        )
        vae = _vae()
    write_pipeline(folder, unet=unet, text_encoder=encoder, vae=vae, tokenizer=tokenizer)
    return folder


def build_tiny_sdxl(folder: Path, seed: int) -> Path:
    """Write a random SDXL model in diffusers format, as `build_tiny_sd15` does one of SD 1.x."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    tokenizer, second = build_tokenizer(), build_tokenizer()
    second.pad_token = "!"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        small = CLIPTextModel(_clip_config(tokenizer, 32, num_hidden_layers=3))
        large = CLIPTextModelWithProjection(
            _clip_config(second, 24, projection_dim=16, hidden_act="gelu", num_hidden_layers=3)
        )
        unet = UNet2DConditionModel(
            **_UNET,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2),
            use_linear_projection=True,
            cross_attention_dim=32 + 24,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=16 + 6 * 8,
        )
        vae = _vae(scaling_factor=0.13025)
    write_pipeline(
        folder,
        pipeline="StableDiffusionXLPipeline",
        unet=unet,
        text_encoder=small,
        text_encoder_2=large,
        vae=vae,
        tokenizer=tokenizer,
        tokenizer_2=second,
    )
    return folder


def build_vocabulary(folder: Path) -> Any:
    """A ChatGLM tokenizer of some words and all bytes, written into `folder`."""
    from diffusers.pipelines.kolors.tokenizer import ChatGLMTokenizer
    from sentencepiece import SentencePieceTrainer

    folder.mkdir(parents=True, exist_ok=True)
    written = BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter([_WORDS] * 4),
        model_writer=written,
        model_type="bpe",
        vocab_size=400,
        byte_fallback=True,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    (folder / "tokenizer.model").write_bytes(written.getvalue())
    return ChatGLMTokenizer(str(folder / "tokenizer.model"))


def build_tiny_kolors(folder: Path, seed: int) -> Path:
    """Write a random Kolors model in diffusers format, as `build_tiny_sd15` does one of SD 1.x."""
    from diffusers import UNet2DConditionModel
    from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig, ChatGLMModel

    tokenizer = build_vocabulary(folder / "tokenizer")
    config = ChatGLMConfig(
        num_layers=3,
        padded_vocab_size=tokenizer.vocab_size + 8,
        hidden_size=16,
        ffn_hidden_size=32,
        kv_channels=8,
        num_attention_heads=2,
        multi_query_attention=True,
        multi_query_group_num=1,
        add_qkv_bias=True,
        seq_length=512,
        original_rope=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = ChatGLMModel(config, empty_init=False)
        with torch.no_grad():
            for parameter in encoder.parameters():
                # Its classes leave them as they come: memory that nobody has written to.
                if parameter.ndim > 1:
                    torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
                else:
                    torch.nn.init.normal_(parameter, mean=1.0, std=0.1)
        unet = UNet2DConditionModel(
            **_UNET,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2),
            use_linear_projection=True,
            cross_attention_dim=12,
            encoder_hid_dim=16,
            encoder_hid_dim_type="text_proj",
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=16 + 6 * 8,
        )
        vae = _vae(scaling_factor=0.13025)
    write_pipeline(
        folder,
        pipeline="KolorsPipeline",
        scheduler={"num_train_timesteps": 1100, "beta_end": 0.014},
        unet=unet,
        text_encoder=encoder,
        vae=vae,
        tokenizer=tokenizer,
    )
    return folder


_UNET: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "norm_num_groups": 8,
}


def _clip_config(tokenizer: Any, width: int, **changes: Any) -> Any:
    from transformers import CLIPTextConfig

    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 77,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return CLIPTextConfig(**(settings | changes))


def _vae(**changes: Any) -> Any:
    from diffusers import AutoencoderKL

    settings: dict[str, Any] = {
        "block_out_channels": (8, 8, 16, 16),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 1,
        "latent_channels": 4,
        "norm_num_groups": 4,
        "sample_size": 64,
    }
    return AutoencoderKL(**(settings | changes))


def write_pipeline(
    folder: Path,
    *,
    pipeline: str = "StableDiffusionPipeline",
    scheduler: dict[str, Any] | None = None,
    **parts: Any,
) -> None:
    """Write parts under their names as a diffusers folder; `scheduler` changes SD 1.5's."""
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
    index: dict[str, Any] = {"_class_name": pipeline, "scheduler": ["diffusers", "DDIMScheduler"]}
    if pipeline == "StableDiffusionPipeline":
        absent = [None, None]
        index |= {"feature_extractor": absent, "safety_checker": absent}
        index["requires_safety_checker"] = False
    DDIMScheduler(**(settings | (scheduler or {}))).save_pretrained(folder / "scheduler")
    for name, part in parts.items():
        library, kind = type(part).__module__.split(".")[0], type(part).__name__
        if "GLM" in kind:
            library = "kolors"  # diffusers looks for these beside the pipeline
        if isinstance(part, torch.nn.Module):
            part.save_pretrained(folder / name, safe_serialization=True)
        else:
            part.save_pretrained(folder / name)
        index[name] = [library, "CLIPTokenizer" if kind.startswith("CLIPTokenizer") else kind]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")
