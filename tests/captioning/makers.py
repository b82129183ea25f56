"""What tests of taggers share: a tag list and the weights behind it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

MakeTagger = Callable[..., Path]
SIDE = 8
TAGS = [
    ("general", 9),
    ("sensitive", 9),
    ("1girl", 0),
    ("long_hair", 0),
    ("^_^", 0),
    ("smile_(happy)", 0),
    ("hatsune_miku", 4),
    ("rin_(lamp)", 4),
]


def tag_list(tags: list[tuple[str, int]] = TAGS) -> str:
    rows = [f"{number},{name},{kind},{100 - number}" for number, (name, kind) in enumerate(tags)]
    return "\n".join(["tag_id,name,category,count", *rows]) + "\n"


def weights_of(seed: int = 0, tags: int = len(TAGS)) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    weights = generator.normal(0, 0.3, (SIDE * SIDE * 3, tags)).astype(np.float32)
    return weights, generator.normal(0, 1, tags).astype(np.float32)
