"""The Concepts tab: a card per folder of pictures, with its settings, pictures and statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app import prefs, theme
from app.concept_scan import ConceptScanner
from app.concepts.card import LIST, ConceptCard
from app.concepts_statistics import ConceptStatistics
from app.detection import BaseModelWatch
from app.i18n import counted
from app.icons import icon
from app.plan_watch import USUAL_STEP
from app.state import SettingsState, new_item
from app.tabs.settings_page import SettingsPage
from app.widgets.cards import CardList
from app.widgets.labels import Note, Picture
from core.config.concepts import Concept
from core.config.job import Job
from core.data.captions import kohya_name

if TYPE_CHECKING:
    from app.concepts.facts import Look
    from app.concepts.pictures import PicturesPage
    from app.thumbnails import ThumbnailStore

# Settings outside the concepts that decide on what training sees of a picture.
_SEEN_BY = ("training.resolution", "training.more_resolutions", "training.buckets")


class ConceptsTab(SettingsPage):
    """The pictures to learn from. Signals: demoRequested(); badPicture(path, reason) when one that
    was to be shown cannot be decoded."""

    demoRequested = Signal()
    badPicture = Signal(object, str)

    def __init__(
        self, state: SettingsState, scanner: ConceptScanner, model: BaseModelWatch | None = None
    ) -> None:
        super().__init__(state, most_em=170)
        self.background = scanner.background
        self._model = model
        self._thumbnails: ThumbnailStore | None = None
        self._fit = QTimer(self)
        self._fit.setSingleShot(True)
        self._fit.setInterval(0)
        self._fit.timeout.connect(self._fit_room)
        self._build_header()
        self.empty = self._empty_state()
        around = QVBoxLayout()
        around.setContentsMargins(theme.unit(1), 0, 0, 0)
        around.addWidget(self.empty)
        self.column.addLayout(around)
        self.list = CardList(state, LIST, lambda index: self._make_card(index, scanner))
        self.list.countChanged.connect(self._count_changed)
        self.list.opened.connect(lambda _: self._arrange_rooms())
        self.list.acted.connect(self._acted)
        scanner.updated.connect(self._summarise)
        state.changed.connect(self._value_changed)
        state.reloaded.connect(self._show_looks)
        if model is not None:
            model.changed.connect(self._show_looks)
        self._scanner = scanner
        self.column.addWidget(self.list)
        # What stands above the room may have grown by a line.
        self.verticalScrollBar().rangeChanged.connect(lambda *_: self._fit.start())
        self._count_changed(len(self.list.cards))

    def _build_header(self) -> None:
        self.summary = QLabel()
        theme.set_role(self.summary, "muted")
        self.said = Note(lines=3)
        self.said.setVisible(False)
        self.add = QPushButton(icon("folder-plus"), self.tr("Add folder"))
        self.add.clicked.connect(self.choose_folder)
        header = QHBoxLayout()
        header.addWidget(self.summary)
        header.addStretch(1)
        header.addWidget(self.add)
        self._header = QWidget()
        column = QVBoxLayout(self._header)
        column.setContentsMargins(theme.indent(), 0, 0, 0)
        column.setSpacing(theme.unit(0.5))
        column.addLayout(header)
        column.addWidget(self.said)
        self.column.addWidget(self._header)

    def _empty_state(self) -> QFrame:
        frame = QFrame()
        frame.setProperty("role", "drop")
        column = QVBoxLayout(frame)
        column.setContentsMargins(*[theme.unit(4)] * 4)
        column.setSpacing(theme.unit(1.25))
        middle = Qt.AlignmentFlag.AlignHCenter
        headline = QLabel(self.tr("Drop a folder of pictures here"))
        theme.set_role(headline, "title")
        advice = QLabel(
            self.tr(
                "10 to 30 pictures of one subject or style are a good start. Captions are text "
                "files of the same names beside them."
            )
        )
        advice.setWordWrap(True)
        advice.setAlignment(middle)
        theme.set_role(advice, "muted")
        choose = QPushButton(icon("folder-plus", "on_accent"), self.tr("Choose a folder"))
        theme.set_role(choose, "primary")
        choose.clicked.connect(self.choose_folder)
        demo = self.demo = QPushButton(icon("sparkles"), self.tr("Try the demo"))
        demo.setToolTip(self.tr("Loads the demo preset: a small model and its pictures"))
        demo.clicked.connect(self.demoRequested)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(choose)
        buttons.addWidget(demo)
        buttons.addStretch(1)
        column.addWidget(Picture("images", 5), 0, middle)
        column.addWidget(headline, 0, middle)
        column.addWidget(advice)
        column.addSpacing(theme.unit())
        column.addLayout(buttons)
        return frame

    # --- cards and their rooms ------------------------------------------------------------

    def _make_card(self, index: int, scanner: ConceptScanner) -> ConceptCard:
        card = ConceptCard(index, self.state, self, scanner)
        card.roomChanged.connect(self._room_changed)
        return card

    def card(self, index: int) -> ConceptCard:
        """The card of a concept. Raises IndexError when there is none."""
        found = self.list.cards[index]
        assert isinstance(found, ConceptCard)
        return found

    def make_pictures(self) -> PicturesPage:
        """A page for the pictures of a concept."""
        # Late: reading pictures is nothing that the window's start should wait for.
        from app.concepts.pictures import PicturesPage
        from app.thumbnails import ThumbnailStore

        if self._thumbnails is None:
            self._thumbnails = ThumbnailStore(self)
            self._thumbnails.failed.connect(self.badPicture)
        page = PicturesPage(self.background, self._thumbnails)
        page.revealed.connect(lambda: QTimer.singleShot(0, page, lambda: self._bring_tile(page)))
        return page

    def _bring_tile(self, page: PicturesPage) -> None:
        """Scroll to the current tile where the room is higher than what can be seen of it."""
        grid, inside = page.grid, self.widget()
        tile = grid.visualRect(grid.currentIndex())
        if inside is not None and tile.isValid():
            middle = grid.viewport().mapTo(inside, tile.center())
            around = min(tile.height() // 2 + theme.unit(1), self.viewport().height() // 2)
            self.ensureVisible(0, middle.y(), 0, around)

    def make_statistics(self, card: ConceptCard) -> ConceptStatistics:
        """A page for a concept's statistics; a tag there leads to the pictures that have it."""
        page = ConceptStatistics(background=self.background)
        page.setMaximumWidth(theme.em(100))
        page.setContentsMargins(theme.indent(), theme.unit(1), theme.unit(1), 0)
        page.tags.setCursor(Qt.CursorShape.PointingHandCursor)
        page.tags.setToolTip(self.tr("Click a tag to see its pictures"))
        page.tagChosen.connect(lambda tag: self._show_tag(card, tag))
        page.filled.connect(lambda: self.bring(card))
        self._scanner.updated.connect(page.look_again)
        return page

    def room_width(self) -> int:
        """How wide a card can be without being cut off."""
        return self.viewport().width() - theme.unit(theme.MARGIN) - theme.unit(2)

    def show_look(self, card: ConceptCard) -> None:
        """Give a card's pages the settings as they are now."""
        if card.statistics is not None:
            self._show_statistics(card, card.statistics)
        if card.pictures is None:
            return
        if (look := self._look_of(card)) is not None:
            card.pictures.set_look(look)

    def _look_of(self, card: ConceptCard) -> Look | None:
        """How training looks at a card's pictures; None while a setting is being typed."""
        from app.concepts.facts import Look, sides_of
        from core.config.buckets import Buckets
        from core.data.buckets import shapes_of

        try:
            concept = Concept.model_validate(self.state.get(f"{LIST}.{card.index}"))
            resolution = int(self.state.get("training.resolution"))
            buckets = Buckets.model_validate(self.state.get("training.buckets"))
        except (ValidationError, KeyError, TypeError, ValueError):
            return None
        file = self._model.file if self._model is not None else None
        step = file.bucket_step if file else USUAL_STEP
        more = str(self.state.get("training.more_resolutions"))
        shapes = shapes_of(buckets, step, concept)
        return Look(concept, sides_of(concept, resolution, more, shapes.step), shapes)

    def view_pictures(self, card: ConceptCard) -> None:
        """Show a card's pictures full screen, where its grid is when it has one."""
        from app.concepts.viewing import view_pictures

        if card.pictures is not None:
            card.pictures.open_viewer()
        elif (look := self._look_of(card)) is not None:
            viewer = view_pictures(look, self.window())
            viewer.closed.connect(self._scanner.look_again)

    def _show_tag(self, card: ConceptCard, tag: str) -> None:
        card.enter("pictures")
        if card.pictures is not None:
            card.pictures.bar.search.setText(tag)

    def _show_statistics(self, card: ConceptCard, page: ConceptStatistics) -> None:
        try:
            job = Job.model_validate(dict(self.state.data))
        except ValidationError:
            return  # what is being typed is no value yet
        file = self._model.file if self._model is not None else None
        page.look_at(job, card.index, file.bucket_step if file else USUAL_STEP)

    def _show_looks(self) -> None:
        for index in range(len(self.list.cards)):
            self.show_look(self.card(index))

    def _room_changed(self, card: ConceptCard) -> None:
        self._arrange_rooms()
        if card.room == "statistics":
            self.bring(card)

    def _arrange_rooms(self) -> None:
        """A room full of pictures has the tab to itself."""
        cards = [self.card(index) for index in range(len(self.list.cards))]
        full = next((card for card in cards if card.fills_tab()), None)
        for card in cards:
            card.setVisible(full is None or card is full)
            if card is not full:
                card.set_room_height(0)
        self.set_wide(full is not None)
        self._header.setVisible(full is None and bool(self.list.cards))
        if full is not None:
            self.verticalScrollBar().setValue(0)
            self._fit.start()

    def _fit_room(self) -> None:
        inside = self.widget()
        for card in self.list.cards:
            if not isinstance(card, ConceptCard) or not card.fills_tab() or inside is None:
                continue
            assert card.body is not None
            top = card.body.mapTo(inside, card.body.rect().topLeft()).y()
            room = self.viewport().height() - top - theme.unit(1) - theme.unit(2) - 2
            # With less the tools for captions overlap; the tab scrolls then.
            card.set_room_height(max(room, theme.unit(48.5)))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit.start()

    def reveal_picture(self, index: int, path: Path, alike: str = "all") -> None:
        """Show one picture of a concept in its grid, with those that pass the filter `alike`."""
        if index >= len(self.list.cards):
            return
        card = self.card(index)
        card.enter("pictures")
        if card.pictures is not None:
            card.pictures.reveal(path, alike)

    def close_down(self) -> None:
        """Finish what is being written and end the threads; the window closes."""
        for card in self.list.cards:
            if isinstance(card, ConceptCard) and card.pictures is not None:
                card.pictures.close_down()
        if self._thumbnails is not None:
            self._thumbnails.close()

    # --- adding ------------------------------------------------------------

    def set_drop_target(self, over: bool) -> None:
        """Show that a drop would land here."""
        self.empty.setProperty("over", "true" if over else "false")
        theme.repolish(self.empty)

    def choose_folder(self) -> None:
        """Ask for a folder and add it."""
        recent = prefs.recent("folder")
        start = str(Path(recent[0]).parent) if recent else str(Path.home())
        path = QFileDialog.getExistingDirectory(self, self.tr("Folder with pictures"), start)
        if path:
            self.add_folders([Path(path)])

    def add_folders(self, folders: Sequence[Path]) -> None:
        """Add the concepts that the folders hold and that are not there yet; open the first."""
        from core.data.layouts import concepts_of_folder

        there = {str(concept["path"]) for concept in self.state.get(LIST)}
        fresh = []
        for folder in dict.fromkeys(folders):
            for proposal in concepts_of_folder(folder):
                if proposal["path"] not in there:
                    there.add(proposal["path"])
                    fresh.append({**new_item(LIST), **proposal})
            prefs.add_recent("folder", str(folder), 8)
        if not fresh:
            self._say(self.tr("This folder is in the list already."))
            return
        first = len(self.list.cards)
        self.state.extend(LIST, fresh)
        self._say(self._recognised(fresh))
        self.list.open(first)
        self.bring(self.list.cards[first])

    def _recognised(self, concepts: Sequence[Mapping[str, Any]]) -> str:
        """What is special about folders that were added, in a sentence; empty for plain ones."""
        parts = []
        if any(kohya_name(Path(c["path"]).name) for c in concepts):
            parts.append(self.tr("kohya's folder names with repeats"))
        if any(c["prompt"]["source"] == "metadata" for c in concepts):
            parts.append(self.tr("a table of captions"))
        if any(c["kind"] == "prior" for c in concepts):
            parts.append(self.tr("regularisation pictures"))
        if any(c["kind"] == "validation" for c in concepts):
            parts.append(self.tr("validation pictures"))
        if not parts:
            if any(c["include_subfolders"] for c in concepts):
                return self.tr("The pictures lie in subfolders, so these are included.")
            return ""
        text = self.tr("Recognised %1.")
        if len(concepts) > 1:
            text = self.tr("Recognised %1: added as %2 concepts.")
        text = text.replace("%2", str(len(concepts)))
        return text.replace("%1", self.tr(" and ").join(parts))

    def _say(self, text: str) -> None:
        self.said.setVisible(bool(text))
        self.said.set_note(text, "todo")

    def _acted(self, index: int, name: str) -> None:
        self._say(self.tr("Removed; Ctrl+Z brings it back.") if name == "remove" else "")

    # --- at a glance ------------------------------------------------------------

    def _value_changed(self, path: str) -> None:
        if path.startswith(LIST):
            self._summarise()
        if path.startswith(LIST) or path.startswith(_SEEN_BY):
            self._show_looks()

    def _count_changed(self, count: int) -> None:
        self.empty.setVisible(count == 0)
        self._arrange_rooms()
        self._summarise()

    def _summarise(self) -> None:
        concepts = [c for c in self.state.get(LIST) if c["enabled"]]
        facts = [self._scanner.facts(concept) for concept in concepts]
        pictures = sum(fact.pictures for fact in facts if fact is not None)
        number = len(concepts)
        words = counted(self.tr("%n concept(s) in use", "", number), number)
        found = counted(self.tr("%n picture(s)", "", pictures), pictures)
        self.summary.setText(f"{words}, {found}")
        self._fit.start()  # notes on a card come and go with what is found

    # --- being led here ------------------------------------------------------------

    def has(self, path: str) -> bool:
        return path == LIST or path.startswith(f"{LIST}.")

    def reveal(self, path: str) -> QWidget | None:
        parts = path.split(".")
        if len(parts) < 2 or not parts[1].isdigit():
            target = self.empty if self.empty.isVisibleTo(self) else self.add
            target.setFocus()
            self.bring(target)
            return target
        if int(parts[1]) >= len(self.list.cards):
            return None
        card = self.card(int(parts[1]))
        self.list.open(card.index)
        card.enter("settings")
        if parts[2:] in ([], ["enabled"]):
            card.enabled.setFocus(Qt.FocusReason.OtherFocusReason)
            self.bring(card)
            return card
        return super().reveal(path)

    def sizeHint(self) -> QSize:
        return QSize(theme.em(90), theme.em(60))
