"""Many pictures to look over in a dialog, each with its name and perhaps a check mark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap
from PySide6.QtWidgets import QListView

from app import theme
from app.thumbnails import ThumbnailStore
from app.viewer.source import Entry

_Index = QModelIndex | QPersistentModelIndex
_ROLE = Qt.ItemDataRole


class _Pictures(QAbstractListModel):
    """One row for each entry; thumbnails are made for rows that are drawn. Signals: checked()."""

    checked = Signal()

    def __init__(
        self,
        entries: Sequence[Entry],
        store: ThumbnailStore,
        edge: int,
        checks: bool,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self.entries, self._checks = list(entries), checks
        self.taken = {entry.path for entry in entries} if checks else set()
        self.ratio = 1.0
        self._edge, self._store = edge, store
        self._rows = {entry.path: row for row, entry in enumerate(self.entries)}
        store.ready.connect(self._arrived)

    def rowCount(self, parent: _Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.entries)

    def flags(self, index: _Index) -> Qt.ItemFlag:
        more = Qt.ItemFlag.ItemIsUserCheckable if self._checks else Qt.ItemFlag.NoItemFlags
        return super().flags(index) | more

    def data(self, index: _Index, role: int = _ROLE.DisplayRole) -> object:
        entry = self.entries[index.row()]
        if role == _ROLE.DisplayRole:
            return entry.name
        if role == _ROLE.ToolTipRole:
            return entry.path
        if role == _ROLE.DecorationRole:
            return self._icon(Path(entry.path))
        if role == _ROLE.CheckStateRole and self._checks:
            is_taken = entry.path in self.taken
            return Qt.CheckState.Checked if is_taken else Qt.CheckState.Unchecked
        return None

    def setData(self, index: _Index, value: object, role: int = _ROLE.EditRole) -> bool:
        if role != _ROLE.CheckStateRole or not self._checks:
            return False
        path = self.entries[index.row()].path
        if Qt.CheckState(value) == Qt.CheckState.Checked:
            self.taken.add(path)
        else:
            self.taken.discard(path)
        self.dataChanged.emit(index, index, [role])
        self.checked.emit()
        return True

    def _icon(self, path: Path) -> QIcon:
        pixels = round(self._edge * self.ratio)
        image = self._store.peek(path, pixels)
        if image is None:
            self._store.request(path, pixels, 10)
        pixmap = QPixmap(QSize(pixels, pixels))
        pixmap.fill(QColor(theme.colours().picture))
        if image is not None and not image.isNull():
            size = image.size().scaled(pixels, pixels, Qt.AspectRatioMode.KeepAspectRatio)
            target = QRectF(0, 0, size.width(), size.height())
            target.moveCenter(QRectF(0, 0, pixels, pixels).center())
            painter = QPainter(pixmap)
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(target, image)
            painter.end()
        pixmap.setDevicePixelRatio(self.ratio)
        return QIcon(pixmap)

    def _arrived(self, path: object, image: object) -> None:
        row = self._rows.get(str(path))
        if row is not None:
            index = self.index(row)
            self.dataChanged.emit(index, index, [_ROLE.DecorationRole])


class Thumbs(QListView):
    """Thumbnails with names, side by side. Signals: changed() when one was checked or not."""

    changed = Signal()

    def __init__(self, entries: Sequence[Entry], store: ThumbnailStore, checks: bool) -> None:
        super().__init__()
        edge = theme.unit(14)
        self._pictures = _Pictures(entries, store, edge, checks, self)
        self._pictures.checked.connect(self.changed)
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setLayoutMode(QListView.LayoutMode.Batched)
        self.setUniformItemSizes(True)
        self.setIconSize(QSize(edge, edge))
        self.setGridSize(QSize(edge + theme.unit(5), edge + theme.unit(4)))
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self._pictures.ratio = self.devicePixelRatioF()
        self.setModel(self._pictures)

    def chosen(self) -> list[Entry]:
        """The checked ones."""
        return [e for e in self._pictures.entries if e.path in self._pictures.taken]

    def chosen_count(self) -> int:
        """How many are checked."""
        return len(self._pictures.taken)
