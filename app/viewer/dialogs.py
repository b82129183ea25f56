"""The two questions of the viewer: which rejected pictures go, and where kept ones go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QSize
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app import prefs, theme
from app.dialogs import give_room
from app.i18n import counted
from app.icons import icon
from app.thumbnails import ThumbnailStore
from app.viewer.source import Entry
from app.viewer.thumbs import Thumbs


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
        self.list = Thumbs(entries, store, checks=True)
        self.list.changed.connect(self._count)
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
        give_room(self, QSize(theme.em(110), theme.em(80)))

    def _count(self) -> None:
        number = self.list.chosen_count()
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
        column.addWidget(Thumbs(entries, store, checks=False), 1)
        column.addLayout(row)
        column.addWidget(buttons)
        self._check()
        theme.darken(self)
        give_room(self, QSize(theme.em(100), theme.em(64)))

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
