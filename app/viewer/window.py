"""The viewer's window: the picture, what lies over it, and everything joined together."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QCloseEvent,
    QColor,
    QCursor,
    QDragEnterEvent,
    QDropEvent,
    QHideEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app import prefs, theme
from app.dialogs import give_room
from app.icons import icon
from app.thumbnails import ThumbnailStore
from app.viewer import keys
from app.viewer.album import Album
from app.viewer.commands import Commands
from app.viewer.compare import Panes
from app.viewer.controls import Bar, EdgeButton
from app.viewer.describe import Describer
from app.viewer.editor import CaptionEditor
from app.viewer.facts import FactReader, Facts
from app.viewer.filmstrip import Filmstrip
from app.viewer.in_use import InUse
from app.viewer.judge import Judge
from app.viewer.jump import JumpBox
from app.viewer.live import Folder
from app.viewer.navigator import Navigator
from app.viewer.notice import Notice
from app.viewer.overlays import Shown
from app.viewer.prefetch import Loader, chosen_budget
from app.viewer.quick import first_look
from app.viewer.source import Entry, Listing, Source, Training, dropped, entries_of
from app.viewer.survey import Survey

CONTROLS_MS = 2200
# The first pictures come before what is found out about all of them.
SURVEY_MS = 1000
SWITCH_SECONDS = 0.0005


class Viewer(QWidget):
    """Goes through pictures one at a time.

    Signals: closed() after the window has gone; listed() once the folder is known;
    pictureShown(path, stage) when a picture was drawn.
    """

    closed = Signal()
    listed = Signal()
    pictureShown = Signal(str, int)

    def __init__(
        self,
        source: Source,
        training: Training,
        start: Path | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent, Qt.WindowType.Window)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setAcceptDrops(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setWindowIcon(icon("sparkles", "accent"))
        self.setMouseTracking(True)
        # The window waits for the interpreter as long as this whenever a thread has it.
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_SECONDS))
        self.source, self.training = source, training
        self.keymap = keys.load()
        self.album = Album(self)
        self.loader = Loader(self, budget=chosen_budget(), first_look=first_look)
        self.store = ThumbnailStore(self)
        self.facts = FactReader(training, self)
        self.in_use = InUse(self.facts.background, self)
        self.describer = Describer(self.album, self.facts, self)
        self.panes = Panes(self._shown, self)
        self.nav = Navigator(self.album, self.loader, self.panes, self)
        self.strip = Filmstrip(self.album, self.store, lambda: not self.loader.is_idle(), self)
        self.notice = Notice(self)
        self.survey = Survey(self)
        self.commands = Commands(self)
        self.bar = Bar(self)
        self.sides = (EdgeButton("chevron-left"), EdgeButton("chevron-right"))
        self.editor = CaptionEditor(self.facts, self)
        self.jump = JumpBox(self.album, self)
        self._closing = False
        self._gone = ""
        self._hide_controls = QTimer(self)
        self._hide_controls.setSingleShot(True)
        self._hide_controls.setInterval(CONTROLS_MS)
        self._hide_controls.timeout.connect(lambda: self.show_controls(False))
        self._build()
        self._connect()
        self._begin(source, start)

    # --- building ------------------------------------------------------------

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.panes, 1)
        column.addWidget(self.strip)
        self.strip.setVisible(prefs.text("viewer/filmstrip", "no") == "yes")
        for name in ("info", "caption", "crop"):
            on = prefs.text(f"viewer/{name}", "no") == "yes"
            setattr(self.describer, f"shows_{name}", on)
        for side, way in zip(self.sides, ("previous", "next"), strict=True):
            side.setParent(self)
            side.clicked.connect(lambda _=False, c=way: self.commands.run(c))
        self.name_buttons()
        give_room(self, QSize(theme.em(160), theme.em(100)))
        self._usual = self.geometry()

    def _connect(self) -> None:
        self.album.moved.connect(self._moved)
        self.album.listChanged.connect(self._show_list)
        self.album.entryChanged.connect(self._show_entry)
        self.nav.arrived.connect(lambda _path: self._show_place())
        self.nav.rested.connect(self._rested)
        self.loader.replaced.connect(self._file_replaced)
        self.facts.found.connect(self._facts_found)
        self.describer.maskReady.connect(self.panes.refresh)
        self.panes.painted.connect(lambda _n, path, stage: self.pictureShown.emit(path, stage))
        self.panes.turned.connect(self.nav.step)
        self.panes.activated.connect(lambda _index: self._show_place())
        self.panes.clicked.connect(self.commands.focus.set_at)
        self.panes.menuAsked.connect(self.commands.show_menu)
        self.panes.viewChanged.connect(self._show_place)
        self.panes.resized.connect(self._place_controls)
        self.strip.chosen.connect(self.album.go_to)
        self.strip.turned.connect(self.nav.step)
        self.bar.asked.connect(self.commands.run)
        self.bar.starsSet.connect(self.commands.set_stars)
        self.editor.saved.connect(self._save_caption)
        self.editor.left.connect(self.commands.left_editor)
        self.jump.chosen.connect(self.album.go)
        self.jump.left.connect(self.setFocus)
        self.in_use.found.connect(self._used_by)
        theme.notifier().changed.connect(self.update)

    def tooltip(self, name: str) -> str:
        """A command's name and key."""
        hint = self.keymap.hint(name)
        title = keys.title(keys.BY_NAME[name])
        return f"{title} ({hint})" if hint else title

    def name_buttons(self) -> None:
        """Tell the keys in the tooltips, as they are now."""
        self.bar.name(self.tooltip)
        for side, way in zip(self.sides, ("previous", "next"), strict=True):
            side.name(self.tooltip(way))

    def present(self, full_screen: bool = True) -> None:
        """Show the window."""
        if full_screen:
            self.fill_screen()
        else:
            self.show()
        self.raise_()
        self.activateWindow()
        self.setFocus()
        self.show_controls(True)

    def fill_screen(self) -> None:
        """Go full screen."""
        self._usual = self.geometry()
        # The first picture is decoded for this size before the window system has answered, and
        # a bare X server has nobody to answer.
        self.setGeometry(self.screen().geometry())
        self.showFullScreen()

    def leave_full_screen(self) -> None:
        """Be a window again."""
        self.showNormal()
        self.setGeometry(self._usual)

    # --- the folder ----------------------------------------------------------

    def open_source(self, source: Source, start: Path | None = None) -> None:
        """Go through other pictures."""
        self.editor.save()
        self.folder.close()
        self.judge.worker.finish()
        self.survey.cancel()
        self._begin(source, start)

    def _begin(self, source: Source, start: Path | None) -> None:
        self.source = source
        self._start = "" if start is None else str(start.absolute())
        self._waits_for_first = not self._start
        self.judge: Judge = Judge(source, self.album, self.notice, self)
        self.is_listed = False
        self.nav.slots = [None]
        self.panes.set_count(1)
        self.album.set_entries([])
        self.judge.changed.connect(self._file_changed)
        self.judge.wentBack.connect(self.commands.go_back_to)
        self.judge.deleting.connect(lambda: self.in_use.look(self.source.root))
        self.folder: Folder = Folder(source, self)
        self.judge.rescanNeeded.connect(self.folder.soon)
        self.judge.worker.idle.connect(self._idle)
        self.folder.firstFound.connect(self._first_found)
        self.folder.listed.connect(self._listed)
        self.folder.changed.connect(self._changed)
        self.folder.fileChanged.connect(self._file_replaced)
        if self._start:
            self._show_first(self._start)
        self.folder.start()
        self._show_list()

    def _first_found(self, path: str) -> None:
        if self._waits_for_first:
            self._show_first(path)

    def _show_first(self, path: str) -> None:
        """Show one picture before the others are known."""
        if not self.is_listed:
            folder, name = os.path.split(path)
            self.album.set_entries([Entry(path, folder, name, name)], path)

    def _listed(self, listing: Listing) -> None:
        self.is_listed = True
        current = self.album.current
        # The picture on the screen may have got a mark while the rest was being found.
        start = current.path if current is not None else self._start
        self.album.set_entries(self.judge.current_truth(listing).entries, start)
        self._problems(listing)
        self.in_use.look(self.source.root)
        QTimer.singleShot(SURVEY_MS, self, self._survey_files)
        self.listed.emit()

    def _survey_files(self) -> None:
        self.survey.start_quietly("files", list(self.album.known.values()))

    def _changed(self, listing: Listing) -> None:
        errors = [p for p in listing.problems if p.severity == "error"]
        if errors and self.album.known:
            # The folder may come back; its pictures say one by one that they are not there.
            self._gone = errors[0].sentence()
            self.notice.problem(self._gone)
            return
        if self._gone and self.notice.text == self._gone:
            self.notice.hide()
        self._gone = ""
        came, _went = self.album.merge(self.judge.current_truth(listing))
        if came:
            self._survey_files()
        if not self.judge.read_only:
            self._problems(listing)
        self.loader.check(entry.path for entry in self.nav.slots if entry is not None)
        self._show_place()

    def _problems(self, listing: Listing) -> None:
        self.describer.empty_text = ""
        self.judge.read_only = listing.read_only and bool(listing.entries)
        errors = [p for p in listing.problems if p.severity == "error"]
        if errors:
            self.describer.empty_text = errors[0].sentence()
        elif listing.problems:
            self.notice.problem(listing.problems[0].sentence())
        elif self.judge.read_only:
            self.notice.say(
                self.tr(
                    "This folder may not be written: pictures stay where they are; marks are kept "
                    "in Limner's own folder."
                )
            )
        self.panes.refresh()

    def _used_by(self, run: str) -> None:
        words = self.tr("{0} trains with this folder now; changes here count from the next run on.")
        undo = (self.tr("Undo"), self.judge.undo) if self.notice.text else ()
        self.notice.say(words.format(run), *undo)

    def _file_changed(self, path: str) -> None:
        """A caption or mark of a picture was written: tell it anew."""
        self.facts.forget(path)
        current = self.album.current
        if current is not None and current.path == path:
            self.facts.ask(path)

    def _file_replaced(self, path: str) -> None:
        self._file_changed(path)
        self.nav.reload(path)
        self.folder.soon()

    # --- what is shown -------------------------------------------------------

    def _shown(self, index: int) -> Shown:
        slots = self.nav.slots
        entry = slots[index] if index < len(slots) else None
        return self.describer.shown(entry, self.panes.canvases[index], self.is_listed)

    def _moved(self) -> None:
        if self.editor.isVisible():
            self.commands.follow_with_editor()
        self._show_list()
        current = self.album.current
        if current is not None and self.describer.needs_facts() and not self.nav.is_held:
            self.facts.ask(current.path)

    def _rested(self) -> None:
        """The picture stays for a moment: read what takes longer."""
        paths = [entry.path for entry in self.nav.slots if entry is not None]
        self.folder.watch_files(paths)
        # One that lay ready may have been written to before it was watched.
        self.loader.check(paths)
        for slot, path in enumerate(paths):
            if self.facts.get(path) is None:
                self.facts.ask(path, slot)
            else:
                self.facts.measure(path, slot)

    def _facts_found(self, facts: Facts) -> None:
        self._refresh(facts.path)
        paths = [entry.path for entry in self.nav.slots if entry is not None]
        if facts.path in paths and facts.size >= 0 and not self.nav.is_held:
            self.facts.measure(facts.path, paths.index(facts.path))

    def _show_place(self) -> None:
        """Title and bar: name, number of all, zoom."""
        current = self.album.current
        name = current.name if current is not None else self.source.root.name
        self.setWindowTitle(f"{name} - Limner")
        detail = ""
        if current is not None and self.is_listed:
            detail = f"{self.album.position + 1} / {len(self.album)}"
            if self.album.filter != "all":
                detail += " · " + self.commands.filter_words()
        picture = self.panes.current.picture
        if current is not None and picture is not None and not picture.problem:
            detail += f" · {self.panes.current.scale() * 100:.0f} %"
        self.bar.set_title(name, detail.removeprefix(" · "))
        self.bar.stars.show_count(current.note.stars if current is not None else 0)
        self.commands.update_buttons()

    def _show_list(self) -> None:
        self._show_place()
        self.panes.refresh()

    def _show_entry(self, entry: Entry) -> None:
        self._show_place()
        self._refresh(entry.path)

    def _refresh(self, path: str) -> None:
        """Draw anew what is said over one picture."""
        for canvas, entry in zip(self.panes.canvases, self.nav.slots, strict=False):
            if entry is not None and entry.path == path:
                canvas.update()

    def _save_caption(self, path: str, text: str, before: str) -> None:
        entry = self.album.known.get(path) or entries_of([path], self.source)[0]
        self.facts.take_caption(path, text)
        self.judge.write_caption(entry, text, before)

    # --- controls ------------------------------------------------------------

    def show_controls(self, on: bool) -> None:
        """Show or hide the bar, the side buttons and the pointer."""
        pointer = self.mapFromGlobal(QCursor.pos())
        # Not underMouse: Qt keeps that for a widget which was shown below a resting pointer.
        shown = (widget for widget in (self.bar, *self.sides) if widget.isVisible())
        held = any(widget.geometry().contains(pointer) for widget in shown)
        if not on and held:
            self._hide_controls.start()
            return
        for widget in (self.bar, *self.sides):
            widget.setVisible(on)
            if on:
                widget.raise_()
        if on:
            self._hide_controls.start()
            self.panes.set_picking(self.panes.current.picks)
        elif not self.panes.current.picks and self.isFullScreen():
            for canvas in self.panes.canvases:
                canvas.setCursor(Qt.CursorShape.BlankCursor)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self.show_controls(True)

    def _place_controls(self) -> None:
        height = self.bar.sizeHint().height()
        self.bar.fit(self.width())
        self.bar.setGeometry(0, 0, self.width(), height)
        self.describer.top = height
        self.notice.set_below(height)
        air = theme.unit(2)
        for side in self.sides:
            side.resize(side.sizeHint())
        middle = (self.panes.height() - self.sides[0].height()) // 2
        self.sides[0].move(air, middle)
        self.sides[1].move(self.width() - self.sides[1].width() - air, middle)
        self.notice.place()
        self.editor.place(self.width(), self.panes.height())

    # --- events --------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = keys.key_of(event)
        if self.commands.focus.takes(key):
            event.accept()
            return
        command = self.keymap.command(key)
        if command is None:
            super().keyPressEvent(event)
            return
        event.accept()
        if event.isAutoRepeat():
            self.nav.hold()
            if not command.repeats or not self.nav.may_repeat():
                return
        self.commands.run(command.name)

    def focusNextPrevChild(self, forward: bool) -> bool:
        return False  # Tab goes to the next pane

    def event(self, event: QEvent) -> bool:
        # Keys of the window behind must not act here.
        if event.type() == QEvent.Type.ShortcutOverride:
            event.accept()
            return True
        return super().event(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._place_controls()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(QRectF(self.rect()), QColor(theme.colours().picture))
        painter.end()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            self.take_dropped(paths)

    def take_dropped(self, paths: list[Path]) -> None:
        """Go through a dropped folder, a picture's folder, or the dropped pictures."""
        meant = dropped(paths)
        if meant is None:
            self.notice.problem(self.tr("That is neither a folder nor a picture."))
        else:
            self.open_source(*meant)

    def _idle(self) -> None:
        self.commands.update_buttons()
        if self._closing:
            self.close()

    def closeEvent(self, event: QCloseEvent) -> None:
        self.editor.save()
        waiting = self.judge.worker.waiting
        if waiting and not self._closing and self.isVisible():
            # What is under way may yet have something to tell; a second wish closes at once.
            self._closing = True
            self.notice.keep(
                self.tr("Finishing {0} changes...").format(waiting),
                self.tr("Close now"),
                self.close,
            )
            event.ignore()
            return
        self.commands.stop()
        self.folder.close()
        self.survey.close()
        self.judge.worker.finish()
        self.loader.close()
        self.store.stop()
        self.facts.close()
        event.accept()
        self.closed.emit()

    def hideEvent(self, event: QHideEvent) -> None:
        # The window that this one belongs to takes it along without closing it.
        self.editor.save()
