"""Loading CLIP text encoders, and prompts of any length through them, in chunks of 75 tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from core.errors import fail
from core.families.base import Conditioning, Part
from core.families.configs import read_json
from core.families.sources import Source
from core.families.weights import build, fill, materialise_positions


def prompt_ids(tokenizer: Any, prompt: str) -> list[int]:
    """The tokens of a prompt, all of them, without start and end marks."""
    return list(tokenizer(prompt, add_special_tokens=False, verbose=False).input_ids)


def chunks_of(tokenizer: Any, prompt: str) -> int:
    """How many chunks a prompt takes, at least one."""
    room = int(tokenizer.model_max_length) - 2
    return max(1, -(-len(prompt_ids(tokenizer, prompt)) // room))


def chunked_ids(tokenizer: Any, prompts: Sequence[str], chunks: int | None = None) -> torch.Tensor:
    """Token ids (B, n x L) int64, L being the encoder's length (77), n `chunks`.

    Each chunk of L - 2 tokens has its own start and end mark, the rest of it is the tokenizer's
    padding token; every prompt has the chunks of the longest, those left over being empty.
    """
    length = int(tokenizer.model_max_length)
    room = length - 2
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    ids = [prompt_ids(tokenizer, prompt) for prompt in prompts]
    if chunks is None:
        chunks = max((-(-len(tokens) // room) for tokens in ids), default=1) or 1
    rows = []
    for tokens in ids:
        row: list[int] = []
        for first in range(0, chunks * room, room):
            part = [tokenizer.bos_token_id, *tokens[first : first + room], tokenizer.eos_token_id]
            row += part + [pad] * (length - len(part))
        rows.append(row)
    return torch.tensor(rows, dtype=torch.int64).reshape(len(rows), chunks * length)


def encode(encoder: torch.nn.Module, tokens: torch.Tensor, length: int, skip: int) -> torch.Tensor:
    """Embeddings (B, n x L, D) of chunked ids (B, n x L), in the encoder's number format.

    skip: how many of the last layers to leave out. The encoder's final norm is applied after
    whichever layer is the last, as the SD 1.x tools have it.
    """
    count, total = tokens.shape
    device = next(encoder.parameters()).device
    flat = tokens.to(device).reshape(count * (total // length), length)
    if skip == 0:
        states = encoder(input_ids=flat).last_hidden_state
    else:
        layers = encoder(input_ids=flat, output_hidden_states=True).hidden_states
        # transformers before 5.6 keep the network one level deeper.
        inner = getattr(encoder, "text_model", encoder)
        states = inner.final_layer_norm(layers[-(skip + 1)])
    return states.reshape(count, total, -1)


class ClipText:
    """The text side of a model with one CLIP text encoder; see `core.families.base.TextSide`.

    skip: how many of the encoder's last layers to leave out.
    """

    def __init__(self, tokenizer: Any, encoder: torch.nn.Module, skip: int) -> None:
        self.tokenizer, self.encoder, self.skip = tokenizer, encoder, skip
        self.width = int(encoder.config.hidden_size)  # type: ignore[union-attr,arg-type]

    def length(self, caption: str) -> int:
        """The length of a caption alone: whole chunks of 77."""
        return chunks_of(self.tokenizer, caption) * int(self.tokenizer.model_max_length)

    def count(self, caption: str) -> int:
        """Tokens of a caption without start and end marks."""
        return len(prompt_ids(self.tokenizer, caption))

    def encode(self, captions: Sequence[str], length: int | None = None) -> Conditioning:
        """`embeddings` (B, n x 77, D); a shorter caption is followed by empty chunks."""
        one = int(self.tokenizer.model_max_length)
        ids = chunked_ids(self.tokenizer, captions, length // one if length else None)
        return {"embeddings": encode(self.encoder, ids, one, self.skip)}


def load_clip(source: Source, dtype: torch.dtype, digest: Any, *, projection: bool = False) -> Any:
    """A CLIP text encoder in main memory, with its projection of pooled vectors where asked for.

    digest: updated with everything that its output depends on. Raises UserError as `fill` does.
    """
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = read_json(source.config)
    kind = CLIPTextModelWithProjection if projection else CLIPTextModel
    encoder = build(lambda: kind(CLIPTextConfig(**config)), source.config)

    def names(name: str) -> list[str]:
        if name == "text_projection.weight":
            return [name]
        bare = name.removeprefix("text_model.")
        return [f"text_model.{bare}", bare]

    def ignore(name: str) -> bool:
        # Position numbers, and of full CLIP models what compares texts with pictures.
        unused = ("position_ids", "logit_scale")
        return name.endswith(unused if projection else (*unused, "text_projection.weight"))

    what = source.part.title
    fill(encoder, source.tensors, names, what=what, dtype=dtype, ignore=ignore, digest=digest)
    materialise_positions(encoder)
    digest.update(json.dumps(config, sort_keys=True, default=str).encode())
    return encoder


def load_tokenizer(folder: Path, digest: Any, **changes: str) -> Any:
    """A CLIP tokenizer. Raises UserError `base_unreadable`.

    changes: special tokens that differ from what the folder says.
    """
    from transformers import CLIPTokenizer

    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        if (folder / name).is_file():
            digest.update(name.encode() + (folder / name).read_bytes())
    try:
        tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True, **changes)
    except Exception as error:
        raise fail(
            "base_unreadable",
            f"The tokenizer in {folder} cannot be read; download or copy the model again.",
            detail=str(error),
            file=str(folder),
        ) from error
    if tokenizer.model_max_length > 10_000:
        # transformers' "unknown": older folders lack tokenizer_config.json.
        tokenizer.model_max_length = 77
    return tokenizer


def check_skip(encoder: Any, skip: int, part: Part) -> None:
    """Raise UserError `clip_skip_too_large` unless enough layers are left after `skip`."""
    layers = encoder.config.num_hidden_layers
    if skip + part.layers_left > layers:
        raise fail(
            "clip_skip_too_large",
            f"model.clip_skip is {skip}, but the {part.title} has only {layers} layers; lower it.",
            setting="model.clip_skip",
        )
