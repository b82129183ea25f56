"""Deciding what will be trained, from the settings and the files, before any model is loaded."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from core.config.concepts import Concept
from core.config.job import Job
from core.config.rules import further_resolutions
from core.data import plan_notes
from core.data.batches import with_counts
from core.data.buckets import nearest_multiple, shapes_of
from core.data.concept_reader import ConceptReader
from core.data.plan_notes import NAMED_AT_MOST, Notes, concept_name, unreadable_picture
from core.data.scan import Scan, StopCheck, ask_stop, scan_concept
from core.data.types import ConceptSummary, Item, Pace, Plan
from core.data.undecodable import known_undecodable
from core.errors import Problem

__all__ = ["NAMED_AT_MOST", "concept_name", "make_plan", "unreadable_picture", "without"]

_CHECK_EVERY = 64

Progress = Callable[[int, int], object]
Seen = Callable[[Item], object]


def make_plan(
    job: Job,
    *,
    bucket_step: int,
    progress: Progress | None = None,
    check_stop: StopCheck | None = None,
    unreadable: Mapping[Path, str] | None = None,
    seen: Seen | None = None,
) -> Plan:
    """What training this job means: pictures, captions, buckets, steps, and what is wrong.

    Reads folders, headers of pictures and masks, caption and wildcard files and the notes on where
    to cut, of the enabled concepts. Item ids count all pictures found (times the resolutions), so
    that an unreadable one does not shift the others. Files that cannot be used become problems of
    the plan; with one of severity `error` it cannot be trained. `progress(done, total)` counts
    pictures, `seen` gets each item once it is read; `check_stop` is asked often and may raise or
    return true. Raises Stopped then. unreadable: pictures known to be bad
    whatever headers say, besides those that are remembered.
    """
    notes = Notes()
    step = shapes_of(job.training.buckets, bucket_step).step
    sides = _sides(job, step, notes)
    found = _scan(job, notes, check_stop)
    bad = {**known_undecodable(), **(unreadable or {})}
    total = sum(len(scan) for scan in found.values())
    items: list[Item] = []
    validation: list[Item] = []
    summaries: list[ConceptSummary] = []
    wildcards: dict[int, dict[str, tuple[str, ...]]] = {}
    first = 0
    for index, scan in found.items():
        concept = job.concepts[index]
        mine = _sides_of(concept, sides, step)
        shapes = shapes_of(job.training.buckets, bucket_step, concept)
        reader = ConceptReader(index, concept, mine, shapes, notes, bad)
        for number, path in enumerate(scan.pictures, first):
            if number % _CHECK_EVERY == 0:
                ask_stop(check_stop)
                if progress is not None:
                    progress(number, total)
            reader.read(number * len(sides), path, seen)
        first += len(scan)
        if lines := reader.wildcards():
            wildcards[index] = lines
        summaries.append(reader.finish(len(scan)))
        (validation if concept.kind == "validation" else items).extend(reader.items)
    if progress is not None:
        progress(total, total)
    notes.add(*_trained_and_measured(job, items, validation, check_stop))
    if not notes.has_errors():
        notes.add(*_lacking(job, items, validation))
    plan = Plan(
        items=tuple(items),
        concepts=tuple(summaries),
        buckets={},
        samples_per_epoch=0,
        steps_per_epoch=0,
        total_steps=0,
        problems=notes.problems(),
        unnamed=tuple(notes.unnamed),
        pace=_pace(job),
        validation=tuple(validation),
        wildcards=wildcards,
    )
    return with_counts(plan)


def without(plan: Plan, bad_item_ids: Collection[int]) -> Plan:
    """The plan less some items that proved unusable, its counts and steps made again.

    When nothing is left to learn, the plan has an error `no_pictures` or `no_train_pictures`.
    """
    bad = frozenset(bad_item_ids)
    if not bad:
        return plan
    items = tuple(item for item in plan.items if item.id not in bad)
    validation = tuple(item for item in plan.validation if item.id not in bad)
    by_concept: dict[int, dict[Path, bool]] = defaultdict(dict)
    for item in (*items, *validation):
        by_concept[item.concept][item.path] = item.caption_missing
    concepts = tuple(
        replace(
            concept,
            pictures=len(by_concept[concept.index]),
            skipped=concept.skipped + concept.pictures - len(by_concept[concept.index]),
            captions_missing=sum(by_concept[concept.index].values()),
        )
        for concept in plan.concepts
    )
    learned = {concept.index for concept in plan.concepts if concept.kind == "train"}
    problems = plan.problems
    if not any(item.concept in learned for item in items):
        problems = (*problems, plan_notes.nothing_to_learn((*items, *validation)))
    return with_counts(
        replace(plan, items=items, validation=validation, concepts=concepts, problems=problems)
    )


def _sides(job: Job, bucket_step: int, notes: Notes) -> list[int]:
    """The resolutions of the job, each once: those that give the same buckets are the same."""
    sides = {nearest_multiple(job.training.resolution, bucket_step): job.training.resolution}
    for given in further_resolutions(job.training.more_resolutions):
        side = nearest_multiple(given, bucket_step)
        if side in sides:
            notes.add(plan_notes.same_resolutions(given, side))
        sides.setdefault(side, given)
    return list(sides)


def _sides_of(concept: Concept, sides: list[int], bucket_step: int) -> list[int]:
    if concept.resolution is not None:
        return [nearest_multiple(concept.resolution, bucket_step)]
    # One size is enough to measure by, and keeps the curve comparable between runs.
    return sides[:1] if concept.kind == "validation" else sides


def _scan(job: Job, notes: Notes, check_stop: StopCheck | None) -> dict[int, Scan]:
    found: dict[int, Scan] = {}
    for index, concept in enumerate(job.concepts):
        if not concept.enabled:
            continue
        name = concept_name(index, concept)
        if not concept.path.strip():
            notes.add(plan_notes.no_folder(name, index))
            continue
        scan = scan_concept(concept, check_stop)
        for problem in scan.problems:
            problem = replace(problem, setting=f"concepts.{index}.path")
            if problem.severity == "error":
                notes.add(problem)
            else:
                notes.add_file(problem)
        if not scan.pictures and not scan.problems:
            notes.add(plan_notes.empty_folder(name, index, concept))
        found[index] = scan
    return found


def _lacking(job: Job, items: list[Item], validation: list[Item]) -> Iterable[Problem]:
    if not any(job.concepts[item.concept].kind == "train" for item in items):
        yield plan_notes.nothing_to_learn([*items, *validation])


def _trained_and_measured(
    job: Job, items: list[Item], validation: list[Item], check_stop: StopCheck | None
) -> list[Problem]:
    """A warning for each validation concept that shares pictures with the trained ones."""
    if not validation:
        return []
    ask_stop(check_stop)
    folders: dict[Path, str] = {}
    trained = {_real(item.path, folders) for item in items}
    shared: dict[int, list[Path]] = defaultdict(list)
    for item in validation:
        if _real(item.path, folders) in trained:
            shared[item.concept].append(item.path)
    return [
        plan_notes.trained_and_measured(concept_name(index, job.concepts[index]), index, pictures)
        for index, pictures in shared.items()
    ]


def _real(path: Path, folders: dict[Path, str]) -> str:
    """One name for a file, whatever links its folder is reached through; `folders` remembers."""
    if os.path.islink(path):
        return os.path.normcase(os.path.realpath(path))
    if path.parent not in folders:
        folders[path.parent] = os.path.realpath(path.parent)
    return os.path.normcase(os.path.join(folders[path.parent], path.name))


def _pace(job: Job) -> Pace:
    training = job.training
    concepts = list(enumerate(job.concepts))
    return Pace(
        epochs=training.epochs,
        max_steps=training.max_steps,
        batch_size=training.batch_size,
        gradient_accumulation=training.gradient_accumulation,
        seed=training.seed,
        repeats={index: concept.repeats for index, concept in concepts},
        counts={index: c.count for index, c in concepts if c.count is not None},
    )
