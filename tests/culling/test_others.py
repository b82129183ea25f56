"""Other programs, other windows and damage: nothing lost, nothing overwritten."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from core.culling import locks, moving
from core.culling.history import History
from core.culling.notes import read_notes
from core.errors import UserError
from tests.culling.helpers import contents, failing, fill, only, tree

# Other programs and other windows.


def test_a_picture_that_another_program_removed(pictures: Path) -> None:
    fill(pictures, "a.png a.txt b.png")
    history = History.open(pictures)
    (pictures / "a.png").unlink()
    done = history.delete([pictures / "a.png", pictures / "b.png"])
    assert "a.png was left alone: it is no longer there" in only(done)
    assert done.pictures == (pictures / "b.png",)
    assert sorted(tree(pictures)) == ["a.txt"]
    assert "no longer there" in only(history.mark([pictures / "a.png"], "keep"))
    assert "no longer there" in only(history.rename(pictures / "a.png", "z"))


def test_a_file_replaced_between_plan_and_move(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(pictures, "a.png a.txt")
    history = History.open(pictures)

    def replace_caption(name: str) -> None:
        if name == "begun":
            (pictures / "new").write_text("another program's, and longer")
            os.replace(pictures / "new", pictures / "a.txt")

    monkeypatch.setattr("core.culling.faults.hook", replace_caption)
    done = history.delete([pictures / "a.png"])
    assert "replaced by another program" in only(done)
    assert tree(pictures) == {
        "a.png": b"content of a.png",
        "a.txt": b"another program's, and longer",
    }
    assert not history.can_undo


def test_undo_never_overwrites_what_has_come_since(pictures: Path) -> None:
    fill(pictures, "a.png a.txt")
    history = History.open(pictures)
    history.mark([pictures / "a.png"], "reject", 1)
    history.delete([pictures / "a.png"])
    (pictures / "a.png").write_bytes(b"new picture")
    done = history.undo()
    assert done is not None
    assert done.pictures == (pictures / "a-2.png",)
    assert tree(pictures, hidden=False) == {
        "a.png": b"new picture",
        "a-2.png": b"content of a.png",
        "a-2.txt": b"content of a.txt",
    }
    assert read_notes(pictures)["a-2.png"].stars == 1
    history.redo()
    assert tree(pictures, hidden=False) == {"a.png": b"new picture"}
    (pictures / "a.png").unlink()
    history.undo()
    assert sorted(tree(pictures, hidden=False)) == ["a-2.png", "a-2.txt"]


def test_rename_cannot_be_undone_onto_another_file(pictures: Path) -> None:
    fill(pictures, "a.png")
    history = History.open(pictures)
    history.rename(pictures / "a.png", "b")
    (pictures / "a.png").write_bytes(b"new picture")
    assert "another file is in the way" in only(history.undo())
    assert tree(pictures) == {"a.png": b"new picture", "b.png": b"content of a.png"}
    (pictures / "a.png").unlink()
    history.undo()
    assert sorted(tree(pictures)) == ["a.png"]


@pytest.mark.parametrize("all_gone", [True, False])
def test_an_emptied_trash(all_gone: bool, pictures: Path, own_trash: Path) -> None:
    fill(pictures, "a.png b.png b.txt c.png c.txt")
    history = History.open(pictures)
    history.mark([pictures / "a.png"], stars=3)
    history.delete([pictures / "b.png", pictures / "c.png"])
    if all_gone:
        shutil.rmtree(own_trash)
    else:
        for name in ("b.png", "c.txt"):
            (own_trash / "files" / name).unlink()
            (own_trash / "info" / f"{name}.trashinfo").unlink()
    done = history.undo()
    assert done is not None
    assert all("no longer there" in problem.title for problem in done.problems)
    assert len(done.problems) == 2
    if all_gone:
        assert done.pictures == ()
    else:
        # A picture without its caption is better than none; a caption alone stays in the trash.
        assert done.pictures == (pictures / "c.png",)
        assert (own_trash / "files" / "b.txt").exists()
    assert history.undo_label == "Give 3 stars: a.png"
    history.undo()
    assert read_notes(pictures) == {}


def test_another_file_under_the_name_in_the_trash(pictures: Path, own_trash: Path) -> None:
    fill(pictures, "a.png")
    history = History.open(pictures)
    history.delete([pictures / "a.png"])
    (own_trash / "files" / "a.png").write_bytes(b"from elsewhere, same name")
    (own_trash / "info" / "a.png.trashinfo").write_text("[Trash Info]\nPath=/x/a.png\n")
    assert "another file has its name there" in only(history.undo())
    assert tree(pictures) == {}
    assert (own_trash / "files" / "a.png").exists()


def test_texts_changed_meanwhile_are_kept(pictures: Path) -> None:
    fill(pictures, "a.png a.txt b.png")
    history = History.open(pictures)
    history.write_texts({pictures / "a.txt": "mine", pictures / "b.txt": "mine too"}, "Edit")
    (pictures / "a.txt").write_text("another editor's")
    (pictures / "b.txt").write_text("another editor's too")
    done = history.undo()
    assert done is not None
    assert ["was changed by another program" in p.title for p in done.problems] == [True, True]
    assert (pictures / "a.txt").read_text() == "another editor's"
    assert (pictures / "b.txt").read_text() == "another editor's too"


@pytest.mark.parametrize("kernel", ["new", "old"])
def test_a_text_changed_at_the_last_moment(
    kernel: str, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(pictures, "a.png a.txt")
    if kernel == "old":
        monkeypatch.setattr(moving, "_renameat2", lambda: None)
    history = History.open(pictures)

    def interfere(name: str) -> None:
        if name == "text-written":
            (pictures / "a.txt").write_text("another editor's")

    monkeypatch.setattr("core.culling.faults.hook", interfere)
    done = history.write_texts({pictures / "a.txt": "mine"}, "Edit")
    assert "was changed by another program" in only(done)
    assert tree(pictures) == {"a.png": b"content of a.png", "a.txt": b"another editor's"}


def test_only_the_text_that_was_looked_at_is_changed(pictures: Path) -> None:
    fill(pictures, "a.png b.png c.png d.png")
    texts = {"a.txt": "mine\r\n猫".encode("utf-16"), "b.txt": b"another editor's", "d.txt": b"\0"}
    for name, data in texts.items():
        (pictures / name).write_bytes(data)
    a, b, c, d = (pictures / f"{stem}.txt" for stem in "abcd")
    history = History.open(pictures)
    before = {a: "mine\n猫", b: "mine", c: "", d: "mine"}
    done = history.write_texts({a: "new", b: "new", c: "new", d: None}, "Edit", before=before)
    assert [problem.code for problem in done.problems] == ["file_gone", "file_gone"]
    assert "b.txt was left alone: it was changed by another program" in done.problems[0].title
    assert (a.read_bytes(), b.read_bytes(), c.read_bytes()) == (b"new", texts["b.txt"], b"new")
    assert d.read_bytes() == texts["d.txt"]
    assert history.write_texts({a: "new"}, "Edit", before={a: "older"}).problems == ()
    history.undo()
    assert a.read_bytes() == texts["a.txt"] and not c.exists()


def test_a_copy_that_was_worked_on_is_not_taken_away(pictures: Path, tmp_path: Path) -> None:
    (a,) = fill(pictures, "a.png")
    history = History.open(pictures)
    history.mark([a], "keep")
    history.copy_kept([a], tmp_path / "kept")
    (tmp_path / "kept" / "a.png").write_bytes(b"retouched")
    assert "replaced by another program" in only(history.undo())
    assert (tmp_path / "kept" / "a.png").read_bytes() == b"retouched"


def test_two_windows_interleaved(pictures: Path) -> None:
    a, b, c = fill(pictures, "a.png a.txt b.png c.png")
    before = tree(pictures)
    one, other = History.open(pictures), History.open(pictures)
    one.delete([a])
    other.delete([b])
    assert "no longer there" in only(other.delete([a]))
    one.mark([c], "keep")
    assert (other.undo() or one.undo()).label == "Keep c.png"
    assert other.undo().label == "Delete b.png"
    assert one.undo().label == "Delete a.png"
    assert tree(pictures) == before
    other.refresh()
    assert (other.can_undo, other.redo_label) == (False, "Delete a.png")


def test_two_processes_on_one_folder(pictures: Path) -> None:
    """Both delete everything and undo some, at once; nothing is lost or there twice."""
    fill(pictures, " ".join(f"{n}.png {n}.txt" for n in range(60)))
    before = contents(pictures)
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from core.culling.history import History

        folder = Path(sys.argv[1])
        history = History.open(folder)
        for n in range(60):
            history.delete([folder / f"{n}.png"])
            if n % 3 == 0:
                history.undo()
            if n % 7 == 0:
                history.redo()
        """
    )
    command = [sys.executable, "-c", program, str(pictures)]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    for process in both:
        _out, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, b"")
    assert contents(pictures.parent) == before
    history = History.open(pictures)
    while (done := history.undo()) is not None:
        assert done.problems == ()
    assert Counter(tree(pictures).values()) == Counter(before)
    assert len(tree(pictures)) == 120


def test_a_folder_that_another_window_keeps_busy(
    pictures: Path, limner_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (a,) = fill(pictures, "a.png")
    history = History.open(pictures)
    [lock] = limner_data_dir.glob("history/*/lock")
    monkeypatch.setattr(locks, "PATIENCE", 0.05)
    with (
        locks.held(lock, pictures),
        pytest.raises(UserError, match="Another window is changing"),
    ):
        history.delete([a])
    assert history.delete([a]).problems == ()


def test_a_folder_renamed_while_open(pictures: Path, tmp_path: Path) -> None:
    fill(pictures, "a.png b.png")
    fill(pictures / "sub", "c.png")
    before = tree(pictures)
    history = History.open(pictures)
    history.delete([pictures / "sub" / "c.png"])
    (pictures / "sub").rmdir()
    history.delete([pictures / "a.png"])
    pictures.rename(tmp_path / "elsewhere")
    acts = (
        lambda: history.delete([pictures / "b.png"]),
        lambda: history.mark([pictures / "b.png"], "keep"),
        history.undo,
    )
    for act in acts:
        with pytest.raises(UserError, match="no longer there; open it again"):
            act()
    assert sorted(tree(tmp_path / "elsewhere")) == ["b.png"]
    assert not pictures.exists()
    (tmp_path / "elsewhere").rename(pictures)
    history.undo()
    history.undo()
    assert tree(pictures) == before


# The journal itself, volumes, old kernels.


def test_a_damaged_journal_keeps_what_can_be_read(pictures: Path, limner_data_dir: Path) -> None:
    a, b, c = fill(pictures, "a.png b.png c.png")
    history = History.open(pictures)
    for path in (a, b, c):
        history.delete([path])
    [file] = limner_data_dir.glob("history/*/journal.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    [second] = [i for i, line in enumerate(lines) if b'"Delete b.png"' in line]
    lines[second] = b"\x00\xffgarbage\n"
    file.write_bytes(b"".join(lines) + b'{"run":"do","id":9,"ki')
    again = History.open(pictures)
    assert [problem.code for problem in again.problems] == ["journal_damaged"]
    assert again.undo().label == "Delete c.png"
    assert again.undo().label == "Delete a.png"
    assert again.undo() is None
    assert sorted(tree(pictures)) == ["a.png", "c.png"]


def test_lost_units_of_a_large_operation(pictures: Path, limner_data_dir: Path) -> None:
    every = fill(pictures, " ".join(f"{n}.png" for n in range(200)))
    history = History.open(pictures)
    history.mark(every[:1], "keep")
    history.delete(every[1:])
    for blob in limner_data_dir.glob("history/*/units-*.json"):
        blob.write_text("damaged")
    assert "still in the trash" in only(history.undo())
    assert history.undo_label == "Keep 0.png"


def other_volume() -> Path | None:
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and os.access(memory, os.W_OK) else None


@pytest.mark.skipif(other_volume() is None, reason="there is no second volume")
def test_moving_to_another_volume(pictures: Path, tmp_path: Path) -> None:
    target = Path("/dev/shm") / f"limner-test-{os.getpid()}"
    if os.stat("/dev/shm").st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("there is no second volume")
    fill(pictures, "a.png a.txt b.png")
    history = History.open(pictures)
    history.mark([pictures / "a.png"], "keep")
    before = tree(pictures)
    try:
        done = history.move_kept([pictures / "a.png", pictures / "b.png"], target)
        assert done.problems == ()
        assert sorted(tree(target, hidden=False)) == ["a.png", "a.txt"]
        assert sorted(tree(pictures)) == ["b.png"]
        history.undo()
        assert tree(pictures) == before
        assert tree(target) == {}
    finally:
        shutil.rmtree(target, ignore_errors=True)
        for name in ("files", "info"):
            folder = Path(f"/dev/shm/.Trash-{os.getuid()}") / name
            for path in folder.glob("a.*"):
                path.unlink()


@pytest.mark.skipif(
    os.utime not in os.supports_follow_symlinks, reason="links have no time of their own here"
)
def test_copied_links_are_taken_back(pictures: Path, tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", "real.png")
    fill(pictures, "a.txt")
    picture = pictures / "a.png"
    picture.symlink_to(tmp_path / "elsewhere" / "real.png")
    os.utime(picture, ns=(10**18, 10**18), follow_symlinks=False)
    history = History.open(pictures)
    history.mark([picture], "keep")
    kept = tmp_path / "kept"
    assert history.copy_kept([picture], kept).problems == ()
    assert os.readlink(kept / "a.png") == os.readlink(picture)
    undone = history.undo()
    assert undone is not None and undone.problems == ()
    assert tree(kept) == {} and picture.is_symlink()


@pytest.mark.parametrize("way", ["one step", "second link", "plain link", "placeholder"])
def test_moving_never_overwrites(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if way != "one step":
        monkeypatch.setattr(moving, "_renameat2", lambda: None)
    if way == "placeholder":
        monkeypatch.setattr(moving, "link_file", failing(os.link, errno.EPERM, lambda *a: True))
    if way == "plain link":
        monkeypatch.setattr(os, "supports_follow_symlinks", set())
    a, b = fill(tmp_path, "a.png b.png")
    with pytest.raises(FileExistsError):
        moving.move_file(a, b)
    assert tree(tmp_path) == {"a.png": b"content of a.png", "b.png": b"content of b.png"}
    moving.move_file(a, tmp_path / "c.png")
    assert tree(tmp_path) == {"c.png": b"content of a.png", "b.png": b"content of b.png"}
    with pytest.raises(FileNotFoundError):
        moving.move_file(a, tmp_path / "d.png")
    assert len(tree(tmp_path)) == 2


def test_links_where_links_have_no_second_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "_renameat2", lambda: None)
    monkeypatch.setattr(os, "supports_follow_symlinks", set())
    (tmp_path / "a.png").symlink_to("nowhere")
    moving.move_file(tmp_path / "a.png", tmp_path / "b.png")
    assert os.readlink(tmp_path / "b.png") == "nowhere"
    assert os.listdir(tmp_path) == ["b.png"]
