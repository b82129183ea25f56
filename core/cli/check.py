"""`limner check`: what would be trained, and everything that is wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.cli.job import build_job
from core.cli.text import output, print_problems, say
from core.config.job import Job
from core.errors import Problem, UserError
from core.paths import default_runs_dir
from core.runs.preflight import Preflight, human_size, preflight

_DONE, _BAD_SETTINGS = 0, 2


def check_target(target: str, sets: Sequence[str], *, runs: Path | None, as_json: bool) -> int:
    """Print what training `target` would mean; returns 2 when it cannot be trained."""
    job: Job | None = None
    found: Preflight | None = None
    try:
        built = build_job(target, sets)
        job = built.job
        found = preflight(job, runs or default_runs_dir())
        problems = [*built.warnings, *found.problems]
    except UserError as error:
        problems = list(error.problems)
    failed = any(p.severity == "error" for p in problems)
    if as_json:
        report = {"ok": not failed, "problems": [p.as_dict() for p in problems]}
        if job is not None and found is not None:
            report |= facts(job, found)
        output().print(
            json.dumps(report, ensure_ascii=False, indent=2), soft_wrap=True, markup=False
        )
    else:
        if job is not None and found is not None:
            _print_plan(job, found)
        print_problems(problems)
        say(_verdict(problems))
    return _BAD_SETTINGS if failed else _DONE


def facts(job: Job, found: Preflight) -> dict[str, Any]:
    """The plan as plain data."""
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
            "concepts": [vars(concept) for concept in plan.concepts],
            "buckets": {str(bucket): count for bucket, count in plan.buckets.items()},
            "steps_per_epoch": plan.steps_per_epoch,
            "total_steps": plan.total_steps,
            "batch_size": job.training.batch_size,
        }
    if found.disk is not None:
        result["disk"] = {**vars(found.disk), "total": found.disk.total}
    return result


def _print_plan(job: Job, found: Preflight) -> None:
    from rich.table import Table

    if found.base is not None:
        base = found.base
        layout = "one file" if base.layout == "single_file" else "diffusers folder"
        say(f"Base model  {base.path} ({base.family}, {layout}, {base.prediction_type})")
    plan = found.plan
    if plan is not None and plan.items:
        table = Table("concept", "pictures", "skipped", "no caption", "per epoch", box=None)
        for concept in plan.concepts:
            table.add_row(
                concept.name,
                str(concept.pictures),
                str(concept.skipped),
                str(concept.captions_missing),
                str(concept.per_epoch),
            )
        output().print(table)
        table = Table("bucket", "pictures", box=None)
        for bucket, count in sorted(plan.buckets.items(), key=lambda pair: -pair[1]):
            table.add_row(str(bucket), str(count))
        output().print(table)
        say(
            f"Steps       {plan.total_steps} ({plan.steps_per_epoch} an epoch, batch size "
            f"{job.training.batch_size} x {job.training.gradient_accumulation})"
        )
    lora = job.lora
    encoder = " and text encoder" if lora.text_encoder else ""
    say(f"LoRA        rank {lora.rank}, alpha {lora.alpha:g}, {lora.targets}{encoder}")
    if found.disk is not None:
        disk = found.disk
        often = f"{disk.checkpoints} x " if disk.checkpoints else "each "
        say(
            f"Disk        about {human_size(disk.total)}: LoRA files {often}"
            f"{human_size(disk.lora)}, states {human_size(disk.states)}, samples "
            f"{human_size(disk.samples)}, cache {human_size(disk.cache)}"
        )


def _verdict(problems: Sequence[Problem]) -> str:
    errors = sum(p.severity == "error" for p in problems)
    warnings = len(problems) - errors
    if errors:
        return f"Cannot be trained: {errors} problem{'s' * (errors != 1)} to mend."
    if warnings:
        return f"Can be trained; {warnings} warning{'s' * (warnings != 1)}."
    return "Can be trained."
