"""What can be done to many captions at once, as a dialog offers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from app.background import StopCheck
from core.captioning.replacing import Search, preview_search
from core.captioning.tags import (
    Change,
    add_tag,
    count_tags,
    move_tag,
    order_by_frequency,
    preview,
    remove_duplicates,
    remove_tag,
    rename_tag,
    trigger_to_front,
)
from core.captioning.tidying import tidied

Kind = Literal[
    "replace", "add", "remove", "rename", "front", "order", "duplicates", "trigger", "normalise"
]
# What can be done without any words.
WORDLESS: tuple[Kind, ...] = ("order", "duplicates", "normalise")


@dataclass(frozen=True)
class Operation:
    """One change with its words. first, second: what is looked for or added, what replaces it."""

    kind: Kind
    first: str = ""
    second: str = ""
    regular: bool = False
    capitals: bool = False
    whole: bool = False
    tags: bool = False
    at_end: bool = False
    keep: int = 0
    underscores: bool = False

    def is_complete(self) -> bool:
        """Whether there is anything to do yet."""
        return self.kind in WORDLESS or bool(self.first.strip(" "))


def changes_of(
    operation: Operation, captions: Mapping[Path, str | None], stop: StopCheck
) -> list[Change]:
    """What an operation would change. Raises UserError for a bad pattern, Stopped."""
    one, two = operation.first, operation.second
    match operation.kind:
        case "replace":
            search = Search(
                one,
                two,
                regular=operation.regular,
                capitals=operation.capitals,
                whole=operation.whole,
                tags=operation.tags,
            )
            return preview_search(captions, search, stop)
        case "add":
            return preview(captions, partial(add_tag, tag=one, front=not operation.at_end))
        case "remove":
            return preview(captions, partial(remove_tag, tag=one))
        case "rename":
            return preview(captions, partial(rename_tag, tag=one, name=two)) if two.strip() else []
        case "front":
            return preview(captions, partial(move_tag, tag=one, place=0))
        case "order":
            counts = count_tags(text for text in captions.values() if text)
            edit = partial(order_by_frequency, counts=counts, keep=operation.keep)
            return preview(captions, edit)
        case "duplicates":
            return preview(captions, remove_duplicates)
        case "normalise":
            return preview(captions, partial(tidied, underscores=operation.underscores))
        case "trigger":
            return preview(captions, partial(trigger_to_front, trigger=one))
