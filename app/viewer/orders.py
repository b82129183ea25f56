"""Orders of the pictures that need measuring first, and what is done with near-duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from app.i18n import counted
from app.viewer.album import Order
from app.viewer.source import Entry
from app.viewer.survey import Found, kind_for

if TYPE_CHECKING:
    from app.viewer.window import Viewer


class Orders(QObject):
    """Orders the album by what a survey finds out."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self._v = viewer
        self._wanted: tuple[Order, bool] | None = None
        viewer.survey.progress.connect(self._tell_progress)
        viewer.survey.finished.connect(self._take)
        viewer.survey.stopped.connect(self._stopped)

    @property
    def is_measuring(self) -> bool:
        """Whether pictures are being measured for the user."""
        return self._v.survey.running not in (None, "files")

    def choose(self, order: Order, is_reversed: bool) -> None:
        """Another order, after finding out what it goes by."""
        v = self._v
        kind = kind_for(order)
        if kind is None:
            self._wanted = None
            if self.is_measuring:
                v.notice.hide()
                v.survey.cancel()
            v.album.set_order(order, is_reversed)
            return
        self._wanted = (order, is_reversed)
        v.survey.start(kind, list(v.album.known.values()))
        if kind != "files":
            self._tell_progress(0, len(v.album.known))

    def reject_near_duplicates(self) -> None:
        """Mark all but the suggested one of each group; what has a mark keeps it."""
        v = self._v
        near = [entry for entry in v.album.known.values() if entry.group >= 0]
        if not near:
            words = v.tr("No near-duplicates are known; {0} looks for them.")
            v.notice.say(words.format(v.commands.key_or_name("groups")))
            return
        entries = [entry for entry in near if not entry.suggested and not entry.note.mark]
        number = len(entries)
        told = counted(v.tr("%n near-duplicate(s) marked as rejected", "", number), number)
        if entries:
            v.judge.mark_many(entries, "reject", told)
        else:
            v.notice.say(v.tr("All near-duplicates but the suggested ones have a mark already."))

    # --- what the survey tells -----------------------------------------------

    def _tell_progress(self, done: int, total: int) -> None:
        if self.is_measuring:
            words = self._v.tr("Measuring the pictures: {0} of {1}").format(done, total)
            self._v.notice.keep(words, self._v.tr("Cancel"), self._v.survey.cancel)

    def _stopped(self) -> None:
        if self._wanted is not None:
            self._wanted = None
            self._v.notice.say(self._v.tr("Measuring was stopped; the order stays as it was."))

    def _take(self, found: Found) -> None:
        album = self._v.album
        if found.kind == "similarity":
            album.forget_gone()
            _note_groups(album.known, found.groups)
        _note_found(album.known, found)
        if self._wanted is not None and kind_for(self._wanted[0]) == found.kind:
            order, is_reversed = self._wanted
            self._wanted = None
            album.set_order(order, is_reversed)
            self._tell(found)
        elif album.order != "name":
            album.resort()

    def _tell(self, found: Found) -> None:
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
        v.notice.keep(words, v.tr("Reject all but the best"), self.reject_near_duplicates)


def _note_found(known: Mapping[str, Entry], found: Found) -> None:
    """Take over what a survey found out about the pictures."""
    for path, times in found.files.items():
        if path in known:
            known[path].mtime, known[path].size = times
    for path, size in found.pixels.items():
        if path in known:
            known[path].pixels = size
    for path, value in found.sharpness.items():
        if path in known:
            known[path].sharpness = value
    for path, value in found.brightness.items():
        if path in known:
            known[path].brightness = value


def _note_groups(known: Mapping[str, Entry], groups: Sequence[Sequence[str]]) -> None:
    """Number the groups of near-duplicates; the first of each is the suggested one."""
    for entry in known.values():
        entry.group, entry.suggested = -1, False
    for number, group in enumerate(groups):
        for path in group:
            if path in known:
                known[path].group, known[path].suggested = number, path == group[0]
