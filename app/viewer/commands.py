"""What the viewer's commands do; keys, buttons and menus all come here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QPoint, QPointF, QTimer

from app import prefs, theme
from app.i18n import counted
from app.viewer import menus
from app.viewer.album import Order
from app.viewer.compare import COUNTS
from app.viewer.dialogs import KeptDialog, RejectedDialog
from app.viewer.keys_dialog import KeysDialog
from app.viewer.source import Entry
from app.viewer.survey import Found, kind_for
from app.viewer.view import FIT, STEP, View
from core.culling.notes import Mark

if TYPE_CHECKING:
    from app.viewer.window import Viewer

_PAN = 0.12
_SECONDS = "viewer/slideshow"


class Commands(QObject):
    """The commands by their names in `keys.COMMANDS`."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self._v = viewer
        self._wanted_order: Order | None = None
        self._wants_editor = False
        viewer.facts.found.connect(self._open_editor_later)
        self._slide = QTimer(self)
        self._slide.timeout.connect(self._next_slide)
        self._table = self._commands()

    def _commands(self) -> dict[str, Callable[[], object]]:
        nav, panes = self._v.nav, self._v.panes
        table: dict[str, Callable[[], object]] = {
            "next": lambda: nav.step(1),
            "previous": lambda: nav.step(-1),
            "forward": lambda: nav.step(10),
            "back": lambda: nav.step(-10),
            "first": lambda: self._v.album.go(0),
            "last": lambda: self._v.album.go(len(self._v.album) - 1),
            "jump": self._jump,
            "next_uncaptioned": self._next_uncaptioned,
            "slideshow": self._toggle_slideshow,
            "keep": lambda: self._mark("keep"),
            "reject": lambda: self._mark("reject"),
            "unmark": lambda: self._mark("", advance=False),
            "delete": self._delete,
            "undo": lambda: self._v.judge.undo(),
            "redo": lambda: self._v.judge.redo(),
            "trash_rejected": self._trash_rejected,
            "take_kept": self._take_kept,
            "toggle_zoom": lambda: panes.current.toggle_zoom(panes.current.pointer()),
            "zoom_in": lambda: panes.current.zoom_by(STEP, panes.current.pointer()),
            "zoom_out": lambda: panes.current.zoom_by(1 / STEP, panes.current.pointer()),
            "fit": lambda: panes.set_view(FIT),
            "fill": lambda: panes.set_view(View("fill")),
            "full": lambda: panes.current.zoom_to(1.0, panes.current.pointer()),
            "pan_left": lambda: self._pan(1, 0),
            "pan_right": lambda: self._pan(-1, 0),
            "pan_up": lambda: self._pan(0, 1),
            "pan_down": lambda: self._pan(0, -1),
            "lock_zoom": self._toggle_lock,
            "compare": self._compare,
            "next_pane": lambda: self._activate(1),
            "previous_pane": lambda: self._activate(-1),
            "filmstrip": self._toggle_filmstrip,
            "sort": self._sort_menu,
            "filter": self._filter_menu,
            "groups": lambda: self.set_order("similarity", False),
            "info": lambda: self._toggle("info"),
            "caption": lambda: self._toggle("caption"),
            "crop": lambda: self._toggle("crop"),
            "mask": lambda: self._toggle("mask"),
            "edit_caption": self._edit_caption,
            "focus": self._toggle_focus,
            "clear_focus": self._clear_focus,
            "full_screen": self._toggle_full_screen,
            "rescan": self._rescan,
            "help": self._show_keys,
            "leave": self._leave,
        }
        for count in range(6):
            table[f"stars{count}"] = partial(self.set_stars, count)
        return table

    def run(self, name: str) -> None:
        """Do what the command of this name does."""
        if name == "menu":
            self.show_menu(self._v.menu_point("menu"))
            return
        if name != "slideshow" and self._slide.isActive():
            self._stop_slideshow()
            if name == "leave":
                return
        self._table[name]()
        self.update_buttons()

    def names(self) -> set[str]:
        """All names that `run` takes."""
        return set(self._table)

    def stop(self) -> None:
        """Nothing happens by itself any more."""
        self._slide.stop()

    # --- judging -------------------------------------------------------------

    def _mark(self, mark: Mark, advance: bool = True) -> None:
        entry = self._v.album.current
        if entry is None:
            return
        self._v.judge.mark(entry, mark)
        if advance:
            self._v.nav.step(1)

    def set_stars(self, count: int) -> None:
        """Give the current picture stars."""
        entry = self._v.album.current
        if entry is not None:
            self._v.judge.stars(entry, count)

    def _delete(self) -> None:
        entry = self._v.album.current
        if entry is not None:
            self._v.judge.delete(entry)

    def _trash_rejected(self) -> None:
        v = self._v
        entries = [e for e in v.album.known.values() if e.note.mark == "reject"]
        if not entries:
            v.notice.say(v.tr("No picture is marked as rejected; X marks the current one."))
            return
        dialog = RejectedDialog(sorted(entries, key=lambda e: e.key), v.store, v)
        if dialog.exec():
            v.judge.trash_rejected(dialog.chosen())
        v.setFocus()

    def _take_kept(self) -> None:
        v = self._v
        entries = [e for e in v.album.known.values() if e.note.mark == "keep"]
        if not entries:
            v.notice.say(v.tr("No picture is marked as kept; K marks the current one."))
            return
        entries.sort(key=lambda e: e.key)
        dialog = KeptDialog(entries, v.store, v)
        if dialog.exec():
            v.judge.take_kept(entries, dialog.target(), dialog.choice == "move")
        v.setFocus()

    def go_back_to(self, entry: Entry) -> None:
        """Show the picture that an undo was about, whatever the filter."""
        if self._v.album.position_of(entry) < 0:
            self._v.album.set_filter("all")
        self._v.album.go_to(entry)

    # --- going ---------------------------------------------------------------

    def _jump(self) -> None:
        self._v.jump.open(round(self._v.describer.top) + theme.unit(7))

    def _next_uncaptioned(self) -> None:
        album = self._v.album
        count = len(album)
        for offset in range(1, count):
            position = (album.position + offset) % count
            if not album.at(position).captioned:
                album.go(position)
                return
        self._v.notice.say(self._v.tr("Every other picture has a caption."))

    def _toggle_slideshow(self) -> None:
        if self._slide.isActive():
            self._stop_slideshow()
        else:
            seconds = self.slide_seconds()
            self._slide.start(seconds * 1000)
            words = self._v.tr("Slide show, {0} s for each picture").format(seconds)
            self._v.notice.say(words)
            self._v.show_controls(False)

    def _stop_slideshow(self) -> None:
        self._slide.stop()
        self._v.notice.say(self._v.tr("The slide show has ended."))

    def _next_slide(self) -> None:
        if self._v.panes.current.is_drawn and not self._v.nav.step(1):
            self._stop_slideshow()
            self.update_buttons()

    def slide_seconds(self) -> int:
        """How long each picture of the slide show stays: 1 to 30 s."""
        try:
            return max(1, min(30, int(prefs.text(_SECONDS, "4"))))
        except ValueError:
            return 4

    def set_slide_seconds(self, seconds: int) -> None:
        """Let each picture of the slide show stay so long."""
        prefs.put(_SECONDS, seconds)
        if self._slide.isActive():
            self._slide.start(seconds * 1000)

    # --- looking -------------------------------------------------------------

    def _pan(self, across: int, down: int) -> None:
        canvas = self._v.panes.current
        canvas.pan(QPointF(across * canvas.width() * _PAN, down * canvas.height() * _PAN))

    def _toggle_lock(self) -> None:
        panes = self._v.panes
        panes.locked = not panes.locked
        self._v.notice.say(
            self._v.tr("Zoom and place stay from picture to picture.")
            if panes.locked
            else self._v.tr("Each picture is fitted again.")
        )

    def _compare(self) -> None:
        count = len(self._v.panes.canvases)
        following = COUNTS[(COUNTS.index(count) + 1) % len(COUNTS)]
        if following > 1 and len(self._v.album) < 2:
            self._v.notice.say(self._v.tr("There is only one picture to show."))
            return
        if following == 4 and len(self._v.album) < 3:
            following = 1
        self._v.nav.compare(following)

    def _activate(self, way: int) -> None:
        panes = self._v.panes
        panes.activate((panes.active + way) % len(panes.canvases))

    def _toggle_filmstrip(self) -> None:
        on = not self._v.strip.isVisible()
        self._v.strip.setVisible(on)
        prefs.put("viewer/filmstrip", "yes" if on else "no")

    def _toggle(self, what: str) -> None:
        describer = self._v.describer
        on = not getattr(describer, f"shows_{what}")
        setattr(describer, f"shows_{what}", on)
        if what != "mask":
            prefs.put(f"viewer/{what}", "yes" if on else "no")
        for slot, entry in enumerate(self._v.nav.slots):
            if on and entry is not None and self._v.facts.get(entry.path) is None:
                self._v.facts.ask(entry.path, slot)
        self._v.panes.refresh()

    # --- order and filter ----------------------------------------------------

    def _sort_menu(self) -> None:
        menu = menus.sort_menu(self._v.album, self.set_order, self._v)
        menus.show(menu, self._v.menu_point("sort"))

    def _filter_menu(self) -> None:
        menu = menus.filter_menu(self._v.album, self.set_filter, self._v)
        menus.show(menu, self._v.menu_point("filter"))

    def set_filter(self, wanted: str) -> None:
        """Show only what matches."""
        self._v.album.set_filter(wanted)
        self._v.nav.compare(1)

    def filter_words(self) -> str:
        """The filter in use."""
        return menus.filter_title(self._v.album.filter)

    def set_order(self, order: Order, is_reversed: bool) -> None:
        """Another order, after finding out what it goes by."""
        v = self._v
        v.album.reversed = is_reversed
        kind = kind_for(order)
        if kind is None:
            v.survey.cancel()
            v.album.set_order(order, is_reversed)
            return
        self._wanted_order = order
        v.survey.start(kind, list(v.album.known.values()))
        if kind != "files":
            self.survey_progress(0, len(v.album.known))

    def survey_progress(self, done: int, total: int) -> None:
        """Tell how far measuring is."""
        v = self._v
        if v.survey.running not in (None, "files"):
            words = v.tr("Measuring the pictures: {0} of {1}").format(done, total)
            v.notice.keep(words, v.tr("Cancel"), v.survey.cancel)

    def survey_stopped(self) -> None:
        """Measuring was cancelled; the order stays as it is."""
        self._wanted_order = None
        self._v.notice.say(self._v.tr("Measuring was stopped; the order stays as it was."))

    def take_survey(self, found: Found) -> None:
        """Use what was measured, and order by it if that was wished."""
        v = self._v
        for entry in v.album.known.values():
            path = entry.path
            if path in found.files:
                entry.mtime, entry.size = found.files[path]
            entry.pixels = found.pixels.get(path, entry.pixels)
            entry.sharpness = found.sharpness.get(path, entry.sharpness)
            if found.kind == "similarity":
                entry.group, entry.suggested = -1, False
        for number, group in enumerate(found.groups):
            for path in group:
                member = v.album.known.get(path)
                if member is not None:
                    member.group, member.suggested = number, path == group[0]
        if self._wanted_order is not None and kind_for(self._wanted_order) == found.kind:
            v.album.set_order(self._wanted_order, v.album.reversed)
            self._wanted_order = None
            self._tell_survey(found)
        elif v.album.order != "name":
            v.album.resort()

    def _tell_survey(self, found: Found) -> None:
        v = self._v
        if found.kind != "similarity":
            if found.kind != "files":
                v.notice.hide()
            return
        if not found.groups:
            v.notice.say(v.tr("There are no near-duplicates."))
            return
        v.album.go(0)
        number = len(found.groups)
        words = counted(v.tr("%n group(s) of near-duplicates stand first.", "", number), number)
        paths = [path for group in found.groups for path in group[1:]]

        def reject_others() -> None:
            entries = [v.album.known[path] for path in paths if path in v.album.known]
            count = len(entries)
            told = counted(v.tr("%n near-duplicate(s) marked as rejected", "", count), count)
            v.judge.mark_many(entries, "reject", told)

        v.notice.keep(words, v.tr("Reject all but the best"), reject_others)

    # --- captions and focus --------------------------------------------------

    def _edit_caption(self) -> None:
        v = self._v
        entry = v.album.current
        if entry is None:
            return
        facts = v.facts.get(entry.path)
        if facts is None:
            # Read first; the editor opens when the text is there.
            self._wants_editor = True
            v.facts.ask(entry.path)
            return
        self._wants_editor = False
        draft = v.judge.unwritten.get(entry.path)
        v.editor.open(entry.path, facts.caption or "", facts.caption_problem, draft)

    def _open_editor_later(self, facts: object) -> None:
        v = self._v
        entry = v.album.current
        if self._wants_editor and entry is not None and v.facts.get(entry.path) is not None:
            self._edit_caption()

    def left_editor(self, steps: int) -> None:
        """The editor closed, or goes on with another picture."""
        if steps:
            self._v.nav.step(steps)
        else:
            self._v.setFocus()

    def follow_with_editor(self) -> None:
        """Another picture came while a caption is being written."""
        v = self._v
        if v.album.current is not None and v.editor.path != v.album.current.path:
            v.editor.save()
            self._edit_caption()

    def _toggle_focus(self) -> None:
        v = self._v
        on = not v.describer.picking
        v.describer.picking = on
        v.panes.set_picking(on)
        if on:
            v.notice.say(v.tr("Click on what the crop shall keep; O or Esc ends this."))
        v.panes.refresh()

    def focus_at(self, pane: int, x: float, y: float) -> None:
        """A point of the picture was chosen as focus."""
        entry = self._v.nav.slots[pane]
        if entry is not None and self._v.describer.picking:
            point = (round(min(1.0, max(0.0, x)), 4), round(min(1.0, max(0.0, y)), 4))
            self._v.judge.set_focus(entry, point)

    def _clear_focus(self) -> None:
        entry = self._v.album.current
        if entry is not None and entry.note.focus is not None:
            self._v.judge.set_focus(entry, None)

    # --- window --------------------------------------------------------------

    def _toggle_full_screen(self) -> None:
        if self._v.isFullScreen():
            self._v.leave_full_screen()
        else:
            self._v.fill_screen()

    def _rescan(self) -> None:
        v = self._v
        for entry in v.nav.slots:
            if entry is not None:
                v.facts.forget(entry.path)
                v.nav.reload(entry.path)
        v.describer.forget_masks()
        v.folder.rescan()

    def _show_keys(self) -> None:
        KeysDialog(self._v.keymap, self._v).exec()
        self._v.setFocus()

    def _leave(self) -> None:
        """One step back: focus mode, measuring, compare, full screen, the viewer."""
        v = self._v
        if v.describer.picking:
            self._toggle_focus()
        elif v.panes.current.view.mode != "fit" and not v.panes.locked:
            v.panes.set_view(FIT)
        elif len(v.panes.canvases) > 1:
            v.nav.compare(1)
        elif v.isFullScreen():
            v.leave_full_screen()
        else:
            v.close()

    # --- buttons and menu ----------------------------------------------------

    def is_possible(self, name: str) -> bool:
        """Whether a command can do anything now."""
        v = self._v
        if name == "undo":
            return bool(v.judge.undo_label) or v.judge.worker.waiting > 0
        if name == "redo":
            return bool(v.judge.redo_label)
        if name in ("help", "full_screen", "leave", "rescan", "filter", "sort", "menu"):
            return True
        return v.album.current is not None

    def is_on(self, name: str) -> bool | None:
        """Whether a switch is on; None for what is none."""
        v = self._v
        if name in ("info", "caption", "crop", "mask"):
            return bool(getattr(v.describer, f"shows_{name}"))
        switches = {
            "lock_zoom": v.panes.locked,
            "filmstrip": v.strip.isVisible(),
            "focus": v.describer.picking,
            "slideshow": self._slide.isActive(),
            "full_screen": v.isFullScreen(),
        }
        return switches.get(name)

    def update_buttons(self) -> None:
        """Show in the bar what is on and what is possible."""
        for name, button in self._v.bar.buttons.items():
            button.setEnabled(self.is_possible(name))
            on = self.is_on(name)
            if on is not None:
                button.setChecked(on)
        undo = self._v.bar.buttons.get("undo")
        if undo is not None:
            words = self._v.tooltip("undo")
            label = self._v.judge.undo_label
            undo.setToolTip(f"{words}\n{label}" if label else words)

    def show_menu(self, point: QPoint) -> None:
        """All commands by the right mouse button."""
        v = self._v
        below = {
            "slideshow": menus.slideshow_menu(self.slide_seconds(), self.set_slide_seconds, v),
            "rescan": menus.memory_menu(v.loader.budget >> 20, self.set_memory, v),
        }
        menu = menus.context_menu(v.keymap, self.run, self.is_possible, self.is_on, below, v)
        menus.show(menu, point)
        for one in below.values():
            one.deleteLater()

    def set_memory(self, megabytes: int) -> None:
        """Let decoded pictures take so much memory, now and later."""
        prefs.put("viewer/memory_mb", megabytes)
        self._v.loader.set_budget(megabytes << 20)
        self._v.nav.request()
