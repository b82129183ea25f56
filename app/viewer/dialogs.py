"""The two questions of the viewer: which rejected pictures go, and where kept ones go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QColor, QIcon, QImage, QPixmap
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListView,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app import prefs, theme
from app.i18n import counted
from app.icons import icon
from app.thumbnails import ThumbnailStore
from app.viewer.source import Entry

_ROLE = Qt.ItemDataRole.UserRole


class _Thumbs(QListWidget):
    """Pictures to look over, each with its name."""

    def __init__(self, entries: Sequence[Entry], store: ThumbnailStore, checks: bool) -> None:
        super().__init__()
        self._store = store
        self._edge = theme.unit(14)
        self._items: dict[str, QListWidgetItem] = {}
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setUniformItemSizes(True)
        self.setIconSize(QSize(self._edge, self._edge))
        self.setGridSize(QSize(self._edge + theme.unit(5), self._edge + theme.unit(4)))
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        for entry in entries:
            item = QListWidgetItem(self._icon(None), entry.name)
            item.setData(_ROLE, entry)
            item.setToolTip(entry.path)
            if checks:
                item.setCheckState(Qt.CheckState.Checked)
            self.addItem(item)
            self._items[entry.path] = item
        store.ready.connect(self._arrived)
        self.verticalScrollBar().valueChanged.connect(self._request)

    def _icon(self, image: QImage | None) -> QIcon:
        ratio = self.devicePixelRatioF()
        pixmap = QPixmap(QSize(self._edge, self._edge) * ratio)
        pixmap.fill(QColor(theme.colours().picture))
        pixmap.setDevicePixelRatio(ratio)
        if image is not None and not image.isNull():
            from PySide6.QtCore import QRectF
            from PySide6.QtGui import QPainter

            size = image.size().scaled(self._edge, self._edge, Qt.AspectRatioMode.KeepAspectRatio)
            target = QRectF(0, 0, size.width(), size.height())
            target.moveCenter(QRectF(0, 0, self._edge, self._edge).center())
            painter = QPainter(pixmap)
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(target, image)
            painter.end()
        return QIcon(pixmap)

    def _request(self) -> None:
        """Only for those on the screen."""
        area = self.viewport().rect()
        pixels = round(self._edge * self.devicePixelRatioF())
        for number in range(self.count()):
            item = self.item(number)
            if self.visualItemRect(item).intersects(area):
                path = Path(item.data(_ROLE).path)
                image = self._store.peek(path, pixels)
                if image is None:
                    self._store.request(path, pixels, 10)
                else:
                    item.setIcon(self._icon(image))

    def _arrived(self, path: object, image: object) -> None:
        item = self._items.get(str(path))
        if item is not None and isinstance(image, QImage):
            item.setIcon(self._icon(image))

    def showEvent(self, event: object) -> None:
        super().showEvent(event)  # type: ignore[arg-type]
        self._request()

    def chosen(self) -> list[Entry]:
        """The checked ones."""
        items = (self.item(number) for number in range(self.count()))
        return [i.data(_ROLE) for i in items if i.checkState() == Qt.CheckState.Checked]


class RejectedDialog(QDialog):
    """The rejected pictures, to be looked over once before they go to the trash."""

    def __init__(
        self, entries: Sequence[Entry], store: ThumbnailStore, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Rejected pictures"))
        headline = QLabel(self.tr("These rejected pictures go to the trash"))
        theme.set_role(headline, "title")
        advice = QLabel(
            self.tr("Their captions and masks go with them. One undo brings all of them back.")
        )
        theme.set_role(advice, "muted")
        self.list = _Thumbs(entries, store, checks=True)
        self.list.itemChanged.connect(lambda _item: self._count())
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.go = self.buttons.addButton("", QDialogButtonBox.ButtonRole.AcceptRole)
        theme.set_role(self.go, "primary")
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.setSpacing(theme.unit(1))
        for widget in (headline, advice, self.list, self.buttons):
            column.addWidget(widget)
        self._count()
        theme.darken(self)
        self.go.setDefault(True)
        self.go.setFocus()
        self.resize(theme.em(110), theme.em(80))

    def _count(self) -> None:
        number = len(self.list.chosen())
        text = counted(self.tr("Move %n rejected picture(s) to trash", "", number), number)
        self.go.setText(text)
        self.go.setEnabled(number > 0)

    def chosen(self) -> list[Entry]:
        """Those that shall go."""
        return self.list.chosen()


class KeptDialog(QDialog):
    """Where the kept pictures shall be copied or moved to. `choice` is `copy`, `move` or ""."""

    def __init__(
        self, entries: Sequence[Entry], store: ThumbnailStore, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Kept pictures"))
        self.choice = ""
        number = len(entries)
        headline = QLabel(counted(self.tr("%n kept picture(s)", "", number), number))
        theme.set_role(headline, "title")
        advice = QLabel(self.tr("Captions and masks go along. One undo takes all of it back."))
        theme.set_role(advice, "muted")
        recent = prefs.recent("kept")
        self.folder = QLineEdit(recent[0] if recent else "")
        self.folder.setPlaceholderText(self.tr("Folder; it is made if it does not exist"))
        self.folder.setAccessibleName(self.tr("Folder"))
        self.folder.textChanged.connect(lambda _text: self._check())
        browse = QPushButton(icon("folder-open", "on_accent"), self.tr("Choose..."))
        browse.clicked.connect(self._browse)
        row = QHBoxLayout()
        row.addWidget(self.folder, 1)
        row.addWidget(browse)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.copy = buttons.addButton(self.tr("Copy"), QDialogButtonBox.ButtonRole.ActionRole)
        self.move_ = buttons.addButton(self.tr("Move"), QDialogButtonBox.ButtonRole.ActionRole)
        theme.set_role(self.copy, "primary")
        self.copy.clicked.connect(lambda: self._choose("copy"))
        self.move_.clicked.connect(lambda: self._choose("move"))
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.setSpacing(theme.unit(1))
        column.addWidget(headline)
        column.addWidget(advice)
        column.addWidget(_Thumbs(entries, store, checks=False), 1)
        column.addLayout(row)
        column.addWidget(buttons)
        self._check()
        theme.darken(self)
        self.resize(theme.em(100), theme.em(64))

    def target(self) -> Path:
        """The chosen folder."""
        return Path(self.folder.text().strip()).expanduser()

    def _browse(self) -> None:
        start = self.folder.text().strip() or str(Path.home())
        dialog = QFileDialog(self, self.tr("Folder for kept pictures"), start)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        theme.darken(dialog)
        if dialog.exec():
            self.folder.setText(dialog.selectedFiles()[0])
        dialog.deleteLater()

    def _check(self) -> None:
        there = bool(self.folder.text().strip())
        self.copy.setEnabled(there)
        self.move_.setEnabled(there)

    def _choose(self, what: str) -> None:
        self.choice = what
        prefs.add_recent("kept", str(self.target()), 8)
        self.accept()
