"""The Training tab: groups of the schema, and what goes along with choosing an optimizer."""

from __future__ import annotations

from typing import Any

from app.forms import grouped
from app.i18n import schema
from app.state import SettingsState, same
from app.tabs.settings_page import SettingsPage
from app.widgets import numbers
from app.widgets.proposal import Proposal
from core.config.job import BY_PATH
from core.optimizers import OPTIMIZERS

RATE, OPTIMIZER = "training.learning_rate", "training.optimizer"
# From here on the schema's rules refuse a rate for optimizers that don't find it themselves.
TOO_HIGH = 0.1


class TrainingTab(SettingsPage):
    """How long, how fast, in which precision, and what is kept."""

    def __init__(self, state: SettingsState) -> None:
        super().__init__(state)
        form = self.add_form(grouped("training.", "checkpoints."))
        self.proposal = Proposal()
        form.rows[RATE].add_below(self.proposal)
        # Only a choice made here changes another field; undo and presets bring their own.
        form.editor(OPTIMIZER).edited.connect(self._optimizer_chosen)  # type: ignore[attr-defined]
        state.changed.connect(self._changed)
        state.reloaded.connect(self._propose)
        self._propose()

    def _optimizer_chosen(self, optimizer: Any) -> None:
        rate = self.state.get(RATE)
        untouched = same(rate, BY_PATH[RATE].default) or same(rate, self.state.base_value(RATE))
        kind = OPTIMIZERS[optimizer]
        if kind.finds_rate and untouched and not same(rate, kind.usual_rate):
            self.state.amend({RATE: kind.usual_rate})
            self.proposal.propose(
                self.tr(
                    "The learning rate is now %2: %1 finds the step size by itself and takes "
                    "this number as a factor."
                )
                .replace("%1", schema(kind.title))
                .replace("%2", numbers.show(kind.usual_rate)),
                self.tr("Back to %1").replace("%1", numbers.show(rate)),
                lambda: self.state.set(RATE, rate),
            )

    def _changed(self, path: str) -> None:
        if path in (RATE, OPTIMIZER):
            self._propose()

    def _propose(self) -> None:
        rate, kind = self.state.get(RATE), OPTIMIZERS.get(self.state.get(OPTIMIZER))
        if kind is None:
            self.proposal.hide()
            return
        usual = numbers.show(kind.usual_rate)
        if kind.finds_rate and not same(rate, kind.usual_rate):
            text = self.tr("%1 finds the step size by itself and needs %2 here.").replace(
                "%1", schema(kind.title)
            )
        elif not kind.finds_rate and isinstance(rate, float) and rate >= TOO_HIGH:
            text = self.tr(
                "%1 suits optimizers that find the step size by themselves; %2 is usual here."
            ).replace("%1", numbers.show(rate))
        else:
            text = ""
        if text:
            self.proposal.propose(
                text.replace("%2", usual),
                self.tr("Use %1").replace("%1", usual),
                lambda: self.state.set(RATE, kind.usual_rate),
            )
        else:
            self.proposal.hide()
