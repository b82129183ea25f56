"""What is told about the picture on the screen: read in a thread, the newest request first."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from PySide6.QtCore import QCoreApplication, QObject, Signal

from app.background import Background
from app.viewer.helper import Helper, HelperFailed
from app.viewer.source import Training
from core.data.captions import CaptionError, caption_lines, caption_path, read_text, with_trigger
from core.data.companions import mask_beside
from core.data.types import Bucket, Placement

# Variance of the Laplacian at 512 pixels below which a picture looks out of focus.
BLURRED = 40.0
# Mean brightness of pictures in which next to nothing can be made out.
DARK, BRIGHT = 0.06, 0.97
_log = logging.getLogger(__name__)

# One chunk of a text encoder; more is trained in further chunks.
TOKENS = 75


@dataclass(frozen=True)
class Facts:
    """One file as it is now. size -1: not there. caption: exact text, None without a file.

    tokens: of the longest alternative, with the trigger word; None when they could not be
    counted. sharpness: None until measured, as are brightness and the shares that are black, white.
    """

    path: str
    size: int = -1
    mtime: float = 0.0
    pixels: tuple[int, int] | None = None
    caption: str | None = None
    caption_problem: str = ""
    tokens: int | None = 0
    mask: str = ""
    sharpness: float | None = None
    brightness: float | None = None
    black: float = 0.0
    white: float = 0.0


@lru_cache(maxsize=8)
def _buckets(training: Training) -> tuple[Bucket, ...]:
    return tuple(training.shapes.buckets(training.resolution))


def placement_of(
    pixels: tuple[int, int], training: Training, focus: tuple[float, float] | None
) -> Placement:
    """Bucket and cut that training gives a picture of `pixels` (width, height)."""
    return training.shapes.place(pixels, _buckets(training), focus)


def read_facts(path: str, training: Training, count: Callable[[list[str]], int | None]) -> Facts:
    """Everything but what has to be measured. Never raises for a bad file.

    count(texts) gives the tokens of the longest text, None when they cannot be counted.
    """
    picture = Path(path)
    try:
        status = os.stat(path)
    except OSError:
        return Facts(path)
    facts = Facts(path, status.st_size, status.st_mtime, _pixels(picture))
    mask = mask_beside(picture)
    if mask is not None:
        facts = replace(facts, mask=str(mask))
    text, problem = read_caption(path)
    if text is None or problem:
        return replace(facts, caption=text, caption_problem=problem)
    lines = [with_trigger(line, training.trigger) for line in caption_lines(text)]
    return replace(facts, caption=text, tokens=count(lines) if lines else 0)


def read_caption(path: str) -> tuple[str | None, str]:
    """A picture's caption, None without one, and why it cannot be read, "" when it can."""
    beside = caption_path(Path(path))
    if beside is None:
        return None, ""
    try:
        return read_text(beside), ""
    except FileNotFoundError:
        return None, ""
    except CaptionError as error:
        return "", f"{beside.name}: {error}"


def _pixels(picture: Path) -> tuple[int, int] | None:
    from core.data.images import PictureError, picture_size

    try:
        return picture_size(picture)
    except PictureError:
        return None


def token_words(tokens: int | None) -> str:
    """How many tokens a caption has, and what happens when they are too many for one chunk."""
    tr = QCoreApplication.translate
    if tokens is None:
        return tr("viewer", "tokens not counted")
    words = tr("viewer", "{0} of {1} tokens").format(tokens, TOKENS)
    chunks = -(-tokens // TOKENS)
    if chunks > 1:
        words += " · " + tr("viewer", "trained in {0} chunks").format(chunks)
    return words


class FactReader(QObject):
    """Reads facts for the pictures on the screen and keeps the last ones.

    Signals: found(Facts) for a requested path.
    """

    found = Signal(object)
    _KEPT = 256

    def __init__(self, training: Training, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.training = training
        self.background = Background(self)
        self._helper = Helper()
        self._kept: dict[str, Facts] = {}
        # Captions that are being written.
        self._taken: dict[str, str] = {}

    def get(self, path: str) -> Facts | None:
        """What was read already."""
        known, text = self._kept.get(path), self._taken.get(path)
        if known is None or text is None:
            return known
        return replace(known, caption=text or None, tokens=None if text else 0)

    def caption_now(self, path: str) -> tuple[str, str]:
        """The caption, "" without one, as it is being written or as the file has it, and why it
        cannot be read. Reads one small file, without waiting for the facts."""
        if path in self._taken:
            return self._taken[path], ""
        text, problem = read_caption(path)
        return text or "", problem

    def ask(self, path: str, slot: int = 0) -> None:
        """Read the facts of a picture; a later question for the same slot replaces this one."""
        training = self.training

        def keep(facts: Facts) -> None:
            self._kept.pop(path, None)
            self._kept[path] = facts
            while len(self._kept) > self._KEPT:
                self._kept.pop(next(iter(self._kept)))
            self.found.emit(facts)

        self._run(("facts", slot), lambda: read_facts(path, training, self.count_tokens), keep)

    def count_tokens(self, texts: list[str]) -> int | None:
        """Tokens of the longest text, None when they cannot be counted. Called in threads."""
        try:
            return max(self._helper.ask({"do": "tokens", "texts": texts})["counts"], default=0)
        except HelperFailed as error:
            level = logging.DEBUG if self._helper.closed else logging.WARNING
            _log.log(level, "tokens were not counted: %s", error)
            return None

    def measure(self, path: str, slot: int = 0) -> None:
        """Add sharpness and exposure; `found` follows."""
        known = self._kept.get(path)
        if known is None or known.sharpness is not None:
            return

        def work() -> dict[str, float] | None:
            try:
                found = self._helper.ask({"do": "measure", "path": path})
            except HelperFailed as error:
                _log.debug("%s was not measured: %s", path, error)
                return None
            return {name: found[name] for name in ("sharpness", "brightness", "black", "white")}

        def keep(found: dict[str, float]) -> None:
            # Other facts may have been read meanwhile, or are to be read anew.
            if (facts := self._kept.get(path)) is not None:
                self._kept[path] = replace(facts, **found)  # type: ignore[arg-type]
                self.found.emit(self._kept[path])

        self._run(("measure", slot), work, keep)

    def take_caption(self, path: str, text: str) -> None:
        """Tell this caption until `forget`; it is being written."""
        self._taken[path] = text if text.strip() else ""

    def forget(self, path: str) -> None:
        """Read anew next time."""
        self._kept.pop(path, None)
        self._taken.pop(path, None)

    def close(self) -> None:
        """Wait for what is being read."""
        self._helper.close()
        self.background.close()

    def _run(self, key: object, work: Callable[[], Any], keep: Callable[[Any], object]) -> None:
        def done(result: object) -> None:
            if isinstance(result, Exception):
                raise result
            if result is not None:
                keep(result)

        self.background.run(self, key, lambda _cancelled: work(), done)
