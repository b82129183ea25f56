"""Random sequences of everything: each file exactly once at any time, undo gives all back."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from core.culling.history import Done, History
from core.culling.notes import read_notes
from core.data.scan import is_picture_name
from core.errors import UserError
from tests.culling.helpers import tree

FILES = {
    "a.png": b"picture a",
    "a.txt": b"caption a",
    "a-masklabel.png": b"mask a",
    "b.png": b"picture b png",
    "b.jpg": b"picture b jpg",
    "b.caption": "Bildunterschrift ü".encode("utf-16"),
    "日本 語.png": b"picture with a name",
    "日本 語.txt": b"\xff\xfe binary",
    "sub/c.png": b"picture c",
    "sub/c.json": b"{}",
    "sub/a.png": b"picture a in sub",
}

numbers = st.integers(0, 30)


class Culling(RuleBasedStateMachine):
    """A user who does anything in any order, sometimes in a second window or after a restart."""

    @initialize()
    def begin(self) -> None:
        self.temporary = tempfile.TemporaryDirectory()
        base = Path(self.temporary.name)
        self.patch = pytest.MonkeyPatch()
        self.patch.setenv("XDG_DATA_HOME", str(base / "xdg"))
        self.patch.setenv("LIMNER_DATA_DIR", str(base / "limner"))
        self.root, self.kept = base / "pictures", base / "kept"
        for name, data in FILES.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        self.windows = [History.open(self.root), History.open(self.root)]
        self.written = 0
        self.copied = False
        self.files_made = 0

    def teardown(self) -> None:
        if not hasattr(self, "temporary"):
            return
        try:
            while (done := self.windows[0].undo()) is not None:
                assert done.problems == ()
            assert tree(self.root) == FILES
            assert not self.kept.exists() or tree(self.kept) == {}
        finally:
            self.patch.undo()
            self.temporary.cleanup()

    def pictures(self) -> list[Path]:
        found = [self.root / name for name in tree(self.root) if is_picture_name(Path(name).name)]
        return sorted(found)

    def some(self, number: int, how_many: int = 1) -> list[Path]:
        found = self.pictures()
        return [found[(number + i) % len(found)] for i in range(min(how_many, len(found)))]

    def check(self, done: Done) -> None:
        assert done.problems == ()

    def has_pictures(self) -> bool:
        return bool(self.pictures())

    @precondition(has_pictures)
    @rule(window=st.integers(0, 1), number=numbers, how_many=st.integers(1, 4))
    def delete(self, window: int, number: int, how_many: int) -> None:
        gone = self.some(number, how_many)
        done = self.windows[window].delete(gone)
        self.check(done)
        assert not any(path.exists() for path in gone)

    @precondition(has_pictures)
    @rule(
        window=st.integers(0, 1),
        number=numbers,
        mark=st.sampled_from(["", "keep", "reject", None]),
        stars=st.one_of(st.none(), st.integers(0, 5)),
    )
    def mark(self, window: int, number: int, mark, stars) -> None:
        [path] = self.some(number)
        before = read_notes(path.parent)
        self.check(self.windows[window].mark([path], mark, stars))
        note = read_notes(path.parent).get(path.name)
        if mark is not None:
            assert (note.mark if note else "") == mark
        if stars is not None:
            assert (note.stars if note else 0) == stars
        others = {name: n for name, n in before.items() if name != path.name}
        assert others == {k: v for k, v in read_notes(path.parent).items() if k != path.name}

    @precondition(has_pictures)
    @rule(window=st.integers(0, 1), number=numbers, x=st.floats(0, 1), y=st.floats(0, 1))
    def focus(self, window: int, number: int, x: float, y: float) -> None:
        [path] = self.some(number)
        self.check(self.windows[window].set_focus(path, (x, y)))
        assert read_notes(path.parent)[path.name].focus == (x, y)

    @precondition(has_pictures)
    @rule(window=st.integers(0, 1), number=numbers, text=st.one_of(st.none(), st.just("")))
    def write_or_remove_caption(self, window: int, number: int, text: str | None) -> None:
        [path] = self.some(number)
        self.written += 1
        caption = path.with_suffix(".txt")
        content = None if text is None else f"text {self.written}"
        self.check(self.windows[window].write_texts({caption: content}, "Edit a caption"))
        assert (caption.read_text() if caption.exists() else None) == content

    @precondition(has_pictures)
    @rule(
        window=st.integers(0, 1),
        number=numbers,
        stem=st.sampled_from(["a", "x", "été", "a-masklabel", "b"]),
    )
    def rename(self, window: int, number: int, stem: str) -> None:
        [path] = self.some(number)
        before = tree(self.root)
        try:
            done = self.windows[window].rename(path, stem)
        except UserError as error:
            assert error.problem.code in ("name_taken", "name_unusable")
            assert tree(self.root) == before
        else:
            self.check(done)
            assert path.with_name(stem + path.suffix).exists()

    @precondition(has_pictures)
    @rule(window=st.integers(0, 1), copy=st.booleans())
    def gather(self, window: int, copy: bool) -> None:
        history = self.windows[window]
        self.copied = self.copied or copy
        act = history.copy_kept if copy else history.move_kept
        self.check(act(self.pictures(), self.kept))

    @rule(window=st.integers(0, 1))
    def undo(self, window: int) -> None:
        done = self.windows[window].undo()
        if done is not None:
            self.check(done)

    @rule(window=st.integers(0, 1))
    def redo(self, window: int) -> None:
        done = self.windows[window].redo()
        if done is not None:
            self.check(done)

    @rule(window=st.integers(0, 1))
    def restart(self, window: int) -> None:
        self.windows[window] = History.open(self.root)
        assert self.windows[window].recovered is None
        assert self.windows[window].problems == ()

    @invariant()
    def each_picture_is_there_once(self) -> None:
        if not hasattr(self, "temporary"):
            return
        base = Path(self.temporary.name)
        # Inode numbers are not given out again while this file has the newest free one.
        self.files_made += 1
        (base / f"other program {self.files_made}").touch()
        found = Counter(
            data
            for folder in (self.root, base / "xdg")
            for name, data in tree(folder).items()
            if data.startswith((b"picture", b"mask", b"{}")) and not name.endswith("info")
        )
        copied = Counter(tree(self.kept).values()) if self.kept.exists() else Counter()
        for name, data in FILES.items():
            if name.endswith((".png", ".jpg", ".json")):
                assert found[data] + copied[data] >= 1, f"{name} is lost"
                if not self.copied and name.endswith((".png", ".jpg")) and "mask" not in name:
                    assert found[data] + copied[data] == 1, f"{name} is there twice"
        assert not [name for name in tree(self.root) if "/.limner-" in f"/{name}"]


Culling.TestCase.settings = settings(
    max_examples=50,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestCulling = Culling.TestCase


@settings(max_examples=1, deadline=None)
@given(st.randoms(use_true_random=True))
def test_two_thousand_operations_in_a_row(chance: Random) -> None:
    machine = Culling()
    machine.begin()
    try:
        for step in range(2_000):
            any_operation(machine, chance)
            if step % 10 == 0:
                machine.each_picture_is_there_once()
    finally:
        machine.teardown()


def any_operation(machine: Culling, chance: Random) -> None:
    """Do one thing; more is deleted, renamed and taken back than the rest."""
    window, number = chance.randrange(2), chance.randrange(31)
    match chance.randrange(20) if machine.has_pictures() else 19:
        case 0 | 1 | 2:
            machine.delete(window, number, chance.randint(1, 4))
        case 3 | 4 | 5:
            mark = chance.choice(["", "keep", "reject", None])
            machine.mark(window, number, mark, chance.choice([None, 0, 5]))
        case 6:
            machine.focus(window, number, chance.random(), chance.random())
        case 7:
            machine.write_or_remove_caption(window, number, chance.choice([None, ""]))
        case 8 | 9 | 10:
            machine.rename(window, number, chance.choice(["a", "x", "été", "b"]))
        case 11:
            machine.gather(window, copy=False)
        case 12:
            machine.restart(window)
        case 13 | 14:
            machine.redo(window)
        case _:
            machine.undo(window)
