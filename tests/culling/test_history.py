"""What History does and how undo answers it, in ordinary circumstances."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from core.culling import journal
from core.culling.history import History
from core.culling.notes import NOTES_NAME, Note, change_notes, read_notes
from core.errors import Stopped, UserError
from tests.culling.helpers import fill, tree


def test_a_picture_goes_to_the_trash_with_all_that_belongs_to_it(
    pictures: Path, own_trash: Path
) -> None:
    fill(pictures, "a.png a.txt a.caption a.json a-masklabel.png a-condlabel.png ab.txt b.png")
    before = tree(pictures)
    history = History.open(pictures)
    done = history.delete([pictures / "a.png"])
    assert done.problems == ()
    assert done.pictures == (pictures / "a.png",)
    assert done.moved == ((pictures / "a.png", None),)
    assert sorted(tree(pictures)) == ["ab.txt", "b.png"]
    assert len(list((own_trash / "files").iterdir())) == 6
    assert len(list((own_trash / "info").iterdir())) == 6
    info = (own_trash / "info" / "a.png.trashinfo").read_text()
    assert f"Path={pictures}/a.png\n" in info
    assert (history.can_undo, history.undo_label) == (True, "Delete a.png")

    again = history.undo()
    assert again is not None
    assert (again.pictures, again.undone, again.label) == (
        (pictures / "a.png",),
        True,
        "Delete a.png",
    )
    assert tree(pictures) == before
    assert tree(own_trash) == {}
    assert (history.can_undo, history.can_redo, history.redo_label) == (
        False,
        True,
        "Delete a.png",
    )
    assert history.undo() is None
    assert history.redo() is not None
    assert sorted(tree(pictures)) == ["ab.txt", "b.png"]
    assert history.redo() is None


@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't tell capitals")
def test_what_belongs_to_a_picture_is_known_in_any_capitals(pictures: Path) -> None:
    fill(pictures, "a.png a.TXT a-masklabel.PNG A.txt b.png b.Json")
    before = tree(pictures)
    history = History.open(pictures)
    history.delete([pictures / "a.png"])
    assert set(tree(pictures)) == {"A.txt", "b.png", "b.Json"}
    history.rename(pictures / "b.png", "c")
    assert set(tree(pictures)) == {"A.txt", "c.png", "c.Json"}
    history.undo()
    history.undo()
    assert tree(pictures) == before


def test_namesakes_keep_their_caption_until_the_last_one_goes(pictures: Path) -> None:
    fill(pictures, "a.png a.jpg a.txt a-masklabel.png")
    before = tree(pictures)
    history = History.open(pictures)
    history.delete([pictures / "a.png"])
    assert sorted(tree(pictures)) == ["a-masklabel.png", "a.jpg", "a.txt"]
    history.delete([pictures / "a.jpg"])
    assert tree(pictures) == {}
    history.undo()
    assert sorted(tree(pictures)) == ["a-masklabel.png", "a.jpg", "a.txt"]
    history.undo()
    assert tree(pictures) == before
    history.delete([pictures / "a.png", pictures / "a.jpg"])
    assert tree(pictures) == {}
    history.undo()
    assert tree(pictures) == before


def test_undo_goes_back_to_the_beginning_after_a_restart(pictures: Path) -> None:
    names = " ".join(f"{n}.png {n}.txt" for n in range(20))
    fill(pictures, names)
    before = tree(pictures)
    for n in range(20):
        History.open(pictures).delete([pictures / f"{n}.png"])
    assert tree(pictures) == {}
    history = History.open(pictures)
    for _ in range(20):
        assert History.open(pictures).undo() is not None
    assert tree(pictures) == before
    history.refresh()
    assert (history.can_undo, history.can_redo) == (False, True)


def test_a_new_operation_ends_redo(pictures: Path) -> None:
    fill(pictures, "a.png b.png")
    history = History.open(pictures)
    history.delete([pictures / "a.png"])
    history.undo()
    history.delete([pictures / "b.png"])
    assert not history.can_redo
    assert history.redo() is None


def test_marks_stars_and_focus(pictures: Path) -> None:
    a, b = fill(pictures, "a.png b.png")
    history = History.open(pictures)
    history.mark([a, b], "keep")
    history.mark([a], stars=5)
    history.set_focus(a, (0.1, 0.9))
    assert read_notes(pictures) == {"a.png": Note("keep", 5, (0.1, 0.9)), "b.png": Note("keep")}
    assert history.undo_label == "Set the focus of a.png"
    history.undo()
    history.undo()
    assert read_notes(pictures) == {"a.png": Note("keep"), "b.png": Note("keep")}
    history.undo()
    assert read_notes(pictures) == {}
    assert not (pictures / NOTES_NAME).exists()
    nothing = history.mark([a], "")
    assert (nothing.pictures, history.can_undo) == ((), False)
    with pytest.raises(ValueError, match="0 to 5"):
        history.mark([a], stars=6)
    with pytest.raises(ValueError, match="between 0 and 1"):
        history.set_focus(a, (1.5, 0))


def test_a_deleted_pictures_marks_come_back_with_it_and_not_to_another(pictures: Path) -> None:
    (a,) = fill(pictures, "a.png")
    change_notes(pictures, {"a.png": {"mark": "reject", "stars": 2, "later": [1]}})
    history = History.open(pictures)
    history.delete([a])
    assert read_notes(pictures) == {}
    fill(pictures, "a.png")
    assert read_notes(pictures) == {}
    a.unlink()
    history.undo()
    assert '"later": [1]' in (pictures / NOTES_NAME).read_text()
    assert read_notes(pictures)["a.png"] == Note("reject", 2)


def test_only_the_rejected_go(pictures: Path) -> None:
    every = fill(pictures, "a.png a.txt b.png c.png")
    sub = fill(pictures / "sub", "d.png")
    history = History.open(pictures)
    history.mark([every[0], sub[0]], "reject")
    before = tree(pictures)
    done = history.trash_rejected([*every, *sub])
    assert set(done.pictures) == {pictures / "a.png", pictures / "sub" / "d.png"}
    assert sorted(tree(pictures)) == ["b.png", "c.png"]
    history.undo()
    assert tree(pictures) == before


def test_captions_come_back_to_the_byte(pictures: Path) -> None:
    fill(pictures, "a.png b.png c.png")
    odd = "\ufeffäöü\r\nzwei".encode("utf-16")
    (pictures / "a.txt").write_bytes(odd)
    (pictures / "b.txt").write_bytes("猫".encode("gb18030"))
    before = tree(pictures)
    history = History.open(pictures)
    done = history.write_texts(
        {
            pictures / "a.txt": "neu\r\nzwei",
            pictures / "b.txt": None,
            pictures / "c.txt": "猫",
        },
        "Change captions",
    )
    assert (done.label, done.kind, done.problems) == ("Change captions", "texts", ())
    assert set(done.pictures) == {pictures / f"{n}.png" for n in "abc"}
    assert (pictures / "a.txt").read_bytes() == b"neu\r\nzwei"
    assert not (pictures / "b.txt").exists()
    assert (pictures / "c.txt").read_bytes() == "猫".encode()
    after = tree(pictures)
    history.undo()
    assert tree(pictures) == before
    history.redo()
    assert tree(pictures) == after
    assert history.write_texts({pictures / "c.txt": "猫"}, "Nothing").pictures == ()
    assert history.undo_label == "Change captions"


def test_a_linked_caption_is_written_where_it_lies(pictures: Path, tmp_path: Path) -> None:
    fill(pictures, "a.png")
    real = tmp_path / "shared.txt"
    real.write_text("old")
    (pictures / "a.txt").symlink_to(real)
    history = History.open(pictures)
    history.write_texts({pictures / "a.txt": "new"}, "Edit")
    assert (pictures / "a.txt").is_symlink()
    assert real.read_text() == "new"
    history.undo()
    assert real.read_text() == "old"


def test_a_captions_permissions_stay(pictures: Path) -> None:
    fill(pictures, "a.png a.txt")
    (pictures / "a.txt").chmod(0o640)
    History.open(pictures).write_texts({pictures / "a.txt": "new"}, "Edit")
    assert (pictures / "a.txt").stat().st_mode & 0o777 == 0o640


def test_links_go_alone(pictures: Path, tmp_path: Path, own_trash: Path) -> None:
    (real,) = fill(tmp_path / "elsewhere", "real.png")
    link = pictures / "link.png"
    link.symlink_to(real)
    (pictures / "broken.png").symlink_to(tmp_path / "nowhere")
    history = History.open(pictures)
    done = history.delete([link, pictures / "broken.png"])
    assert done.problems == ()
    assert real.exists()
    assert (own_trash / "files" / "link.png").is_symlink()
    history.undo()
    assert os.readlink(link) == str(real)
    assert os.readlink(pictures / "broken.png") == str(tmp_path / "nowhere")


def test_rename_takes_sidecars_and_notes_along(pictures: Path) -> None:
    fill(pictures, "a.png a.txt a-masklabel.png c.png")
    history = History.open(pictures)
    history.mark([pictures / "a.png"], "keep", 3)
    before = tree(pictures)
    done = history.rename(pictures / "a.png", "été 猫")
    assert done.moved == ((pictures / "a.png", pictures / "été 猫.png"),)
    assert sorted(tree(pictures, hidden=False)) == [
        "c.png",
        "été 猫-masklabel.png",
        "été 猫.png",
        "été 猫.txt",
    ]
    assert read_notes(pictures) == {"été 猫.png": Note("keep", 3)}
    history.undo()
    assert tree(pictures) == before


@pytest.mark.parametrize("act", ["rename", "delete and undo", "make, undo and redo"])
def test_undo_goes_on_behind_a_file_that_was_written_anew(pictures: Path, act: str) -> None:
    """The bytes are those of before, time and inode number are not."""
    fill(pictures, "a.png a.txt" if act != "make, undo and redo" else "a.png")
    before = tree(pictures)
    history = History.open(pictures)
    if act == "rename":
        history.rename(pictures / "a.png", "b")
    elif act == "delete and undo":
        history.delete([pictures / "a.png"])
        history.undo()
    else:
        history.write_texts({pictures / "a.txt": "made"}, "Make")
        history.undo()
        history.redo()
    for path in list(pictures.iterdir()):
        path.rename(pictures.parent / path.name)
        path.write_bytes((pictures.parent / path.name).read_bytes())
        os.utime(path, ns=(1, 1))
    done = history.redo() if act == "delete and undo" else history.undo()
    assert done is not None
    assert done.problems == ()
    assert tree(pictures) == ({} if act == "delete and undo" else before)


def test_a_copied_caption_that_was_edited_and_edited_back(pictures: Path) -> None:
    fill(pictures, "a.png a.jpg a.txt")
    os.utime(pictures / "a.txt", ns=(1, 1))
    before = tree(pictures)
    history = History.open(pictures)
    history.rename(pictures / "a.png", "b")
    assert (pictures / "b.txt").read_bytes() == (pictures / "a.txt").read_bytes()
    history.write_texts({pictures / "b.txt": "edited"}, "Edit")
    for _ in range(2):
        done = history.undo()
        assert done is not None
        assert done.problems == ()
    assert tree(pictures) == before


@pytest.mark.parametrize(
    "name", ["", " ", "a/b", "x\0", ".hidden", "con", "end.", "b-masklabel", "x" * 300]
)
def test_names_that_cannot_be(pictures: Path, name: str) -> None:
    (a,) = fill(pictures, "a.png")
    with pytest.raises(UserError, match="choose another"):
        History.open(pictures).rename(a, name)
    assert sorted(tree(pictures)) == ["a.png"]


@pytest.mark.parametrize("other", ["b.png", "b.jpg", "b.txt", "b-masklabel.png"])
def test_a_taken_name_is_refused(pictures: Path, other: str) -> None:
    fill(pictures, f"a.png {other}")
    before = tree(pictures)
    with pytest.raises(UserError, match="already"):
        History.open(pictures).rename(pictures / "a.png", "b")
    assert tree(pictures) == before


@pytest.mark.parametrize("copy", [True, False])
def test_kept_ones_are_gathered_in_one_operation(
    pictures: Path, tmp_path: Path, copy: bool
) -> None:
    fill(pictures, "a.png a.txt b.png c.png")
    fill(pictures / "sub", "a.png a.json")
    target = tmp_path / "new" / "kept"
    fill(target, "c.jpg")
    every = sorted(pictures.rglob("*.png"))
    history = History.open(pictures)
    history.mark(every, "keep", 4)
    history.mark([pictures / "b.png"], "")
    before = tree(pictures)
    done = (history.copy_kept if copy else history.move_kept)(every, target)
    assert done.problems == ()
    gathered = tree(target, hidden=False)
    assert sorted(gathered) == ["a-2.json", "a-2.png", "a.png", "a.txt", "c-2.png", "c.jpg"]
    assert gathered["c.jpg"] == b"content of c.jpg"
    assert read_notes(target)["c-2.png"] == Note("keep", 4)
    if copy:
        assert tree(pictures) == before
        assert (target / "a.png").stat().st_mtime_ns == (pictures / "a.png").stat().st_mtime_ns
    else:
        assert sorted(tree(pictures, hidden=False)) == ["b.png"]
    history.undo()
    assert tree(pictures) == before
    assert tree(target) == {"c.jpg": b"content of c.jpg"}
    history.redo()
    assert tree(target, hidden=False) == gathered
    history.undo()
    assert tree(pictures) == before


def test_stopping_a_batch_leaves_the_rest(pictures: Path) -> None:
    every = fill(pictures, "a.png b.png c.png")
    seen = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 2:
            raise Stopped

    history = History.open(pictures)
    before = tree(pictures)
    done = history.delete(every, progress)
    assert seen == [(0, 3), (1, 3), (2, 3)]
    assert [problem.code for problem in done.problems] == ["stopped"]
    assert sorted(tree(pictures)) == ["c.png"]
    history.undo()
    assert tree(pictures) == before


def test_a_folder_reached_by_a_link_has_the_same_history(pictures: Path, tmp_path: Path) -> None:
    (a,) = fill(pictures, "a.png")
    link = tmp_path / "link"
    link.symlink_to(pictures)
    History.open(link).delete([a])
    assert tree(pictures) == {}
    History.open(pictures).undo()
    assert sorted(tree(pictures)) == ["a.png"]


def test_names_that_are_no_text(pictures: Path) -> None:
    try:
        name = os.fsdecode(b"\xff\xfe.png")
        (pictures / name).write_bytes(b"x")
    except (OSError, ValueError):
        pytest.skip("this file system takes no such name")
    history = History.open(pictures)
    assert history.mark([pictures / name], "keep").problems == ()
    assert read_notes(pictures)[name].mark == "keep"
    assert history.delete([pictures / name]).problems == ()
    assert not (pictures / name).exists()
    history.undo()
    assert (pictures / name).read_bytes() == b"x"
    assert read_notes(pictures)[name].mark == "keep"


def test_the_journal_is_flushed_before_anything_moves(
    pictures: Path, limner_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (a,) = fill(pictures, "a.png")
    history = History.open(pictures)
    [file] = limner_data_dir.glob("history/*/journal.jsonl")
    seen = []

    def fsync(handle: int) -> None:
        if os.fstat(handle).st_ino == file.stat().st_ino:
            seen.append((a.exists(), b'"Delete a.png"' in file.read_bytes()))

    monkeypatch.setattr(os, "fsync", fsync)
    history.delete([a])
    assert seen == [(True, True)]
    assert not a.exists()


def test_thousands_of_operations(pictures: Path) -> None:
    a, b = fill(pictures, "a.png b.png")
    history = History.open(pictures)
    for n in range(2_000):
        history.mark([a if n % 2 else b], stars=n // 2 % 2 + 1)
    fresh = History.open(pictures)
    assert fresh.undo_label == "Give 2 stars: a.png"
    for _ in range(100):
        assert fresh.undo() is not None


def test_a_large_journal_is_shortened_and_keeps_undo(
    pictures: Path, limner_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_COMPACT_BYTES", 10_000)
    monkeypatch.setattr(journal, "_INLINE_BYTES", 300)
    every = fill(pictures, "a.png a.txt b.png c.png c.txt")
    before = tree(pictures)
    other = History.open(pictures)
    history = History.open(pictures)
    history.delete(every[:1])
    history.delete([pictures / "gone.png", every[1]])
    for _ in range(40):
        history.delete(every[2:])
        history.undo()
    history.write_texts({pictures / "c.txt": "new " * 200}, "Edit")
    history.undo()
    [file] = limner_data_dir.glob("history/*/journal.jsonl")
    long = file.stat().st_size
    assert long > 10_000
    shortened = History.open(pictures)
    assert file.stat().st_size < long / 10
    assert len(list(file.parent.glob("units-*"))) < 5
    assert (shortened.undo_label, shortened.redo_label) == ("Delete b.png", "Edit")
    other.redo()
    assert (pictures / "c.txt").read_text() == "new " * 200
    while history.undo() is not None:
        pass
    assert tree(pictures) == before
    assert History.open(pictures).problems == ()
