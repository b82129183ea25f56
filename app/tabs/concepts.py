"""The Concepts tab: a card per folder of pictures, its settings under it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QSize, Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QResizeEvent
from PySide6.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app import prefs, theme
from app.concept_scan import ConceptFacts, ConceptScanner
from app.forms import Form, Section, grouped, tooltip
from app.i18n import counted
from app.icons import icon
from app.state import SettingsState, new_item
from app.tabs.settings_page import SettingsPage
from app.widgets.cards import Card, CardList
from app.widgets.fields import CheckField
from app.widgets.labels import Elided, Note, Picture
from app.widgets.thumbs import ThumbStrip
from core.config.job import BY_PATH

LIST = "concepts"
ENABLED = "concepts[].enabled"
SECTIONS = tuple(
    Section(section.title, tuple(path for path in section.paths if path != ENABLED))
    for section in grouped("concepts[].")
)


class ConceptCard(Card):
    """One concept: thumbnails, name, counts; its settings unfold."""

    def __init__(
        self, index: int, state: SettingsState, page: ConceptsTab, scanner: ConceptScanner
    ) -> None:
        super().__init__(index, state)
        self._page, self._scanner = page, scanner
        info = BY_PATH[ENABLED]
        self.enabled = CheckField()
        self.enabled.setAccessibleName(info.title)
        self.enabled.setToolTip(tooltip(info, ENABLED))
        self.enabled.edited.connect(lambda on: state.set(f"{LIST}.{self.index}.enabled", on))
        self.thumbs = ThumbStrip(page.background)
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
        self.head.addWidget(self.enabled, 0, Qt.AlignmentFlag.AlignTop)
        self.head.addWidget(self.thumbs, 0, Qt.AlignmentFlag.AlignTop)
        self.head.addLayout(texts, 1)
        scanner.updated.connect(self.refresh)
        self._shown: tuple[Path, ...] | None = None
        self.refresh()

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
        self.counts.setText(self.tr("counting...") if facts is None else self._counts(facts))
        self.counts.setVisible(facts is None or not facts.problem)
        kind, text = self._trouble(facts) if facts is not None and path else ("", "")
        self.trouble.setVisible(bool(text))
        self.trouble.set_note(text, kind or "help")
        if facts is not None and facts.first != self._shown:
            self._shown = facts.first
            self.thumbs.set_paths(facts.first)

    def _counts(self, facts: ConceptFacts) -> str:
        found, captioned = facts.pictures, facts.captioned
        pictures = counted(self.tr("%n picture(s)", "", found), found)
        captions = counted(self.tr("%n caption(s)", "", captioned), captioned)
        return f"{pictures}, {captions}"

    def _trouble(self, facts: ConceptFacts) -> tuple[str, str]:
        if facts.problem:
            return "error", facts.problem
        if facts.caption_problem:
            return "error", facts.caption_problem
        if not facts.pictures:
            return "warning", self.tr("There are no pictures in this folder.")
        if facts.without_caption:
            return "warning", self.tr("%n without caption", "", facts.without_caption)
        return "", ""

    def make_body(self) -> QWidget:
        form = Form(self.state, SECTIONS, f"{LIST}.{self.index}")
        self._page.adopt(form)
        return form

    def extra_actions(self, menu: QMenu) -> None:
        path = Path(str(self.state.get(f"{LIST}.{self.index}.path"))).expanduser()
        show = menu.addAction(
            icon("folder-open"),
            self.tr("Show folder"),
            lambda: QDesktopServices.openUrl(QUrl.fromLocalFile(str(path))),
        )
        show.setEnabled(path.is_dir())
        menu.addSeparator()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.thumbs.set_count(2 if self.width() < theme.em(74) else 4)


class ConceptsTab(SettingsPage):
    """The pictures to learn from. Signals: demoRequested()."""

    demoRequested = Signal()

    def __init__(self, state: SettingsState, scanner: ConceptScanner) -> None:
        super().__init__(state, most_em=170)
        self.background = scanner.background
        header = QHBoxLayout()
        self.summary = QLabel()
        theme.set_role(self.summary, "muted")
        self.add = QPushButton(icon("folder-plus"), self.tr("Add folder"))
        self.add.clicked.connect(self.choose_folder)
        header.addWidget(self.summary)
        header.addStretch(1)
        header.addWidget(self.add)
        self._header = QWidget()
        self._header.setLayout(header)
        header.setContentsMargins(theme.indent(), 0, 0, 0)
        self.column.addWidget(self._header)
        self.empty = self._empty_state()
        around = QVBoxLayout()
        around.setContentsMargins(theme.unit(1), 0, 0, 0)
        around.addWidget(self.empty)
        self.column.addLayout(around)
        self.list = CardList(state, LIST, lambda index: ConceptCard(index, state, self, scanner))
        self.list.countChanged.connect(self._count_changed)
        scanner.updated.connect(self._summarise)
        state.changed.connect(self._value_changed)
        self._scanner = scanner
        self.column.addWidget(self.list)
        self._count_changed(len(self.list.cards))

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
        demo.setToolTip(self.tr("Loads the demo preset: a small model and 20 pictures"))
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
        """Add a concept for each folder that is not there yet, and open the first."""
        there = {str(concept["path"]) for concept in self.state.get(LIST)}
        fresh = [str(f) for f in dict.fromkeys(folders) if str(f) not in there]
        for path in fresh:
            prefs.add_recent("folder", path, 8)
        if fresh:
            first = len(self.list.cards)
            self.state.extend(LIST, [{**new_item(LIST), "path": path} for path in fresh])
            self.list.open(first)
            self.bring(self.list.cards[first])

    def _value_changed(self, path: str) -> None:
        if path.startswith(LIST):
            self._summarise()

    def _count_changed(self, count: int) -> None:
        self.empty.setVisible(count == 0)
        self._header.setVisible(count > 0)
        self._summarise()

    def _summarise(self) -> None:
        concepts = [c for c in self.state.get(LIST) if c["enabled"]]
        facts = [self._scanner.facts(concept) for concept in concepts]
        pictures = sum(fact.pictures for fact in facts if fact is not None)
        number = len(concepts)
        words = counted(self.tr("%n concept(s) in use", "", number), number)
        found = counted(self.tr("%n picture(s)", "", pictures), pictures)
        self.summary.setText(f"{words}, {found}")

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
        self.list.open(int(parts[1]))
        card = self.list.cards[int(parts[1])]
        assert isinstance(card, ConceptCard)
        if parts[2:] in ([], ["enabled"]):
            card.enabled.setFocus(Qt.FocusReason.OtherFocusReason)
            self.bring(card)
            return card
        return super().reveal(path)

    def sizeHint(self) -> QSize:
        return QSize(theme.em(90), theme.em(60))
