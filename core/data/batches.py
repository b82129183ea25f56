"""Which pictures come when: the batches of an epoch and the counting of steps.

Everything depends on (plan, epoch) only, so that a resumed run meets the same batches.

Repeats may be fractional. Picture number p of the n of its concept, in an order drawn once from
the seed, has been shown ceil(e r - p / n) times before epoch e, where r is the repeats. So 0.5
alternates halves, 2.5 shows everything twice and alternating halves a third time, and after k
epochs with whole k r every picture was shown exactly k r times.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate

from core.config.job import Job
from core.data.captions import augment_caption, choose_caption
from core.data.seeds import stable_order
from core.data.types import Batch, Bucket, Draw, Item, Pace, Plan

# Keep the random streams of one seed apart.
_ORDER_IN_CONCEPT, _ORDER_IN_BUCKET, _ORDER_OF_BATCHES, _CHOICE, _AUGMENT = range(1, 6)


def epoch_batches(plan: Plan, job: Job, epoch: int) -> list[list[Batch]]:
    """The optimizer steps of an epoch (from 0), each a list of up to gradient_accumulation batches.

    Every showing of the epoch is in exactly one batch. A bucket's remainder is a smaller batch,
    and the last step may have fewer batches; nothing is dropped or filled up.
    """
    pace = plan.pace
    in_bucket: dict[Bucket, list[tuple[Item, int]]] = defaultdict(list)
    positions = _positions(plan)
    shares = _shares(plan)
    for item in plan.items:
        share = shares[item.concept]
        position = positions[item.id]
        showings = share.shown(position, epoch + 1) - share.shown(position, epoch)
        in_bucket[item.placement.bucket].extend((item, repeat) for repeat in range(showings))
    batches: list[Batch] = []
    for bucket, showings_here in in_bucket.items():
        order = stable_order(
            len(showings_here), pace.seed, _ORDER_IN_BUCKET, epoch, bucket.width, bucket.height
        )
        draws = [_draw(job, pace.seed, epoch, *showings_here[index]) for index in order]
        batches += [
            Batch(bucket, tuple(draws[start : start + pace.batch_size]))
            for start in range(0, len(draws), pace.batch_size)
        ]
    order = stable_order(len(batches), pace.seed, _ORDER_OF_BATCHES, epoch)
    batches = [batches[index] for index in order]
    together = pace.gradient_accumulation
    return [batches[start : start + together] for start in range(0, len(batches), together)]


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

    def shown(self, position: int, epochs: int) -> int:
        """How often the picture at `position` is shown in the first `epochs` epochs."""
        whole, part = divmod(self.repeats * epochs, 1)
        return int(whole) + (position < part * self.size)

    def shown_of(self, positions: list[int], epochs: int) -> int:
        """How often those at the sorted `positions` are shown in the first `epochs` epochs."""
        whole, part = divmod(self.repeats * epochs, 1)
        return int(whole) * len(positions) + bisect_left(positions, math.ceil(part * self.size))


def _shares(plan: Plan) -> dict[int, _Share]:
    sizes: dict[int, int] = defaultdict(int)
    for item in plan.items:
        sizes[item.concept] += 1
    return {
        concept: _Share(_fraction(plan.pace.repeats.get(concept, 1.0)), size)
        for concept, size in sizes.items()
    }


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
            self.shares[index].shown_of(group, 1)
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
        for (concept, bucket), group in self.groups.items():
            share = self.shares[concept]
            samples[bucket] += share.shown_of(group, epoch + 1) - share.shown_of(group, epoch)
        batches = sum(-(-count // self.pace.batch_size) for count in samples.values())
        return -(-batches // self.pace.gradient_accumulation)


def _draw(job: Job, seed: int, epoch: int, item: Item, repeat: int) -> Draw:
    caption = choose_caption(item.captions, seed, _CHOICE, epoch, item.id, repeat)
    caption = augment_caption(
        caption, job.concepts[item.concept].caption, seed, _AUGMENT, epoch, item.id, repeat
    )
    return Draw(item, repeat, caption)
