"""Captioning a set of pictures: which ones, by which worker, and what each caption becomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from core.captioning import messages
from core.captioning.client import CaptionWorker
from core.captioning.files import FileOf, beside, pictures_by_file, read_captions
from core.captioning.options import CaptionOptions
from core.captioning.spool import Spool
from core.captioning.tags import Change, add_tag, each_line, is_tag_list
from core.captioning.tags import trigger_to_front as _trigger_to_front
from core.data.captions import with_trigger
from core.data.scan import StopCheck
from core.data.tags import split_tags
from core.errors import Problem, fail

SILENT_SECONDS = 30.0
_POLL_SECONDS = 0.1


@dataclass
class CaptionPlan:
    """Which pictures are captioned. skipped: how many have a caption already and keep it.

    before: the present text of each picture to caption, None without a file. problems: pictures
    that are left alone because their caption file cannot be read, or is another's too.
    taken_over: how many were captioned by a run that was interrupted.
    """

    pictures: list[Path] = field(default_factory=list)
    before: dict[Path, str | None] = field(default_factory=dict)
    skipped: int = 0
    problems: list[Problem] = field(default_factory=list)
    taken_over: int = 0


@dataclass(frozen=True)
class Progress:
    """How far it is: done of total pictures; text tells where the model calculates."""

    phase: Literal["starting", "waiting", "loading", "captioning"]
    done: int
    total: int
    text: str = ""


@dataclass(frozen=True)
class Ended:
    """How captioning ended; problems tell why when it failed."""

    status: messages.Status
    problems: tuple[Problem, ...] = ()


Told = Progress | Change | Problem


def plan_captions(
    pictures: Sequence[Path],
    options: CaptionOptions,
    file_of: FileOf = beside,
    stop: StopCheck | None = None,
) -> CaptionPlan:
    """Choose the pictures to caption; reads caption files only. Raises Stopped."""
    found = read_captions(pictures, file_of, stop)
    plan = CaptionPlan(problems=list(found.problems.values()))
    for file, sharing in pictures_by_file(found.texts, file_of).items():
        first = sharing[0]
        text = found.texts[first]
        if options.mode == "skip" and text and text.strip():
            plan.skipped += len(sharing)
            continue
        plan.before[first] = text
        plan.problems += [_shared(other, first, file) for other in sharing[1:]]
    plan.pictures = [picture for picture in pictures if picture in plan.before]
    return plan


def _shared(picture: Path, first: Path, file: Path) -> Problem:
    return Problem(
        code="caption_shared",
        severity="warning",
        title=f"{picture.name} is left out because it shares the caption file {file.name} with "
        f"{first.name}; rename one of them.",
        file=str(picture),
    )


def compose(before: str | None, made: str, options: CaptionOptions) -> str:
    """The new text of a caption file: what the model made, joined to `before` as the mode says.

    Appending adds to every list of tags the tags it lacks; a sentence, and tags beside a
    sentence, become one more line, which is one more alternative, unless the file has that line
    already, and fill a line that is the trigger word alone. The trigger word goes in front.
    """
    trigger = options.trigger.strip()
    made = made.strip()
    if options.mode != "append" or not (before or "").strip():
        fresh = with_trigger(made, trigger) if not options.by_tags else _in_front(made, trigger)
        return fresh if fresh else (before or "")
    assert before is not None
    if not made:
        return before
    if options.by_tags and any(is_tag_list(line) for line in before.splitlines()):
        tags = split_tags(made)

        def extend(line: str) -> str:
            if not is_tag_list(line):
                return line
            present = {tag.casefold() for tag in split_tags(line)}
            for tag in tags:
                if tag.casefold() not in present:
                    line = add_tag(line, tag)
            return _in_front(line, trigger)

        return each_line(before, extend)
    end = "\r\n" if "\r\n" in before else "\n"
    joint = "" if before.endswith(("\n", "\r")) else end
    line = _in_front(made, trigger) if options.by_tags else with_trigger(made, trigger)
    if line in before.splitlines():
        return before
    filled = each_line(before, lambda old: line if _is_alone(old, trigger) else old)
    if filled != before:
        return filled
    return before + joint + line + (end if not joint else "")


def _is_alone(line: str, trigger: str) -> bool:
    """Whether a line is nothing but the trigger word, which no caption shall be."""
    return bool(trigger) and line.strip(" \t,，、").casefold() == trigger.casefold()


def _in_front(line: str, trigger: str) -> str:
    return _trigger_to_front(line, trigger) if trigger else line


def run_captions(
    plan: CaptionPlan,
    options: CaptionOptions,
    tell: Callable[[Told], None],
    stop: Callable[[], bool] = lambda: False,
    command: Sequence[str] | None = None,
    spool: Spool | None = None,
) -> Ended:
    """Caption the planned pictures in a worker process until it ends; writes no caption file.

    `tell` gets progress, each caption as a Change, and a warning for each picture that could not
    be captioned. `stop` is asked ten times a second. What `spool` holds is told first and not
    made again; what comes is added to it. Raises UserError when the worker cannot start.
    `command` stands in for the worker's usual command line.
    """
    tell(Progress("starting", 0, len(plan.pictures)))
    if spool is not None:
        plan = _take_over(plan, options, tell, spool)
    if not plan.pictures:
        return Ended("finished")
    try:
        worker = CaptionWorker(command)
    except OSError as error:
        raise fail(
            "worker_not_started", f"The captioning process cannot start: {error}."
        ) from error
    try:
        worker.begin(plan.pictures, options)
        return _follow(worker, plan, options, tell, stop, spool)
    finally:
        # After its last word it has nothing left to do.
        worker.kill()
        worker.wait(5.0)


def _follow(
    worker: CaptionWorker,
    plan: CaptionPlan,
    options: CaptionOptions,
    tell: Callable[[Told], None],
    stop: Callable[[], bool],
    spool: Spool | None,
) -> Ended:
    total, done = len(plan.pictures) + plan.taken_over, plan.taken_over
    asked = False
    problems: list[Problem] = []
    status: messages.Status | None = None
    where = ""
    while not worker.ended and status is None:
        event = worker.get(_POLL_SECONDS)
        if stop() and not asked:
            asked = True
            worker.stop()
        match event:
            case messages.Phase(name=name, text=where):
                tell(Progress(name, done, total, where))
            case messages.Captioned(index=index, text=text):
                done += 1
                if spool is not None:
                    spool.add(plan.pictures[index], text)
                for told in _captioned(plan.pictures[index], text, plan, options):
                    tell(told)
                tell(Progress("captioning", done, total, where))
            case messages.Refused(index=index, code=code, reason=reason):
                done += 1
                tell(_refused(plan.pictures[index], code, reason))
                tell(Progress("captioning", done, total, where))
            case messages.Trouble(problem=fields):
                problems.append(_problem(fields))
            case messages.Done(status=status):
                pass
            case _ if worker.silent_for() > SILENT_SECONDS:
                problems.append(_silent())
                status = "failed"
    if status is None:
        if asked:
            return Ended("stopped")
        return Ended("failed", (*problems, worker.why_it_died()))
    return Ended(status, tuple(problems))


def _take_over(
    plan: CaptionPlan, options: CaptionOptions, tell: Callable[[Told], None], spool: Spool
) -> CaptionPlan:
    """Tell what an interrupted run has made already; gives the plan of the rest."""
    made = spool.read(plan.pictures)
    for picture, text in made.items():
        for told in _captioned(picture, text, plan, options):
            tell(told)
    rest = [picture for picture in plan.pictures if picture not in made]
    return replace(plan, pictures=rest, taken_over=len(made))


def _captioned(picture: Path, text: str, plan: CaptionPlan, options: CaptionOptions) -> list[Told]:
    before = plan.before[picture]
    after = compose(before, text, options)
    if text.strip() or after != (before or ""):
        return [Change(picture, before, after)]
    what = "no tag above the threshold" if options.by_tags else "nothing to say"
    return [_refused(picture, "caption_empty", f"The model found {what}.")]


def _refused(picture: Path, code: str, reason: str) -> Problem:
    return Problem(
        code=code,
        severity="warning",
        title=f"{picture.name} was not captioned: {reason}",
        file=str(picture),
    )


def _problem(fields: dict[str, str]) -> Problem:
    known = {
        key: str(value) for key, value in fields.items() if key in Problem.__dataclass_fields__
    }
    return Problem(**{"code": "worker", "title": "Captioning failed.", **known})  # type: ignore[arg-type]


def _silent() -> Problem:
    return Problem(
        code="worker_silent",
        title=f"The captioning process gave no sign of life for {SILENT_SECONDS:.0f} seconds and "
        "was ended.",
        hint="What it had captioned is kept; start again for the rest.",
    )
