"""What pre-flight says beyond what planning itself finds: warnings, each with its place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from core.config.job import Job
from core.config.rules import further_resolutions
from core.config.unused import unused_problems
from core.data.plan import NAMED_AT_MOST
from core.data.plan_notes import more_files
from core.data.statistics import Statistics
from core.data.types import Item, Plan
from core.errors import Problem
from core.families.base import CLIP_TOKENS, BaseModelFile, TokenRule
from core.families.detect import contradictions
from core.families.registry import family
from core.hardware import cpu_calculates_in, gpu_driver_here
from core.runs.estimates import LastDevice
from core.runs.memory import MemoryNeed
from core.runs.output import output_problems
from core.runs.units import human_size

_FAR = 1.6


def fitting_problems(job: Job, base: BaseModelFile | None, plan: Plan | None) -> list[Problem]:
    """Settings that do not fit the base model, the number of steps or this computer.

    Cheap enough to be asked after each edit.
    """
    problems = [*_precision_problems(job), *output_problems(job, base), *unused_problems(job)]
    if plan is not None:
        problems += _warmup_problems(job, plan)
    if base is not None:
        problems += _resolution_problems(job, base)
        problems += contradictions(job.model, base)
        problems += text_settings_problems(job, base)
    return problems


def text_settings_problems(job: Job, base: BaseModelFile) -> list[Problem]:
    """Errors where the settings ask of a model's text encoder what its family does not offer."""
    info = family(base.family).info
    texts = info.of("text")
    found = []
    if job.lora.text_encoder and not any(part.lora_prefix for part in texts):
        found.append(
            Problem(
                code="text_encoder_not_trained",
                title=f"The text encoder of {info.title} cannot be trained; switch it off.",
                setting="lora.text_encoder",
            )
        )
    if job.model.clip_skip and not any(part.skips for part in texts):
        found.append(
            Problem(
                code="clip_skip_unsuitable",
                title=f"{info.title} always reads the same layer of its text encoder; set "
                "model.clip_skip to 0.",
                setting="model.clip_skip",
            )
        )
    return found


def _precision_problems(job: Job) -> Iterator[Problem]:
    if gpu_driver_here():
        return
    if job.training.precision == "float16":
        yield Problem(
            code="precision_unavailable",
            title="float16 training needs a GPU, and none was found; choose float32.",
            setting="training.precision",
        )
        return
    for setting, wanted in (
        ("training.precision", job.training.precision),
        ("model.dtype", job.model.dtype),
    ):
        if wanted == "auto" or (able := cpu_calculates_in(wanted)):
            continue
        lacks = "has no instructions" if able is False else "may have no instructions"
        yield Problem(
            code="precision_slow",
            severity="warning",
            title=f"This processor {lacks} for {wanted}, which then takes up to twenty times as "
            "long as float32; choose float32 or automatic.",
            setting=setting,
        )


def _warmup_problems(job: Job, plan: Plan) -> list[Problem]:
    warmup, total = job.training.warmup_steps, plan.total_steps
    if not total or warmup < total:
        return []
    return [
        Problem(
            code="warmup_too_long",
            severity="warning",
            title=(
                f"The warm-up of {warmup} steps is as long as the whole run of {total}, so the "
                f"learning rate is never reached; {max(1, total // 10)} steps would do."
            ),
            setting="training.warmup_steps",
        )
    ]


def _resolution_problems(job: Job, base: BaseModelFile) -> list[Problem]:
    usual = base.default_resolution
    asked = [("training.resolution", job.training.resolution)]
    asked += [
        ("training.more_resolutions", side)
        for side in further_resolutions(job.training.more_resolutions)
    ]
    asked += [
        (f"concepts.{index}.resolution", concept.resolution)
        for index, concept in enumerate(job.concepts)
        if concept.enabled and concept.resolution
    ]
    found: dict[str, Problem] = {}
    for setting, side in asked:
        if usual / _FAR <= side <= usual * _FAR or setting in found:
            continue
        effect = "repeats parts of a picture" if side > usual else "loses detail"
        found[setting] = Problem(
            code="resolution_far",
            severity="warning",
            title=(
                f"A resolution of {side} is far from the {usual} that this base model was made "
                f"for and {effect}; choose about {usual}."
            ),
            setting=setting,
        )
    return list(found.values())


def memory_problems(job: Job, need: MemoryNeed, device: LastDevice) -> list[Problem]:
    """A warning when the estimate is more than what the device of the newest run has."""
    if not device.memory or device.is_cpu == need.on_gpu or need.total <= device.memory:
        return []
    where = "processor" if device.is_cpu else device.name
    hint = "Switch gradient checkpointing on." if not job.training.gradient_checkpointing else ""
    return [
        Problem(
            code="memory_low",
            severity="warning",
            title=(
                f"Training needs about {human_size(need.total)} of memory, but the {where} has "
                f"{human_size(device.memory)}; lower the batch size or the resolution."
            ),
            hint=hint,
            setting="training.batch_size",
        )
    ]


def located(problems: Sequence[Problem], items: Iterable[Item]) -> list[Problem]:
    """The plan's problems; those of a whole concept lead to its first picture that they are of."""
    tests: dict[str, Callable[[Item], bool]] = {
        "captions_missing": lambda item: item.caption_missing,
        "pictures_upscaled": lambda item: item.placement.upscaled,
    }
    wanted = {p.code for p in problems if p.code in tests and not p.file}
    first: dict[tuple[str, int], str] = {}
    for item in items if wanted else ():
        for code in wanted:
            if (code, item.concept) not in first and tests[code](item):
                first[code, item.concept] = str(item.path)
    located = []
    for problem in problems:
        parts = problem.setting.split(".")
        index = int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else -1
        file = first.get((problem.code, index), "") if not problem.file else problem.file
        located.append(replace(problem, file=file) if file != problem.file else problem)
    return located


def caption_problems(
    index: int, name: str, found: Statistics, rule: TokenRule = CLIP_TOKENS
) -> list[Problem]:
    """A warning when captions of a concept are longer than the text encoder reads at once."""
    if not found.captions_long:
        return []
    worst, number = found.long_captions[0], found.captions_long
    chunks = -(-worst.tokens // rule.room)
    if number == 1:
        title = (
            f"The caption of {worst.picture.name} in concept {name} is longer than {rule.room} "
            f"tokens ({worst.tokens}); "
        )
        title += (
            f"nothing is cut off, it is trained in {chunks} parts."
            if rule.whole
            else "the model does not see the rest."
        )
    else:
        title = (
            f"{number} captions of concept {name} are longer than {rule.room} tokens, the longest "
            f"{worst.tokens} ({worst.picture.name}); "
        )
        title += (
            f"nothing is cut off, they are trained in up to {chunks} parts."
            if rule.whole
            else "the model does not see what is beyond."
        )
    return [
        Problem(
            code="captions_long",
            severity="warning",
            title=title,
            setting=f"concepts.{index}.prompt.source",
            file=str(worst.picture),
        )
    ]


def mask_problems(masks: Mapping[int, Problem]) -> list[Problem]:
    """Warnings about pictures whose masks cannot be used. masks: id of the item -> why."""
    # A picture that is trained at several resolutions is told once.
    bad = list(dict.fromkeys(masks.values()))
    problems = bad[:NAMED_AT_MOST]
    if len(bad) > NAMED_AT_MOST:
        title = "{} more masks cannot be used; their pictures are left out."
        count = len(bad) - NAMED_AT_MOST
        problems.append(more_files("mask_unreadable", count, title, "concepts"))
    return problems
