"""Which pictures are on the screen and which are decoded for it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

from PySide6.QtCore import QObject, QSize, QSizeF, QTimer, Signal

from app.viewer.album import Album
from app.viewer.canvas import Canvas
from app.viewer.compare import Panes
from app.viewer.decode import LARGE_PIXELS, Picture, scales_while_decoding
from app.viewer.prefetch import LOW_EDGE, Loader, Request, Stage, around
from app.viewer.source import Entry

# How long a held key waits for the picture before it goes on without: where decoding is slower
# than the keyboard, going on would drop each picture just before it is there.
HOLD_WAIT = 0.6
HELD_MS = 180
REST_MS = 250
# A broken picture that was just written may only be half there.
RETRY_MS, RETRIES = 700, 3
_SMALL_FILE = 1_500_000


class Navigator(QObject):
    """Moves through the album, keeps the panes filled and the loader busy with the right ones.

    Signals: moved() when another picture is in front, arrived(path) when a picture on the screen
    was decoded, rested() when no other came for a moment.
    """

    moved = Signal()
    arrived = Signal(str)
    rested = Signal()

    def __init__(
        self, album: Album, loader: Loader, panes: Panes, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._album, self._loader, self._panes = album, loader, panes
        self.slots: list[Entry | None] = [None]
        self._held = False
        self._moved_at = 0.0
        self._retries: dict[str, int] = {}
        self._retry = ""
        self._held_timer = self._timer(HELD_MS, self._released)
        self._rest = self._timer(REST_MS, self._rested)
        self._soon = self._timer(0, self.request)
        album.moved.connect(self._album_moved)
        album.listChanged.connect(self._soon.start)
        loader.arrived.connect(self._arrived)
        panes.activated.connect(self._activated)
        panes.viewChanged.connect(self.refresh)
        panes.resized.connect(self.refresh)

    def _timer(self, milliseconds: int, act: object) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(milliseconds)
        timer.timeout.connect(act)
        return timer

    # --- moving --------------------------------------------------------------

    def step(self, by: int) -> bool:
        """Go on by so many pictures, past those in the other panes; whether it moved."""
        others = {id(e) for n, e in enumerate(self.slots) if e and n != self._panes.active}
        way = 1 if by > 0 else -1
        position = self._album.position + by
        last = len(self._album) - 1
        if abs(by) > 1:
            position = max(0, min(position, last))
        while 0 <= position <= last:
            entry = self._album.at(position)
            if id(entry) not in others and not entry.missing:
                return self._album.go_to(entry)
            position += way
        return False

    def may_repeat(self) -> bool:
        """Whether a held key may act again: the picture in front was drawn, or took too long."""
        if self._album.current is None or self._panes.current.is_drawn:
            return True
        return time.monotonic() - self._moved_at > HOLD_WAIT

    def hold(self) -> None:
        """A key is held down: low-resolution pictures first until it is let go."""
        self._held = True
        self._held_timer.start()

    @property
    def is_held(self) -> bool:
        """Whether a key is being held down."""
        return self._held

    def _released(self) -> None:
        self._held = False
        self.request()

    # --- panes ---------------------------------------------------------------

    def compare(self, count: int) -> None:
        """Show so many pictures: the current one and those behind it."""
        count = min(count, max(1, len(self._album)))
        self._panes.set_count(count)
        start = self._album.position
        if count > 1:
            start = max(0, min(start, len(self._album) - count))
        self.slots = [
            self._album.at(start + n) if 0 <= start + n < len(self._album) else None
            for n in range(count)
        ]
        current = self._album.current
        self._panes.active = self.slots.index(current) if current in self.slots else 0
        self.refresh()
        self._panes.refresh()
        self._rest.start()

    def show_together(self, entries: Sequence[Entry]) -> None:
        """Show these pictures side by side, the first one active."""
        self._panes.set_count(len(entries))
        self.slots = list(entries)
        self._album.go_to(entries[0])
        self.refresh()
        self._panes.refresh()
        self._rest.start()

    def _activated(self, index: int) -> None:
        entry = self.slots[index] if index < len(self.slots) else None
        if entry is not None and entry.path in self._album.known:
            self._album.go_to(entry)

    def _album_moved(self) -> None:
        self._moved_at = time.monotonic()
        current = self._album.current
        active = self._panes.active
        if current is not None and current in self.slots and self.slots[active] is not current:
            if self._replace_gone(active):
                return  # it moved on to a picture of its own
            self._panes.activate(self.slots.index(current))
        elif self.slots[active] is not current:
            self.slots[active] = current
            self._panes.reset_view()
        self._fill_gaps()
        self.refresh()
        self._rest.start()
        self.moved.emit()

    def _fill_gaps(self) -> None:
        """Give panes whose picture has gone the next one that is nowhere shown."""
        for index, entry in enumerate(self.slots):
            gone = entry is None or entry.path not in self._album.known
            if index == self._panes.active or not gone:
                continue
            self.slots[index] = self._free()

    def _free(self) -> Entry | None:
        """The next picture, else the one before, that no pane shows."""
        shown = {id(e) for e in self.slots if e is not None}
        start = max(0, self._album.position)
        order = [*range(start + 1, len(self._album)), *range(start - 1, -1, -1)]
        free = (self._album.at(p) for p in order if id(self._album.at(p)) not in shown)
        return next(free, None)

    def _replace_gone(self, active: int) -> bool:
        """Go to a picture that no pane shows if the active pane's has gone; False without one."""
        left = self.slots[active]
        free = self._free() if left is None or left.path not in self._album.known else None
        return free is not None and self._album.go_to(free)

    # --- pictures ------------------------------------------------------------

    def refresh(self) -> None:
        """Show what is decoded in every pane, and ask for what is missing."""
        for canvas, entry in self._shown():
            if entry is None:
                canvas.clear()
            else:
                self._show(canvas, entry)
        if all(c.picture is not None or e is None for c, e in self._shown()):
            self._soon.start()  # first the picture, then those that may follow
        else:
            self.request()

    def _shown(self) -> Iterator[tuple[Canvas, Entry | None]]:
        return zip(self._panes.canvases, self.slots, strict=False)

    def _show(self, canvas: Canvas, entry: Entry) -> None:
        found = self._found(entry.path, canvas.wants())
        if found is None:
            canvas.show_picture(entry.path, None, -1)
            return
        stage, picture = found
        canvas.show_picture(entry.path, picture, stage)
        self._note(entry, picture)
        if canvas.wants() > stage:
            better = self._found(entry.path, canvas.wants())
            if better is not None and better[0] > stage:
                canvas.show_picture(entry.path, better[1], better[0])

    def _found(self, path: str, most: Stage) -> tuple[int, Picture] | None:
        """What is kept: up to the wanted detail, else more than that."""
        order = [s for s in sorted(Stage, reverse=True) if s <= most]
        for stage in [*order, *(s for s in Stage if s > most)]:
            picture = self._loader.get(path, stage)
            if picture is not None:
                return int(stage), picture
        return None

    def request(self) -> None:
        """Tell the loader what is wanted now."""
        self._soon.stop()
        position = self._album.position
        shown = [entry for entry in self.slots if entry is not None]
        requests: list[Request] = []
        for canvas, entry in self._shown():
            if entry is not None:
                requests += self._for_pane(canvas, entry)
        if position >= 0:
            box = self._panes.current.box()
            ahead = min(6, self._loader.budget_for(box) - 3)
            near = around(position, len(self._album), self._album.direction, max(1, ahead))
            for place in near:
                entry = self._album.at(place)
                if entry not in shown:
                    requests += self._for_later(entry, box)
        self._loader.want(dict.fromkeys(requests), [entry.path for entry in shown])

    def _for_pane(self, canvas: Canvas, entry: Entry) -> list[Request]:
        path, box = entry.path, canvas.box()
        requests = []
        nothing = self._loader.best(path) is None
        if self._is_costly(entry) and nothing:
            requests.append(Request(path, Stage.LOW, QSize(LOW_EDGE, LOW_EDGE)))
        if not (self._held and self._is_costly(entry)):
            requests.append(Request(path, Stage.SCREEN, box))
            picture = self._loader.best(path)
            if canvas.wants() == Stage.FULL and not (picture is not None and picture.is_whole):
                requests.append(Request(path, Stage.FULL, self._detail(canvas)))
        return requests

    def _detail(self, canvas: Canvas) -> QSize | None:
        """The size in which a zoomed picture is decoded; None for every pixel.

        Drawing enormous pictures much smaller than they are takes longer than a frame, and
        several of them would not fit into the memory.
        """
        picture = canvas.picture
        if picture is None or picture.size.isEmpty():
            return None
        pixels = picture.size.width() * picture.size.height()
        most = self._loader.budget // 4 // len(self._panes.canvases)
        share = min(1.0, math.sqrt(most / pixels))
        if pixels > LARGE_PIXELS and canvas.scale() <= 0.5:
            share = min(share, 0.5)
        return None if share == 1.0 else (QSizeF(picture.size) * share).toSize()

    def _for_later(self, entry: Entry, box: QSize) -> list[Request]:
        if self._held and self._is_costly(entry):
            return [Request(entry.path, Stage.LOW, QSize(LOW_EDGE, LOW_EDGE))]
        return [Request(entry.path, Stage.SCREEN, box)]

    @staticmethod
    def _is_costly(entry: Entry) -> bool:
        """Whether a low resolution comes much sooner than the screen's."""
        return scales_while_decoding(entry.path) and not 0 <= entry.size < _SMALL_FILE

    def _arrived(self, path: str, stage: int) -> None:
        for canvas, entry in self._shown():
            if entry is not None and entry.path == path:
                self._show(canvas, entry)
                if canvas.picture is not None:
                    self.arrived.emit(path)
                if canvas.wants() == Stage.FULL:
                    self.request()

    def _note(self, entry: Entry, picture: Picture) -> None:
        """Remember what the decoded file tells about its entry."""
        if entry.missing != picture.missing:
            entry.missing = picture.missing
            self._album.entryChanged.emit(entry)
        path = entry.path
        if not picture.problem:
            entry.pixels = (picture.size.width(), picture.size.height())
            self._retries.pop(path, None)
        elif not picture.missing and self._retries.get(path, 0) < RETRIES and not self._retry:
            self._retries[path] = self._retries.get(path, 0) + 1
            self._retry = path
            QTimer.singleShot(RETRY_MS, self, self._read_again)

    def _read_again(self) -> None:
        path, self._retry = self._retry, ""
        self.reload(path)

    def reload(self, path: str) -> None:
        """Decode a file anew: it was replaced or may be complete now."""
        if any(entry is not None and entry.path == path for entry in self.slots):
            self._loader.forget(path)
            self.request()

    def _rested(self) -> None:
        self._load_whole()
        self.rested.emit()

    def _load_whole(self) -> None:
        """After a rest have the whole picture ready for 100 %, if it is not enormous."""
        picture = self._panes.current.picture
        current = self._album.current
        if picture is None or current is None or picture.is_whole or picture.image.isNull():
            return
        if picture.size.width() * picture.size.height() * 4 > self._loader.budget // 3:
            return
        self._loader.add(Request(current.path, Stage.FULL, None))
