"""What can be done to the selected pictures: every change of files goes through the history."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QObject, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QInputDialog, QMenu

from app.concepts.changes import Changes
from app.concepts.facts import Look, with_text
from app.concepts.grid import PictureGrid
from app.concepts.model import PictureModel
from app.icons import icon
from core.data.captions import caption_file_of

if TYPE_CHECKING:
    from app.viewer.worker import Outcome


class PictureActions(QObject):
    """Acts on the grid's pictures; what is seen changes at once, the files soon after.

    Signals: said(text, kind) has something to tell; openRequested() asks for the viewer.
    """

    said = Signal(str, str)
    openRequested = Signal()

    def __init__(self, model: PictureModel, grid: PictureGrid, changes: Changes) -> None:
        super().__init__(grid)
        self.model, self.grid, self.changes = model, grid, changes
        self.look: Look | None = None
        self._being_written: deque[dict[Path, str]] = deque()
        changes.finished.connect(self._changed)

    def do(self, what: str) -> None:
        """Do what `PictureGrid.asked` names to the selected pictures."""
        selected = self.grid.selected()
        acts: dict[str, Callable[[], object]] = {
            "delete": lambda: self.delete(selected),
            "open": self.openRequested.emit,
            "edit": self.edit_caption,
            "copy": lambda: self.copy_captions(selected),
            "paste": lambda: self.paste_caption(selected),
            "reject": lambda: self.toggle_mark(selected, "reject"),
            "keep": lambda: self.toggle_mark(selected, "keep"),
        }
        acts[what]()

    def delete(self, pictures: Sequence[Path]) -> None:
        """Move pictures, captions and masks to the trash; the next picture is current then."""
        if not pictures:
            return
        shown = self.model.shown()
        rows = [self.model.row_of(path) for path in pictures]
        gone = set(pictures)
        after = [p for p in shown[max(rows) + 1 :] if p not in gone]
        before = [p for p in shown[: min(rows)] if p not in gone]
        self.changes.delete(pictures)
        self.model.remove(pictures)
        following = after[:1] or before[-1:]
        if following:
            self.grid.select(following)
        self.grid.setFocus()

    def write_captions(self, texts: dict[Path, str]) -> None:
        """Give pictures' caption files these texts, as one step that can be undone."""
        look = self.look
        if look is None:
            return
        files: dict[Path, str | None] = {}
        before: dict[Path, str | None] = {}
        for picture, text in texts.items():
            facts, file = self.model.of(picture), caption_file_of(look.concept, picture)
            if facts is None or file is None or (facts.text == text and not facts.caption_problem):
                continue
            files[file] = text.replace("\n", facts.newline)
            if not facts.caption_problem:
                before[file] = facts.text
            self.model.update([with_text(facts, text, look.concept)])
        if files:
            one = next(iter(texts)).name
            label = self.tr("Caption of %1").replace("%1", one)
            if len(files) > 1:
                label = self.tr("Captions of %1 pictures").replace("%1", str(len(files)))
            self._being_written.append(texts)
            self.changes.write_texts(files, label, before)

    def _changed(self, outcome: Outcome) -> None:
        """Give a caption that could not be written back into its editor: it is not lost."""
        if outcome.kind != "write":
            return
        texts = self._being_written.popleft()
        if not outcome.problems or len(texts) != 1:
            return
        ((picture, text),) = texts.items()
        self.grid.edit_with(picture, text)

    def edit_caption(self) -> None:
        """Edit the current picture's caption where it stands."""
        if not self.model.editable:
            self._tell_not_editable()
        elif self.grid.current() is not None:
            self.grid.edit(self.grid.currentIndex())

    def copy_captions(self, pictures: Sequence[Path]) -> None:
        """Put the pictures' captions on the clipboard, a line between two pictures."""
        found = [facts.text for p in pictures if (facts := self.model.of(p)) is not None]
        if found:
            QGuiApplication.clipboard().setText("\n".join(found))

    def paste_caption(self, pictures: Sequence[Path]) -> None:
        """Give every selected picture the text on the clipboard as its caption."""
        text = QGuiApplication.clipboard().text()
        if not self.model.editable:
            self._tell_not_editable()
        elif pictures and text:
            self.write_captions(dict.fromkeys(pictures, text))

    def ask_caption(self, pictures: Sequence[Path]) -> None:
        """Ask for a caption for all selected pictures."""
        first = self.model.of(pictures[0]) if pictures else None
        if first is None:
            return
        text, agreed = QInputDialog.getMultiLineText(
            self.grid,
            self.tr("Caption"),
            self.tr("Caption of %1 pictures:").replace("%1", str(len(pictures))),
            first.text,
        )
        if agreed:
            self.write_captions(dict.fromkeys(pictures, text))

    def toggle_mark(self, pictures: Sequence[Path], mark: Literal["keep", "reject"]) -> None:
        """Mark pictures to keep or as rejected; take the mark away where all have it."""
        facts = [f for p in pictures if (f := self.model.of(p)) is not None]
        if not facts:
            return
        new: Literal["", "keep", "reject"] = "" if all(f.note.mark == mark for f in facts) else mark
        for one in facts:
            self.model.change(one.path, note=replace(one.note, mark=new))
        self.changes.mark([f.path for f in facts], new)

    def set_focus(self, focus: tuple[float, float] | None) -> None:
        """Lay the current picture's crop around a point, or in the middle."""
        path = self.grid.current()
        facts = self.model.of(path) if path is not None else None
        if facts is None or facts.note.focus == focus:
            return
        self.model.change(facts.path, note=replace(facts.note, focus=focus))
        self.changes.set_focus(facts.path, focus)

    def show_in_folder(self, picture: Path) -> None:
        """Open the folder that a picture lies in."""
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(picture.parent)))

    def _tell_not_editable(self) -> None:
        self.said.emit(
            self.tr(
                "These captions do not come from a text file beside each picture; choose that in "
                "Settings to edit them here."
            ),
            "todo",
        )

    def fill(self, menu: QMenu) -> None:
        """Offer what can be done now."""
        menu.clear()
        selected = self.grid.selected()
        current = self.grid.current()
        facts = self.model.of(current) if current is not None else None
        editable = self.model.editable

        def add(
            name: str, text: str, keys: str, act: Callable[[], object], on: bool = True
        ) -> None:
            action = menu.addAction(icon(name), f"{text}\t{keys}" if keys else text, act)
            action.setEnabled(on and bool(selected))

        add("eye", self.tr("Open in the viewer"), self.tr("Space"), self.openRequested.emit)
        add("pencil", self.tr("Edit the caption"), "F2", self.edit_caption, editable)
        if len(selected) > 1:
            text = self.tr("Caption for all selected...")
            add("captions", text, "", lambda: self.ask_caption(selected), editable)
        menu.addSeparator()
        add("copy", self.tr("Copy the caption"), "Ctrl+C", lambda: self.copy_captions(selected))
        text = self.tr("Paste as caption")
        add("clipboard", text, "Ctrl+V", lambda: self.paste_caption(selected), editable)
        menu.addSeparator()
        add("check", self.tr("Keep"), "K", lambda: self.toggle_mark(selected, "keep"))
        add("x", self.tr("Reject"), "X", lambda: self.toggle_mark(selected, "reject"))
        if facts is not None and facts.note.focus is not None:
            add("crosshair", self.tr("Crop from the middle"), "", lambda: self.set_focus(None))
        menu.addSeparator()
        if current is not None:
            text = self.tr("Show in folder")
            add("folder-open", text, "", lambda: self.show_in_folder(current))
        text = self.tr("Move to the trash")
        add("trash-2", text, self.tr("Del"), lambda: self.delete(selected))
