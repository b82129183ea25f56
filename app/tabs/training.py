"""The Training tab: groups of the schema, and what goes along with choosing an optimizer."""

from __future__ import annotations

from typing import Any

from app.forms import grouped
from app.state import SettingsState, same
from app.tabs.settings_page import SettingsPage
from app.widgets import numbers
from app.widgets.proposal import Proposal
from core.config.job import BY_PATH

RATE, OPTIMIZER = "training.learning_rate", "training.optimizer"
USUAL_RATE, PRODIGY_RATE = 1e-4, 1.0
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
        if optimizer == "prodigy" and untouched and not same(rate, PRODIGY_RATE):
            self.state.amend({RATE: PRODIGY_RATE})
            self.proposal.propose(
                self.tr(
                    "The learning rate is now 1: Prodigy finds the step size by itself and takes "
                    "this number as a factor."
                ),
                self.tr("Back to %1").replace("%1", numbers.show(rate)),
                lambda: self.state.set(RATE, rate),
            )

    def _changed(self, path: str) -> None:
        if path in (RATE, OPTIMIZER):
            self._propose()

    def _propose(self) -> None:
        rate, prodigy = self.state.get(RATE), self.state.get(OPTIMIZER) == "prodigy"
        if prodigy and not same(rate, PRODIGY_RATE):
            self.proposal.propose(
                self.tr("Prodigy finds the step size by itself and needs 1 here."),
                self.tr("Use 1"),
                lambda: self.state.set(RATE, PRODIGY_RATE),
            )
        elif not prodigy and isinstance(rate, float) and rate >= TOO_HIGH:
            usual = numbers.show(USUAL_RATE)
            self.proposal.propose(
                self.tr("%1 suits Prodigy only; %2 is usual for this optimizer.")
                .replace("%1", numbers.show(rate))
                .replace("%2", usual),
                self.tr("Use %1").replace("%1", usual),
                lambda: self.state.set(RATE, USUAL_RATE),
            )
        else:
            self.proposal.hide()
