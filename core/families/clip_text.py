"""Prompts of any length through a CLIP text encoder, in chunks of 75 tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def prompt_ids(tokenizer: Any, prompt: str) -> list[int]:
    """The tokens of a prompt, all of them, without start and end marks."""
    return list(tokenizer(prompt, add_special_tokens=False, verbose=False).input_ids)


def chunked_ids(tokenizer: Any, prompts: Sequence[str]) -> torch.Tensor:
    """Token ids (B, n x L) int64, L being the encoder's length (77).

    Each chunk of L - 2 tokens has its own start and end mark, the rest of it is the tokenizer's
    padding token; every prompt has the chunks of the longest, those left over being empty.
    """
    length = int(tokenizer.model_max_length)
    room = length - 2
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    ids = [prompt_ids(tokenizer, prompt) for prompt in prompts]
    chunks = max(1, *(-(-len(tokens) // room) for tokens in ids)) if ids else 1
    rows = []
    for tokens in ids:
        row: list[int] = []
        for first in range(0, chunks * room, room):
            part = [tokenizer.bos_token_id, *tokens[first : first + room], tokenizer.eos_token_id]
            row += part + [pad] * (length - len(part))
        rows.append(row)
    return torch.tensor(rows, dtype=torch.int64).reshape(len(rows), chunks * length)


def encode(encoder: torch.nn.Module, tokens: torch.Tensor, length: int, skip: int) -> torch.Tensor:
    """Embeddings (B, n x L, D) float32 of chunked ids (B, n x L).

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
    return states.float().reshape(count, total, -1)
