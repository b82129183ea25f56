"""The JSON files of a diffusers model folder, held against bounds before anything is built of them.

Bounds are a good deal wider than any model that is known, and narrow enough that a damaged or
malicious file cannot build a network of a terabyte. Names: the config.json of diffusers' and
transformers' classes. Torch-free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.errors import UserError, fail, shortened
from core.reading import LARGEST_JSON, Unreadable, parse_json, read_bytes

_Count = Annotated[int, Field(ge=1, le=16384)]
_Channels = Annotated[int, Field(ge=1, le=64)]
_Layers = Annotated[int, Field(ge=1, le=32)]
_Side = Annotated[int, Field(ge=1, le=1024)]
_Blocks = Annotated[list[_Count], Field(min_length=1, max_length=8)]
_Name = Annotated[str, Field(max_length=100)]
_Names = Annotated[list[_Name], Field(max_length=8)]
_Beta = Annotated[float, Field(gt=0, lt=1)]
_Heads = Annotated[list[_Count], Field(max_length=8)]


class _Config(BaseModel):
    """Strict: a number in quotes, `true` for 1, NaN and the like are damage, not spelling."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class UNetConfig(_Config):
    """unet/config.json of UNet2DConditionModel."""

    in_channels: _Channels = 4
    out_channels: _Channels = 4
    block_out_channels: _Blocks
    layers_per_block: _Layers | Annotated[list[_Layers], Field(max_length=8)] = 2
    down_block_types: _Names = Field(default=[], validate_default=False)
    up_block_types: _Names = Field(default=[], validate_default=False)
    transformer_layers_per_block: int | list[Any] = 1
    cross_attention_dim: _Count | Annotated[list[_Count], Field(max_length=8)] = 1280
    attention_head_dim: _Count | _Heads | None = 8
    num_attention_heads: _Count | _Heads | None = None
    norm_num_groups: _Count | None = 32
    norm_eps: _Beta = 1e-5
    sample_size: _Side | Annotated[list[_Side], Field(min_length=2, max_length=2)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> UNetConfig:
        blocks = len(self.block_out_channels)
        per_block = ("layers_per_block", "attention_head_dim", "num_attention_heads")
        for name in ("down_block_types", "up_block_types", *per_block):
            value = getattr(self, name)
            # Types that are not given are those of four blocks.
            given = name in self.model_fields_set
            if isinstance(value, list) and given and len(value) != blocks:
                raise ValueError(f"{name} has {len(value)} entries for {blocks} blocks")
        depths = self.transformer_layers_per_block
        if any(not 1 <= depth <= 32 for depth in _flat(depths)):
            raise ValueError("transformer_layers_per_block must lie between 1 and 32")
        _check_groups(self.norm_num_groups, self.block_out_channels)
        return self


class VaeConfig(_Config):
    """vae/config.json of AutoencoderKL."""

    in_channels: Literal[3] = 3
    out_channels: Literal[3] = 3
    block_out_channels: _Blocks
    layers_per_block: _Layers = 1
    down_block_types: _Names | None = None
    up_block_types: _Names | None = None
    latent_channels: _Channels = 4
    norm_num_groups: _Count = 32
    scaling_factor: Annotated[float, Field(gt=0, le=1000)] = 0.18215
    shift_factor: Annotated[float, Field(ge=-1000, le=1000)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> VaeConfig:
        blocks = len(self.block_out_channels)
        for name in ("down_block_types", "up_block_types"):
            value = getattr(self, name)
            if value is not None and len(value) != blocks:
                raise ValueError(f"{name} has {len(value)} entries for {blocks} blocks")
        _check_groups(self.norm_num_groups, self.block_out_channels)
        return self


class TextEncoderConfig(_Config):
    """text_encoder/config.json of CLIPTextModel."""

    vocab_size: Annotated[int, Field(ge=2, le=1_000_000)] = 49408
    hidden_size: _Count = 512
    intermediate_size: Annotated[int, Field(ge=1, le=65536)] = 2048
    num_hidden_layers: Annotated[int, Field(ge=1, le=128)] = 12
    num_attention_heads: Annotated[int, Field(ge=1, le=256)] = 8
    max_position_embeddings: Annotated[int, Field(ge=3, le=8192)] = 77
    layer_norm_eps: _Beta = 1e-5

    @model_validator(mode="after")
    def _fits(self) -> TextEncoderConfig:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} cannot be divided among "
                f"{self.num_attention_heads} num_attention_heads"
            )
        return self


class ChatGLMSettings(_Config):
    """text_encoder/config.json of ChatGLMModel."""

    num_layers: Annotated[int, Field(ge=2, le=128)] = 28
    padded_vocab_size: Annotated[int, Field(ge=2, le=1_000_000)] = 65024
    hidden_size: _Count = 4096
    ffn_hidden_size: Annotated[int, Field(ge=1, le=65536)] = 13696
    kv_channels: Annotated[int, Field(ge=4, le=1024)] = 128
    num_attention_heads: Annotated[int, Field(ge=1, le=256)] = 32
    multi_query_group_num: Annotated[int, Field(ge=1, le=256)] = 1
    # The network makes a table of so many positions at each call.
    seq_length: Annotated[int, Field(ge=256, le=2**20)] = 2048
    pre_seq_len: None = None
    quantization_bit: Literal[0] = 0


class SchedulerConfig(_Config):
    """scheduler/scheduler_config.json of the schedulers for discrete timesteps.

    The noise has no defaults here: those of the libraries are not what any such model was trained
    with.
    """

    num_train_timesteps: Annotated[int, Field(ge=2, le=100_000)]
    beta_schedule: Literal["linear", "scaled_linear"]
    beta_start: _Beta
    beta_end: _Beta
    trained_betas: Annotated[list[_Beta], Field(min_length=2, max_length=100_000)] | None = None
    prediction_type: Annotated[str, Field(max_length=100)] = "epsilon"
    rescale_betas_zero_snr: bool = False

    @model_validator(mode="after")
    def _fits(self) -> SchedulerConfig:
        if self.beta_start > self.beta_end:
            raise ValueError(f"beta_start {self.beta_start:g} is above beta_end {self.beta_end:g}")
        if self.trained_betas and len(self.trained_betas) != self.num_train_timesteps:
            raise ValueError(
                f"trained_betas holds {len(self.trained_betas)} numbers for "
                f"{self.num_train_timesteps} timesteps"
            )
        return self


C = TypeVar("C", bound=_Config)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises UserError `base_incomplete` (absent) or `base_unreadable`."""
    try:
        data = parse_json(read_bytes(path, LARGEST_JSON))
    except Unreadable as error:
        raise (missing(path) if error.why == "missing" else damaged(path, str(error))) from None
    if not isinstance(data, dict):
        raise damaged(path, "does not hold a JSON object in braces")
    return data


def read_config(path: Path, kind: type[C]) -> C:
    """A part's settings within their bounds.

    Raises UserError `base_incomplete` (absent) or `base_unreadable`, which names the setting.
    """
    data = read_json(path)
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise damaged(path, _first_fault(error)) from None


def check_tokenizer(folder: Path, encoder: TextEncoderConfig) -> None:
    """Refuse a tokenizer that is absent, or gives tokens that the text encoder has no row for.

    Raises UserError `base_incomplete`, `base_unreadable` or `base_unexpected_weights`.
    """
    whole = folder / "tokenizer.json"
    if whole.is_file():
        known = _ids_of(whole)
    else:
        if not (folder / "merges.txt").is_file():
            raise missing(folder / "merges.txt")
        whole = folder / "vocab.json"
        known = _numbered(whole, read_json(whole))
    ids = known.values()
    if ids and max(ids) >= encoder.vocab_size:
        raise fail(
            "base_unexpected_weights",
            f"{folder.name}/{whole.name} has the token {max(ids)}, but the text encoder knows only "
            f"{encoder.vocab_size} tokens; the folder mixes two models.",
            file=str(whole),
        )
    settings = folder / "tokenizer_config.json"
    said = read_json(settings) if settings.is_file() else {}
    for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
        token = said.get(name)
        token = token.get("content") if isinstance(token, dict) else token
        # A token that is not in the vocabulary would be given the number behind its last one.
        if token is not None and (not isinstance(token, str) or token not in known):
            raise damaged(settings, f"has {name} = {shortened(token)}, which is not a token of it")
    length = said.get("model_max_length")
    # Older folders hold a number of 31 digits for "unknown".
    if type(length) is int and encoder.max_position_embeddings < length <= 10_000:
        raise fail(
            "base_unexpected_weights",
            f"{folder.name}/{settings.name} gives {length} tokens at once, but the text encoder "
            f"takes {encoder.max_position_embeddings}; the folder mixes two models.",
            file=str(settings),
        )
    if length is not None and (isinstance(length, bool) or (_is_number(length) and length < 3)):
        raise damaged(settings, f"has a model_max_length of {length}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _ids_of(file: Path) -> dict[str, int]:
    data = read_json(file)
    model, added = data.get("model"), data.get("added_tokens", [])
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocabulary, dict) or not isinstance(added, list):
        raise damaged(file, "holds no vocabulary")
    if any(not isinstance(one, dict) for one in added):
        raise damaged(file, "has tokens that are not numbered")
    return _numbered(file, vocabulary | {str(one.get("content")): one.get("id") for one in added})


def _numbered(file: Path, tokens: dict[str, Any]) -> dict[str, int]:
    if any(type(one) is not int or one < 0 for one in tokens.values()):
        raise damaged(file, "has tokens that are not numbered")
    return tokens


def _flat(value: Any) -> Sequence[int]:
    """The numbers of a list in lists; a thing that is not a number counts as 0."""
    if isinstance(value, list):
        return [number for one in value[:64] for number in _flat(one)]
    return [value if type(value) is int else 0]


def _check_groups(groups: int | None, blocks: Sequence[int]) -> None:
    if groups is not None and any(width % groups for width in blocks):
        raise ValueError(f"block_out_channels cannot be divided into norm_num_groups {groups}")


def _first_fault(error: ValidationError) -> str:
    first: Mapping[str, Any] = error.errors(include_url=False)[0]
    # A setting of several forms comes with one entry for each; the name alone is common.
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "missing":
        return f"lacks {name}"
    said = str(first["msg"]).removeprefix("Value error, ").replace("Input should", "it should")
    if not name:
        return f"makes no sense: {said}"
    return f"has {name} = {shortened(first['input'])}, which no such model has ({said})"


def missing(path: Path) -> UserError:
    """The complaint that a model folder lacks a file."""
    return fail(
        "base_incomplete",
        f"The model folder lacks {path.parent.name}/{path.name}; download or copy it again.",
        file=str(path),
    )


def damaged(path: Path, what: str) -> UserError:
    """The complaint about a file in a model folder; what: the rest of a sentence about it."""
    return fail(
        "base_unreadable",
        f"{path.parent.name}/{path.name} {what}; download or copy the model again.",
        file=str(path),
    )
