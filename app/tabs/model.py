"""The Model tab: the base model with what was found out about it, and the output."""

from __future__ import annotations

from PySide6.QtCore import QT_TRANSLATE_NOOP

from app.detection import ALLOW, BaseModelWatch
from app.forms import Section, by_prefix
from app.state import SettingsState
from app.tabs.settings_page import SettingsPage
from app.widgets.labels import Note
from app.widgets.proposal import Proposal

OUTPUT = ("name", "model.output")
SECTIONS = (
    Section(str(QT_TRANSLATE_NOOP("schema", "Base model")), by_prefix("model.", without=OUTPUT)),
    Section(str(QT_TRANSLATE_NOOP("schema", "Result")), OUTPUT),
)


class ModelTab(SettingsPage):
    """Which model is taught, and where the LoRA goes."""

    def __init__(self, state: SettingsState, watch: BaseModelWatch) -> None:
        super().__init__(state)
        self._watch = watch
        form = self.add_form(SECTIONS)
        self.found = Note(lines=3)
        form.rows["model.base"].add_below(self.found)
        self.proposal = Proposal()
        form.rows["model.base"].add_below(self.proposal)
        watch.changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        kind = "help" if self._watch.kind in ("busy", "download") else self._watch.kind
        self.found.set_note(self._watch.sentence, kind)
        asks = self._watch.missing or self._watch.will_download
        self.found.setVisible(bool(self._watch.sentence) and not asks)
        if self._watch.missing:
            self.proposal.propose(
                self._watch.sentence,
                self.tr("Allow the download"),
                lambda: self.state.set(ALLOW, True),
            )
        elif self._watch.will_download:
            self.proposal.propose(
                self._watch.sentence,
                self.tr("Don't download"),
                lambda: self.state.set(ALLOW, False),
            )
        else:
            self.proposal.hide()
