"""Counting what a text encoder sees of captions, without loading torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.data.textfile import without_surrogates
from core.errors import UserError, fail
from core.families.folders import part_files
from core.families.registry import family
from core.paths import resources_dir

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from core.families.base import BaseModelFile

# One chunk of a CLIP text encoder: 77 less its start and end mark.
CHUNK = 75
_START, _END = "<|startoftext|>", "<|endoftext|>"
# OpenAI's simple_tokenizer.py: marks, English endings, words, single digits, other signs.
_PIECES = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
_AT_ONCE = 4096
# That of ChatGLM, in the format of SentencePiece.
_PIECES_FILE = "tokenizer.model"
_VOCABULARIES = ("tokenizer.json", "vocab.json", _PIECES_FILE)


def count_tokens(texts: Sequence[str], tokenizer_folder: Path | None = None) -> list[int]:
    """How many tokens each text has, start and end marks not counted; nothing is cut off.

    tokenizer_folder: holds tokenizer.json, vocab.json and merges.txt, or tokenizer.model; by
    default that of Stable Diffusion 1.x, whose vocabulary SDXL shares. Raises UserError when they
    cannot be read.
    """
    folder = tokenizer_folder or resources_dir() / "models" / "sd15" / "tokenizer"
    if (folder / _PIECES_FILE).is_file():
        pieces = _sentencepiece(folder)
        return [len(pieces.encode(without_surrogates(text))) for text in texts]
    tokenizer = _tokenizer(folder)
    counts: list[int] = []
    for start in range(0, len(texts), _AT_ONCE):
        some = [without_surrogates(text) for text in texts[start : start + _AT_ONCE]]
        encoded = tokenizer.encode_batch_fast(some, add_special_tokens=False)
        counts += [len(one) for one in encoded]
    return counts


def tokens_of(base: BaseModelFile | None) -> Callable[[Sequence[str]], list[int]]:
    """What counts the tokens of captions for a base model: its own tokenizer where it comes with
    a good one, else that of Stable Diffusion 1.x."""
    try:
        folder = _tokenizer_folder(base) if base is not None else None
        if folder is None or not any((folder / name).is_file() for name in _VOCABULARIES):
            return count_tokens
        count_tokens([""], folder)
    except UserError:
        return count_tokens  # loading the model will tell
    return partial(count_tokens, tokenizer_folder=folder)


def _tokenizer_folder(base: BaseModelFile) -> Path | None:
    """The folder of the first text encoder's tokenizer; None inside of a single file."""
    own = part_files(base, family(base.family).info.of("text")[0])
    return own.tokenizer if own is not None else None


@lru_cache(maxsize=4)
def _tokenizer(folder: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        if (folder / "tokenizer.json").is_file():
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            tokenizer.no_truncation()
            tokenizer.no_padding()
            return tokenizer
        return _from_vocabulary(folder)
    except Exception as error:  # the library raises bare Exception for whatever is wrong
        raise _unreadable(folder, error) from error


@lru_cache(maxsize=4)
def _sentencepiece(folder: Path) -> Any:
    try:
        from sentencepiece import SentencePieceProcessor

        return SentencePieceProcessor(model_file=str(folder / _PIECES_FILE))
    except Exception as error:
        raise _unreadable(folder, error) from error


def _unreadable(folder: Path, error: Exception) -> UserError:
    return fail(
        "tokenizer_unreadable",
        f"The tokenizer in {folder} cannot be read; download or copy the model again.",
        detail=str(error),
        file=str(folder),
    )


def _from_vocabulary(folder: Path) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
    from tokenizers.models import BPE

    model = BPE.from_file(
        str(folder / "vocab.json"),
        str(folder / "merges.txt"),
        unk_token=_END,
        end_of_word_suffix="</w>",
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.add_special_tokens([_START, _END])
    return tokenizer
