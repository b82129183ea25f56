"""Which sample prompts a run draws."""

from __future__ import annotations

from core.config.job import Job
from core.config.trigger_words import fill, triggers_of
from core.sampling.genspec import GenSpec


def prompts_to_draw(job: Job) -> list[tuple[int, GenSpec]]:
    """The switched-on sample prompts with their number in the list, `{trigger}` filled in."""
    triggers = triggers_of(concept.model_dump() for concept in job.concepts)
    chosen = []
    for index, spec in enumerate(job.sampling.prompts):
        update = {
            name: fill(str(getattr(spec, name)), triggers).text for name in ("prompt", "negative")
        }
        if spec.enabled and update["prompt"].strip():
            chosen.append((index, spec.model_copy(update=update)))
    return chosen
