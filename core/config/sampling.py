"""Settings of the Sampling tab: the pictures drawn while training."""

from __future__ import annotations

from pydantic import Field

from core.config.fields import Settings, setting
from core.config.training import UNIT_LABELS, Unit
from core.sampling.genspec import GenSpec
from core.words import tr

SAMPLES = tr("Samples")


class Sampling(Settings):
    """When to draw samples, and which."""

    every: int = setting(
        5,
        title=tr("Draw every"),
        help=tr("How often the sample prompts are drawn while training."),
        level="basic",
        group=SAMPLES,
        ge=1,
        le=1_000_000,
        when={"sampling.every_unit": ("step", "epoch", "minute")},
    )
    every_unit: Unit = setting(
        "epoch",
        title=tr("Draw in"),
        help=tr("What the number before counts."),
        level="basic",
        group=SAMPLES,
        labels=UNIT_LABELS,
    )
    at_start: bool = setting(
        True,
        title=tr("Draw before the first step"),
        help=tr("The base model's own pictures, to compare with."),
        group=SAMPLES,
    )
    prompts: list[GenSpec] = Field(default_factory=list)
