"""Culling on Windows: files that other programs hold, read-only pictures, the recycle bin."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from core import files
from core.culling import journal, moving, system_bin
from core.culling.history import History
from core.culling.notes import NOTES_NAME, Note, notes_file, read_notes
from core.culling.steps import Identity
from tests.culling.helpers import RecycleBin, bin_info, contents, fill, only, tree
from tests.refusals import refusal


@pytest.fixture
def recycle_bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecycleBin:
    recycle = RecycleBin(tmp_path)
    recycle.install(monkeypatch)
    return recycle


@pytest.fixture(autouse=True)
def renaming(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows renames onto nothing and cannot exchange."""

    def rename(source: Path, target: Path, flags: int) -> bool:
        if flags != moving._NOREPLACE:
            return False
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "exists", str(target))
        files.rename(source, target)
        return True

    monkeypatch.setattr(moving, "_rename", rename)


def refuse_removing_read_only_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let removing and replacing ask the file's own attribute, as Windows does."""

    def asking(real: Callable[..., None], at: int) -> Callable[..., None]:
        def call(*paths: Path, **named: object) -> None:
            if os.path.lexists(paths[at]) and not os.lstat(paths[at]).st_mode & 0o200:
                raise refusal(paths[at], 5)
            real(*paths, **named)

        return call

    monkeypatch.setattr(os, "unlink", asking(os.unlink, 0))
    monkeypatch.setattr(os, "replace", asking(os.replace, 1))


def test_read_only_pictures_can_be_deleted_and_come_back(
    pictures: Path, recycle_bin: RecycleBin, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(pictures, "IMG_1.jpg IMG_1.txt IMG_2.jpg")
    for path in pictures.iterdir():
        path.chmod(0o444)
    before = tree(pictures)
    refuse_removing_read_only_files(monkeypatch)
    history = History.open(pictures)
    assert history.delete([pictures / "IMG_1.jpg"]).problems == ()
    assert sorted(os.listdir(pictures)) == ["IMG_2.jpg"]
    assert history.can_undo
    history.undo()
    assert tree(pictures) == before
    assert history.write_texts({pictures / "IMG_1.txt": "new"}, "Edit").problems == ()
    assert (pictures / "IMG_1.txt").read_text() == "new"


def test_a_spare_name_that_cannot_be_removed_undoes_no_deletion(
    pictures: Path, recycle_bin: RecycleBin, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(pictures, "a.png a.txt")
    before = tree(pictures)
    real = os.unlink

    def unlink(path: Path, **named: object) -> None:
        if "_rejected" in str(path):
            raise refusal(path)
        real(path, **named)  # type: ignore[arg-type]

    history = History.open(pictures)
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", unlink)
        done = history.delete([pictures / "a.png"])
    assert (done.problems, done.pictures) == ((), (pictures / "a.png",))
    history.undo()
    assert {name: data for name, data in tree(pictures).items() if "/" not in name} == before


@pytest.mark.parametrize("spelling", ["C:\\PICTUR~1\\A.PNG", "S:\\a.png", "D:\\mounted\\a.png"])
def test_the_bins_entry_is_known_by_the_file_whatever_path_it_tells(
    pictures: Path, recycle_bin: RecycleBin, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    fill(pictures, "a.png")
    before = tree(pictures)

    def send(path: Path) -> None:
        recycle_bin.send(path)
        [info] = recycle_bin.folder.glob("$I*")
        entry = system_bin.read_info(info)
        info.write_bytes(bin_info(2, spelling, entry.size, entry.time))

    monkeypatch.setattr(system_bin, "send", send)
    history = History.open(pictures)
    assert history.delete([pictures / "a.png"]).problems == ()
    assert tree(pictures) == {}
    assert len(tree(recycle_bin.folder)) == 2
    history.undo()
    assert tree(pictures) == before


def test_a_bin_that_refuses_one_file_takes_the_next(
    pictures: Path, recycle_bin: RecycleBin, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(pictures, "a.png b.png")
    history = History.open(pictures)
    with monkeypatch.context() as patch:
        patch.setattr(system_bin, "send", lambda path: (_ for _ in ()).throw(refusal(path)))
        done = history.delete([pictures / "a.png"])
    assert [problem.code for problem in done.problems] == ["trash_unavailable"]
    assert history.delete([pictures / "b.png"]).problems == ()
    assert sorted(tree(pictures)) == ["_rejected/a.png"]
    assert len(list(recycle_bin.folder.glob("$R*"))) == 1


def test_marks_stay_with_the_pictures_while_their_file_is_open_elsewhere(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = fill(pictures, "a.png b.png")
    history = History.open(pictures)
    history.mark([a], "keep")
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        if Path(target).name == NOTES_NAME:
            raise refusal(target, 5)
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        assert "open in another program" in only(history.mark([b], "reject"))
    assert notes_file(pictures) == pictures / NOTES_NAME
    assert read_notes(pictures) == {"a.png": Note("keep")}
    history.mark([b], "reject")
    assert read_notes(pictures) == {"a.png": Note("keep"), "b.png": Note("reject")}


@pytest.mark.parametrize("lengths", [(1, 2, 5), (1, 2, 5, 40)], ids=["briefly", "for long"])
def test_nothing_is_lost_when_renames_are_refused_at_random(
    pictures: Path,
    recycle_bin: RecycleBin,
    monkeypatch: pytest.MonkeyPatch,
    lengths: tuple[int, ...],
) -> None:
    """For longer than patience lasts, some operations fail as a whole, and some undoing too."""
    chance = random.Random(8)
    names = [f"{n}.png" for n in range(12)]
    fill(pictures, " ".join(f"{name} {name[:-4]}.txt" for name in names))
    before, everything = tree(pictures), set(contents(pictures))
    refused = [-1]

    def at_random(real: Callable[..., None]) -> Callable[..., None]:
        def call(*paths: Path, **named: object) -> None:
            # What was let go stays free for the next try.
            if refused[0] < 0 and chance.random() < 0.2:
                refused[0] = chance.choice(lengths)
            refused[0] -= 1
            if refused[0] >= 0:
                raise refusal(paths[0], chance.choice([5, 32, 33]))
            real(*paths, **named)

        return call

    for name in ("rename", "replace", "unlink"):
        monkeypatch.setattr(os, name, at_random(getattr(os, name)))
    history = History.open(pictures)
    done = 0
    for number in range(500):
        there = sorted(pictures.glob("*.png"))
        picture = chance.choice(there) if there else pictures / "none.png"
        what = chance.randrange(5) if there else 4
        if what == 0:
            done += not history.delete([picture]).problems
        elif what == 1:
            done += not history.mark([picture], chance.choice(["keep", "reject"])).problems
        elif what == 2:
            done += not history.rename(picture, f"name {number}").problems
        else:
            history.undo()
        # A second name that could not be removed may be left beside the file in the bin.
        assert set(contents(pictures, recycle_bin.folder)) == everything
    assert done > 100
    if max(lengths) > len(files._WAITS):
        return
    while history.can_undo:
        assert history.undo().problems == ()
    assert tree(pictures) == before


@pytest.mark.parametrize(
    ("kept", "now"),
    [
        (1_700_000_001_234_567_890, 1_700_000_001_230_000_000),  # exFAT: steps of 10 ms
        (1_700_000_001_234_567_890, 1_700_000_000_000_000_000),  # FAT: steps of 2 s
    ],
)
def test_copies_are_known_on_sticks_that_keep_coarse_times(
    tmp_path: Path, kept: int, now: int
) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"12345")
    os.utime(file, ns=(now, now))
    assert Identity(5, kept, 0).is_same(os.stat(file))
    assert not Identity(5, kept - 4_000_000_000, 0).is_same(os.stat(file))
    os.utime(file, ns=(now + 1, now + 1))
    assert not Identity(5, kept, 0).is_same(os.stat(file))


def test_a_long_journal_is_made_shorter_where_open_files_cannot_be_replaced(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(pictures, "a.png")
    monkeypatch.setattr(journal, "_COMPACT_BYTES", 2000)
    history = History.open(pictures)
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        if any(
            os.path.realpath(f"/proc/self/fd/{n}") == str(target)
            for n in os.listdir("/proc/self/fd")
        ):
            raise refusal(target)
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    for _ in range(30):
        history.mark([pictures / "a.png"], "keep")
        history.undo()
    [file] = Path(os.environ["LIMNER_DATA_DIR"]).rglob("journal.jsonl")
    assert file.stat().st_size > 8000
    history = History.open(pictures)
    assert file.stat().st_size < 2000
    history.mark([pictures / "a.png"], "keep")
    assert History.open(pictures).can_undo
