"""What pressing Train would do: base model, pictures, steps, disk, and everything in the way.

Loads nothing heavy: headers, folders and caption files only. No torch.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from core.config.job import Job
from core.data.duplicates import Duplicates, find_duplicates
from core.data.estimate import latent_cache_bytes, text_cache_bytes
from core.data.masks import unusable_masks
from core.data.plan import make_plan, without
from core.data.statistics import Statistics, statistics_of
from core.data.tokens import tokens_of
from core.data.types import ConceptSummary, Item, Plan
from core.errors import Problem, UserError, fail
from core.families.base import CLIP_TOKENS, BaseModelFile
from core.families.configs import read_json
from core.families.detect import check_family, detect, schedule_of, vae_files
from core.families.folders import no_vae, part_files
from core.families.header import read_header
from core.families.hub import is_hub_id
from core.families.layers import BYTES, EncodedShape, encoded_shape, layers_of, lora_weights
from core.families.registry import family
from core.hardware import gpu_driver_here
from core.optimizers import OPTIMIZERS
from core.runs.copies import duplicate_problems
from core.runs.estimates import TimeNeed, last_device, measured_speed, time_need
from core.runs.findings import (
    caption_problems,
    fitting_problems,
    located,
    mask_problems,
    memory_problems,
)
from core.runs.memory import MemoryNeed, memory_need, number_bytes
from core.runs.units import human_size

__all__ = ["DiskNeed", "Preflight", "disk_need", "human_size", "lora_weights", "preflight"]

_STEP_WITHOUT_A_BASE = 8
_SAMPLE_BYTES_PER_PIXEL = 1.6

Progress = Callable[[int, int], object]
StopCheck = Callable[[], object]


@dataclass(frozen=True)
class DiskNeed:
    """Bytes that a run will write, estimated.

    lora: one LoRA file; checkpoints: how many (0 when it depends on minutes); states: all kept
    ones; samples: all pictures; cache: latents and embeddings of captions in the cache folder.
    """

    lora: int
    checkpoints: int
    states: int
    samples: int
    cache: int

    @property
    def total(self) -> int:
        """All of it, the newest LoRA's second copy included."""
        return self.lora * (max(self.checkpoints, 1) + 1) + self.states + self.samples + self.cache


@dataclass(frozen=True)
class ConceptReport:
    """What was found of one concept. duplicates_exact, duplicates_near: pictures of it that are
    in a group of such; undecodable: those of the skipped ones whose header is right, but whose
    pixels or mask cannot be used. All three are known when duplicates were looked for."""

    summary: ConceptSummary
    statistics: Statistics
    duplicates_exact: int = 0
    duplicates_near: int = 0
    undecodable: int = 0


@dataclass(frozen=True)
class Preflight:
    """What was found. base, plan, disk and memory are None where an error keeps them from being
    known; duplicates is None until (or unless) they were looked for. masks: why each mask that
    proved unusable cannot be used."""

    base: BaseModelFile | None
    plan: Plan | None
    disk: DiskNeed | None
    problems: tuple[Problem, ...]
    concepts: tuple[ConceptReport, ...] = ()
    time: TimeNeed | None = None
    memory: MemoryNeed | None = None
    duplicates: Duplicates | None = None
    masks: tuple[Problem, ...] = ()

    @property
    def unnamed(self) -> list[Problem]:
        """The problems of files that `problems` only counts, since there are many of a kind."""
        named = set(self.problems)
        return [
            p for p in (*(self.plan.unnamed if self.plan else ()), *self.masks) if p not in named
        ]

    @property
    def errors(self) -> list[Problem]:
        """The problems that forbid training."""
        return [p for p in self.problems if p.severity == "error"]


def preflight(
    job: Job,
    runs: Path | None = None,
    *,
    progress: Progress | None = None,
    check_stop: StopCheck | None = None,
    duplicates: bool | int = False,
    phase: Callable[[str], object] | None = None,
    partly: Callable[[Preflight], object] | None = None,
) -> Preflight:
    """Look at everything that `job` names; never raises for what a user can mend.

    runs: the folder that the run will be written to, to compare with its disk's free space.
    duplicates: also decode every picture and compare all with all, which takes about 30 ms a
    picture the first time; a number means that only up to so many pictures are worth it.
    phase: told what begins: `pictures`, `captions`, `duplicates`; progress(done, total) counts
    within it. partly: gets what is known so far, more each time. Raises Stopped when `check_stop`
    says so.
    """
    tell = phase or (lambda _name: None)
    problems: list[Problem] = []
    base = _base(job, problems)
    step = base.bucket_step if base else _STEP_WITHOUT_A_BASE
    tell("pictures")
    plan = make_plan(job, bucket_step=step, progress=progress, check_stop=check_stop)
    found = _planned(job, base, plan, problems, runs)
    if partly is not None:
        partly(found)
    tell("captions")
    found = _with_statistics(job, found, progress, check_stop)
    if partly is not None:
        partly(found)
    items = [*plan.items, *plan.validation]
    if items and (duplicates is True or len(items) <= duplicates):
        tell("duplicates")
        same = find_duplicates(plan, progress=progress, check_stop=check_stop)
        bad = [item for item in items if item.path in same.unreadable]
        if bad:
            # Training finds them unusable too, and goes on without.
            plan = make_plan(
                job, bucket_step=step, check_stop=check_stop, unreadable=same.unreadable
            )
        left = [*plan.items, *plan.validation]
        masks = unusable_masks(left, job.concepts, check_stop)
        if bad or masks:
            bad += [item for item in left if item.id in masks]
            problems += mask_problems(masks)
            found = _planned(job, base, without(plan, masks), problems, runs)
            found = _with_statistics(job, found, None, check_stop)
            found = replace(found, masks=tuple(dict.fromkeys(masks.values())))
        found = _with_duplicates(job, found, bad, same)
    return found


def _planned(
    job: Job, base: BaseModelFile | None, plan: Plan, problems: list[Problem], runs: Path | None
) -> Preflight:
    """What follows from a plan: its problems beside those given, and what the run needs."""
    problems = [*problems, *located(plan.problems, [*plan.items, *plan.validation])]
    problems += fitting_problems(job, base, plan)
    disk = memory = None
    if base is not None:
        device = last_device(runs)
        gpu = not device.is_cpu if device.name else gpu_driver_here()
        disk = disk_need(job, base, plan, gpu)
        problems += _space_problems(disk, runs) if runs is not None else []
        memory = memory_need(job, base, plan, gpu)
        problems += memory_problems(job, memory, device) if memory else []
    needed = time_need(measured_speed(job, runs), plan, samples_drawn(job, plan))
    return Preflight(base, plan, disk, _sorted(problems), (), needed, memory)


def _sorted(problems: list[Problem]) -> tuple[Problem, ...]:
    unique = list(dict.fromkeys(problems))
    return tuple(sorted(unique, key=lambda problem: problem.severity))


def _with_statistics(
    job: Job,
    found: Preflight,
    progress: Progress | None,
    check_stop: StopCheck | None,
) -> Preflight:
    problems = list(found.problems)
    reports = []
    by_concept: dict[int, list[Item]] = {}
    plan = found.plan
    rule = family(found.base.family).info.tokens if found.base else CLIP_TOKENS
    for item in (*plan.items, *plan.validation) if plan else ():
        by_concept.setdefault(item.concept, []).append(item)
    for summary in plan.concepts if plan else ():
        statistics = statistics_of(
            by_concept.get(summary.index, []),
            skipped=summary.skipped,
            rejected=summary.rejected,
            count=tokens_of(found.base),
            room=rule.room,
            progress=progress,
            check_stop=check_stop,
        )
        reports.append(ConceptReport(summary, statistics))
        problems += caption_problems(summary.index, summary.name, statistics, rule)
    return replace(found, problems=_sorted(problems), concepts=tuple(reports))


def _with_duplicates(job: Job, found: Preflight, bad: list[Item], same: Duplicates) -> Preflight:
    of_concept = {(item.concept, item.path) for item in bad}
    reports = []
    for report in found.concepts:
        index = report.summary.index
        counts = {True: 0, False: 0}
        for group in same.groups:
            counts[group.exact] += sum(member.concept == index for member in group.members)
        reports.append(
            replace(
                report,
                duplicates_exact=counts[True],
                duplicates_near=counts[False],
                undecodable=sum(concept == index for concept, _ in of_concept),
            )
        )
    problems = [*found.problems, *duplicate_problems(job, same)]
    return replace(found, problems=_sorted(problems), concepts=tuple(reports), duplicates=same)


def _base(job: Job, problems: list[Problem]) -> BaseModelFile | None:
    name = job.model.base
    try:
        base = detect(name)
        check_family(job.model, base)
        _look_at_settings(job, base, problems)
        return base
    except UserError as error:
        problem = error.problem
        if problem.code in ("base_not_found", "base_incomplete") and _will_be_fetched(job):
            problems.append(
                Problem(
                    code="base_will_be_downloaded",
                    severity="warning",
                    title=f"{name} is not on this computer yet; it will be downloaded first.",
                    setting="model.base",
                )
            )
        else:
            own = [replace(p, setting=p.setting or "model.base") for p in error.problems]
            problems += own
        return None


def _will_be_fetched(job: Job) -> bool:
    name = job.model.base.strip()
    return job.model.allow_download and is_hub_id(name) and not Path(name).exists()


def _look_at_settings(job: Job, base: BaseModelFile, problems: list[Problem]) -> None:
    """Add what does not fit the base model, which loading would refuse only much later."""
    looks: tuple[Callable[[], object], ...] = (
        lambda: schedule_of(job.model, base),
        lambda: _look_at_vae(job, base),
        lambda: _look_at_clip_skip(job, base),
    )
    for look in looks:
        try:
            look()
        except UserError as error:
            problems += error.problems


def _look_at_vae(job: Job, base: BaseModelFile) -> None:
    vae = job.model.vae.strip()
    if not vae:
        _look_for_own_vae(base)
        return
    if not Path(vae).exists():
        raise fail(
            "vae_not_found",
            f"The VAE {vae} does not exist; choose another or leave it empty.",
            setting="model.vae",
            file=vae,
        )
    try:
        vae_files(Path(vae))
    except UserError as error:
        raise UserError(*[replace(p, setting="model.vae") for p in error.problems]) from error


def _look_for_own_vae(base: BaseModelFile) -> None:
    for part in family(base.family).info.of("vae"):
        if part_files(base, part) is None:
            names = read_header(base.path).shapes
            if not any(name.startswith(part.prefixes) for name in names):
                raise no_vae(base)


def _look_at_clip_skip(job: Job, base: BaseModelFile) -> None:
    if base.layout != "diffusers":
        return
    for part in family(base.family).info.of("text"):
        config = read_json(base.path / part.folder / "config.json")
        layers = config.get("num_hidden_layers")
        if isinstance(layers, int) and job.model.clip_skip + part.layers_left > layers:
            raise fail(
                "clip_skip_too_large",
                f"model.clip_skip is {job.model.clip_skip}, but the {part.title} has only {layers} "
                "layers; lower it.",
                setting="model.clip_skip",
            )


def disk_need(job: Job, base: BaseModelFile, plan: Plan, on_gpu: bool) -> DiskNeed:
    """What a run of `job` writes, from the base model's layer shapes; 0 where it cannot tell."""
    weights = lora_weights(job.lora, base)
    checkpoints = _how_often(job.checkpoints.every, job.checkpoints.every_unit, plan)
    lora = weights * BYTES[job.checkpoints.dtype]
    copies = 1 + OPTIMIZERS[job.training.optimizer].moments + job.training.ema.enabled
    states = int(weights * 4 * copies * min(job.checkpoints.keep_states, max(checkpoints, 1)))
    side = job.training.resolution
    pixels = sum(
        (spec.width or side) * (spec.height or side)
        for spec in job.sampling.prompts
        if spec.enabled and spec.prompt.strip()
    )
    samples = int(pixels * _SAMPLE_BYTES_PER_PIXEL * _sampled(job, plan))
    return DiskNeed(lora, checkpoints, states, samples, _cache_bytes(job, base, plan, on_gpu))


def _cache_bytes(job: Job, base: BaseModelFile, plan: Plan, on_gpu: bool) -> int:
    try:
        shape = encoded_shape(layers_of(base, ("text", "vae")))
    except (UserError, OSError):
        shape = EncodedShape()
    latents = latent_cache_bytes(plan, job, shape.channels, shape.scale)
    _, size = number_bytes(job, on_gpu)
    rule = family(base.family).info.tokens
    return latents + text_cache_bytes(plan, job, shape.text_width, tokens_of(base), size, rule)


def samples_drawn(job: Job, plan: Plan) -> int:
    """How many sample pictures a run draws; those by minutes are not known ahead."""
    prompts = sum(spec.enabled and bool(spec.prompt.strip()) for spec in job.sampling.prompts)
    return prompts * _sampled(job, plan)


def _sampled(job: Job, plan: Plan) -> int:
    if job.sampling.every_unit == "never":
        return 0
    often = _how_often(job.sampling.every, job.sampling.every_unit, plan)
    return often + job.sampling.at_start


def _how_often(every: int, unit: str, plan: Plan) -> int:
    """How many times something happens in a run that always ends with it; 0 for minutes."""
    if unit == "minute":
        return 0
    if unit == "never" or not plan.total_steps:
        return 1
    steps = every if unit == "step" else every * max(plan.steps_per_epoch, 1)
    return math.ceil(plan.total_steps / steps)


def _space_problems(disk: DiskNeed, runs: Path) -> list[Problem]:
    folder = runs.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return []
    if disk.total <= free:
        return []
    return [
        Problem(
            code="disk_space_low",
            severity="warning",
            title=(
                f"The run needs about {human_size(disk.total)}, but {folder} has only "
                f"{human_size(free)} free."
            ),
            hint="Free some space, or keep fewer checkpoints.",
            setting="checkpoints.every",
        )
    ]
