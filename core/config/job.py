"""The whole job: every tab's settings joined, validated all at once, edited by path."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from core.config.concepts import Concept
from core.config.fields import SettingInfo, Settings, setting, walk
from core.config.lora import Lora
from core.config.model import Model
from core.config.numbers import Ambiguous, NotANumber, is_marked, parse_number
from core.config.rules import concept_problems, path_problems, trigger_problems
from core.config.sampling import Sampling
from core.config.training import Checkpoints, Training
from core.errors import Problem, UserError, shortened
from core.optimizers import OPTIMIZERS
from core.reading import Unreadable, parse_json
from core.words import tr

FORMAT_VERSION = 1
MOST_ITEMS = 1000  # concepts or sample prompts: more make the window and the disk unusable


class Job(Settings):
    """Everything that a training run needs to know."""

    limner: int = Field(FORMAT_VERSION, ge=1, le=FORMAT_VERSION)
    name: str = setting(
        "",
        title=tr("Name of the run"),
        help=tr("Becomes part of the run folder's name."),
        level="basic",
        empty=tr("the first concept's name"),
        max_length=100,
    )
    model: Model = Field(default_factory=Model)
    concepts: list[Concept] = Field(default_factory=list, max_length=MOST_ITEMS)
    lora: Lora = Field(default_factory=Lora)
    training: Training = Field(default_factory=Training)
    sampling: Sampling = Field(default_factory=Sampling)
    checkpoints: Checkpoints = Field(default_factory=Checkpoints)


SETTINGS: tuple[SettingInfo, ...] = tuple(walk(Job))
BY_PATH: Mapping[str, SettingInfo] = {info.path: info for info in SETTINGS}


def info_of(path: str) -> SettingInfo | None:
    """The declaration behind a concrete path such as `concepts.0.prompt.source`."""
    parts = ["[]" if part.isdigit() else part for part in path.split(".")]
    return BY_PATH.get(".".join(parts).replace(".[]", "[]"))


def defaults() -> dict[str, Any]:
    """The job with every setting at its default, as plain data."""
    return Job().model_dump()


def validate(data: Mapping[str, Any]) -> tuple[Job | None, list[Problem]]:
    """Check plain data; returns the job, or None with every problem found.

    Rules between fields are checked when each field by itself is right. Problems of
    severity `warning` may come together with a job.
    """
    try:
        job = Job.model_validate(dict(data))
    except ValidationError as error:
        return None, [_problem_of(item) for item in error.errors()]
    problems = list(_cross_field_problems(job))
    blocked = any(p.severity == "error" for p in problems)
    return (None if blocked else job), problems


def require(data: Mapping[str, Any]) -> Job:
    """The validated job. Raises UserError with all problems when there are errors."""
    job, problems = validate(data)
    if job is None:
        raise UserError(*[p for p in problems if p.severity == "error"])
    return job


def get_path(data: Any, path: str) -> Any:
    """The value at a dotted path in plain data or a model; raises KeyError when it is not there."""
    for part in path.split("."):
        try:
            if isinstance(data, BaseModel):
                data = getattr(data, part)
            elif isinstance(data, list):
                data = data[int(part)]
            else:
                data = data[part]
        except (AttributeError, IndexError, ValueError, TypeError, KeyError) as error:
            raise KeyError(path) from error
    return data


def set_path(data: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of plain `data` with `value` at `path`; raises KeyError for an unknown path.

    One past the end of a list appends a default item first, so `concepts.0.path` and
    `concepts.0` work on an empty list.
    """
    result: dict[str, Any] = copy.deepcopy(dict(data))
    parts = path.split(".")
    node: Any = result
    for depth, part in enumerate(parts[:-1]):
        if isinstance(node, list):
            if part.isdigit() and int(part) == len(node):
                node.append(_new_item(".".join(parts[:depth])))
            if not part.isdigit() or int(part) > len(node) - 1:
                raise KeyError(path)
            node = node[int(part)]
        elif isinstance(node, dict) and part in node:
            node = node[part]
        else:
            raise KeyError(path)
    last = parts[-1]
    if isinstance(node, list) and last.isdigit() and int(last) == len(node):
        node.append(_new_item(".".join(parts[:-1])))
    if isinstance(node, list) and last.isdigit() and int(last) < len(node):
        node[int(last)] = value
    elif isinstance(node, dict) and last in node:
        node[last] = value
    else:
        raise KeyError(path)
    return result


def _new_item(list_path: str) -> dict[str, Any]:
    if list_path == "concepts":
        return Concept().model_dump()
    if list_path == "sampling.prompts":
        from core.sampling.genspec import GenSpec

        return GenSpec().model_dump()
    raise KeyError(list_path)


def parse_text(info: SettingInfo | None, text: str) -> Any:
    """Turn `--set path=TEXT` into a value; a decimal comma is understood, JSON for the rest.

    Returns the text unchanged where it does not parse: validation then names the field.
    """
    if info is None:
        try:
            return parse_json(text)
        except Unreadable:
            return text
    if info.optional and text.strip().lower() in ("", "none", "null"):
        return None
    if info.type == "bool":
        words = {"true": True, "yes": True, "on": True, "1": True}
        words |= {"false": False, "no": False, "off": False, "0": False}
        return words.get(text.strip().lower(), text)
    if info.type in ("int", "float"):
        try:
            return parse_number(text, whole=info.type == "int")
        except NotANumber:
            return text
    return text


def applies(info: SettingInfo, data: Mapping[str, Any], item: Any = None) -> bool:
    """Whether a setting has any effect with these values.

    `data` is the whole job as plain data; `item` the list item (a concept's or prompt's data)
    that the setting belongs to, if it belongs to one.
    """
    for path, allowed in info.when.items():
        try:
            value = get_path(item if item is not None else data, path)
        except KeyError:
            return False
        if value not in allowed:
            return False
    return True


def _problem_of(error: Any) -> Problem:
    path = ".".join(str(part) for part in error["loc"])
    info = info_of(path)
    title = info.title if info else path
    got = error.get("input")
    if error["type"] == "extra_forbidden":
        return Problem(
            code="setting_unknown",
            title=f"There is no setting named {path}; check its spelling.",
            setting=path,
        )
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, Ambiguous):
        return Problem(code="setting_invalid", title=f"{title} ({path}) {cause}.", setting=path)
    wants = _expectation(info) if info else error["msg"]
    if isinstance(got, str) and info is not None and info.type == "int" and is_marked(got):
        wants = f"{wants}, written without a decimal mark"
    return Problem(
        code="setting_invalid",
        title=f"{title} ({path}) must be {wants}, not {shortened(got)}.",
        setting=path,
    )


def _expectation(info: SettingInfo) -> str:
    if info.type == "choice":
        return "one of " + ", ".join(str(c) for c in info.choices)
    words = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}
    limits = info.range_text()
    text = words.get(info.type, "a list")
    text = f"{text}, {limits}" if limits else text
    return f"{text}, or empty" if info.optional else text


def _learning_rate_problems(training: Training) -> Iterator[Problem]:
    kind = OPTIMIZERS[training.optimizer]
    if kind.finds_rate and training.learning_rate != 1.0:
        yield Problem(
            code="prodigy_learning_rate",
            severity="warning" if 0.1 <= training.learning_rate <= 10 else "error",
            title=(
                f"{kind.title} finds the learning rate by itself and needs 1 here, not "
                f"{training.learning_rate:g}."
            ),
            hint="Set the learning rate to 1.",
            setting="training.learning_rate",
        )
    if not kind.finds_rate and training.learning_rate >= 0.1:
        yield Problem(
            code="learning_rate_high",
            title=(
                f"A learning rate of {training.learning_rate:g} destroys a LoRA with this "
                f"optimizer; {kind.usual_rate:g} is usual."
            ),
            setting="training.learning_rate",
        )


def _cross_field_problems(job: Job) -> Iterator[Problem]:
    training = job.training
    yield from _learning_rate_problems(training)
    if training.timesteps.min >= training.timesteps.max:
        yield Problem(
            code="timesteps_empty",
            title="Least noise must be smaller than most noise; no timestep is left to train.",
            setting="training.timesteps.min",
        )
    if job.model.zero_terminal_snr == "on" and job.model.prediction_type == "epsilon":
        yield Problem(
            code="ztsnr_needs_v_prediction",
            title=(
                "Zero terminal SNR cannot work with epsilon prediction; choose v-prediction or "
                "switch it off."
            ),
            setting="model.zero_terminal_snr",
        )
    if job.model.output and not job.model.output.lower().endswith(".safetensors"):
        yield Problem(
            code="output_not_safetensors",
            title=f"The LoRA file must end in .safetensors, not {job.model.output!r}.",
            setting="model.output",
        )
    if (
        job.sampling.every_unit != "never"
        and job.sampling.prompts
        and not any(spec.enabled and spec.prompt.strip() for spec in job.sampling.prompts)
    ):
        yield Problem(
            code="sample_prompts_empty",
            severity="warning",
            title="All sample prompts are empty or switched off, so no samples will be drawn.",
            setting="sampling.prompts",
        )
    if not job.model.base.strip():
        yield Problem(
            code="base_missing",
            title="No base model is chosen; pick a .safetensors file or a diffusers folder.",
            setting="model.base",
        )
    yield from concept_problems(job)
    yield from trigger_problems(job)
    yield from path_problems(job, SETTINGS)
