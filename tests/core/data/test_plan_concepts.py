"""What the plan makes of the concepts' settings: purposes, sizes, masks, focus, captions."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from core.config.concepts import Concept
from core.config.job import Job
from core.culling.notes import change_notes
from core.data.batches import epoch_batches
from core.data.buckets import make_buckets, place
from core.data.plan import NAMED_AT_MOST, make_plan, without
from core.data.types import Bucket, Plan

AddPicture = Callable[..., Path]
MakeJob = Callable[..., Job]


def _codes(plan: Plan, severity: str = "") -> list[str]:
    return [p.code for p in plan.problems if not severity or p.severity == severity]


def _mask(picture: Path, size: tuple[int, int] = (64, 64)) -> Path:
    path = picture.with_name(f"{picture.stem}-masklabel.png")
    Image.new("L", size, 255).save(path)
    return path


# Purposes


def test_prior_and_validation_concepts(
    folder: Path, add_picture: AddPicture, make_job: MakeJob
) -> None:
    for name in ("a.png", "b.png", "prior/c.png", "held out/d.png"):
        add_picture(name, caption="x")
    job = make_job(batch_size=2, epochs=2)
    job.concepts.append(Concept(path=str(folder / "prior"), kind="prior", repeats=3))
    job.concepts.append(Concept(path=str(folder / "held out"), kind="validation", repeats=9))
    plan = make_plan(job, bucket_step=8)
    assert plan.problems == ()
    assert [(item.path.name, item.concept) for item in plan.items] == [
        *(("a.png", 0), ("b.png", 0), ("c.png", 1))
    ]
    assert [item.path.name for item in plan.validation] == ["d.png"]
    assert [(c.kind, c.pictures, c.per_epoch) for c in plan.concepts] == [
        *(("train", 1 + 1, 2), ("prior", 1, 3), ("validation", 1, 0))
    ]
    assert plan.samples_per_epoch == 5 and plan.total_steps == 6
    assert sum(plan.buckets.values()) == 3
    ids = [item.id for item in (*plan.items, *plan.validation)]
    assert len(set(ids)) == 4


@pytest.mark.parametrize("kind", ["prior", "validation"])
def test_without_anything_to_learn(add_picture: AddPicture, make_job: MakeJob, kind: str) -> None:
    add_picture("a.png", caption="x")
    job = make_job()
    job.concepts[0] = job.concepts[0].model_copy(update={"kind": kind})
    plan = make_plan(job, bucket_step=8)
    assert _codes(plan) == ["no_train_pictures"]
    assert plan.problems[0].severity == "error"


def test_pictures_measured_and_trained_are_told(
    folder: Path, add_picture: AddPicture, make_job: MakeJob
) -> None:
    for name in ("a.png", "b.png", "sub/c.png"):
        add_picture(name, caption="x")
    (folder / "sub" / "again.png").symlink_to(folder / "a.png")
    (folder.parent / "link").symlink_to(folder, target_is_directory=True)
    job = make_job()
    job.concepts.append(Concept(path=str(folder / "sub"), kind="validation", name="sub"))
    job.concepts.append(Concept(path=str(folder.parent / "link"), kind="validation", name="all"))
    job.concepts[1].prompt.source = job.concepts[2].prompt.source = "folder_name"
    plan = make_plan(job, bucket_step=8)
    assert _codes(plan) == ["validation_trained", "validation_trained"]
    assert "1 validation picture of concept sub is trained" in plan.problems[0].title
    assert "2 validation pictures of concept all are trained" in plan.problems[1].title
    assert "a.png" in plan.problems[1].detail and plan.problems[1].setting == "concepts.2.path"


def test_without_takes_from_training_and_validation(
    folder: Path, add_picture: AddPicture, make_job: MakeJob
) -> None:
    for name in ("a.png", "b.png", "held/c.png", "held/d.png"):
        add_picture(name, caption="x")
    job = make_job(more_resolutions="128")
    job.concepts.append(Concept(path=str(folder / "held"), kind="validation"))
    plan = make_plan(job, bucket_step=8)
    a_small, a_large, b_small, b_large = plan.items
    less = without(plan, [a_small.id, plan.validation[0].id])
    assert [item.id for item in less.items] == [a_large.id, b_small.id, b_large.id]
    assert [item.path.name for item in less.validation] == ["d.png"]
    assert [(c.pictures, c.skipped) for c in less.concepts] == [(2, 0), (1, 1)]
    less = without(less, [a_large.id])
    assert [(c.pictures, c.skipped) for c in less.concepts] == [(1, 1), (1, 1)]
    nothing = without(less, [b_small.id, b_large.id])
    assert "no_train_pictures" in _codes(nothing, "error") and nothing.total_steps == 0


def test_exact_counts(add_picture: AddPicture, make_job: MakeJob) -> None:
    for number in range(7):
        add_picture(f"{number}.png", 60 + 20 * number, 90, caption="x")
    job = make_job(batch_size=2, epochs=7)
    job.concepts[0].repeats = 50
    job.concepts[0].count = 3
    plan = make_plan(job, bucket_step=8)
    assert plan.concepts[0].per_epoch == plan.samples_per_epoch == 3
    shown = Counter(
        draw.item.id
        for epoch in range(7)
        for step in epoch_batches(plan, job, epoch)
        for batch in step
        for draw in batch.draws
    )
    assert shown == Counter({number: 3 for number in range(7)})


def test_three_epochs_train_each_picture_exactly_three_times(
    add_picture: AddPicture, make_job: MakeJob
) -> None:
    for number in range(37):
        size = (40 + 37 * number % 211, 40 + 53 * number % 223)
        add_picture(f"odd {number}.png", *size, caption=f"number {number}")
    job = make_job(batch_size=4, gradient_accumulation=2, epochs=3)
    plan = make_plan(job, bucket_step=8)
    assert len(plan.items) == 37 and len(plan.buckets) > 5
    steps = [epoch_batches(plan, job, epoch) for epoch in range(3)]
    assert sum(len(of_epoch) for of_epoch in steps) == plan.total_steps
    shown = Counter(
        draw.item.path.name
        for of_epoch in steps
        for step in of_epoch
        for batch in step
        for draw in batch.draws
    )
    assert shown == Counter({f"odd {number}.png": 3 for number in range(37)})


# Sizes


def test_several_resolutions(folder: Path, add_picture: AddPicture, make_job: MakeJob) -> None:
    add_picture("a.png", 300, 300, caption="x")
    add_picture("b.png", 300, 300, caption="x")
    add_picture("own/c.png", 300, 300, caption="x")
    job = make_job(more_resolutions=" 128, 96;128", batch_size=1)
    job.concepts.append(Concept(path=str(folder / "own"), resolution=256))
    plan = make_plan(job, bucket_step=8)
    assert [(i.path.name, i.resolution, i.placement.bucket.width) for i in plan.items] == [
        *(("a.png", 64, 64), ("a.png", 128, 128), ("a.png", 96, 96)),
        *(("b.png", 64, 64), ("b.png", 128, 128), ("b.png", 96, 96)),
        ("c.png", 256, 256),
    ]
    ids = [item.id for item in plan.items]
    assert len(set(ids)) == 7
    assert (plan.concepts[0].pictures, plan.concepts[0].per_epoch) == (2, 6)
    assert plan.steps_per_epoch == 7 and _codes(plan) == []
    # A bad picture shifts nobody's id.
    (folder / "a.png").write_bytes(b"")
    assert [item.id for item in make_plan(job, bucket_step=8).items] == ids[3:]


def test_resolutions_that_come_to_the_same(add_picture: AddPicture, make_job: MakeJob) -> None:
    add_picture("a.png", 700, 700, caption="x")
    plan = make_plan(make_job(resolution=512, more_resolutions="500, 640, 650"), bucket_step=64)
    assert [item.resolution for item in plan.items] == [512, 640]
    assert _codes(plan) == ["resolution_twice"] * 2
    assert "500" in plan.problems[0].title and "650" in plan.problems[1].title


def test_small_pictures_left_out(add_picture: AddPicture, make_job: MakeJob) -> None:
    add_picture("large.png", 80, 80, caption="x")
    for number in range(3):
        add_picture(f"small {number}.png", 40, 50, caption="x")
    job = make_job()
    job.concepts[0].small = "leave_out"
    plan = make_plan(job, bucket_step=8)
    assert [item.path.name for item in plan.items] == ["large.png"]
    assert (plan.concepts[0].pictures, plan.concepts[0].skipped) == (1, 3)
    assert _codes(plan) == [*["picture_small"] * 3, "pictures_left_out"]
    first, last = plan.problems[0], plan.problems[-1]
    assert "small 0.png" in first.title and "40x50" in first.title
    assert first.file.endswith("small 0.png") and first.setting == "concepts.0.small"
    assert "3 of 4" in last.title


def test_pictures_too_small_for_one_of_the_sizes(
    add_picture: AddPicture, make_job: MakeJob
) -> None:
    add_picture("a.png", 100, 100, caption="x")
    job = make_job(more_resolutions="128")
    job.concepts[0].small = "leave_out"
    plan = make_plan(job, bucket_step=8)
    assert [item.resolution for item in plan.items] == [64]
    assert _codes(plan) == ["pictures_left_out"] and "128" in plan.problems[0].title
    assert (plan.concepts[0].pictures, plan.concepts[0].skipped) == (1, 0)
    job.concepts[0].small = "enlarge"
    plan = make_plan(job, bucket_step=8)
    assert [item.resolution for item in plan.items] == [64, 128]
    assert _codes(plan) == ["pictures_upscaled"] and "128" in plan.problems[0].title


def test_many_small_ones_are_counted(add_picture: AddPicture, make_job: MakeJob) -> None:
    for number in range(NAMED_AT_MOST + 3):
        add_picture(f"{number}.png", 10, 10, caption="x")
    job = make_job()
    job.concepts[0].small = "leave_out"
    plan = make_plan(job, bucket_step=8)
    assert Counter(_codes(plan))["picture_small"] == NAMED_AT_MOST + 1
    assert "no_pictures" in _codes(plan, "error")
    assert any(p.title.startswith("3 more") for p in plan.problems)


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1)])
def test_odd_sizes(
    add_picture: AddPicture, make_job: MakeJob, size: tuple[int, int], folder: Path
) -> None:
    Image.new("RGB", size).save(folder / "odd.png")
    (folder / "odd.txt").write_text("x")
    plan = make_plan(make_job(), bucket_step=8)
    assert plan.items[0].size == size
    assert _codes(plan) == ["pictures_much_cut"] * (max(size) > 1) + ["pictures_upscaled"]


# Where to cut


def test_focus_comes_from_the_notes_of_each_folder(
    folder: Path, add_picture: AddPicture, make_job: MakeJob
) -> None:
    for name in ("a.png", "b.png", "sub/a.png"):
        add_picture(name, 256, 64, caption="x")
    job = make_job()
    job.concepts[0].include_subfolders = True
    change_notes(folder, {"b.png": {"focus": (0.9, 0.5), "stars": 3}})
    change_notes(folder / "sub", {"a.png": {"focus": (0.1, 0.2)}, "b.png": {"focus": (0, 0)}})
    plan = make_plan(job, bucket_step=8)
    assert [item.focus for item in plan.items] == [None, (0.9, 0.5), (0.1, 0.2)]
    buckets = make_buckets(64, 8)
    for item in plan.items:
        assert item.placement == place((256, 64), buckets, item.focus)
    assert len({item.placement.crop for item in plan.items}) == 3 or plan.items[
        0
    ].placement.bucket == Bucket(128, 32)


def test_damaged_notes_cost_only_the_focus(
    folder: Path, add_picture: AddPicture, make_job: MakeJob
) -> None:
    add_picture("a.png", caption="x")
    (folder / ".limner.json").write_text("{broken")
    plan = make_plan(make_job(), bucket_step=8)
    assert [item.focus for item in plan.items] == [None]
    assert [p.severity for p in plan.problems] == ["warning"]
    assert plan.problems[0].setting == "concepts.0.path"


# Masks


def test_masks_beside_the_pictures(
    folder: Path, add_picture: AddPicture, make_job: MakeJob
) -> None:
    first = add_picture("a.v1.png", caption="x")
    add_picture("b.jpg", caption="x")
    add_picture("c.png", caption="x")
    mask, other = _mask(first), _mask(folder / "b.jpg", (32, 32))
    job = make_job()
    assert [item.mask for item in make_plan(job, bucket_step=8).items] == [None] * 3
    job.concepts[0].mask.source = "file"
    plan = make_plan(job, bucket_step=8)
    assert [item.mask for item in plan.items] == [mask, other, None]
    assert _codes(plan) == ["masks_missing"] and "1 of 3" in plan.problems[0].title
    assert plan.problems[0].file == str(folder / "c.png")
    job.concepts[0].mask.source = "alpha"
    plan = make_plan(job, bucket_step=8)
    assert [item.mask for item in plan.items] == [None] * 3
    assert _codes(plan) == ["masks_none"]


def test_no_mask_at_all_is_told(add_picture: AddPicture, make_job: MakeJob) -> None:
    add_picture("a.png", caption="x")
    job = make_job()
    job.concepts[0].mask.source = "file"
    plan = make_plan(job, bucket_step=8)
    assert _codes(plan) == ["masks_none"]
    assert "a-masklabel.png" in plan.problems[0].title
    assert plan.problems[0].setting == "concepts.0.mask.source"


def test_pictures_without_transparency_are_told(
    folder: Path, add_picture: AddPicture, make_job: MakeJob
) -> None:
    add_picture("a.png", caption="x")
    add_picture("held out/b.png", caption="x")
    job = make_job()
    job.concepts[0].mask.source = "alpha"
    job.concepts.append(Concept(path=str(folder / "held out"), kind="validation", name="test"))
    job.concepts[1].mask.source = "alpha"
    plan = make_plan(job, bucket_step=8)
    assert [p.title for p in plan.problems] == [
        "Concept robot is to be learned by transparency, but none of its pictures has any; "
        "they are learned whole.",
        "Concept test is to be measured by transparency, but none of its pictures has any; "
        "they are measured whole.",
    ]
    Image.new("RGBA", (64, 64), (1, 2, 3, 100)).save(folder / "c.png")
    (folder / "c.txt").write_text("x")
    first, _ = make_plan(job, bucket_step=8).problems
    assert first.code == "masks_missing" and first.file == str(folder / "a.png")
    assert "1 of 2 pictures of concept robot has no transparency; it is learned" in first.title


def test_captions_are_missed_where_pictures_are_only_measured(
    folder: Path, add_picture: AddPicture, make_job: MakeJob
) -> None:
    add_picture("a.png", caption="x")
    add_picture("held out/b.png")
    job = make_job()
    job.concepts.append(Concept(path=str(folder / "held out"), kind="validation"))
    (problem,) = make_plan(job, bucket_step=8).problems
    assert problem.code == "captions_missing"
    assert problem.title.endswith("will be measured with an empty caption.")


def test_pictures_that_lose_much_to_the_crop_are_told(
    folder: Path, add_picture: AddPicture, make_job: MakeJob
) -> None:
    for name, width, height in (("a.png", 320, 80), ("b.png", 380, 80), ("c.png", 80, 900)):
        add_picture(name, width, height, caption="x")
    (problem,) = make_plan(make_job(), bucket_step=8).problems
    assert problem.code == "pictures_much_cut" and problem.severity == "warning"
    assert "1 of 3 pictures of concept robot" in problem.title and "c.png" in problem.title
    assert problem.file == str(folder / "c.png")


def test_masks_that_do_not_fit(folder: Path, add_picture: AddPicture, make_job: MakeJob) -> None:
    for name in ("a.png", "b.png", "c.png"):
        add_picture(name, 90, 60, caption="x")
    _mask(folder / "a.png", (60, 60))
    _mask(folder / "b.png", (45, 30))
    (folder / "c-masklabel.png").write_bytes(b"broken")
    job = make_job()
    job.concepts[0].mask.source = "file"
    plan = make_plan(job, bucket_step=8)
    assert [item.path.name for item in plan.items] == ["a.png", "b.png"]
    assert _codes(plan) == ["mask_shape", "mask_unreadable"]
    shape, broken = plan.problems
    assert "60x60" in shape.title and "90x60" in shape.title
    assert shape.file == str(folder / "a-masklabel.png")
    # Learning the whole picture is not what was asked for.
    assert "c.png is left out" in broken.title and plan.concepts[0].skipped == 1


# Captions


def test_a_table_of_captions(folder: Path, add_picture: AddPicture, make_job: MakeJob) -> None:
    for name in ("a.png", "sub/b.png", "unlisted.png"):
        add_picture(name)
    rows = [
        *({"file_name": "a.png", "text": "one"}, {"file_name": "sub/b.png", "text": "two"}),
        *({"file_name": "gone.png", "text": "x"}, {"file_name": "../out.png", "text": "x"}),
    ]
    (folder / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    job = make_job()
    job.concepts[0].prompt.source = "metadata"
    plan = make_plan(job, bucket_step=8)
    captions = {item.path.relative_to(folder).as_posix(): item.captions for item in plan.items}
    assert captions == {"a.png": ("one",), "sub/b.png": ("two",), "unlisted.png": ("",)}
    assert _codes(plan) == ["metadata_row_unusable", "metadata_file_missing", "captions_missing"]
    assert "1 of 3" in plan.problems[-1].title
    assert {p.setting.split(".")[0] for p in plan.problems} == {"concepts"}


def test_a_table_that_is_missing_or_broken_is_one_error(
    folder: Path, add_picture: AddPicture, make_job: MakeJob
) -> None:
    for number in range(3):
        add_picture(f"{number}.png")
    job = make_job()
    job.concepts[0].prompt.source = "metadata"
    for data in (None, b"\0\1", b"no,columns\n"):
        if data is not None:
            (folder / "metadata.csv").write_bytes(data)
        plan = make_plan(job, bucket_step=8)
        assert _codes(plan) == ["caption_table_unreadable"]
        assert plan.problems[0].severity == "error"
        assert plan.problems[0].setting == "concepts.0.prompt.table"


def test_a_broken_table_is_told_where_it_hides_the_pictures(
    folder: Path, add_picture: AddPicture, make_job: MakeJob
) -> None:
    add_picture("train/a.png")
    (folder / "train" / "metadata.csv").write_bytes(b"no,columns\n")
    job = make_job()
    job.concepts[0].prompt.source = "metadata"
    assert _codes(make_plan(job, bucket_step=8)) == ["caption_table_unreadable", "concept_empty"]
    (folder / "train" / "metadata.csv").write_bytes(b"file_name,text\na.png,x\n")
    plan = make_plan(job, bucket_step=8)
    assert plan.problems == () and plan.items[0].captions == ("x",)


def test_wildcards_are_read_with_the_plan(
    folder: Path, add_picture: AddPicture, make_job: MakeJob
) -> None:
    (folder / "words").mkdir()
    (folder / "words" / "colour.txt").write_text("red\nblue\n")
    add_picture("a.png", caption="a __colour__ {cat|dog} __gone__")
    job = make_job()
    assert make_plan(job, bucket_step=8).wildcards == {}
    job.concepts[0].caption.choices = True
    job.concepts[0].caption.wildcards = str(folder / "words")
    plan = make_plan(job, bucket_step=8)
    assert plan.wildcards == {0: {"colour": ("red", "blue")}}
    assert _codes(plan) == ["wildcard_missing"]
    assert plan.problems[0].setting == "concepts.0.caption.wildcards"
    shown = {
        draw.caption
        for epoch in range(40)
        for step in epoch_batches(plan, job, epoch)
        for batch in step
        for draw in batch.draws
    }
    assert shown == {f"a {c} {a} __gone__" for c in ("red", "blue") for a in ("cat", "dog")}
    # What the files hold later is for the next plan.
    (folder / "words" / "colour.txt").write_text("green\n")
    assert epoch_batches(plan, job, 0)[0][0].draws[0].caption in shown


def test_folder_names_as_captions(folder: Path, add_picture: AddPicture, make_job: MakeJob) -> None:
    add_picture("10_zxc man/a.png")
    add_picture("5_dog/b.png")
    job = make_job()
    job.concepts[0].include_subfolders = True
    job.concepts[0].prompt.source = "folder_name"
    plan = make_plan(job, bucket_step=8)
    assert [item.captions for item in plan.items] == [("dog",), ("zxc man",)]
    assert plan.problems == ()


def test_rejected_pictures_are_left_out(
    folder: Path, add_picture: AddPicture, make_job: MakeJob
) -> None:
    for name in ("a.png", "_rejected/b.png", "sub/_rejected/c.png", ".hidden/d.png"):
        add_picture(name, caption="x")
    job = make_job()
    job.concepts[0].include_subfolders = True
    assert [item.path.name for item in make_plan(job, bucket_step=8).items] == ["a.png"]
    # Somebody who names the folder itself means it.
    job.concepts[0].path = os.path.join(folder, "_rejected")
    assert [item.path.name for item in make_plan(job, bucket_step=8).items] == ["b.png"]
