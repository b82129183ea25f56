"""Everything by mouse alone, by keyboard alone and by touchpad alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PySide6.QtCore import QPoint, QPointF, Qt, QTimer
from PySide6.QtGui import QInputDevice, QNativeGestureEvent, QPointingDevice, QWheelEvent
from PySide6.QtWidgets import QApplication, QMenu

from app.viewer import keys
from app.viewer.canvas import Canvas
from app.viewer.view import FIT
from app.viewer.window import Viewer
from core.culling.notes import read_notes
from tests.viewer.driving import CONTROL, NONE, name, press

K = Qt.Key
SHIFT = Qt.KeyboardModifier.ShiftModifier
NO_PHASE = Qt.ScrollPhase.NoScrollPhase
FINGERS, GLIDE = Qt.ScrollPhase.ScrollUpdate, Qt.ScrollPhase.ScrollMomentum
Wait = Callable[[Viewer], None]


@pytest.fixture
def touchpad() -> QPointingDevice:
    """A touchpad as the window system announces it."""
    return QPointingDevice(
        "touchpad",
        1,
        QInputDevice.DeviceType.TouchPad,
        QPointingDevice.PointerType.Finger,
        QInputDevice.Capability.Scroll,
        5,
        3,
    )


def turn(
    canvas: Canvas,
    angle: tuple[int, int],
    pixels: tuple[int, int] = (0, 0),
    phase: Qt.ScrollPhase = NO_PHASE,
    modifiers: Qt.KeyboardModifier = NONE,
    device: QPointingDevice | None = None,
) -> None:
    """Turn a wheel, or move two fingers, over the middle of a pane."""
    middle = QPointF(canvas.rect().center())
    more = () if device is None else (Qt.MouseEventSource.MouseEventNotSynthesized, device)
    event = QWheelEvent(
        middle,
        canvas.mapToGlobal(middle),
        QPoint(*pixels),
        QPoint(*angle),
        Qt.MouseButton.NoButton,
        modifiers,
        phase,
        False,
        *more,
    )
    QApplication.sendEvent(canvas, event)


def pinch(
    canvas: Canvas, device: QPointingDevice, kind: Qt.NativeGestureType, value: float, at: QPointF
) -> None:
    """A gesture of two fingers as the window system tells it."""
    over = canvas.mapToGlobal(at)
    event = QNativeGestureEvent(kind, device, 2, at, at, over, value, QPointF())
    QApplication.sendEvent(canvas, event)


# --- mouse -------------------------------------------------------------------


def in_menu(viewer: Viewer, act: Callable[[QMenu], None], ask: Callable[[], object]) -> None:
    """Do something with the menu that `ask` opens, and close it."""

    def look() -> None:
        menu = QApplication.activePopupWidget()
        if not isinstance(menu, QMenu):
            QTimer.singleShot(20, look)
            return
        try:
            act(menu)
        finally:
            menu.close()

    QTimer.singleShot(20, look)
    ask()


def test_the_menu_has_every_command(viewer: Viewer, painted: Wait):
    painted(viewer)
    words: set[str] = set()

    def read(menu: QMenu) -> None:
        inner = [a for top in menu.actions() if top.menu() for a in top.menu().actions()]
        words.update(action.text().partition("\t")[0] for action in inner)

    in_menu(viewer, read, lambda: viewer.panes.current.menuAsked.emit(QPoint(5, 5)))
    assert {keys.title(c) for c in keys.COMMANDS if c.name != "menu"} <= words


def test_order_and_filter_are_chosen_from_menus(viewer: Viewer, pictures: Path, qtbot: Any):
    def choose(text: str) -> Callable[[QMenu], None]:
        return lambda menu: next(a for a in menu.actions() if text in a.text()).trigger()

    in_menu(viewer, choose("other way"), lambda: viewer.bar.buttons["sort"].click())
    assert viewer.album.at(0).name == "pic 12.png"
    in_menu(viewer, choose("Without caption"), lambda: press(viewer, K.Key_Y, text="y"))
    assert [entry.name for entry in viewer.album.entries()][:2] == ["pic 11.png", "pic 9.png"]


def test_a_notch_of_a_mouse_wheel_is_a_picture_also_where_pixels_are_told(viewer: Viewer):
    canvas = viewer.panes.current
    turn(canvas, (0, -120), pixels=(0, -15))  # X11 does
    assert name(viewer) == "pic 2.png"
    turn(canvas, (0, -240), pixels=(0, -30))
    assert name(viewer) == "pic 4.png"
    turn(canvas, (0, 60))
    turn(canvas, (0, 60))  # a wheel with half notches
    assert name(viewer) == "pic 3.png"


def test_the_wheel_goes_on_also_over_a_zoomed_picture(viewer: Viewer, painted: Wait):
    painted(viewer)
    viewer.panes.current.zoom_to(8.0)
    turn(viewer.panes.current, (0, -120), pixels=(0, -15))
    assert name(viewer) == "pic 2.png"


def test_the_box_for_jumping_closes_by_mouse(viewer: Viewer, qtbot: Any):
    viewer.commands.run("jump")
    close = viewer.jump.findChild(type(viewer.bar.buttons["info"]))
    qtbot.mouseClick(close, Qt.MouseButton.LeftButton)
    assert not viewer.jump.isVisible()
    assert name(viewer) == "pic 1.png"


# --- keyboard ----------------------------------------------------------------


def test_every_command_has_a_key(viewer: Viewer):
    assert all(viewer.keymap.keys.values())


@pytest.mark.parametrize(("key", "modifiers"), [(K.Key_Menu, NONE), (K.Key_F10, SHIFT)])
def test_the_menu_opens_by_key(viewer: Viewer, key: Qt.Key, modifiers: Qt.KeyboardModifier):
    seen: list[int] = []
    ask = lambda: press(viewer, key, modifiers=modifiers)  # noqa: E731
    in_menu(viewer, lambda menu: seen.append(len(menu.actions())), ask)
    assert seen and seen[0] > 5


def test_the_focus_is_set_with_arrow_keys(
    viewer: Viewer, pictures: Path, painted: Wait, idle: Wait
):
    painted(viewer)
    entry, canvas = viewer.album.current, viewer.panes.current
    press(viewer, K.Key_O, text="o")
    assert viewer.describer.shown(entry, canvas, True).focus == (0.5, 0.5)
    press(viewer, *[K.Key_Left] * 5, K.Key_Down)
    press(viewer, K.Key_Left, modifiers=SHIFT)
    assert name(viewer) == "pic 1.png"
    assert viewer.describer.shown(entry, canvas, True).focus == (0.3, 0.52)
    idle(viewer)
    assert read_notes(pictures) == {}  # nothing before it is chosen
    press(viewer, K.Key_Return)
    press(viewer, *[K.Key_Up] * 3)
    press(viewer, K.Key_Escape)
    idle(viewer)
    assert read_notes(pictures)["pic 1.png"].focus == pytest.approx((0.3, 0.52))
    assert not canvas.picks
    press(viewer, K.Key_U, text="u")
    idle(viewer)
    assert read_notes(pictures) == {}  # one step


def test_escape_stops_measuring_and_closes_what_went_wrong(viewer: Viewer):
    press(viewer, K.Key_G, text="g")
    assert viewer.survey.running == "similarity"
    press(viewer, K.Key_Escape)
    assert viewer.survey.running is None
    assert viewer.isVisible()
    viewer.notice.problem("The disk is full.")
    press(viewer, K.Key_Escape)
    assert viewer.notice.text == ""
    assert viewer.isVisible()


def test_near_duplicates_are_rejected_by_key_but_no_judged_one(
    viewers: Callable[..., Viewer], tmp_path: Path, idle: Wait, qtbot: Any, painted: Wait
):
    folder = tmp_path / "near"
    folder.mkdir()
    image = Image.effect_noise((64, 64), 90).resize((256, 256))
    for number, side in enumerate((256, 300, 400)):
        image.resize((side, side)).save(folder / f"{number}.png")
    viewer = viewers(folder)
    press(viewer, K.Key_G, modifiers=SHIFT, text="G")
    assert "G looks for them" in viewer.notice.text
    press(viewer, K.Key_K, text="k")
    press(viewer, K.Key_G, text="g")
    qtbot.waitUntil(lambda: viewer.album.order == "similarity", timeout=60000)
    painted(viewer)
    assert name(viewer) == "2.png"
    badges = viewer.describer.shown(viewer.album.current, viewer.panes.current, True).badges
    assert any("suggested to keep (most pixels)" in badge.text for badge in badges)
    # The one that is kept by hand is not in question any more.
    assert [entry.name for entry in viewer.nav.slots if entry] == ["2.png", "1.png"]
    assert len(viewer.panes.canvases) == 2
    press(viewer, K.Key_G, modifiers=SHIFT, text="G")
    idle(viewer)
    assert len(viewer.panes.canvases) == 1
    marks = {name: note.mark for name, note in read_notes(folder).items()}
    assert marks == {"0.png": "keep", "1.png": "reject"}


def test_each_group_of_near_duplicates_is_shown_before_it_is_marked(
    viewers: Callable[..., Viewer], tmp_path: Path, idle: Wait, qtbot: Any
):
    folder = tmp_path / "near"
    folder.mkdir()
    sizes = {"a": (256, 300, 400), "b": (256, 300), "c": range(256, 262)}
    for letter, sides in sizes.items():
        image = Image.effect_noise((64, 64), 90).resize((256, 256))
        for side in sides:
            image.resize((side, side)).save(folder / f"{letter}{side}.png")
    viewer = viewers(folder)

    def shown() -> list[str]:
        return [entry.name for entry in viewer.nav.slots if entry]

    press(viewer, K.Key_G, text="g")
    qtbot.waitUntil(lambda: viewer.album.order == "similarity", timeout=60000)
    assert shown() == ["a400.png", "a256.png", "a300.png"]
    assert viewer.notice.text.startswith("Group 1 of 3: keep a400.png (most pixels). G shows")
    assert read_notes(folder) == {}
    press(viewer, K.Key_G, text="g")
    assert shown() == ["b300.png", "b256.png"]
    viewer.notice._clicked()
    idle(viewer)
    assert set(read_notes(folder)) == {"b256.png"}
    # A group of six comes in two parts, its best picture in both.
    assert shown() == ["c261.png", "c256.png", "c257.png", "c258.png"]
    press(viewer, K.Key_G, modifiers=SHIFT, text="G")
    idle(viewer)
    assert shown() == ["c261.png", "c259.png", "c260.png"]
    press(viewer, K.Key_G, modifiers=SHIFT, text="G")
    idle(viewer)
    assert len(viewer.panes.canvases) == 1
    # What was passed over is not marked.
    rejected = {name for name, note in read_notes(folder).items() if note.mark == "reject"}
    assert rejected == {"b256.png", *(f"c{side}.png" for side in range(256, 261))}
    press(viewer, K.Key_G, modifiers=SHIFT, text="G")
    assert shown() == ["a400.png", "a256.png", "a300.png"]


def test_changed_keys_are_told_by_the_buttons(
    viewers: Callable[..., Viewer], viewer: Viewer, pictures: Path, qtbot: Any
):
    def change() -> None:
        dialog = QApplication.activeModalWidget()
        dialog.ask(keys.BY_NAME["reject"])
        qtbot.keyClick(dialog, K.Key_D)
        dialog.close()

    QTimer.singleShot(50, change)
    press(viewer, K.Key_F1)
    assert viewer.bar.buttons["reject"].toolTip().endswith("(D)")
    press(viewer, K.Key_D, text="d")
    first = viewer.album.known[str(pictures / "pic 1.png")]
    assert first.note.mark == "reject"
    another = viewers(pictures)
    assert another.bar.buttons["reject"].toolTip().endswith("(D)")
    press(viewer, K.Key_Return, modifiers=CONTROL | SHIFT)
    assert "K marks" in viewer.notice.text


# --- touchpad ----------------------------------------------------------------


def test_a_swipe_of_two_fingers_turns_one_picture(viewer: Viewer):
    canvas = viewer.panes.current
    for _ in range(12):
        turn(canvas, (0, -21), (0, -7), FINGERS)
    assert name(viewer) == "pic 2.png"
    for _ in range(40):
        turn(canvas, (0, -21), (0, -7), GLIDE)  # no finger is there any more
    assert name(viewer) == "pic 2.png"
    turn(canvas, (0, 0), phase=Qt.ScrollPhase.ScrollBegin)
    for _ in range(12):
        turn(canvas, (-21, 2), (-7, 1), FINGERS)  # sideways, as nobody's finger goes straight
    assert name(viewer) == "pic 3.png"


def test_touchpads_without_phases_are_known_by_their_device_or_amounts(
    viewer: Viewer, touchpad: QPointingDevice
):
    canvas = viewer.panes.current
    turn(canvas, (0, -120), device=touchpad)
    assert name(viewer) == "pic 1.png"
    turn(canvas, (0, -120), device=touchpad)
    assert name(viewer) == "pic 2.png"
    for _ in range(3):
        turn(canvas, (0, -80), (0, -10))
    assert name(viewer) == "pic 3.png"


def test_two_fingers_move_a_zoomed_picture(
    viewer: Viewer, painted: Wait, touchpad: QPointingDevice
):
    painted(viewer)
    canvas = viewer.panes.current
    canvas.zoom_to(8.0)
    before = canvas.target().topLeft()
    turn(canvas, (-40, -60), (-20, -30), FINGERS)
    turn(canvas, (0, -60), device=touchpad)
    moved = canvas.target().topLeft() - before
    assert (moved.x(), moved.y()) == pytest.approx((-20, -60), abs=1.5)
    assert name(viewer) == "pic 1.png"


def test_a_pinch_zooms_at_the_fingers(viewer: Viewer, painted: Wait, touchpad: QPointingDevice):
    painted(viewer)
    canvas = viewer.panes.current
    fitted, at = canvas.scale(), QPointF(300, 200)
    before = canvas.target()
    for _ in range(4):
        pinch(canvas, touchpad, Qt.NativeGestureType.ZoomNativeGesture, 0.25, at)
    assert canvas.scale() == pytest.approx(fitted * 1.25**4)
    after = canvas.target()
    for place in (before, after):
        assert place.contains(at)
    share = (at.x() - before.left()) / before.width()
    assert (at.x() - after.left()) / after.width() == pytest.approx(share, abs=0.01)
    pinch(canvas, touchpad, Qt.NativeGestureType.SmartZoomNativeGesture, 1.0, at)
    assert canvas.view == FIT
