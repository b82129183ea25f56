"""Writing many captions as one step that can be undone."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.captioning.files import FileOf, beside, checked
from core.captioning.tags import Change
from core.data.scan import StopCheck, ask_stop
from core.errors import Problem


class Written(Protocol):
    """The part of core.culling.history.Done that captions need."""

    @property
    def pictures(self) -> tuple[Path, ...]: ...

    @property
    def problems(self) -> tuple[Problem, ...]: ...


class TextHistory(Protocol):
    """The part of core.culling.history.History that captions need."""

    def write_texts(
        self,
        changes: Mapping[Path, str | None],
        label: str,
        progress: Callable[[int, int], object] | None = None,
        before: Mapping[Path, str | None] | None = None,
    ) -> Written:
        """Write files (None removes one) as one step that `undo` takes back.

        progress: called with files done and in all; may raise Stopped. before: what the files
        must still hold; others are left alone.
        """
        ...


@dataclass(frozen=True)
class Applied:
    """What came of a batch: the pictures whose caption was written, and what hindered others."""

    pictures: tuple[Path, ...]
    problems: tuple[Problem, ...] = ()


def apply_changes(
    changes: Sequence[Change],
    history: TextHistory,
    label: str,
    file_of: FileOf = beside,
    stop: StopCheck | None = None,
) -> Applied:
    """Write previewed changes as one undoable step called `label`.

    Files that have changed since the preview are left alone and told, as are those that are not
    written yet when `stop` says so. Writing is `history`'s: each file whole or not at all, UTF-8
    without mark.
    """
    texts, owners, problems = checked(changes, file_of)
    seen = {change.picture: change.before for change in changes}
    if not texts:
        return Applied((), tuple(problems))
    before = {file: seen[picture] for file, picture in owners.items()}
    done = history.write_texts(texts, label, lambda _done, _all: ask_stop(stop), before)
    # A history may name the same file by another path, such as that of a linked folder.
    there = {os.path.realpath(picture) for picture in done.pictures}
    written = tuple(p for p in owners.values() if os.path.realpath(p) in there)
    return Applied(written, (*problems, *done.problems))
