"""Counts of pictures, sizes, captions and tags, against counting by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core.config.job import Job
from core.data.buckets import make_buckets, place
from core.data.plan import make_plan
from core.data.statistics import (
    ASPECT_BINS,
    Accumulator,
    aspect_bin,
    aspect_of_bin,
    statistics_of,
    tags_of,
)
from core.data.tokens import CHUNK, count_tokens
from core.data.types import Item
from core.errors import Stopped

BUCKETS = make_buckets(64, 8)


def item(
    number: int,
    size: tuple[int, int] = (64, 64),
    captions: tuple[str, ...] = ("a cat",),
    missing: bool = False,
) -> Item:
    return Item(
        id=number,
        concept=0,
        path=Path(f"{number}.png"),
        size=size,
        placement=place(size, BUCKETS),
        captions=captions,
        caption_missing=missing,
    )


def words(texts: list[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def test_sizes_and_aspects() -> None:
    sizes = [(64, 64), (128, 64), (60, 240), (100, 101), (30, 20)]
    found = statistics_of([item(n, size) for n, size in enumerate(sizes)])
    assert found.pictures == 5
    assert (found.smallest, found.largest) == ((30, 20), (60, 240))
    assert found.median_pixels == 128 * 64
    assert found.upscaled == 1
    assert found.aspects == {-8: 1, 0: 2, 2: 1, 4: 1}


def test_aspect_bins_cover_every_shape() -> None:
    for number in ASPECT_BINS:
        height = 1000
        assert aspect_bin((round(aspect_of_bin(number) * height), height)) == number
    assert aspect_bin((1, 10000)) == ASPECT_BINS[0]
    assert aspect_bin((10000, 1)) == ASPECT_BINS[-1]


def test_the_bucket_table_tells_what_the_crop_costs() -> None:
    sizes = [(640, 640), (700, 640), (640, 640)]
    found = statistics_of([item(n, size) for n, size in enumerate(sizes)])
    (row,) = found.buckets
    assert (str(row.bucket), row.pictures, row.upscaled) == ("64x64", 3, 0)
    # 700x640 becomes 70x64, of which 6 columns are cut.
    assert row.lost == pytest.approx((6 / 70) / 3)


def test_a_picture_at_two_resolutions_is_one_picture() -> None:
    first = item(0, (640, 480), ("a, b",))
    second = Item(
        id=1,
        concept=0,
        path=first.path,
        size=first.size,
        placement=place(first.size, make_buckets(128, 8)),
        captions=first.captions,
    )
    found = statistics_of([first, second])
    assert (found.pictures, found.captions, dict(found.tags)) == (1, 1, {"a": 1, "b": 1})
    assert sum(row.pictures for row in found.buckets) == 2


def test_captions_are_counted_in_tokens() -> None:
    long = "very " * 80 + "long"
    found = statistics_of(
        [
            item(0, captions=("a cat", "one cat on a mat")),
            item(1, captions=(long,)),
            item(2, captions=("trigger",), missing=True),
        ]
    )
    expected = count_tokens(["a cat", "one cat on a mat", long])
    assert found.captions == 3
    assert found.captions_missing == 1
    assert sorted(found.tokens) == sorted(expected)
    assert found.most_tokens == expected[2] > CHUNK
    assert [(one.picture, one.tokens) for one in found.long_captions] == [
        (Path("1.png"), expected[2])
    ]
    assert found.captions_long == 1


def test_many_long_captions_are_counted_but_not_all_named() -> None:
    counted = Accumulator(words)
    for number in range(120):
        counted.add(item(number, captions=("w " * (CHUNK + 1 + number % 60),)))
    found = counted.snapshot()
    assert found.captions_long == 120
    assert len(found.long_captions) == 50
    assert [one.tokens for one in found.long_captions] == sorted(
        (CHUNK + 1 + number % 60 for number in range(120)), reverse=True
    )[:50]


def test_tags_count_once_per_picture() -> None:
    found = statistics_of(
        [
            item(0, captions=("cat,  red   hat , cat", "cat, blue")),
            item(1, captions=("cat",)),
            item(2, captions=("dog, , red hat",)),
        ]
    )
    assert dict(found.tags) == {"cat": 2, "red hat": 2, "blue": 1, "dog": 1}
    assert found.tags[0][1] == 2
    assert not found.tags_rare_left_out


def test_too_many_different_tags_keep_the_frequent_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    from core.data import statistics as module

    monkeypatch.setattr(module, "_MOST_TAGS", 100)
    monkeypatch.setattr(module, "_KEPT_TAGS", 10)
    counted = Accumulator(words)
    for number in range(500):
        counted.add(item(number, captions=(f"sentence {number}, frequent",)))
    found = counted.snapshot()
    assert found.tags[0] == ("frequent", 500)
    assert len(found.tags) <= 101
    assert found.tags_rare_left_out


def test_tags_of_a_caption() -> None:
    assert tags_of(" a red  robot, waving ,, a red robot,") == ["a red robot", "waving"]
    assert tags_of("") == []


def test_it_may_be_asked_while_it_counts() -> None:
    counted = Accumulator(words)
    assert counted.snapshot().pictures == 0
    counted.add(item(0))
    before = counted.snapshot()
    counted.add(item(1, (10, 20)))
    assert (before.pictures, before.captions) == (1, 1)
    assert (counted.snapshot().pictures, counted.snapshot().captions) == (2, 2)


def test_progress_and_stopping() -> None:
    items = [item(number) for number in range(600)]
    steps: list[tuple[int, int]] = []
    found = statistics_of(items, progress=lambda *n: steps.append(n))
    assert steps == [(0, 600), (256, 600), (512, 600), (600, 600)]
    assert found.pictures == 600
    with pytest.raises(Stopped):
        statistics_of(items, check_stop=lambda: True)


def test_from_a_plan_of_real_files(
    make_job: Callable[..., Job], add_picture: Callable[..., Path]
) -> None:
    add_picture("a.png", 64, 64, "robot, red")
    add_picture("b.png", 128, 64, "robot")
    add_picture("c.png", 64, 64)
    seen: list[Item] = []
    plan = make_plan(make_job(), bucket_step=8, seen=seen.append)
    assert tuple(seen) == plan.items
    found = statistics_of(plan.items)
    assert (found.pictures, found.captions, found.captions_missing) == (3, 2, 1)
    assert dict(found.tags) == {"robot": 2, "red": 1}
    assert {str(row.bucket): row.pictures for row in found.buckets} == {
        str(bucket): count for bucket, count in plan.buckets.items()
    }
