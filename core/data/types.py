"""The plain records that pass between scanning, planning, caching and training. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import Problem


@dataclass(frozen=True)
class Bucket:
    """A picture size that is trained, in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class Placement:
    """What happens to one picture: resize to `resized` (width, height), then cut `crop`.

    crop: left, top in the resized picture; the bucket gives its size. upscaled tells that the
    picture is smaller than its bucket.
    """

    bucket: Bucket
    resized: tuple[int, int]
    crop: tuple[int, int]
    upscaled: bool


@dataclass(frozen=True)
class Item:
    """One picture of one concept that will be trained.

    id: stable within the job, the same in every epoch; the seed of its noise derives from it.
    size: width, height after EXIF rotation. captions: one or more alternatives. A missing
    caption file gives the single caption "" with caption_missing True.
    """

    id: int
    concept: int
    path: Path
    size: tuple[int, int]
    placement: Placement
    captions: tuple[str, ...]
    caption_missing: bool = False


@dataclass(frozen=True)
class ConceptSummary:
    """What was found for one concept. pictures: usable ones."""

    index: int
    name: str
    pictures: int
    skipped: int
    captions_missing: int
    per_epoch: int


@dataclass(frozen=True)
class Pace:
    """The job's numbers that steps are counted from.

    repeats: concept index -> how often each of its pictures is shown in one epoch.
    """

    epochs: int = 1
    max_steps: int | None = None
    batch_size: int = 1
    gradient_accumulation: int = 1
    seed: int = 0
    repeats: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Everything that will be trained, decided before anything heavy is loaded.

    samples_per_epoch counts repeats; steps are optimizer steps. Both are those of the first
    epoch: they differ between epochs only with fractional repeats, while total_steps is always
    exact. epoch_ends: the step at which each epoch ends, for as many epochs as it takes until the
    pattern repeats (one, unless repeats are fractional). problems hold warnings (and errors, when
    the plan cannot be trained).
    """

    items: tuple[Item, ...]
    concepts: tuple[ConceptSummary, ...]
    buckets: dict[Bucket, int]
    samples_per_epoch: int
    steps_per_epoch: int
    total_steps: int
    problems: tuple[Problem, ...] = field(default=())
    pace: Pace = field(default_factory=Pace)
    epoch_ends: tuple[int, ...] = ()


@dataclass(frozen=True)
class Draw:
    """One showing of an item: `repeat` counts its showings within the epoch from 0."""

    item: Item
    repeat: int
    caption: str


@dataclass(frozen=True)
class Batch:
    """Draws of one bucket that go through the model together."""

    bucket: Bucket
    draws: tuple[Draw, ...]
