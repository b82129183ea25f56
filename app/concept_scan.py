"""What lies in the concepts' folders, found out in the background and kept up to date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from PySide6.QtCore import QObject, QTimer, Signal

from app.background import Background, StopCheck
from app.watching import make_watcher
from core.config.concepts import Concept
from core.culling.notes import Note, read_notes
from core.data.captions import CaptionError, captions_of
from core.data.scan import scan_concept
from core.data.undecodable import known_undecodable
from core.errors import Stopped

SETTLE_MS = 400


@dataclass(frozen=True)
class ConceptFacts:
    """A folder's contents.

    pictures: those that can be used, as training counts them. captioned: of these. rejected: left
    out by their mark. broken: left out because they cannot be read. problem: why the folder can't
    be read.
    """

    pictures: int = 0
    captioned: int = 0
    rejected: int = 0
    broken: int = 0
    first: tuple[Path, ...] = ()
    problem: str = ""
    caption_problem: str = field(default="")

    @property
    def without_caption(self) -> int:
        """Pictures that have no caption."""
        return self.pictures - self.captioned


def look_into(concept: Concept, cancelled: StopCheck = lambda: False) -> ConceptFacts:
    """Count pictures and captions of a concept's folder; raises Stopped when cancelled."""
    scan = scan_concept(concept, cancelled)
    problem = next((p.title for p in scan.problems if p.severity == "error"), "")
    captioned, caption_problem = 0, ""
    used: list[Path] = []
    rejected, broken = 0, 0
    bad = known_undecodable()
    marks = _Marks()
    for number, picture in enumerate(scan.pictures):
        if number % 64 == 0 and cancelled():
            raise Stopped
        if not concept.include_rejected and marks.is_rejected(picture):
            rejected += 1
            continue
        if picture in bad or not _has_size(picture):
            broken += 1
            continue
        used.append(picture)
        try:
            captioned += not captions_of(concept, picture)[1]
        except CaptionError as error:
            caption_problem = caption_problem or (
                f"The caption of {picture.name} cannot be read: {error}"
            )
    return ConceptFacts(
        len(used), captioned, rejected, broken, tuple(used[:8]), problem, caption_problem
    )


class _Marks:
    """The marks of pictures, each folder's read once."""

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, Note]] = {}

    def is_rejected(self, picture: Path) -> bool:
        if picture.parent not in self._folders:
            self._folders[picture.parent] = read_notes(picture.parent, [])
        note = self._folders[picture.parent].get(picture.name)
        return note is not None and note.mark == "reject"


def _has_size(picture: Path) -> bool:
    # Late: the window opens before Pillow is loaded.
    from core.data.images import PictureError, picture_size

    try:
        picture_size(picture)
    except PictureError:
        return False
    return True


class ConceptScanner(QObject):
    """Facts of concepts by their settings. Signals: updated() after facts changed."""

    updated = Signal()

    def __init__(self, background: Background, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.background = background
        self._facts: dict[tuple[Any, ...], ConceptFacts] = {}
        self._running: set[tuple[Any, ...]] = set()
        self._stale: set[tuple[Any, ...]] = set()
        self._watcher = make_watcher(self)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.timeout.connect(self.updated)
        self._watcher.directoryChanged.connect(self._folder_changed)

    def facts(self, concept: Mapping[str, Any]) -> ConceptFacts | None:
        """What is known about a concept's folder; None while that is being found out."""
        path = str(concept.get("path") or "").strip()
        if not path:
            return ConceptFacts()
        prompt = concept["prompt"]
        key = (
            path,
            concept["include_subfolders"],
            concept["include_rejected"],
            *(str(prompt[k]) for k in sorted(prompt)),
        )
        if (key not in self._facts or key in self._stale) and key not in self._running:
            self._start(key, concept)
        return self._facts.get(key)

    def look_again(self) -> None:
        """Take everything known as possibly old."""
        self._stale.update(self._facts)
        self.updated.emit()

    def _start(self, key: tuple[Any, ...], data: Mapping[str, Any]) -> None:
        try:
            wanted = ("path", "include_subfolders", "include_rejected", "prompt")
            concept = Concept.model_validate({name: data[name] for name in wanted})
        except ValidationError:
            return
        self._stale.discard(key)
        self._running.add(key)
        folder = str(Path(concept.path).expanduser())
        self.background.run(
            self,
            ("scan", key),
            lambda cancelled: look_into(concept, cancelled),
            lambda result: self._found(key, folder, result),
        )

    def _found(self, key: tuple[Any, ...], folder: str, result: object) -> None:
        self._running.discard(key)
        if isinstance(result, ConceptFacts):
            self._facts[key] = result
        elif isinstance(result, Exception):
            self._facts[key] = ConceptFacts(problem=f"{folder}: {result}")
        if Path(folder).is_dir() and folder not in self._watcher.directories():
            self._watcher.addPath(folder)
        self.updated.emit()

    def _folder_changed(self, folder: str) -> None:
        self._stale.update(k for k in self._facts if str(Path(k[0]).expanduser()) == folder)
        self._settle.start()
