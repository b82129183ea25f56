"""What goes wrong around culling: a sentence each time, nothing lost, nothing overwritten."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from core.culling import journal, moving, steps, trash
from core.culling.history import History
from core.culling.notes import NOTES_NAME, read_notes
from core.data.scan import scan_folder
from core.errors import UserError
from tests.culling.helpers import failing, fill, only, tree

# No trash.


@pytest.mark.parametrize("home", ["a file", "nowhere"])
def test_without_a_trash_deleted_pictures_go_beside(
    home: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").write_text("in the way")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "a file" / home))
    # The volume's own trash would lie outside this test's folder.
    monkeypatch.setattr(trash, "_top_folder", lambda folder: tmp_path / "a file")
    fill(pictures, "a.png a.txt b.png b.txt")
    fill(pictures / "_rejected", "a.txt")
    before = tree(pictures)
    history = History.open(pictures)
    done = history.delete([pictures / "a.png"])
    assert "_rejected" in only(done)
    assert done.problems[0].severity == "warning"
    assert history.delete([pictures / "b.png"]).problems == ()
    assert tree(pictures) == {
        "_rejected/a.txt": b"content of a.txt",
        "_rejected/a-2.png": b"content of a.png",
        "_rejected/a-2.txt": b"content of a.txt",
        "_rejected/b.png": b"content of b.png",
        "_rejected/b.txt": b"content of b.txt",
    }
    assert len(scan_folder(pictures, include_subfolders=True)) == 0
    history.undo()
    history.undo()
    assert tree(pictures) == before


def test_an_emptied_rejected_folder_disappears(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trash, "trash_folders", lambda folder: [])
    every = fill(pictures, "a.png b.png")
    history = History.open(pictures)
    history.delete(every)
    assert (pictures / "_rejected").is_dir()
    history.undo()
    assert sorted(os.listdir(pictures)) == ["a.png", "b.png"]


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EACCES, errno.ENOSPC, errno.EROFS])
def test_a_trash_that_turns_out_not_to_work(
    number: int, pictures: Path, own_trash: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(pictures, "a.png a.txt b.png")
    before = tree(pictures)
    in_trash = lambda source, target: own_trash in Path(target).parents  # noqa: E731
    monkeypatch.setattr(trash, "move_file", failing(moving.move_file, number, in_trash))
    history = History.open(pictures)
    done = history.delete([pictures / "a.png", pictures / "b.png"])
    assert [problem.code for problem in done.problems] == ["trash_unavailable"]
    assert sorted(tree(pictures)) == ["_rejected/a.png", "_rejected/a.txt", "_rejected/b.png"]
    assert tree(own_trash) == {}
    history = History.open(pictures)
    history.undo()
    assert tree(pictures) == before


def test_the_trash_of_another_volume(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """$topdir/.Trash-$uid, with paths relative to the top folder."""
    home = trash.home_trash().path
    real = trash.volume_of
    monkeypatch.setattr(trash, "volume_of", lambda f: (0, 0) if f == home else real(f))
    monkeypatch.setattr(trash, "_top_folder", lambda folder: tmp_path)
    (a,) = fill(pictures, "a b%.png".replace(" ", "ü"))
    history = History.open(pictures)
    assert history.delete([a]).problems == ()
    there = tmp_path / f".Trash-{os.getuid()}"
    [info] = (there / "info").iterdir()
    assert info.read_text().splitlines()[1] == "Path=pictures/a%C3%BCb%25.png"
    assert there.stat().st_mode & 0o777 == 0o700
    history.undo()
    assert a.exists()
    shared = tmp_path / ".Trash"
    shared.mkdir()
    shared.chmod(0o1777)
    assert trash.trash_folders(pictures)[0].path == shared / str(os.getuid())
    shared.chmod(0o777)
    assert trash.trash_folders(pictures)[0].path == there


def test_names_that_are_taken_in_the_trash(pictures: Path, own_trash: Path) -> None:
    (own_trash / "files").mkdir(parents=True)
    (own_trash / "info").mkdir()
    (own_trash / "files" / "a.png").write_bytes(b"somebody's")
    (own_trash / "info" / "a.2.png.trashinfo").write_bytes(b"somebody's too")
    history = History.open(pictures)
    (a,) = fill(pictures, "a.png")
    for _ in range(3):
        assert history.delete([a]).problems == ()
        fill(pictures, "a.png")
    names = sorted(path.name for path in (own_trash / "files").iterdir())
    assert names == ["a.3.png", "a.4.png", "a.5.png", "a.png"]
    assert (own_trash / "files" / "a.png").read_bytes() == b"somebody's"


def test_a_trash_name_taken_at_the_last_moment(
    pictures: Path, own_trash: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (a,) = fill(pictures, "a.png")
    history = History.open(pictures)
    real, taken = trash.put, []

    def put(source: Path, target: Path, info: Path, content: bytes) -> None:
        if len(taken) < 3:
            taken.append(info)
            info.write_bytes(b"another program's")
        real(source, target, info, content)

    monkeypatch.setattr(trash, "put", put)
    assert history.delete([a]).problems == ()
    assert all(info.read_bytes() == b"another program's" for info in taken)
    history.undo()
    assert a.read_bytes() == b"content of a.png"


def test_a_name_as_long_as_can_be(pictures: Path) -> None:
    name = "x" * 251 + ".png"
    (a,) = fill(pictures, name)
    history = History.open(pictures)
    assert history.delete([a]).problems == ()
    history.undo()
    assert a.exists()


# A full disk, a folder that may not be written.


def full_journal(monkeypatch: pytest.MonkeyPatch, half: bool) -> None:
    real = os.write

    def write(handle: int, data: bytes) -> int:
        if b'"units"' not in data:
            return real(handle, data)
        if half:
            real(handle, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(journal.os, "write", write)


@pytest.mark.parametrize("half", [True, False])
def test_nothing_moves_when_the_journal_cannot_be_written(
    half: bool, pictures: Path, own_trash: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(pictures, "a.png a.txt b.png")
    history = History.open(pictures)
    history.delete([pictures / "b.png"])
    before = tree(pictures.parent / "pictures"), tree(own_trash)
    with monkeypatch.context() as patch:
        full_journal(patch, half)
        acts = (
            lambda: history.delete([pictures / "a.png"]),
            lambda: history.mark([pictures / "a.png"], "keep"),
            lambda: history.write_texts({pictures / "a.txt": "x"}, "Edit"),
            lambda: history.rename(pictures / "a.png", "z"),
            history.undo,
        )
        for act in acts:
            with pytest.raises(UserError, match=r"journal.*cannot be written.*make room"):
                act()
            assert (tree(pictures), tree(own_trash)) == before
    assert history.undo_label == "Delete b.png"
    assert history.delete([pictures / "a.png"]).problems == ()
    fresh = History.open(pictures)
    assert fresh.problems == ()
    fresh.undo()
    fresh.undo()
    assert sorted(tree(pictures)) == ["a.png", "a.txt", "b.png"]


def test_a_journal_that_cannot_be_flushed(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (a,) = fill(pictures, "a.png")
    history = History.open(pictures)
    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "fsync", failing(os.fsync, errno.EIO, lambda handle: True))
        with pytest.raises(UserError, match="journal"):
            history.delete([a])
    assert a.exists()
    assert History.open(pictures).recovered is None
    assert a.exists()


def test_a_large_operation_on_a_full_disk(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = fill(pictures, " ".join(f"{n}.png" for n in range(200)))
    history = History.open(pictures)
    with monkeypatch.context() as patch:
        patch.setattr(
            journal, "write_new", failing(moving.write_new, errno.ENOSPC, lambda *a: True)
        )
        with pytest.raises(UserError, match="journal"):
            history.delete(every)
    assert len(tree(pictures)) == 200


def test_texts_on_a_full_disk(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(pictures, "a.png a.txt b.png b.txt")
    before = tree(pictures)
    history = History.open(pictures)
    full = failing(moving.write_new, errno.ENOSPC, lambda path, data: b"second" in data)
    monkeypatch.setattr(steps, "write_new", full)
    done = history.write_texts({pictures / "a.txt": "first", pictures / "b.txt": "second"}, "Edit")
    assert "b.txt was left alone: the disk is full" in only(done)
    assert done.pictures == (pictures / "a.png",)
    assert (pictures / "b.txt").read_bytes() == b"content of b.txt"
    history.undo()
    assert tree(pictures) == before


def test_marks_on_a_full_disk(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (a,) = fill(pictures, "a.png")
    history = History.open(pictures)
    with monkeypatch.context() as patch:
        full = failing(moving.write_new, errno.ENOSPC, lambda *a: True)
        patch.setattr(moving, "write_new", full)
        done = history.mark([a], "keep")
        assert NOTES_NAME in only(done)
    assert (done.pictures, read_notes(pictures), history.can_undo) == ((), {}, False)


def test_a_folder_that_may_not_be_written(
    pictures: Path, own_trash: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By refusing every change in it, because permissions don't bind root."""
    fill(pictures, "a.png a.txt b.png")
    before = tree(pictures)
    history = History.open(pictures)
    inside = lambda *paths: any(pictures in Path(p).parents for p in paths[:2])  # noqa: E731
    beside = lambda path, *rest: pictures in Path(path).parents  # noqa: E731
    with monkeypatch.context() as patch:
        refused = failing(moving.move_file, errno.EACCES, inside)
        patch.setattr(trash, "move_file", refused)
        patch.setattr(steps, "move_file", refused)
        patch.setattr(steps, "write_new", failing(moving.write_new, errno.EACCES, beside))
        patch.setattr(moving, "write_new", failing(moving.write_new, errno.EACCES, beside))
        assert "read-only" in only(history.delete([pictures / "a.png"]))
        assert "read-only" in only(history.rename(pictures / "a.png", "z"))
        assert "read-only" in only(history.write_texts({pictures / "a.txt": "new"}, "Edit"))
        assert not history.can_undo
        assert history.mark([pictures / "a.png"], "keep", 2).problems == ()
        assert read_notes(pictures)["a.png"].stars == 2
    shutil.rmtree(pictures / "_rejected", ignore_errors=True)
    assert tree(pictures) == before
    assert tree(own_trash) == {}
    history.undo()
    assert read_notes(pictures) == {}
    assert tree(pictures) == before


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_really_may_not_be_written(pictures: Path) -> None:
    (a,) = fill(pictures, "a.png")
    history = History.open(pictures)
    pictures.chmod(0o500)
    try:
        assert "read-only" in only(history.delete([a]))
        assert history.mark([a], "keep").problems == ()
        assert read_notes(pictures)["a.png"].mark == "keep"
    finally:
        pictures.chmod(0o700)
    assert a.exists()
