"""What the viewer's commands do; keys, buttons and menus all come here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QPoint, QPointF

from app import prefs, theme
from app.viewer import keys, menus
from app.viewer.compare import COUNTS
from app.viewer.dialogs import KeptDialog, RejectedDialog
from app.viewer.focus import FocusPicker
from app.viewer.keys_dialog import KeysDialog
from app.viewer.orders import Orders
from app.viewer.prefetch import MEMORY_PREFERENCE
from app.viewer.slides import Slideshow
from app.viewer.source import Entry
from app.viewer.view import FIT, STEP, View
from core.culling.notes import Mark

if TYPE_CHECKING:
    from app.viewer.window import Viewer

_PAN = 0.12


class Commands(QObject):
    """The commands by their names in `keys.COMMANDS`."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self._v = viewer
        self.orders = Orders(viewer)
        self.slides = Slideshow(viewer)
        self.focus = FocusPicker(viewer)
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
            "slideshow": self.slides.toggle,
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
            "groups": self.orders.near_duplicates,
            "reject_duplicates": self.orders.reject_near_duplicates,
            "info": lambda: self._toggle("info"),
            "caption": lambda: self._toggle("caption"),
            "crop": lambda: self._toggle("crop"),
            "mask": lambda: self._toggle("mask"),
            "edit_caption": self._edit_caption,
            "focus": self.focus.toggle,
            "clear_focus": self.focus.clear,
            "full_screen": self._toggle_full_screen,
            "rescan": self._rescan,
            "help": self._show_keys,
            "menu": lambda: self.show_menu(self._place_for("menu")),
            "leave": self._leave,
        }
        for count in range(6):
            table[f"stars{count}"] = partial(self.set_stars, count)
        return table

    def run(self, name: str) -> None:
        """Do what the command of this name does."""
        if name != "slideshow" and self.slides.is_on:
            self.slides.stop()
            if name == "leave":
                return
        self._table[name]()
        self.update_buttons()

    def names(self) -> set[str]:
        """All names that `run` takes."""
        return set(self._table)

    def stop(self) -> None:
        """Nothing happens by itself any more."""
        self.slides.close()

    def key_or_name(self, name: str) -> str:
        """A command's key as it is now, its name when it has none."""
        return self._v.keymap.hint(name) or keys.title(keys.BY_NAME[name])

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
            words = v.tr("No picture is marked as rejected; {0} marks the current one.")
            v.notice.say(words.format(self.key_or_name("reject")))
            return
        dialog = RejectedDialog(sorted(entries, key=lambda e: e.key), v.store, v)
        if dialog.exec():
            v.judge.trash_rejected(dialog.chosen())
        v.setFocus()

    def _take_kept(self) -> None:
        v = self._v
        entries = [e for e in v.album.known.values() if e.note.mark == "keep"]
        if not entries:
            words = v.tr("No picture is marked as kept; {0} marks the current one.")
            v.notice.say(words.format(self.key_or_name("keep")))
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
        following = next((more for more in COUNTS if more > count), COUNTS[0])
        if following > 1 and len(self._v.album) < 2:
            only = self._v.tr("There is only one picture to show.")
            none = self._v.tr("There are no pictures to compare.")
            self._v.notice.say(only if len(self._v.album) else none)
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
        menu = menus.sort_menu(self._v.album, self.orders.choose, self._v)
        menus.show(menu, self._place_for("sort"))

    def _filter_menu(self) -> None:
        menu = menus.filter_menu(self._v.album, self.set_filter, self._v)
        menus.show(menu, self._place_for("filter"))

    def set_filter(self, wanted: str) -> None:
        """Show only what matches."""
        self._v.album.set_filter(wanted)
        self._v.nav.compare(1)

    def _place_for(self, name: str) -> QPoint:
        return menus.place_for(self._v.bar.buttons.get(name), self._v)

    def filter_words(self) -> str:
        """The filter in use."""
        return menus.filter_title(self._v.album.filter)

    # --- captions ------------------------------------------------------------

    def _edit_caption(self) -> None:
        v = self._v
        entry = v.album.current
        if entry is None:
            return
        if v.editor.isVisible() and v.editor.path == entry.path:
            v.editor.text.setFocus()
            return
        # Read here and now: what is typed next belongs into the editor, not to the commands.
        text, problem = v.facts.caption_now(entry.path)
        v.editor.open(entry.path, text, problem, v.judge.unwritten.get(entry.path))

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
        self._v.name_buttons()
        self._v.setFocus()

    def _leave(self) -> None:
        """One step back: what went wrong, focus, measuring, zoom, compare, full screen, all."""
        v = self._v
        if v.notice.dismiss_problem():
            return
        if self.focus.is_on:
            self.focus.toggle()
        elif self.orders.is_measuring:
            v.survey.cancel()
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
            "focus": self.focus.is_on,
            "slideshow": self.slides.is_on,
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
            "slideshow": menus.slideshow_menu(self.slides.seconds, self.slides.set_seconds, v),
            "rescan": menus.memory_menu(v.loader.budget >> 20, self.set_memory, v),
        }
        menu = menus.context_menu(v.keymap, self.run, self.is_possible, self.is_on, below, v)
        menus.show(menu, point)
        for one in below.values():
            one.deleteLater()

    def set_memory(self, megabytes: int) -> None:
        """Let decoded pictures take so much memory, now and later."""
        prefs.put(MEMORY_PREFERENCE, megabytes)
        self._v.loader.set_budget(megabytes << 20)
        self._v.nav.request()
