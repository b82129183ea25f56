"""Tokens are counted as the text encoder's own tokenizer does, without loading torch."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from core.data.tokens import count_tokens
from core.errors import UserError
from core.paths import resources_dir

WORDS = [
    "red",
    "robot",
    "standing",
    "near",
    "house",
    "一只猫",
    "café",
    "naïve's",
    "🤖",
    "it's",
    "1234",
    "x_y",
    "(big:1.2)",
    "\\(a\\)",
    "don't",
    "I'LL",
    "<|endoftext|>",
    "ſ",
    "İ",
    "ß",
    "ﬁ",
    "e\u0301",
    "𝒳",
    "...",
    "!!!",
    ":)",
    "long_hair\nnext\tline",
]


def _texts() -> list[str]:
    rng = random.Random(1)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(0, 150))) for _ in range(300)]
    ranges = ((32, 126), (160, 0x2FF), (0x4E00, 0x9FFF), (0x1F300, 0x1F6FF))
    for _ in range(200):
        texts.append("".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(60)))
    return texts


def test_the_same_as_transformers() -> None:
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(str(resources_dir() / "models/sd15/tokenizer"))
    texts = _texts()
    expected = [
        len(tokenizer(text, add_special_tokens=False, verbose=False).input_ids) for text in texts
    ]
    assert max(expected) > 200
    assert count_tokens(texts) == expected


def test_known_counts() -> None:
    # Counted by hand from OpenAI's vocabulary: words, comma, single digits.
    assert count_tokens(["", "a", "a red robot, standing", "2024", "\n"]) == [0, 1, 5, 4, 0]


def test_a_folder_with_tokenizer_json(tmp_path: Path) -> None:
    from core.families.tiny import build_tokenizer

    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(str(tmp_path))
    assert (tmp_path / "tokenizer.json").is_file()
    texts = _texts()[:50]
    assert count_tokens(texts, tmp_path) == [
        len(tokenizer(text, add_special_tokens=False, verbose=False).input_ids) for text in texts
    ]


def test_halves_of_characters_do_not_matter() -> None:
    assert count_tokens(["a \udcff robot"]) == count_tokens(["a \ufffd robot"])


@pytest.mark.parametrize("content", [None, "{not json"])
def test_a_broken_folder_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(UserError) as caught:
        count_tokens(["a"], tmp_path)
    assert str(tmp_path) in caught.value.problem.title


def test_counting_loads_nothing_heavy() -> None:
    code = (
        "import json, sys; from core.data.tokens import count_tokens; "
        "early = sorted(sys.modules); count_tokens(['a']); "
        "print(json.dumps([early, sorted(sys.modules)]))"
    )
    root = str(Path(__file__).resolve().parents[3])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    early, late = json.loads(done.stdout)
    assert "tokenizers" not in early
    assert not {"torch", "transformers", "numpy"} & set(late)
