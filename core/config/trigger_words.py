"""`{trigger}` in sample prompts: the trigger words of the concepts that are learned.

`{trigger}` stands for all of them, `{trigger:robot}` for that of the concept called robot. Words of
prior and validation concepts are nobody's to call up, so they never come in.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath, PureWindowsPath
from typing import Any

_PLACE = re.compile(r"\{trigger(?::([^{}]*))?\}")
# A place that stays empty goes with the comma or space behind it.
_EMPTY = r"\s*,?\s*"


@dataclass(frozen=True)
class TriggerWord:
    """A learned concept's name and its trigger word, which may be empty."""

    concept: str
    word: str


@dataclass(frozen=True)
class Filled:
    """A prompt with its places filled. empty: places that no word was there for."""

    text: str
    empty: tuple[str, ...] = ()


def triggers_of(concepts: Iterable[Mapping[str, Any]]) -> list[TriggerWord]:
    """The triggers of the concepts (plain data) that are switched on and learned."""
    return [
        TriggerWord(name_of(concept), str(concept["prompt"]["trigger"]).strip())
        for concept in concepts
        if concept["enabled"] and concept["kind"] == "train"
    ]


def name_of(concept: Mapping[str, Any]) -> str:
    """What a concept is called: its name, else its folder's."""
    path = str(concept["path"]).strip()
    folder = PureWindowsPath(path).name if "\\" in path else PurePath(path).name
    return str(concept["name"]).strip() or folder


def phrase_of(triggers: Iterable[TriggerWord]) -> str:
    """All trigger words, each once, separated by commas."""
    return ", ".join(dict.fromkeys(one.word for one in triggers if one.word))


def fill(prompt: str, triggers: list[TriggerWord]) -> Filled:
    """The prompt with its `{trigger}` and `{trigger:name}` replaced."""
    empty: list[str] = []

    def word(match: re.Match[str]) -> str:
        name = _same(match[1] or "")
        asked = [t for t in triggers if _same(t.concept) == name] if name else triggers
        found = phrase_of(asked)
        if not found:
            empty.append(match[0])
        return found or "\0"

    text = _PLACE.sub(word, prompt)
    return Filled(re.sub("\0" + _EMPTY, "", text), tuple(dict.fromkeys(empty)))


def _same(name: str) -> str:
    """A name without what differs between systems and hands: Unicode form, case, spaces."""
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def proposed_word(concept: str) -> str:
    """A word that a model hardly knows, made of a concept's name: `Red Robot` gives `rdrbtx`."""
    letters = re.sub(r"[^a-z]", "", concept.lower())
    rare = re.sub(r"[aeiou]", "", letters)[:6]
    return f"{rare}x" if len(rare) >= 2 else "ohwx"
