"""Changes to the user's files from the grid: each through the folder's history, so undoable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QObject, Signal

from core.errors import Problem

if TYPE_CHECKING:
    from app.viewer.worker import FileWorker, Outcome, Work


class Changes(QObject):
    """Asks for changes of files in one folder, one after the other. Signals:

    began(): files are about to change. finished(Outcome): one change is made. settled(): none is
    under way any more.
    """

    began = Signal()
    finished = Signal(object)
    settled = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._root: Path | None = None
        self._worker: FileWorker | None = None
        self.undo_label = self.redo_label = ""

    def set_root(self, root: Path) -> None:
        """Change files in this folder from now on."""
        if root != self._root:
            self.close()
            self._root = root
            self.undo_label = self.redo_label = ""

    def close(self) -> None:
        """Ask for nothing more; what was asked for is still done."""
        if self._worker is not None:
            self._worker.finish()
            self._worker = None

    def is_busy(self) -> bool:
        """Whether a change is under way."""
        return self._worker is not None and self._worker.waiting > 0

    def delete(self, pictures: Sequence[Path]) -> None:
        """Move pictures with all that belongs to them to the trash."""
        self._run("delete", lambda history: history.delete(pictures))

    def write_texts(
        self,
        texts: Mapping[Path, str | None],
        label: str,
        before: Mapping[Path, str | None],
    ) -> None:
        """Give caption files these texts; None removes one. before: the texts that were changed."""
        self._run("write", lambda history: history.write_texts(texts, label, before=before))

    def mark(self, pictures: Sequence[Path], mark: Literal["", "keep", "reject"]) -> None:
        """Mark pictures `keep` or `reject`, or take the mark away."""
        self._run("mark", lambda history: history.mark(pictures, mark=mark))

    def set_focus(self, picture: Path, focus: tuple[float, float] | None) -> None:
        """Lay a picture's crop around a point (0..1), or in the middle again."""
        self._run("focus", lambda history: history.set_focus(picture, focus))

    def undo(self) -> None:
        """Take the last change back."""
        self._run("undo", lambda history: history.undo())

    def redo(self) -> None:
        """Make the change again that was taken back last."""
        self._run("redo", lambda history: history.redo())

    def _run(self, kind: str, work: Work) -> None:
        if self._root is None:
            return
        if self._worker is None:
            from app.viewer.worker import FileWorker

            self._worker = FileWorker(self._root, self)
            self._worker.finished.connect(self._finished)
            self._worker.idle.connect(self.settled)
            self.destroyed.connect(_finisher(self._worker))
        self.began.emit()
        self._worker.run(kind, work)

    def _finished(self, outcome: Outcome) -> None:
        self.undo_label, self.redo_label = outcome.undo_label, outcome.redo_label
        self.finished.emit(outcome)


def _finisher(worker: FileWorker) -> Callable[[], None]:
    """Ends the worker's thread without holding on to who asked for it."""
    return lambda: worker.finish()


def first_sentence(problems: Sequence[Problem]) -> str:
    """The gravest of some problems in a sentence, and how many more there are."""
    if not problems:
        return ""
    more = f" (+{len(problems) - 1})" if len(problems) > 1 else ""
    return problems[0].sentence() + more
