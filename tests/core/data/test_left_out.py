"""Folders that are no pictures to learn from: runs, samples of trainers, the system's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from core.config.concepts import Concept
from core.config.job import Job
from core.data.layouts import concepts_of_folder
from core.data.plan import make_plan
from core.data.scan import scan_concept, scan_folder


def picture(*parts: Path | str) -> Path:
    path = Path(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 64), (90, 90, 90)).save(path)
    return path


def run_in(folder: Path) -> Path:
    """A folder as a training leaves it, with two samples."""
    picture(folder, "samples", "step-000010", "00-thing.png")
    picture(folder, "samples", "step-000020", "00-thing.png")
    (folder / "job.json").write_text("{}")
    (folder / "events.jsonl").write_text("")
    return folder


def found(folder: Path) -> tuple[list[str], list[str]]:
    scan = scan_folder(folder, include_subfolders=True)
    names = [path.relative_to(folder).as_posix() for path in scan]
    return names, [problem.code for problem in scan.problems]


@pytest.mark.parametrize(
    "name", ["@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN", "System Volume Information"]
)
def test_folders_of_the_system_are_never_searched(tmp_path: Path, name: str) -> None:
    picture(tmp_path, "a.png")
    picture(tmp_path, "more", name, "a.png", "SYNOPHOTO_THUMB_M.jpg")
    assert found(tmp_path) == (["a.png"], [])


def test_a_run_among_the_pictures_is_left_out_and_named(tmp_path: Path) -> None:
    picture(tmp_path, "a.png")
    run_in(tmp_path / "runs" / "2026-01-01_10-00-00-cat")
    assert found(tmp_path) == (["a.png"], ["run_folder_left_out"])


def test_a_run_that_was_chosen_itself_gives_no_pictures(tmp_path: Path) -> None:
    assert found(run_in(tmp_path / "run")) == ([], ["run_folder_left_out"])


@pytest.mark.parametrize("inner", ["samples", "samples/step-000010"])
def test_samples_of_a_run_that_were_chosen_themselves_are_asked_about(
    tmp_path: Path, inner: str
) -> None:
    names, codes = found(run_in(tmp_path / "run") / inner)
    assert len(names) == (2 if inner == "samples" else 1)
    assert codes == ["pictures_generated"]


def test_generated_pictures_that_were_chosen_themselves_are_what_is_wanted(tmp_path: Path) -> None:
    run = run_in(tmp_path / "run")
    picture(run, "pictures", "00001.png")
    assert found(run / "pictures") == (["00001.png"], [])


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("sample", "my cat_000100_00_20240131120000_42.png"),
        ("sample", "my cat_e000002_01_20240131120000.png"),
        ("Sample", "e000002_01_20240131120000_42.png"),
        ("samples", "2024-01-31_12-00-00-training-sample-500-5-0.png"),
        ("samples", "1706702400000__000000500_3.jpg"),
    ],
)
def test_samples_of_other_trainers_are_left_out_and_named(
    tmp_path: Path, folder: str, name: str
) -> None:
    picture(tmp_path, "a.png")
    picture(tmp_path, "out", folder, name)
    assert found(tmp_path) == (["a.png"], ["samples_left_out"])


def test_a_folder_that_is_only_called_so_is_trained_and_asked_about(tmp_path: Path) -> None:
    picture(tmp_path, "a.png")
    picture(tmp_path, "sample", "a cat on a mat.png")
    # One of a person's own among them, and the folder is not a trainer's.
    picture(tmp_path, "sample", "x_000100_00_20240131120000_42.png")
    names, codes = found(tmp_path)
    assert len(names) == 3 and codes == ["pictures_generated"]
    # Who chose it by itself knows what it holds.
    assert found(tmp_path / "sample")[1] == []


def test_the_plan_says_it_at_the_concepts_folder(tmp_path: Path) -> None:
    picture(tmp_path, "a.png")
    run_in(tmp_path / "run")
    concept = Concept(path=str(tmp_path), include_subfolders=True)
    plan = make_plan(Job(concepts=[concept]), bucket_step=64)
    assert [item.path.name for item in plan.items] == ["a.png"]
    [told] = [p for p in plan.problems if p.code == "run_folder_left_out"]
    assert (told.severity, told.setting) == ("warning", "concepts.0.path")
    assert "run is a run of Limner" in told.title
    assert len(scan_concept(concept)) == 1


def test_an_unpacked_archive_is_one_concept(tmp_path: Path) -> None:
    picture(tmp_path, "10_cat", "a.png")
    picture(tmp_path, "__MACOSX", "10_cat", "a.png")
    assert [concept["path"] for concept in concepts_of_folder(tmp_path)] == [
        str(tmp_path / "10_cat")
    ]
