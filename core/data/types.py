"""The plain records that pass between scanning, planning, caching and training. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.config.concepts import Kind
from core.errors import Problem


@dataclass(frozen=True, slots=True)
class Bucket:
    """A picture size that is trained, in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class Placement:
    """What happens to one picture: resize to `resized` (width, height), then cut `crop`.

    crop: left, top in the resized picture; the bucket gives its size. upscaled tells that the
    picture is smaller than its bucket.
    """

    bucket: Bucket
    resized: tuple[int, int]
    crop: tuple[int, int]
    upscaled: bool


@dataclass(frozen=True, slots=True)
class Item:
    """One picture of one concept that will be trained.

    id: stable within the job, the same in every epoch; the seed of its noise derives from it.
    size: width, height after EXIF rotation. captions: one or more alternatives. A missing
    caption file gives the single caption "" with caption_missing True. mask: the mask's file where
    the concept learns by such files and this picture has one; masks by transparency are in the
    picture itself. focus: the point (x, y), 0..1 of the upright picture, that the crop is laid
    around; None for the middle. resolution: the side of the square of the bucket's area.
    """

    id: int
    concept: int
    path: Path
    size: tuple[int, int]
    placement: Placement
    captions: tuple[str, ...]
    caption_missing: bool = False
    mask: Path | None = None
    focus: tuple[float, float] | None = None
    resolution: int = 512


@dataclass(frozen=True)
class ConceptSummary:
    """What was found for one concept.

    pictures: usable ones, each counted once whatever the number of resolutions. skipped: those
    that cannot be used; rejected: those left out by their mark. per_epoch: showings in the first
    epoch; 0 for validation concepts.
    """

    index: int
    name: str
    pictures: int
    skipped: int
    captions_missing: int
    per_epoch: int
    kind: Kind = "train"
    rejected: int = 0


@dataclass(frozen=True)
class Pace:
    """The job's numbers that steps are counted from.

    repeats: concept index -> how often each of its pictures is shown in one epoch. counts:
    concept index -> how many showings one epoch has, in place of repeats.
    """

    epochs: int = 1
    max_steps: int | None = None
    batch_size: int = 1
    gradient_accumulation: int = 1
    seed: int = 0
    repeats: Mapping[int, float] = field(default_factory=dict)
    counts: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Everything that will be trained, decided before anything heavy is loaded.

    items: what is trained, prior concepts included; validation: what is only measured. A picture
    that is trained at several resolutions is several items. Ids are unique over both.
    samples_per_epoch counts repeats; steps are optimizer steps. Both are those of the first
    epoch: they differ between epochs only with fractional repeats, while total_steps is always
    exact. epoch_ends: the step at which each epoch ends, for as many epochs as it takes until the
    pattern repeats (one, unless repeats are fractional). problems hold warnings (and errors, when
    the plan cannot be trained), where many files of a kind are only counted; unnamed holds those.
    wildcards: concept index -> name in the captions -> the lines that
    may take its place, as they were when the plan was made.
    """

    items: tuple[Item, ...]
    concepts: tuple[ConceptSummary, ...]
    buckets: dict[Bucket, int]
    samples_per_epoch: int
    steps_per_epoch: int
    total_steps: int
    problems: tuple[Problem, ...] = field(default=())
    unnamed: tuple[Problem, ...] = ()
    pace: Pace = field(default_factory=Pace)
    epoch_ends: tuple[int, ...] = ()
    validation: tuple[Item, ...] = ()
    wildcards: Mapping[int, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Draw:
    """One showing of an item: `repeat` counts its showings within the epoch from 0.

    variant: which of the concept's prepared versions is shown, 0 where there is only one.
    """

    item: Item
    repeat: int
    caption: str
    variant: int = 0


@dataclass(frozen=True)
class Batch:
    """Draws of one bucket that go through the model together."""

    bucket: Bucket
    draws: tuple[Draw, ...]
