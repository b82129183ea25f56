"""Tells in the background which base model is chosen."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, QObject, QTimer, Signal

from app.background import Background, StopCheck
from app.i18n import schema
from app.state import SettingsState
from core.config.job import info_of
from core.errors import UserError
from core.families.base import BaseModelFile

DELAY_MS = 250
ALLOW = "model.allow_download"


class BaseModelWatch(QObject):
    """Follows `model.base`. Signals: changed() after `file`, `sentence` or `kind` changed.

    Nothing is ever downloaded from here, whatever the settings allow.
    """

    changed = Signal()

    def __init__(self, state: SettingsState, background: Background, parent: QObject) -> None:
        super().__init__(parent)
        self._state, self._background = state, background
        self.file: BaseModelFile | None = None
        self.sentence = ""
        self.kind = "help"
        self._asked: str | None = None
        self._delay = QTimer(self)
        self._delay.setSingleShot(True)
        self._delay.setInterval(DELAY_MS)
        self._delay.timeout.connect(self._look)
        state.changed.connect(self._maybe)
        state.reloaded.connect(lambda: self._maybe("model.base"))
        self._maybe("model.base")

    @property
    def missing(self) -> bool:
        """Whether a Hugging Face model is named that is not on this computer."""
        return self.kind == "todo"

    @property
    def will_download(self) -> bool:
        """Whether a model that is not on this computer will be fetched when training starts."""
        return self.kind == "download"

    def look_again(self) -> None:
        """Look at the same path once more (files change)."""
        self._asked = None
        self._maybe("model.base")

    def busy(self) -> bool:
        """Whether the answer is still being found."""
        return self._delay.isActive() or self.kind == "busy"

    def _maybe(self, path: str) -> None:
        if (path == "model.base" and self._base() != self._asked) or path == ALLOW:
            self._delay.start()

    def _base(self) -> str:
        return str(self._state.get("model.base")).strip()

    def _look(self) -> None:
        base = self._asked = self._base()
        if not base:
            self._background.cancel("detect")
            self._answer(None)
            return

        def work(cancelled: StopCheck) -> BaseModelFile:
            from core.families.detect import detect

            return detect(base)

        if self.file is None:
            self._say(self.tr("Looking at the model..."), "busy")
        self._background.run(self, "detect", work, self._answer)

    def _answer(self, result: object) -> None:
        self.file = result if isinstance(result, BaseModelFile) else None
        if self.file is not None:
            self._say(describe(self.file), "good")
        elif isinstance(result, UserError):
            if result.problem.code != "base_not_found" or not self._is_hub_name():
                self._say(result.problem.sentence(), "error")
            elif self._state.get(ALLOW) is True:
                text = self.tr("It will be downloaded from Hugging Face when training starts.")
                self._say(text, "download")
            else:
                text = self.tr("%1 is not on this computer yet.").replace("%1", self._base())
                self._say(text, "todo")
        elif isinstance(result, Exception):
            text = self.tr("%1 cannot be examined: %2").replace("%1", self._base())
            self._say(text.replace("%2", repr(result)), "error")
        else:
            self._say("", "help")

    def _is_hub_name(self) -> bool:
        from core.families.hub import is_hub_id

        return is_hub_id(self._base())

    def _say(self, sentence: str, kind: str) -> None:
        self.sentence, self.kind = sentence, kind
        self.changed.emit()


def describe(file: BaseModelFile) -> str:
    """A base model in one line: family, prediction type, size."""
    info = info_of("model.family")
    family = schema(info.label_of(file.family)) if info else file.family
    prediction = info_of("model.prediction_type")
    kind = schema(prediction.label_of(file.prediction_type)) if prediction else ""
    if file.known_by == "name":
        guessed = QCoreApplication.translate("detection", "%1 (judged by its name)")
        kind = guessed.replace("%1", kind)
    parts = [family, kind, f"{file.default_resolution} px"]
    if file.zero_terminal_snr:
        parts.append(QCoreApplication.translate("detection", "zero terminal SNR"))
    return ", ".join(part for part in parts if part)
