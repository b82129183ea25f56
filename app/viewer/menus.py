"""Menus of the viewer: order, filter, and everything by the right mouse button."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PySide6.QtCore import QCoreApplication, QPoint
from PySide6.QtGui import QAction, QActionGroup, QCursor
from PySide6.QtWidgets import QMenu, QWidget

from app import theme
from app.viewer import keys
from app.viewer.album import FILTERS, ORDERS, Album, Order
from app.viewer.keys import KeyMap


def _tr(text: str) -> str:
    return QCoreApplication.translate("viewer", text)


def show(menu: QMenu, point: QPoint) -> None:
    """Show a menu until something is chosen; it is gone afterwards."""
    for one in (menu, *(a.menu() for a in menu.actions())):
        if isinstance(one, QMenu):
            theme.darken(one)
            for below in (a.menu() for a in one.actions()):
                if isinstance(below, QMenu):
                    theme.darken(below)
    menu.exec(point)
    menu.deleteLater()


def place_for(button: QWidget | None, window: QWidget) -> QPoint:
    """Where a menu belongs: below its button when that is seen, else at the pointer."""
    if button is not None and button.isVisible():
        return button.mapToGlobal(QPoint(0, button.height()))
    return QCursor.pos() if window.underMouse() else window.mapToGlobal(window.rect().center())


def order_title(order: Order) -> str:
    """An order's name."""
    return {
        "name": _tr("Name"),
        "date": _tr("Date"),
        "size": _tr("File size"),
        "pixels": _tr("Pixels"),
        "sharpness": _tr("Sharpness, blurred first"),
        "brightness": _tr("Brightness, dark first"),
        "similarity": _tr("Near-duplicates together"),
    }[order]


def filter_title(wanted: str) -> str:
    """A filter's name."""
    if wanted.startswith("stars"):
        return _tr("Stars: {0} or more").format(wanted[5:])
    return {
        "all": _tr("All"),
        "unmarked": _tr("Not marked"),
        "kept": _tr("Kept"),
        "rejected": _tr("Rejected"),
        "no_caption": _tr("Without caption"),
    }[wanted]


def sort_menu(album: Album, choose: Callable[[Order, bool], object], parent: QWidget) -> QMenu:
    """Orders, and whether the other way round; `choose(order, reversed)`."""
    menu = QMenu(parent)
    group = QActionGroup(menu)
    for order in ORDERS:
        action = menu.addAction(order_title(order))
        _checked(action, group, album.order == order)
        action.triggered.connect(lambda _=False, o=order: choose(o, album.reversed))
    menu.addSeparator()
    other = menu.addAction(_tr("The other way round"))
    other.setCheckable(True)
    other.setChecked(album.reversed)
    other.triggered.connect(lambda on: choose(album.order, on))
    return menu


def filter_menu(album: Album, choose: Callable[[str], object], parent: QWidget) -> QMenu:
    """What may be shown, each with its count; `choose(filter)`."""
    menu = QMenu(parent)
    group = QActionGroup(menu)
    for wanted in FILTERS:
        if wanted in ("stars1", "no_caption"):
            menu.addSeparator()
        action = menu.addAction(f"{filter_title(wanted)}\t{album.count(wanted)}")
        _checked(action, group, album.filter == wanted)
        action.triggered.connect(lambda _=False, w=wanted: choose(w))
    return menu


def _checked(action: QAction, group: QActionGroup, on: bool) -> None:
    action.setCheckable(True)
    action.setChecked(on)
    group.addAction(action)


def slideshow_menu(seconds: int, choose: Callable[[int], object], parent: QWidget) -> QMenu:
    """How long each picture of the slide show stays; `choose(seconds)`."""
    menu = QMenu(_tr("Seconds for each picture"), parent)
    group = QActionGroup(menu)
    for value in (1, 2, 3, 4, 5, 8, 10, 15, 20, 30):
        action = menu.addAction(str(value))
        _checked(action, group, value == seconds)
        action.triggered.connect(lambda _=False, v=value: choose(v))
    return menu


def memory_menu(megabytes: int, choose: Callable[[int], object], parent: QWidget) -> QMenu:
    """How much memory decoded pictures may take; `choose(megabytes)`."""
    menu = QMenu(_tr("Memory for decoded pictures"), parent)
    group = QActionGroup(menu)
    for value in sorted({256, 512, 1024, 2048, 4096, megabytes}):
        action = menu.addAction(_tr("{0} MB").format(value))
        _checked(action, group, value == megabytes)
        action.triggered.connect(lambda _=False, v=value: choose(v))
    return menu


def context_menu(
    keymap: KeyMap,
    run: Callable[[str], object],
    is_possible: Callable[[str], bool],
    is_on: Callable[[str], bool | None],
    below: Mapping[str, QMenu],
    parent: QWidget,
) -> QMenu:
    """Every command in groups with its key; is_on gives None for what is no switch.

    below: menus of settings by the command that they stand under.
    """
    menu = QMenu(parent)
    groups: dict[str, QMenu] = {}
    for command in keys.COMMANDS:
        if command.name == "menu":
            continue
        if command.group not in groups:
            groups[command.group] = menu.addMenu(keys.group_title(command))
        action = groups[command.group].addAction(
            f"{keys.title(command)}\t{keymap.hint(command.name)}"
        )
        on = is_on(command.name)
        if on is not None:
            action.setCheckable(True)
            action.setChecked(on)
        action.setEnabled(is_possible(command.name))
        action.triggered.connect(lambda _=False, name=command.name: run(name))
        if command.name in below:
            groups[command.group].addMenu(below[command.name])
    menu.addSeparator()
    for name in ("delete", "undo", "trash_rejected", "take_kept"):
        command = keys.BY_NAME[name]
        action = menu.addAction(f"{keys.title(command)}\t{keymap.hint(name)}")
        action.setEnabled(is_possible(name))
        action.triggered.connect(lambda _=False, n=name: run(n))
    return menu
