"""Measuring all pictures in the background: sizes, sharpness, exposure, near duplicates."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from PySide6.QtCore import QObject, Signal

from app.background import Background
from app.viewer.helper import Helper, HelperFailed
from app.viewer.source import Entry
from core.errors import Stopped

Kind = Literal["files", "pixels", "measures", "similarity"]


@dataclass
class Found:
    """What a survey found, by path. groups: paths of near duplicates, the suggested one first.
    why: of each group, in what that one is better (core.data.better.Why)."""

    kind: Kind
    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    pixels: dict[str, tuple[int, int]] = field(default_factory=dict)
    sharpness: dict[str, float] = field(default_factory=dict)
    brightness: dict[str, float] = field(default_factory=dict)
    groups: list[list[str]] = field(default_factory=list)
    why: list[str] = field(default_factory=list)


def kind_for(order: str) -> Kind | None:
    """What has to be known to order so; None for names."""
    needs: dict[str, Kind] = {
        "date": "files",
        "size": "files",
        "pixels": "pixels",
        "sharpness": "measures",
        "brightness": "measures",
        "similarity": "similarity",
    }
    return needs.get(order)


class Survey(QObject):
    """Finds out one thing about all pictures at a time; the results are cached on disk.

    Signals: progress(done, total), finished(Found), stopped().
    """

    progress = Signal(int, int)
    finished = Signal(object)
    stopped = Signal()
    _step = Signal(int, int)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._background = Background(self)
        self.running: Kind | None = None
        self._helper: Helper | None = None
        self._step.connect(self._forward)

    def start(self, kind: Kind, entries: Sequence[Entry]) -> None:
        """Find out `kind` about these pictures, instead of what runs."""
        self.running = kind
        paths = [entry.path for entry in entries]
        tell = self._step.emit

        def work(cancelled: Callable[[], bool]) -> Found:
            if kind in ("measures", "similarity"):
                return self._measured(kind, paths, tell, cancelled)
            return survey(kind, paths, tell, cancelled)

        self._background.run(self, "survey", work, self._done)

    def start_quietly(self, kind: Kind, entries: Sequence[Entry]) -> None:
        """Find out something unless something else is being found out."""
        if self.running is None:
            self.start(kind, entries)

    def cancel(self) -> None:
        """Stop; what was measured until now stays cached."""
        if self.running is not None:
            self._background.cancel("survey")
            self.running = None
            self.stopped.emit()

    def close(self) -> None:
        """Stop and wait for the thread."""
        if self._helper is not None:
            self._helper.close()
        self._background.close()

    def _measured(
        self,
        kind: Kind,
        paths: list[str],
        tell: Callable[[int, int], object],
        cancelled: Callable[[], bool],
    ) -> Found:
        """In a thread: what a helper process of its own measures."""
        helper = self._helper = Helper()
        request = {"do": "survey", "paths": paths, "groups": kind == "similarity"}
        try:
            reply = helper.ask(request, tell, cancelled)
        finally:
            helper.close()
        pixels = {path: (size[0], size[1]) for path, size in reply["pixels"].items()}
        return Found(
            kind,
            pixels=pixels,
            sharpness=reply["sharpness"],
            brightness=reply["brightness"],
            groups=reply["groups"],
            why=reply["why"],
        )

    def _forward(self, done: int, total: int) -> None:
        if self.running is not None:
            self.progress.emit(done, total)

    def _done(self, result: object) -> None:
        self.running = None
        if isinstance(result, Stopped | HelperFailed):
            self.stopped.emit()
        elif isinstance(result, Exception):
            self.stopped.emit()
            raise result
        else:
            self.finished.emit(result)


def survey(
    kind: Kind,
    paths: Sequence[str],
    progress: Callable[[int, int], object],
    cancelled: Callable[[], bool],
) -> Found:
    """Files' times and sizes, or the pictures' pixels; unreadable ones are left out. Raises
    Stopped."""
    found = Found(kind)
    if kind == "files":
        _stat(paths, found, cancelled)
    else:
        _sizes(paths, found, progress, cancelled)
    return found


def _stat(paths: Sequence[str], found: Found, cancelled: Callable[[], bool]) -> None:
    for path in paths:
        if cancelled():
            raise Stopped
        try:
            status = os.stat(path)
        except OSError:
            continue
        found.files[path] = (status.st_mtime_ns, status.st_size)


def _sizes(
    paths: Sequence[str],
    found: Found,
    progress: Callable[[int, int], object],
    cancelled: Callable[[], bool],
) -> None:
    from core.data.images import PictureError, picture_size

    for number, path in enumerate(paths):
        if cancelled():
            raise Stopped
        try:
            found.pixels[path] = picture_size(Path(path))
        except PictureError:
            found.pixels[path] = (0, 0)
        if number % 64 == 0:
            progress(number, len(paths))
