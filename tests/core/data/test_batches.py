"""Every picture is trained as often as asked, in an order that only seed and epoch decide."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config.concepts import Concept
from core.config.job import Job
from core.data.batches import epoch_batches, locate, validation_batches, with_counts
from core.data.buckets import make_buckets, place
from core.data.types import ConceptSummary, Item, Pace, Plan


def _plan(
    counts: Sequence[int], repeats: Sequence[float] = (1.0,), sizes_seed: int = 0, **pace: int
) -> tuple[Plan, Job]:
    """A plan of concepts with so many pictures of odd sizes each, and its job."""
    rng = random.Random(sizes_seed)
    buckets = make_buckets(64, 8)
    items: list[Item] = []
    for concept, count in enumerate(counts):
        for _ in range(count):
            size = (rng.randint(1, 300), rng.randint(1, 300))
            placement = place(size, buckets)
            number = len(items)
            items.append(
                Item(number, concept, Path(f"{number}.png"), size, placement, ("a, b", "c"))
            )
    all_repeats = {index: repeats[index % len(repeats)] for index in range(len(counts))}
    plan = Plan(
        items=tuple(items),
        concepts=tuple(
            ConceptSummary(index, str(index), count, 0, 0, 0) for index, count in enumerate(counts)
        ),
        buckets={},
        samples_per_epoch=0,
        steps_per_epoch=0,
        total_steps=0,
        pace=Pace(repeats=all_repeats, **pace),
    )
    job = Job(concepts=[Concept(path=".") for _ in counts])
    return with_counts(plan), job


def _showings(plan: Plan, job: Job, epochs: range) -> Counter[int]:
    return Counter(
        draw.item.id
        for epoch in epochs
        for step in epoch_batches(plan, job, epoch)
        for batch in step
        for draw in batch.draws
    )


def test_three_epochs_over_37_pictures_show_each_exactly_three_times() -> None:
    plan, job = _plan([37], batch_size=4, gradient_accumulation=3, epochs=3)
    assert len(plan.buckets) > 4
    assert _showings(plan, job, range(3)) == Counter({item.id: 3 for item in plan.items})


@settings(max_examples=60)
@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=3),
    repeats=st.lists(st.sampled_from([1.0, 2.0, 3.0]), min_size=1, max_size=3),
    batch_size=st.integers(1, 7),
    gradient_accumulation=st.integers(1, 4),
    seed=st.integers(0, 2**63 - 1),
    epoch=st.integers(0, 1000),
)
def test_whole_repeats(
    counts: list[int],
    repeats: list[float],
    batch_size: int,
    gradient_accumulation: int,
    seed: int,
    epoch: int,
) -> None:
    pace = {"batch_size": batch_size, "gradient_accumulation": gradient_accumulation, "seed": seed}
    plan, job = _plan(counts, repeats, **pace)
    steps = epoch_batches(plan, job, epoch)
    assert len(steps) == plan.steps_per_epoch
    shown: Counter[int] = Counter()
    sizes: dict[object, list[int]] = {}
    for number, step in enumerate(steps):
        assert 1 <= len(step) <= gradient_accumulation
        assert len(step) == gradient_accumulation or number == len(steps) - 1
        for batch in step:
            assert 1 <= len(batch.draws) <= batch_size
            assert {draw.item.placement.bucket for draw in batch.draws} == {batch.bucket}
            sizes.setdefault(batch.bucket, []).append(len(batch.draws))
            shown.update(draw.item.id for draw in batch.draws)
    expected = {item.id: int(repeats[item.concept % len(repeats)]) for item in plan.items}
    assert shown == expected
    # Each bucket has one smaller batch at most.
    for of_bucket in sizes.values():
        assert sum(size < batch_size for size in of_bucket) <= 1
    draws = [(d.item.id, d.repeat) for step in steps for batch in step for d in batch.draws]
    assert len(set(draws)) == len(draws) == plan.samples_per_epoch


@pytest.mark.parametrize(
    ("repeats", "epochs", "times"),
    [(0.5, 2, 1), (0.25, 4, 1), (2.5, 2, 5), (1.75, 4, 7), (1 / 3, 3, 1), (0.1, 10, 1)],
)
@pytest.mark.parametrize("pictures", [1, 2, 7, 20])
def test_fractional_repeats_come_out_even(
    repeats: float, epochs: int, times: int, pictures: int
) -> None:
    plan, job = _plan([pictures], [repeats], batch_size=3)
    for start in (0, epochs):
        shown = _showings(plan, job, range(start, start + epochs))
        assert shown == Counter({item.id: times for item in plan.items})
    for epoch in range(epochs):
        shown = _showings(plan, job, range(epoch, epoch + 1))
        assert all(abs(shown[item.id] - repeats) < 1 for item in plan.items)
        assert abs(shown.total() - repeats * pictures) < 1


@settings(max_examples=30)
@given(
    pictures=st.integers(1, 25),
    count=st.integers(1, 60),
    seed=st.integers(0, 2**63 - 1),
    start=st.integers(0, 20),
)
def test_an_exact_count_each_epoch_fair_over_epochs(
    pictures: int, count: int, seed: int, start: int
) -> None:
    plan, job = _plan([pictures, 3], batch_size=3, seed=seed)
    plan = with_counts(replace(plan, pace=replace(plan.pace, counts={0: count})))
    assert plan.concepts[0].per_epoch == count and plan.concepts[1].per_epoch == 3
    first = [item.id for item in plan.items if item.concept == 0]
    for epoch in (start, start + 1):
        shown = _showings(plan, job, range(epoch, epoch + 1))
        assert sum(shown[item] for item in first) == count
    # From the start on no picture is ever ahead of another by more than one showing.
    shown = _showings(plan, job, range(start + 1))
    times = [shown[item] for item in first]
    assert max(times) - min(times) <= 1


def test_an_exact_count_shows_others_in_the_next_epoch() -> None:
    plan, job = _plan([10], batch_size=2)
    plan = with_counts(replace(plan, pace=replace(plan.pace, counts={0: 5}, epochs=4)))
    halves = [frozenset(_showings(plan, job, range(epoch, epoch + 1))) for epoch in range(4)]
    assert not halves[0] & halves[1] and halves[0] == halves[2] and halves[1] == halves[3]
    steps = [len(epoch_batches(plan, job, epoch)) for epoch in range(4)]
    assert plan.total_steps == sum(steps)


def test_prepared_versions_come_about_equally_often() -> None:
    plan, job = _plan([10, 10, 10], [3.0], batch_size=4)
    job.concepts[0].image.flip = 0.5
    job.concepts[0].image.variants = 3
    job.concepts[1].image.flip = 0.5
    job.concepts[1].image.caching = "off"
    job.concepts[2].image.variants = 3
    drawn: dict[int, Counter[int]] = {0: Counter(), 1: Counter(), 2: Counter()}
    for epoch in range(30):
        for step in epoch_batches(plan, job, epoch):
            for batch in step:
                drawn_here = [(d.item.concept, d.variant) for d in batch.draws]
                for concept, variant in drawn_here:
                    drawn[concept][variant] += 1
    assert set(drawn[0]) == {0, 1, 2} and max(abs(n - 300) for n in drawn[0].values()) < 70
    # Without changes, or with new ones at each step, there is one version.
    assert set(drawn[1]) == set(drawn[2]) == {0}
    assert epoch_batches(plan, job, 7) == epoch_batches(plan, job, 7)


def test_validation_is_never_trained_and_the_same_each_time() -> None:
    plan, job = _plan([12, 9], batch_size=4)
    held_out = tuple(item for item in plan.items if item.concept == 1)
    items = tuple(item for item in plan.items if item.concept == 0)
    plan = with_counts(replace(plan, items=items, validation=held_out))
    changes = {"shuffle": True, "keep": 0, "dropout": 1.0, "tag_dropout": 1.0}
    job.concepts[1].caption = job.concepts[1].caption.model_copy(update=changes)
    job.concepts[1].image.flip = 0.5
    assert plan.concepts[1].per_epoch == 0 and plan.samples_per_epoch == 12
    assert set(_showings(plan, job, range(3))) == {item.id for item in items}
    batches = validation_batches(plan, job)
    assert batches == validation_batches(plan, job)
    draws = [draw for batch in batches for draw in batch.draws]
    assert sorted(draw.item.id for draw in draws) == [item.id for item in held_out]
    assert {(draw.caption, draw.variant, draw.repeat) for draw in draws} == {("a, b", 0, 0)}
    for batch in batches:
        assert 1 <= len(batch.draws) <= 4
        assert {draw.item.placement.bucket for draw in batch.draws} == {batch.bucket}


def test_what_is_measured_depends_on_the_pictures_name_alone() -> None:
    plan, job = _plan([40])
    job.concepts[0].caption.choices = True
    items = tuple(replace(item, captions=("{a|b|c|d}",)) for item in plan.items)

    def captions(seed: int, first_id: int) -> dict[str, str]:
        moved = tuple(replace(item, id=item.id + first_id) for item in items)
        pace = replace(plan.pace, seed=seed)
        batches = validation_batches(replace(plan, validation=moved, pace=pace), job)
        return {draw.item.path.name: draw.caption for b in batches for draw in b.draws}

    found = captions(0, 0)
    assert found == captions(1, 0) == captions(0, 100)
    assert set(found.values()) == {"a", "b", "c", "d"}


def test_wildcards_are_those_of_the_plan() -> None:
    plan, job = _plan([4], [5.0])
    items = tuple(replace(item, captions=("zxc {__c__|x}, b",)) for item in plan.items)
    plan = with_counts(replace(plan, items=items, wildcards={0: {"c": ("red", "blue")}}))
    job.concepts[0].caption.choices = True
    job.concepts[0].prompt.trigger = "zxc"
    captions = {
        draw.caption
        for epoch in range(10)
        for step in epoch_batches(plan, job, epoch)
        for batch in step
        for draw in batch.draws
    }
    assert captions == {"zxc red, b", "zxc blue, b", "zxc x, b"}


def test_half_repeats_alternate_halves_that_the_seed_draws() -> None:
    halves = set()
    for seed in range(5):
        plan, job = _plan([20], [0.5], batch_size=3, seed=seed)
        first, second, third = (
            frozenset(_showings(plan, job, range(epoch, epoch + 1))) for epoch in range(3)
        )
        assert len(first) == len(second) == 10 and not first & second and third == first
        halves.add(first)
    assert len(halves) > 1


@settings(max_examples=40)
@given(
    counts=st.lists(st.integers(1, 15), min_size=1, max_size=3),
    repeats=st.lists(st.sampled_from([0.05, 0.3, 0.5, 1.0, 1.1, 2.5]), min_size=1, max_size=3),
    batch_size=st.integers(1, 5),
    gradient_accumulation=st.integers(1, 3),
    epochs=st.integers(1, 12),
)
def test_total_steps_and_locate_follow_the_batches(
    counts: list[int],
    repeats: list[float],
    batch_size: int,
    gradient_accumulation: int,
    epochs: int,
) -> None:
    pace = {"batch_size": batch_size, "gradient_accumulation": gradient_accumulation}
    plan, job = _plan(counts, repeats, epochs=epochs, **pace)
    steps = [len(epoch_batches(plan, job, epoch)) for epoch in range(epochs)]
    assert plan.steps_per_epoch == steps[0] > 0
    assert plan.total_steps == sum(steps)
    expected = [(epoch, number) for epoch in range(epochs) for number in range(steps[epoch])]
    assert [locate(plan, job, step) for step in range(plan.total_steps)] == expected


def test_more_steps_than_the_epochs_have_go_on_into_further_epochs() -> None:
    plan, job = _plan([5], [0.5], batch_size=1, epochs=2, max_steps=23)
    assert plan.total_steps == 23
    position = [locate(plan, job, step) for step in range(23)]
    assert position == sorted(set(position))
    for epoch, number in position:
        assert number < len(epoch_batches(plan, job, epoch))
    assert position[-1][0] > 2


def test_without_pictures_there_are_no_steps() -> None:
    plan, job = _plan([])
    assert (plan.total_steps, plan.steps_per_epoch, plan.epoch_ends) == (0, 0, ())
    assert epoch_batches(plan, job, 0) == []
    with pytest.raises(ValueError):
        locate(plan, job, 0)


def test_batches_depend_on_seed_and_epoch_only() -> None:
    plan, job = _plan([23, 9], [1.0, 1.5], batch_size=4, seed=7)
    job.concepts[0].caption.shuffle = True
    random.seed(1)
    once = epoch_batches(plan, job, 3)
    state = random.getstate()
    epoch_batches(plan, job, 4)
    assert random.getstate() == state
    random.seed(2)
    assert epoch_batches(plan, job, 3) == once
    assert epoch_batches(plan, job, 4) != once
    other, job = _plan([23, 9], [1.0, 1.5], batch_size=4, seed=8)
    assert epoch_batches(other, job, 3) != once


def test_buckets_are_interleaved() -> None:
    plan, job = _plan([60], batch_size=2)
    order = [batch.bucket for step in epoch_batches(plan, job, 0) for batch in step]
    runs = 1 + sum(a != b for a, b in itertools.pairwise(order))
    assert runs > 2 * len(set(order))


def test_each_epoch_puts_other_pictures_together() -> None:
    plan, job = _plan([1] * 12, batch_size=3)
    same_bucket = tuple(replace(item, placement=plan.items[0].placement) for item in plan.items)
    plan = with_counts(replace(plan, items=same_bucket))
    together = [
        {
            frozenset(d.item.id for d in b.draws)
            for step in epoch_batches(plan, job, e)
            for b in step
        }
        for e in range(4)
    ]
    assert all(len(groups) == 4 for groups in together)
    assert len({frozenset(groups) for groups in together}) == 4


def test_captions_are_chosen_and_augmented_anew_for_each_showing() -> None:
    plan, job = _plan([10], [3.0], batch_size=4)
    job.concepts[0].caption.dropout = 0.2
    captions = Counter(
        draw.caption
        for epoch in range(20)
        for step in epoch_batches(plan, job, epoch)
        for batch in step
        for draw in batch.draws
    )
    assert set(captions) == {"a, b", "c", ""}
    assert abs(captions[""] - 120) < 45
    assert abs(captions["c"] - 240) < 60
    of_one = {
        (epoch, draw.repeat): draw.caption
        for epoch in range(30)
        for step in epoch_batches(plan, job, epoch)
        for batch in step
        for draw in batch.draws
        if draw.item.id == 2
    }
    assert len(of_one) == 90
    for fixed in range(3):
        assert {"a, b", "c"} <= {c for (_, repeat), c in of_one.items() if repeat == fixed}
    assert any(len({of_one[epoch, repeat] for repeat in range(3)}) > 1 for epoch in range(12))


def test_tags_are_shuffled_anew_for_each_showing() -> None:
    plan, job = _plan([1], [5.0])
    plan = with_counts(replace(plan, items=(replace(plan.items[0], captions=("a, b, c, d, e",)),)))
    job.concepts[0].caption.shuffle = True
    job.concepts[0].caption.keep = 0
    shown = [
        [draw.caption for step in epoch_batches(plan, job, epoch) for b in step for draw in b.draws]
        for epoch in range(2)
    ]
    assert len(set(shown[0])) == len(set(shown[1])) == 5 and set(shown[0]) != set(shown[1])


def test_a_large_plan_with_odd_repeats_is_counted_quickly() -> None:
    plan, _ = _plan([3000, 500], [0.337, 1.91], batch_size=4, epochs=200)
    expected = 200 * (3000 * 0.337 + 500 * 1.91) / 4
    # Remainders of the buckets make some more.
    assert expected <= plan.total_steps <= expected + 200 * len(plan.buckets)
