"""What pressing Train would do: base model, pictures, steps, disk, and everything in the way.

Loads nothing heavy: headers, folders and caption files only. No torch.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from core.config.job import Job
from core.data.estimate import latent_cache_bytes
from core.data.plan import make_plan
from core.data.types import Plan
from core.errors import Problem, Severity, UserError, fail
from core.families.base import BaseModelFile
from core.families.detect import detect, read_json, schedule_of, vae_files, weight_files
from core.families.header import read_header
from core.families.hub import is_hub_id
from core.paths import user_path

_FAMILY_STEP = 64
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_ATTENTION = (".to_q", ".to_k", ".to_v", ".to_out.0")
_FEED_FORWARD = (".ff.net.0.proj", ".ff.net.2", ".proj_in", ".proj_out")
_TEXT = (".q_proj", ".k_proj", ".v_proj", ".out_proj", ".fc1", ".fc2")
# Moments of the optimizer per LoRA weight, each float32 like the weight itself.
_MOMENTS = {"adamw": 2.0, "adamw_8bit": 0.5, "prodigy": 4.0}
_SAMPLE_BYTES_PER_PIXEL = 1.6


@dataclass(frozen=True)
class DiskNeed:
    """Bytes that a run will write, estimated.

    lora: one LoRA file; checkpoints: how many (0 when it depends on minutes); states: all kept
    ones; samples: all pictures; cache: latents in the cache folder.
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
class Preflight:
    """What was found. base, plan and disk are None where an error keeps them from being known."""

    base: BaseModelFile | None
    plan: Plan | None
    disk: DiskNeed | None
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> list[Problem]:
        """The problems that forbid training."""
        return [p for p in self.problems if p.severity == "error"]


def preflight(
    job: Job,
    runs: Path | None = None,
    *,
    progress: Callable[[int, int], object] | None = None,
    check_stop: Callable[[], object] | None = None,
) -> Preflight:
    """Look at everything that `job` names; never raises for what a user can mend.

    runs: the folder that the run will be written to, to compare with its disk's free space.
    progress and check_stop as in core.data.plan.make_plan.
    """
    problems: list[Problem] = []
    base = _base(job, problems)
    step = base.bucket_step if base else _FAMILY_STEP
    plan = make_plan(job, bucket_step=step, progress=progress, check_stop=check_stop)
    problems += plan.problems
    problems += _output_problems(job)
    disk = disk_need(job, base, plan) if base else None
    if disk is not None and runs is not None:
        problems += _space_problems(disk, runs)
    problems.sort(key=lambda problem: problem.severity)
    return Preflight(base, plan, disk, tuple(problems))


def _base(job: Job, problems: list[Problem]) -> BaseModelFile | None:
    name = job.model.base
    try:
        base = detect(name)
        if job.model.family not in ("auto", base.family):
            raise fail(
                "base_other_family",
                f"{name} is of the family {base.family}, but the family is set to "
                f"{job.model.family}; set it to automatic.",
                setting="model.family",
            )
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
        lambda: _look_at_vae(job),
        lambda: _look_at_clip_skip(job, base),
    )
    for look in looks:
        try:
            look()
        except UserError as error:
            problems += error.problems


def _look_at_vae(job: Job) -> None:
    vae = job.model.vae.strip()
    if not vae:
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


def _look_at_clip_skip(job: Job, base: BaseModelFile) -> None:
    if base.layout != "diffusers":
        return
    layers = read_json(base.path / "text_encoder" / "config.json").get("num_hidden_layers", 12)
    if isinstance(layers, int) and job.model.clip_skip >= layers:
        raise fail(
            "clip_skip_too_large",
            f"model.clip_skip is {job.model.clip_skip}, but the text encoder has only {layers} "
            "layers; lower it.",
            setting="model.clip_skip",
        )


def _output_problems(job: Job) -> list[Problem]:
    """What will keep the finished LoRA from being copied to `model.output`."""
    if not job.model.output.strip():
        return []
    output = user_path(job.model.output.strip())
    if os.path.isdir(output):
        wrong = f"The LoRA file {output} is a folder; write the name of a file in it."
        return [_output_problem(wrong, output, "error")]
    folder = output.parent
    while not os.path.exists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        wrong = f"The LoRA file cannot lie in {folder}, which is a file; choose a folder."
        return [_output_problem(wrong, output, "error")]
    if not os.access(folder, os.W_OK):
        wrong = f"The LoRA cannot be copied to {output}, because {folder} may not be written."
        return [_output_problem(wrong, output, "warning")]
    return []


def _output_problem(title: str, output: Path, severity: Severity) -> Problem:
    return Problem(
        code="output_unwritable",
        title=title,
        severity=severity,
        hint="It is kept in the run's folder all the same." if severity == "warning" else "",
        setting="model.output",
        file=str(output),
    )


def disk_need(job: Job, base: BaseModelFile, plan: Plan) -> DiskNeed:
    """What a run of `job` writes, from the base model's layer shapes; 0 where it cannot tell."""
    weights = lora_weights(job, base)
    checkpoints = _how_often(job.checkpoints.every, job.checkpoints.every_unit, plan)
    lora = weights * _BYTES[job.checkpoints.dtype]
    copies = 1 + _MOMENTS[job.training.optimizer] + job.training.ema.enabled
    states = int(weights * 4 * copies * min(job.checkpoints.keep_states, max(checkpoints, 1)))
    sampled = 0
    if job.sampling.every_unit != "never":
        sampled = _how_often(job.sampling.every, job.sampling.every_unit, plan)
        sampled += job.sampling.at_start
    side = job.training.resolution
    pixels = sum(
        (spec.width or side) * (spec.height or side)
        for spec in job.sampling.prompts
        if spec.enabled and spec.prompt.strip()
    )
    samples = int(pixels * _SAMPLE_BYTES_PER_PIXEL * sampled)
    return DiskNeed(lora, checkpoints, states, samples, latent_cache_bytes(plan))


def _how_often(every: int, unit: str, plan: Plan) -> int:
    """How many times something happens in a run that always ends with it; 0 for minutes."""
    if unit == "minute":
        return 0
    if unit == "never" or not plan.total_steps:
        return 1
    steps = every if unit == "step" else every * max(plan.steps_per_epoch, 1)
    return math.ceil(plan.total_steps / steps)


def lora_weights(job: Job, base: BaseModelFile) -> int:
    """How many numbers the LoRA of `job` has, by the shapes in the base model's headers."""
    count = 0
    try:
        for name, shape in _shapes(base):
            if _is_adapted(name, shape, job):
                # A convolution's kernel belongs to the first of the two factors.
                count += job.lora.rank * (math.prod(shape[1:]) + shape[0])
    except (UserError, OSError):
        return 0
    return count


def _shapes(base: BaseModelFile) -> list[tuple[str, tuple[int, ...]]]:
    """(component and module, weight shape) of UNet and text encoder."""
    found: list[tuple[str, tuple[int, ...]]] = []
    if base.layout == "diffusers":
        sources = [("unet", base.path / "unet", ""), ("text", base.path / "text_encoder", "")]
        parts = [(c, f, p) for c, folder, p in sources for f in weight_files(folder)]
    else:
        parts = [
            ("unet", base.path, "model.diffusion_model."),
            ("text", base.path, "cond_stage_model."),
        ]
    for component, file, prefix in parts:
        for name, shape in read_header(file).shapes.items():
            if name.startswith(prefix) and name.endswith(".weight"):
                found.append((f"{component}.{name.removesuffix('.weight')}", shape))
    return found


def _is_adapted(name: str, shape: tuple[int, ...], job: Job) -> bool:
    if len(shape) < 2:
        return False
    if name.startswith("text."):
        return job.lora.text_encoder and name.endswith(_TEXT)
    if job.lora.targets == "all":
        return True
    endings = _ATTENTION if job.lora.targets == "attention" else _ATTENTION + _FEED_FORWARD
    return name.endswith(endings)


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


def human_size(count: float) -> str:
    """A number of bytes for people: `18 MB`."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return (
                f"{count:.0f} {unit}" if count >= 10 or unit == "bytes" else f"{count:.1f} {unit}"
            )
        count /= 1000
    return f"{count:.1f} GB"
