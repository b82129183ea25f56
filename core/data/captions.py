"""Captions: reading them, making them from settings, and changing them anew at each step."""

from __future__ import annotations

import os
import random
import re
from functools import lru_cache
from pathlib import Path

from core.config.concepts import CaptionAugmentation, Concept
from core.data.seeds import stable_seed
from core.data.textfile import CaptionError, CaptionText, read_caption_file, read_text
from core.paths import user_path

__all__ = ["CaptionError", "CaptionText", "read_caption_file", "read_text"]

CAPTION_SUFFIXES = (".txt", ".caption")


def caption_lines(text: str) -> tuple[str, ...]:
    """The captions in a text: its lines that are not empty, without trailing commas."""
    lines = (line.strip().rstrip(",").rstrip() for line in text.splitlines())
    return tuple(line for line in lines if line)


def caption_path(picture: Path) -> Path | None:
    """The caption file beside a picture: .txt, else .caption, else None."""
    for suffix in CAPTION_SUFFIXES:
        path = picture.with_suffix(suffix)
        if path.is_file():
            return path
    return None


def caption_file_of(concept: Concept, picture: Path) -> Path | None:
    """The file that editing this picture's caption writes: the one it has, else the .txt beside it.

    None when the concept's captions come from elsewhere.
    """
    if concept.prompt.source != "caption_file":
        return None
    return caption_path(picture) or picture.with_suffix(CAPTION_SUFFIXES[0])


def captions_of(concept: Concept, picture: Path) -> tuple[tuple[str, ...], bool]:
    """The alternative captions of a picture, trigger word included, and whether none was found.

    Without any there is one: the trigger word, or "". Raises CaptionError when a file that
    should hold them cannot be read, or the concept's one caption file is missing.
    """
    prompt = concept.prompt
    trigger = prompt.trigger.strip()
    captions: tuple[str, ...]
    match prompt.source:
        case "caption_file":
            captions = _captions_beside(picture)
        case "single_file":
            captions = _captions_in(user_path(prompt.file))
        case "filename":
            captions = (clean_name(picture.stem),)
        case "fixed":
            text = prompt.text.replace("{trigger}", trigger)
            captions = (" ".join(text.replace("{filename}", clean_name(picture.stem)).split()),)
    captions = tuple(caption for caption in captions if caption)
    missing = not captions and not (prompt.source == "fixed" and trigger)
    return _with_trigger(captions or ("",), trigger), missing


def _captions_beside(picture: Path) -> tuple[str, ...]:
    for suffix in CAPTION_SUFFIXES:
        try:
            return caption_lines(read_text(picture.with_suffix(suffix)))
        except FileNotFoundError:
            continue
    return ()


def _captions_in(path: Path) -> tuple[str, ...]:
    try:
        status = os.stat(path)
        return _captions_in_version(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise CaptionError(f"The file cannot be read ({error.strerror or error}).") from error


@lru_cache(maxsize=8)
def _captions_in_version(path: Path, mtime_ns: int, size: int) -> tuple[str, ...]:
    return caption_lines(read_text(path))


def clean_name(stem: str) -> str:
    """A file name as words: `a_red-robot (3)` and `a_red-robot_003` give `a red robot`.

    A name that is nothing but a number gives "".
    """
    text = " ".join(re.sub(r"[_\-]+", " ", stem).split())
    return re.sub(r"(^|\s+)(\d+|\(\d+\))(\s+\d+|\s*\(\d+\))*$|\s*\(\d+\)$", "", text).strip()


@lru_cache(maxsize=64)
def _with_trigger(captions: tuple[str, ...], trigger: str) -> tuple[str, ...]:
    return tuple(with_trigger(caption, trigger) for caption in captions)


def with_trigger(caption: str, trigger: str) -> str:
    """The caption with the trigger word in front, unless it has it as a whole word.

    Capitals don't matter, as text encoders don't see them.
    """
    if not trigger or has_word(caption, trigger):
        return caption
    return f"{trigger}, {caption}" if caption else trigger


def has_word(caption: str, word: str) -> bool:
    """Whether `word` (one or several words) stands in the caption on its own."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", caption, re.IGNORECASE) is not None


def augment_caption(caption: str, augmentation: CaptionAugmentation, *numbers: int) -> str:
    """The caption as it is shown this time; depends on nothing but the arguments.

    numbers: what the showing is known by, such as (seed, epoch, item id, repeat). Dropout gives
    ""; shuffling puts the comma-separated tags behind the kept first ones into a new order.
    """
    if augmentation.dropout <= 0 and not augmentation.shuffle:
        return caption
    generator = random.Random(stable_seed(*numbers))
    if generator.random() < augmentation.dropout:
        return ""
    if not augmentation.shuffle:
        return caption
    tags = [tag.strip() for tag in caption.split(",")]
    tags = [tag for tag in tags if tag]
    keep, rest = tags[: augmentation.keep], tags[augmentation.keep :]
    keys = [generator.random() for _ in rest]
    order = sorted(range(len(rest)), key=keys.__getitem__)
    return ", ".join(keep + [rest[index] for index in order])


def choose_caption(captions: tuple[str, ...], *numbers: int) -> str:
    """One of the alternatives at random; depends on nothing but the arguments."""
    if len(captions) == 1:
        return captions[0]
    return captions[int(random.Random(stable_seed(*numbers)).random() * len(captions))]
