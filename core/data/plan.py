"""Deciding what will be trained, from the settings and the files, before any model is loaded."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.config.concepts import Concept
from core.config.job import Job
from core.data.batches import with_counts
from core.data.buckets import make_buckets, place
from core.data.captions import CaptionError, captions_of
from core.data.images import PictureError, picture_size
from core.data.scan import Scan, StopCheck, ask_stop, scan_folder
from core.data.types import Bucket, ConceptSummary, Item, Pace, Placement, Plan
from core.errors import Problem

# So many files are named one by one for each kind of trouble; the rest is only counted.
NAMED_AT_MOST = 50
_CHECK_EVERY = 64

Progress = Callable[[int, int], object]


def make_plan(
    job: Job,
    *,
    bucket_step: int,
    progress: Progress | None = None,
    check_stop: StopCheck | None = None,
) -> Plan:
    """What training this job means: pictures, captions, buckets, steps, and what is wrong.

    Reads folders, picture headers and caption files of the enabled concepts, nothing else, and
    changes nothing. Item ids count all pictures found, so that one unreadable picture does not
    shift the others. Files that cannot be used become problems of the plan; with one of severity
    `error` it cannot be trained. `progress(done, total)` counts pictures; `check_stop` is asked
    often and may raise or return true. Raises Stopped then.
    """
    notes = _Notes()
    found = _scan(job, notes, check_stop)
    total = sum(len(scan) for scan in found.values())
    items: list[Item] = []
    summaries: list[ConceptSummary] = []
    first_id = 0
    for index, scan in found.items():
        concept = job.concepts[index]
        reader = _ConceptReader(
            index, concept, concept.resolution or job.training.resolution, bucket_step, notes
        )
        mine: list[Item] = []
        for number, path in enumerate(scan.pictures):
            if number % _CHECK_EVERY == 0:
                ask_stop(check_stop)
                if progress is not None:
                    progress(first_id + number, total)
            item = reader.read(first_id + number, path)
            if item is not None:
                mine.append(item)
        first_id += len(scan)
        summaries.append(_summary(index, concept, mine, skipped=len(scan) - len(mine)))
        notes.add_all(reader.closing_notes(mine))
        items += mine
    if progress is not None:
        progress(total, total)
    if not items and not notes.has_errors():
        notes.add(_no_pictures())
    plan = Plan(
        items=tuple(items),
        concepts=tuple(summaries),
        buckets={},
        samples_per_epoch=0,
        steps_per_epoch=0,
        total_steps=0,
        problems=notes.problems(),
        pace=_pace(job),
    )
    return with_counts(plan)


def without(plan: Plan, bad_item_ids: Collection[int]) -> Plan:
    """The plan less some items that proved unusable, its counts and steps made anew.

    When nothing is left, the plan has an error `no_pictures`.
    """
    bad = frozenset(bad_item_ids)
    if not bad:
        return plan
    kept = tuple(item for item in plan.items if item.id not in bad)
    concepts = []
    for concept in plan.concepts:
        mine = [item for item in kept if item.concept == concept.index]
        concepts.append(
            replace(
                concept,
                pictures=len(mine),
                skipped=concept.skipped + concept.pictures - len(mine),
                captions_missing=sum(item.caption_missing for item in mine),
            )
        )
    problems = plan.problems if kept else (*plan.problems, _no_pictures())
    return with_counts(replace(plan, items=kept, concepts=tuple(concepts), problems=problems))


def concept_name(index: int, concept: Concept) -> str:
    """How a concept is called: its name, else its folder's, else its number."""
    return concept.name.strip() or Path(concept.path).name or f"number {index + 1}"


def unreadable_picture(path: Path, reason: str, concept: int) -> Problem:
    """The warning about a picture that is left out."""
    return Problem(
        code="picture_unreadable",
        title=f"{path.name} cannot be used and is left out; mend or remove it.",
        detail=reason,
        severity="warning",
        setting=f"concepts.{concept}.path",
        file=str(path),
    )


class _Notes:
    """Collects problems, naming only the first few files of each kind."""

    def __init__(self) -> None:
        self._all: list[Problem] = []
        self._more: dict[str, int] = {}
        self._named: dict[str, int] = {}

    def add(self, problem: Problem) -> None:
        self._all.append(problem)

    def add_all(self, problems: list[Problem]) -> None:
        self._all += problems

    def add_file(self, problem: Problem) -> None:
        """A problem of one file among many."""
        self._named[problem.code] = self._named.get(problem.code, 0) + 1
        if self._named[problem.code] <= NAMED_AT_MOST:
            self._all.append(problem)

    def has_errors(self) -> bool:
        return any(problem.severity == "error" for problem in self._all)

    def problems(self) -> tuple[Problem, ...]:
        """Errors first, then warnings, each in the order of the concepts."""
        rest = [
            Problem(
                code=code,
                title=f"{count - NAMED_AT_MOST} more files have the same kind of trouble.",
                severity="warning",
            )
            for code, count in self._named.items()
            if count > NAMED_AT_MOST
        ]
        return tuple(sorted([*self._all, *rest], key=lambda problem: problem.severity))


@dataclass
class _ConceptReader:
    """Reads the pictures of one concept into items."""

    index: int
    concept: Concept
    resolution: int
    bucket_step: int
    notes: _Notes
    buckets: list[Bucket] = field(init=False)
    placements: dict[tuple[int, int], Placement] = field(default_factory=dict)
    file_failed: bool = False

    def __post_init__(self) -> None:
        self.buckets = make_buckets(self.resolution, self.bucket_step)

    def read(self, item_id: int, path: Path) -> Item | None:
        """The item of a picture, or None (with a note) when it cannot be used."""
        try:
            size = picture_size(path)
        except PictureError as error:
            self.notes.add_file(unreadable_picture(path, str(error), self.index))
            return None
        # Folders hold few different sizes; equal placements are kept once.
        placement = self.placements.get(size)
        if placement is None:
            placement = self.placements[size] = place(size, self.buckets)
        captions, missing = self._captions(path)
        return Item(item_id, self.index, path, size, placement, captions, missing)

    def _captions(self, path: Path) -> tuple[tuple[str, ...], bool]:
        try:
            return captions_of(self.concept, path)
        except CaptionError as error:
            if self.concept.prompt.source == "single_file":
                self._note_file(str(error))
            else:
                self.notes.add_file(
                    Problem(
                        code="caption_unreadable",
                        title=f"The caption of {path.name} cannot be read and counts as missing.",
                        detail=str(error),
                        severity="warning",
                        setting=f"concepts.{self.index}.prompt.source",
                        file=str(path),
                    )
                )
            return ((self.concept.prompt.trigger.strip(),), True)

    def _note_file(self, reason: str) -> None:
        if self.file_failed:
            return
        self.file_failed = True
        name = concept_name(self.index, self.concept)
        self.notes.add(
            Problem(
                code="caption_file_unreadable",
                title=f"The caption file of concept {name} cannot be read; choose it again.",
                detail=reason,
                setting=f"concepts.{self.index}.prompt.file",
                file=self.concept.prompt.file,
            )
        )

    def closing_notes(self, items: list[Item]) -> list[Problem]:
        """What is to be said of the concept as a whole."""
        notes = []
        name = concept_name(self.index, self.concept)
        missing = sum(item.caption_missing for item in items)
        if missing and not self.file_failed:
            trigger = self.concept.prompt.trigger.strip()
            instead = f"the trigger word {trigger!r} alone" if trigger else "an empty caption"
            notes.append(
                Problem(
                    code="captions_missing",
                    title=(
                        f"{missing} of {len(items)} pictures of concept {name} have no caption "
                        f"and will be trained with {instead}."
                    ),
                    severity="warning",
                    setting=f"concepts.{self.index}.prompt.source",
                )
            )
        small = sum(item.placement.upscaled for item in items)
        if small:
            notes.append(
                Problem(
                    code="pictures_upscaled",
                    title=(
                        f"{small} of {len(items)} pictures of concept {name} are smaller than the "
                        f"resolution of {self.resolution} and will be enlarged, which blurs them."
                    ),
                    severity="warning",
                    setting=f"concepts.{self.index}.path",
                )
            )
        return notes


def _scan(job: Job, notes: _Notes, check_stop: StopCheck | None) -> dict[int, Scan]:
    found: dict[int, Scan] = {}
    for index, concept in enumerate(job.concepts):
        if not concept.enabled:
            continue
        name = concept_name(index, concept)
        setting = f"concepts.{index}.path"
        if concept.kind != "train":
            notes.add(
                Problem(
                    code="concept_kind_not_ready",
                    title=f"Concept {name} is for {concept.kind}, which this version cannot do; "
                    f"set its purpose to train or switch it off.",
                    setting=f"concepts.{index}.kind",
                )
            )
            continue
        if not concept.path.strip():
            notes.add(
                Problem(
                    code="concept_no_folder",
                    title=f"Concept {name} has no folder; choose the folder with its pictures.",
                    setting=setting,
                )
            )
            continue
        scan = scan_folder(Path(concept.path), concept.include_subfolders, check_stop)
        notes.add_all([replace(problem, setting=setting) for problem in scan.problems])
        if not scan.pictures and not scan.problems:
            notes.add(_empty_folder(name, concept, setting))
        found[index] = scan
    return found


def _empty_folder(name: str, concept: Concept, setting: str) -> Problem:
    hint = "" if concept.include_subfolders else "Pictures in subfolders need With subfolders."
    return Problem(
        code="concept_empty",
        title=f"Concept {name} has no pictures in {concept.path}; choose another folder.",
        severity="warning",
        hint=hint,
        setting=setting,
    )


def _no_pictures() -> Problem:
    return Problem(
        code="no_pictures",
        title="There is no usable picture to learn from; look at the folders of the concepts.",
        setting="concepts",
    )


def _summary(index: int, concept: Concept, items: list[Item], skipped: int) -> ConceptSummary:
    return ConceptSummary(
        index=index,
        name=concept_name(index, concept),
        pictures=len(items),
        skipped=skipped,
        captions_missing=sum(item.caption_missing for item in items),
        per_epoch=0,
    )


def _pace(job: Job) -> Pace:
    training = job.training
    return Pace(
        epochs=training.epochs,
        max_steps=training.max_steps,
        batch_size=training.batch_size,
        gradient_accumulation=training.gradient_accumulation,
        seed=training.seed,
        repeats={index: concept.repeats for index, concept in enumerate(job.concepts)},
    )
