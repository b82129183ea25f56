"""The preset bar: choose, save, and manage presets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PySide6.QtCore import QSize, Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QMenu,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from app import dialogs, theme
from app.icons import icon
from app.state import SettingsState
from app.widgets.fields import ClosedBox
from core.config import presets
from core.config.presets import PresetInfo
from core.errors import UserError
from core.reading import LARGEST_JSON, read_bytes


class PresetsBar(QWidget):
    """Chooses and saves presets of the state. Signals: loaded(name) after one was chosen.

    undo: brings back the preset that was deleted last; shown until another is chosen or saved.
    """

    loaded = Signal(str)

    def __init__(self, state: SettingsState) -> None:
        super().__init__()
        self._state = state
        self._presets: list[PresetInfo] = []
        self.combo = ClosedBox()
        self.combo.setMinimumWidth(theme.em(28))
        self.combo.setMaximumWidth(theme.em(44))
        self.combo.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.combo.setAccessibleName(self.tr("Preset"))
        self.combo.setPlaceholderText(self.tr("no preset"))
        self.combo.activated.connect(self._activated)
        self.save_button = QPushButton(self.tr("Save"))
        self.save_button.setToolTip(self.tr("Save the preset (Ctrl+S)"))
        self.save_button.clicked.connect(self.save)
        self.save_as_button = QPushButton(self.tr("Save as..."))
        self.save_as_button.setToolTip(self.tr("Save under another name (Ctrl+Shift+S)"))
        self.save_as_button.clicked.connect(self.save_as)
        self.menu_button = QToolButton()
        self.menu_button.setIcon(icon("ellipsis", "muted"))
        self.menu_button.setIconSize(QSize(theme.unit(2), theme.unit(2)))
        self.menu_button.setToolTip(self.tr("More about presets"))
        self.menu_button.setAccessibleName(self.tr("More about presets"))
        self.menu_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.menu = QMenu(self.menu_button)
        self.menu.aboutToShow.connect(self._fill_menu)
        self.menu_button.setMenu(self.menu)
        self.undo = QPushButton()
        theme.set_role(self.undo, "link")
        self.undo.clicked.connect(self._undo_delete)
        self.undo.hide()
        self._deleted: tuple[Path, bytes] | None = None
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.unit())
        row.addWidget(self.combo, 2)
        for widget in (self.save_button, self.save_as_button, self.menu_button):
            row.addWidget(widget)
        row.addWidget(self.undo)
        row.addStretch(1)
        for button in (self.save_button, self.save_as_button):
            button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        state.dirtyChanged.connect(lambda _: self.show_current())
        state.reloaded.connect(self.show_current)
        self.loaded.connect(lambda _: self._forget_deleted())
        self.refresh()

    # --- showing ------------------------------------------------------------

    def refresh(self) -> None:
        """Read the list of presets from disk again."""
        self._presets = presets.list_presets()
        self.combo.blockSignals(True)
        self.combo.clear()
        for number, info in enumerate(self._presets):
            if number and not info.builtin and self._presets[number - 1].builtin:
                self.combo.insertSeparator(self.combo.count())
            self.combo.addItem(info.name, info.name)
        self.combo.blockSignals(False)
        self.show_current()

    def show_current(self) -> None:
        """Show which preset is in use, with `*` while it was changed."""
        current = self.current()
        for index in range(self.combo.count()):
            name = self.combo.itemData(index)
            if name is not None:
                marked = self._state.dirty and name == self._state.preset
                self.combo.setItemText(index, f"{name} *" if marked else name)
        self.combo.setCurrentIndex(self.combo.findData(current.name) if current else -1)
        own = current is not None and not current.builtin
        self.save_button.setEnabled(own or current is None)
        self.save_button.setToolTip(
            self.tr("Save the preset (Ctrl+S)")
            if own
            else self.tr("Built-in presets cannot be changed: use Save as")
        )

    def current(self) -> PresetInfo | None:
        """The preset in use, if its file is there."""
        return next((p for p in self._presets if p.name == self._state.preset), None)

    # --- choosing ------------------------------------------------------------

    def _activated(self, index: int) -> None:
        name = self.combo.itemData(index)
        if name is None or not self.choose(name):
            self.show_current()

    def choose(self, name: str) -> bool:
        """Load a preset by name after asking about unsaved edits; whether it was loaded."""
        info = next((p for p in self._presets if p.name == name), None)
        if info is None or (info.name == self._state.preset and not self._state.dirty):
            return False
        if self._state.dirty and not self._settle_edits(name):
            return False
        # Saving may have made new files.
        return self._load(info)

    def _settle_edits(self, to: str) -> bool:
        """Ask what becomes of unsaved edits; False to stay."""
        mine = self._state.preset or self.tr("the settings")
        question = self.tr("Save the changes to %1 before %2 is loaded?")
        answer = dialogs.ask(
            self,
            self.tr("Unsaved changes"),
            question.replace("%1", mine).replace("%2", to),
            [
                ("save", self.tr("Save")),
                ("discard", self.tr("Discard")),
                ("cancel", self.tr("Cancel")),
            ],
            self.tr("Discarded changes can be brought back with Undo (Ctrl+Z)."),
        )
        return answer == "discard" or (answer == "save" and self.save())

    def _load(self, info: PresetInfo) -> bool:
        try:
            loaded = presets.load_preset(info.path)
        except UserError as error:
            dialogs.tell_error(self, self.tr("The preset could not be loaded"), error)
            return False
        data = presets.resolve_paths(loaded.data, info.path.parent)
        self._state.load_preset(info.name, data, loaded.unknown, builtin=info.builtin)
        if loaded.problems:
            dialogs.tell(
                self, self.tr("Not everything in the preset was understood"), loaded.problems
            )
        self.loaded.emit(info.name)
        return True

    # --- saving ------------------------------------------------------------

    def save(self) -> bool:
        """Save into the preset in use, or under a name that is asked for; whether it was saved."""
        current = self.current()
        if current is None or current.builtin:
            return self.save_as()
        return self._write(current.path, current.name)

    def save_as(self) -> bool:
        """Ask for a name and save there; whether it was saved."""
        current = self._state.preset.lstrip("# ")
        name = dialogs.ask_name(
            self, self.tr("Save preset as"), self.tr("Name of the preset"), current
        )
        if not name:
            return False
        try:
            path = presets.preset_path(name)
        except UserError as error:
            dialogs.tell_error(self, self.tr("The preset was not saved"), error)
            return False
        taken = next((p for p in self._presets if p.path == path), None)
        if taken is not None and taken.name != self._state.preset:
            question = self.tr("There already is a preset named %1. Replace it?")
            answers = [("replace", self.tr("Replace")), ("cancel", self.tr("Cancel"))]
            answer = dialogs.ask(
                self, self.tr("Replace preset"), question.replace("%1", name), answers
            )
            if answer != "replace":
                return False
        return self._write(path, path.stem)

    def _write(self, path: Path, name: str) -> bool:
        try:
            data = _as_written(self._state.data, path)
            presets.save_preset(path, data, self._state.unknown)
        except UserError as error:
            dialogs.tell_error(self, self.tr("The preset was not saved"), error)
            return False
        self._state.saved_as(name)
        self.refresh()
        return True

    # --- managing ------------------------------------------------------------

    def _fill_menu(self) -> None:
        current = self.current()
        own = current is not None and not current.builtin
        self.menu.clear()
        entries: list[tuple[str, str, Callable[[], object], bool]] = [
            ("pencil", self.tr("Rename..."), self.rename, own),
            ("copy", self.tr("Duplicate..."), self.duplicate, current is not None),
            ("trash-2", self.tr("Delete"), self.delete, own),
            ("", "", lambda: None, True),
            ("download", self.tr("Import..."), self.import_dialog, True),
            ("upload", self.tr("Export..."), self.export_dialog, True),
            ("folder-open", self.tr("Show file"), self.show_file, current is not None),
        ]
        for drawing, text, act, enabled in entries:
            if not text:
                self.menu.addSeparator()
            else:
                self.menu.addAction(icon(drawing), text, act).setEnabled(enabled)

    def rename(self) -> None:
        """Ask for a new name of the preset in use."""
        current = self.current()
        if current is None:
            return
        name = dialogs.ask_name(self, self.tr("Rename preset"), self.tr("New name"), current.name)
        if name and name != current.name:
            self._managed(
                lambda: self._state.renamed(presets.rename_preset(current.path, name).stem)
            )

    def duplicate(self) -> None:
        """Copy the preset in use under a name that is asked for."""
        current = self.current()
        if current is None:
            return
        suggestion = self.tr("%1 copy").replace("%1", current.name.lstrip("# "))
        name = dialogs.ask_name(
            self, self.tr("Duplicate preset"), self.tr("Name of the copy"), suggestion
        )
        if name:
            self._managed(lambda: presets.duplicate_preset(current.path, name))

    def delete(self) -> None:
        """Move the preset in use to the trash; its values stay in the window."""
        current = self.current()
        if current is None:
            return

        def act() -> None:
            content = read_bytes(current.path, LARGEST_JSON)
            presets.delete_preset(current.path)
            self._state.renamed("")
            self._deleted = current.path, content
            self.undo.setText(self.tr("Deleted %1. Undo").replace("%1", current.name))
            self.undo.show()

        self._managed(act)

    def _undo_delete(self) -> None:
        def act() -> None:
            assert self._deleted is not None
            restored = presets.restore_preset(*self._deleted)
            if not self._state.preset:
                self._state.renamed(restored.stem)

        if self._deleted is not None:
            self._managed(act)
            self._forget_deleted()

    def _forget_deleted(self) -> None:
        self._deleted = None
        self.undo.hide()

    def import_dialog(self) -> None:
        """Ask for a preset file and import it."""
        path, _ = QFileDialog.getOpenFileName(
            self, self.tr("Import preset"), str(Path.home()), self.tr("Presets (*.json)")
        )
        if path:
            self.import_file(Path(path))

    def import_file(self, path: Path) -> None:
        """Copy a preset file to the user's presets and choose it."""
        imported: list[Path] = []
        self._managed(lambda: imported.append(presets.import_preset(path)))
        if imported:
            self.choose(imported[0].stem)

    def export_dialog(self) -> None:
        """Ask for a place and write the settings there as they are shown, saved or not."""
        name = self._state.preset.lstrip("# ") or self.tr("preset")
        start = str(Path.home() / f"{name}.json")
        path, _ = QFileDialog.getSaveFileName(
            self, self.tr("Export preset"), start, self.tr("Presets (*.json)")
        )
        if path:
            self.export_to(Path(path))

    def export_to(self, path: Path) -> None:
        """Write the settings on view to a preset file."""
        self._managed(lambda: presets.export_preset(path, self._state.data, self._state.unknown))

    def show_file(self) -> None:
        """Open the folder that the preset's file lies in."""
        current = self.current()
        if current is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(current.path.parent)))

    def _managed(self, act: Callable[[], object]) -> None:
        try:
            act()
        except UserError as error:
            dialogs.tell_error(self, self.tr("Presets"), error)
        self.refresh()
        self.combo.setFocus(Qt.FocusReason.OtherFocusReason)


def _as_written(data: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The data with those paths as the file has them that still mean the same place.

    The window works with absolute paths; a preset that was written with relative ones, to be
    moved together with its pictures, keeps them.
    """
    if not path.exists():
        return dict(data)
    written = presets.load_preset(path).data
    resolved = presets.resolve_paths(written, path.parent)
    kept: dict[str, Any] = _restore(data, written, resolved)
    return kept


def _restore(now: Any, written: Any, resolved: Any) -> Any:
    if isinstance(now, Mapping) and isinstance(written, Mapping):
        return {
            key: _restore(value, written[key], resolved[key]) if key in written else value
            for key, value in now.items()
        }
    if isinstance(now, list) and isinstance(written, list):
        pairs = list(zip(written, resolved, strict=True))
        return [
            _restore(value, *pairs[index]) if index < len(pairs) else value
            for index, value in enumerate(now)
        ]
    return written if now == resolved and type(now) is type(written) else now
