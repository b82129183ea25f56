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

# So many of a group are shown side by side at a time.
_TOGETHER = 4


class Orders(QObject):
    """Orders the album by what a survey finds out."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self._v = viewer
        self._wanted: tuple[Order, bool] | None = None
        self._group = -1
        self._shown: list[Entry] = []
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

    def near_duplicates(self) -> None:
        """Look for near-duplicates; while a group of them is on the screen, go on to the next."""
        if self._is_shown():
            self._show_after(self._group)
        else:
            self.choose("similarity", False)

    def reject_near_duplicates(self) -> None:
        """Mark the group on the screen but its suggested picture; what has a mark keeps it.

        Without one the first group to judge is shown, so that nothing is marked unseen.
        """
        v = self._v
        if all(entry.group < 0 for entry in v.album.known.values()):
            words = v.tr("No near-duplicates are known; {0} looks for them.")
            v.notice.say(words.format(v.commands.key_or_name("groups")))
            return
        if not self._is_shown():
            self._show_after(-1)
            return
        entries = [entry for entry in self._shown if _is_to_judge(entry)]
        number, group = len(entries), self._group
        told = counted(v.tr("%n near-duplicate(s) marked as rejected", "", number), number)
        if not entries:
            v.notice.say(v.tr("All of this group but the suggested one have a mark already."))
        else:
            v.judge.mark_many(entries, "reject", told)
        # A large group comes in several parts.
        self._show_after(group - 1 if self._parts(group) else group, quietly=True)

    def _is_shown(self) -> bool:
        return bool(self._shown) and self._v.nav.slots == self._shown

    def _parts(self, group: int) -> list[Entry]:
        """The pictures of a group to show next: the suggested one and some without a mark."""
        members = [entry for entry in self._v.album.entries() if entry.group == group]
        others = [entry for entry in members if _is_to_judge(entry)]
        best = [entry for entry in members if entry.suggested]
        return [*best, *others][:_TOGETHER] if best and others else []

    def _show_after(self, group: int, quietly: bool = False) -> None:
        """Show the next group with something to judge; else one picture, and say so.

        quietly: another notice is on its way.
        """
        v = self._v
        numbers = sorted({e.group for e in v.album.entries() if e.group > group})
        found = next(((n, parts) for n in numbers if (parts := self._parts(n))), None)
        if found is None:
            self._shown = []
            v.nav.compare(1)
            if not quietly:
                v.notice.say(v.tr("There are no more near-duplicates without a mark."))
            return
        self._group, self._shown = found
        v.nav.show_together(self._shown)
        if not quietly:
            count = max(entry.group for entry in v.album.known.values()) + 1
            words = v.tr("Group {0} of {1}: {2}. {3} shows the next group.").format(
                self._group + 1, count, self._suggestion(), v.commands.key_or_name("groups")
            )
            v.notice.keep(words, v.tr("Reject all but the best"), self.reject_near_duplicates)

    def _suggestion(self) -> str:
        """Which picture to keep, with the reason: the notice lies over its badge."""
        best, v = self._shown[0], self._v
        if why := v.describer.why(best.why):
            return v.tr("keep {0} ({1})").format(best.name, why)
        return v.tr("keep {0}").format(best.name)

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
            _note_groups(album.known, found.groups, found.why)
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
        self._show_after(-1)


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


def _is_to_judge(entry: Entry) -> bool:
    return not entry.suggested and not entry.note.mark


def _note_groups(
    known: Mapping[str, Entry], groups: Sequence[Sequence[str]], why: Sequence[str]
) -> None:
    """Number the groups of near-duplicates; the first of each is the suggested one."""
    for entry in known.values():
        entry.group, entry.suggested, entry.why = -1, False, ""
    for number, (group, reason) in enumerate(zip(groups, why, strict=True)):
        for path in group:
            if path in known:
                known[path].group, known[path].suggested = number, path == group[0]
                known[path].why = reason
