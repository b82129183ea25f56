"""The grid of pictures: lays out any number of them at once, paints only what can be seen."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import cast

from PySide6.QtCore import (
    QEvent,
    QItemSelection,
    QItemSelectionModel,
    QItemSelectionRange,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import (
    QContextMenuEvent,
    QHideEvent,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QRegion,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QStyle,
    QStyleOptionViewItem,
)

from app import theme
from app.concepts.model import PictureModel
from app.concepts.tiles import CaptionEditor, TileDelegate, tile_shape
from app.concepts.undoing import way_of
from app.thumbnails import ThumbnailStore

Index = QModelIndex | QPersistentModelIndex

LEAST_EDGE, MOST_EDGE = 10, 48  # thumbnails' sides in units
_STANDARD = QKeySequence.StandardKey
_HOVERS = (QEvent.Type.HoverEnter, QEvent.Type.HoverMove, QEvent.Type.HoverLeave)
# Keys of the grid that are the window's elsewhere.
_OWN_KEYS = (
    _STANDARD.Copy,
    _STANDARD.Paste,
    _STANDARD.SelectAll,
    _STANDARD.Delete,
)


class PictureGrid(QAbstractItemView):
    """Pictures as tiles or as a list. Signals:

    asked(what): the user wants `delete`, `open`, `edit`, `copy`, `paste`, `undo`, `redo`,
    `reject` or `keep` for the selected pictures. menuRequested(global position).
    edgeChanged(side in units).
    """

    asked = Signal(str)
    menuRequested = Signal(QPoint)
    edgeChanged = Signal(int)

    def __init__(self, pictures: PictureModel, store: ThumbnailStore) -> None:
        super().__init__()
        self.pictures, self.store = pictures, store
        self._edge = 20
        self._as_list = False
        self._columns = 1
        self._kept: tuple[list[Path], Path | None, Path | None] = ([], None, None)
        self._hovered = -1
        self.tiles = TileDelegate(store, self)
        self.setItemDelegate(self.tiles)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setMouseTracking(True)
        # Painted to the last pixel, so that scrolling moves what is there and paints the rest.
        self.viewport().setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setAccessibleName(self.tr("Pictures"))
        self._ask = QTimer(self)
        self._ask.setSingleShot(True)
        self._ask.setInterval(0)
        self._ask.timeout.connect(self._request)
        self.verticalScrollBar().valueChanged.connect(lambda: self._ask.start())
        store.ready.connect(self._thumbnail_ready)
        pictures.startingAnew.connect(self._commit)
        pictures.modelAboutToBeReset.connect(self._keep_place)
        self.setModel(pictures)
        pictures.modelReset.connect(self._find_place)
        for signal in (pictures.rowsInserted, pictures.rowsRemoved):
            signal.connect(lambda: self._ask.start())
        theme.notifier().changed.connect(self._lay_out)

    # --- what is selected ------------------------------------------------------------

    def selected(self) -> list[Path]:
        """The selected pictures in the order of the rows."""
        runs = [(part.top(), part.bottom()) for part in self._selection()]
        return [self.pictures.path_at(r) for top, end in sorted(runs) for r in range(top, end + 1)]

    def selected_count(self) -> int:
        """How many pictures are selected."""
        return sum(part.height() for part in self._selection())

    def _selection(self) -> list[QItemSelectionRange]:
        return list(cast(Iterable[QItemSelectionRange], self.selectionModel().selection()))

    def current(self) -> Path | None:
        """The picture that has the keyboard's attention."""
        index = self.currentIndex()
        return self.pictures.path_at(index.row()) if index.isValid() else None

    def select(self, paths: Iterable[Path], current: Path | None = None) -> None:
        """Select exactly these pictures, as far as they are shown, and go to one of them."""
        rows = sorted(r for r in map(self.pictures.row_of, paths) if r >= 0)
        chosen = QItemSelection()
        for row in rows:
            index = self.pictures.index(row)
            chosen.select(index, index)
        self.selectionModel().select(chosen, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        row = self.pictures.row_of(current) if current else (rows[0] if rows else -1)
        if row >= 0:
            flag = QItemSelectionModel.SelectionFlag.NoUpdate
            self.selectionModel().setCurrentIndex(self.pictures.index(row), flag)
            self.scrollTo(self.pictures.index(row))

    def edit_with(self, path: Path, text: str) -> None:
        """Open the editor of a picture's caption with a text that is not in its file."""
        row = self.pictures.row_of(path)
        if row < 0:
            return
        self.select([path])
        self.edit(self.pictures.index(row))
        for editor in self.viewport().findChildren(CaptionEditor):
            if editor.isVisible():
                editor.start(text)

    # --- shape ------------------------------------------------------------

    def set_edge(self, units: int) -> None:
        """How large thumbnails are."""
        units = max(LEAST_EDGE, min(MOST_EDGE, units))
        if units != self._edge:
            self._edge = units
            self._lay_out()
            self.edgeChanged.emit(units)

    def edge(self) -> int:
        """The thumbnails' side in units."""
        return self._edge

    def set_as_list(self, as_list: bool) -> None:
        """Captions beside the pictures, or under them."""
        if as_list != self._as_list:
            self._as_list = as_list
            self._lay_out()

    def _lay_out(self) -> None:
        top = self._first_visible()
        shape, columns = tile_shape(self.viewport().width(), theme.unit(self._edge), self._as_list)
        self.tiles.shape, self._columns = shape, columns
        self.updateGeometries()
        if top is not None and self.verticalScrollBar().value() > 0:
            self._scroll_to_top_of(top)
        self.viewport().update()
        self._ask.start()

    def _first_visible(self) -> Path | None:
        row = self.verticalScrollBar().value() // max(1, self._cell_height()) * self._columns
        return self.pictures.path_at(row) if row < len(self.pictures.shown()) else None

    def _scroll_to_top_of(self, path: Path) -> None:
        row = self.pictures.row_of(path)
        if row >= 0:
            self.verticalScrollBar().setValue(row // self._columns * self._cell_height())

    def _cell_height(self) -> int:
        return self.tiles.shape.cell.height()

    def _commit(self) -> None:
        """Keep what is being typed."""
        for editor in self.viewport().findChildren(CaptionEditor):
            if editor.isVisible():
                self.commitData(editor)

    def _keep_place(self) -> None:
        self._kept = (self.selected(), self.current(), self._first_visible())

    def _find_place(self) -> None:
        selected, current, top = self._kept
        self.updateGeometries()
        if top is not None:
            self._scroll_to_top_of(top)
        value = self.verticalScrollBar().value()
        self.select(selected, current)
        if self.pictures.row_of(top) >= 0 if top else False:
            self.verticalScrollBar().setValue(value)
        self._ask.start()

    # --- thumbnails ------------------------------------------------------------

    def visible_rows(self, screens: float = 0.0) -> range:
        """Rows on the screen, and those so many screens before and behind it."""
        height, cell = self.viewport().height(), max(1, self._cell_height())
        value = self.verticalScrollBar().value()
        first = max(0, int(value - screens * height)) // cell * self._columns
        last = int(value + (1 + screens) * height) // cell * self._columns + self._columns
        return range(first, min(last, len(self.pictures.shown())))

    def _request(self) -> None:
        """Ask for the thumbnails that are or soon will be seen, and for no others."""
        if not self.isVisible():
            return
        edge = self.tiles.wanted_edge(self.devicePixelRatioF())
        near, seen = self.visible_rows(1.0), self.visible_rows()
        self.store.keep_only([self.pictures.path_at(row) for row in near])
        for row in seen:
            self.store.request(self.pictures.path_at(row), edge, 10)
        for row in near:
            if row not in seen:
                self.store.request(self.pictures.path_at(row), edge)

    def _thumbnail_ready(self, path: Path, image: object) -> None:
        row = self.pictures.row_of(path)
        if row >= 0:
            self.viewport().update(self._rect_of(row))

    # --- QAbstractItemView ------------------------------------------------------------

    def _rect_of(self, row: int) -> QRect:
        cell = self.tiles.shape.cell
        line, column = divmod(row, self._columns)
        top = line * cell.height() - self.verticalScrollBar().value()
        return QRect(column * cell.width(), top, cell.width(), cell.height())

    def visualRect(self, index: Index) -> QRect:
        return self._rect_of(index.row()) if index.isValid() else QRect()

    def indexAt(self, point: QPoint) -> QModelIndex:
        cell = self.tiles.shape.cell
        column = point.x() // max(1, cell.width())
        line = (point.y() + self.verticalScrollBar().value()) // max(1, cell.height())
        row = line * self._columns + column
        if point.x() < 0 or not 0 <= column < self._columns:
            return QModelIndex()
        return self.pictures.index(row) if 0 <= row < len(self.pictures.shown()) else QModelIndex()

    def scrollTo(
        self,
        index: Index,
        hint: QAbstractItemView.ScrollHint = QAbstractItemView.ScrollHint.EnsureVisible,
    ) -> None:
        rect, bar = self.visualRect(index), self.verticalScrollBar()
        height = self.viewport().height()
        if hint == QAbstractItemView.ScrollHint.PositionAtCenter:
            bar.setValue(bar.value() + rect.center().y() - height // 2)
        elif rect.top() < 0 or rect.height() > height:
            bar.setValue(bar.value() + rect.top())
        elif rect.bottom() > height:
            bar.setValue(bar.value() + rect.bottom() - height)

    def horizontalOffset(self) -> int:
        return 0

    def verticalOffset(self) -> int:
        return self.verticalScrollBar().value()

    def isIndexHidden(self, index: Index) -> bool:
        return False

    def moveCursor(
        self, action: QAbstractItemView.CursorAction, modifiers: Qt.KeyboardModifier
    ) -> QModelIndex:
        count = len(self.pictures.shown())
        if not count:
            return QModelIndex()
        row, columns = max(0, self.currentIndex().row()), self._columns
        page = max(1, self.viewport().height() // max(1, self._cell_height())) * columns
        move = QAbstractItemView.CursorAction
        to = {
            move.MoveLeft: row - 1,
            move.MovePrevious: row - 1,
            move.MoveRight: row + 1,
            move.MoveNext: row + 1,
            move.MoveUp: row - columns if row >= columns else row,
            move.MoveDown: row + columns if row + columns < count else row,
            move.MovePageUp: row - page if row >= page else row % columns,
            move.MovePageDown: min(row + page, count - 1),
            move.MoveHome: 0,
            move.MoveEnd: count - 1,
        }[action]
        if not self.currentIndex().isValid():
            to = 0
        return self.pictures.index(max(0, min(to, count - 1)))

    def setSelection(self, rect: QRect, command: QItemSelectionModel.SelectionFlag) -> None:
        """Select what `rect` (in the viewport) touches: a click, or a band that is drawn."""
        cell, offset = self.tiles.shape.cell, self.verticalScrollBar().value()
        chosen = QItemSelection()
        rect = rect.normalized()
        last_row = len(self.pictures.shown()) - 1
        first_line = max(0, (rect.top() + offset) // cell.height())
        last_line = min((rect.bottom() + offset) // cell.height(), last_row // self._columns)
        left = max(0, rect.left() // cell.width())
        right = min(rect.right() // cell.width(), self._columns - 1)
        if self.state() != QAbstractItemView.State.DragSelectingState:
            start = self.indexAt(rect.topLeft())
            end = self.indexAt(rect.bottomRight())
            if start.isValid() and end.isValid():
                first, last = sorted((start.row(), end.row()))
                chosen.select(self.pictures.index(first), self.pictures.index(last))
        else:
            for line in range(first_line, last_line + 1):
                first, last = line * self._columns + left, line * self._columns + right
                if left <= right and first <= last_row:
                    chosen.select(
                        self.pictures.index(first), self.pictures.index(min(last, last_row))
                    )
        self.selectionModel().select(chosen, command)

    def visualRegionForSelection(self, selection: QItemSelection) -> QRegion:
        return QRegion(self.viewport().rect())

    def updateGeometries(self) -> None:
        lines = -(-len(self.pictures.shown()) // self._columns)
        bar, height = self.verticalScrollBar(), self.viewport().height()
        bar.setRange(0, max(0, lines * self._cell_height() - height))
        bar.setEnabled(bar.maximum() > 0)  # its place stays, so that nothing moves
        bar.setPageStep(height)
        bar.setSingleStep(theme.unit(4))
        super().updateGeometries()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._lay_out()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self.store.cancel_all()

    def showEvent(self, event: QEvent) -> None:  # type: ignore[override]
        super().showEvent(event)  # type: ignore[arg-type]
        self._ask.start()

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        self.viewport().scroll(dx, dy)
        self._point()  # the pointer stands still: another picture lies below it now

    def viewportEvent(self, event: QEvent) -> bool:
        handled = super().viewportEvent(event)
        if event.type() in _HOVERS:
            self._point()
        return handled

    def _point(self) -> None:
        """Mark the picture under the pointer, and no other."""
        before, self._hovered = self._hovered, self._row_under_pointer()
        if before != self._hovered:
            for row in (before, self._hovered):
                self.viewport().update(self._rect_of(row))

    def _row_under_pointer(self) -> int:
        if not self.viewport().underMouse():
            return -1
        return self.indexAt(self.viewport().mapFromGlobal(self.cursor().pos())).row()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        painter.fillRect(event.rect(), self.palette().base())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        if event.rect() == self.viewport().rect():
            self._hovered = self._row_under_pointer()
        option = QStyleOptionViewItem()
        self.initViewItemOption(option)
        focus = self.hasFocus()
        for row in self.visible_rows():
            rect = self._rect_of(row)
            if not rect.intersects(event.rect()):
                continue
            index = self.pictures.index(row)
            state = QStyle.StateFlag.State_Enabled
            if self.selectionModel().isSelected(index):
                state |= QStyle.StateFlag.State_Selected
            if focus and index == self.currentIndex():
                state |= QStyle.StateFlag.State_HasFocus
            if row == self._hovered:
                state |= QStyle.StateFlag.State_MouseOver
            option.rect, option.state = rect, state  # type: ignore[attr-defined]
            self.tiles.paint(painter, option, index)
        painter.end()

    # --- keys and mouse ------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        if (
            event.type() == QEvent.Type.ShortcutOverride
            and isinstance(event, QKeyEvent)
            and (any(event.matches(key) for key in _OWN_KEYS) or way_of(event))
        ):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        what = self._meaning(event)
        plain = event.modifiers() in (
            Qt.KeyboardModifier.NoModifier,
            Qt.KeyboardModifier.KeypadModifier,
        )
        if what:
            self.asked.emit(what)
        elif plain and event.key() in (Qt.Key.Key_F2, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.asked.emit("edit")
        elif plain and event.text() and event.text().isprintable():
            event.ignore()  # no search by typing: letters are keys
        else:
            super().keyPressEvent(event)

    def _meaning(self, event: QKeyEvent) -> str:
        """What a key asks for, or empty."""
        if way := way_of(event):
            return way
        standard = {
            "copy": _STANDARD.Copy,
            "paste": _STANDARD.Paste,
        }
        for what, key in standard.items():
            if event.matches(key):
                return what
        if event.modifiers() not in (
            Qt.KeyboardModifier.NoModifier,
            Qt.KeyboardModifier.KeypadModifier,
        ):
            return ""
        keys = {
            Qt.Key.Key_Delete: "delete",
            Qt.Key.Key_Space: "open",
            Qt.Key.Key_X: "reject",
            Qt.Key.Key_K: "keep",
        }
        return keys.get(Qt.Key(event.key()), "")

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        index = self.indexAt(event.position().toPoint())
        if not index.isValid() or event.button() != Qt.MouseButton.LeftButton:
            return
        box = self.tiles.shape.picture_box(self.visualRect(index))
        if box.contains(event.position().toPoint()):
            self.asked.emit("open")
        else:
            self.edit(index)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        index = self.indexAt(event.pos())
        if event.reason() == QContextMenuEvent.Reason.Mouse and index.isValid():
            if not self.selectionModel().isSelected(index):
                self.select([self.pictures.path_at(index.row())])
        elif event.reason() == QContextMenuEvent.Reason.Keyboard and self.currentIndex().isValid():
            place = self.visualRect(self.currentIndex()).center()
            self.menuRequested.emit(self.viewport().mapToGlobal(place))
            return
        self.menuRequested.emit(event.globalPos())

    def wheelEvent(self, event: QWheelEvent) -> None:
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            steps = event.angleDelta().y() / 120
            self.set_edge(self._edge + (2 if steps > 0 else -2 if steps < 0 else 0))
            event.accept()
            return
        super().wheelEvent(event)
        # The page around the grid stays where it is while the wheel turns over the grid.
        event.accept()
