"""`limner check`: what would be trained, and everything that is wrong."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cli.job import apply_sets, build_job
from core.cli.text import duration, messages, output, print_json, print_problems, say
from core.config.job import Job, defaults, validate
from core.data.plan_notes import ALL_NAMED
from core.data.statistics import BucketShare
from core.errors import Problem, UserError
from core.model_families import FAMILIES
from core.paths import default_runs_dir, user_path
from core.runs.preflight import Preflight, preflight
from core.runs.units import human_size

if TYPE_CHECKING:
    from rich.table import Table

_DONE, _BAD_SETTINGS = 0, 2
# Comparing more pictures takes minutes the first time, so it is done when asked for.
_COMPARED_BY_DEFAULT = 2000
_PHASES = {
    "pictures": "Looking at the pictures",
    "captions": "Counting captions",
    "duplicates": "Comparing the pictures",
}


@dataclass(frozen=True)
class _Found:
    """What a check came to. of_folder: no preset was named, so only the pictures count."""

    job: Job | None
    report: Preflight | None
    problems: list[Problem]
    of_folder: bool = False

    @property
    def failed(self) -> bool:
        return any(p.severity == "error" for p in self.problems)


def check_target(
    target: str,
    sets: Sequence[str],
    *,
    runs: Path | None,
    as_json: bool,
    duplicates: bool | None = None,
) -> int:
    """Print what training `target` would mean; returns 2 when it cannot be trained.

    target: as for training, or a folder of pictures, of which only the pictures and captions are
    told. duplicates: whether to compare all pictures; None compares them where they are few.
    """
    compared = _COMPARED_BY_DEFAULT if duplicates is None else duplicates
    try:
        with _watching() as watch:
            if _is_folder(target):
                found = _check_folder(target, sets, compared, watch)
            else:
                built = build_job(target, sets)
                report = preflight(
                    built.job,
                    runs or default_runs_dir(),
                    progress=watch.progress,
                    phase=watch.phase,
                    duplicates=compared,
                )
                found = _Found(built.job, report, [*built.warnings, *report.problems])
    except UserError as error:
        found = _Found(None, None, list(error.problems))
    if as_json:
        _print_json(found)
    else:
        if found.job is not None and found.report is not None:
            _print_report(found, found.job, found.report)
        print_problems(found.problems)
        say(_verdict(found))
    return _BAD_SETTINGS if found.failed else _DONE


def _is_folder(target: str) -> bool:
    path = user_path(target)
    return os.path.isdir(path) and not os.path.isfile(path / "job.json")


def _check_folder(
    target: str, sets: Sequence[str], duplicates: bool | int, watch: _Watch
) -> _Found:
    """A folder of pictures by itself, with default settings where --set says nothing else."""
    from core.data.layouts import concepts_of_folder

    data = {**defaults(), "concepts": concepts_of_folder(user_path(target))}
    data, _, problems = apply_sets(data, sets)
    _, wrong = validate(data)
    problems += [p for p in wrong if p.code != "base_missing"]
    if any(p.severity == "error" for p in problems):
        raise UserError(*problems)
    job = Job.model_validate(data)
    report = preflight(job, progress=watch.progress, phase=watch.phase, duplicates=duplicates)
    if not job.model.base.strip():
        own = [p for p in report.problems if p.setting != "model.base"]
        return _Found(job, report, [*problems, *own], of_folder=True)
    return _Found(job, report, [*problems, *report.problems])


class _Watch:
    """Shows on a terminal how far a check is."""

    _EVERY_SECONDS = 0.1

    def __init__(self, show: Any = None) -> None:
        self._show = show
        self._name = ""
        self._shown = 0.0

    def phase(self, name: str) -> None:
        self._name = _PHASES[name]

    def progress(self, done: int, total: int) -> None:
        if self._show is None or time.monotonic() - self._shown < self._EVERY_SECONDS:
            return
        self._shown = time.monotonic()
        self._show(f"{self._name}: {done} of {total}")


@contextmanager
def _watching() -> Iterator[_Watch]:
    console = messages()
    if not console.is_terminal:
        yield _Watch()
        return
    with console.status("") as status:
        yield _Watch(status.update)


def _print_json(found: _Found) -> None:
    problems = found.problems
    if found.report is not None:
        # What people read counts the files of a kind from the 51st on; a program gets them all.
        named = [p for p in problems if p.hint != ALL_NAMED]
        problems = [*named, *found.report.unnamed]
    data: dict[str, Any] = {
        "ok": not found.failed,
        "problems": [p.as_dict() for p in problems],
    }
    if found.job is not None and found.report is not None:
        data |= facts(found.job, found.report)
    print_json(data)


def facts(job: Job, found: Preflight) -> dict[str, Any]:
    """What was found as plain data."""
    result: dict[str, Any] = {}
    if found.base is not None:
        result["base"] = {
            "path": str(found.base.path),
            "family": found.base.family,
            "layout": found.base.layout,
            "prediction_type": found.base.prediction_type,
        }
    if found.plan is not None:
        plan = found.plan
        result["plan"] = {
            "pictures": len(plan.items),
            "validation": len(plan.validation),
            "concepts": [vars(concept) for concept in plan.concepts],
            "buckets": {str(bucket): count for bucket, count in plan.buckets.items()},
            "steps_per_epoch": plan.steps_per_epoch,
            "total_steps": plan.total_steps,
            "batch_size": job.training.batch_size,
        }
    result["statistics"] = [_statistics(report) for report in found.concepts]
    if found.disk is not None:
        result["disk"] = {**vars(found.disk), "total": found.disk.total}
    if found.time is not None and found.time.total:
        result["seconds"] = {**vars(found.time), "total": found.time.total}
    if found.memory is not None:
        result["memory"] = {**vars(found.memory), "total": found.memory.total}
    if found.duplicates is not None:
        result["duplicates"] = [
            {
                "exact": group.exact,
                "best": str(group.members[group.best].path),
                "pictures": [
                    {"concept": m.concept, "path": str(m.path), "validation": m.validation}
                    for m in group.members
                ],
            }
            for group in found.duplicates.groups
        ]
    return result


def _statistics(report: Any) -> dict[str, Any]:
    counted = report.statistics
    return {
        "concept": report.summary.index,
        "smallest": counted.smallest,
        "largest": counted.largest,
        "captions": counted.captions,
        "captions_long": counted.captions_long,
        "most_tokens": counted.most_tokens,
        "upscaled": counted.upscaled,
        "buckets": {
            str(row.bucket): {"pictures": row.pictures, "lost": round(row.lost, 4)}
            for row in counted.buckets
        },
        "tags": dict(counted.tags[:100]),
        "duplicates_exact": report.duplicates_exact,
        "duplicates_near": report.duplicates_near,
        "undecodable": report.undecodable,
    }


def _print_report(found: _Found, job: Job, report: Preflight) -> None:
    if report.base is not None:
        base = report.base
        title = FAMILIES[base.family].title
        layout = "one file" if base.layout == "single_file" else "diffusers folder"
        say(f"Base model  {base.path} ({title}, {layout}, {base.prediction_type})")
    plan = report.plan
    if plan is not None and report.concepts and (plan.items or plan.validation):
        _print_whole(_concept_table(report))
        _print_whole(_bucket_table(report))
        if report.duplicates is None:
            say("Only headers were read; --duplicates decodes and compares all pictures.")
        if not found.of_folder:
            say(
                f"Steps       {plan.total_steps} ({plan.steps_per_epoch} an epoch, batch size "
                f"{job.training.batch_size} x {job.training.gradient_accumulation})"
            )
    if found.of_folder:
        return
    lora = job.lora
    encoder = " and text encoder" if lora.text_encoder else ""
    say(f"LoRA        rank {lora.rank}, alpha {lora.alpha:g}, {lora.targets}{encoder}")
    _print_needs(report)


def _print_whole(table: Table) -> None:
    """Print a table in the console's width, or wider where that would cut words off."""
    from rich.measure import Measurement

    console = output()
    least = Measurement.get(console, console.options.update(max_width=1000), table).minimum
    console.print(table, width=max(console.width, least), crop=False)


def _concept_table(report: Preflight) -> Table:
    """One line for each concept; what is nought for all of them is left out."""
    from rich.table import Column, Table

    columns = {
        "pictures": [one.summary.pictures for one in report.concepts],
        "rejected": [one.summary.rejected for one in report.concepts],
        "skipped": [one.summary.skipped for one in report.concepts],
        "no caption": [one.summary.captions_missing for one in report.concepts],
        "over 75 tokens": [one.statistics.captions_long for one in report.concepts],
        "enlarged": [one.statistics.upscaled for one in report.concepts],
        "there twice": [one.duplicates_exact for one in report.concepts],
        "much alike": [one.duplicates_near for one in report.concepts],
        "per epoch": [one.summary.per_epoch for one in report.concepts],
    }
    shown = {
        name: [str(number) for number in numbers]
        for name, numbers in columns.items()
        if name in ("pictures", "per epoch") or any(numbers)
    }
    if len(report.concepts) > 1:
        for name, column in shown.items():
            column.append(str(sum(columns[name])))
    kinds: list[str] = [one.summary.kind for one in report.concepts]
    if set(kinds) != {"train"}:
        shown = {"for": [*kinds, ""], **shown}
    # Headers may wrap, but no word of them is cut.
    heads = [
        Column(name, min_width=max(len(word) for text in (name, *column) for word in text.split()))
        for name, column in shown.items()
    ]
    table = Table(Column("concept", min_width=8, overflow="fold"), *heads, box=None)
    names = [one.summary.name for one in report.concepts]
    for number, name in enumerate([*names, "in all"] if len(names) > 1 else names):
        table.add_row(name, *[column[number] for column in shown.values()])
    return table


def _bucket_table(report: Preflight) -> Table:
    from rich.table import Table

    rows: dict[str, list[BucketShare]] = {}
    for one in report.concepts:
        for row in one.statistics.buckets:
            rows.setdefault(str(row.bucket), []).append(row)
    table = Table("bucket", "pictures", "cut off", box=None)
    for name, shares in sorted(rows.items(), key=lambda pair: -sum(r.pictures for r in pair[1])):
        number = sum(row.pictures for row in shares)
        lost = sum(row.lost * row.pictures for row in shares) / number
        table.add_row(name, str(number), f"{lost:.0%}")
    return table


def _print_needs(report: Preflight) -> None:
    if report.disk is not None:
        disk = report.disk
        often = f"{disk.checkpoints} x " if disk.checkpoints else "each "
        say(
            f"Disk        about {human_size(disk.total)}: LoRA files {often}"
            f"{human_size(disk.lora)}, states {human_size(disk.states)}, samples "
            f"{human_size(disk.samples)}, cache {human_size(disk.cache)}"
        )
    if report.memory is not None:
        need = report.memory
        where = " on the GPU" if need.on_gpu else ""
        say(
            f"Memory      about {human_size(need.total)}{where}: base model "
            f"{human_size(need.weights)}, LoRA and optimizer {human_size(need.lora)}, working "
            f"space {human_size(max(need.activations, need.sampling) + need.rest)}"
        )
    if report.time is not None and report.time.total:
        need_time = report.time
        by = "as measured in earlier runs" if need_time.exact else "roughly, from unlike runs"
        parts = [f"steps {duration(need_time.training)}"]
        if need_time.preparing >= 0.5:
            parts.append(f"preparing pictures up to {duration(need_time.preparing)}")
        if need_time.sampling:
            parts.append(f"samples {duration(need_time.sampling)}")
        say(f"Time        about {duration(need_time.total)}, {by}: {', '.join(parts)}")
    elif report.base is not None:
        say("Time        not known yet; the first such run measures it")


def _verdict(found: _Found) -> str:
    errors = sum(p.severity == "error" for p in found.problems)
    warnings = len(found.problems) - errors
    if errors:
        return f"Cannot be trained: {errors} problem{'s' * (errors != 1)} to mend."
    good = "The pictures can be used" if found.of_folder else "Can be trained"
    if warnings:
        return f"{good}; {warnings} warning{'s' * (warnings != 1)}."
    return f"{good}."
