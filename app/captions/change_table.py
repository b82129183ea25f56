"""A table of caption changes: picture, text before, text after, each with a tick."""

from __future__ import annotations

import difflib
import html
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from PySide6.QtCore import (
    QAbstractItemModel,
    QAbstractTableModel,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QRectF,
    QSize,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QColor, QImage, QPainter, QPainterPath, QTextDocument, QTextOption
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QPlainTextEdit,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from app import icons, theme
from app.background import Background, StopCheck
from app.captions.editor import shown_text, with_line_ends
from app.concepts.tiles import broken
from app.widgets.labels import line_height
from app.widgets.thumbs import read_square
from core.captioning.tags import Change

TICK, PICTURE, BEFORE, AFTER = range(4)
_WORD = re.compile(r"\w+|\s+|.", re.DOTALL)
# More of a text than a row shows; comparing takes the square of it.
_COMPARED = 600
AnyIndex = QModelIndex | QPersistentModelIndex


class ChangeModel(QAbstractTableModel):
    """Rows of changes; the text after can be edited. Signals: ticksChanged()."""

    ticksChanged = Signal()

    def __init__(self, editable: bool) -> None:
        super().__init__()
        self._editable = editable
        self._changes: list[Change] = []
        self._off: set[Path] = set()

    def set_changes(self, changes: Sequence[Change]) -> None:
        """Show other changes; a picture without tick that is there again has none."""
        self.beginResetModel()
        self._changes = list(changes)
        self._off &= {change.picture for change in self._changes}
        self.endResetModel()
        self.ticksChanged.emit()

    def clear(self) -> None:
        """Show nothing and forget what was left out."""
        self._off.clear()
        self.set_changes([])

    def append(self, change: Change) -> None:
        """One more row at the end."""
        row = len(self._changes)
        self.beginInsertRows(QModelIndex(), row, row)
        self._changes.append(change)
        self.endInsertRows()
        self.ticksChanged.emit()

    def change(self, row: int) -> Change:
        """The change of a row."""
        return self._changes[row]

    def taken(self) -> list[Change]:
        """The changes whose tick is set."""
        return [change for change in self._changes if change.picture not in self._off]

    def taken_count(self) -> int:
        """How many ticks are set."""
        return len(self._changes) - len(self._off)

    def tick_all(self, on: bool) -> None:
        """Set or remove all ticks."""
        self._off = set() if on else {change.picture for change in self._changes}
        if self._changes:
            last = self.index(len(self._changes) - 1, AFTER)
            self.dataChanged.emit(self.index(0, TICK), last)
        self.ticksChanged.emit()

    def rowCount(self, parent: AnyIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._changes)

    def columnCount(self, parent: AnyIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else 4

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return ("", self.tr("Picture"), self.tr("Now"), self.tr("Then"))[section]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        return None

    def flags(self, index: AnyIndex) -> Qt.ItemFlag:
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        if index.column() == TICK:
            flags |= Qt.ItemFlag.ItemIsUserCheckable
        if index.column() == AFTER and self._editable:
            flags |= Qt.ItemFlag.ItemIsEditable
        return flags

    def data(self, index: AnyIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        change = self._changes[index.row()]
        on = change.picture not in self._off
        if role == Qt.ItemDataRole.CheckStateRole and index.column() == TICK:
            return Qt.CheckState.Checked if on else Qt.CheckState.Unchecked
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return self._text(change, index.column())
        if role == Qt.ItemDataRole.ToolTipRole:
            text = str(change.picture) if index.column() == PICTURE else None
            return text or self._text(change, index.column()) or None
        if role == Qt.ItemDataRole.AccessibleTextRole and index.column() == TICK:
            return change.picture.name
        if role == Qt.ItemDataRole.UserRole:
            return on
        return None

    def _text(self, change: Change, column: int) -> str:
        return ("", change.picture.name, change.before or "", change.after)[column]

    def setData(self, index: AnyIndex, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        change = self._changes[index.row()]
        if role == Qt.ItemDataRole.CheckStateRole and index.column() == TICK:
            on = Qt.CheckState(value) == Qt.CheckState.Checked
            (self._off.discard if on else self._off.add)(change.picture)
            self.dataChanged.emit(self.index(index.row(), TICK), self.index(index.row(), AFTER))
            self.ticksChanged.emit()
            return True
        if role == Qt.ItemDataRole.EditRole and index.column() == AFTER:
            self._changes[index.row()] = replace(change, after=str(value))
            self.dataChanged.emit(index, index)
            return True
        return False


def _between_words(word: str) -> bool:
    return not word[0].isalnum()


@lru_cache(maxsize=256)
def marked(text: str, other: str, colour: str, strike: bool) -> str:
    """The beginning of the text, as much as a row shows, as HTML, the words that `other` lacks
    in `colour`. Kept, because rows are painted again and again."""
    words, others = _WORD.findall(text[:_COMPARED]), _WORD.findall(other[:_COMPARED])
    # What stands between words is everywhere, and says nothing of which belong together.
    matcher = difflib.SequenceMatcher(_between_words, words, others, autojunk=False)
    style = f"color:{colour};" + ("text-decoration:line-through;" if strike else "")
    parts = []
    for kind, start, stop, _, _ in matcher.get_opcodes():
        piece = html.escape("".join(words[start:stop]))
        if kind == "equal" or not piece:
            parts.append(piece)
        else:
            parts.append(f'<span style="{style}">{piece}</span>')
    return "".join(parts).replace("\n", "<br>")


class _TextDelegate(QStyledItemDelegate):
    """Draws texts wrapped, with what goes struck out and what comes in colour."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: AnyIndex) -> None:
        colours = theme.colours()
        box = option.rect
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(box, QColor(colours.accent_soft))
        model = index.model()
        before = str(model.index(index.row(), BEFORE).data() or "")
        after = str(model.index(index.row(), AFTER).data() or "")
        on = bool(index.data(Qt.ItemDataRole.UserRole))
        new = index.column() == AFTER
        shown = shown_text(after if new else before).strip("\n")
        other = shown_text(before if new else after)
        document = QTextDocument()
        document.setDocumentMargin(0)
        document.setDefaultFont(option.font)
        wrap = QTextOption()
        wrap.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        document.setDefaultTextOption(wrap)
        main = (colours.text if new else colours.muted) if on else colours.disabled
        mark = (colours.good if new else colours.error) if on else colours.disabled
        body = marked(shown, other, mark, strike=not new)
        if not shown.strip():
            body = f"<i>{html.escape(self.tr('no caption'))}</i>"
        document.setHtml(f'<span style="color:{main};white-space:pre-wrap">{body}</span>')
        pad = theme.unit(0.75)
        inside = box.adjusted(pad, pad, -pad, -pad)
        document.setTextWidth(inside.width())
        painter.save()
        painter.setClipRect(inside)
        painter.translate(inside.topLeft())
        document.drawContents(painter, QRectF(0, 0, inside.width(), inside.height()))
        painter.restore()

    def createEditor(
        self, parent: QWidget, option: QStyleOptionViewItem, index: AnyIndex
    ) -> QWidget:
        editor = QPlainTextEdit(parent)
        editor.setTabChangesFocus(True)
        return editor

    def setEditorData(self, editor: QWidget, index: AnyIndex) -> None:
        if isinstance(editor, QPlainTextEdit):
            editor.setPlainText(shown_text(str(index.data(Qt.ItemDataRole.EditRole))))

    def setModelData(self, editor: QWidget, model: QAbstractItemModel, index: AnyIndex) -> None:
        if isinstance(editor, QPlainTextEdit):
            before = str(index.data(Qt.ItemDataRole.EditRole))
            written = editor.document().toRawText().replace("\u2029", "\n")
            if written != shown_text(before):
                model.setData(index, with_line_ends(before, written))  # type: ignore[arg-type]


class _PictureDelegate(QStyledItemDelegate):
    """Draws a thumbnail and the file's name beside it."""

    def __init__(self, table: ChangeTable) -> None:
        super().__init__(table)
        self._table = table

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: AnyIndex) -> None:
        colours = theme.colours()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(option.rect, QColor(colours.accent_soft))
        pad = theme.unit(0.5)
        side = self._table.thumbnail_side()
        top = option.rect.top() + (option.rect.height() - side) // 2
        box = QRectF(option.rect.left() + pad, top, side, side)
        shape = QPainterPath()
        shape.addRoundedRect(box, theme.unit(0.5), theme.unit(0.5))
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setClipPath(shape)
        painter.fillRect(box, QColor(colours.picture))
        image = self._table.thumbnail(index.row())
        if image is not None and image.isNull():
            third = side / 3
            icons.draw(painter, "image-off", box.adjusted(third, third, -third, -third), "muted")
        elif image is not None:
            painter.drawImage(box, image)
        painter.restore()
        left = round(box.right()) + pad * 2
        text = QRect(left, option.rect.top(), option.rect.right() - left - pad, side + 2 * pad)
        on = bool(index.data(Qt.ItemDataRole.UserRole))
        painter.setPen(QColor(colours.text if on else colours.disabled))
        painter.setFont(theme.font("small"))
        height = line_height(painter.font())
        lines = broken(str(index.data()), text.width(), max(1, option.rect.height() // height))
        line = QRect(text.left(), 0, text.width(), height)
        line.moveTop(option.rect.center().y() - len(lines) * height // 2)
        for words in lines:
            painter.drawText(line, Qt.AlignmentFlag.AlignVCenter, words)
            line.translate(0, height)


class ChangeTable(QTableView):
    """Shows a ChangeModel with thumbnails. Signals: opened(object) with a picture."""

    opened = Signal(object)

    def __init__(self, model: ChangeModel, background: Background) -> None:
        super().__init__()
        self.setAccessibleName(self.tr("Captions before and after"))
        self._background = background
        self._images: dict[Path, QImage] = {}
        self._changes = model
        self.setModel(model)
        texts = _TextDelegate(self)
        self.setItemDelegateForColumn(PICTURE, _PictureDelegate(self))
        self.setItemDelegateForColumn(BEFORE, texts)
        self.setItemDelegateForColumn(AFTER, texts)
        self.verticalHeader().hide()
        self.setShowGrid(False)
        self.setWordWrap(True)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked
            | QAbstractItemView.EditTrigger.EditKeyPressed
        )
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionsClickable(False)
        for column, mode in (
            (TICK, QHeaderView.ResizeMode.Fixed),
            (PICTURE, QHeaderView.ResizeMode.Fixed),
            (BEFORE, QHeaderView.ResizeMode.Stretch),
            (AFTER, QHeaderView.ResizeMode.Stretch),
        ):
            header.setSectionResizeMode(column, mode)
        header.resizeSection(TICK, theme.unit(4))
        header.resizeSection(PICTURE, self.thumbnail_side() + theme.em(18))
        self.verticalHeader().setDefaultSectionSize(self.thumbnail_side() + theme.unit(1.5))
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(40)
        self._timer.timeout.connect(self._fetch)
        self.verticalScrollBar().valueChanged.connect(lambda _: self._timer.start())
        model.modelReset.connect(self._timer.start)
        model.rowsInserted.connect(lambda *_: self._timer.start())

    def thumbnail_side(self) -> int:
        """Edge of the thumbnails in pixels."""
        return theme.unit(7)

    def thumbnail(self, row: int) -> QImage | None:
        """The picture of a row, None while it is being read."""
        return self._images.get(self._changes.change(row).picture)

    def _fetch(self) -> None:
        """Read the thumbnails of the rows on show."""
        rows = self._changes.rowCount()
        first = max(0, self.rowAt(0))
        last = self.rowAt(self.viewport().height() - 1)
        last = rows - 1 if last < 0 else last
        wanted = [
            path
            for row in range(first, last + 1)
            if (path := self._changes.change(row).picture) not in self._images
        ]
        if not wanted:
            return
        side = round(self.thumbnail_side() * self.devicePixelRatioF())

        def work(cancelled: StopCheck) -> dict[Path, QImage]:
            return {path: read_square(path, side, cancelled) for path in wanted}

        self._background.run(self, ("change thumbs", id(self)), work, self._show)

    def _show(self, images: object) -> None:
        if isinstance(images, dict):
            self._images.update(images)
            self.viewport().update()

    def resizeEvent(self, event: object) -> None:
        super().resizeEvent(event)  # type: ignore[arg-type]
        self._timer.start()

    def sizeHint(self) -> QSize:
        return QSize(theme.em(110), theme.unit(16))
