"""Same and alike pictures of a plan, within and between its concepts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.config.concepts import Concept
from core.config.job import Job
from core.data.duplicates import Duplicates, find_duplicates
from core.data.plan import make_plan
from core.errors import Stopped


@pytest.fixture
def draw(tmp_path: Path, picture_array: Callable[..., np.ndarray]) -> Callable[..., Path]:
    """draw("folder/name.png", seed, size=96) -> path of a new picture."""

    def make(name: str, seed: int, size: int = 96) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture_array(size, size, seed)).save(path)
        return path

    return make


@pytest.fixture
def look(tmp_path: Path) -> Callable[..., Duplicates]:
    """look(a="train", b="validation") -> duplicates of a job with those folders as concepts."""

    def find(**kinds: str) -> Duplicates:
        job = Job(
            concepts=[
                Concept(path=str(tmp_path / name), name=name, kind=kind)  # type: ignore[arg-type]
                for name, kind in kinds.items()
            ]
        )
        job.training.resolution = 64
        job.training.more_resolutions = "96"
        return find_duplicates(make_plan(job, bucket_step=8))

    return find


def shown(found: Duplicates) -> list[tuple[bool, list[str], str]]:
    return [
        (
            group.exact,
            [f"{m.path.parent.name}/{m.path.name}" for m in group.members],
            group.members[group.best].path.name,
        )
        for group in found.groups
    ]


def test_nothing_is_there_twice(draw: Callable[..., Path], look: Callable[..., Duplicates]) -> None:
    for seed in range(6):
        draw(f"a/{seed}.png", seed)
    assert look(a="train").groups == ()


def test_a_copy_within_a_concept(
    draw: Callable[..., Path], look: Callable[..., Duplicates], tmp_path: Path
) -> None:
    draw("a/1.png", 1)
    draw("a/2.png", 2)
    shutil.copy(tmp_path / "a/1.png", tmp_path / "a/3.png")
    found = look(a="train")
    assert shown(found) == [(True, ["a/1.png", "a/3.png"], "1.png")]
    assert not found.groups[0].leaks


def test_equal_files_of_other_size_in_another_format_are_only_alike(
    draw: Callable[..., Path], look: Callable[..., Duplicates], tmp_path: Path
) -> None:
    draw("a/1.png", 1, size=80)
    draw("a/2.png", 2)
    Image.open(tmp_path / "a/1.png").resize((160, 160)).save(tmp_path / "a/9.jpg", quality=92)
    assert shown(look(a="train")) == [(False, ["a/1.png", "a/9.jpg"], "9.jpg")]


def test_validation_that_is_trained_on_leaks(
    draw: Callable[..., Path], look: Callable[..., Duplicates], tmp_path: Path
) -> None:
    draw("a/1.png", 1)
    draw("b/2.png", 2)
    shutil.copy(tmp_path / "a/1.png", tmp_path / "b/1.png")
    found = look(a="train", b="validation")
    assert shown(found) == [(True, ["a/1.png", "b/1.png"], "1.png")]
    assert found.groups[0].leaks
    assert found.groups[0].concepts == (0, 1)
    assert not look(a="train", b="prior").groups[0].leaks


def test_one_file_in_two_concepts(
    draw: Callable[..., Path], look: Callable[..., Duplicates], tmp_path: Path
) -> None:
    draw("a/1.png", 1)
    (tmp_path / "b").symlink_to(tmp_path / "a", target_is_directory=True)
    assert shown(look(a="train", b="train")) == [(True, ["a/1.png", "b/1.png"], "1.png")]
    job = Job(concepts=[Concept(path=str(tmp_path / "a")), Concept(path=str(tmp_path / "a"))])
    groups = find_duplicates(make_plan(job, bucket_step=8)).groups
    assert [(group.exact, group.concepts) for group in groups] == [(True, (0, 1))]


def test_copies_within_a_group_of_alike_ones_are_told_as_both(
    draw: Callable[..., Path], look: Callable[..., Duplicates], tmp_path: Path
) -> None:
    draw("a/1.png", 1, size=96)
    shutil.copy(tmp_path / "a/1.png", tmp_path / "a/2.png")
    Image.open(tmp_path / "a/1.png").resize((192, 192)).save(tmp_path / "a/3.png")
    assert shown(look(a="train")) == [
        (True, ["a/1.png", "a/2.png"], "1.png"),
        (False, ["a/1.png", "a/2.png", "a/3.png"], "3.png"),
    ]


def test_pictures_that_cannot_be_decoded_are_told(
    draw: Callable[..., Path], look: Callable[..., Duplicates]
) -> None:
    good, bad = draw("a/1.png", 1), draw("a/2.png", 2)
    bad.write_bytes(bad.read_bytes()[: bad.stat().st_size // 2])
    found = look(a="train")
    assert list(found.unreadable) == [bad]
    assert good not in found.unreadable


def test_looking_can_be_stopped(draw: Callable[..., Path], tmp_path: Path) -> None:
    draw("a/1.png", 1)
    plan = make_plan(Job(concepts=[Concept(path=str(tmp_path / "a"))]), bucket_step=8)
    with pytest.raises(Stopped):
        find_duplicates(plan, check_stop=lambda: True)
