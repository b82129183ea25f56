"""Marks, deletions, captions and focus: what is on the disk afterwards, and back again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt

from app.viewer import commands
from app.viewer.window import Viewer
from core import files
from core.culling.history import History
from core.culling.notes import read_notes
from core.errors import fail
from tests.viewer.driving import CONTROL, name, press

K = Qt.Key
Wait = Callable[[Viewer], None]


def test_marks_advance_and_are_kept(viewer: Viewer, pictures: Path, idle: Wait):
    press(viewer, K.Key_K, K.Key_X)
    assert name(viewer) == "pic 3.png"
    press(viewer, K.Key_4, text="4")
    assert name(viewer) == "pic 3.png"
    idle(viewer)
    notes = read_notes(pictures)
    assert notes["pic 1.png"].mark == "keep"
    assert notes["pic 2.png"].mark == "reject"
    assert notes["pic 3.png"].stars == 4


def test_delete_takes_the_caption_along_and_undo_brings_both_back(
    viewer: Viewer, pictures: Path, idle: Wait
):
    press(viewer, K.Key_Right, K.Key_Delete)
    assert name(viewer) == "pic 3.png"
    idle(viewer)
    assert not (pictures / "pic 2.png").exists()
    assert not (pictures / "pic 2.txt").exists()
    assert "trash" in viewer.notice.text
    press(viewer, K.Key_End)
    press(viewer, K.Key_U, text="u")
    idle(viewer)
    assert (pictures / "pic 2.png").exists()
    assert (pictures / "pic 2.txt").read_text() == "thing 2"
    assert name(viewer) == "pic 2.png"
    assert len(viewer.album) == 12
    press(viewer, K.Key_Y, modifiers=CONTROL)
    idle(viewer)
    assert not (pictures / "pic 2.png").exists()
    assert len(viewer.album) == 11


def test_many_deletions_don_t_wait_and_undo_is_unlimited(
    viewer: Viewer, pictures: Path, idle: Wait
):
    press(viewer, *[K.Key_Delete] * 12)
    assert len(viewer.album) == 0  # before anything of it need be done
    idle(viewer)
    assert list(pictures.glob("*.png")) == []
    press(viewer, *[K.Key_U] * 13)
    idle(viewer)
    assert len(list(pictures.glob("*.png"))) == 12
    assert len(list(pictures.glob("*.txt"))) == 6
    assert len(viewer.album) == 12
    assert "nothing to undo" in viewer.notice.text


def test_undo_works_after_a_restart(
    viewers: Callable[..., Viewer],
    pictures: Path,
    idle: Wait,
    shut: Callable[[Viewer], None],
):
    first = viewers(pictures)
    press(first, K.Key_Delete, K.Key_K)
    idle(first)
    shut(first)
    second = viewers(pictures)
    assert name(second) == "pic 2.png"
    assert second.album.known[str(pictures / "pic 2.png")].note.mark == "keep"
    idle(second)
    assert second.commands.is_possible("undo")
    press(second, K.Key_U, K.Key_U)
    idle(second)
    assert (pictures / "pic 1.png").exists()
    assert read_notes(pictures) == {}
    assert name(second) == "pic 1.png"


def test_a_failure_puts_the_picture_back_and_says_why(
    viewer: Viewer, pictures: Path, idle: Wait, qtbot: Any, monkeypatch: Any
):
    def broken(self: History, *_: object) -> None:
        raise fail("trash_failed", "The trash cannot be written; make room on the disk.")

    monkeypatch.setattr(History, "delete", broken)
    press(viewer, K.Key_Right, K.Key_Delete)
    idle(viewer)
    qtbot.waitUntil(lambda: len(viewer.album) == 12, timeout=20000)
    assert (pictures / "pic 2.png").exists()
    assert "trash cannot be written" in viewer.notice.text


def test_a_fault_of_ours_does_not_stop_later_changes(
    viewer: Viewer, pictures: Path, idle: Wait, monkeypatch: Any
):
    def broken(self: History, *_: object, **__: object) -> None:
        raise RuntimeError("not meant")

    with monkeypatch.context() as context:
        context.setattr(History, "mark", broken)
        press(viewer, K.Key_K)
        idle(viewer)
    assert "not meant" in viewer.notice.text
    press(viewer, K.Key_K)
    idle(viewer)
    assert read_notes(pictures)["pic 2.png"].mark == "keep"


def test_a_read_only_folder_is_told_and_loses_nothing(
    viewers: Callable[..., Viewer], pictures: Path, idle: Wait, monkeypatch: Any
):
    monkeypatch.setattr(files, "can_write", lambda folder: False)
    viewer = viewers(pictures)
    assert "may not be written" in viewer.notice.text
    press(viewer, K.Key_Delete)
    idle(viewer)
    assert len(viewer.album) == 12
    assert (pictures / "pic 1.png").exists()


def test_a_scan_that_began_before_a_deletion_does_not_bring_it_back(
    viewer: Viewer, pictures: Path, idle: Wait
):
    from app.viewer.source import scan

    before = scan(viewer.source)
    press(viewer, K.Key_Delete)
    idle(viewer)
    viewer.album.merge(viewer.judge.current_truth(before))
    assert len(viewer.album) == 11
    viewer.album.merge(viewer.judge.current_truth(scan(viewer.source)))
    assert len(viewer.album) == 11


def test_marks_from_elsewhere_are_taken_over(viewer: Viewer, pictures: Path, qtbot: Any):
    from core.culling.notes import change_notes

    change_notes(pictures, {"pic 5.png": {"stars": 3}})
    known = viewer.album.known[str(pictures / "pic 5.png")]
    qtbot.waitUntil(lambda: known.note.stars == 3, timeout=20000)


class Answered:
    """Stands for a dialog that is answered at once."""

    choice, folder = "copy", Path()

    def __init__(self, entries: Any, store: Any, parent: Any) -> None:
        self._entries = list(entries)

    def exec(self) -> int:
        return 1

    def chosen(self) -> list[Any]:
        return self._entries

    def target(self) -> Path:
        return self.folder


def test_rejected_pictures_go_in_one_step(
    viewer: Viewer, pictures: Path, idle: Wait, monkeypatch: Any
):
    monkeypatch.setattr(commands, "RejectedDialog", Answered)
    viewer.commands.run("trash_rejected")
    assert "No picture is marked" in viewer.notice.text
    press(viewer, K.Key_X, K.Key_X, K.Key_Right, K.Key_X)
    press(viewer, K.Key_Return, modifiers=CONTROL)
    idle(viewer)
    assert sorted(p.name for p in pictures.glob("pic ?.png")) == [
        f"pic {n}.png" for n in (3, 5, 6, 7, 8, 9)
    ]
    press(viewer, K.Key_U)
    idle(viewer)
    assert len(list(pictures.glob("*.png"))) == 12
    assert len(viewer.album) == 12


@pytest.mark.parametrize("choice", ["copy", "move"])
def test_kept_pictures_are_taken_to_a_folder(
    viewer: Viewer, pictures: Path, tmp_path: Path, idle: Wait, monkeypatch: Any, choice: str
):
    answer = type("Chosen", (Answered,), {"choice": choice, "folder": tmp_path / "kept"})
    monkeypatch.setattr(commands, "KeptDialog", answer)
    press(viewer, K.Key_K, K.Key_K)
    viewer.commands.run("take_kept")
    idle(viewer)
    taken = sorted(p.name for p in (tmp_path / "kept").glob("pic*"))
    assert taken == ["pic 1.png", "pic 2.png", "pic 2.txt"]
    assert len(viewer.album) == (12 if choice == "copy" else 10)
    press(viewer, K.Key_U)
    idle(viewer)
    assert list((tmp_path / "kept").glob("pic*")) == []
    assert len(viewer.album) == 12


def test_a_caption_is_written_below_the_picture(
    viewer: Viewer, pictures: Path, idle: Wait, qtbot: Any
):
    press(viewer, K.Key_E, text="e")
    qtbot.waitUntil(viewer.editor.isVisible, timeout=20000)
    qtbot.keyClicks(viewer.editor.text, "a red thing")
    qtbot.keyClick(viewer.editor.text, K.Key_PageDown, CONTROL)
    idle(viewer)
    assert (pictures / "pic 1.txt").read_text(encoding="utf-8") == "a red thing"
    qtbot.waitUntil(lambda: viewer.editor.text.toPlainText() == "thing 2", timeout=20000)
    assert viewer.album.known[str(pictures / "pic 1.png")].captioned
    viewer.editor.text.setPlainText("")
    qtbot.keyClick(viewer.editor.text, K.Key_Return, CONTROL)
    idle(viewer)
    assert not (pictures / "pic 2.txt").exists()
    assert not viewer.editor.isVisible()
    press(viewer, K.Key_U, K.Key_U)
    idle(viewer)
    assert (pictures / "pic 2.txt").read_text() == "thing 2"
    assert not (pictures / "pic 1.txt").exists()


def test_a_caption_that_cannot_be_written_is_not_lost(
    viewer: Viewer, pictures: Path, idle: Wait, qtbot: Any, monkeypatch: Any
):
    def full(self: History, *_: object, **__: object) -> None:
        raise fail("disk_full", "The disk is full; make room and try again.")

    def edit(expected: str) -> None:
        # A second press while the text is being read changes nothing.
        press(viewer, K.Key_E, K.Key_E, text="e")
        qtbot.waitUntil(viewer.editor.isVisible, timeout=20000)
        assert viewer.editor.text.toPlainText() == expected

    with monkeypatch.context() as context:
        context.setattr(History, "write_texts", full)
        edit("")
        viewer.editor.text.setPlainText("two 猫\nlines")
        qtbot.keyClick(viewer.editor.text, K.Key_Return, CONTROL)
        idle(viewer)
    assert "What you typed is there" in viewer.notice.text
    assert not (pictures / "pic 1.txt").exists()
    edit("two 猫\nlines")
    qtbot.keyClick(viewer.editor.text, K.Key_Return, CONTROL)
    idle(viewer)
    assert (pictures / "pic 1.txt").read_text(encoding="utf-8") == "two 猫\nlines"
    assert not viewer.judge.unwritten


def test_a_caption_that_another_program_changed_is_not_overwritten(
    viewer: Viewer, pictures: Path, idle: Wait, qtbot: Any
):
    caption = pictures / "pic 2.txt"

    def edit(expected: str) -> None:
        press(viewer, K.Key_E, text="e")
        qtbot.waitUntil(viewer.editor.isVisible, timeout=20000)
        assert viewer.editor.text.toPlainText() == expected

    press(viewer, K.Key_Right)
    edit("thing 2")
    caption.write_text("another program's")
    viewer.editor.text.setPlainText("mine")
    qtbot.keyClick(viewer.editor.text, K.Key_Return, CONTROL)
    idle(viewer)
    assert "changed by another program" in viewer.notice.text
    assert caption.read_text() == "another program's"
    edit("mine")
    qtbot.keyClick(viewer.editor.text, K.Key_Return, CONTROL)
    # At once, before the file has been read again.
    edit("mine")
    viewer.editor.text.setPlainText("mine, and more")
    qtbot.keyClick(viewer.editor.text, K.Key_Return, CONTROL)
    idle(viewer)
    assert caption.read_text() == "mine, and more"
    press(viewer, K.Key_U, K.Key_U)
    idle(viewer)
    assert caption.read_text() == "another program's"


def test_escape_leaves_the_caption_as_it_was(viewer: Viewer, pictures: Path, qtbot: Any):
    press(viewer, K.Key_Right)
    press(viewer, K.Key_Return)
    qtbot.waitUntil(viewer.editor.isVisible, timeout=20000)
    qtbot.keyClicks(viewer.editor.text, "nonsense")
    qtbot.keyClick(viewer.editor.text, K.Key_Escape)
    assert not viewer.editor.isVisible()
    assert (pictures / "pic 2.txt").read_text() == "thing 2"


def test_closing_saves_a_caption_that_is_being_written(
    viewers: Callable[..., Viewer], pictures: Path, qtbot: Any, shut: Callable[[Viewer], None]
):
    viewer = viewers(pictures)
    press(viewer, K.Key_E, text="e")
    qtbot.waitUntil(viewer.editor.isVisible, timeout=20000)
    qtbot.keyClicks(viewer.editor.text, "kept")
    shut(viewer)
    assert (pictures / "pic 1.txt").read_text() == "kept"


def test_next_without_caption(viewer: Viewer):
    press(viewer, K.Key_J, modifiers=CONTROL)
    assert name(viewer) == "pic 3.png"


def test_a_click_sets_the_focus_and_moves_the_crop(
    viewer: Viewer, pictures: Path, idle: Wait, painted: Wait, qtbot: Any
):
    painted(viewer)
    canvas = viewer.panes.current
    entry = viewer.album.current
    assert entry is not None

    def left() -> int:
        shown = viewer.describer.shown(entry, canvas, True)
        assert shown.placement is not None
        return shown.placement.crop[0]

    press(viewer, K.Key_O, text="o")
    before = left()
    target = canvas.target()
    at = target.topLeft() + (target.bottomRight() - target.topLeft()) * 0.25
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=at.toPoint())
    idle(viewer)
    focus = read_notes(pictures)["pic 1.png"].focus
    assert focus == pytest.approx((0.25, 0.25), abs=0.01)
    assert left() <= before
    press(viewer, K.Key_Escape)
    assert not canvas.picks
    press(viewer, K.Key_O, modifiers=Qt.KeyboardModifier.ShiftModifier, text="O")
    idle(viewer)
    assert read_notes(pictures) == {}


def test_what_training_sees_is_told(viewer: Viewer, painted: Wait, qtbot: Any):
    painted(viewer)
    press(viewer, K.Key_B, text="b")
    press(viewer, K.Key_I, text="i")
    canvas, entry = viewer.panes.current, viewer.album.current
    shown = viewer.describer.shown(entry, canvas, True)
    assert shown.placement is not None and shown.placement.upscaled
    assert any("small" in badge.text for badge in shown.badges)
    assert any("592 x 440" in line for line in shown.lines)


def test_tokens_and_sharpness_come_from_the_helper(viewer: Viewer, painted: Wait, qtbot: Any):
    painted(viewer)
    press(viewer, K.Key_Right)
    path = viewer.album.current.path  # type: ignore[union-attr]
    qtbot.waitUntil(
        lambda: (
            (viewer.facts.get(path) or object) is not object
            and viewer.facts.get(path).sharpness is not None
        ),  # type: ignore[union-attr]
        timeout=60000,
    )
    facts = viewer.facts.get(path)
    assert facts is not None
    assert facts.caption == "thing 2"
    assert facts.tokens == 2
    assert facts.sharpness == pytest.approx(0.0, abs=1e-6)


def test_near_duplicates_stand_together_and_are_only_marked(
    viewers: Callable[..., Viewer], tmp_path: Path, idle: Wait, qtbot: Any
):
    from PIL import Image

    folder = tmp_path / "near"
    folder.mkdir()
    for number in range(3):
        image = Image.effect_noise((64, 64), 90).resize((256, 256))
        image.save(folder / f"{number}.png")
        if number == 1:
            image.resize((400, 400)).save(folder / "9.png")
    viewer = viewers(folder)
    press(viewer, K.Key_G, text="g")
    qtbot.waitUntil(lambda: viewer.album.order == "similarity", timeout=60000)
    assert [e.name for e in viewer.album.entries()][:2] == ["9.png", "1.png"]
    assert name(viewer) == "9.png"
    viewer.notice._clicked()
    idle(viewer)
    assert {n: note.mark for n, note in read_notes(folder).items()} == {"1.png": "reject"}
    assert len(list(folder.glob("*.png"))) == 4
    press(viewer, K.Key_U)
    idle(viewer)
    assert read_notes(folder) == {}
    viewer.album.go(1)
    press(viewer, K.Key_Delete)
    idle(viewer)
    assert name(viewer) != "1.png"
    press(viewer, K.Key_U)
    idle(viewer)
    # Back in its group, not behind all others.
    assert (name(viewer), viewer.album.position) == ("1.png", 1)


def test_dark_and_burnt_out_pictures_are_found(
    viewers: Callable[..., Viewer], tmp_path: Path, qtbot: Any
):
    from PIL import Image

    folder = tmp_path / "light"
    folder.mkdir()
    for stem, grey in (("a", 255), ("b", 120), ("c", 3)):
        Image.new("L", (600, 600), grey).save(folder / f"{stem}.png")
    viewer = viewers(folder)
    viewer.commands.orders.choose("brightness", False)
    qtbot.waitUntil(lambda: viewer.album.order == "brightness", timeout=60000)
    assert [entry.name for entry in viewer.album.entries()] == ["c.png", "b.png", "a.png"]
    viewer.album.go(0)
    viewer.describer.shows_info = True

    def told() -> tuple[str, str, str]:
        shown = viewer.describer.shown(viewer.album.current, viewer.panes.current, True)
        warnings = [badge.text for badge in shown.badges if badge.kind == "warning"]
        return name(viewer), shown.lines[-1], warnings[-1] if warnings else ""

    said = []
    for _ in range(3):
        qtbot.waitUntil(lambda: all(told()), timeout=60000)
        said.append(told())
        press(viewer, K.Key_Right)
    assert said == [
        ("c.png", "Brightness\t1 % · 100 % black", "very dark"),
        ("b.png", "Brightness\t47 %", "blurred"),
        ("a.png", "Brightness\t100 % · 100 % white", "very bright"),
    ]


def test_measuring_can_be_stopped(viewer: Viewer, qtbot: Any):
    viewer.commands.orders.choose("sharpness", False)
    assert viewer.survey.running == "measures"
    viewer.survey.cancel()
    assert viewer.survey.running is None
    assert viewer.album.order == "name"
    assert "stopped" in viewer.notice.text


def test_the_filter_shows_only_what_matches(viewer: Viewer, idle: Wait):
    press(viewer, K.Key_K, K.Key_Right, K.Key_X)
    viewer.commands.set_filter("unmarked")
    assert len(viewer.album) == 10
    viewer.commands.set_filter("rejected")
    assert name(viewer) == "pic 3.png"
    press(viewer, K.Key_U)
    idle(viewer)
    assert viewer.album.known[viewer.album.current.path].note.mark == ""  # type: ignore[union-attr]


def test_closing_waits_for_changes_under_way(
    viewers: Callable[..., Viewer], pictures: Path, qtbot: Any, monkeypatch: Any
):
    import threading

    gate = threading.Event()
    delete = History.delete

    def slow(self: History, paths: Any) -> Any:
        assert gate.wait(20)
        return delete(self, paths)

    monkeypatch.setattr(History, "delete", slow)
    viewer = viewers(pictures)
    press(viewer, K.Key_Delete)
    closed: list[bool] = []
    viewer.closed.connect(lambda: closed.append(True))
    viewer.close()
    assert closed == [] and "Finishing" in viewer.notice.text
    gate.set()
    qtbot.waitUntil(lambda: closed == [True], timeout=20000)
    assert not (pictures / "pic 1.png").exists()


def test_moving_kept_pictures_into_their_own_folder_says_that_nothing_moved(
    viewer: Viewer, pictures: Path, idle: Wait, monkeypatch: Any, tmp_path: Path
):
    link = tmp_path / "link"
    try:
        link.symlink_to(pictures, target_is_directory=True)
    except OSError:  # Windows lets only some users make links
        link = pictures
    press(viewer, K.Key_K, K.Key_K)
    idle(viewer)
    before = sorted(p.name for p in pictures.iterdir())
    for folder in (pictures, link):
        answer = type("Chosen", (Answered,), {"choice": "move", "folder": folder})
        monkeypatch.setattr(commands, "KeptDialog", answer)
        viewer.commands.run("take_kept")
        idle(viewer)
        assert "nothing was copied or moved" in viewer.notice.text
        assert len(viewer.album) == 12
        assert sorted(p.name for p in pictures.iterdir()) == before


def test_what_is_typed_right_after_the_key_of_the_editor_goes_into_the_caption(
    viewer: Viewer, pictures: Path, idle: Wait, qtbot: Any
):
    """`k` and `x` would keep and reject pictures if they reached the commands."""
    viewer.facts.forget(str(pictures / "pic 1.png"))
    press(viewer, K.Key_E, text="e")
    assert viewer.editor.isVisible() and viewer.editor.path == str(pictures / "pic 1.png")
    assert viewer.focusWidget() is viewer.editor.text
    qtbot.keyClicks(viewer.focusWidget(), "kux")
    qtbot.keyClick(viewer.editor.text, K.Key_PageDown, CONTROL)
    # The next picture's text is there at once too.
    assert viewer.editor.path == str(pictures / "pic 2.png")
    qtbot.keyClicks(viewer.focusWidget(), ", kept")
    qtbot.keyClick(viewer.editor.text, K.Key_Return, CONTROL)
    idle(viewer)
    assert (pictures / "pic 1.txt").read_text(encoding="utf-8") == "kux"
    assert (pictures / "pic 2.txt").read_text(encoding="utf-8") == "thing 2, kept"
    assert not any(note.mark for note in read_notes(pictures).values())
