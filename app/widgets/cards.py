"""Cards of a list in the settings: open one to edit it, reorder, duplicate, remove."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QPoint, QSize, Qt, Signal
from PySide6.QtGui import QContextMenuEvent, QFocusEvent, QKeyEvent, QMouseEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QMenu, QToolButton, QVBoxLayout, QWidget

from app import theme
from app.icons import icon
from app.state import SettingsState
from app.widgets.labels import Picture


class Grip(Picture):
    """The handle by which a card is dragged to another place."""

    dragged = Signal(QPoint)
    dropped = Signal(QPoint)

    def __init__(self) -> None:
        super().__init__("grip-vertical", 2, "disabled")
        self.setCursor(Qt.CursorShape.OpenHandCursor)
        self.setToolTip(self.tr("Drag to reorder"))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.setCursor(Qt.CursorShape.ClosedHandCursor)
        event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self.dragged.emit(event.globalPosition().toPoint())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self.setCursor(Qt.CursorShape.OpenHandCursor)
        self.dropped.emit(event.globalPosition().toPoint())


class Card(QFrame):
    """One item. Subclasses fill `head` and build the body when it is first opened.

    Signals: toggled(index) asks to open or close; command(index, name) with `up`, `down`,
    `duplicate` or `remove`; moved(index, global position, finished) while dragging.
    """

    toggled = Signal(int)
    command = Signal(int, str)
    moved = Signal(int, QPoint, bool)

    def __init__(self, index: int, state: SettingsState) -> None:
        super().__init__()
        self.index, self.state = index, state
        self.body: QWidget | None = None
        self.setProperty("role", "card")
        self.setProperty("selected", "false")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        column = QVBoxLayout(self)
        u = theme.unit()
        column.setContentsMargins(u, u, u, u)
        column.setSpacing(theme.unit(1.5))
        line = QHBoxLayout()
        line.setSpacing(theme.unit(1.25))
        grip = Grip()
        grip.dragged.connect(lambda at: self.moved.emit(self.index, at, False))
        grip.dropped.connect(lambda at: self.moved.emit(self.index, at, True))
        self.head = QHBoxLayout()
        self.head.setSpacing(theme.unit(1.5))
        self.fold = self._button("chevron-right", self.tr("Settings"))
        self.fold.clicked.connect(lambda: self.toggled.emit(self.index))
        more = self._button("ellipsis", self.tr("More"))
        more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._menu = QMenu(more)
        self._menu.aboutToShow.connect(lambda: self._fill(self._menu))
        more.setMenu(self._menu)
        line.addWidget(grip)
        line.addLayout(self.head, 1)
        line.addWidget(more, 0, Qt.AlignmentFlag.AlignTop)
        line.addWidget(self.fold, 0, Qt.AlignmentFlag.AlignTop)
        column.addLayout(line)
        self._column = column

    def _button(self, name: str, text: str) -> QToolButton:
        button = QToolButton()
        button.setIcon(icon(name, "muted"))
        button.setIconSize(QSize(theme.unit(2), theme.unit(2)))
        button.setToolTip(text)
        button.setAccessibleName(text)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        return button

    # --- what subclasses do ------------------------------------------------------------

    def make_body(self) -> QWidget:
        """The widget with the item's settings."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Show the item's values anew."""
        raise NotImplementedError

    def extra_actions(self, menu: QMenu) -> None:
        """Add the item's own actions to its menu."""

    # --- opening ------------------------------------------------------------

    def set_open(self, opened: bool) -> None:
        """Show or hide the settings."""
        if opened and self.body is None:
            self.body = self.make_body()
            self._column.addWidget(self.body)
        if self.body is not None:
            self.body.setVisible(opened)
        self.fold.setIcon(icon("chevron-down" if opened else "chevron-right", "muted"))
        self.setProperty("selected", "true" if opened else "false")
        theme.repolish(self)

    def is_open(self) -> bool:
        """Whether the settings are shown."""
        return self.body is not None and not self.body.isHidden()

    # --- acting ------------------------------------------------------------

    def _fill(self, menu: QMenu) -> None:
        menu.clear()
        self.extra_actions(menu)
        for name, drawing, text, keys in (
            ("duplicate", "copy", self.tr("Duplicate"), "Ctrl+D"),
            ("up", "arrow-up", self.tr("Move up"), self.tr("Alt+Up")),
            ("down", "arrow-down", self.tr("Move down"), self.tr("Alt+Down")),
            ("remove", "trash-2", self.tr("Remove"), self.tr("Del")),
        ):
            menu.addAction(
                icon(drawing),
                f"{text}\t{keys}",
                lambda name=name: self.command.emit(self.index, name),
            )

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._fill(menu)
        menu.popup(event.globalPos())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        in_body = self.body is not None and self.body.geometry().contains(
            event.position().toPoint()
        )
        if event.button() == Qt.MouseButton.LeftButton and not in_body:
            self.toggled.emit(self.index)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        alt = event.modifiers() == Qt.KeyboardModifier.AltModifier
        key = event.key()
        if not self.hasFocus():
            # Keys that a part of the body has no use for are not meant for the card.
            super().keyPressEvent(event)
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.toggled.emit(self.index)
        elif key == Qt.Key.Key_Delete:
            self.command.emit(self.index, "remove")
        elif key == Qt.Key.Key_D and event.modifiers() == Qt.KeyboardModifier.ControlModifier:
            self.command.emit(self.index, "duplicate")
        elif alt and key in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            self.command.emit(self.index, "up" if key == Qt.Key.Key_Up else "down")
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self.setProperty("focused", "true")
        theme.repolish(self)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.setProperty("focused", "false")
        theme.repolish(self)


class CardList(QWidget):
    """Cards for every item of a list in the state; at most one is open.

    Signals: countChanged(n); opened(index) with -1 when none is; acted(index, name) after one of
    `act`'s commands.
    """

    countChanged = Signal(int)
    opened = Signal(int)
    acted = Signal(int, str)

    def __init__(
        self, state: SettingsState, list_path: str, make_card: Callable[[int], Card]
    ) -> None:
        super().__init__()
        self._state, self._list, self._make = state, list_path, make_card
        self.cards: list[Card] = []
        self._open = -1
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(theme.unit(theme.MARGIN), 0, 0, 0)
        self._column.setSpacing(theme.unit())
        self._mark = QFrame(self)
        self._mark.setProperty("role", "mark")
        self._mark.hide()
        state.changed.connect(self._changed)
        state.reloaded.connect(self.rebuild)
        self.rebuild()

    def rebuild(self) -> None:
        """Make as many cards as there are items, and show their values."""
        items = self._state.get(self._list)
        count = len(items) if isinstance(items, list) else 0
        while len(self.cards) > count:
            card = self.cards.pop()
            self._column.removeWidget(card)
            card.hide()
            card.deleteLater()
        while len(self.cards) < count:
            card = self._make(len(self.cards))
            card.toggled.connect(self.toggle)
            card.command.connect(self.act)
            card.moved.connect(self._drag)
            self.cards.append(card)
            self._column.addWidget(card)
        for card in self.cards:
            card.refresh()
        if self._open >= count:
            self.open(-1)
        self.countChanged.emit(count)

    def open(self, index: int) -> None:
        """Open one card and close the others; -1 closes all."""
        self._open = index
        for card in self.cards:
            if card.is_open() != (card.index == index):
                card.set_open(card.index == index)
        self.opened.emit(index)

    def open_index(self) -> int:
        """Which card is open, or -1."""
        return self._open

    def toggle(self, index: int) -> None:
        """Open a card, or close it when it is open."""
        self.open(-1 if index == self._open else index)

    def act(self, index: int, name: str) -> None:
        """Do `up`, `down`, `duplicate` or `remove` to an item."""
        if name == "remove":
            still_open = self._open - (self._open > index) if self._open != index else -1
            self.open(-1)
            self._state.remove(self._list, index)
            self.open(still_open)
        elif name == "duplicate":
            copy = self._state.duplicate(self._list, index)
            self.open(copy if self._open >= 0 else -1)
        else:
            self._move(index, index + (1 if name == "down" else -1))
        self.acted.emit(index, name)

    def _move(self, index: int, to: int) -> None:
        to = max(0, min(to, len(self.cards) - 1))
        if to == index:
            return
        was_open, had_focus = self._open == index, self.cards[index].hasFocus()
        self.open(-1)
        self._state.move(self._list, index, to)
        if was_open:
            self.open(to)
        if had_focus:
            self.cards[to].setFocus()

    def _changed(self, path: str) -> None:
        if path == self._list:
            self.rebuild()
        elif path.startswith(f"{self._list}."):
            index = int(path.removeprefix(f"{self._list}.").split(".")[0])
            if index < len(self.cards):
                self.cards[index].refresh()

    def _drag(self, index: int, at: QPoint, finished: bool) -> None:
        y = self.mapFromGlobal(at).y()
        slot = sum(1 for card in self.cards if y > card.geometry().center().y())
        self._mark.setVisible(not finished)
        if finished:
            self._move(index, slot - (slot > index))
            return
        gap = theme.unit(0.5)
        if slot < len(self.cards):
            line = self.cards[slot].geometry().top() - gap - 1
        else:
            line = self.cards[-1].geometry().bottom() + 1
        self._mark.setGeometry(0, max(0, line), self.width(), 3)
        self._mark.raise_()
