"""Captions as lists of tags: splitting, and dropping or shuffling tags at random."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from functools import lru_cache

from core.config.concepts import CaptionAugmentation

_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_ESCAPED = re.compile(r"\\.")
# More commas than anybody emphasises at once; looking on for the end would take long.
_HELD_AT_MOST = 64


# kohya's keep_tokens_separator: what stands before it stays in its place.
KEEP_SEPARATOR = "|||"
_COMMAS = re.compile("[,，、]")


def split_tags(caption: str) -> list[str]:
    """The comma-separated tags of a caption, without empty ones.

    The commas of Chinese and Japanese (，、) separate as well. Commas inside brackets do not where
    the brackets hold whole tags, as those for emphasis do in `(red, blue:1.2)`; so faces such as
    `:(` are tags of their own.
    """
    return [tag for part in split_parts(caption) if (tag := part.strip())]


def split_parts(caption: str) -> list[str]:
    """What stands between the commas that separate tags, spaces and empty parts included.

    Joined by commas they are the caption again, but for full-width commas.
    """
    parts = caption.split(",") if caption.isascii() else _COMMAS.split(caption)
    return _in_brackets(parts) if any(bracket in caption for bracket in _BRACKETS) else parts


def _in_brackets(parts: list[str]) -> list[str]:
    """The parts of a caption, those from one that begins with a bracket to the one that ends with
    its counterpart as one."""
    joined: list[str] = []
    place = 0
    while place < len(parts):
        end = _closing(parts, place)
        joined.append(",".join(parts[place : end + 1]))
        place = end + 1
    return joined


def _closing(parts: list[str], first: int) -> int:
    """The last of the parts that a bracket at the beginning of part `first` holds together;
    `first` itself where nothing is to be held."""
    opened = parts[first].lstrip()[:1]
    if opened not in _BRACKETS:
        return first
    depth = 0
    for place in range(first, min(first + _HELD_AT_MOST, len(parts))):
        plain = _ESCAPED.sub("", parts[place])
        depth += plain.count(opened) - plain.count(_BRACKETS[opened])
        if depth <= 0:
            return place if plain.rstrip().endswith(_BRACKETS[opened]) else first
    return first


def join_tags(tags: Iterable[str]) -> str:
    """The caption made of these tags."""
    return ", ".join(tags)


def has_word(caption: str, word: str) -> bool:
    """Whether `word` (one or several words) stands in the caption on its own, in any case."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", caption, re.IGNORECASE) is not None


def varies(augmentation: CaptionAugmentation) -> bool:
    """Whether tags are shuffled or dropped at all."""
    return augmentation.shuffle or augmentation.tag_dropout > 0


def vary_tags(
    caption: str, augmentation: CaptionAugmentation, trigger: str, generator: random.Random
) -> str:
    """The caption with tags left out and shuffled as `augmentation` says.

    The first `keep` tags, those before kohya's `|||` (and behind a second one) and those that
    hold the trigger word stay, each in its place in the order. A caption that loses nothing and
    is not shuffled is given back as it was.
    """
    before, *behind = caption.split(KEEP_SEPARATOR)
    caption = without_separator(caption)
    tags = split_tags(caption)
    fixed = set(range(augmentation.keep)) | _trigger_places(tags, trigger)
    if behind:
        fixed |= set(range(len(split_tags(before))))
        last = split_tags(behind[-1]) if len(behind) > 1 else []
        fixed |= set(range(len(tags) - len(last), len(tags)))
    kept = list(range(len(tags)))
    if augmentation.tag_dropout > 0:
        kept = [
            place
            for place in kept
            if place in fixed
            or not may_drop(tags[place], augmentation)
            or generator.random() >= augmentation.tag_dropout
        ]
    if not augmentation.shuffle:
        return caption if len(kept) == len(tags) else join_tags([tags[place] for place in kept])
    moving = [place for place in kept if place not in fixed]
    keys = [generator.random() for _ in moving]
    shuffled = iter(sorted(range(len(moving)), key=keys.__getitem__))
    order = [place if place in fixed else moving[next(shuffled)] for place in kept]
    return join_tags([tags[place] for place in order])


def without_separator(caption: str) -> str:
    """The caption with kohya's `|||` replaced by commas, which is what it means to the model."""
    if KEEP_SEPARATOR not in caption:
        return caption
    return join_tags([part for p in caption.split(KEEP_SEPARATOR) if (part := p.strip(" ,"))])


def may_drop(tag: str, augmentation: CaptionAugmentation) -> bool:
    """Whether the settings allow a tag to be left out."""
    if augmentation.tag_dropout_for == "all":
        return True
    listed = _pattern(augmentation.tag_list).fullmatch(_plain(tag)) is not None
    return listed == (augmentation.tag_dropout_for == "listed")


@lru_cache(maxsize=64)
def _pattern(tag_list: str) -> re.Pattern[str]:
    tags = [_plain(tag) for line in tag_list.splitlines() for tag in split_tags(line)]
    if not tags:
        return re.compile(r"(?!)")
    return re.compile("|".join(re.escape(tag).replace(r"\*", ".*") for tag in tags), re.DOTALL)


def _plain(tag: str) -> str:
    return " ".join(tag.casefold().replace("_", " ").split())


def _trigger_places(tags: list[str], trigger: str) -> set[int]:
    """The places of the tags that hold the trigger word, which may have commas itself."""
    wanted = split_tags(trigger)
    if not wanted:
        return set()
    count, text = len(wanted), join_tags(wanted)
    places: set[int] = set()
    for start in range(len(tags) - count + 1):
        if has_word(join_tags(tags[start : start + count]), text):
            places.update(range(start, start + count))
    return places
