"""Keeps the last edits: saved shortly after each edit, restored at the next start."""

from __future__ import annotations

import copy
import logging

from PySide6.QtCore import QObject, QTimer, Signal

from app.background import Background
from app.state import SettingsState
from core.config import presets
from core.errors import Problem, UserError

DELAY_MS = 500
FIRST_PRESET = "# sd 1.5 lora"
_log = logging.getLogger(__name__)


class SessionKeeper(QObject):
    """Saves and restores the state. Signals: failed(problem) when saving did not work."""

    failed = Signal(object)

    def __init__(self, state: SettingsState, background: Background, parent: QObject) -> None:
        super().__init__(parent)
        self._state, self._background = state, background
        self._told = False
        self._delay = QTimer(self)
        self._delay.setSingleShot(True)
        self._delay.setInterval(DELAY_MS)
        self._delay.timeout.connect(self._save_behind)

    def restore(self) -> list[Problem]:
        """Take over the last session, or begin with the usual preset; returns what was lost.

        From then on every edit is saved.
        """
        session = presets.load_session()
        problems: list[Problem] = []
        if session is None:
            self._begin()
        else:
            problems += session.problems
            base = self._base_of(session.preset)
            self._state.restore(
                session.data,
                preset=session.preset if base is not None else "",
                base=base,
                unknown=session.unknown,
                builtin=session.preset.startswith("#"),
            )
        self._state.changed.connect(self._delay.start)
        self._state.reloaded.connect(self._delay.start)
        return problems

    def save_now(self) -> None:
        """Save at once, if there is something new."""
        if self._delay.isActive():
            self._delay.stop()
            self._background.cancel("session")
            try:
                self._write(*self._frozen())
            except UserError as error:
                self._failed(error)

    def _base_of(self, name: str) -> dict[str, object] | None:
        """The values of the preset that the session began with; None when it is gone."""
        try:
            info = presets.find_preset(name) if name else None
            if info is None or info.name != name:
                return None
            return presets.resolve_paths(presets.load_preset(info.path).data, info.path.parent)
        except UserError as error:
            _log.warning("%s", error)
            return None

    def _begin(self) -> None:
        base = self._base_of(FIRST_PRESET)
        if base is not None:
            self._state.restore(base, preset=FIRST_PRESET, base=base, builtin=True)

    def _frozen(self) -> tuple[dict[str, object], dict[str, object], str]:
        state = self._state
        return copy.deepcopy(dict(state.data)), copy.deepcopy(dict(state.unknown)), state.preset

    def _write(self, data: dict[str, object], unknown: dict[str, object], preset: str) -> None:
        presets.save_session(data, unknown, preset)

    def _save_behind(self) -> None:
        frozen = self._frozen()
        self._background.run(self, "session", lambda cancelled: self._write(*frozen), self._failed)

    def _failed(self, error: object) -> None:
        if isinstance(error, UserError) and not self._told:
            self._told = True
            self.failed.emit(error.problem)
