"""Everything that culling does to the user's files, with undo without limit.

history = History.open(folder)      # finishes what a crash has interrupted
history.delete([picture])           # picture, captions and masks, into the trash
history.undo()
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from core.culling.execute import Outcome, Progress, run_works
from core.culling.journal import Journal, Operation, Run
from core.culling.notes import Mark, Note, note_of, raw_notes
from core.culling.places import Places
from core.culling.planning import (
    Plan,
    plan_copy,
    plan_delete,
    plan_move,
    plan_notes,
    plan_rename,
    plan_texts,
    replanned,
)
from core.culling.steps import Refused, Step
from core.culling.units import name_problem, pictures_of_stem, stem_is_taken
from core.culling.work import PathText, Work, inverse
from core.errors import Problem, fail

_NAMED_LENGTH = 60


@dataclass(frozen=True)
class Done:
    """What an operation, an undo or a redo has done.

    pictures: those affected, where they are now; a deleted one under the path it had. moved:
    each one's path before and after, None for a place that is no folder of pictures (the trash,
    `_rejected`) or for a copy's beginning. kind: delete, mark, stars, focus, texts, rename, copy
    or move. undone: whether this was an undo. problems: sentences about what was left alone.
    """

    label: str
    pictures: tuple[Path, ...]
    problems: tuple[Problem, ...]
    moved: tuple[tuple[Path | None, Path | None], ...] = ()
    kind: str = ""
    undone: bool = False


class History:
    """The changes of one folder and its subfolders, from any window and any process.

    Calls return when the files have been changed and may come from any thread; every change is
    in the journal before the first file moves. They raise UserError with a sentence when nothing
    could be done at all (the folder is gone, the journal cannot be written).

    recovered: what opening found half done and finished, None for nothing. problems: of the
    journal itself.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))
        self.recovered: Done | None = None
        self._real_root = Path(os.path.realpath(root))
        self._journal = Journal(self.root)
        self._text = PathText(self.root)
        self._places = Places()
        self._mutex = threading.RLock()

    @classmethod
    def open(cls, root: Path) -> History:
        """The history of `root`; an operation that a crash interrupted is finished first."""
        history = cls(root)
        with history._ready(must_exist=False):
            history._journal.compact_if_large()
        return history

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the journal itself: entries that cannot be read."""
        return tuple(self._journal.problems)

    @property
    def can_undo(self) -> bool:
        """Whether `undo` has something to do, as far as this window knows."""
        return bool(self._journal.undoable)

    @property
    def can_redo(self) -> bool:
        """Whether `redo` has something to do, as far as this window knows."""
        return bool(self._journal.redoable)

    @property
    def undo_label(self) -> str:
        """What `undo` would undo ("Delete a.png"), "" for nothing."""
        return _label(self._journal.undoable)

    @property
    def redo_label(self) -> str:
        """What `redo` would do again, "" for nothing."""
        return _label(self._journal.redoable)

    def refresh(self) -> None:
        """Learn what other windows have done in this folder since the last call."""
        with self._ready(must_exist=False):
            pass

    def delete(self, pictures: Iterable[Path], progress: Progress | None = None) -> Done:
        """Move pictures and all that belongs to them to the trash, or to `_rejected` beside them.

        progress: called with pictures done and in all; may raise Stopped.
        """
        with self._ready():
            paths = self._own(pictures)
            return self._do("delete", "Delete", plan_delete(paths, self._places), progress)

    def trash_rejected(self, pictures: Iterable[Path], progress: Progress | None = None) -> Done:
        """Delete those of the pictures that are marked "reject", as one operation."""
        with self._ready():
            paths = [p for p, note in self._notes(pictures) if note.mark == "reject"]
            return self._do("delete", "Delete rejected", plan_delete(paths, self._places), progress)

    def mark(
        self, pictures: Iterable[Path], mark: Mark | None = None, stars: int | None = None
    ) -> Done:
        """Set the mark ("keep", "reject", "" for none), the stars (0 to 5), or both."""
        fields: dict[str, Any] = {}
        label = "Mark"
        if mark is not None:
            fields["mark"] = mark
            label = {"keep": "Keep", "reject": "Reject", "": "Unmark"}[mark]
        if stars is not None:
            if not 0 <= stars <= 5:
                raise ValueError(f"stars are 0 to 5, not {stars}")
            fields["stars"] = stars
            label = label if mark is not None else f"Give {stars} stars:"
        with self._ready():
            plan = plan_notes({path: fields for path in self._own(pictures)})
            return self._do("stars" if mark is None else "mark", label, plan)

    def set_focus(self, picture: Path, focus: tuple[float, float] | None) -> Done:
        """Set what crops keep in view, as fractions of width and height; None for the middle."""
        if focus is not None and not all(0 <= value <= 1 for value in focus):
            raise ValueError(f"a focus lies between 0 and 1, not at {focus}")
        with self._ready():
            fields = {"focus": None if focus is None else list(focus)}
            plan = plan_notes({path: fields for path in self._own([picture])})
            return self._do("focus", "Set the focus of", plan)

    def write_texts(
        self,
        changes: Mapping[Path, str | None],
        label: str,
        progress: Progress | None = None,
        before: Mapping[Path, str | None] | None = None,
    ) -> Done:
        """Write caption files as UTF-8 without byte order mark; None moves one to the trash.

        before: the texts that were changed; a file that by now holds another one is left alone.
        Which signs end its lines does not matter, nor whether an empty one is there. Undo gives
        back the exact bytes. Done.pictures names the pictures beside the files.
        """
        with self._ready():
            own = {self._own([path])[0]: text for path, text in changes.items()}
            known = {self._own([path])[0]: text for path, text in (before or {}).items()}
            plan = plan_texts(own, known, self._tag(), self._places)
            return self._do("texts", label, plan, progress, exact_label=True)

    def rename(self, picture: Path, new_stem: str) -> Done:
        """Give a picture and what belongs to it another name, without the suffix.

        Raises UserError when the name cannot be used or is taken.
        """
        problem = name_problem(new_stem)
        if problem:
            raise fail("name_unusable", f'The name "{new_stem}" {problem}; choose another one.')
        with self._ready():
            path = self._own([picture])[0]
            same_letters = new_stem.casefold() == path.stem.casefold()
            if not same_letters and stem_is_taken(path.parent, new_stem, [path.suffix]):
                raise fail(
                    "name_taken",
                    f'There already are files named "{new_stem}" in {path.parent}; '
                    "choose another name.",
                    file=str(path),
                )
            return self._do("rename", "Rename", plan_rename(path, new_stem))

    def copy_kept(
        self, pictures: Iterable[Path], target: Path, progress: Progress | None = None
    ) -> Done:
        """Copy those marked "keep" into `target` with all that belongs to them."""
        with self._ready():
            target = self._target(target)
            plan = plan_copy(self._kept(pictures), target, self._tag())
            return self._do("copy", "Copy", plan, progress)

    def move_kept(
        self, pictures: Iterable[Path], target: Path, progress: Progress | None = None
    ) -> Done:
        """Move those marked "keep" into `target` with all that belongs to them.

        Between volumes they are copied, and what they were goes to the trash.
        """
        with self._ready():
            target = self._target(target)
            plan = plan_move(self._kept(pictures), target, self._tag(), self._places)
            return self._do("move", "Move", plan, progress)

    def undo(self) -> Done | None:
        """Undo the last operation that is not undone, from whatever window; None for nothing."""
        return self._again("undo")

    def redo(self) -> Done | None:
        """Do again what was undone last; None when there is nothing or something new was done."""
        return self._again("redo")

    # Below: how it is done.

    @contextmanager
    def _ready(self, must_exist: bool = True) -> Iterator[None]:
        with self._mutex:
            if must_exist and not self.root.is_dir():
                raise fail(
                    "folder_missing",
                    f"The folder {self.root} is no longer there; open it again where it is now.",
                    file=str(self.root),
                )
            with self._journal.locked():
                self._places.begin()
                if self._journal.running is not None and self.root.is_dir():
                    self._recover()
                yield

    def _recover(self) -> None:
        assert self._journal.running is not None
        operation, run = self._journal.running
        works, problems = self._works(operation)
        outcome = self._run(operation, works, None)
        outcome.problems[:0] = problems
        self._finish(operation, run, works, outcome)
        self.recovered = self._done(operation, run, outcome)

    def _do(
        self,
        kind: str,
        verb: str,
        plan: Plan,
        progress: Progress | None = None,
        exact_label: bool = False,
    ) -> Done:
        label = verb if exact_label else _describe(verb, plan.works)
        if not plan.works:
            return Done(label, (), tuple(plan.problems), (), kind)
        raws = [self._text.encode(work) for work in plan.works]
        operation = self._journal.begin("do", None, kind, label, raws)
        outcome = self._run(operation, plan.works, progress)
        outcome.problems[:0] = plan.problems
        self._finish(operation, "do", plan.works, outcome)
        return self._done(operation, "do", outcome)

    def _again(self, run: Run) -> Done | None:
        with self._ready():
            stack = self._journal.undoable if run == "undo" else self._journal.redoable
            if not stack:
                return None
            operation = stack[-1]
            works, problems = self._works(operation)
            plan = Plan(problems=problems)
            for work in reversed(works):
                plan.add(_path_of(work), partial(inverse, work, self._places.removals))
            raws = [self._text.encode(work) for work in plan.works]
            operation = self._journal.begin(run, operation, "", "", raws)
            outcome = self._run(operation, plan.works, None)
            outcome.problems[:0] = plan.problems
            self._finish(operation, run, plan.works, outcome)
            return self._done(operation, run, outcome)

    def _run(
        self, operation: Operation, works: Sequence[Work], progress: Progress | None
    ) -> Outcome:
        def record(index: int, work: Work) -> None:
            self._journal.plan_anew(operation, index, self._text.encode(work))

        def replan(work: Work, step: Step, error: OSError) -> Work | None:
            try:
                return replanned(work, step, error, self._places)
            except (OSError, Refused):
                return None

        return run_works(works, replan, record, progress)

    def _finish(
        self, operation: Operation, run: Run, works: Sequence[Work], outcome: Outcome
    ) -> None:
        failed = frozenset(range(len(works))) - outcome.done.keys()
        learned = {
            (index, number): self._text.learned(step)
            for index, work in outcome.done.items()
            for number, step in enumerate(work.steps)
            if step.kind == "bin"
        }
        if outcome.done:
            self._journal.finish(operation, failed, learned, "done")
        else:
            forget = run != "do" and outcome.hopeless
            self._journal.finish(operation, failed, {}, "hopeless" if forget else "nothing")

    def _works(self, operation: Operation) -> tuple[list[Work], list[Problem]]:
        """What an operation did when last run; nothing, with the reason, when that is lost."""
        try:
            units = self._journal.units(operation)
            return [self._text.decode(unit) for unit in units if unit is not None], []
        except (OSError, ValueError, LookupError, TypeError) as error:
            problem = Problem(
                code="journal_damaged",
                title=f'"{operation.label}" cannot be undone: the undo journal of {self.root} '
                "is damaged. Deleted files are still in the trash.",
                detail=str(error),
                file=str(self._journal.file),
            )
            return [], [problem]

    def _done(self, operation: Operation, run: Run, outcome: Outcome) -> Done:
        problems = list(outcome.problems)
        moved: list[tuple[Path | None, Path | None]] = []
        for work in outcome.done.values():
            problems += self._places.told(work.steps)
            moved += work.pictures
        if operation.kind == "texts":
            moved = [(path, path) for pair in moved for path in _pictures_beside(pair[0])]
        pictures = dict.fromkeys(after or before for before, after in moved)
        return Done(
            operation.label,
            tuple(path for path in pictures if path is not None),
            tuple(problems),
            tuple(moved),
            operation.kind,
            run == "undo",
        )

    def _own(self, pictures: Iterable[Path]) -> list[Path]:
        """The paths as this history writes them: absolute, below the root as it was opened."""
        own = []
        for picture in pictures:
            path = Path(os.path.abspath(picture))
            if not path.is_relative_to(self.root) and path.is_relative_to(self._real_root):
                path = self.root / path.relative_to(self._real_root)
            own.append(path)
        return own

    def _notes(self, pictures: Iterable[Path]) -> Iterator[tuple[Path, Note]]:
        folders: dict[Path, list[Path]] = {}
        own = self._own(pictures)
        for path in own:
            folders.setdefault(path.parent, []).append(path)
        notes = {
            folder / name: note_of(raw)
            for folder, paths in folders.items()
            for name, raw in raw_notes(folder, [path.name for path in paths]).items()
        }
        yield from ((path, notes[path]) for path in own)

    def _kept(self, pictures: Iterable[Path]) -> list[Path]:
        return [path for path, note in self._notes(pictures) if note.mark == "keep"]

    def _target(self, target: Path) -> Path:
        target = self._own([target])[0]
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise fail(
                "target_unusable",
                f"The folder {target} cannot be made ({error.strerror or error}); choose another.",
                file=str(target),
            ) from error
        return target

    def _tag(self) -> str:
        return f"{self._journal.folder.name[:6]}-{self._journal.next_id}"


def _label(stack: Sequence[Operation]) -> str:
    return stack[-1].label if stack else ""


def _describe(verb: str, works: Sequence[Work]) -> str:
    names = [(before or after) for work in works for before, after in work.pictures]
    if len(names) == 1 and names[0] is not None:
        name = names[0].name
        shown = name if len(name) <= _NAMED_LENGTH else f"{name[: _NAMED_LENGTH - 1]}…"
        return f"{verb} {shown}"
    return f"{verb} {len(names)} pictures"


def _path_of(work: Work) -> Path:
    if work.steps:
        return work.steps[0].source
    return work.notes[0].folder / work.notes[0].name


def _pictures_beside(path: Path | None) -> list[Path]:
    """The pictures that a caption file belongs to; the file itself when there are none."""
    if path is None:
        return []
    return pictures_of_stem(path.parent, path.stem) or [path]
