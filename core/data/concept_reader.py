"""Reading the pictures of one concept into the items of a plan."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.config.concepts import Concept
from core.culling.notes import Note, read_notes
from core.data import plan_notes
from core.data.buckets import Shapes
from core.data.captions import CaptionError, CaptionText, captions_of
from core.data.colours import why_not_converted
from core.data.companions import mask_beside, texts_without_picture
from core.data.images import PictureError, may_be_transparent, picture_size, read_header
from core.data.plan_notes import Notes, concept_name
from core.data.types import ConceptSummary, Item, Placement
from core.data.wildcards import has_choices, read_wildcards, shows_choices
from core.errors import Problem

# A share of the picture that nobody expects to lose to the crop.
_MUCH_CUT = 1 / 3
# How much a mask's shape may differ from its picture's before it is told: rounding of small ones.
_SHAPE_TOLERANCE = 0.02

# Lines of so many letters are paragraphs of one caption rather than captions of their own.
_PARAGRAPH = 60

Size = tuple[int, int]
Point = tuple[float, float]


@dataclass(slots=True)
class _Counted:
    """Pictures that something is to be said of when all are read."""

    readable: int = 0
    rejected: int = 0
    usable: int = 0
    no_caption: list[Path] = field(default_factory=list)
    no_mask: list[Path] = field(default_factory=list)
    enlarged: dict[int, list[Path]] = field(default_factory=lambda: defaultdict(list))
    left_out: dict[int, list[Path]] = field(default_factory=lambda: defaultdict(list))
    much_cut: list[Path] = field(default_factory=list)
    several: list[Path] = field(default_factory=list)
    folders: dict[Path, None] = field(default_factory=dict)


@dataclass
class ConceptReader:
    """Reads the pictures of one concept, one after the other.

    sides: the resolutions that each picture is made into items for, as `Shapes.buckets` takes them.
    unreadable: pictures that are known to be bad whatever their headers say, and why.
    """

    index: int
    concept: Concept
    sides: list[int]
    shapes: Shapes
    notes: Notes
    unreadable: Mapping[Path, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = concept_name(self.index, self.concept)
        self.items: list[Item] = []
        self._buckets = [self.shapes.buckets(side) for side in self.sides]
        self._placements: dict[tuple[Size, int], Placement] = {}
        self._folder_notes: dict[str, dict[str, Note]] = {}
        self._counted = _Counted()
        self._captions_failed = False
        self._guesses: dict[Path, CaptionText] = {}

    def read(self, first_id: int, path: Path, seen: Callable[[Item], object] | None = None) -> None:
        """Add the items of a picture, their ids counted from `first_id`, or a note why none.

        seen: is told each item.
        """
        self._counted.folders[path.parent] = None
        note = self._note(path)
        if note is not None and note.mark == "reject" and not self.concept.include_rejected:
            self._counted.rejected += 1
            return
        size, colours, reason = (0, 0), "", self.unreadable.get(path, "")
        if not reason:
            try:
                header = read_header(path)
                size, colours = header.size, why_not_converted(header.coding)
            except PictureError as error:
                reason = str(error)
        if reason:
            self.notes.add_file(plan_notes.unreadable_picture(path, reason, self.index))
            return
        self._counted.readable += 1
        if colours:
            self.notes.add_file(plan_notes.unconverted_picture(path, colours, self.index))
        focus = None if note is None else note.focus
        placed = [self._place(size, number, focus) for number in range(len(self.sides))]
        if self.concept.small == "leave_out":
            for number, placement in enumerate(placed):
                if placement.upscaled:
                    self._counted.left_out[number].append(path)
            if all(placement.upscaled for placement in placed):
                smallest = min((p.bucket for p in placed), key=lambda b: b.width * b.height)
                small = plan_notes.small_picture(path, size, smallest, self.index)
                self.notes.add_file(small)
                return
        mask = mask_beside(path) if self.concept.mask.source == "file" else None
        if mask is not None and not self._can_be_used(mask, path, size):
            return
        captions, missing = self._captions(path)
        self._count(path, placed, mask, missing)
        long = sum(len(caption) >= _PARAGRAPH for caption in captions)
        if long > 1 and self.concept.prompt.source == "caption_file":
            self._counted.several.append(path)
        items = [
            Item(
                first_id + number,
                self.index,
                path,
                size,
                placement,
                captions,
                missing,
                mask,
                focus,
                self._buckets[number][0].width,
            )
            for number, placement in enumerate(placed)
            if not (placement.upscaled and self.concept.small == "leave_out")
        ]
        self.items += items
        if seen is not None:
            for item in items:
                seen(item)

    def finish(self, found: int) -> ConceptSummary:
        """Add the notes on the concept as a whole; returns its summary, nothing per epoch yet.

        found: how many pictures were there to be read.
        """
        if not found:
            self._look_for_captions()
        if found and self._counted.rejected == found:
            self.notes.add(plan_notes.all_rejected(self.name, self.index, found))
        self.notes.add(*self._closing_notes())
        return ConceptSummary(
            index=self.index,
            name=self.name,
            pictures=self._counted.usable,
            skipped=found - self._counted.usable - self._counted.rejected,
            rejected=self._counted.rejected,
            captions_missing=len(self._counted.no_caption),
            per_epoch=0,
            kind=self.concept.kind,
        )

    def wildcards(self) -> dict[str, tuple[str, ...]]:
        """What may take the place of the wildcards in the captions; adds notes on missing ones."""
        augmentation = self.concept.caption
        if not augmentation.choices:
            return {}
        texts = {text for item in self.items for text in item.captions if has_choices(text)}
        lines, problems = read_wildcards(augmentation.wildcards, sorted(texts))
        setting = f"concepts.{self.index}.caption.wildcards"
        for problem in problems:
            self.notes.add_file(_with_setting(problem, setting))
        return lines

    def _place(self, size: Size, number: int, focus: Point | None) -> Placement:
        if focus is not None:
            return self.shapes.place(size, self._buckets[number], focus)
        # Folders hold few different sizes; equal placements are kept once.
        placement = self._placements.get((size, number))
        if placement is None:
            placement = self.shapes.place(size, self._buckets[number])
            self._placements[size, number] = placement
        return placement

    def _note(self, path: Path) -> Note | None:
        folder, name = os.path.split(path)
        known = self._folder_notes.get(folder)
        if known is None:
            problems: list[Problem] = []
            known = self._folder_notes[folder] = read_notes(path.parent, problems)
            self.notes.add(
                *(_with_setting(problem, f"concepts.{self.index}.path") for problem in problems)
            )
        return known.get(name)

    def _can_be_used(self, mask: Path, path: Path, size: Size) -> bool:
        """Whether a picture's mask is good, as far as its header tells; adds a note if not."""
        try:
            mask_size = picture_size(mask)
        except PictureError as error:
            self.notes.add_file(plan_notes.unreadable_mask(mask, path, str(error), self.index))
            return False
        stretch = (mask_size[0] * size[1]) / (mask_size[1] * size[0])
        if abs(stretch - 1) > _SHAPE_TOLERANCE + 1 / min(mask_size):
            self.notes.add_file(plan_notes.odd_mask(mask, mask_size, size, self.index))
        return True

    def _is_taken_whole(self, path: Path, mask: Path | None) -> bool:
        """Whether a picture of a concept with masks has none, as far as its header tells."""
        match self.concept.mask.source:
            case "file":
                return mask is None
            case "alpha":
                with contextlib.suppress(PictureError):  # whoever reads it next tells
                    return not may_be_transparent(path)
        return False

    def _captions(self, path: Path) -> tuple[tuple[str, ...], bool]:
        if self._captions_failed:
            return (self.concept.prompt.trigger.strip(),), True
        try:
            return captions_of(self.concept, path, self._guesses)
        except CaptionError as error:
            if self.concept.prompt.source in ("single_file", "metadata"):
                self._captions_failed = True
                self.notes.add(
                    plan_notes.unreadable_captions(self.name, self.index, self.concept, str(error))
                )
            else:
                self.notes.add_file(plan_notes.unreadable_caption(path, str(error), self.index))
            return (self.concept.prompt.trigger.strip(),), True

    def _look_for_captions(self) -> None:
        """Tell that the table cannot be read where that may be why there are no pictures."""
        if self.concept.prompt.source == "metadata":
            self._captions(Path(self.concept.path) / "any")

    def _count(self, path: Path, placed: list[Placement], mask: Path | None, missing: bool) -> None:
        counted = self._counted
        counted.usable += 1
        if missing:
            counted.no_caption.append(path)
        if self._is_taken_whole(path, mask):
            counted.no_mask.append(path)
        bucket, resized = placed[0].bucket, placed[0].resized
        if 1 - bucket.width * bucket.height / (resized[0] * resized[1]) > _MUCH_CUT:
            counted.much_cut.append(path)
        if self.concept.small != "leave_out":
            # Tiny ones are enlarged also where pictures keep their size.
            for number, placement in enumerate(placed):
                if placement.upscaled:
                    counted.enlarged[number].append(path)

    def _closing_notes(self) -> list[Problem]:
        counted, name, index = self._counted, self.name, self.index
        notes = []
        if counted.no_caption and not self._captions_failed:
            missing = counted.no_caption
            notes.append(
                plan_notes.missing_captions(name, index, self.concept, missing, counted.usable)
            )
        notes += self._notes_on_texts()
        if counted.no_mask:
            whole = counted.no_mask
            notes.append(plan_notes.missing_masks(name, index, self.concept, whole, counted.usable))
        if counted.much_cut:
            notes.append(plan_notes.much_cut(name, index, counted.much_cut, counted.usable))
        for number in range(len(self.sides)):
            side = self._buckets[number][0].width
            if counted.enlarged[number]:
                pictures = counted.enlarged[number]
                notes.append(plan_notes.enlarged(name, index, side, pictures, counted.usable))
            if counted.left_out[number]:
                left = counted.left_out[number]
                notes.append(plan_notes.left_out(name, index, side, left, counted.readable))
        return notes

    def _notes_on_texts(self) -> list[Problem]:
        """What is to be said of the caption files: guessed, of several lines, of no picture."""
        counted, name, index = self._counted, self.name, self.index
        notes = []
        if self._guesses:
            notes.append(plan_notes.guessed_encodings(name, index, self._guesses))
        if not self.concept.caption.choices:
            unused = [i.path for i in self.items if any(map(shows_choices, i.captions))]
            if unused:
                pictures = list(dict.fromkeys(unused))
                notes.append(plan_notes.choices_off(name, index, pictures))
        if counted.several:
            notes.append(plan_notes.several_lines(name, index, counted.several))
        if self.concept.prompt.source == "caption_file":
            lost = [f / n for f in counted.folders for n in texts_without_picture(f)]
            if lost:
                notes.append(plan_notes.lost_texts(name, index, lost))
        return notes


def _with_setting(problem: Problem, setting: str) -> Problem:
    return replace(problem, setting=problem.setting or setting)
