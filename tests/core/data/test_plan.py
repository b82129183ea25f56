"""The plan tells what will be trained and what is wrong, and changes nothing on disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from core.config.concepts import Concept
from core.config.job import Job
from core.data.estimate import latent_cache_bytes, text_cache_bytes
from core.data.plan import NAMED_AT_MOST, make_plan, without
from core.data.types import Bucket, Plan
from core.errors import Stopped

AddPicture = Callable[..., Path]
MakeJob = Callable[..., Job]


def _codes(plan: Plan, severity: str = "") -> list[str]:
    return [p.code for p in plan.problems if not severity or p.severity == severity]


def test_items_counts_and_steps(add_picture: AddPicture, make_job: MakeJob) -> None:
    for number in (1, 2, 10):
        add_picture(f"wide {number}.png", 160, 80, caption=f"caption {number}")
    add_picture("square.webp", 100, 100, caption="one\ntwo")
    job = make_job(batch_size=2, epochs=5)
    plan = make_plan(job, bucket_step=8)
    assert plan.problems == ()
    assert [item.path.name for item in plan.items] == [
        *("square.webp", "wide 1.png", "wide 2.png", "wide 10.png")
    ]
    assert [item.id for item in plan.items] == [0, 1, 2, 3]
    assert plan.items[0].captions == ("one", "two")
    assert plan.items[3].size == (160, 80)
    assert plan.buckets == {Bucket(88, 48): 3, Bucket(64, 64): 1}
    # The wide ones make two batches, the square one its own.
    assert (plan.samples_per_epoch, plan.steps_per_epoch, plan.total_steps) == (4, 3, 15)
    (concept,) = plan.concepts
    assert (concept.name, concept.pictures, concept.skipped) == ("robot", 4, 0)
    assert (concept.captions_missing, concept.per_epoch) == (0, 4)


@pytest.mark.parametrize(
    ("training", "total"),
    [
        ({"epochs": 3}, 3 * 5),
        ({"epochs": 3, "gradient_accumulation": 2}, 3 * 3),
        ({"epochs": 3, "batch_size": 100}, 3 * 1),
        ({"epochs": 3, "max_steps": 7}, 7),
        ({"epochs": 3, "max_steps": 100}, 100),
    ],
)
def test_steps(
    add_picture: AddPicture, make_job: MakeJob, training: dict[str, int], total: int
) -> None:
    for number in range(9):
        add_picture(f"{number}.png", caption="x")
    plan = make_plan(make_job(**{"batch_size": 2, **training}), bucket_step=8)
    assert plan.total_steps == total


def test_missing_captions_are_told_once_with_their_number(
    add_picture: AddPicture, make_job: MakeJob
) -> None:
    for number in range(5):
        add_picture(f"{number}.png", caption="x" if number < 2 else None)
    plan = make_plan(make_job(), bucket_step=8)
    (problem,) = plan.problems
    assert (problem.code, problem.severity) == ("captions_missing", "warning")
    assert "3 of 5" in problem.title and "robot" in problem.title
    assert plan.concepts[0].captions_missing == 3
    assert [item.caption_missing for item in plan.items] == [False, False, True, True, True]
    assert plan.items[4].captions == ("",)


def test_enlarged_pictures_are_told(add_picture: AddPicture, make_job: MakeJob) -> None:
    add_picture("small.png", 40, 40, caption="x")
    add_picture("large.png", 80, 80, caption="x")
    plan = make_plan(make_job(), bucket_step=8)
    (problem,) = plan.problems
    assert problem.code == "pictures_upscaled" and "1 of 2" in problem.title


def test_bad_files_cost_only_themselves(
    folder: Path, add_picture: AddPicture, make_job: MakeJob
) -> None:
    for name in ("a.png", "c.png", "e.png"):
        add_picture(name, caption="x")
    (folder / "b.png").write_bytes(b"")
    (folder / "d.jpg").write_text("<html>not found</html>")
    plan = make_plan(make_job(), bucket_step=8)
    assert [item.path.name for item in plan.items] == ["a.png", "c.png", "e.png"]
    # Mending a file shifts no other picture's id, and so nobody's noise.
    assert [item.id for item in plan.items] == [0, 2, 4]
    assert plan.concepts[0].skipped == 2
    assert _codes(plan) == ["picture_unreadable"] * 2
    first, second = plan.problems
    assert first.file == str(folder / "b.png") and "empty" in first.detail
    assert "web page" in second.detail and "d.jpg" in second.title


def test_a_bad_file_shifts_no_id_of_the_next_concept(
    folder: Path, add_picture: AddPicture, make_job: MakeJob
) -> None:
    add_picture("a.png", caption="x")
    add_picture("other/c.png", caption="x")
    job = make_job()
    job.concepts.append(Concept(path=str(folder / "other")))
    (folder / "b.png").write_bytes(b"")
    plan = make_plan(job, bucket_step=8)
    assert [(item.id, item.concept) for item in plan.items] == [(0, 0), (2, 1)]


def test_many_bad_files_are_counted_and_logged(
    folder: Path, add_picture: AddPicture, make_job: MakeJob, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    add_picture("good.png", caption="x")
    for number in range(NAMED_AT_MOST + 7):
        (folder / f"bad {number}.png").write_bytes(b"")
    plan = make_plan(make_job(), bucket_step=8)
    assert plan.concepts[0].skipped == NAMED_AT_MOST + 7
    assert len(plan.problems) == NAMED_AT_MOST + 1
    assert "7 more" in plan.problems[-1].title and "--json" in plan.problems[-1].hint
    assert len({p.file for p in (*plan.problems[:-1], *plan.unnamed)}) == NAMED_AT_MOST + 7
    # The run's warnings come to the log by another way.
    logged = [record.getMessage() for record in caplog.records]
    assert len(logged) == 7 and all("left out" in text and "is empty" in text for text in logged)


def test_binary_caption_counts_as_missing_and_is_named(
    folder: Path, add_picture: AddPicture, make_job: MakeJob
) -> None:
    path = add_picture("a.png")
    path.with_suffix(".txt").write_bytes(b"\0\1\2")
    job = make_job()
    job.concepts[0].prompt.trigger = "zxc"
    plan = make_plan(job, bucket_step=8)
    assert _codes(plan) == ["caption_unreadable", "captions_missing"]
    assert "binary" in plan.problems[0].detail
    assert plan.items[0].captions == ("zxc",) and plan.items[0].caption_missing


def test_one_caption_file_that_is_missing_is_one_error(
    folder: Path, add_picture: AddPicture, make_job: MakeJob
) -> None:
    for number in range(3):
        add_picture(f"{number}.png")
    job = make_job()
    job.concepts[0].prompt.source = "single_file"
    job.concepts[0].prompt.file = str(folder / "gone.txt")
    plan = make_plan(job, bucket_step=8)
    assert _codes(plan) == ["caption_file_unreadable"]
    assert plan.problems[0].severity == "error"
    assert plan.problems[0].setting == "concepts.0.prompt.file"


def test_folders_that_are_missing_or_empty(folder: Path, make_job: MakeJob) -> None:
    job = make_job()
    plan = make_plan(job, bucket_step=8)
    assert _codes(plan) == ["no_pictures", "concept_empty"]
    assert plan.total_steps == 0 and plan.items == ()
    job.concepts[0].path = str(folder / "gone")
    plan = make_plan(job, bucket_step=8)
    assert _codes(plan) == ["folder_missing"]
    assert plan.problems[0].setting == "concepts.0.path"


def test_an_empty_concept_beside_a_full_one_only_warns(
    folder: Path, add_picture: AddPicture, make_job: MakeJob
) -> None:
    add_picture("sub/a.png", caption="x")
    job = make_job()
    job.concepts.append(Concept(path=str(folder / "sub")))
    plan = make_plan(job, bucket_step=8)
    assert _codes(plan) == ["concept_empty"]
    assert plan.problems[0].severity == "warning" and "subfolders" in plan.problems[0].hint
    assert [concept.index for concept in plan.concepts] == [0, 1]


def test_disabled_concepts_are_left_out(add_picture: AddPicture, make_job: MakeJob) -> None:
    add_picture("a.png", caption="x")
    job = make_job()
    job.concepts.insert(0, Concept(path="/nowhere", enabled=False))
    plan = make_plan(job, bucket_step=8)
    assert plan.problems == ()
    assert [item.concept for item in plan.items] == [1]


def test_resolution_of_a_concept(add_picture: AddPicture, make_job: MakeJob, folder: Path) -> None:
    add_picture("a.png", 300, 300, caption="x")
    job = make_job()
    job.concepts.append(Concept(path=str(folder), resolution=128))
    plan = make_plan(job, bucket_step=8)
    assert [item.placement.bucket for item in plan.items] == [Bucket(64, 64), Bucket(128, 128)]


def test_progress_and_stop(add_picture: AddPicture, make_job: MakeJob) -> None:
    for number in range(3):
        add_picture(f"{number}.png", caption="x")
    told: list[tuple[int, int]] = []
    make_plan(make_job(), bucket_step=8, progress=lambda *numbers: told.append(numbers))
    assert told[-1] == (3, 3)

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        make_plan(make_job(), bucket_step=8, check_stop=stop)


def test_the_same_folder_gives_the_same_plan(add_picture: AddPicture, make_job: MakeJob) -> None:
    for number in (10, 9, 1):
        add_picture(f"{number}.png", 50 + number, 60, caption="x")
    assert make_plan(make_job(), bucket_step=8) == make_plan(make_job(), bucket_step=8)


def test_without_counts_anew(add_picture: AddPicture, make_job: MakeJob) -> None:
    for number in range(5):
        add_picture(f"{number}.png", caption="x" if number else None)
    plan = make_plan(make_job(batch_size=2, epochs=10), bucket_step=8)
    assert (plan.steps_per_epoch, plan.total_steps) == (3, 30)
    less = without(plan, [0])
    assert [item.id for item in less.items] == [1, 2, 3, 4]
    assert (less.samples_per_epoch, less.steps_per_epoch, less.total_steps) == (4, 2, 20)
    assert sum(less.buckets.values()) == 4
    (concept,) = less.concepts
    assert (concept.pictures, concept.skipped, concept.captions_missing) == (4, 1, 0)
    assert without(plan, []) == plan
    nothing = without(plan, range(5))
    assert "no_pictures" in _codes(nothing, "error") and nothing.total_steps == 0


def test_nothing_on_disk_changes(folder: Path, add_picture: AddPicture, make_job: MakeJob) -> None:
    path = add_picture("a.png", caption="x")
    (folder / "bad.png").write_bytes(b"bad")
    before = {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(folder)}
    make_plan(make_job(), bucket_step=8)
    assert {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(folder)} == before
    assert Image.open(path).size == (64, 64)


def test_size_of_the_text_cache(add_picture: AddPicture, make_job: MakeJob) -> None:
    add_picture("0.png", caption="a robot\nanother robot")
    add_picture("1.png", caption="a robot")
    add_picture("2.png", caption="word " * 80)
    job = make_job()

    def chunks() -> float:
        return text_cache_bytes(make_plan(job, bucket_step=8), job, width=100) / (77 * 100 * 4)

    assert 4 < chunks() < 4.1
    job.concepts[0].caption.dropout = 0.1
    assert 5 < chunks() < 5.1
    job.concepts[0].caption.shuffle = True
    assert 1 < chunks() < 1.1
    job.lora.text_encoder = True
    assert chunks() == 0


def test_size_of_the_latent_cache(folder: Path, add_picture: AddPicture, make_job: MakeJob) -> None:
    for number in range(3):
        add_picture(f"{number}.png", caption="x")
    add_picture("held out/4.png", caption="x")
    job = make_job()
    one = 4 * 8 * 8 * 4

    def entries() -> float:
        return latent_cache_bytes(make_plan(job, bucket_step=8), job) / one

    assert 3 < entries() < 3 * 2
    job.concepts.append(Concept(path=str(folder / "held out"), kind="validation"))
    four = entries()
    assert 4 < four < 4 * 2
    # Changed versions of what is trained, never of what is measured.
    for concept in job.concepts:
        concept.image.flip, concept.image.variants = 0.5, 5
    assert entries() == four / 4 * 16
    for concept in job.concepts:
        concept.image.caching = "off"
    assert entries() == four / 4
