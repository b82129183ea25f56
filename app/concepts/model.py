"""The pictures of a concept as rows: filtered, sorted, changed without moving what stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    QTimer,
    Signal,
)

from app.concepts.facts import FILTERS, Listing, PictureFacts, counts_of

FACTS = Qt.ItemDataRole.UserRole + 1
# Rows that come or go are told one by one up to so many (times the rows there are); beyond that
# the view starts anew, at the same picture.
_ONE_BY_ONE = 200
_ROW_STEPS = 1_000_000
# Sorting and filtering while the pictures are still being read.
_SETTLE_MS = 400

Index = QModelIndex | QPersistentModelIndex
# Newest, largest and longest first: that is what one looks for.
SORTS: dict[str, Callable[[PictureFacts], Any] | None] = {
    "name": None,
    "date": lambda one: -one.modified,
    "size": lambda one: -one.bytes,
    "pixels": lambda one: -one.pixels,
    "caption": lambda one: -len(one.text),
    "similarity": lambda one: one.group if one.group >= 0 else 1 << 60,
}


class PictureModel(QAbstractListModel):
    """Rows of pictures. Signals:

    countsChanged(): how many pictures each filter has changed.
    captionEdited(path, text): a caption was changed in place.
    startingAnew(): all rows are about to be exchanged; what is being edited must be kept now.
    """

    countsChanged = Signal()
    captionEdited = Signal(object, str)
    startingAnew = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._facts: dict[Path, PictureFacts] = {}
        self._shown: list[Path] = []
        self._rows: dict[Path, int] = {}
        self._filter, self._sort, self._search = "all", "name", ""
        self._only: frozenset[Path] | None = None
        self.editable = True
        self.filter_counts: dict[str, int] = dict.fromkeys(FILTERS, 0)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.timeout.connect(self.arrange)

    # --- what is there ------------------------------------------------------------

    def facts(self) -> Mapping[Path, PictureFacts]:
        """All pictures, filtered out ones too, in natural order."""
        return self._facts

    def of(self, path: Path) -> PictureFacts | None:
        """What is known of one picture."""
        return self._facts.get(path)

    def shown(self) -> list[Path]:
        """The pictures in the order of the rows."""
        return self._shown

    def row_of(self, path: Path) -> int:
        """The row of a picture, -1 when it is not shown."""
        return self._rows.get(path, -1)

    def path_at(self, row: int) -> Path:
        """The picture of a row."""
        return self._shown[row]

    def take(self, listing: Listing) -> None:
        """These are the pictures now; what is known here of those that stay is kept."""
        new, old = listing.facts, self._facts
        if list(new) == list(old):
            return
        for path, facts in old.items():
            if path in new:
                new[path] = facts
        self._facts = new
        self._count(listing.counts if not old else counts_of(new.values()))
        self.arrange()

    def clear(self) -> None:
        """No pictures, another folder."""
        self.beginResetModel()
        self._facts, self._shown, self._rows = {}, [], {}
        self.endResetModel()
        self._count(counts_of(()))

    def update(self, news: Iterable[PictureFacts]) -> None:
        """Newer facts of some pictures; those that are not listed are left out."""
        rows: list[int] = []
        changed = False
        for facts in news:
            old = self._facts.get(facts.path)
            if old is None or old == facts:
                continue
            self._facts[facts.path] = facts
            for name, test in FILTERS.items():
                self.filter_counts[name] += test(facts) - test(old)
            changed = True
            row = self._rows.get(facts.path)
            if row is not None:
                rows.append(row)
        if not changed:
            return
        for first, last in _runs(rows):
            self.dataChanged.emit(self.index(first), self.index(last))
        self.countsChanged.emit()
        if (self.is_narrowed() or self._sort != "name") and not self._settle.isActive():
            self._settle.start()

    def merge(self, news: Iterable[PictureFacts]) -> None:
        """As `update`, with facts that were read from files: what decoding and comparing found
        out about the same files in the meantime stays."""
        self.update([self._with_findings(facts) for facts in news])

    def _with_findings(self, facts: PictureFacts) -> PictureFacts:
        old = self._facts.get(facts.path)
        if old is None or (old.bytes, old.modified) != (facts.bytes, facts.modified):
            return facts
        problem = facts.problem or (old.problem if old.size and facts.size else "")
        return replace(facts, problem=problem, group=max(facts.group, old.group))

    def change(self, path: Path, **fields: Any) -> None:
        """Set some fields of one picture's facts at once."""
        facts = self._facts.get(path)
        if facts is not None:
            self.update([replace(facts, **fields)])

    def remove(self, paths: Iterable[Path]) -> None:
        """Take pictures out that are gone."""
        gone = set(paths)
        left = {path: facts for path, facts in self._facts.items() if path not in gone}
        self.take(Listing(left))

    def set_groups(self, groups: Iterable[Iterable[Path]]) -> None:
        """Which pictures are near duplicates of each other."""
        number = {path: n for n, group in enumerate(groups) for path in group}
        self.update([replace(f, group=number.get(f.path, -1)) for f in list(self._facts.values())])
        self.arrange()

    # --- order ------------------------------------------------------------

    def set_filter(self, name: str) -> None:
        """Show only what passes one of FILTERS."""
        self._filter = name
        self.arrange()

    def set_sort(self, name: str) -> None:
        """Order by one of SORTS."""
        self._sort = name
        self.arrange()

    def set_search(self, text: str) -> None:
        """Show only pictures whose caption or name holds all words of `text`."""
        self._search = text.strip()
        self.arrange()

    def search(self) -> str:
        """The text that captions or names are searched for."""
        return self._search

    def set_only(self, paths: Iterable[Path] | None) -> None:
        """Show none but these pictures, as another part of the window asks; None for all."""
        self._only = None if paths is None else frozenset(paths)
        self.arrange()

    def filter_name(self) -> str:
        """The filter in use."""
        return self._filter

    def is_narrowed(self) -> bool:
        """Whether some pictures are kept back by filter or search."""
        return self._filter != "all" or bool(self._search) or self._only is not None

    def arrange(self) -> None:
        """Show exactly what filter and search let through, in order."""
        self._settle.stop()
        test, words = FILTERS[self._filter], self._search.casefold().split()
        kept = [f for f in self._facts.values() if test(f)]
        if self._only is not None:
            kept = [f for f in kept if f.path in self._only]
        if words:
            kept = [f for f in kept if _has_words(f, words)]
        order = SORTS[self._sort]
        if order is not None:
            kept.sort(key=order)
        self._show([facts.path for facts in kept])

    def _count(self, counts: dict[str, int]) -> None:
        if counts != self.filter_counts:
            self.filter_counts = dict(counts)
            self.countsChanged.emit()

    def _show(self, new: list[Path]) -> None:
        old = self._shown
        if new == old:
            return
        if not old:
            self.beginResetModel()
            self._take(new)
            self.endResetModel()
            return
        staying = set(new)
        gone = [row for row, path in enumerate(old) if path not in staying]
        before = set(old)
        come = [row for row, path in enumerate(new) if path not in before]
        same_order = [p for p in old if p in staying] == [p for p in new if p in before]
        changes = len(gone) + len(come)
        many = changes > _ONE_BY_ONE or changes * len(new) > _ROW_STEPS
        if not same_order or many:
            self.startingAnew.emit()
            self.beginResetModel()
            self._take(new)
            self.endResetModel()
            return
        for row in reversed(gone):
            self.beginRemoveRows(QModelIndex(), row, row)
            self._take(self._shown[:row] + self._shown[row + 1 :])
            self.endRemoveRows()
        for row in come:
            self.beginInsertRows(QModelIndex(), row, row)
            self._take([*self._shown[:row], new[row], *self._shown[row:]])
            self.endInsertRows()

    def _take(self, shown: list[Path]) -> None:
        self._shown = shown
        self._rows = {path: row for row, path in enumerate(shown)}

    # --- QAbstractItemModel ------------------------------------------------------------

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._shown)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        facts = self._facts[self._shown[index.row()]]
        if role == FACTS:
            return facts
        if role == Qt.ItemDataRole.DisplayRole:
            return facts.path.name
        if role == Qt.ItemDataRole.EditRole:
            return facts.text
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return self._spoken(facts)
        if role == Qt.ItemDataRole.AccessibleDescriptionRole:
            return facts.problem or facts.text
        return None

    def _spoken(self, facts: PictureFacts) -> str:
        """What a screen reader says of a picture: its name, mark and caption."""
        marks = {"keep": self.tr("kept"), "reject": self.tr("rejected")}
        said = facts.problem or facts.text.strip() or self.tr("no caption")
        parts = (facts.path.name, marks.get(facts.note.mark, ""), said)
        return ", ".join(part for part in parts if part)

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        if role != Qt.ItemDataRole.EditRole or not index.isValid():
            return False
        facts = self._facts[self._shown[index.row()]]
        if str(value) == facts.text:
            return False
        self.captionEdited.emit(facts.path, str(value))
        return True

    def flags(self, index: Index) -> Qt.ItemFlag:
        plain = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        plain |= Qt.ItemFlag.ItemNeverHasChildren
        return plain | Qt.ItemFlag.ItemIsEditable if self.editable else plain


def _has_words(facts: PictureFacts, words: list[str]) -> bool:
    text = f"{facts.text}\n{facts.path.name}".casefold()
    return all(word in text for word in words)


def _runs(rows: Iterable[int]) -> list[tuple[int, int]]:
    """Consecutive rows as (first, last)."""
    runs: list[tuple[int, int]] = []
    for row in sorted(rows):
        if runs and row == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], row)
        else:
            runs.append((row, row))
    return runs
