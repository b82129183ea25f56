"""What is known of each picture of a concept: read in the background, whole folders at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from core.config.concepts import Concept
from core.config.rules import further_resolutions
from core.culling.notes import Note, read_notes
from core.data.buckets import Shapes, nearest_multiple
from core.data.captions import (
    CaptionError,
    caption_file_of,
    caption_lines,
    captions_of,
    read_caption_file,
    whole_caption,
)
from core.data.companions import mask_beside
from core.data.images import PictureError, picture_size
from core.data.scan import scan_concept
from core.data.textfile import single_ends
from core.data.types import Placement
from core.errors import Problem, Stopped

# How often what was read is handed over, and how much at first: enough to fill a screen.
_HAND_OVER_SECONDS = 0.25
_FIRST = 48
_NO_NOTE = Note()

StopCheck = Callable[[], bool]


@dataclass(frozen=True)
class Look:
    """How training looks at the pictures of a concept.

    sides: the resolutions that each picture is trained at, in pixels; shapes: which buckets there
    are.
    """

    concept: Concept
    sides: tuple[int, ...] = (512,)
    shapes: Shapes = field(default_factory=Shapes)

    @cached_property
    def buckets(self) -> tuple[list, ...]:
        """The buckets of each resolution."""
        return tuple(self.shapes.buckets(side) for side in self.sides)

    def placements(
        self, size: tuple[int, int], focus: tuple[float, float] | None
    ) -> list[Placement]:
        """What becomes of a picture at each resolution."""
        return [self.shapes.place(size, buckets, focus) for buckets in self.buckets]

    @property
    def editable(self) -> bool:
        """Whether each picture has a caption file of its own."""
        return self.concept.prompt.source == "caption_file"


def sides_of(concept: Concept, resolution: int, more: str, step: int) -> tuple[int, ...]:
    """The resolutions that a concept's pictures are trained at, as planning counts them."""
    if concept.resolution is not None:
        return (nearest_multiple(concept.resolution, step),)
    sides = [nearest_multiple(r, step) for r in (resolution, *further_resolutions(more))]
    unique = tuple(dict.fromkeys(sides))
    return unique[:1] if concept.kind == "validation" else unique


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """One picture. size: width, height upright, None before its header was read or if that fails.

    problem: why training leaves it out. text: the caption as it stands in its file, line ends
    made single (`newline` tells them), or what training reads where captions come from elsewhere.
    small: smaller than its bucket at one of the resolutions. group: number of its group of near
    duplicates, -1 for none.
    """

    path: Path
    read: bool = False
    size: tuple[int, int] | None = None
    bytes: int = 0
    modified: int = 0
    problem: str = ""
    text: str = ""
    newline: str = "\n"
    no_caption: bool = False
    caption_problem: str = ""
    small: bool = False
    mask: bool = False
    note: Note = _NO_NOTE
    group: int = -1

    @property
    def pixels(self) -> int:
        """Its area in pixels, 0 when unknown."""
        return self.size[0] * self.size[1] if self.size else 0


Test = Callable[[PictureFacts], bool]

FILTERS: dict[str, Test] = {
    "all": lambda one: True,
    # As pre-flight counts them: a caption that cannot be read is none.
    "no_caption": lambda one: one.no_caption and one.read and not one.problem,
    "small": lambda one: one.small and not one.problem,
    "bad": lambda one: bool(one.problem or one.caption_problem),
    "duplicates": lambda one: one.group >= 0,
    "rejected": lambda one: one.note.mark == "reject",
    "focus": lambda one: one.note.focus is not None,
}


def counts_of(facts: Iterable[PictureFacts]) -> dict[str, int]:
    """How many pictures pass each of FILTERS."""
    every = list(facts)
    return {name: sum(map(test, every)) for name, test in FILTERS.items()}


@dataclass(frozen=True)
class Listing:
    """All pictures of the concept in natural order, with what was known of them before, and what
    hindered the search. counts: as `counts_of`; folders: where the pictures lie."""

    facts: dict[Path, PictureFacts] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    folders: tuple[str, ...] = ()


@dataclass
class FactsReader:
    """Reads a concept's pictures; what is known of unchanged files is not read again."""

    look: Look
    known: Mapping[Path, PictureFacts] = field(default_factory=dict)
    _notes: dict[Path, dict[str, Note]] = field(default_factory=dict)
    _small: dict[tuple[int, int], bool] = field(default_factory=dict)

    def run(
        self,
        listed: Callable[[Listing], object],
        found: Callable[[list[PictureFacts]], object],
        cancelled: StopCheck = lambda: False,
    ) -> None:
        """List the pictures, then read them; both are told as they come. Raises Stopped."""
        scan = scan_concept(self.look.concept, cancelled)
        # The same objects as before: comparing them costs the window's thread nothing.
        before = {str(path): path for path in self.known}
        paths = [before.get(str(path), path) for path in scan.pictures]
        facts = {path: self.known.get(path) or PictureFacts(path) for path in paths}
        folders = tuple({os.path.dirname(path): None for path in scan.pictures})
        listed(Listing(facts, counts_of(facts.values()), tuple(scan.problems), folders))
        batch: list[PictureFacts] = []
        told, first = time.monotonic(), True
        for number, path in enumerate(paths):
            if number % 32 == 0 and cancelled():
                raise Stopped
            batch.append(self.read(path))
            due = time.monotonic() - told > _HAND_OVER_SECONDS
            if due or (first and len(batch) >= _FIRST):
                found(batch)
                batch, told, first = [], time.monotonic(), False
        if batch:
            found(batch)

    def read(self, path: Path) -> PictureFacts:
        """What is to be known of one picture; never raises for a bad file."""
        facts = self._header(path)
        if facts.size is not None:
            facts = replace(facts, small=self._is_small(facts.size))
        mask = mask_beside(path) is not None
        return self._with_caption(replace(facts, mask=mask, note=self._note(path)))

    def _header(self, path: Path) -> PictureFacts:
        try:
            stat = os.stat(path)
        except OSError as error:
            reason = f"The file cannot be read ({error.strerror or error})."
            return PictureFacts(path, read=True, problem=reason)
        known = self.known.get(path)
        if (
            known
            and known.read
            and (known.bytes, known.modified)
            == (
                stat.st_size,
                stat.st_mtime_ns,
            )
        ):
            return known
        facts = PictureFacts(path, read=True, bytes=stat.st_size, modified=stat.st_mtime_ns)
        try:
            return replace(facts, size=picture_size(path))
        except PictureError as error:
            return replace(facts, problem=str(error))

    def _is_small(self, size: tuple[int, int]) -> bool:
        small = self._small.get(size)
        if small is None:
            small = any(p.upscaled for p in self.look.placements(size, None))
            self._small[size] = small
        return small

    def _note(self, path: Path) -> Note:
        notes = self._notes.get(path.parent)
        if notes is None:
            notes = self._notes[path.parent] = read_notes(path.parent)
        return notes.get(path.name, _NO_NOTE)

    def _with_caption(self, facts: PictureFacts) -> PictureFacts:
        concept = self.look.concept
        try:
            file = caption_file_of(concept, facts.path)
            if file is None:
                captions, missing = captions_of(concept, facts.path)
                text = "\n".join(captions)
                return replace(facts, text=text, no_caption=missing, caption_problem="")
            found = read_caption_file(file, encoding=concept.prompt.encoding)
        except FileNotFoundError:
            return replace(facts, text="", no_caption=True, caption_problem="")
        except CaptionError as error:
            return replace(facts, text="", no_caption=True, caption_problem=str(error))
        return with_text(facts, single_ends(found.text), concept, found.newline)


def with_text(
    facts: PictureFacts, text: str, concept: Concept, newline: str | None = None
) -> PictureFacts:
    """The facts of a picture whose own caption file holds `text`."""
    whole = concept.prompt.lines == "whole"
    none = not (whole_caption(text) if whole else caption_lines(text))
    return replace(
        facts,
        text=text,
        newline=facts.newline if newline is None else newline,
        no_caption=none,
        caption_problem="",
    )
