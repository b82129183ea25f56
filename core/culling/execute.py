"""Doing the works of an operation one after another, each as a whole or not at all."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from core import files
from core.culling import faults
from core.culling.notes import change_notes, replace_notes
from core.culling.steps import Refused, Step, do, look, settle, state_of, take_back
from core.culling.work import NoteChange, Work
from core.errors import Problem, Stopped, UserError

_ATTEMPTS = 6
_MOST_TOLD = 50

Progress = Callable[[int, int], object]
Replan = Callable[[Work, Step, OSError], Work | None]
Record = Callable[[int, Work], None]


@dataclass
class Outcome:
    """What became of the works. done: index -> the work as it was really done."""

    done: dict[int, Work] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    hopeless: bool = True


def run_works(
    works: Sequence[Work],
    replan: Replan,
    record: Record,
    progress: Progress | None = None,
) -> Outcome:
    """Do what is not yet done of each work, and change the notes of those that succeeded.

    replan: gives another way after an OSError, or None. record: is called with a work that is or
    was done in another way than planned, before anything else happens. progress: called with
    works done and in all; may raise Stopped, which leaves out the rest.
    """
    outcome = Outcome()
    for index, work in enumerate(works):
        try:
            if progress is not None:
                progress(index, len(works))
        except Stopped:
            outcome.problems.append(_stopped(index, len(works)))
            break
        _run_work(index, work, replan, record, outcome)
    _change_notes(outcome)
    if len(outcome.problems) > _MOST_TOLD:
        more = len(outcome.problems) - _MOST_TOLD
        title = f"{more} more files were left as they were."
        outcome.problems[_MOST_TOLD:] = [Problem(code="more_left_alone", title=title)]
    return outcome


def _run_work(
    index: int,
    work: Work,
    replan: Replan,
    record: Record,
    outcome: Outcome,
) -> None:
    result = _try_work(work)
    for _attempt in range(_ATTEMPTS):
        if isinstance(result, Work) or result.left or not isinstance(result.error, OSError):
            break
        other = replan(work, result.step, result.error)
        if other is None:
            break
        record(index, other)
        work = other
        result = _try_work(work)
    if isinstance(result, Work):
        if len(result.steps) < len(work.steps):
            outcome.problems.extend(_missing(work, result))
            record(index, result)
        outcome.done[index] = result
        return
    outcome.problems.append(problem_of(result.step.source, result.error))
    lost = isinstance(result.error, Refused) and result.error.lost
    outcome.hopeless = outcome.hopeless and lost
    if result.left:
        # It could not be taken back, so that an undo has to know of it.
        kept = replace(work, steps=tuple(result.left), notes=())
        record(index, kept)
        outcome.done[index] = kept


@dataclass
class _Failure:
    """Why a work was not done. left: steps that could not be taken back."""

    step: Step
    error: OSError | Refused
    left: list[Step] = field(default_factory=list)


def _try_work(work: Work) -> Work | _Failure:
    """Do a work; returns it as it was done, without the files that were gone before."""
    done: list[Step] = []
    lost: list[Step] = []
    for step in work.steps:
        try:
            match state_of(step):
                case "done":
                    settle(step)
                    done.append(step)
                case "lost":
                    lost.append(step)
                case "blocked" if step.kind == "text":
                    raise Refused("was changed by another program", lost=True)
                case "blocked":
                    raise FileExistsError(errno.EEXIST, "exists", str(step.target))
                case "todo":
                    done.append(do(step))
        except (OSError, Refused) as error:
            if isinstance(error, FileNotFoundError) and look(step.source) is None:
                error = Refused("is no longer there", lost=True)
            return _failed(step, error, done)
    gone = [step for step in lost if step.main]
    if lost and (not done or (gone and not any(step.main for step in done))):
        return _failed(gone[0] if gone else lost[0], Refused("is no longer there", lost=True), done)
    away = {step.source for step in lost} | {step.target for step in lost}
    notes = tuple(note for note in work.notes if note.folder / note.name not in away)
    pictures = tuple(pair for pair in work.pictures if not away.intersection(pair))
    return replace(work, steps=tuple(done), notes=notes, pictures=pictures)


def _failed(step: Step, error: OSError | Refused, done: list[Step]) -> _Failure:
    failure = _Failure(step, error)
    for each in reversed(done):
        try:
            take_back(each)
        except (OSError, Refused):
            failure.left.insert(0, each)
    return failure


def _missing(planned: Work, done: Work) -> list[Problem]:
    """Warnings for the files of a work that were no longer where they should be."""
    present = {step.source for step in done.steps}
    return [
        problem_of(step.source, Refused("is no longer there", lost=True), "warning")
        for step in planned.steps
        if step.source not in present
    ]


def _stopped(done: int, total: int) -> Problem:
    return Problem(
        code="stopped",
        title=f"Stopped after {done} of {total}; the rest is as it was.",
        severity="warning",
    )


def problem_of(path: Path, error: OSError | Refused, severity: str = "error") -> Problem:
    """Why the file at `path` was left as it was, in a sentence."""
    if isinstance(error, Refused):
        code = "file_gone" if error.lost else "file_changed"
        reason = f"it {error}"
    else:
        code = "file_unchangeable"
        reason = files.reason(error)
    return Problem(
        code=code,
        title=f"{path} was left alone: {reason}.",
        severity="warning" if severity == "warning" else "error",
        file=str(path),
    )


def _change_notes(outcome: Outcome) -> None:
    """Bring the notes in line with the works that were done, one file after another."""
    folders: dict[Path, list[NoteChange]] = {}
    for work in outcome.done.values():
        for note in work.notes:
            folders.setdefault(note.folder, []).append(note)
    for folder, notes in folders.items():
        faults.point("notes")
        try:
            whole = {note.name: note.after for note in notes if note.whole}
            if whole:
                replace_notes(folder, whole)
            merged = {note.name: note.after or {} for note in notes if not note.whole}
            if merged:
                change_notes(folder, merged)
        except UserError as error:
            outcome.problems.extend(error.problems)
            # Works that are nothing but notes have not happened then.
            for index in [i for i, work in outcome.done.items() if not work.steps]:
                if any(note.folder == folder for note in outcome.done[index].notes):
                    del outcome.done[index]
                    outcome.hopeless = False
    faults.point("notes-done")
