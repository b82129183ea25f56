"""Which pictures come when: the batches of an epoch and the counting of steps.

Everything depends on (plan, epoch) only, so that a resumed run meets the same batches.

Repeats may be fractional. Picture number p of the n of its concept, in an order drawn once from
the seed, has been shown ceil(e r - p / n) times before epoch e, where r is the repeats. So 0.5
alternates halves, 2.5 shows everything twice and alternating halves a third time, and after k
epochs with whole k r every picture was shown exactly k r times. A concept with an exact count c
of showings an epoch has the repeats c / n, which makes it c in every epoch.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate

from core.config.job import Job
from core.data.augment import versions
from core.data.captions import augment_caption, choose_caption, settled_caption
from core.data.captions import lasting_captions as captions_that_last
from core.data.seeds import seed_of_name, stable_order, stable_seed
from core.data.types import Batch, Bucket, Draw, Item, Pace, Plan

# An SD1.x embedding takes 236 KB; more captions than these would fill a disk with what the
# encoder makes in milliseconds.
LASTING_AT_MOST = 4096
# Keep the random streams of one seed apart.
_ORDER_IN_CONCEPT, _ORDER_IN_BUCKET, _ORDER_OF_BATCHES, _CHOICE, _AUGMENT = range(1, 6)
_VARIANT, _VALIDATION = 6, 7


def epoch_batches(plan: Plan, job: Job, epoch: int) -> list[list[Batch]]:
    """The optimizer steps of an epoch (from 0), each a list of up to gradient_accumulation batches.

    Every showing of the epoch is in exactly one batch. A bucket's remainder is a smaller batch,
    and the last step may have fewer batches; nothing is dropped or filled up.
    """
    pace = plan.pace
    in_bucket: dict[Bucket, list[tuple[Item, int]]] = defaultdict(list)
    positions = _positions(plan)
    shares = _shares(plan).items()
    after = {concept: share.shown(epoch + 1) for concept, share in shares}
    before = {concept: share.shown(epoch) for concept, share in shares}
    for item in plan.items:
        position = positions[item.id]
        (whole, place), (whole_before, place_before) = after[item.concept], before[item.concept]
        showings = whole - whole_before + (position < place) - (position < place_before)
        in_bucket[item.placement.bucket].extend((item, repeat) for repeat in range(showings))
    batches: list[Batch] = []
    for bucket, showings_here in in_bucket.items():
        order = stable_order(
            len(showings_here), pace.seed, _ORDER_IN_BUCKET, epoch, bucket.width, bucket.height
        )
        draws = [draw_of(plan, job, epoch, *showings_here[index]) for index in order]
        batches += [
            Batch(bucket, tuple(draws[start : start + pace.batch_size]))
            for start in range(0, len(draws), pace.batch_size)
        ]
    order = stable_order(len(batches), pace.seed, _ORDER_OF_BATCHES, epoch)
    batches = [batches[index] for index in order]
    together = pace.gradient_accumulation
    return [batches[start : start + together] for start in range(0, len(batches), together)]


def validation_batches(plan: Plan, job: Job) -> list[Batch]:
    """Each item of plan.validation once, the same batches and captions every time.

    Captions are the first alternatives, with nothing dropped or shuffled; choices in them are drawn
    by the picture's name, so that neither the seed nor pictures that join change what is measured.
    """
    in_bucket: dict[Bucket, list[Draw]] = defaultdict(list)
    for item in plan.validation:
        concept = job.concepts[item.concept]
        caption = settled_caption(
            item.captions,
            concept.caption,
            *(seed_of_name(item.path.name), _VALIDATION),
            trigger=concept.prompt.trigger,
            wildcards=plan.wildcards.get(item.concept, {}),
        )
        in_bucket[item.placement.bucket].append(Draw(item, 0, caption))
    size = plan.pace.batch_size
    return [
        Batch(bucket, tuple(draws[start : start + size]))
        for bucket, draws in in_bucket.items()
        for start in range(0, len(draws), size)
    ]


def draw_of(plan: Plan, job: Job, epoch: int, item: Item, repeat: int) -> Draw:
    """What an item's showing number `repeat` (from 0) in an epoch looks like."""
    seed, concept = plan.pace.seed, job.concepts[item.concept]
    caption = choose_caption(item.captions, seed, _CHOICE, epoch, item.id, repeat)
    caption = augment_caption(
        caption,
        concept.caption,
        *(seed, _AUGMENT, epoch, item.id, repeat),
        trigger=concept.prompt.trigger,
        wildcards=plan.wildcards.get(item.concept, {}),
    )
    count = versions(concept.image)
    variant = 0
    if count > 1:
        variant = stable_seed(seed, _VARIANT, epoch, item.id, repeat) % count
    return Draw(item, repeat, caption, variant)


def lasting_captions(plan: Plan, job: Job) -> list[str]:
    """Every caption that some steps or measurements show exactly so, each once."""
    captions: dict[str, None] = {}
    for item in plan.items:
        captions |= dict.fromkeys(
            captions_that_last(item.captions, job.concepts[item.concept].caption)
        )
    for batch in validation_batches(plan, job):
        captions |= dict.fromkeys(draw.caption for draw in batch.draws)
    return list(captions)


def captions_last(plan: Plan, job: Job) -> bool:
    """Whether no step shows a caption that is not in `lasting_captions`."""
    return all(
        job.concepts[item.concept].caption.dropout >= 1
        or set(item.captions)
        <= set(captions_that_last(item.captions, job.concepts[item.concept].caption))
        for item in plan.items
    )


def locate(plan: Plan, job: Job, global_step: int) -> tuple[int, int]:
    """The epoch (from 0) that the step after `global_step` done ones belongs to, and its number
    in it.

    So `epoch_batches(plan, job, epoch)[number]` is trained next. Works beyond the last epoch,
    where max_steps asks for more.
    """
    ends = plan.epoch_ends
    if not ends or ends[-1] == 0:
        raise ValueError("a plan without pictures has no steps")
    cycle, rest = divmod(global_step, ends[-1])
    index = bisect_right(ends, rest)
    return cycle * len(ends) + index, rest - (ends[index - 1] if index else 0)


def with_counts(plan: Plan) -> Plan:
    """The plan with buckets, samples, steps and epoch ends counted from its items and pace."""
    buckets: dict[Bucket, int] = defaultdict(int)
    for item in plan.items:
        buckets[item.placement.bucket] += 1
    counts = _Counts(plan)
    pace = plan.pace
    ends = tuple(accumulate(counts.steps_of_epochs())) if plan.items else ()
    total = 0
    if ends:
        cycles, rest = divmod(pace.epochs, len(ends))
        total = cycles * ends[-1] + (ends[rest - 1] if rest else 0)
        total = total if pace.max_steps is None else pace.max_steps
    concepts = tuple(
        replace(concept, per_epoch=counts.of_concept(concept.index)) for concept in plan.concepts
    )
    return replace(
        plan,
        concepts=concepts,
        buckets=dict(sorted(buckets.items(), key=lambda pair: (-pair[1], str(pair[0])))),
        samples_per_epoch=sum(concept.per_epoch for concept in concepts),
        steps_per_epoch=ends[0] if ends else 0,
        total_steps=total,
        epoch_ends=ends,
    )


@dataclass(frozen=True)
class _Share:
    """How often the `size` pictures of one concept are shown."""

    repeats: Fraction
    size: int

    def shown(self, epochs: int) -> tuple[int, int]:
        """(n, place): in the first `epochs` epochs each picture is shown n times, and those before
        `place` once more."""
        whole, part = divmod(self.repeats * epochs, 1)
        return int(whole), math.ceil(part * self.size)


def _shown_of(positions: list[int], shown: tuple[int, int]) -> int:
    """How often those at the sorted `positions` are shown in all."""
    whole, place = shown
    return whole * len(positions) + bisect_left(positions, place)


def _shares(plan: Plan) -> dict[int, _Share]:
    sizes: dict[int, int] = defaultdict(int)
    for item in plan.items:
        sizes[item.concept] += 1
    return {
        concept: _Share(_repeats(plan.pace, concept, size), size) for concept, size in sizes.items()
    }


def _repeats(pace: Pace, concept: int, size: int) -> Fraction:
    count = pace.counts.get(concept)
    return _fraction(pace.repeats.get(concept, 1.0)) if count is None else Fraction(count, size)


def _fraction(repeats: float) -> Fraction:
    # Few enough parts that 0.333 repeats itself soon, enough for one in ten thousand.
    return max(Fraction(repeats).limit_denominator(10000), Fraction(1, 10000))


def _positions(plan: Plan) -> dict[int, int]:
    """Item id -> its place in the order of its concept, drawn once from the seed."""
    members: dict[int, list[int]] = defaultdict(list)
    for item in plan.items:
        members[item.concept].append(item.id)
    positions: dict[int, int] = {}
    for concept, ids in members.items():
        order = stable_order(len(ids), plan.pace.seed, _ORDER_IN_CONCEPT, concept)
        positions |= {ids[index]: position for position, index in enumerate(order)}
    return positions


class _Counts:
    """Counts showings and steps without making the batches."""

    def __init__(self, plan: Plan) -> None:
        self.pace: Pace = plan.pace
        self.shares = _shares(plan)
        self.groups: dict[tuple[int, Bucket], list[int]] = defaultdict(list)
        positions = _positions(plan)
        for item in plan.items:
            self.groups[item.concept, item.placement.bucket].append(positions[item.id])
        for group in self.groups.values():
            group.sort()

    def of_concept(self, concept: int) -> int:
        """Showings of a concept in the first epoch."""
        return sum(
            _shown_of(group, self.shares[index].shown(1))
            for (index, _), group in self.groups.items()
            if index == concept
        )

    def steps_of_epochs(self) -> list[int]:
        """Steps of each epoch until the pattern repeats or the run ends."""
        period = math.lcm(*(share.repeats.denominator for share in self.shares.values()))
        steps: list[int] = []
        done = 0
        while len(steps) < period:
            steps.append(self.steps_of(len(steps)))
            done += steps[-1]
            limit = self.pace.max_steps
            if (len(steps) >= self.pace.epochs) if limit is None else (done >= limit):
                break
        return steps

    def steps_of(self, epoch: int) -> int:
        """Optimizer steps of one epoch."""
        samples: dict[Bucket, int] = defaultdict(int)
        after = {concept: share.shown(epoch + 1) for concept, share in self.shares.items()}
        before = {concept: share.shown(epoch) for concept, share in self.shares.items()}
        for (concept, bucket), group in self.groups.items():
            samples[bucket] += _shown_of(group, after[concept]) - _shown_of(group, before[concept])
        batches = sum(-(-count // self.pace.batch_size) for count in samples.values())
        return -(-batches // self.pace.gradient_accumulation)
