"""What the settings tabs have in common: forms in a scrolling page."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from app.forms import Form, Section
from app.state import SettingsState
from app.widgets.page import MOST_EM, Page
from core.config.fields import Level


class SettingsPage(Page):
    """A tab made of forms. Signals: allRequested() when every setting should be shown."""

    allRequested = Signal()

    def __init__(self, state: SettingsState, most_em: int = MOST_EM) -> None:
        super().__init__(most_em)
        self.state = state
        self.level: Level = "basic"

    @property
    def forms(self) -> list[Form]:
        """The forms that stand on the page now; those of a removed card have gone with it."""
        return [form for form in self.findChildren(Form) if form.is_bound()]

    def add_form(self, sections: Sequence[Section]) -> Form:
        """Append a form to the page's column."""
        form = self.adopt(Form(self.state, sections))
        self.column.addWidget(form)
        return form

    def adopt(self, form: Form) -> Form:
        """Let a form that stands elsewhere on the page take part in level and search."""
        form.set_level(self.level)
        form.allRequested.connect(self.allRequested)
        return form

    def set_level(self, level: Level) -> None:
        """Show the basic settings or all."""
        self.level = level
        for form in self.forms:
            form.set_level(level)

    def has(self, path: str) -> bool:
        """Whether the setting at this concrete path has a place on this page."""
        return any(form.declared(path) for form in self.forms)

    def reveal(self, path: str) -> QWidget | None:
        """Show the setting at a concrete path, scroll to it and mark it; None when it cannot."""
        for form in self.forms:
            row = form.reveal(path)
            if row is not None:
                self.bring(row)
                return row
        return None
