"""Captions: reading them, making them from settings, and changing them again at each step."""

from __future__ import annotations

import contextlib
import os
import random
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from core.config.concepts import CaptionAugmentation, Concept
from core.data.companions import CAPTION_SUFFIXES, caption_beside
from core.data.metadata import table_of
from core.data.seeds import stable_seed
from core.data.tags import has_word, varies, vary_tags, without_separator
from core.data.textfile import (
    LARGEST_LIST,
    CaptionError,
    CaptionText,
    read_caption_file,
    read_text,
    without_surrogates,
)
from core.data.wildcards import expand, has_choices
from core.paths import user_path

__all__ = [
    "LARGEST_LIST",
    "CaptionError",
    "CaptionText",
    "has_word",
    "read_caption_file",
    "read_text",
]

_KOHYA = re.compile(r"(\d+)_(.*\S.*)")


def caption_lines(text: str) -> tuple[str, ...]:
    """The captions in a text: its lines that are not empty, without trailing commas."""
    lines = (line.strip().rstrip(",，、").rstrip() for line in text.splitlines())
    return tuple(line for line in lines if line)


def whole_caption(text: str) -> tuple[str, ...]:
    """The one caption that all lines of a text make, joined by spaces; () for an empty text."""
    caption = " ".join(text.split()).rstrip(",，、").rstrip()
    return (caption,) if caption else ()


def caption_path(picture: Path) -> Path | None:
    """The caption file beside a picture, however its name is spelled; None without one."""
    return caption_beside(picture)


def caption_file_of(concept: Concept, picture: Path) -> Path | None:
    """The file that editing this picture's caption writes: the one it has, else the .txt beside it.

    None when the concept's captions come from elsewhere.
    """
    if concept.prompt.source != "caption_file":
        return None
    return caption_path(picture) or picture.with_suffix(CAPTION_SUFFIXES[0])


def captions_of(
    concept: Concept, picture: Path, guesses: dict[Path, CaptionText] | None = None
) -> tuple[tuple[str, ...], bool]:
    """The alternative captions of a picture, trigger word included, and whether none was found.

    guesses: takes in the caption files whose encoding had to be guessed, as they were read.
    Without any there is one: the trigger word, or "". Raises CaptionError when a file that
    should hold them cannot be read, or the concept's one caption file is missing.
    """
    prompt = concept.prompt
    trigger = prompt.trigger.strip()
    whole = prompt.lines == "whole"
    captions: tuple[str, ...]
    match prompt.source:
        case "caption_file":
            captions = _captions_beside(picture, whole, prompt.encoding, guesses)
        case "metadata":
            captions = table_of(concept).captions_of(picture)
        case "single_file":
            if not prompt.file.strip():
                raise CaptionError("No caption file is chosen yet.")
            captions = _captions_in(user_path(prompt.file), whole, prompt.encoding, guesses)
        case "filename":
            captions = (clean_name(picture.stem) if prompt.clean_name else _text(picture.stem),)
        case "folder_name":
            captions = (folder_caption(picture.parent),)
        case "fixed":
            text = prompt.text.replace("{trigger}", trigger)
            captions = (" ".join(text.replace("{filename}", clean_name(picture.stem)).split()),)
    captions = tuple(caption for caption in captions if caption)
    missing = not captions and not (prompt.source == "fixed" and trigger)
    return _with_trigger(captions or ("",), trigger), missing


def _captions_beside(
    picture: Path, whole: bool, encoding: str, guesses: dict[Path, CaptionText] | None
) -> tuple[str, ...]:
    stem = os.path.splitext(picture)[0]
    for suffix in CAPTION_SUFFIXES:
        # Most captions are called like this; looking for others first would cost a listing.
        with contextlib.suppress(FileNotFoundError):
            return _captions_from(stem + suffix, whole, encoding, guesses)
    if (other := caption_beside(picture)) is not None:
        with contextlib.suppress(FileNotFoundError):
            return _captions_from(other, whole, encoding, guesses)
    return ()


def _captions_from(
    path: str | Path, whole: bool, encoding: str, guesses: dict[Path, CaptionText] | None
) -> tuple[str, ...]:
    found = read_caption_file(path, encoding=encoding)
    if found.guessed and guesses is not None:
        guesses[Path(path)] = found
    return whole_caption(found.text) if whole else caption_lines(found.text)


def _captions_in(
    path: Path, whole: bool, encoding: str, guesses: dict[Path, CaptionText] | None
) -> tuple[str, ...]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise CaptionError(f"The file cannot be read ({error.strerror or error}).") from error
    except ValueError as error:
        raise CaptionError("The file's name holds a NUL character, which no file can.") from error
    found = _read_version(path, encoding, status.st_mtime_ns, status.st_size)
    if isinstance(found, str):
        raise CaptionError(found)
    if found.guessed and guesses is not None:
        guesses[path] = found
    return _captions_in_text(found.text, whole)


@lru_cache(maxsize=8)
def _read_version(path: Path, encoding: str, mtime_ns: int, size: int) -> CaptionText | str:
    """The text, or why it cannot be read: asked for each picture, so that is kept as well."""
    try:
        return read_caption_file(path, LARGEST_LIST, encoding)
    except FileNotFoundError:
        return "The file is not there any more."
    except CaptionError as error:
        return str(error)


@lru_cache(maxsize=8)
def _captions_in_text(text: str, whole: bool) -> tuple[str, ...]:
    return whole_caption(text) if whole else caption_lines(text)


def kohya_name(folder_name: str) -> tuple[int, str] | None:
    """Repeats and name of a folder called `10_name class`; None when it is not called so."""
    match = _KOHYA.fullmatch(folder_name.strip())
    # A longer number is a date or a serial number.
    return (int(match[1]), match[2].strip()) if match and len(match[1]) <= 5 else None


@lru_cache(maxsize=1024)
def folder_caption(folder: Path) -> str:
    """A folder's name as words: `10_red_robot toy` gives `red robot toy`."""
    # A relative folder such as `.` has its name elsewhere.
    name = folder.name or Path(os.path.abspath(folder)).name
    kohya = kohya_name(name)
    return " ".join(_text(kohya[1] if kohya else name).replace("_", " ").split())


def _text(name: str) -> str:
    """A file's name as text that every encoding can hold, its spaces single."""
    return " ".join(without_surrogates(name).split())


def clean_name(stem: str) -> str:
    """A file name as words: `a_red-robot (3)` and `a_red-robot_003` give `a red robot`.

    A name that is nothing but a number gives "".
    """
    text = " ".join(re.sub(r"[_\-]+", " ", without_surrogates(stem)).split())
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


def lasting_captions(
    captions: tuple[str, ...], augmentation: CaptionAugmentation
) -> tuple[str, ...]:
    """Those of an item's captions that some showings have exactly so, "" for a dropped one.

    Only these are worth keeping prepared; all others are new at each step.
    """
    lasting: tuple[str, ...] = ("",) if augmentation.dropout > 0 else ()
    if augmentation.dropout >= 1 or varies(augmentation):
        return lasting
    plain = (
        without_separator(c) for c in captions if not (augmentation.choices and has_choices(c))
    )
    return (*lasting, *plain)


def augment_caption(
    caption: str,
    augmentation: CaptionAugmentation,
    *numbers: int,
    trigger: str = "",
    wildcards: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> str:
    """The caption as it is shown this time; depends on nothing but the arguments.

    numbers: what the showing is known by, such as (seed, epoch, item id, repeat). Dropout gives
    "". Choices and wildcards are replaced, then tags behind the kept first ones dropped and put
    into a new order. trigger: the word that is in the caption and stays there, in its place.
    wildcards: names and the lines that may take their place.
    """
    chooses = augmentation.choices and has_choices(caption)
    if augmentation.dropout <= 0 and not varies(augmentation) and not chooses:
        return without_separator(caption)
    generator = random.Random(stable_seed(*numbers))
    if generator.random() < augmentation.dropout:
        return ""
    if chooses:
        caption = with_trigger(_tidy(expand(caption, wildcards, generator)), trigger.strip())
    if varies(augmentation):
        return vary_tags(caption, augmentation, trigger, generator)
    return without_separator(caption)


def settled_caption(
    captions: tuple[str, ...],
    augmentation: CaptionAugmentation,
    *numbers: int,
    trigger: str = "",
    wildcards: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> str:
    """The caption by which an item is measured, the same each time: its first one, with nothing
    dropped or shuffled; choices and wildcards are drawn from `numbers`."""
    choices = CaptionAugmentation(choices=augmentation.choices)
    return augment_caption(captions[0], choices, *numbers, trigger=trigger, wildcards=wildcards)


def _tidy(caption: str) -> str:
    """The caption without the double commas and spaces that an empty choice leaves."""
    caption = re.sub(r"\s*,(\s*,)+", ",", " ".join(caption.split()))
    return caption.strip(" ,")


def choose_caption(captions: tuple[str, ...], *numbers: int) -> str:
    """One of the alternatives at random; depends on nothing but the arguments."""
    if len(captions) == 1:
        return captions[0]
    return captions[int(random.Random(stable_seed(*numbers)).random() * len(captions))]
