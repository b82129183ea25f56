"""A path: typed, browsed for, dropped, or taken from the recent ones."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QMenu, QToolButton, QWidget

from app import prefs, theme
from app.icons import icon
from app.widgets.fields import TextField, first_local_path

RECENT = 8


class _PathLine(TextField):
    """Takes a dropped file as its path, not as a file:// address."""

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if first_local_path(event):
            event.acceptProposedAction()
        else:
            super().dragEnterEvent(event)

    def dropEvent(self, event: QDropEvent) -> None:
        path = first_local_path(event)
        if path:
            self.setText(path)
            self.edited.emit(path)
            event.acceptProposedAction()
        else:
            super().dropEvent(event)


class PathField(QWidget):
    """A line with a button to browse; kind: `folder`, `file`, `save_file` or `model`."""

    edited = Signal(object)

    def __init__(self, kind: str, title: str) -> None:
        super().__init__()
        self._kind, self._title = kind, title
        self.line = _PathLine()
        self.line.edited.connect(self.edited)
        self.line.editingFinished.connect(self._remember)
        self.browse = self._button("folder-open", self.tr("Browse"))
        self.recent = self._button("history", self.tr("Recent"))
        self.recent.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.recent.setMenu(QMenu(self.recent))
        self.recent.menu().aboutToShow.connect(self._fill_recent)
        if kind == "model":
            self.browse.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
            menu = QMenu(self.browse)
            menu.addAction(self.tr("Checkpoint file..."), lambda: self._choose("file"))
            menu.addAction(self.tr("Folder in diffusers format..."), lambda: self._choose("folder"))
            self.browse.setMenu(menu)
        else:
            self.browse.clicked.connect(lambda: self._choose(kind))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.unit(0.5))
        row.addWidget(self.line, 1)
        row.addWidget(self.browse)
        row.addWidget(self.recent)
        self.setFocusProxy(self.line)

    def _button(self, name: str, text: str) -> QToolButton:
        button = QToolButton()
        button.setIcon(icon(name, "muted"))
        button.setIconSize(QSize(theme.unit(2), theme.unit(2)))
        button.setToolTip(text)
        button.setAccessibleName(f"{text}: {self._title}")
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        return button

    def value(self) -> str:
        """The path as it was written."""
        return self.line.value()

    def set_value(self, value: Any) -> None:
        """Show a path."""
        self.line.set_value(value)

    def choose(self, path: str) -> None:
        """Take over a chosen path and remember it."""
        self.line.setText(path)
        self._remember()
        self.edited.emit(path)

    def edit(self) -> QLineEdit:
        """The line itself."""
        return self.line

    def _start_folder(self) -> str:
        written = Path(self.value()).expanduser()
        for path in (written, *written.parents):
            if self.value() and path.is_dir():
                return str(path)
        recent = prefs.recent(self._kind)
        return str(Path(recent[0]).parent) if recent else str(Path.home())

    def _choose(self, what: str) -> None:
        start = self._start_folder()
        if what == "folder":
            path = QFileDialog.getExistingDirectory(self, self._title, start)
        elif what == "save_file":
            path, _ = QFileDialog.getSaveFileName(
                self, self._title, self.value() or start, self.tr("LoRA (*.safetensors)")
            )
            if path and not Path(path).suffix:
                path += ".safetensors"
        else:
            wanted = self.tr("Models (*.safetensors)") if self._kind == "model" else ""
            every = self.tr("All files (*)")
            filters = ";;".join(part for part in (wanted, every) if part)
            path, _ = QFileDialog.getOpenFileName(self, self._title, start, filters)
        if path:
            self.choose(path)

    def _remember(self) -> None:
        if self.value().strip() and Path(self.value()).expanduser().exists():
            prefs.add_recent(self._kind, self.value(), RECENT)

    def _fill_recent(self) -> None:
        menu = self.recent.menu()
        menu.clear()
        for path in prefs.recent(self._kind):
            action = menu.addAction(path.replace("&", "&&"))
            action.triggered.connect(partial(self.choose, path))
        if menu.isEmpty():
            menu.addAction(self.tr("Nothing chosen yet")).setEnabled(False)
