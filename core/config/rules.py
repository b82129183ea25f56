"""Rules between the settings of the concepts, and of paths everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from core.config.fields import SettingInfo
from core.config.trigger_words import fill, name_of, proposed_word, triggers_of
from core.errors import Problem, shortened
from core.paths import foreign_system, is_too_long

if TYPE_CHECKING:
    from core.config.concepts import Concept
    from core.config.job import Job

PATH_KINDS = ("folder", "file", "save_file", "model")
LEAST_SIDE, MOST_SIDE = 64, 4096


def further_resolutions(text: str) -> list[int]:
    """The numbers of training.more_resolutions, each once, as they stand."""
    return list(dict.fromkeys(int(number) for number in re.findall(r"\d+", text)))


def path_problems(job: Job, settings: tuple[SettingInfo, ...]) -> Iterator[Problem]:
    """Paths that no system takes, which hand-written files may hold."""
    for info in settings:
        if info.kind not in PATH_KINDS:
            continue
        for path, value in _values(job, info.path.split("."), ""):
            if isinstance(value, str) and "\0" in value:
                yield Problem(
                    code="path_has_nul",
                    title=f"{info.title} ({path}) holds a NUL character, which no file name can; "
                    "write the path again.",
                    setting=path,
                )
            elif isinstance(value, str) and is_too_long(value):
                yield Problem(
                    code="path_too_long",
                    title=f"{info.title} ({path}) is {shortened(value)}, longer than any path can "
                    "be; choose it again.",
                    setting=path,
                )
            elif isinstance(value, str) and (system := foreign_system(value)):
                yield Problem(
                    code="path_foreign",
                    title=f"{info.title} ({path}) is {shortened(value)}, a path of {system}, which "
                    "does not exist on this computer; choose it again.",
                    setting=path,
                )


def _values(node: Any, parts: list[str], path: str) -> Iterator[tuple[str, Any]]:
    if not parts:
        yield path, node
        return
    name = parts[0].removesuffix("[]")
    value = getattr(node, name, None)
    start = f"{path}.{name}" if path else name
    if parts[0].endswith("[]") and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _values(item, parts[1:], f"{start}.{index}")
    elif len(parts) == 1 or isinstance(value, BaseModel):
        yield from _values(value, parts[1:], start)


def concept_problems(job: Job) -> Iterator[Problem]:
    """What is wrong with the concepts by their settings alone."""
    used = [(i, concept) for i, concept in enumerate(job.concepts) if concept.enabled]
    if not used:
        yield Problem(
            code="no_concepts",
            title="There are no pictures to learn from; add a concept and switch it on.",
            setting="concepts",
        )
    elif all(concept.kind != "train" for _, concept in used):
        yield Problem(
            code="no_train_concepts",
            title="No concept is there to be learned; set the purpose of one to train.",
            setting=f"concepts.{used[0][0]}.kind",
        )
    elif all(c.loss_weight == 0 for _, c in used if c.kind == "train"):
        yield Problem(
            code="loss_weights_zero",
            title="All concepts to be learned have a loss weight of 0, so nothing is learned; "
            "raise one.",
            setting=f"concepts.{used[0][0]}.loss_weight",
        )
    validates = any(concept.kind == "validation" for _, concept in used)
    if validates and job.training.validation.every_unit == "never":
        yield Problem(
            code="validation_never",
            severity="warning",
            title="There are pictures for validation, but the loss on them is never measured; "
            "choose how often.",
            setting="training.validation.every_unit",
        )
    for index, concept in used:
        yield from _one_concept(concept, index)
    yield from _resolutions(job)
    yield from _bucket_sides(job)


def trigger_problems(job: Job) -> Iterator[Problem]:
    """Sample prompts that ask for a trigger word which no learned concept has."""
    if job.sampling.every_unit == "never":
        return
    concepts = [concept.model_dump() for concept in job.concepts]
    triggers = triggers_of(concepts)
    learned = [n for n, c in enumerate(job.concepts) if c.enabled and c.kind == "train"]
    for number, spec in enumerate(job.sampling.prompts):
        empty = fill(spec.prompt, triggers).empty if spec.enabled else ()
        if not empty or not learned:
            continue
        names = {name_of(concepts[index]).casefold() for index in learned}
        asked = next((e[9:-1].strip() for e in empty if e.startswith("{trigger:")), "")
        if asked and asked.casefold() not in names:
            yield Problem(
                code="trigger_unknown",
                severity="warning",
                title=f"A sample prompt asks for the trigger word of {asked}, but no concept to be "
                "learned has that name; correct the name.",
                setting=f"sampling.prompts.{number}.prompt",
            )
            continue
        index = next((n for n in learned if name_of(concepts[n]) == asked), learned[0])
        word = proposed_word(name_of(concepts[index]))
        yield Problem(
            code="trigger_empty",
            severity="warning",
            title="The sample prompts ask for the trigger word, but none is set, so the previews "
            f"never name what is learned; give the concept one, such as {word}.",
            setting=f"concepts.{index}.prompt.trigger",
        )
        return


def _one_concept(concept: Concept, index: int) -> Iterator[Problem]:
    called = concept.name or f"number {index + 1}"
    start = f"concepts.{index}"
    if not concept.path.strip():
        yield Problem(
            code="concept_no_folder",
            title=f"Concept {called} has no folder; choose the folder with its pictures.",
            setting=f"{start}.path",
        )
    if concept.prompt.source == "single_file" and not concept.prompt.file.strip():
        yield Problem(
            code="concept_no_caption_file",
            title=f"Concept {called} takes its captions from one file; choose that file.",
            setting=f"{start}.prompt.file",
        )
    caption = concept.caption
    listed = caption.tag_dropout > 0 and caption.tag_dropout_for == "listed"
    if listed and not caption.tag_list.strip(" ,\r\n\t"):
        yield Problem(
            code="tag_list_empty",
            severity="warning",
            title=f"Concept {called} drops only listed tags, but the list is empty; fill it in.",
            setting=f"{start}.caption.tag_list",
        )


def _bucket_sides(job: Job) -> Iterator[Problem]:
    """Limits of the buckets' sides that leave no shape but the square."""
    training = job.training
    side, buckets = training.resolution, training.buckets
    if buckets.square:
        return
    least, most = buckets.smallest_side, buckets.largest_side
    for name, limit, words in (
        ("smallest_side", least if least and least >= side else None, "shortest side of {} px"),
        ("largest_side", most if most and most <= side else None, "longest side of {} px"),
    ):
        if limit is not None:
            yield Problem(
                code="bucket_sides",
                severity="warning",
                title=f"A {words.format(limit)} leaves no bucket but the square at a resolution "
                f"of {side}; choose {'less' if name == 'smallest_side' else 'more'}, or leave it "
                "empty.",
                setting=f"training.buckets.{name}",
            )


def _resolutions(job: Job) -> Iterator[Problem]:
    text = job.training.more_resolutions
    bad = [n for n in further_resolutions(text) if not LEAST_SIDE <= n <= MOST_SIDE]
    if bad:
        yield Problem(
            code="resolution_out_of_range",
            title=f"Further resolutions must lie between {LEAST_SIDE} and {MOST_SIDE}, not "
            f"{', '.join(str(number) for number in bad)}.",
            setting="training.more_resolutions",
        )
