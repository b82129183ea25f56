"""The Sampling tab: when samples are drawn, and the list of prompts."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from app import theme
from app.forms import Form, Section, by_prefix, make_editor, tooltip
from app.i18n import schema
from app.icons import icon
from app.state import SettingsState, new_item
from app.tabs.settings_page import SettingsPage
from app.widgets.cards import Card, CardList
from app.widgets.labels import Elided, Note
from core.config.job import BY_PATH
from core.config.trigger_words import fill, triggers_of

LIST = "sampling.prompts"
HEAD = (f"{LIST}[].enabled", f"{LIST}[].prompt", f"{LIST}[].seed")
DETAILS = by_prefix(f"{LIST}[].", without=HEAD)


class PromptCard(Card):
    """One sample prompt: enabled, prompt and seed in sight, the rest unfolds."""

    def __init__(self, index: int, state: SettingsState, page: SamplingTab) -> None:
        super().__init__(index, state)
        self._page = page
        self.editors: dict[str, QWidget] = {}
        for path in HEAD:
            editor = make_editor(BY_PATH[path])
            editor.edited.connect(  # type: ignore[attr-defined]
                lambda value, name=BY_PATH[path].name: state.set(self.path(name), value)
            )
            editor.setToolTip(tooltip(BY_PATH[path], path))
            self.editors[BY_PATH[path].name] = editor
        top = Qt.AlignmentFlag.AlignTop
        self.editors["prompt"].setProperty("placeholderText", schema(BY_PATH[HEAD[1]].help))
        self.editors["seed"].setFixedWidth(theme.em(10))
        seed = QLabel(schema(BY_PATH[HEAD[2]].title))
        theme.set_role(seed, "muted")
        self.resolved = Elided()
        theme.set_role(self.resolved, "muted")
        self.problem = Note()
        middle = QVBoxLayout()
        middle.setSpacing(theme.unit(0.5))
        middle.addWidget(self.editors["prompt"])
        middle.addWidget(self.resolved)
        middle.addWidget(self.problem)
        for editor in (self.editors["enabled"], seed):
            editor.setMinimumHeight(self.editors["seed"].sizeHint().height())
        self.head.addWidget(self.editors["enabled"], 0, top)
        self.head.addLayout(middle, 1)
        self.head.addWidget(seed, 0, top)
        self.head.addWidget(self.editors["seed"], 0, top)
        state.problemsChanged.connect(self._show_problem)
        state.changed.connect(self._changed)
        self.refresh()

    def path(self, name: str) -> str:
        """The concrete path of one of this prompt's settings."""
        return f"{LIST}.{self.index}.{name}"

    def refresh(self) -> None:
        for name, editor in self.editors.items():
            editor.set_value(self.state.get(self.path(name)))  # type: ignore[attr-defined]
        self._show_resolved()
        self._show_problem()

    def _changed(self, path: str) -> None:
        if path.startswith("concepts") or path == self.path("prompt"):
            self._show_resolved()

    def _show_resolved(self) -> None:
        """What is really drawn, where the prompt asks for trigger words."""
        prompts = self.state.get(LIST)
        if self.index >= len(prompts):
            return
        prompt = str(prompts[self.index]["prompt"])
        asks = "{trigger" in prompt
        self.resolved.setVisible(asks)
        if asks:
            text = fill(prompt, triggers_of(self.state.get("concepts"))).text
            self.resolved.set_text(self.tr("Drawn as: %1").replace("%1", text))

    def make_body(self) -> QWidget:
        form = Form(self.state, [Section("", DETAILS)], f"{LIST}.{self.index}")
        self._page.adopt(form)
        return form

    def _show_problem(self) -> None:
        mine = {self.path(name) for name in self.editors}
        found = next((p for p in self.state.problems() if p.setting in mine), None)
        self.problem.setVisible(found is not None)
        if found is not None:
            self.problem.set_note(found.sentence(), found.severity)


class SamplingTab(SettingsPage):
    """The pictures drawn while training."""

    def __init__(self, state: SettingsState) -> None:
        super().__init__(state)
        self.add_form([Section("", by_prefix("sampling.", without=by_prefix(f"{LIST}[]")))])
        header = QHBoxLayout()
        header.setContentsMargins(theme.indent(), 0, 0, 0)
        title = QLabel(self.tr("Prompts"))
        theme.set_role(title, "group")
        self.add = QPushButton(icon("plus"), self.tr("Add prompt"))
        self.add.clicked.connect(self.add_prompt)
        header.addWidget(title)
        header.addStretch(1)
        header.addWidget(self.add)
        self.column.addLayout(header)
        self.empty = QLabel(
            self.tr(
                "No prompts yet. A few fixed prompts, drawn again and again with the same seed, "
                "show best how the LoRA grows."
            )
        )
        self.empty.setWordWrap(True)
        self.empty.setContentsMargins(theme.indent(), 0, 0, 0)
        theme.set_role(self.empty, "muted")
        self.column.addWidget(self.empty)
        self.list = CardList(state, LIST, lambda index: PromptCard(index, state, self))
        self.list.countChanged.connect(lambda count: self.empty.setVisible(count == 0))
        self.empty.setVisible(not self.list.cards)
        self.column.addWidget(self.list)

    def add_prompt(self) -> None:
        """Append an empty prompt and put the cursor into it."""
        item = new_item(LIST)
        prompts = self.state.get(LIST)
        if prompts:  # what is drawn beside each other should differ in the prompt only
            item = {**prompts[-1], "prompt": "", "enabled": True}
        index = self.state.add(LIST, item)
        card = self.list.cards[index]
        assert isinstance(card, PromptCard)
        card.editors["prompt"].setFocus()
        self.bring(card)

    def has(self, path: str) -> bool:
        return path.startswith(f"{LIST}.") or super().has(path)

    def reveal(self, path: str) -> QWidget | None:
        if not path.startswith(f"{LIST}."):
            if path == LIST and self.list.cards:
                self.bring(self.list.cards[0])
                return self.list.cards[0]
            return super().reveal(path)
        index = path.removeprefix(f"{LIST}.").split(".")[0]
        if not index.isdigit() or int(index) >= len(self.list.cards):
            return None
        card = self.list.cards[int(index)]
        assert isinstance(card, PromptCard)
        editor = card.editors.get(path.rsplit(".", 1)[-1])
        if editor is not None:
            editor.setFocus(Qt.FocusReason.OtherFocusReason)
            self.bring(card)
            return editor
        self.list.open(card.index)
        return super().reveal(path)
