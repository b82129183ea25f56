"""Setting the point that the training's crop keeps in view: by a click, or a cross and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

if TYPE_CHECKING:
    from app.viewer.window import Viewer

# Of the picture's sides, for each press of an arrow key.
_STEP, _LEAP = 0.02, 0.1
_WAYS = {"Left": (-1, 0), "Right": (1, 0), "Up": (0, -1), "Down": (0, 1)}


class FocusPicker(QObject):
    """A mode in which clicks, or the arrow keys and Enter, choose a point of the picture."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self._v = viewer

    @property
    def is_on(self) -> bool:
        """Whether a point is being chosen."""
        return self._v.describer.picking

    def toggle(self) -> None:
        """Begin, or end."""
        v = self._v
        on = not self.is_on
        v.describer.picking, v.describer.aim = on, None
        v.panes.set_picking(on)
        if on:
            words = v.tr(
                "Click on what the crop shall keep, or move the cross with the arrow keys and "
                "press Enter; Esc ends this."
            )
            v.notice.say(words)
        v.panes.refresh()

    def clear(self) -> None:
        """Let crops keep the middle again."""
        entry = self._v.album.current
        if entry is not None and entry.note.focus is not None:
            self._v.judge.set_focus(entry, None)

    def set_at(self, pane: int, x: float, y: float) -> None:
        """Take a point of a pane's picture, in fractions of its sides."""
        entry = self._v.nav.slots[pane]
        if entry is not None and self.is_on:
            self._v.describer.aim = None
            self._v.judge.set_focus(entry, (_bounded(x), _bounded(y)))

    def takes(self, key: str) -> bool:
        """Whether a key, as `keys.key_of` writes it, was for the cross; it is obeyed then."""
        entry = self._v.album.current
        if not self.is_on or entry is None:
            return False
        x, y = self._v.describer.focus_of(entry) or (0.5, 0.5)
        way = _WAYS.get(key.removeprefix("Shift+"))
        if way is not None:
            by = _LEAP if key.startswith("Shift+") else _STEP
            point = (_bounded(x + way[0] * by), _bounded(y + way[1] * by))
            self._v.describer.aim = (entry.path, point)
            self._v.panes.refresh()
        elif key in ("Return", "Space"):
            self.set_at(self._v.panes.active, x, y)
        else:
            return False
        return True


def _bounded(value: float) -> float:
    return round(min(1.0, max(0.0, value)), 4)
