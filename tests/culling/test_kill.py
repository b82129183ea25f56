"""kill -9 between any two steps: every file is there exactly once, and undo still works."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from core.culling import moving, trash
from core.culling.history import Done, History
from core.errors import Problem
from tests.culling.helpers import RecycleBin, contents, fill, killed_at, tree

FILES = "a.png a.txt a.caption a-masklabel.png b.png b.txt b.jpg c.png c.json d.png"

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

Action = Callable[[History, Path], object]

ACTIONS: dict[str, Action] = {
    "delete": lambda history, folder: history.delete([folder / "a.png"]),
    "delete many": lambda history, folder: history.delete(
        [folder / name for name in ("a.png", "b.png", "b.jpg", "c.png")]
    ),
    "delete rejected": lambda history, folder: history.trash_rejected(sorted(folder.iterdir())),
    "mark": lambda history, folder: history.mark([folder / "a.png"], "keep", 4),
    "rename": lambda history, folder: history.rename(folder / "a.png", "z"),
    "rename beside a namesake": lambda history, folder: history.rename(folder / "b.png", "z"),
    "texts": lambda history, folder: history.write_texts(
        {folder / "a.txt": "new", folder / "c.txt": "made", folder / "b.txt": None}, "Captions"
    ),
    "copy": lambda history, folder: history.copy_kept(
        sorted(folder.iterdir()), folder.parent / "kept"
    ),
    "move": lambda history, folder: history.move_kept(
        sorted(folder.iterdir()), folder.parent / "kept"
    ),
}
# What a picture takes along although its namesake b.jpg keeps it too; and what is copied anyway.
COPIED = {
    "rename beside a namesake": {b"content of b.txt"},
    "move": {b"content of b.txt"},
    "copy": {b"content of b.txt", b"content of b.png", b"content of d.png"},
}


def prepare(folder: Path) -> dict[str, bytes]:
    fill(folder, FILES)
    history = History.open(folder)
    history.mark([folder / "a.png", folder / "c.png"], "reject", stars=2)
    history.mark([folder / "b.png", folder / "d.png"], "keep")
    history.set_focus(folder / "a.png", (0.25, 0.5))
    return tree(folder)


def everything(folder: Path) -> list[bytes]:
    return contents(*(folder.parent / n for n in ("pictures", "kept", "xdg", "$Recycle.Bin")))


def undo_all(history: History, down_to: str) -> None:
    while history.undo_label != down_to:
        done = history.undo()
        assert done is not None and failures(done) == []


def failures(done: Done) -> list[Problem]:
    return [problem for problem in done.problems if problem.code != "trash_unavailable"]


def check_invariant(folder: Path, before: dict[str, bytes], action: str) -> None:
    """After a kill: all there once, no half files, undo gives the folder back to the byte."""
    history = History.open(folder)
    left, originals = Counter(everything(folder)), Counter(contents(folder.parent / "original"))
    if action != "texts":
        assert originals - left == Counter(), "something is lost"
        assert set(left - originals) <= COPIED.get(action, set()), "something is there twice"
    assert [name for name in tree(folder) if name.startswith(".") and name != ".limner.json"] == []
    undo_all(history, "Set the focus of a.png")
    assert of_the_user(folder, action) == before
    done = history.redo()
    if done is not None:
        assert failures(done) == []
        undo_all(history, "Set the focus of a.png")
        assert of_the_user(folder, action) == before


def of_the_user(folder: Path, action: str) -> dict[str, bytes]:
    """All files, without those that an operation had made, which undo puts where the deleted go."""
    made = {"texts": "_rejected/c", "rename beside a namesake": "_rejected/z"}.get(action, "//")
    return {name: data for name, data in tree(folder).items() if not name.startswith(made)}


@needs_fork
@pytest.mark.parametrize("system", ["own calls", "old kernel", "no trash", "recycle bin"])
@pytest.mark.parametrize("name", ACTIONS)
def test_killed_at_each_step(
    name: str, system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if system == "old kernel":
        monkeypatch.setattr(moving, "_renameat2", lambda: None)
    if system == "no trash":
        monkeypatch.setattr(trash, "trash_folders", lambda folder: [])
    number, was_killed = 0, True
    while was_killed:
        number += 1
        base = tmp_path / str(number)
        folder = base / "pictures"
        fill(base / "original", FILES)
        monkeypatch.setenv("XDG_DATA_HOME", str(base / "xdg"))
        if system == "recycle bin":
            RecycleBin(base).install(monkeypatch)
        before = prepare(folder)
        was_killed = killed_at(number, lambda: ACTIONS[name](History.open(folder), folder))  # noqa: B023
        check_invariant(folder, before, name)
    assert number > 3, "there were no fault points"


@needs_fork
@pytest.mark.parametrize("name", ACTIONS)
def test_killed_in_undo_and_redo(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for back in ("undo", "redo"):
        number, was_killed = 0, True
        while was_killed:
            number += 1
            base = tmp_path / back / str(number)
            folder = base / "pictures"
            fill(base / "original", FILES)
            monkeypatch.setenv("XDG_DATA_HOME", str(base / "xdg"))
            before = prepare(folder)
            history = History.open(folder)
            ACTIONS[name](history, folder)
            after = tree(folder, hidden=False)
            if back == "redo":
                history.undo()
            was_killed = killed_at(number, getattr(History.open(folder), back))
            again = History.open(folder)
            assert tree(folder, hidden=False) in (
                after,
                {k: v for k, v in before.items() if not k.startswith(".")},
            )
            assert again.recovered is None or again.recovered.problems == ()
            check_invariant(folder, before, name)
        assert number > 2


@needs_fork
def test_killed_again_while_recovering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, go_on = 0, True
    while go_on:
        first += 1
        second, again = 0, True
        while again:
            second += 1
            base = tmp_path / f"{first}-{second}"
            folder = base / "pictures"
            fill(base / "original", FILES)
            monkeypatch.setenv("XDG_DATA_HOME", str(base / "xdg"))
            before = prepare(folder)
            action = ACTIONS["delete"]
            go_on = killed_at(first, lambda: action(History.open(folder), folder))  # noqa: B023
            again = killed_at(second, lambda: History.open(folder))  # noqa: B023
            check_invariant(folder, before, "delete")


def test_killed_in_a_process_of_its_own(tmp_path: Path) -> None:
    """The same without fork, so that Windows has it too: the process ends at once in its middle."""
    folder = tmp_path / "pictures"
    fill(tmp_path / "original", FILES)
    before = prepare(folder)
    program = textwrap.dedent(
        """
        import os, sys
        from pathlib import Path
        from core.culling import faults
        from core.culling.history import History

        def hook(name):
            if name == "notes":
                os._exit(9)

        folder = Path(sys.argv[1])
        history = History.open(folder)
        faults.hook = hook
        history.delete([folder / "a.png", folder / "c.png"])
        """
    )
    ended = subprocess.run([sys.executable, "-c", program, str(folder)], cwd=Path.cwd())
    assert ended.returncode == 9
    history = History.open(folder)
    assert history.recovered is not None
    assert history.recovered.label == "Delete 2 pictures"
    assert not (folder / "a.png").exists()
    check_invariant(folder, before, "delete many")
