"""Marks, stars, deletions, captions and their undo: shown at once, done by the file worker."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from app.i18n import counted
from app.viewer.album import Album
from app.viewer.notice import Notice
from app.viewer.source import Entry, Listing, Source, entries_of
from app.viewer.worker import FileWorker, Outcome
from core.culling.history import Done, History
from core.culling.notes import Mark
from core.culling.units import same_folder
from core.data.captions import caption_path


@dataclass
class _Job:
    """A change under way. entries: what it was asked for; found and gone: what the disk says
    afterwards, read in the worker's thread. text: of a caption."""

    entries: list[Entry] = field(default_factory=list)
    found: list[Entry] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    words: str = ""
    quiet: bool = False
    text: str = ""


class Judge(QObject):
    """Judges pictures of an album through a file worker.

    Signals: rescanNeeded() when the list may differ from the disk, changed(path) after a caption
    or another file of a picture was written, wentBack(entry) when an undo leads to a picture,
    deleting() when pictures are about to leave the folder.
    """

    rescanNeeded = Signal()
    changed = Signal(str)
    wentBack = Signal(object)
    deleting = Signal()

    def __init__(
        self,
        source: Source,
        album: Album,
        notice: Notice,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._source, self._album, self._notice = source, album, notice
        self.worker = FileWorker(source.root, self)
        self.worker.finished.connect(self._finished)
        self.undo_label = self.redo_label = ""
        # Captions that were typed and could not be written, by picture.
        self.unwritten: dict[str, str] = {}
        self.read_only = False
        # Paths with changes under way, and when they were done: an older scan knows nothing.
        self._pending: dict[str, float] = {}
        self._peek()

    # --- what is asked for ---------------------------------------------------

    def mark(self, entry: Entry, mark: Mark) -> None:
        """Keep, reject or unmark a picture."""
        if entry.note.mark == mark:
            return
        self._album.set_notes([(entry, replace(entry.note, mark=mark))])
        words = {
            "keep": self.tr("{0} is kept"),
            "reject": self.tr("{0} is rejected"),
            "": self.tr("{0} is not marked any more"),
        }[mark].format(entry.name)
        self._run("mark", [entry], words, lambda h, paths: h.mark(paths, mark=mark), quiet=True)

    def stars(self, entry: Entry, count: int) -> None:
        """Give a picture 0 to 5 stars."""
        if entry.note.stars == count:
            return
        self._album.set_notes([(entry, replace(entry.note, stars=count))])
        words = self.tr("{0} has {1} of 5 stars").format(entry.name, count)
        self._run("mark", [entry], words, lambda h, paths: h.mark(paths, stars=count), quiet=True)

    def mark_many(self, entries: Sequence[Entry], mark: Mark, words: str) -> None:
        """Mark several pictures in one undoable step."""
        self._album.set_notes((entry, replace(entry.note, mark=mark)) for entry in entries)
        self._run("mark", list(entries), words, lambda h, paths: h.mark(paths, mark=mark))

    def set_focus(self, entry: Entry, focus: tuple[float, float] | None) -> None:
        """Choose the point that crops keep in view, None for the middle."""
        self._album.set_notes([(entry, replace(entry.note, focus=focus))])
        words = self.tr("The focus of {0} is set").format(entry.name)
        if focus is None:
            words = self.tr("The focus of {0} is the middle again").format(entry.name)
        self._run("focus", [entry], words, lambda h, paths: h.set_focus(paths[0], focus))

    def delete(self, entry: Entry) -> None:
        """Move a picture and what belongs to it to the trash."""
        if self._refused():
            return
        self._album.remove(entry)
        words = self.tr("{0} is in the trash").format(entry.name)
        self._run("delete", [entry], words, lambda h, paths: h.delete(paths))

    def trash_rejected(self, entries: Sequence[Entry]) -> None:
        """Move rejected pictures to the trash in one undoable step."""
        if not entries or self._refused():
            return
        self._album.remove(*entries)
        number = len(entries)
        words = counted(self.tr("%n picture(s) moved to the trash", "", number), number)
        self._run("delete", list(entries), words, lambda h, paths: h.trash_rejected(paths))

    def take_kept(self, entries: Sequence[Entry], target: Path, move: bool) -> None:
        """Copy or move kept pictures to a folder in one undoable step.

        Those that lie in it already stay as they are, and are not counted.
        """
        if not entries or (move and self._refused()):
            return
        entries = [entry for entry in entries if not same_folder(Path(entry.folder), target)]
        if not entries:
            words = self.tr("The kept pictures are already in {0}; nothing was copied or moved.")
            self._notice.say(words.format(target))
            return
        number = len(entries)
        if move:
            self._album.remove(*entries)
            words = counted(self.tr("%n picture(s) moved to {0}", "", number), number)
        else:
            words = counted(self.tr("%n picture(s) copied to {0}", "", number), number)

        def take(history: History, paths: list[Path]) -> Done:
            return (history.move_kept if move else history.copy_kept)(paths, target)

        self._run("move" if move else "copy", list(entries), words.format(target), take)

    def write_caption(self, entry: Entry, text: str, before: str) -> None:
        """Write a picture's caption; an empty one takes the file away.

        before: the text that was changed; the file stays when it holds another one by now.
        """
        self._album.set_captioned(entry, bool(text.strip()))
        label = self.tr("Caption of {0}").format(entry.name)

        def write(history: History, paths: list[Path]) -> Done | None:
            beside = caption_path(paths[0])
            if beside is None and not text.strip():
                return None
            file = beside or paths[0].with_suffix(".txt")
            new = text if text.strip() else None
            return history.write_texts({file: new}, label, before={file: before})

        words = self.tr("The caption of {0} is saved").format(entry.name)
        self._run("caption", [entry], words, write, text=text)

    def undo(self) -> None:
        """Take back the last change that is not yet taken back."""
        self._again("undo", lambda history: history.undo())

    def redo(self) -> None:
        """Do again what was taken back last."""
        self._again("redo", lambda history: history.redo())

    # --- the truth of the disk -----------------------------------------------

    def current_truth(self, listing: Listing) -> Listing:
        """A scan's result without what it could not know yet about changes under way."""
        held = {path for path, done in self._pending.items() if listing.started <= done}
        self._pending = {path: self._pending[path] for path in held}
        if not held:
            return listing
        entries = []
        for entry in listing.entries:
            if entry.path in held:
                known = self._album.known.get(entry.path)
                if known is not None:
                    entries.append(known)
            else:
                entries.append(entry)
        there = {entry.path for entry in entries}
        entries += [
            self._album.known[path]
            for path in held
            if path not in there and path in self._album.known
        ]
        return replace(listing, entries=entries)

    def _refused(self) -> bool:
        if self.read_only:
            self._notice.problem(
                self.tr(
                    "{0} may not be written, so no picture in it can be moved; change its "
                    "permissions. Marks and stars work."
                ).format(self._source.root)
            )
        return self.read_only

    # --- through the worker --------------------------------------------------

    def _peek(self) -> None:
        """Learn whether there is something to undo from before."""
        self.worker.run("look", lambda history: None, _Job(quiet=True))

    def _run(
        self,
        kind: str,
        entries: list[Entry],
        words: str,
        act: Callable[[History, list[Path]], Done | None],
        quiet: bool = False,
        text: str = "",
    ) -> None:
        paths = [Path(entry.path) for entry in entries]
        for entry in entries:
            self._pending[entry.path] = math.inf
        job = _Job(entries, words=words, quiet=quiet, text=text)
        self.worker.run(kind, lambda history: act(history, paths), job)
        if kind in ("delete", "move"):
            self.deleting.emit()
        if not quiet:
            self._notice.say(words, self.tr("Undo"), self.undo)

    def _again(self, kind: str, act: Callable[[History], Done | None]) -> None:
        job, source = _Job(), self._source

        def work(history: History) -> Done | None:
            done = act(history)
            if done is not None:
                there = {str(p): p.exists() for p in done.pictures}
                job.found = entries_of([path for path in there if there[path]], source)
                job.gone = [path for path in there if not there[path]]
            return done

        self.worker.run(kind, work, job)

    def _finished(self, outcome: Outcome, context: object) -> None:
        assert isinstance(context, _Job)
        job = context
        self.undo_label, self.redo_label = outcome.undo_label, outcome.redo_label
        now = time.monotonic()
        for entry in job.entries:
            self._pending[entry.path] = now
        if outcome.kind == "caption":
            self._keep_unwritten(outcome, job)
        if outcome.problems:
            self._tell(outcome)
        if outcome.kind in ("undo", "redo"):
            self._went(outcome, job)
        elif outcome.problems or (outcome.done is None and outcome.kind != "look"):
            self._pending = {p: t for p, t in self._pending.items() if t == math.inf}
            self.rescanNeeded.emit()
        if outcome.kind == "caption":
            self.changed.emit(job.entries[0].path)

    def _keep_unwritten(self, outcome: Outcome, job: _Job) -> None:
        """What was typed must outlive a disk that would not take it."""
        path = job.entries[0].path
        written = outcome.done is not None and bool(outcome.done.pictures)
        self.unwritten.pop(path, None)
        if outcome.problems and not written and job.text.strip():
            self.unwritten[path] = job.text

    def _tell(self, outcome: Outcome) -> None:
        first, more = outcome.problems[0], len(outcome.problems) - 1
        text = first.sentence()
        if outcome.kind == "caption" and self.unwritten:
            text += " " + self.tr("What you typed is there when you edit the caption again.")
        if more:
            text += " " + counted(self.tr("And %n more problem(s).", "", more), more)
        if first.severity == "warning":
            self._notice.say(text, self.tr("Undo"), self.undo)
        else:
            self._notice.problem(text)

    def _went(self, outcome: Outcome, job: _Job) -> None:
        """Show what an undo or redo did, and go to the picture that it was about."""
        done = outcome.done
        if done is None:
            if not outcome.problems:
                nothing = {
                    "undo": self.tr("There is nothing to undo."),
                    "redo": self.tr("There is nothing to do again."),
                }
                self._notice.say(nothing[outcome.kind])
            return
        self._take_over(job)
        shown = [self._album.known.get(entry.path) for entry in job.found]
        target = next((entry for entry in shown if entry is not None), None)
        if target is not None:
            self.wentBack.emit(target)
        words = self.tr("Taken back: {0}") if outcome.kind == "undo" else self.tr("Again: {0}")
        if outcome.kind == "undo":
            self._notice.say(words.format(done.label), self.tr("Redo"), self.redo)
        else:
            self._notice.say(words.format(done.label), self.tr("Undo"), self.undo)
        self.rescanNeeded.emit()

    def _take_over(self, job: _Job) -> None:
        """Bring the list to what the disk says after an undo or redo."""
        now = time.monotonic()
        self._pending.update((entry.path, now) for entry in job.found)
        self._pending.update((path, now) for path in job.gone)
        known = self._album.known
        again = [entry for entry in job.found if entry.path in known]
        self._album.add(*(e for e in job.found if e.path not in known and self._belongs(e)))
        for fresh in again:
            known[fresh.path].missing = False
            known[fresh.path].captioned = fresh.captioned
        self._album.set_notes((known[fresh.path], fresh.note) for fresh in again)
        for fresh in job.found:
            self.changed.emit(fresh.path)
        gone = [known[path] for path in job.gone if path in known]
        if gone:
            self._album.remove(*gone)

    def _belongs(self, entry: Entry) -> bool:
        """Whether a picture that came back is one of those gone through."""
        if self._source.paths is not None:
            return entry.path in self._source.places
        if self._source.include_subfolders:
            return Path(entry.path).is_relative_to(self._source.root)
        return entry.folder == str(self._source.root)
