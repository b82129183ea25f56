"""The slide show: each picture stays for some seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer

from app import prefs

if TYPE_CHECKING:
    from app.viewer.window import Viewer

_SECONDS = "viewer/slideshow"
LEAST, MOST, USUAL = 1, 30, 4


class Slideshow(QObject):
    """Goes on by itself until the last picture or until something else is done."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self._v = viewer
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._next)

    @property
    def is_on(self) -> bool:
        """Whether it runs."""
        return self._timer.isActive()

    @property
    def seconds(self) -> int:
        """How long each picture stays: 1 to 30 s."""
        try:
            return max(LEAST, min(MOST, int(prefs.text(_SECONDS, str(USUAL)))))
        except ValueError:
            return USUAL

    def set_seconds(self, seconds: int) -> None:
        """Let each picture stay so long, now and later."""
        prefs.put(_SECONDS, seconds)
        if self.is_on:
            self._timer.start(seconds * 1000)

    def toggle(self) -> None:
        """Begin, or end."""
        if self.is_on:
            self.stop()
            return
        self._timer.start(self.seconds * 1000)
        words = self._v.tr("Slide show, {0} s for each picture").format(self.seconds)
        self._v.notice.say(words)
        self._v.show_controls(False)

    def stop(self) -> None:
        """End."""
        self._timer.stop()
        self._v.notice.say(self._v.tr("The slide show has ended."))

    def close(self) -> None:
        """End without a word: the window goes."""
        self._timer.stop()

    def _next(self) -> None:
        if self._v.panes.current.is_drawn and not self._v.nav.step(1):
            self.stop()
            self._v.commands.update_buttons()
