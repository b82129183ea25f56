"""A concept's pictures: the grid, the large picture beside it, and everything done to them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QPoint, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMenu,
    QProgressBar,
    QPushButton,
    QSplitter,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app import prefs, theme
from app.background import Background
from app.concepts.actions import PictureActions
from app.concepts.changes import Changes, first_sentence
from app.concepts.conditions import Conditions
from app.concepts.duplicates import DuplicateSearch
from app.concepts.facts import FILTERS, Listing, Look, PictureFacts
from app.concepts.grid import PictureGrid
from app.concepts.model import PictureModel
from app.concepts.side import SidePanel
from app.concepts.source import PictureSource
from app.concepts.toolbar import PictureBar
from app.concepts.undoing import way_of, words_of
from app.i18n import counted
from app.icons import icon
from app.thumbnails import ThumbnailStore
from app.widgets.buttons import tool_button
from app.widgets.labels import Note
from core.paths import user_path

if TYPE_CHECKING:
    from app.viewer.window import Viewer

# Up to so many pictures look-alikes are searched for unasked: it takes seconds.
_SEARCHED_UNASKED = 300
# How soon after a change is announced its files are surely written.
_WRITTEN_MS = 300


class PicturesPage(QWidget):
    """The pictures of one concept. Signals:

    revealed(): the picture that somebody is led to is the grid's current one now.
    """

    revealed = Signal()

    def __init__(self, background: Background, store: ThumbnailStore) -> None:
        super().__init__()
        self._background, self.store = background, store
        self._look: Look | None = None
        self._reveal: Path | None = None
        self._alike = "all"
        self._searched: tuple[Path, ...] = ()
        self._trouble = ""
        self._current: Path | None = None
        self._viewer: Viewer | None = None
        self.model = PictureModel(self)
        self.source = PictureSource(background, self.model.facts, self)
        self.changes = Changes(self)
        self.duplicates = DuplicateSearch(background, self)
        self.grid = PictureGrid(self.model, store)
        self.acts = PictureActions(self.model, self.grid, self.changes)
        self.bar = PictureBar()
        self.side = SidePanel(background, self._usable, self.grid.selected)
        self.conditions = Conditions(self.bar, self.model, self.side)
        self.detail = self.side.detail
        self.said = Note(lines=1)
        self._build()
        self._connect()
        self._recall()

    # --- building ------------------------------------------------------------

    def _build(self) -> None:
        self.empty = QLabel()
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.empty.setWordWrap(True)
        theme.set_role(self.empty, "muted")
        self.stack = QStackedWidget()
        self.stack.addWidget(self.grid)
        self.stack.addWidget(self.empty)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setFixedSize(theme.em(14), theme.unit(0.75))
        self.progress.hide()
        self.find_alikes = QPushButton(icon("copy"), self.tr("Find look-alikes"))
        self.find_alikes.clicked.connect(self._find_or_stop)
        self.undo = tool_button("undo-2", self.tr("Undo (Ctrl+Z)"), lambda: self.go_back("undo"))
        self.redo = tool_button("redo-2", self.tr("Redo (Ctrl+Y)"), lambda: self.go_back("redo"))
        self.act = tool_button("ellipsis", self.tr("What can be done to the selected pictures"))
        self.act.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.menu = QMenu(self.act)
        self.menu.aboutToShow.connect(lambda: self.acts.fill(self.menu))
        self.act.setMenu(self.menu)
        self.number = QLabel()
        theme.set_role(self.number, "small")
        below = QHBoxLayout()
        below.setSpacing(theme.unit(0.75))
        below.addWidget(self.number)
        below.addSpacing(theme.unit())
        below.addWidget(self.said, 1)
        below.addWidget(self.progress)
        below.addWidget(self.find_alikes)
        below.addWidget(self.undo)
        below.addWidget(self.redo)
        below.addWidget(self.act)
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.unit(0.75))
        column.addWidget(self.stack, 1)
        column.addLayout(below)
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.setHandleWidth(max(1, theme.unit(0.5)))
        self.splitter.addWidget(left)
        self.splitter.addWidget(self.side)
        self.splitter.setStretchFactor(0, 1)
        self.splitter.setStretchFactor(1, 0)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(theme.unit())
        whole.addWidget(self.bar)
        whole.addWidget(self.splitter, 1)
        theme.give_air(self)

    def _connect(self) -> None:
        bar, grid, model = self.bar, self.grid, self.model
        self.conditions.changed.connect(self._arranged)
        bar.sortChosen.connect(self._sort)
        bar.edgeChosen.connect(grid.set_edge)
        bar.listChosen.connect(grid.set_as_list)
        bar.sideToggled.connect(self.side.setVisible)
        grid.edgeChanged.connect(bar.set_edge)
        grid.asked.connect(self._asked)
        self.acts.said.connect(self._say)
        self.acts.openRequested.connect(self.open_viewer)
        grid.menuRequested.connect(self._show_menu)
        grid.selectionModel().currentChanged.connect(lambda *_: self._show_current())
        grid.selectionModel().selectionChanged.connect(lambda *_: self._show_selected())
        for signal in (model.modelReset, model.rowsInserted, model.rowsRemoved):
            signal.connect(lambda *_: self._arranged())
        model.countsChanged.connect(self._show_counts)
        model.dataChanged.connect(lambda *_: self._show_current())
        model.captionEdited.connect(lambda path, text: self.acts.write_captions({path: text}))
        self.source.listed.connect(self._listed)
        self.source.found.connect(self._found)
        self.source.finished.connect(self._read)
        self.changes.began.connect(lambda: self.source.hold(True))
        self.changes.settled.connect(lambda: self.source.hold(False))
        self.changes.finished.connect(self._changed)
        self.store.failed.connect(self._bad_file)
        self.store.ready.connect(self._thumbnail)
        self.duplicates.found.connect(model.set_groups)
        self.duplicates.progressed.connect(self._show_progress)
        self.duplicates.failed.connect(self._bad_file)
        self.duplicates.ended.connect(self._search_ended)
        self.detail.focusChosen.connect(self.acts.set_focus)
        self.detail.opened.connect(self.open_viewer)
        self.side.pictureWanted.connect(self.reveal)
        self.side.filesChanged.connect(self._files_changed)
        self.side.wentBack.connect(lambda way, done: self._say(words_of(way, done)))
        application = QGuiApplication.instance()
        if isinstance(application, QGuiApplication):
            application.applicationStateChanged.connect(self._maybe_changed_outside)

    def _recall(self) -> None:
        """Size and layout as they were left."""
        self.bar.set_edge(int(prefs.text("pictures/edge", "20")))
        self.grid.set_edge(int(prefs.text("pictures/edge", "20")))
        self.bar.as_list.setChecked(prefs.text("pictures/list", "no") == "yes")
        self.bar.side.setChecked(prefs.text("pictures/side", "yes") == "yes")
        self.bar.edgeChosen.connect(lambda units: prefs.put("pictures/edge", units))
        self.bar.listChosen.connect(lambda on: prefs.put("pictures/list", "yes" if on else "no"))
        self.bar.sideToggled.connect(lambda on: prefs.put("pictures/side", "yes" if on else "no"))
        self._show_counts()
        self._arranged()

    def sizeHint(self) -> QSize:
        return QSize(theme.em(100), theme.unit(70))

    # --- what is shown ------------------------------------------------------------

    def set_look(self, look: Look) -> None:
        """Show these pictures as training looks at them."""
        before = self._look
        self._look = self.acts.look = look
        if before is not None and before.concept.path != look.concept.path:
            self.conditions.clear()
            self.model.clear()
            self._searched = ()
            self.said.set_note("")
        self.changes.set_root(user_path(look.concept.path))
        self.model.editable = look.editable
        self.side.set_look(look)
        if before is None or _reading(before) != _reading(look):
            self.source.set_look(look)
        self._show_current()

    def look(self) -> Look | None:
        """How training looks at the pictures shown."""
        return self._look

    def reveal(self, path: Path, alike: str = "all") -> None:
        """Show one picture, as soon as it is known, whatever is filtered.

        alike: one of FILTERS; its pictures are shown, unless this one is none of them.
        """
        self._reveal, self._alike = path, alike
        self._try_reveal()

    def _try_reveal(self) -> None:
        path = self._reveal
        facts = self.model.of(path) if path is not None else None
        if path is None or facts is None:
            return
        passes = FILTERS[self._alike](facts)
        if not passes and (self.source.busy or self.duplicates.busy):
            return  # what is still being found out may let it pass
        self._reveal = None
        wanted = self._alike if passes and self._alike != "all" else ""
        if wanted or self.model.row_of(path) < 0:
            self.conditions.clear()
            self.model.set_filter(wanted or "all")
            self._show_counts()
        self.grid.select([path], path)
        self.grid.setFocus(Qt.FocusReason.OtherFocusReason)
        self.revealed.emit()

    def _usable(self) -> list[Path]:
        """The pictures that training can read: the others need no caption."""
        return [path for path, facts in self.model.facts().items() if not facts.problem]

    def refresh(self) -> None:
        """Look at the folder once more."""
        self.source.refresh()

    def close_down(self) -> None:
        """Ask for nothing more of files."""
        self.side.close_down()
        self.changes.close()

    def _listed(self, listing: Listing) -> None:
        fresh = not self.model.facts()
        before = self.model.facts()
        self.model.take(listing)
        if before is not self.model.facts():
            self.side.pictures_changed()
        errors = [p for p in listing.problems if p.severity == "error"]
        self._trouble = errors[0].title if errors else ""
        if fresh and listing.facts and self.grid.current() is None and self._reveal is None:
            self.grid.select([self.model.path_at(0)])
        self._try_reveal()
        self._arranged()

    def _found(self, facts: list[PictureFacts]) -> None:
        changed = [f.path for f in facts if _replaced(self.model.of(f.path), f)]
        for path in changed:
            self.store.forget(path)
        self.model.merge(facts)
        self._try_reveal()

    def _read(self, error: object) -> None:
        paths = tuple(self.model.facts())
        if isinstance(error, Exception):
            self._say(str(error), "error")
        tools = self.side.tools
        if tools is not None and tools.store.pictures != self._usable():
            self.side.pictures_changed()  # some have turned out to be broken
        self._arranged()
        if 1 < len(paths) <= _SEARCHED_UNASKED and paths != self._searched and self.isVisible():
            self._search(paths)
        self._try_reveal()

    def _arranged(self) -> None:
        shown = bool(self.model.shown())
        self.stack.setCurrentWidget(self.grid if shown else self.empty)
        if not shown:
            self.empty.setText(self._why_empty())
        self._show_number()
        self._show_current()

    def _why_empty(self) -> str:
        if self._trouble:
            return self._trouble
        if self.model.facts():
            return self.tr("No picture fits the filter or the search.")
        if self.source.busy:
            return self.tr("Looking for pictures...")
        if self._look is not None and not self._look.concept.path.strip():
            return self.tr("Choose the folder with the pictures in Settings.")
        return self.tr("There are no pictures in this folder. They show here as they come.")

    def _show_counts(self) -> None:
        self.bar.set_counts(self.model.filter_counts, self.model.filter_name())
        self._show_number()

    def _show_number(self) -> None:
        chosen = self.grid.selected_count()
        shown, total = len(self.model.shown()), len(self.model.facts())
        text = counted(self.tr("%n picture(s)", "", total), total)
        if shown != total:
            of = counted(self.tr("%1 of %n picture(s)", "", total), total)
            text = of.replace("%1", str(shown))
        if chosen > 1:
            text += ", " + self.tr("%1 selected").replace("%1", str(chosen))
        self.number.setText(text)
        self.find_alikes.setVisible(
            self.duplicates.busy or len(self.model.facts()) > _SEARCHED_UNASKED
        )

    def _show_selected(self) -> None:
        self._show_number()
        self.side.selection_changed()

    def _show_current(self) -> None:
        path = self.grid.current()
        facts = self.model.of(path) if path is not None else None
        thumbnail = None
        if facts is not None:
            thumbnail = self.store.peek(facts.path, 512)
        self.detail.show_picture(facts, self._look, thumbnail)
        if path != self._current:
            self._current = path
            self.side.set_current(path)

    def _thumbnail(self, path: Path, image: object) -> None:
        if path == self.grid.current() and self.detail.preview.image().isNull():
            self._show_current()

    def _bad_file(self, path: Path, reason: str) -> None:
        self.model.change(path, problem=reason)

    def _say(self, text: str, kind: str = "help") -> None:
        self.said.set_note(text, kind)

    # --- look-alikes ------------------------------------------------------------

    def _sort(self, name: str) -> None:
        self.model.set_sort(name)
        paths = tuple(self.model.facts())
        if name == "similarity" and paths != self._searched:
            self._search(paths)

    def _find_or_stop(self) -> None:
        if self.duplicates.busy:
            self.duplicates.stop()
        else:
            self._search(tuple(self.model.facts()))

    def _search(self, paths: tuple[Path, ...]) -> None:
        self._searched = paths
        self.find_alikes.setText(self.tr("Stop searching"))
        self.duplicates.start([path for path in paths if not self.model.facts()[path].problem])
        self._show_number()

    def _show_progress(self, done: int, total: int) -> None:
        self.progress.setVisible(self.duplicates.busy and total > _SEARCHED_UNASKED)
        self.progress.setRange(0, total)
        self.progress.setValue(done)

    def _search_ended(self) -> None:
        self.progress.hide()
        self.find_alikes.setText(self.tr("Find look-alikes"))
        self._show_number()
        self._try_reveal()

    # --- acting ------------------------------------------------------------

    def open_viewer(self) -> None:
        """Show the pictures full screen, beginning with the current one."""
        look, path = self._look, self.grid.current()
        if look is None:
            return
        from app.concepts.viewing import view_pictures

        narrowed = self.model.is_narrowed() or look.concept.prompt.source == "metadata"
        shown = list(self.model.shown()) if narrowed and path is not None else None
        self._viewer = view_pictures(look, self.window(), shown, path)
        self._viewer.closed.connect(self._viewer_closed)

    def _viewer_closed(self) -> None:
        """Go to where the viewer was, and read what was done there."""
        from app.concepts.viewing import last_seen

        seen = last_seen(self._viewer) if self._viewer is not None else None
        self._viewer = None
        if seen is not None and self.model.row_of(seen) >= 0:
            self.grid.select([seen], seen)
        QTimer.singleShot(0, self, self.refresh)

    def _changed(self, outcome: object) -> None:
        from app.viewer.worker import Outcome

        assert isinstance(outcome, Outcome)
        if outcome.problems:
            self._say(first_sentence(outcome.problems), "error")
        elif (way := outcome.kind) in ("undo", "redo"):
            self._say(words_of(way, outcome.done))
        elif outcome.kind == "delete" and outcome.done is not None:
            number = len(outcome.done.pictures)
            text = self.tr("Moved %n picture(s) to the trash; Ctrl+Z brings back.", "", number)
            self._say(counted(text, number))
        else:
            self._say("")
        self.undo.setToolTip(f"{self.tr('Undo (Ctrl+Z)')}: {outcome.undo_label}".rstrip(": "))
        self.redo.setToolTip(f"{self.tr('Redo (Ctrl+Y)')}: {outcome.redo_label}".rstrip(": "))
        if outcome.kind in ("undo", "redo", "write"):
            self.side.captions_changed(list(self.model.facts()))
        if outcome.kind in ("undo", "redo") and outcome.done is not None:
            pictures = outcome.done.pictures
            if pictures:
                self._reveal, self._alike = pictures[0], "all"
        self._again()

    def _files_changed(self) -> None:
        """Captions were written by the tools beside the grid."""
        QTimer.singleShot(_WRITTEN_MS, self, self.source.refresh)

    def _again(self) -> None:
        """Read the folder when all changes are made."""
        if self.changes.is_busy():
            self.source.refresh()  # held until then
        else:
            QTimer.singleShot(0, self, self.source.refresh)

    def _asked(self, what: str) -> None:
        (self.go_back if what in ("undo", "redo") else self.acts.do)(what)

    def go_back(self, way: str) -> None:
        """Undo or redo the last change to these pictures' files, in the order of the changes.

        What the tools for captions are still writing comes first."""
        tools = self.side.tools
        if tools is not None and self.side.shows_captions() and tools.store.history is not None:
            (tools.undo if way == "undo" else tools.redo)()
        else:
            (self.changes.undo if way == "undo" else self.changes.redo)()

    def event(self, event: QEvent) -> bool:
        # The window's undo is the settings'; wherever the focus is in here it is these files'.
        if event.type() == QEvent.Type.ShortcutOverride and way_of(event):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if way := way_of(event):
            self.go_back(way)
        else:
            super().keyPressEvent(event)

    def _show_menu(self, at: QPoint) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.acts.fill(menu)
        menu.popup(at)

    # --- what happens elsewhere ------------------------------------------------------------

    def _maybe_changed_outside(self, state: Qt.ApplicationState) -> None:
        """Texts that another program rewrote in place: no folder watcher tells of them."""
        active = state == Qt.ApplicationState.ApplicationActive
        if active and self.isVisible() and not self.source.busy:
            self.source.refresh()

    def showEvent(self, event: QEvent) -> None:  # type: ignore[override]
        super().showEvent(event)  # type: ignore[arg-type]
        if self._look is not None and not self.source.busy:
            self.source.refresh()


def _reading(look: Look) -> tuple[object, ...]:
    """What decides on the facts of pictures; the rest of the settings is only shown."""
    concept = look.concept
    return (
        concept.path,
        concept.include_subfolders,
        concept.prompt.model_dump_json(),
        look.sides,
        look.shapes,
    )


def _replaced(old: PictureFacts | None, new: PictureFacts) -> bool:
    """Whether another picture lies under the name now."""
    return old is not None and old.read and (old.bytes, old.modified) != (new.bytes, new.modified)
