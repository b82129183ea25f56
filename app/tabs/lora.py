"""The LoRA tab: the form, and the strength that alpha and rank make together."""

from __future__ import annotations

from typing import Any

from app.forms import Section, by_prefix
from app.state import SettingsState, same
from app.tabs.settings_page import SettingsPage
from app.widgets import numbers
from app.widgets.labels import Note


class LoraTab(SettingsPage):
    """The shape of what is trained."""

    def __init__(self, state: SettingsState) -> None:
        super().__init__(state)
        form = self.add_form([Section("", by_prefix("lora."))])
        self.strength = Note()
        form.rows["lora.alpha"].add_below(self.strength)
        # Only a rank that is chosen here takes alpha along; undo and presets bring their own.
        self._rank = self._rank_before = state.get("lora.rank")
        form.editor("lora.rank").edited.connect(self._rank_edited)  # type: ignore[attr-defined]
        state.changed.connect(self._changed)
        state.reloaded.connect(self._reloaded)
        self._show()

    def _rank_edited(self, rank: Any) -> None:
        """Keep the strength: an alpha that was equal to the rank stays equal to it."""
        alpha = self.state.get("lora.alpha")
        if isinstance(rank, int) and rank > 0 and same(alpha, self._rank_before):
            self.state.amend({"lora.alpha": float(rank)})

    def _changed(self, path: str) -> None:
        if path == "lora.rank":
            self._rank_before, self._rank = self._rank, self.state.get(path)
        if path in ("lora.rank", "lora.alpha"):
            self._show()

    def _reloaded(self) -> None:
        self._rank = self._rank_before = self.state.get("lora.rank")
        self._show()

    def _show(self) -> None:
        rank, alpha = self.state.get("lora.rank"), self.state.get("lora.alpha")
        known = isinstance(rank, int) and isinstance(alpha, int | float) and rank > 0
        if known:
            strength = numbers.show(float(f"{alpha / rank:.3g}"))
            text = self.tr("Strength: alpha / rank = %1").replace("%1", strength)
        else:
            text = self.tr("Strength: alpha / rank")
        self.strength.set_note(text)
