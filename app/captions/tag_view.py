"""The tags of all captions with their counts: sorted, narrowed, clicked to filter pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QFontMetrics, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QLabel,
    QListView,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app import icons, theme
from app.icons import icon
from app.widgets.fields import TextField

# The row that stands for pictures without a caption.
NO_CAPTION = ""
_TAG, _COUNT, _HERE, _FILTER = (Qt.ItemDataRole.UserRole + n for n in range(4))
AnyIndex = QModelIndex | QPersistentModelIndex


class TagModel(QAbstractListModel):
    """Rows of tags: those that contain the search, by count or by name."""

    def __init__(self) -> None:
        super().__init__()
        self._counts: Mapping[str, int] = {}
        self._missing = 0
        self._search = ""
        self._by_name = False
        self._rows: list[str] = []
        self._here: frozenset[str] = frozenset()
        self._filter: frozenset[str] = frozenset()

    def set_counts(self, counts: Mapping[str, int], missing: int) -> None:
        """Show other counts; missing: pictures without a caption."""
        self._counts, self._missing = dict(counts), missing
        self._arrange()

    def set_search(self, text: str) -> None:
        """Show only tags that contain `text`."""
        self._search = text.strip().casefold()
        self._arrange()

    def set_by_name(self, by_name: bool) -> None:
        """Sort by name instead of by count."""
        self._by_name = by_name
        self._arrange()

    def set_marks(self, here: frozenset[str], chosen: frozenset[str]) -> None:
        """Mark the tags of the picture on show; those that pictures are filtered by lead."""
        if (here, chosen) != (self._here, self._filter):
            again = chosen != self._filter
            self._here, self._filter = here, chosen
            if again:
                self._arrange()
            elif self._rows:
                self.dataChanged.emit(self.index(0), self.index(len(self._rows) - 1))

    def tags(self) -> list[str]:
        """The rows in order."""
        return self._rows

    def _arrange(self) -> None:
        found = [tag for tag in self._counts if self._search in tag.casefold()]
        if self._by_name:
            found.sort(key=str.casefold)
        else:
            found.sort(key=lambda tag: (-self._counts[tag], tag.casefold()))
        found.sort(key=lambda tag: tag not in self._filter)
        self.beginResetModel()
        head = [NO_CAPTION] if self._missing and not self._search else []
        self._rows = head + found
        self.endResetModel()

    def rowCount(self, parent: AnyIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def data(self, index: AnyIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        tag = self._rows[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return tag or self.tr("without caption")
        if role == Qt.ItemDataRole.ToolTipRole:
            return tag or self.tr("Pictures whose caption is missing or empty")
        if role == _TAG:
            return tag
        if role == _COUNT:
            return self._counts.get(tag, 0) if tag else self._missing
        if role == _HERE:
            return tag in self._here
        if role == _FILTER:
            return tag in self._filter
        return None


class _Delegate(QStyledItemDelegate):
    """Draws a tag, its count at the right edge, and whether the picture on show has it."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: AnyIndex) -> None:
        colours = theme.colours()
        box = option.rect
        chosen = index.data(_FILTER)
        over = bool(option.state & QStyle.StateFlag.State_MouseOver)
        current = bool(option.state & QStyle.StateFlag.State_HasFocus)
        if chosen or over or current:
            painter.fillRect(box, QColor(colours.accent_soft if chosen else colours.hover))
        unit = theme.unit()
        tag = index.data(_TAG)
        count = str(index.data(_COUNT))
        metrics = QFontMetrics(option.font)
        width = metrics.horizontalAdvance(count)
        right = QRect(box.right() - width - unit, box.top(), width, box.height())
        side = round(unit * 1.6)
        mark = QRect(box.left() + unit, box.center().y() - side // 2, side, side)
        if chosen:
            icons.draw(painter, "funnel", mark.toRectF(), "accent_text")
        elif index.data(_HERE):
            icons.draw(painter, "check", mark.toRectF(), "muted")
        left = mark.right() + unit
        text = QRect(left, box.top(), right.left() - unit - left, box.height())
        middle = Qt.AlignmentFlag.AlignVCenter
        painter.setFont(option.font)
        painter.setPen(QColor(colours.accent_text if chosen else colours.text))
        if not tag:
            painter.setPen(QColor(colours.warning))
        shown = metrics.elidedText(
            index.data(Qt.ItemDataRole.DisplayRole), Qt.TextElideMode.ElideRight, text.width()
        )
        painter.drawText(text, middle | Qt.AlignmentFlag.AlignLeft, shown)
        painter.setPen(QColor(colours.muted))
        painter.drawText(right, middle | Qt.AlignmentFlag.AlignRight, count)

    def sizeHint(self, option: QStyleOptionViewItem, index: AnyIndex) -> QSize:
        return QSize(theme.em(12), round(QFontMetrics(option.font).height() * 1.6))


class _List(QListView):
    pressedTag = Signal(str, bool)
    deleteAsked = Signal(str)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        index = self.currentIndex()
        if index.isValid():
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
                more = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
                self.pressedTag.emit(index.data(_TAG), more)
                return
            if event.key() == Qt.Key.Key_Delete and index.data(_TAG):
                self.deleteAsked.emit(index.data(_TAG))
                return
        super().keyPressEvent(event)


class TagView(QWidget):
    """All tags with counts.

    Signals:
        filterAsked(str, bool): a tag was clicked; True adds it to the others (Ctrl).
        clearAsked(): show all pictures again.
        renameAsked(str), deleteAsked(str), frontAsked(str): everywhere.
        toggleAsked(str): add the tag to the picture on show, or remove it there.
    """

    filterAsked = Signal(str, bool)
    clearAsked = Signal()
    renameAsked = Signal(str)
    deleteAsked = Signal(str)
    frontAsked = Signal(str)
    toggleAsked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.model = TagModel()
        self.title = QLabel()
        theme.set_role(self.title, "group")
        self.clear = QToolButton()
        self.clear.setIcon(icon("x", "muted"))
        self.clear.setText(self.tr("Show all"))
        self.clear.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.clear.clicked.connect(self.clearAsked)
        self.sort = QToolButton()
        self.sort.setIcon(icon("arrow-up-down", "muted"))
        self.sort.setCheckable(True)
        self.sort.setToolTip(self.tr("Sort by name instead of by number"))
        self.sort.setAccessibleName(self.tr("Sort tags by name"))
        self.sort.toggled.connect(self.model.set_by_name)
        self.search = TextField()
        self.search.setPlaceholderText(self.tr("Search tags"))
        self.search.setAccessibleName(self.tr("Search tags"))
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self.model.set_search)
        self.list = _List()
        self.list.setModel(self.model)
        self.list.setItemDelegate(_Delegate(self.list))
        self.list.setMouseTracking(True)
        self.list.setUniformItemSizes(True)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.list.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.list.customContextMenuRequested.connect(self._menu)
        self.list.clicked.connect(self._clicked)
        self.list.pressedTag.connect(self.filterAsked)
        self.list.deleteAsked.connect(self.deleteAsked)
        self.list.setAccessibleName(self.tr("Tags"))
        self.empty = QLabel(self.tr("No tags yet."))
        theme.set_role(self.empty, "small")
        self.empty.setAlignment(Qt.AlignmentFlag.AlignTop)
        head = QHBoxLayout()
        head.setSpacing(theme.unit(0.5))
        head.addWidget(self.title)
        head.addStretch(1)
        head.addWidget(self.clear)
        head.addWidget(self.sort)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.unit(0.5))
        column.addLayout(head)
        column.addWidget(self.search)
        column.addWidget(self.list, 1)
        column.addWidget(self.empty, 1)
        self._has_picture = False
        self.set_counts({}, 0)
        self.set_marks(frozenset(), frozenset(), False)

    def set_counts(self, counts: Mapping[str, int], missing: int) -> None:
        """Show these tags; missing: how many pictures have no caption."""
        scrolled = self.list.verticalScrollBar().value()
        self.model.set_counts(counts, missing)
        self.list.verticalScrollBar().setValue(scrolled)
        self.title.setText(self.tr("Tags") + (f"  {len(counts)}" if counts else ""))
        there = bool(counts) or missing > 0
        self.list.setVisible(there)
        self.search.setVisible(bool(counts))
        self.sort.setVisible(bool(counts))
        self.empty.setVisible(not there)

    def set_low(self, low: bool) -> None:
        """Take less room: two rows at least."""
        rows = 2 if low else 4
        self.list.setMinimumHeight(rows * round(self.list.fontMetrics().height() * 1.6) + 4)

    def set_marks(self, here: frozenset[str], chosen: frozenset[str], has_picture: bool) -> None:
        """Mark the tags of the picture on show and those that are filtered by."""
        self._has_picture = has_picture
        self.model.set_marks(here, chosen)
        self.clear.setVisible(bool(chosen))

    def _clicked(self, index: QModelIndex) -> None:
        from PySide6.QtWidgets import QApplication

        held = QApplication.keyboardModifiers()
        more = bool(held & Qt.KeyboardModifier.ControlModifier)
        self.filterAsked.emit(index.data(_TAG), more)

    def _menu(self, point: QPoint) -> None:
        index = self.list.indexAt(point)
        if index.isValid():
            menu = self.menu_of(index.data(_TAG))
            menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            menu.exec(self.list.viewport().mapToGlobal(point))

    def menu_of(self, tag: str) -> QMenu:
        """What can be done with a tag."""
        menu = QMenu(self)
        menu.addAction(
            icon("funnel"),
            self.tr("Show these pictures"),
            lambda: self.filterAsked.emit(tag, False),
        )
        if not tag:
            return menu
        menu.addAction(
            icon("funnel"),
            self.tr("Show those that also have this tag"),
            lambda: self.filterAsked.emit(tag, True),
        )
        toggle = menu.addAction(
            icon("check"),
            self.tr("Add to this picture, or remove"),
            lambda: self.toggleAsked.emit(tag),
        )
        toggle.setEnabled(self._has_picture)
        menu.addSeparator()
        menu.addAction(
            icon("pencil"), self.tr("Rename everywhere..."), lambda: self.renameAsked.emit(tag)
        )
        menu.addAction(
            icon("arrow-up"),
            self.tr("Move to the front everywhere..."),
            lambda: self.frontAsked.emit(tag),
        )
        menu.addAction(
            icon("trash-2"), self.tr("Delete everywhere..."), lambda: self.deleteAsked.emit(tag)
        )
        return menu
