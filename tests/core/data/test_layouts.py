"""Folders of other programs become the concepts that they mean there."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config.concepts import Concept
from core.data.layouts import concepts_of_folder


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def _proposed(folder: Path) -> list[Concept]:
    return [Concept.model_validate(data) for data in concepts_of_folder(folder)]


def test_a_plain_folder_is_one_concept(folder: Path) -> None:
    _touch(folder, "a.png", "a.txt")
    (data,) = concepts_of_folder(folder)
    assert data == Concept(path=str(folder)).model_dump()


def test_pictures_in_subfolders_only(folder: Path) -> None:
    _touch(folder, "one/a.png", "two/b.png", ".git/c.png")
    (concept,) = _proposed(folder)
    assert concept.include_subfolders and concept.path == str(folder)


def test_kohyas_folders(folder: Path) -> None:
    _touch(folder, "10_zxc robot/a.png", "2_other/a.png", "2_other/a.txt", "logs/x.txt")
    other, robot = _proposed(folder)
    assert (robot.name, robot.repeats, robot.prompt.source) == ("zxc robot", 10, "folder_name")
    assert (other.name, other.repeats, other.prompt.source) == ("other", 2, "caption_file")
    assert robot.path == str(folder / "10_zxc robot")
    # The folder itself, and one level higher with img and reg.
    assert _proposed(folder / "10_zxc robot") == [robot]


def test_kohyas_img_and_reg(folder: Path) -> None:
    _touch(folder, "img/10_zxc robot/a.png", "reg/1_robot/b.png", "model/x", "log/y")
    assert [(c.name, c.kind, c.repeats) for c in _proposed(folder)] == [
        ("zxc robot", "train", 10),
        ("robot", "prior", 1),
    ]


def test_odd_numbers_of_kohya(folder: Path) -> None:
    _touch(folder, "0_off/a.png", "99999_often/a.png", "20210504_holiday/a.png")
    off, often = _proposed(folder)
    assert (off.enabled, off.repeats) == (False, 1)
    assert often.repeats == 10000
    # A date is no number of repeats.
    (holiday,) = _proposed(folder / "20210504_holiday")
    assert holiday.repeats == 1 and holiday.prompt.source == "caption_file"


def test_pictures_beside_kohyas_folders_are_not_lost(folder: Path) -> None:
    _touch(folder, "a.png", "3_b/b.png")
    assert [concept.path for concept in _proposed(folder)] == [str(folder), str(folder / "3_b")]


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "Metadata.CSV"])
def test_a_table(folder: Path, name: str) -> None:
    _touch(folder, "a.png", name)
    (concept,) = _proposed(folder)
    assert concept.prompt.source == "metadata" and not concept.include_subfolders


def test_hugging_faces_splits(folder: Path) -> None:
    _touch(folder, "train/a.png", "train/metadata.csv", "validation/b.png", "README.md")
    train, held_out = _proposed(folder)
    assert (train.path, train.prompt.source) == (str(folder / "train"), "metadata")
    assert (held_out.path, held_out.kind) == (str(folder / "validation"), "validation")
    assert train.name == held_out.name == folder.name


def test_odd_names_and_links(folder: Path) -> None:
    _touch(folder, "_a.png", "_rejected/b.png")
    (folder / "loop").symlink_to("loop")
    (folder / "linked").symlink_to(folder / "_rejected", target_is_directory=True)
    (concept,) = _proposed(folder)
    assert not concept.include_subfolders
    _touch(folder / "more", "_rejected/b.png")
    (concept,) = _proposed(folder / "more")
    assert not concept.include_subfolders


def test_folders_that_cannot_be_read(folder: Path) -> None:
    for path in (folder / "gone", Path("a\0b")):
        (concept,) = _proposed(path)
        assert concept.kind == "train"
