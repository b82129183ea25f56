"""Random numbers that depend on named whole numbers only, never on what ran before."""

from __future__ import annotations

import hashlib
import random


def stable_seed(*numbers: int) -> int:
    """A seed in 0 .. 2**63 - 1 from whole numbers; the same on every machine and Python."""
    text = ",".join(str(int(number)) for number in numbers)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def seed_of_name(name: str) -> int:
    """A seed from a file's name, as `stable_seed` gives from numbers."""
    return stable_seed(*name.encode("utf-8", "surrogatepass"))


def stable_order(count: int, *numbers: int) -> list[int]:
    """A permutation of range(count) drawn from `stable_seed(*numbers)`.

    Sorting random keys is used because Python promises that `random()` stays the same between
    its versions, but not `shuffle()`.
    """
    generator = random.Random(stable_seed(*numbers))
    keys = [generator.random() for _ in range(count)]
    return sorted(range(count), key=keys.__getitem__)
