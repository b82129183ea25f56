"""The card of one concept: what it is at a glance; settings, pictures and statistics inside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QResizeEvent
from PySide6.QtWidgets import (
    QLabel,
    QMenu,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.concept_scan import ConceptFacts, ConceptScanner
from app.forms import Form, Section, grouped, tooltip
from app.i18n import counted
from app.icons import icon
from app.state import SettingsState
from app.widgets.cards import Card
from app.widgets.fields import CheckField
from app.widgets.labels import Elided, Note
from app.widgets.switch import Switch
from app.widgets.thumbs import ThumbStrip
from core.config.job import BY_PATH

if TYPE_CHECKING:
    from app.concepts.pictures import PicturesPage
    from app.concepts_statistics import ConceptStatistics

LIST = "concepts"
ENABLED = "concepts[].enabled"
ROOMS = ("settings", "pictures", "statistics")
SECTIONS = tuple(
    Section(section.title, tuple(path for path in section.paths if path != ENABLED))
    for section in grouped("concepts[].")
)


class _Rooms(QWidget):
    """Shows one of its pages at a time, in exactly the height that this one needs."""

    def __init__(self) -> None:
        super().__init__()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._pages: list[QWidget] = []

    def show_page(self, page: QWidget) -> None:
        """Show a page, added when it is new."""
        if page not in self._pages:
            self._pages.append(page)
            self._column.addWidget(page)
        for other in self._pages:
            other.setVisible(other is page)


class Host(Protocol):
    """What a card needs of the tab that it stands in."""

    def adopt(self, form: Form) -> Form:
        """Let a form take part in level and search."""

    def make_pictures(self) -> PicturesPage:
        """A page for the pictures of a concept."""

    def make_statistics(self, card: ConceptCard) -> ConceptStatistics:
        """A page for the statistics of a card's concept."""

    def room_width(self) -> int:
        """How wide a card can be without being cut off."""

    def view_pictures(self, card: ConceptCard) -> None:
        """Show a card's pictures full screen."""

    def show_look(self, card: ConceptCard) -> None:
        """Give the card's pages the settings as they are now."""


class ConceptCard(Card):
    """One concept: thumbnails, name, counts; its rooms unfold. Signals: roomChanged(card)."""

    roomChanged = Signal(object)

    def __init__(
        self, index: int, state: SettingsState, host: Host, scanner: ConceptScanner
    ) -> None:
        super().__init__(index, state)
        self._host, self._scanner = host, scanner
        self.room = "settings"
        self.form: Form | None = None
        self.pictures: PicturesPage | None = None
        self.statistics: ConceptStatistics | None = None
        info = BY_PATH[ENABLED]
        self.enabled = CheckField()
        self.enabled.setAccessibleName(info.title)
        self.enabled.setToolTip(tooltip(info, ENABLED))
        self.enabled.edited.connect(lambda on: state.set(f"{LIST}.{self.index}.enabled", on))
        self.thumbs = ThumbStrip(scanner.background)
        self.thumbs.clicked.connect(lambda: self.enter("pictures"))
        self.title = Elided()
        theme.set_role(self.title, "title")
        self.folder = Elided(mode=Qt.TextElideMode.ElideMiddle)
        theme.set_role(self.folder, "small")
        self.counts = QLabel()
        theme.set_role(self.counts, "small")
        self.counts.setTextFormat(Qt.TextFormat.PlainText)
        self.trouble = Note()
        texts = QVBoxLayout()
        texts.setSpacing(theme.unit(0.25))
        for widget in (self.title, self.folder, self.counts, self.trouble):
            texts.addWidget(widget)
        texts.addStretch(1)
        self.rooms = Switch(
            [
                ("settings", self.tr("Settings")),
                ("pictures", self.tr("Pictures")),
                ("statistics", self.tr("Statistics")),
            ],
            {"settings": "sliders-horizontal", "pictures": "images", "statistics": "chart-column"},
        )
        self.rooms.chosen.connect(self.enter)
        self.rooms.hide()
        top = Qt.AlignmentFlag.AlignTop
        self.head.addWidget(self.enabled, 0, top)
        self.head.addWidget(self.thumbs, 0, top)
        self.head.addLayout(texts, 1)
        self.head.addWidget(self.rooms, 0, top)
        self._stack = _Rooms()
        scanner.updated.connect(self.refresh)
        self._shown: tuple[Path, ...] | None = None
        self.refresh()

    # --- rooms ------------------------------------------------------------

    def make_body(self) -> QWidget:
        return self._stack

    def set_open(self, opened: bool) -> None:
        if opened:
            self._furnish(self.room)
        super().set_open(opened)
        if not opened:
            self.room = "settings"
        self.rooms.setVisible(opened)
        self._arrange_head()

    def enter(self, room: str) -> None:
        """Open the card at one of ROOMS."""
        self.room = room
        if not self.is_open():
            self.toggled.emit(self.index)
        if self.is_open():
            self._furnish(room)
            self._arrange_head()
            self.roomChanged.emit(self)

    def _furnish(self, room: str) -> None:
        """Make a room when it is entered for the first time, and show it."""
        page: QWidget
        if room == "pictures":
            if self.pictures is None:
                self.pictures = self._host.make_pictures()
            page = self.pictures
        elif room == "statistics":
            if self.statistics is None:
                self.statistics = self._host.make_statistics(self)
            page = self.statistics
        else:
            if self.form is None:
                self.form = Form(self.state, SECTIONS, f"{LIST}.{self.index}")
                self._host.adopt(self.form)
            page = self.form
        self._stack.show_page(page)
        self.rooms.show_choice(room)
        self._host.show_look(self)

    def fills_tab(self) -> bool:
        """Whether the open room takes all the place there is."""
        return self.is_open() and self.room == "pictures"

    def set_room_height(self, height: int) -> None:
        """How high the open room is; 0 leaves it to what is in it."""
        if height:
            self._stack.setFixedHeight(height)
        else:
            self._stack.setMinimumHeight(0)
            self._stack.setMaximumHeight(16777215)

    def _arrange_head(self) -> None:
        """Little above the pictures: they are what the room is for."""
        small = self.fills_tab()
        self._arrange_thumbs()
        self.folder.setVisible(not small)
        self.refresh()

    # --- at a glance ------------------------------------------------------------

    def refresh(self) -> None:
        try:
            concept = self.state.get(f"{LIST}.{self.index}")
        except KeyError:
            return  # this card is about to go
        path = str(concept["path"])
        name = str(concept["name"]).strip() or Path(path).name or self.tr("New concept")
        self.enabled.set_value(concept["enabled"])
        self.thumbs.set_dimmed(concept["enabled"] is not True)
        self.title.setEnabled(concept["enabled"] is True)
        self.title.set_text(name)
        self.folder.set_text(path or self.tr("no folder yet"))
        self.setAccessibleName(name)
        facts = self._scanner.facts(concept)
        counts = self.tr("counting...") if facts is None else self._counts(facts)
        purpose = {"validation": self.tr("for validation"), "prior": self.tr("as prior")}
        if concept["kind"] in purpose:
            counts = f"{counts}, {purpose[concept['kind']]}"
        self.counts.setText(counts)
        self.counts.setVisible(facts is None or not facts.problem)
        kind, text = self._trouble(facts) if facts is not None and path else ("", "")
        self.trouble.setVisible(bool(text) and not (self.fills_tab() and kind == "warning"))
        self.trouble.set_note(text, kind or "help")
        if facts is not None and facts.first != self._shown:
            self._shown = facts.first
            self.thumbs.set_paths(facts.first)

    def _counts(self, facts: ConceptFacts) -> str:
        found, captioned = facts.pictures, facts.captioned
        pictures = counted(self.tr("%n picture(s)", "", found), found)
        captions = counted(self.tr("%n caption(s)", "", captioned), captioned)
        parts = [pictures, captions]
        if facts.rejected:
            parts.append(self.tr("%n rejected", "", facts.rejected))
        if facts.broken:
            parts.append(self.tr("%n broken", "", facts.broken))
        return ", ".join(parts)

    def _trouble(self, facts: ConceptFacts) -> tuple[str, str]:
        if facts.problem:
            return "error", facts.problem
        if facts.caption_problem:
            return "error", facts.caption_problem
        if not facts.pictures and facts.rejected:
            return "warning", self.tr("All pictures in this folder are rejected or broken.")
        if not facts.pictures:
            return "warning", self.tr("There are no pictures in this folder.")
        if facts.without_caption:
            return "warning", self.tr("%n without caption", "", facts.without_caption)
        return "", ""

    def extra_actions(self, menu: QMenu) -> None:
        path = Path(str(self.state.get(f"{LIST}.{self.index}.path"))).expanduser()
        there = path.is_dir()
        for name, text, act in (
            ("images", self.tr("Pictures"), lambda: self.enter("pictures")),
            ("eye", self.tr("Go through pictures"), lambda: self._host.view_pictures(self)),
            ("folder-open", self.tr("Show folder"), lambda: _show(path)),
        ):
            menu.addAction(icon(name), text, act).setEnabled(there)
        menu.addSeparator()

    def _arrange_thumbs(self) -> None:
        """As many as there is room for beside the name and the rooms' switch."""
        # Its own width may be more than can be seen, until what is too wide has gone.
        width, opened = min(self.width(), self._host.room_width()), self.is_open()
        self.rooms.set_compact(width < theme.em(76))
        self.thumbs.set_count(2 if width < theme.em(118 if opened else 74) else 4)
        self.thumbs.setVisible(not self.fills_tab() and not (opened and width < theme.em(100)))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange_thumbs()


def _show(folder: Path) -> None:
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))
