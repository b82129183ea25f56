"""Beside the grid: the current picture as training sees it, or the tools for captions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from app import theme
from app.background import Background
from app.concepts.detail import PictureDetail
from app.concepts.facts import Look
from app.widgets.switch import Switch
from core.data.captions import caption_file_of
from core.paths import user_path

if TYPE_CHECKING:
    from app.captions.tools import CaptionTools
    from core.culling.history import History


class SidePanel(QWidget):
    """Shows one of its two pages. Signals:

    filterChanged(paths or None): show only these pictures. pictureWanted(path): go to it.
    filesChanged(): caption files were changed from here. wentBack(way, done): what undo or redo
    came to there (see app.concepts.undoing.words_of).
    """

    filterChanged = Signal(object)
    pictureWanted = Signal(object)
    filesChanged = Signal()
    wentBack = Signal(str, object)

    def __init__(
        self,
        background: Background,
        pictures: Callable[[], Sequence[Path]],
        selected: Callable[[], Sequence[Path]],
    ) -> None:
        """pictures, selected: give all pictures, and those selected in the grid."""
        super().__init__()
        self._background, self._pictures, self._selected = background, pictures, selected
        self._look: Look | None = None
        self._told: Look | None = None
        self._current: Path | None = None
        self.detail = PictureDetail(background)
        self.tools: CaptionTools | None = None
        self.switch = Switch([("picture", self.tr("Crop")), ("captions", self.tr("Captions"))])
        self.switch.show_choice("picture")
        self.switch.chosen.connect(self.show_page)
        self.stack = QStackedWidget()
        self.stack.addWidget(self.detail)
        head = QHBoxLayout()
        head.setContentsMargins(theme.unit(1.5), 0, 0, 0)
        head.addWidget(self.switch)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.unit(0.75))
        column.addLayout(head)
        column.addWidget(self.stack, 1)

    def show_page(self, name: str) -> None:
        """Show `picture` or `captions`."""
        self.switch.show_choice(name)
        if name == "captions":
            self._make_tools()
            assert self.tools is not None
            self.stack.setCurrentWidget(self.tools)
            self._tell_tools()
        else:
            self.stack.setCurrentWidget(self.detail)

    def shows_captions(self) -> bool:
        """Whether the tools for captions are in front."""
        return self.tools is not None and self.stack.currentWidget() is self.tools

    def _make_tools(self) -> None:
        if self.tools is not None:
            return
        from app.captions.tools import CaptionTools

        self.tools = CaptionTools(self._pictures)
        self.tools.filterChanged.connect(self.filterChanged)
        self.tools.showPicture.connect(self.pictureWanted)
        self.tools.captionsChanged.connect(lambda _: self.filesChanged.emit())
        self.tools.historyMoved.connect(lambda _: self.filesChanged.emit())
        self.tools.store.wentBack.connect(self.wentBack)
        self.stack.addWidget(self.tools)

    def set_look(self, look: Look) -> None:
        """Work on this concept."""
        self._look = look
        if self.shows_captions():
            self._tell_tools()

    def set_current(self, path: Path | None) -> None:
        """This is the picture in the grid."""
        self._current = path
        if self.tools is not None and self.shows_captions():
            self.tools.set_current(path)

    def selection_changed(self) -> None:
        """Others are selected in the grid."""
        if self.tools is not None and self.shows_captions():
            self.tools.set_selected(self._selected())

    def filter_tags(self) -> tuple[str, ...]:
        """The tags that the tools for captions show pictures by; empty for none at all."""
        return self.tools.filter_tags() if self.tools is not None else ()

    def drop_tags(self, *tags: str) -> None:
        """Show pictures by these tags no longer, without any by none."""
        if self.tools is not None:
            self.tools.set_filter([t for t in self.filter_tags() if tags and t not in tags])

    def pictures_changed(self) -> None:
        """Other pictures are in the grid now."""
        if self.tools is not None and self.shows_captions():
            self.tools.refresh()

    def captions_changed(self, paths: Sequence[Path]) -> None:
        """Captions were changed elsewhere."""
        if self.tools is not None and self.shows_captions():
            self.tools.reload(paths)

    def close_down(self) -> None:
        """Keep what is being edited and finish writing."""
        self.detail.close_down()
        if self.tools is not None:
            self.tools.shutdown()

    def _tell_tools(self) -> None:
        """Give the tools the concept's folder with its history, when they have another one."""
        look, tools = self._look, self.tools
        if look is None or tools is None:
            return
        if self._told is None or _source(look) != _source(self._told):
            self._told = look
            root = user_path(look.concept.path)
            tools.set_source(self._pictures, None, lambda path: caption_file_of(look.concept, path))
            self._background.run(
                self, ("history", id(self)), lambda _: _open(root), lambda h: self._opened(look, h)
            )
        else:
            tools.refresh()
        tools.set_current(self._current)
        tools.set_selected(self._selected())

    def _opened(self, look: Look, history: object) -> None:
        from core.culling.history import History

        if self.tools is None or self._told is not look or not isinstance(history, History):
            return
        self.tools.set_history(history)


def _source(look: Look) -> tuple[str, str]:
    return look.concept.path, look.concept.prompt.source


def _open(root: Path) -> History:
    from core.culling.history import History

    return History.open(root)
