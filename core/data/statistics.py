"""Counting what a concept's pictures and captions are like, picture by picture."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.data.scan import StopCheck, ask_stop
from core.data.tags import split_tags
from core.data.tokens import CHUNK, count_tokens
from core.data.types import Bucket, Item

# Aspect ratios are counted in quarters of an octave from 1:4 to 4:1.
ASPECT_BINS = range(-8, 9)
# So many pictures with long captions are named; the rest is only counted.
NAMED_AT_MOST = 50
# Whole sentences make as many different tags as there are captions; rare ones are forgotten.
_MOST_TAGS, _KEPT_TAGS = 100_000, 50_000
_CAPTIONS_AT_ONCE = 2048
_CHECK_EVERY = 256

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class BucketShare:
    """One line of the bucket table. pictures: how many; lost: mean share of their area that the
    crop cuts off, 0..1; upscaled: how many are enlarged."""

    bucket: Bucket
    pictures: int
    lost: float
    upscaled: int


@dataclass(frozen=True)
class LongCaption:
    """A picture whose caption needs more than one chunk of the text encoder."""

    picture: Path
    tokens: int


@dataclass(frozen=True)
class Statistics:
    """What was counted so far. Pictures count once, in the bucket table once per resolution.

    smallest, largest: (width, height) by area; median_pixels: the middle picture's area.
    aspects: number of the bin (see `aspect_of_bin`) -> pictures. captions: all alternatives;
    captions_missing: pictures without one; upscaled: pictures enlarged at some resolution; tokens:
    length in tokens without start and end -> captions; long_captions: the long ones, longest
    first, at most NAMED_AT_MOST of captions_long. tags: comma-separated part -> pictures that have
    it, most frequent first; tags_rare_left_out: there were too many different ones to count the
    rare ones exactly.
    """

    pictures: int = 0
    skipped: int = 0
    rejected: int = 0
    smallest: tuple[int, int] = (0, 0)
    largest: tuple[int, int] = (0, 0)
    median_pixels: int = 0
    upscaled: int = 0
    aspects: Mapping[int, int] = field(default_factory=dict)
    buckets: tuple[BucketShare, ...] = ()
    captions: int = 0
    captions_missing: int = 0
    captions_long: int = 0
    tokens: Mapping[int, int] = field(default_factory=dict)
    long_captions: tuple[LongCaption, ...] = ()
    tags: tuple[tuple[str, int], ...] = ()
    tags_rare_left_out: bool = False

    @property
    def most_tokens(self) -> int:
        """The longest caption's tokens; 0 when there are no captions."""
        return max(self.tokens, default=0)


def aspect_bin(size: tuple[int, int]) -> int:
    """The bin of ASPECT_BINS that (width, height) falls into; 0 is square, above it wide."""
    octaves = math.log2(size[0] / size[1])
    return min(max(round(4 * octaves), ASPECT_BINS[0]), ASPECT_BINS[-1])


def aspect_of_bin(number: int) -> float:
    """Width divided by height in the middle of a bin."""
    return 2.0 ** (number / 4)


def tags_of(caption: str) -> list[str]:
    """The tags of a caption, their spaces single, each once, in their order."""
    return list(dict.fromkeys(" ".join(tag.split()) for tag in split_tags(caption)))


class Accumulator:
    """Counts items as they come; `snapshot()` may be asked at any time. Not for several threads.

    count: captions -> their lengths in tokens. room: tokens above which a caption is long.
    """

    def __init__(
        self, count: Callable[[Sequence[str]], list[int]] = count_tokens, room: int = CHUNK
    ) -> None:
        self._count, self._room = count, room
        self._known_lengths: dict[str, int] = {}
        self._waiting: list[tuple[Path, str]] = []
        self._seen: set[Path] = set()
        self._enlarged: set[Path] = set()
        self._pixels = array("Q")
        self._smallest = self._largest = (0, 0)
        self._missing = self._captions = self._long = 0
        self.skipped = self.rejected = 0
        self._aspects: Counter[int] = Counter()
        self._buckets: dict[Bucket, list[float]] = {}
        self._tokens: Counter[int] = Counter()
        self._longest: list[LongCaption] = []
        self._tags: Counter[str] = Counter()
        self._tags_pruned = False

    def add(self, item: Item) -> None:
        """One more item of a plan; one for each resolution of a picture."""
        placement = item.placement
        width, height = placement.resized
        row = self._buckets.setdefault(placement.bucket, [0, 0.0, 0])
        row[0] += 1
        row[1] += 1 - placement.bucket.width * placement.bucket.height / (width * height)
        row[2] += placement.upscaled
        if placement.upscaled:
            self._enlarged.add(item.path)
        if item.path in self._seen:
            return
        self._seen.add(item.path)
        self._add_size(item)
        self._missing += item.caption_missing
        if item.caption_missing:
            return
        found: dict[str, None] = {}
        for caption in item.captions:
            self._waiting.append((item.path, caption))
            found.update(dict.fromkeys(tags_of(caption)))
        self._tags.update(found.keys())
        if len(self._tags) > _MOST_TAGS:
            self._tags = Counter(dict(self._tags.most_common(_KEPT_TAGS)))
            self._tags_pruned = True
        if len(self._waiting) >= _CAPTIONS_AT_ONCE:
            self._count_waiting()

    def _add_size(self, item: Item) -> None:
        pixels = item.size[0] * item.size[1]
        if not self._pixels or pixels < self._smallest[0] * self._smallest[1]:
            self._smallest = item.size
        if pixels > self._largest[0] * self._largest[1]:
            self._largest = item.size
        self._pixels.append(pixels)
        self._aspects[aspect_bin(item.size)] += 1

    def _count_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        if len(self._known_lengths) > _MOST_TAGS:
            self._known_lengths.clear()
        new = list({text: None for _, text in waiting if text not in self._known_lengths})
        self._known_lengths.update(zip(new, self._count(new), strict=True))
        for picture, text in waiting:
            length = self._known_lengths[text]
            self._tokens[length] += 1
            if length > self._room:
                self._long += 1
                self._longest.append(LongCaption(picture, length))
        self._captions += len(waiting)
        self._longest = sorted(self._longest, key=lambda one: -one.tokens)[:NAMED_AT_MOST]

    def snapshot(self, most_tags: int = 500) -> Statistics:
        """What was counted so far, with the `most_tags` most frequent tags."""
        self._count_waiting()
        ordered = sorted(self._pixels)
        rows = sorted(self._buckets.items(), key=lambda pair: (-pair[1][0], str(pair[0])))
        return Statistics(
            pictures=len(self._pixels),
            skipped=self.skipped,
            rejected=self.rejected,
            smallest=self._smallest,
            largest=self._largest,
            median_pixels=ordered[len(ordered) // 2] if ordered else 0,
            upscaled=len(self._enlarged),
            aspects=dict(sorted(self._aspects.items())),
            buckets=tuple(
                BucketShare(bucket, int(row[0]), row[1] / row[0], int(row[2]))
                for bucket, row in rows
            ),
            captions=self._captions,
            captions_missing=self._missing,
            captions_long=self._long,
            tokens=dict(sorted(self._tokens.items())),
            long_captions=tuple(self._longest),
            tags=tuple(self._tags.most_common(most_tags)),
            tags_rare_left_out=self._tags_pruned,
        )


def statistics_of(
    items: Iterable[Item],
    *,
    skipped: int = 0,
    rejected: int = 0,
    count: Callable[[Sequence[str]], list[int]] = count_tokens,
    room: int = CHUNK,
    progress: Progress | None = None,
    check_stop: StopCheck | None = None,
) -> Statistics:
    """The statistics of a concept's items (of a Plan, training and validation alike).

    count, room: see Accumulator. `progress(done, total)` gets the number of items. Raises Stopped
    when `check_stop` says so.
    """
    items = list(items)
    counted = Accumulator(count, room)
    counted.skipped, counted.rejected = skipped, rejected
    for number, item in enumerate(items):
        if number % _CHECK_EVERY == 0:
            ask_stop(check_stop)
            if progress is not None:
                progress(number, len(items))
        counted.add(item)
    ask_stop(check_stop)
    result = counted.snapshot()
    if progress is not None:
        progress(len(items), len(items))
    return result
