"""Write resources/models/sd15: the settings and the tokenizer of Stable Diffusion 1.5, no weights.

With it a single-file checkpoint loads without any network. The numbers are those of the published
model; the tokenizer follows from CLIP's list of byte pairs by CLIP's published construction.

    pip download open_clip_torch --no-deps -d /tmp/clip
    python packaging/build_sd15_config.py /tmp/clip/open_clip_torch-*.whl

The argument is that wheel, or its file bpe_simple_vocab_16e6.txt.gz (MIT licence, OpenAI).
"""

from __future__ import annotations

import gzip
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "resources" / "models" / "sd15"
BPE_NAME = "bpe_simple_vocab_16e6.txt.gz"
START, END = "<|startoftext|>", "<|endoftext|>"
TOKENS = 49_408
MERGES = 49_152 - 256 - 2

MODEL_INDEX: dict[str, Any] = {
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
SCHEDULER: dict[str, Any] = {
    "_class_name": "DDIMScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
UNET: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "act_fn": "silu",
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "center_input_sample": False,
    "cross_attention_dim": 768,
    "down_block_types": [
        "CrossAttnDownBlock2D",
        "CrossAttnDownBlock2D",
        "CrossAttnDownBlock2D",
        "DownBlock2D",
    ],
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "out_channels": 4,
    "sample_size": 64,
    "up_block_types": [
        "UpBlock2D",
        "CrossAttnUpBlock2D",
        "CrossAttnUpBlock2D",
        "CrossAttnUpBlock2D",
    ],
}
VAE: dict[str, Any] = {
    "_class_name": "AutoencoderKL",
    "act_fn": "silu",
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "in_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "out_channels": 3,
    "sample_size": 512,
    "scaling_factor": 0.18215,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
TEXT_ENCODER: dict[str, Any] = {
    "architectures": ["CLIPTextModel"],
    "attention_dropout": 0.0,
    "bos_token_id": 49406,
    "eos_token_id": 49407,
    "hidden_act": "quick_gelu",
    "hidden_size": 768,
    "initializer_factor": 1.0,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 77,
    "model_type": "clip_text_model",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 49407,
    "projection_dim": 768,
    "vocab_size": TOKENS,
}
TOKENIZER: dict[str, Any] = {
    "add_prefix_space": False,
    "bos_token": START,
    "clean_up_tokenization_spaces": False,
    "do_lower_case": True,
    "eos_token": END,
    "errors": "replace",
    "model_max_length": 77,
    "pad_token": END,
    "tokenizer_class": "CLIPTokenizer",
    "unk_token": END,
}
LICENCE = """\
tokenizer/vocab.json and tokenizer/merges.txt follow from the byte-pair list of CLIP
(https://github.com/openai/CLIP), which has this licence:

MIT License

Copyright (c) 2021 OpenAI

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


def byte_letters() -> list[str]:
    """The letter that stands for each byte: printable bytes for themselves, first."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(rest))]


def vocabulary(merges: list[str]) -> dict[str, int]:
    """Token -> number: bytes, bytes that end a word, merged pairs, the two marks."""
    letters = byte_letters()
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    words += ["".join(pair.split()) for pair in merges]
    tokens = {word: number for number, word in enumerate([*words, START, END])}
    if len(tokens) != TOKENS:
        raise SystemExit(f"{len(tokens)} tokens instead of {TOKENS}: the byte-pair list is wrong")
    return tokens


def read_merges(source: Path) -> list[str]:
    """The byte pairs that CLIP uses, from the packed list or from a wheel that holds it."""
    if source.suffix == ".whl":
        with zipfile.ZipFile(source) as wheel:
            name = next(n for n in wheel.namelist() if n.endswith(BPE_NAME))
            packed = wheel.read(name)
    else:
        packed = source.read_bytes()
    lines = gzip.decompress(packed).decode("utf-8").split("\n")
    return lines[1 : MERGES + 1]


def write(path: Path, data: Any, **more: Any) -> None:
    """Write JSON in a form that does not change from run to run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, ensure_ascii=False, **more) + "\n", encoding="utf-8")


def main(source: Path) -> None:
    """Write the whole folder."""
    merges = read_merges(source)
    for name, data in (
        ("model_index.json", MODEL_INDEX),
        ("scheduler/scheduler_config.json", SCHEDULER),
        ("unet/config.json", UNET),
        ("vae/config.json", VAE),
        ("text_encoder/config.json", TEXT_ENCODER),
        ("tokenizer/tokenizer_config.json", TOKENIZER),
    ):
        write(TARGET / name, data, indent=2)
    write(TARGET / "tokenizer" / "vocab.json", vocabulary(merges), separators=(",", ":"))
    text = "\n".join(["#version: 0.2", *merges]) + "\n"
    (TARGET / "tokenizer" / "merges.txt").write_text(text, encoding="utf-8")
    (TARGET / "tokenizer" / "LICENSE-CLIP.txt").write_text(LICENCE, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
