"""The notes file: what it holds, what it keeps, and what happens when it is not as it should be."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from core.culling import moving, notes
from core.culling.notes import NOTES_NAME, Note, change_notes, note_of, notes_file, read_notes
from core.errors import Problem, UserError


def write(folder: Path, text: str) -> None:
    (folder / NOTES_NAME).write_text(text, encoding="utf-8")


def test_fields_are_merged_and_taken_out(pictures: Path) -> None:
    assert read_notes(pictures) == {}
    change_notes(pictures, {"a.png": {"mark": "keep", "stars": 3}, "猫.png": {"focus": (0, 0.5)}})
    change_notes(pictures, {"a.png": {"focus": (1.0, 0.25)}, "b.png": {"mark": "reject"}})
    assert read_notes(pictures) == {
        "a.png": Note("keep", 3, (1.0, 0.25)),
        "b.png": Note("reject"),
        "猫.png": Note(focus=(0.0, 0.5)),
    }
    document = json.loads((pictures / NOTES_NAME).read_text(encoding="utf-8"))
    assert document["limner"] == 1
    assert document["pictures"]["猫.png"] == {"focus": [0, 0.5], "focus_upright": [0, 0.5]}
    change_notes(pictures, {"a.png": {"mark": "", "stars": 0}, "猫.png": {"focus": None}})
    change_notes(pictures, {"b.png": {"mark": None}})
    assert read_notes(pictures) == {"a.png": Note(focus=(1.0, 0.25))}
    change_notes(pictures, {"a.png": {"focus": None}})
    assert os.listdir(pictures) == []


def test_what_this_version_does_not_know_is_kept(pictures: Path) -> None:
    write(
        pictures,
        '{"limner": 1, "colour": {"b": 2}, "pictures": {"a.png": {"stars": 1, "tags": [0]}}}',
    )
    change_notes(pictures, {"a.png": {"mark": "keep"}, "b.png": {"stars": 5}})
    document = json.loads((pictures / NOTES_NAME).read_text())
    assert document == {
        "limner": 1,
        "colour": {"b": 2},
        "pictures": {"a.png": {"mark": "keep", "stars": 1, "tags": [0]}, "b.png": {"stars": 5}},
    }


@pytest.mark.parametrize(
    ("raw", "note"),
    [
        ({"mark": "maybe", "stars": 9, "focus": [2, 0]}, Note()),
        ({"mark": ["keep"], "stars": True, "focus": "middle"}, Note()),
        ({"stars": -1, "focus": [0.5]}, Note()),
        ({"stars": 5, "focus": [1, 0]}, Note(stars=5, focus=(1.0, 0.0))),
        ({"focus": [float("nan"), 0.5]}, Note()),
    ],
)
def test_fields_that_make_no_sense_count_as_not_set(raw: dict[str, Any], note: Note) -> None:
    assert note_of(raw) == note


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pictures": []}', "\0\0", "[" * 100_000])
def test_a_damaged_file_is_told_and_moved_aside_only_by_a_change(pictures: Path, text: str) -> None:
    write(pictures, text)
    (pictures / f"{NOTES_NAME}.bad").write_text("an earlier one")
    problems: list[Any] = []
    assert read_notes(pictures, problems) == {}
    [problem] = problems
    assert NOTES_NAME in problem.title
    # A look, as at a check, changes nothing.
    assert sorted(os.listdir(pictures)) == [".limner.json", ".limner.json.bad"]
    change_notes(pictures, {"a.png": {"stars": 1}})
    assert read_notes(pictures) == {"a.png": Note(stars=1)}
    assert (pictures / ".limner.json-2.bad").read_text() == text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")
def test_a_pipe_of_that_name_is_left_alone(pictures: Path) -> None:
    os.mkfifo(notes_file(pictures))
    problems: list[Problem] = []
    assert read_notes(pictures, problems) == {}
    assert "not an ordinary file" in problems[0].title
    with pytest.raises(UserError, match="nothing was changed"):
        change_notes(pictures, {"a.png": {"stars": 1}})
    assert notes_file(pictures).is_fifo()


def test_a_newer_file_is_read_but_not_changed(pictures: Path) -> None:
    text = '{"limner": 2, "pictures": {"a.png": {"stars": 1}}}'
    write(pictures, text)
    assert read_notes(pictures) == {"a.png": Note(stars=1)}
    with pytest.raises(UserError, match="newer Limner"):
        change_notes(pictures, {"a.png": {"stars": 2}})
    assert (pictures / NOTES_NAME).read_text() == text


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    assert read_notes(tmp_path / "gone") == {}
    with pytest.raises(UserError, match="no longer there"):
        change_notes(tmp_path / "gone", {"a.png": {"stars": 2}})
    assert not (tmp_path / "gone").exists()


def test_notes_of_a_read_only_folder_lie_in_the_users_folder(
    pictures: Path, limner_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_notes(pictures, {"a.png": {"stars": 1}})
    before = (pictures / NOTES_NAME).read_bytes()
    real = moving.write_new

    def refuse(path: Path, data: bytes, mode: int = 0o666) -> None:
        if path.parent == pictures:
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        real(path, data, mode)

    with monkeypatch.context() as patch:
        patch.setattr(moving, "write_new", refuse)
        change_notes(pictures, {"a.png": {"mark": "keep"}})
        change_notes(pictures, {"b.png": {"mark": "reject"}})
        both = {"a.png": Note("keep", 1), "b.png": Note("reject")}
        assert read_notes(pictures) == both
        assert limner_data_dir in notes_file(pictures).parents
        assert (pictures / NOTES_NAME).read_bytes() == before
    # Once the folder may be written again, everything is in it again.
    change_notes(pictures, {"b.png": {"stars": 2}})
    assert notes_file(pictures) == pictures / NOTES_NAME
    assert read_notes(pictures) == {"a.png": Note("keep", 1), "b.png": Note("reject", 2)}


def test_a_full_disk_leaves_the_old_notes(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change_notes(pictures, {"a.png": {"stars": 1}})

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match=r"\.limner\.json cannot be written"):
            change_notes(pictures, {"a.png": {"stars": 2}})
    assert read_notes(pictures) == {"a.png": Note(stars=1)}
    assert os.listdir(pictures) == [NOTES_NAME]


def test_what_another_program_wrote_is_seen(pictures: Path) -> None:
    change_notes(pictures, {"a.png": {"stars": 1}})
    assert read_notes(pictures)["a.png"].stars == 1
    write(pictures, '{"limner": 1, "pictures": {"b.png": {"stars": 2}}}')
    change_notes(pictures, {"c.png": {"stars": 3}})
    assert read_notes(pictures) == {"b.png": Note(stars=2), "c.png": Note(stars=3)}


def test_the_cache_hands_out_nothing_that_can_be_changed(pictures: Path) -> None:
    change_notes(pictures, {"a.png": {"stars": 1}})
    read_notes(pictures)["a.png"] = Note(stars=4)
    notes.raw_notes(pictures, ["a.png"])["a.png"]["stars"] = 5
    assert read_notes(pictures) == {"a.png": Note(stars=1)}


def test_two_processes_lose_no_change(pictures: Path) -> None:
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from core.culling.notes import change_notes

        for n in range(60):
            change_notes(Path(sys.argv[1]), {f"{sys.argv[2]}{n}.png": {"stars": n % 5 + 1}})
        """
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(pictures), letter]) for letter in "ab"
    ]
    assert [process.wait(120) for process in running] == [0, 0]
    assert len(read_notes(pictures)) == 120
