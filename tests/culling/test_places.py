"""Units of deletion, and the bins of other systems as far as they can be had here."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from core.culling import system_bin
from core.culling.history import History
from core.culling.units import pictures_of_stem, sidecars_of, units_of
from core.data.scan import scan_folder
from tests.culling.helpers import RecycleBin, bin_info, fill, tree


def test_sidecars_of_a_picture(pictures: Path) -> None:
    fill(
        pictures,
        "a.png a.txt a.caption a.json a-masklabel.png a-condlabel.png a.npz a.b.txt ab.txt A.txt",
    )
    names = [path.name for path in sidecars_of(pictures / "a.png")]
    assert names == ["a.txt", "a.caption", "a.json", "a-masklabel.png", "a-condlabel.png"]
    assert [path.name for path in sidecars_of(pictures / "a.b.png")] == ["a.b.txt"]
    assert sidecars_of(pictures / "none.png") == []


def test_units_are_the_same_however_many_are_asked_for(pictures: Path) -> None:
    names = " ".join(f"{n}.png {n}.txt" for n in range(150)) + " 7.JPG 9-masklabel.png"
    fill(pictures, names)
    every = [pictures / f"{n}.png" for n in range(150)]
    many = units_of(every)
    assert many == [unit for path in every for unit in units_of([path])]
    assert (many[7].sidecars, many[7].shared) == ((), (pictures / "7.txt",))
    assert [path.name for path in many[9].sidecars] == ["9.txt", "9-masklabel.png"]
    [both] = units_of([pictures / "7.png", pictures / "7.JPG"])
    assert both.sidecars == (pictures / "7.txt",)
    assert [path.name for path in pictures_of_stem(pictures, "7")] == ["7.JPG", "7.png"]


def test_scanning_leaves_out_what_was_rejected(pictures: Path) -> None:
    fill(pictures / "_rejected", "a.png")
    fill(pictures / "sub" / "_rejected", "b.png")
    [c] = fill(pictures / "sub", "c.png")
    assert scan_folder(pictures, include_subfolders=True).pictures == [c]
    assert len(scan_folder(pictures / "_rejected", include_subfolders=True)) == 1


# The recycle bin of Windows, by a copy of its layout.


@pytest.mark.parametrize("version", [1, 2])
def test_info_files_of_the_recycle_bin(tmp_path: Path, version: int) -> None:
    info = tmp_path / "$IABCDEF.png"
    info.write_bytes(bin_info(version, "C:\\Bilder\\Kätzchen 🐈.png", 2**40, 1_700_000_000.5))
    read = system_bin.read_info(info)
    assert read.original == "C:\\Bilder\\Kätzchen 🐈.png"
    assert (read.size, read.time, read.file.name) == (2**40, 1_700_000_000.5, "$RABCDEF.png")


@pytest.mark.parametrize("data", [b"", b"\x01" * 27, struct.pack("<qqq", 7, 1, 1) + b"\0" * 8])
def test_other_files_in_the_recycle_bin(tmp_path: Path, data: bytes) -> None:
    info = tmp_path / "$IABCDEF.png"
    info.write_bytes(data)
    with pytest.raises(ValueError, match=r"short|version"):
        system_bin.read_info(info)


@pytest.fixture
def recycle_bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecycleBin:
    recycle = RecycleBin(tmp_path)
    recycle.install(monkeypatch)
    return recycle


def test_a_file_is_found_again_in_the_recycle_bin(pictures: Path, recycle_bin: RecycleBin) -> None:
    fill(pictures, "a.png a.txt b.png")
    before = tree(pictures)
    history = History.open(pictures)
    for _ in range(2):
        assert history.delete([pictures / "a.png"]).problems == ()
        fill(pictures, "a.png a.txt")
    history.delete([pictures / "a.png", pictures / "b.png"])
    assert os.listdir(pictures) == []
    assert len(tree(recycle_bin.folder)) == 14
    history = History.open(pictures)
    history.undo()
    assert tree(pictures) == before
    assert len(tree(recycle_bin.folder)) == 8
    history.redo()
    assert os.listdir(pictures) == []
    history.undo()
    assert tree(pictures) == before


def test_a_recycle_bin_that_deletes_for_good_loses_nothing(
    pictures: Path, recycle_bin: RecycleBin
) -> None:
    fill(pictures, "a.png a.txt")
    before = tree(pictures)
    recycle_bin.works = False
    history = History.open(pictures)
    done = history.delete([pictures / "a.png"])
    assert sorted(tree(pictures)) == ["_rejected/a.png", "_rejected/a.txt"]
    assert done.pictures == (pictures / "a.png",)
    assert [problem.code for problem in done.problems] == ["trash_unavailable"]
    history.undo()
    assert tree(pictures) == before
    assert not (pictures / "_rejected").exists()


def test_a_recycle_bin_that_refuses(
    pictures: Path, recycle_bin: RecycleBin, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(pictures, "a.png a.txt b.png")
    before = tree(pictures)

    def refuse(path: Path) -> None:
        raise OSError(None, "aborted", str(path), 0x80270000)

    monkeypatch.setattr(system_bin, "send", refuse)
    history = History.open(pictures)
    done = history.delete([pictures / "a.png", pictures / "b.png"])
    assert [problem.code for problem in done.problems] == ["trash_unavailable"]
    assert sorted(tree(pictures)) == ["_rejected/a.png", "_rejected/a.txt", "_rejected/b.png"]
    history.undo()
    assert tree(pictures) == before
    assert not (pictures / "_rejected").exists()
