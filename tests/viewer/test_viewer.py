"""Driving the viewer with keys and mouse."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PySide6.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
from PySide6.QtGui import QCursor, QDropEvent, QImageReader, QMouseEvent, QWheelEvent
from PySide6.QtWidgets import QApplication, QMenu

from app import prefs, theme
from app.viewer import decode
from app.viewer.dialogs import KeptDialog, RejectedDialog
from app.viewer.keys_dialog import KeysDialog
from app.viewer.view import FIT
from app.viewer.window import Viewer
from core.paths import default_runs_dir
from core.runs import lock
from core.runs.folder import RunFolder
from tests.viewer.driving import CONTROL, NONE, name, press

K = Qt.Key
Wait = Callable[[Viewer], None]


def test_keys_go_through_the_pictures(viewer: Viewer, painted: Wait):
    painted(viewer)
    assert name(viewer) == "pic 1.png"
    press(viewer, K.Key_Right, K.Key_Space, K.Key_N)
    assert name(viewer) == "pic 4.png"
    press(viewer, K.Key_Left, K.Key_Backspace)
    assert name(viewer) == "pic 2.png"
    press(viewer, K.Key_End)
    assert name(viewer) == "pic 12.png"
    press(viewer, K.Key_Right)
    assert name(viewer) == "pic 12.png"
    press(viewer, K.Key_PageUp)
    assert name(viewer) == "pic 2.png"
    press(viewer, K.Key_Home)
    painted(viewer)
    assert name(viewer) == "pic 1.png"


def test_the_newest_picture_is_drawn_when_keys_come_faster(viewer: Viewer, painted: Wait):
    drawn: list[str] = []
    painted(viewer)
    viewer.pictureShown.connect(lambda path, stage: drawn.append(Path(path).name))
    press(viewer, *[K.Key_Right] * 9)
    painted(viewer)
    assert drawn[-1] == "pic 10.png"
    assert len(drawn) <= 2


def test_a_held_key_waits_for_the_picture(viewer: Viewer, painted: Wait, monkeypatch: Any):
    painted(viewer)
    monkeypatch.setattr("app.viewer.navigator.HOLD_WAIT", 1e9)
    press(viewer, *[K.Key_Right] * 5, repeats=True)
    assert name(viewer) == "pic 2.png"  # the others came before it was drawn
    painted(viewer)
    press(viewer, K.Key_Right, repeats=True)
    assert name(viewer) == "pic 3.png"
    press(viewer, K.Key_1, text="1", repeats=True)
    assert viewer.album.current is not None and viewer.album.current.note.stars == 0


def test_the_gui_thread_never_reads_a_picture(
    viewers: Callable[..., Viewer], pictures: Path, qtbot: Any, monkeypatch: Any, painted: Wait
):
    threads: set[threading.Thread] = set()

    class Spy(QImageReader):
        def read(self) -> Any:
            threads.add(threading.current_thread())
            return super().read()

    monkeypatch.setattr(decode, "QImageReader", Spy)
    Image.effect_noise((500, 400), 50).convert("RGB").save(pictures / "pic 3.avif")
    viewer = viewers(pictures)
    for _ in range(6):
        press(viewer, K.Key_Right)
        painted(viewer)
    press(viewer, K.Key_Asterisk, text="*")
    press(viewer, K.Key_C, text="c")
    qtbot.waitUntil(lambda: all(canvas.is_drawn for canvas in viewer.panes.canvases))
    assert threads
    assert threading.main_thread() not in threads


def test_the_first_picture_is_shown_before_the_list_is_there(
    viewers: Callable[..., Viewer], pictures: Path, qtbot: Any, monkeypatch: Any
):
    from app.viewer import live

    scan, gate = live.scan, threading.Event()

    def slow(source: Any, stopped: Any, first: Any) -> Any:
        result = scan(source, stopped, first)
        assert gate.wait(20)
        return result

    monkeypatch.setattr(live, "scan", slow)
    viewer = viewers(pictures, wait=False)
    qtbot.waitUntil(lambda: viewer.panes.current.is_drawn, timeout=20000)
    assert name(viewer) == "pic 1.png"
    assert not viewer.is_listed
    gate.set()
    qtbot.waitUntil(lambda: viewer.is_listed)
    assert len(viewer.album) == 12
    assert name(viewer) == "pic 1.png"


def test_starting_with_a_picture(viewers: Callable[..., Viewer], pictures: Path):
    viewer = viewers(pictures, start=pictures / "pic 7.png")
    assert name(viewer) == "pic 7.png"
    assert viewer.album.position == 6


def test_zoom_keys_and_double_click(viewer: Viewer, painted: Wait):
    painted(viewer)
    canvas = viewer.panes.current
    fitted = canvas.scale()
    assert fitted > 1
    press(viewer, K.Key_Asterisk, text="*")
    assert canvas.scale() == 1.0
    press(viewer, K.Key_Plus, text="+")
    assert canvas.scale() == pytest.approx(1.25)
    press(viewer, K.Key_Minus, text="-")
    press(viewer, K.Key_Slash, text="/")
    assert canvas.view == FIT
    press(viewer, K.Key_Z, text="z")
    assert canvas.scale() == 1.0
    press(viewer, K.Key_Right)
    assert viewer.panes.current.view == FIT
    press(viewer, K.Key_L, K.Key_Asterisk, text="*")
    viewer.panes.locked = True
    view = viewer.panes.current.view
    press(viewer, K.Key_Right)
    assert viewer.panes.current.view == view


def test_the_wheel_goes_on_and_zooms_with_control(viewer: Viewer, painted: Wait):
    painted(viewer)
    canvas = viewer.panes.current

    def turn(amount: int, modifiers: Qt.KeyboardModifier = NONE, pixels: int = 0) -> None:
        middle = QPointF(canvas.rect().center())
        event = QWheelEvent(
            middle,
            canvas.mapToGlobal(middle),
            QPoint(0, pixels),
            QPoint(0, amount),
            Qt.MouseButton.NoButton,
            modifiers,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(canvas, event)

    turn(-120)
    assert name(viewer) == "pic 2.png"
    turn(120)
    assert name(viewer) == "pic 1.png"
    painted(viewer)
    before = canvas.scale()
    turn(120, CONTROL)
    assert canvas.scale() == pytest.approx(before * 1.25)
    for _ in range(3):
        turn(120, CONTROL)
    place = canvas.view
    turn(-60, pixels=-30)
    assert canvas.view != place  # two fingers move a zoomed picture
    assert name(viewer) == "pic 1.png"


def test_dragging_moves_a_zoomed_picture(viewer: Viewer, painted: Wait, qtbot: Any):
    painted(viewer)
    canvas = viewer.panes.current
    canvas.zoom_to(8.0)
    before = canvas.target().topLeft()
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=QPoint(400, 300))
    for x, y in ((390, 295), (350, 280)):
        point = QPointF(x, y)
        event = QMouseEvent(
            QEvent.Type.MouseMove,
            point,
            canvas.mapToGlobal(point),
            Qt.MouseButton.NoButton,
            Qt.MouseButton.LeftButton,
            NONE,
        )
        QApplication.sendEvent(canvas, event)
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=QPoint(350, 280))
    moved = canvas.target().topLeft() - before
    assert (moved.x(), moved.y()) == pytest.approx((-50, -20), abs=1.5)


def test_compare_two_and_four_with_linked_zoom(viewer: Viewer, painted: Wait, qtbot: Any):
    painted(viewer)
    press(viewer, K.Key_C, text="c")
    assert [e.name for e in viewer.nav.slots if e] == ["pic 1.png", "pic 2.png"]
    qtbot.waitUntil(lambda: all(c.is_drawn for c in viewer.panes.canvases))
    viewer.panes.current.zoom_to(3.0, QPointF(100, 100))
    first, second = viewer.panes.canvases
    assert first.view == second.view and first.view.mode == "free"
    press(viewer, K.Key_Tab)
    assert name(viewer) == "pic 2.png"
    press(viewer, K.Key_Right)
    assert [e.name for e in viewer.nav.slots if e] == ["pic 1.png", "pic 3.png"]
    press(viewer, K.Key_C, text="c")
    assert len(viewer.panes.canvases) == 4
    assert name(viewer) == "pic 3.png"
    press(viewer, K.Key_Escape)  # to fit
    press(viewer, K.Key_Escape)
    assert len(viewer.panes.canvases) == 1
    assert name(viewer) == "pic 3.png"


def test_in_compare_the_active_picture_is_deleted(
    viewer: Viewer, painted: Wait, idle: Wait, pictures: Path
):
    painted(viewer)
    press(viewer, K.Key_C, text="c")
    press(viewer, K.Key_Tab, K.Key_Delete)
    idle(viewer)
    assert not (pictures / "pic 2.png").exists()
    assert (pictures / "pic 1.png").exists()
    shown = [e.name for e in viewer.nav.slots if e]
    assert shown[0] == "pic 1.png" and shown[1] == "pic 3.png"


@pytest.mark.parametrize("active", [0, 1, 2, 3])
def test_in_compare_no_picture_is_ever_in_two_panes(viewer: Viewer, idle: Wait, active: int):
    press(viewer, K.Key_C, K.Key_C)
    press(viewer, *[K.Key_Tab] * active)
    kept = [e.name for n, e in enumerate(viewer.nav.slots) if e and n != active]
    for left in range(11, -1, -1):
        press(viewer, K.Key_Delete)
        shown = [e.name for e in viewer.nav.slots if e]
        assert len(shown) == len(set(shown)) == min(4, left)
        if left >= 4:  # the others stay where they are, and the next key is for the same pane
            assert viewer.panes.active == active
            assert [e.name for n, e in enumerate(viewer.nav.slots) if e and n != active] == kept
        if left:
            assert viewer.nav.slots[viewer.panes.active] is viewer.album.current
    idle(viewer)


def test_in_compare_going_to_a_picture_that_is_shown_goes_to_its_pane(viewer: Viewer):
    press(viewer, K.Key_C, K.Key_Tab, K.Key_Home)
    assert [e.name for e in viewer.nav.slots if e] == ["pic 1.png", "pic 2.png"]
    assert (viewer.panes.active, name(viewer)) == (0, "pic 1.png")


def test_a_folder_that_is_filled_without_a_pause_is_shown_meanwhile(
    viewer: Viewer, pictures: Path, qtbot: Any, idle: Wait
):
    idle(viewer)
    enough = threading.Event()

    def fill() -> None:
        for number in range(100, 2000):
            shutil.copy(pictures / "pic 9.png", pictures / f"pic {number}.png")
            if enough.wait(0.05):
                return

    filling = threading.Thread(target=fill)
    filling.start()
    try:
        qtbot.waitUntil(lambda: len(viewer.album) > 30, timeout=30000)
        assert filling.is_alive()
        assert name(viewer) == "pic 1.png"
    finally:
        enough.set()
        filling.join()


def test_an_empty_folder_says_so_and_fills(
    viewers: Callable[..., Viewer], tmp_path: Path, pictures: Path, qtbot: Any
):
    folder = tmp_path / "new"
    folder.mkdir()
    viewer = viewers(folder)
    assert viewer.album.current is None
    message = viewer.describer.shown(None, viewer.panes.current, True).message
    assert message is not None and "no pictures" in message[1]
    press(viewer, K.Key_C)
    assert viewer.notice.text == "There are no pictures to compare."
    for key in (K.Key_Right, K.Key_Delete, K.Key_K, K.Key_Z, K.Key_C, K.Key_E, K.Key_End):
        press(viewer, key)
    shutil.copy(pictures / "pic 2.png", folder / "x.png")
    qtbot.waitUntil(lambda: name(viewer) == "x.png", timeout=20000)


def test_a_folder_that_does_not_exist_says_so(viewers: Callable[..., Viewer], tmp_path: Path):
    viewer = viewers(tmp_path / "gone")
    message = viewer.describer.shown(None, viewer.panes.current, True).message
    assert message is not None and "does not exist" in message[1]


def test_a_dropped_folder_is_opened(viewer: Viewer, tmp_path: Path, pictures: Path, qtbot: Any):
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(pictures / "pic 2.png", other / "y.png")
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(other))])
    event = QDropEvent(
        QPointF(9, 9), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, NONE
    )
    viewer.dropEvent(event)
    qtbot.waitUntil(lambda: viewer.is_listed and name(viewer) == "y.png", timeout=20000)
    viewer.take_dropped([tmp_path / "nothing.txt"])
    assert "neither" in viewer.notice.text


def test_jumping_by_number_and_name(viewer: Viewer, qtbot: Any):
    press(viewer, K.Key_G, modifiers=CONTROL)
    assert viewer.jump.isVisible()
    qtbot.keyClicks(viewer.jump.line, "9")
    qtbot.keyClick(viewer.jump.line, K.Key_Return)
    assert name(viewer) == "pic 9.png"
    assert not viewer.jump.isVisible()
    viewer.commands.run("jump")
    qtbot.keyClicks(viewer.jump.line, "PIC 1")
    qtbot.keyClick(viewer.jump.line, K.Key_Down)
    qtbot.keyClick(viewer.jump.line, K.Key_Return)
    assert name(viewer) == "pic 10.png"


def test_the_slide_show_goes_on_and_stops_at_the_end(viewer: Viewer, qtbot: Any, painted: Wait):
    painted(viewer)
    viewer.commands.slides.set_seconds(1)
    press(viewer, K.Key_End, K.Key_Left)
    press(viewer, K.Key_H, text="h")
    assert viewer.commands.is_on("slideshow")
    qtbot.waitUntil(lambda: name(viewer) == "pic 12.png", timeout=20000)
    qtbot.waitUntil(lambda: not viewer.commands.is_on("slideshow"), timeout=20000)


def test_a_hundred_megapixels_are_shown(
    viewers: Callable[..., Viewer], tmp_path: Path, painted: Wait
):
    folder = tmp_path / "huge"
    folder.mkdir()
    Image.new("1", (10_000, 10_000), 1).save(folder / "huge.png")
    viewer = viewers(folder)
    painted(viewer)
    picture = viewer.panes.current.picture
    assert picture is not None
    assert picture.size.width() * picture.size.height() == 100_000_000
    assert picture.image.width() <= 800


def test_enormous_pictures_are_decoded_no_larger_than_they_are_seen(
    viewers: Callable[..., Viewer],
    tmp_path: Path,
    painted: Wait,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
):
    folder = tmp_path / "large"
    folder.mkdir()
    Image.effect_noise((3000, 2000), 40).save(folder / "large.png", compress_level=1)
    monkeypatch.setattr("app.viewer.navigator.LARGE_PIXELS", 1_000_000)
    viewer = viewers(folder)
    viewer.loader.set_budget(12_000_000)  # a third of what every pixel takes, to keep it from that
    painted(viewer)
    canvas = viewer.panes.current

    def width() -> int:
        return 0 if canvas.picture is None else canvas.picture.image.width()

    assert width() <= 800
    canvas.zoom_to(0.45)
    qtbot.waitUntil(lambda: width() == 1500, timeout=20000)
    canvas.zoom_to(1.0)
    qtbot.waitUntil(lambda: width() > 2000, timeout=20000)
    assert width() < 3000  # the memory's limit
    viewer.commands.set_memory(512)
    qtbot.waitUntil(lambda: width() == 3000, timeout=20000)
    assert canvas.scale() == 1.0


def test_buttons_and_menu_reach_everything(viewer: Viewer, painted: Wait, qtbot: Any):
    painted(viewer)
    over = viewer.panes.current.mapToGlobal
    QCursor.setPos(viewer.bar.mapToGlobal(QPoint(8, 8)))
    viewer.show_controls(False)
    assert viewer.bar.isVisible()
    QCursor.setPos(over(QPoint(200, 300)))
    qtbot.wait(50)
    viewer.show_controls(False)
    assert not viewer.bar.isVisible()
    QCursor.setPos(over(QPoint(320, 310)))
    qtbot.waitUntil(viewer.bar.isVisible)
    qtbot.mouseClick(viewer.bar.buttons["info"], Qt.MouseButton.LeftButton)
    assert viewer.describer.shows_info
    qtbot.mouseClick(viewer.sides[1], Qt.MouseButton.LeftButton)
    assert name(viewer) == "pic 2.png"
    qtbot.mouseClick(viewer.bar.stars, Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    current = viewer.album.current
    assert current is not None and current.note.stars == 1
    qtbot.mouseClick(viewer.bar.buttons["filmstrip"], Qt.MouseButton.LeftButton)
    assert viewer.strip.isVisible()
    viewer.bar.fit(500)
    assert viewer.bar.buttons["delete"].isVisibleTo(viewer.bar)
    assert not viewer.bar.buttons["help"].isVisibleTo(viewer.bar)


def test_the_film_strip_chooses(viewer: Viewer, painted: Wait, qtbot: Any):
    painted(viewer)
    viewer.strip.show()
    left, pitch = viewer.strip._left(), viewer.strip._pitch()
    at = QPoint(round(left + 4.5 * pitch), viewer.strip.height() // 2)
    qtbot.mouseClick(viewer.strip, Qt.MouseButton.LeftButton, pos=at)
    assert name(viewer) == "pic 5.png"


def test_a_folder_that_is_moved_away_is_told_and_may_come_back(
    viewer: Viewer, pictures: Path, tmp_path: Path, qtbot: Any
):
    pictures.rename(tmp_path / "elsewhere")
    viewer.folder.rescan()
    qtbot.waitUntil(lambda: "does not exist" in viewer.notice.text, timeout=20000)
    assert len(viewer.album) == 12
    (tmp_path / "elsewhere").rename(pictures)
    (pictures / "pic 12.png").unlink()
    viewer.folder.rescan()
    qtbot.waitUntil(lambda: len(viewer.album) == 11, timeout=20000)


def test_two_viewers_on_one_folder_agree(
    viewers: Callable[..., Viewer], pictures: Path, qtbot: Any, idle: Wait
):
    first, second = viewers(pictures), viewers(pictures)
    press(second, K.Key_K, K.Key_Right)
    press(first, K.Key_Right, K.Key_Delete)
    idle(first)
    idle(second)
    qtbot.waitUntil(lambda: len(second.album) == 11, timeout=20000)
    one = first.album.known[str(pictures / "pic 1.png")]
    qtbot.waitUntil(lambda: one.note.mark == "keep", timeout=20000)
    press(second, K.Key_U, K.Key_U)
    idle(second)
    qtbot.waitUntil(lambda: len(first.album) == 12, timeout=20000)
    assert (pictures / "pic 2.png").exists()


def test_the_menu_sets_the_memory_for_pictures(viewer: Viewer, qtbot: Any):
    viewer.commands.set_memory(1024)
    assert viewer.loader.budget == 1024 << 20
    assert prefs.text("viewer/memory_mb", "") == "1024"
    texts: list[str] = []

    def look() -> None:
        menu = QApplication.activePopupWidget()
        if not isinstance(menu, QMenu):
            QTimer.singleShot(20, look)
            return
        inner = [action for top in menu.actions() if top.menu() for action in top.menu().actions()]
        memory = next(a.menu() for a in inner if a.menu() and "emory" in a.text())
        texts.extend(a.text() for a in memory.actions() if a.isChecked())
        menu.close()

    QTimer.singleShot(20, look)
    viewer.commands.run("menu")
    assert texts == ["1024 MB"]


def test_dialogs_over_pictures_are_dark_in_the_light_theme(viewer: Viewer):
    theme.apply("light")
    try:
        dialog = KeysDialog(viewer.keymap, viewer)
        picture = dialog.grab().toImage()
        assert picture.pixelColor(4, 4).lightness() < 80
        assert theme.colours() == theme.LIGHT
    finally:
        theme.apply("dark")
    theme.darken(dialog)
    assert dialog.styleSheet() == ""


def test_no_dialog_is_larger_than_the_screen(viewer: Viewer, monkeypatch: pytest.MonkeyPatch):
    room = viewer.screen().availableSize()
    monkeypatch.setattr(theme, "em", lambda times=1.0: round(room.width() / 20 * times))
    entries = viewer.album.entries()
    for dialog in (
        KeysDialog(viewer.keymap, viewer),
        RejectedDialog(entries, viewer.store, viewer),
        KeptDialog(entries, viewer.store, viewer),
    ):
        assert dialog.width() <= room.width() and dialog.height() <= room.height()
        assert dialog.minimumSizeHint().height() < 400
        dialog.deleteLater()


def test_a_running_training_on_the_folder_is_told_once(
    viewers: Callable[..., Viewer], pictures: Path, qtbot: Any, idle: Wait
):
    run = RunFolder(default_runs_dir() / "2026-01-02_03-04-05-robot")
    run.path.mkdir(parents=True)
    run.job_file.write_text(json.dumps({"concepts": [{"path": str(pictures)}]}), encoding="utf-8")
    held = lock.acquire(run)
    assert held is not None
    try:
        viewer = viewers(pictures)
        qtbot.waitUntil(lambda: run.path.name in viewer.notice.text)
        viewer.commands.run("delete")
        idle(viewer)
        assert len(list(pictures.glob("*.png"))) == 11
        assert "is in the trash" in viewer.notice.text
    finally:
        held.release()
