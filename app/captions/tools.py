"""The caption workspace: one picture's caption, the tags of all, changes of many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QHideEvent, QKeySequence, QResizeEvent, QShortcut
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLayout,
    QPushButton,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.captions.auto_dialog import AutoDialog
from app.captions.change_dialog import ChangeDialog
from app.captions.chips import ChipBox
from app.captions.editor import CaptionEditor
from app.captions.many_bar import ManyBar
from app.captions.operations import Kind
from app.captions.store import CaptionStore, FullHistory
from app.captions.tag_view import NO_CAPTION, TagView
from app.i18n import counted
from app.icons import icon
from app.widgets.buttons import tool_button
from app.widgets.labels import Note
from core.captioning.files import FileOf, beside
from core.captioning.tags import Change, add_tag, has_tag, remove_tag, tags_of
from core.errors import Problem

Provider = Callable[[], Sequence[Path]]


class CaptionTools(QWidget):
    """Everything about captions, as a panel beside a grid of pictures or one picture.

    It knows its host only by what it is given: a function that gives the pictures (again at each
    `refresh`), the history that writes and undoes, and the picture on show.

    Signals:
        filterChanged(object): the pictures to show, in order, or None for all.
        captionsChanged(list): pictures whose caption file is another one now.
        showPicture(object): please show this picture.
        historyMoved(object): undo or redo did something (core.culling.history.Done); it may
            have brought pictures back.
        told(list): problems; they are also shown in the panel.
    """

    filterChanged = Signal(object)
    captionsChanged = Signal(list)
    showPicture = Signal(object)
    historyMoved = Signal(object)
    told = Signal(list)

    def __init__(
        self,
        provider: Provider,
        history: FullHistory | None = None,
        file_of: FileOf = beside,
        parent: QWidget | None = None,
    ) -> None:
        """provider: gives the pictures. file_of: picture -> the caption file that editing writes,
        None where the caption is not a file's. Without `history` captions can only be read."""
        super().__init__(parent)
        self._provider, self._file_of = provider, file_of
        self._current: Path | None = None
        self._selected: list[Path] = []
        self._filter: tuple[str, ...] = ()
        self._filtered: list[Path] | None = None
        self._told: tuple[tuple[str, ...], list[Path] | None] = ((), None)
        # The newest edit of a single caption, and one that could not be written.
        self._written: Change | None = None
        self._lost: Change | None = None
        # Whether the end of the change that is being written is told.
        self._many = False
        self.store = CaptionStore(history, self)
        self.store.loaded.connect(self._loaded)
        self.store.changed.connect(self._changed)
        self.store.onDisk.connect(self._on_disk)
        self.store.told.connect(self._tell)
        self.store.busyChanged.connect(self._show_history)
        self.store.historyMoved.connect(self.historyMoved)
        self.editor = CaptionEditor(self.store.background)
        self.editor.committed.connect(self._committed)
        self.editor.undoAsked.connect(self.undo)
        self.editor.redoAsked.connect(self.redo)
        self.chips = ChipBox()
        self.chips.clicked.connect(lambda tag: self.set_filter([tag]))
        self.chips.removed.connect(self._toggle)
        self.tags = TagView()
        self.tags.filterAsked.connect(self._filter_asked)
        self.tags.clearAsked.connect(lambda: self.set_filter([]))
        self.tags.renameAsked.connect(lambda tag: self.change("rename", tag, "all"))
        self.tags.deleteAsked.connect(lambda tag: self.change("remove", tag, "all"))
        self.tags.frontAsked.connect(lambda tag: self.change("front", tag, "all"))
        self.tags.toggleAsked.connect(self._toggle)
        self.many = ManyBar()
        self.many.automatic.connect(self.automatic)
        self.many.changeAsked.connect(self.change)
        self.note = Note()
        self.note.setVisible(False)
        self.undo_link = QPushButton(self.tr("Undo"))
        self.undo_link.clicked.connect(self.undo)
        self.undo_link.setVisible(False)
        self._lay_out()
        self._add_shortcuts()
        self._show_current()

    def _lay_out(self) -> None:
        top = QWidget()
        upper = self._upper = QVBoxLayout(top)
        upper.setSpacing(theme.unit(0.75))
        upper.addWidget(self.editor, 1)
        upper.addWidget(self.chips)
        said = QHBoxLayout()
        said.setSpacing(theme.unit(0.5))
        said.addWidget(self.note, 1)
        said.addWidget(self.undo_link)
        upper.addLayout(said)
        upper.addLayout(self._buttons())
        bottom = QWidget()
        self._lower = QVBoxLayout(bottom)
        self._lower.addWidget(self.tags)
        self.splitter = QSplitter(Qt.Orientation.Vertical)
        self.splitter.addWidget(top)
        self.splitter.addWidget(bottom)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.setStretchFactor(0, 1)
        self.splitter.setStretchFactor(1, 2)
        self.splitter.setSizes([theme.unit(36), theme.unit(42)])
        self.splitter.setHandleWidth(1)
        column = self._column = QVBoxLayout(self)
        # With little height it rearranges itself, so the height it has now is no limit.
        column.setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)
        column.addWidget(self.splitter, 1)
        line = QFrame()
        line.setProperty("role", "line")
        line.setFixedHeight(1)
        column.addWidget(line)
        column.addWidget(self.many)
        theme.give_air(self)
        self._set_low(False)

    def _buttons(self) -> QHBoxLayout:
        self.next_button = QPushButton(icon("arrow-down"), self.tr("Next without caption"))
        self.next_button.setToolTip("Ctrl+J")
        self.next_button.clicked.connect(self.next_without_caption)
        self.undo_button = tool_button("undo-2", self.tr("Undo"), self.undo)
        self.redo_button = tool_button("redo-2", self.tr("Redo"), self.redo)
        row = QHBoxLayout()
        row.setSpacing(theme.unit(0.5))
        row.addWidget(self.next_button)
        row.addStretch(1)
        row.addWidget(self.undo_button)
        row.addWidget(self.redo_button)
        return row

    def _add_shortcuts(self) -> None:
        around = Qt.ShortcutContext.WidgetWithChildrenShortcut
        for keys, act in (
            ("Ctrl+J", self.next_without_caption),
            ("Ctrl+H", lambda: self.change("replace")),
        ):
            QShortcut(QKeySequence(keys), self, act, context=around)

    # --- what the host says ------------------------------------------------------

    def refresh(self) -> None:
        """Ask the provider for the pictures anew and read their captions."""
        self.store.set_pictures(self._provider(), self._file_of)

    def reload(self, pictures: Sequence[Path] | None = None) -> None:
        """Read the captions of some pictures anew, because somebody else has changed them."""
        self.store.reload(pictures)

    def set_source(
        self, provider: Provider, history: FullHistory | None, file_of: FileOf = beside
    ) -> None:
        """Work on another folder: keep what is edited, then read the new pictures' captions."""
        self.editor.commit()
        self.store.set_history(history)
        self._provider, self._file_of = provider, file_of
        self._current, self._selected = None, []
        self._drop_filter()
        self.editor.show_picture(None, "", "")
        self.refresh()

    def set_history(self, history: FullHistory) -> None:
        """Write and undo through this history, which was not open yet at `set_source`."""
        self.store.set_history(history)
        self._show_counts()
        self._show_current()

    def set_current(self, picture: Path | None) -> None:
        """Show the caption of this picture; what was edited of the one before is kept."""
        if picture != self._current and self.note.kind() == "help":
            # What went wrong stays until the next change.
            self.note.setVisible(False)
            self.undo_link.setVisible(False)
        self._current = picture
        self._show_current()

    def set_selected(self, pictures: Iterable[Path]) -> None:
        """The pictures that are selected, for changes of the selected ones."""
        self._selected = list(pictures)

    def commit(self) -> None:
        """Keep what is being edited, without waiting for it to be written."""
        self.editor.commit()

    def shutdown(self) -> None:
        """Keep what is being edited and finish writing; call it before the window goes."""
        self.editor.commit()
        self.store.close()

    # --- what the user asks ------------------------------------------------------

    def next_without_caption(self) -> None:
        """Show the next picture without a caption, after the current one and then from the top."""
        self.editor.commit()
        missing = self.store.index.without
        order = self._filtered if self._filtered is not None else self.store.pictures
        start = order.index(self._current) + 1 if self._current in order else 0
        for picture in [*order[start:], *order[:start]]:
            if picture in missing and picture != self._current:
                self.set_current(picture)
                self.showPicture.emit(picture)
                self.editor.edit.setFocus(Qt.FocusReason.OtherFocusReason)
                return

    def set_filter(self, tags: Sequence[str]) -> None:
        """Show only pictures that have all these tags; NO_CAPTION stands for none at all."""
        self._filter = tuple(dict.fromkeys(tags))
        self._refilter()

    def filter_tags(self) -> tuple[str, ...]:
        """The tags that the pictures to show have, see `set_filter`."""
        return self._filter

    def change(self, kind: Kind, first: str = "", scope: str = "") -> ChangeDialog:
        """Open the dialog that changes many captions; gives it. scope: see `scopes`, the
        narrowest without one."""
        self.editor.commit()
        dialog = ChangeDialog(self.window(), self.store, self.scopes(), kind, first, scope)
        dialog.applied.connect(self._apply_many)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()
        return dialog

    def automatic(self) -> AutoDialog:
        """Open the dialog of automatic captions; gives it."""
        self.editor.commit()
        dialog = AutoDialog(self.window(), self.store, self.scopes())
        dialog.applied.connect(self._apply_many)
        dialog.unwritten.connect(self._tell_unwritten)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()
        return dialog

    def scopes(self) -> dict[str, list[Path]]:
        """What changes of many can be done to; the narrowest first."""
        found = {"all": self.store.pictures}
        if self._filtered is not None:
            found = {"filtered": self._filtered, **found}
        if len(self._selected) > 1:
            found = {"selected": self._selected, **found}
        return found

    def undo(self) -> None:
        """Take the last step back."""
        self._tell([])
        self.editor.commit()
        self.store.undo()

    def redo(self) -> None:
        """Do the last step again that was taken back."""
        self._tell([])
        self.editor.commit()
        self.store.redo()

    def _toggle(self, tag: str) -> None:
        """Add a tag to the picture on show, or remove it there."""
        self.editor.commit()
        picture = self._current
        if picture is None or not self.store.can_edit(picture):
            return
        before = self.store.texts[picture]
        text = before or ""
        after = remove_tag(text, tag) if has_tag(text, tag) else add_tag(text, tag)
        self._apply([Change(picture, before, after)], self.tr("Tag %1").replace("%1", tag))

    def _filter_asked(self, tag: str, more: bool) -> None:
        if more and tag != NO_CAPTION and NO_CAPTION not in self._filter:
            without = tuple(one for one in self._filter if one != tag)
            self.set_filter(without if tag in self._filter else (*self._filter, tag))
        else:
            self.set_filter([] if self._filter == (tag,) else [tag])

    def _committed(self, picture: Path, before: str, after: str) -> None:
        known = self.store.texts.get(picture)
        self._written = Change(picture, known if before == (known or "") else before, after)
        self._apply([self._written], self.tr("Caption of %1").replace("%1", picture.name))

    def _apply(
        self,
        changes: Sequence[Change],
        label: str,
        finished: Callable[[], object] = lambda: None,
    ) -> None:
        self._tell([])
        self.store.apply(changes, label, finished)

    def _apply_many(
        self,
        changes: Sequence[Change],
        label: str,
        finished: Callable[[], object] = lambda: None,
    ) -> None:
        self._apply(changes, label, finished)
        self._many = True

    # --- showing -----------------------------------------------------------------

    def _loaded(self) -> None:
        self._show_counts()
        self._refilter()
        self._show_current()

    def _changed(self, pictures: list[Path]) -> None:
        self._show_counts()
        affected = set(pictures)
        if self._current in affected:
            self._show_current()
        if self._lost is not None and self._lost.picture in affected:
            lost, self._lost = self._lost, None
            if lost.picture == self._current:
                self.editor.retype(lost.after)
        if self._filter:
            self._refilter()

    def _on_disk(self, pictures: list[Path]) -> None:
        if self._written is not None and self._written.picture in set(pictures):
            self._written = None
        if self._many:
            self._many = False
            text = self.tr("%n caption(s) changed.", "", len(pictures))
            self.note.set_note(counted(text, len(pictures)), "help")
            self.note.setVisible(True)
            self.undo_link.setVisible(True)
        self.captionsChanged.emit(pictures)

    def _show_counts(self) -> None:
        missing = len(self.store.index.without)
        self.tags.set_counts(self.store.counts(), missing)
        self.next_button.setEnabled(missing > 0)
        able = self.store.history is not None and bool(self.store.texts)
        self.many.set_able(able)
        self._show_history()

    def _show_history(self, busy: bool = False) -> None:
        """What can be undone, as far as is known between two writings."""
        history = self.store.history
        self.undo_button.setEnabled(history is not None and history.can_undo)
        self.redo_button.setEnabled(history is not None and history.can_redo)
        undo = self.tr("Undo")
        label = history.undo_label if history is not None and history.can_undo else ""
        self.undo_button.setToolTip(f"{undo}: {label}" if label else undo)

    def _show_current(self) -> None:
        picture = self._current
        text = self.store.text(picture) if picture is not None else ""
        locked = self._locked(picture)
        self.editor.show_picture(picture, text, locked)
        tags = tags_of(text)  # of the newest text, which the index may not hold yet
        self.chips.set_tags(tags, self.store.counts(), removable=not locked)
        self._mark(tags)

    def _mark(self, tags: Sequence[str]) -> None:
        self.tags.set_marks(frozenset(tags), frozenset(self._filter), self._current is not None)

    def _locked(self, picture: Path | None) -> str:
        if picture is None:
            return ""
        if problem := self.store.problems.get(picture):
            return problem.title
        if picture not in self.store.texts:
            if picture in self.store.pictures or self.store.is_busy():
                return self.tr("Reading...")
            return self.tr("This picture cannot be read, or is not in the folder any more.")
        if self.store.history is None:
            return self.tr("The captions of this folder cannot be changed here.")
        return ""

    def _refilter(self) -> None:
        if not self._filter:
            self._filtered = None
        elif NO_CAPTION in self._filter:
            self._filtered = self.store.without_caption()
        else:
            self._filtered = [
                picture
                for picture in self.store.pictures
                if all(tag in self.store.tags(picture) for tag in self._filter)
            ]
        if self._filter and not self._filtered:
            self._filter, self._filtered = (), None
        self._mark(tags_of(self.store.text(self._current)) if self._current else [])
        self._tell_filter()

    def _drop_filter(self) -> None:
        self._filter, self._filtered = (), None
        self._tell_filter()

    def _tell_filter(self) -> None:
        now = self._filter, self._filtered
        if now != self._told:
            self._told = now
            self.filterChanged.emit(self._filtered)

    def _tell(self, problems: list[Problem]) -> None:
        self.undo_link.setVisible(False)
        self._many = False
        text = " ".join(problem.sentence() for problem in problems[:5])
        if problems and self._written is not None:
            # What was typed must not vanish with the writing that failed.
            self._lost, self._written = self._written, None
            if self._lost.picture != self._current:
                text += self.tr(" You wrote: %1").replace("%1", self._lost.after)
        self.note.setVisible(bool(problems))
        self.note.set_note(text, "error")
        if problems:
            self.told.emit(problems)

    def _tell_unwritten(self, made: int) -> None:
        text = self.tr(
            "%n new caption(s) left unwritten; the same settings offer them again.", "", made
        )
        self.note.set_note(counted(text, made), "help")
        self.note.setVisible(True)

    def hideEvent(self, event: QHideEvent) -> None:
        self.editor.commit()
        super().hideEvent(event)

    def sizeHint(self) -> QSize:
        return QSize(theme.em(48), theme.unit(80))

    def minimumSizeHint(self) -> QSize:
        return QSize(theme.em(38), theme.unit(37))

    def resizeEvent(self, event: QResizeEvent) -> None:
        # Where there is little height the list says the same as the chips.
        self._set_low(event.size().height() < theme.unit(58))
        super().resizeEvent(event)

    def _set_low(self, low: bool) -> None:
        self.chips.setVisible(not low)
        self.tags.set_low(low)
        self.editor.set_low(low)
        side = theme.unit(1.5)
        above = theme.unit(0.5) if low else side
        self._column.setContentsMargins(side, above, side, above)
        self._column.setSpacing(theme.unit(0.5 if low else 1))
        gap = theme.unit(0.5 if low else 1)
        self._upper.setContentsMargins(0, 0, 0, gap)
        self._lower.setContentsMargins(0, gap, 0, 0)
