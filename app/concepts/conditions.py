"""What a picture must fulfil to be shown in the grid: said above it, taken away there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from app.concepts.model import PictureModel
from app.concepts.side import SidePanel
from app.concepts.toolbar import PictureBar


class Conditions(QObject):
    """Keeps the chips above the grid true to filter, tags and search. Signals:

    changed(): other pictures may be shown now.
    """

    changed = Signal()

    def __init__(self, bar: PictureBar, model: PictureModel, side: SidePanel) -> None:
        super().__init__(bar)
        self._bar, self._model, self._side = bar, model, side
        bar.filterChosen.connect(self._choose)
        bar.dropped.connect(self._drop)
        bar.searchChanged.connect(self._search)
        side.filterChanged.connect(self._only)

    def clear(self) -> None:
        """Keep no picture back by tags or search; the filter stays."""
        self._side.drop_tags()
        self._model.set_only(None)
        self._bar.clear_search()

    def _choose(self, name: str) -> None:
        if name == "all":
            self.clear()
        self._model.set_filter(name)
        self.changed.emit()

    def _drop(self, kind: str, text: str) -> None:
        if kind == "tag":
            self._side.drop_tags(text)
        else:
            self._bar.clear_search()

    def _search(self, text: str) -> None:
        self._model.set_search(text)
        self._tell()

    def _only(self, paths: Iterable[Path] | None) -> None:
        self._model.set_only(paths)
        self._tell()

    def _tell(self) -> None:
        found = [("tag", tag) for tag in self._side.filter_tags()]
        if text := self._model.search():
            found.append(("search", text))
        self._bar.set_conditions(found)
        self.changed.emit()
