"""The captions of a set of pictures in memory: read and written off the GUI thread."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PySide6.QtCore import QObject, Signal

from app.background import Background, StopCheck
from core.captioning.batch import Applied, TextHistory, apply_changes
from core.captioning.files import CaptionSet, FileOf, beside, read_captions
from core.captioning.tags import Change, count_tags
from core.errors import Problem, Stopped, UserError


class FullHistory(TextHistory, Protocol):
    """The part of core.culling.history.History that the window needs."""

    @property
    def can_undo(self) -> bool: ...

    @property
    def can_redo(self) -> bool: ...

    @property
    def undo_label(self) -> str: ...

    def undo(self) -> Any: ...

    def redo(self) -> Any: ...


@dataclass(frozen=True)
class _Written:
    """What a job of the writing queue came to; done is what undo or redo gave.

    pictures: whose captions are to be read anew.
    """

    pictures: tuple[Path, ...]
    problems: tuple[Problem, ...] = ()
    done: object = None


class CaptionStore(QObject):
    """Texts of caption files by picture.

    Signals:
        loaded(): the captions of a new set of pictures are there.
        changed(list): pictures whose caption is another one now, by us or read anew.
        told(list): problems that the user should see.
        historyMoved(object): what undo or redo did (core.culling.history.Done).
        busyChanged(bool): whether something is being read or written.
    """

    loaded = Signal()
    changed = Signal(list)
    told = Signal(list)
    historyMoved = Signal(object)
    busyChanged = Signal(bool)

    def __init__(self, history: FullHistory | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.background = Background(self)
        self.background.idle.connect(self._tell_busy)
        self.history = history
        self.pictures: list[Path] = []
        self.file_of: FileOf = beside
        self.texts: dict[Path, str | None] = {}
        self.problems: dict[Path, Problem] = {}
        self._counts: Counter[str] | None = None
        self._jobs: deque[Callable[[], _Written]] = deque()
        self._running: Callable[[], _Written] | None = None
        self._closed = False

    # --- reading -----------------------------------------------------------------

    def set_pictures(self, pictures: Sequence[Path], file_of: FileOf = beside) -> None:
        """Work on these pictures; `loaded` comes when their captions are read."""
        self.pictures, self.file_of = list(pictures), file_of
        self._read(self.pictures, whole=True)

    def reload(self, pictures: Sequence[Path] | None = None) -> None:
        """Read captions anew, of all pictures or some; `changed` comes for those that differ."""
        known = set(self.pictures)
        some = self.pictures if pictures is None else [p for p in pictures if p in known]
        if some:
            self._read(list(some), whole=False)

    def _read(self, pictures: list[Path], whole: bool) -> None:
        file_of = self.file_of

        def work(cancelled: StopCheck) -> object:
            try:
                return read_captions(pictures, file_of, cancelled)
            except Stopped:
                return None

        def done(found: object) -> None:
            if isinstance(found, CaptionSet):
                self._take(found, pictures, whole)

        # Partial readings must not displace one another; a whole one displaces all.
        key = "read" if whole else ("read", tuple(pictures))
        self.background.run(self, key, work, done)
        self._tell_busy()

    def _take(self, found: CaptionSet, pictures: list[Path], whole: bool) -> None:
        if whole:
            self.texts, self.problems = found.texts, found.problems
            self._counts = None
            self.loaded.emit()
            return
        known = set(self.pictures)
        differing = []
        for picture in pictures:
            if picture not in known:
                continue
            before = self.texts.pop(picture, None), self.problems.pop(picture, None)
            if picture in found.texts:
                self.texts[picture] = found.texts[picture]
            if picture in found.problems:
                self.problems[picture] = found.problems[picture]
            if before != (self.texts.get(picture), self.problems.get(picture)):
                differing.append(picture)
        self._tell_changed(differing)

    def _tell_changed(self, pictures: Sequence[Path]) -> None:
        if pictures:
            self._counts = None
            self.changed.emit(list(pictures))

    # --- asking ------------------------------------------------------------------

    def text(self, picture: Path) -> str:
        """A picture's caption text, "" without one."""
        return self.texts.get(picture) or ""

    def can_edit(self, picture: Path) -> bool:
        """Whether the picture has a caption file that can be read and written."""
        return self.history is not None and picture in self.texts

    def counts(self) -> Counter[str]:
        """In how many captions each tag occurs."""
        if self._counts is None:
            self._counts = count_tags(text for text in self.texts.values() if text)
        return self._counts

    def without_caption(self) -> list[Path]:
        """The pictures whose caption is missing or empty, in order."""
        return [
            picture
            for picture in self.pictures
            if picture in self.texts and not self.text(picture).strip()
        ]

    def chosen(self, pictures: Sequence[Path]) -> dict[Path, str | None]:
        """The texts of some pictures, in their order; unreadable ones are left out."""
        return {picture: self.texts[picture] for picture in pictures if picture in self.texts}

    def is_busy(self) -> bool:
        """Whether something is being read or written."""
        return not self.background.is_idle() or self._running is not None or bool(self._jobs)

    # --- writing -----------------------------------------------------------------

    def set_history(self, history: FullHistory | None) -> None:
        """Write and undo through another history; what is waiting still goes to its own."""
        self.history = history

    def apply(self, changes: Sequence[Change], label: str) -> None:
        """Write changes as one step that can be undone; shown at once, told when it failed."""
        history, file_of = self.history, self.file_of
        wanted = [c for c in changes if c.picture in self.texts and c.after != (c.before or "")]
        if history is None or not wanted:
            return
        for change in wanted:
            self.texts[change.picture] = change.after
        pictures = [change.picture for change in wanted]
        siblings = self._siblings(pictures)

        def work() -> _Written:
            applied: Applied = apply_changes(wanted, history, label, file_of)
            return _Written(siblings, applied.problems)

        self._queue(work)
        self._tell_changed(pictures)

    def _siblings(self, pictures: Sequence[Path]) -> tuple[Path, ...]:
        """Other pictures that may have the same caption file: `a.jpg` beside `a.png`."""
        stems = {picture.with_suffix("") for picture in pictures}
        written = set(pictures)
        return tuple(p for p in self.pictures if p not in written and p.with_suffix("") in stems)

    def undo(self) -> None:
        """Take back the history's last step, whatever it was."""
        self._move("undo")

    def redo(self) -> None:
        """Do the last step that was taken back once more."""
        self._move("redo")

    def _move(self, name: str) -> None:
        history = self.history
        if history is None:
            return

        def work() -> _Written:
            done = getattr(history, name)()
            pictures = tuple(getattr(done, "pictures", ()) or ())
            return _Written(pictures, tuple(getattr(done, "problems", ()) or ()), done)

        self._queue(work)

    def _queue(self, work: Callable[[], _Written]) -> None:
        self._jobs.append(work)
        self._next()
        self._tell_busy()

    def _next(self) -> None:
        if self._running is not None or not self._jobs or self._closed:
            return
        work = self._running = self._jobs.popleft()
        self.background.run(self, "write", lambda _: work(), self._written)

    def _written(self, result: object) -> None:
        self._running = None
        match result:
            case _Written(done=done, pictures=pictures, problems=problems):
                if problems:
                    self.told.emit(list(problems))
                self.reload(None if problems else pictures)
                if done is not None:
                    self.historyMoved.emit(done)
            case UserError(problems=problems):
                self.told.emit(list(problems))
                self.reload()
            case Exception():
                self.told.emit([_unforeseen(result)])
                self.reload()
        self._next()
        self._tell_busy()

    def _tell_busy(self) -> None:
        self.busyChanged.emit(self.is_busy())

    def close(self) -> None:
        """Finish what is being written, then end the threads."""
        self._closed = True
        self.background.close()
        while self._jobs:
            self._jobs.popleft()()


def _unforeseen(error: Exception) -> Problem:
    words = " ".join(str(error).split())
    if isinstance(error, OSError):
        return Problem(
            code="caption_unwritable",
            title=f"The captions could not be written ({error.strerror or words}); check the "
            "folder's permissions and free space.",
            file=str(error.filename or ""),
        )
    return Problem(
        code="internal_error",
        title=f"The captions could not be written because of an error inside Limner "
        f"({type(error).__name__}: {words}).",
    )
