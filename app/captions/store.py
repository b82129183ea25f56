"""The captions of a set of pictures in memory: read and written off the GUI thread."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from PySide6.QtCore import QObject, Signal

from app.background import Background, StopCheck
from core.captioning.batch import Applied, TextHistory, apply_changes
from core.captioning.files import CaptionSet, FileOf, beside, read_captions
from core.captioning.tags import Change, tags_of
from core.errors import Problem, Stopped, UserError

# Of so many captions the tags are counted at once, of more in the background.
_FEW = 500
_log = logging.getLogger(__name__)


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

    pictures: whose captions are to be read again. written: those whose caption was written.
    way: `undo` or `redo`, "" for changes.
    """

    pictures: tuple[Path, ...]
    written: tuple[Path, ...] = ()
    problems: tuple[Problem, ...] = ()
    done: object = None
    way: str = ""


class _Job:
    """Work of the writing queue that is done once, by a thread or at the end by `close`."""

    def __init__(self, work: Callable[[], _Written]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._begun = False

    def __call__(self) -> _Written | None:
        with self._lock:
            if self._begun:
                return None
            self._begun = True
            return self._work()


@dataclass(frozen=True)
class Index:
    """What the texts are asked for: tags of each picture's caption, their counts, what is empty."""

    tags: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    without: frozenset[Path] = frozenset()


def make_index(
    texts: Mapping[Path, str | None], before: Index, fresh: Iterable[Path] | None = None
) -> Index:
    """An index of `texts`; only the `fresh` pictures' tags are found anew, None means all."""
    wanted = texts.keys() if fresh is None else fresh
    made = {picture: tuple(tags_of(texts.get(picture) or "")) for picture in wanted}
    tags = {
        picture: made[picture] if picture in made else before.tags[picture] for picture in texts
    }
    counts: Counter[str] = Counter()
    for some in tags.values():
        counts.update(some)
    empty = frozenset(picture for picture, text in texts.items() if not (text or "").strip())
    return Index(tags, counts, empty)


class CaptionStore(QObject):
    """Texts of caption files by picture.

    Signals:
        loaded(): the captions of a new set of pictures are there.
        changed(list): pictures whose caption is another one now, by us or read anew.
        onDisk(list): the same, once the files say so too.
        told(list): problems that the user should see.
        historyMoved(object): what undo or redo did (core.culling.history.Done).
        wentBack(str, object): `undo` or `redo` and the same, None where there was nothing.
        busyChanged(bool): whether something is being read or written.
    """

    loaded = Signal()
    changed = Signal(list)
    onDisk = Signal(list)
    told = Signal(list)
    historyMoved = Signal(object)
    wentBack = Signal(str, object)
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
        self.index = Index()
        self._stale: set[Path] = set()
        self._jobs: deque[_Job] = deque()
        self._running: _Job | None = None
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
                found = read_captions(pictures, file_of, cancelled)
            except Stopped:
                return None
            return found, make_index(found.texts, Index())

        def done(result: object) -> None:
            if isinstance(result, tuple):
                found, index = result
                self._take(found, index, pictures, whole)

        # Partial readings must not displace one another; a whole one displaces all.
        key = "read" if whole else ("read", tuple(pictures))
        self.background.run(self, key, work, done)
        self._tell_busy()

    def _take(self, found: CaptionSet, index: Index, pictures: list[Path], whole: bool) -> None:
        if whole:
            self.texts, self.problems, self.index = found.texts, found.problems, index
            self._stale.clear()
            self.background.cancel("index")
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
        if differing:
            self.onDisk.emit(differing)

    def _tell_changed(self, pictures: Sequence[Path]) -> None:
        """Find the tags of changed texts anew, elsewhere when there are many, and tell."""
        if not pictures:
            return
        self._stale.update(pictures)
        if len(self.texts) <= _FEW:
            self._take_index(make_index(self.texts, self.index, self._fresh()), list(pictures))
            return
        texts, before, fresh = dict(self.texts), self.index, self._fresh()

        def done(index: object) -> None:
            # A newer index is on its way otherwise, or the pictures are other ones by now.
            if isinstance(index, Index) and index.tags.keys() == self.texts.keys():
                self._take_index(index, [p for p in self.pictures if p in fresh])

        def work(_: StopCheck) -> Index:
            return make_index(texts, before, fresh)

        self.background.run(self, "index", work, done)

    def _fresh(self) -> set[Path]:
        missing = self.texts.keys() - self.index.tags.keys()
        return (self._stale | missing) & self.texts.keys()

    def _take_index(self, index: Index, pictures: list[Path]) -> None:
        self.index = index
        self._stale.difference_update(pictures)
        self.changed.emit(pictures)

    # --- asking ------------------------------------------------------------------

    def text(self, picture: Path) -> str:
        """A picture's caption text, "" without one."""
        return self.texts.get(picture) or ""

    def can_edit(self, picture: Path) -> bool:
        """Whether the picture has a caption file that can be read and written."""
        return self.history is not None and picture in self.texts

    def tags(self, picture: Path) -> tuple[str, ...]:
        """The tags of a picture's caption."""
        return self.index.tags.get(picture, ())

    def counts(self) -> Mapping[str, int]:
        """In how many captions each tag occurs."""
        return self.index.counts

    def without_caption(self) -> list[Path]:
        """The pictures whose caption is missing or empty, in order."""
        return [picture for picture in self.pictures if picture in self.index.without]

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

    def apply(
        self,
        changes: Sequence[Change],
        label: str,
        finished: Callable[[], object] = lambda: None,
    ) -> None:
        """Write changes as one step that can be undone; shown at once, told when it failed.

        finished: called in the writing thread when there was nothing that failed.
        """
        history, file_of = self.history, self.file_of
        wanted = [c for c in changes if c.picture in self.texts and c.after != (c.before or "")]
        if history is None:
            return
        if not wanted:
            finished()
            return
        for change in wanted:
            self.texts[change.picture] = change.after
        pictures = [change.picture for change in wanted]
        everything = list(self.pictures)

        def work() -> _Written:
            applied: Applied = apply_changes(wanted, history, label, file_of)
            if not applied.problems:
                finished()
            siblings = _siblings(pictures, everything)
            return _Written(siblings, applied.pictures, applied.problems)

        self._queue(work)
        self._tell_changed(pictures)

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
            return _Written(pictures, (), tuple(getattr(done, "problems", ()) or ()), done, name)

        self._queue(work)

    def _queue(self, work: Callable[[], _Written]) -> None:
        self._jobs.append(_Job(work))
        self._next()
        self._tell_busy()

    def _next(self) -> None:
        if self._running is not None or not self._jobs or self._closed:
            return
        job = self._running = self._jobs.popleft()
        self.background.run(self, "write", lambda _: job(), self._written)

    def _written(self, result: object) -> None:
        self._running = None
        match result:
            case _Written(
                done=done, pictures=pictures, written=written, problems=problems, way=way
            ):
                if written:
                    self.onDisk.emit(list(written))
                if problems:
                    self.told.emit(list(problems))
                self.reload(None if problems else pictures)
                if done is not None:
                    self.historyMoved.emit(done)
                if way and not problems:
                    self.wentBack.emit(way, done)
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
        # The pool drops what no thread has begun.
        for job in [*([self._running] if self._running else []), *self._jobs]:
            try:
                job()
            except (UserError, OSError) as error:
                _log.error("a caption could not be written at the end: %s", error)
        self._jobs.clear()


def _siblings(pictures: Sequence[Path], everything: Sequence[Path]) -> tuple[Path, ...]:
    """Other pictures that may have the same caption file: `a.jpg` beside `a.png`."""
    stems = {picture.with_suffix("") for picture in pictures}
    written = set(pictures)
    return tuple(p for p in everything if p not in written and p.with_suffix("") in stems)


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
