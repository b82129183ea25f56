"""One picture's full recipe. Torch-free: the window edits it, PNG metadata carries it."""

from __future__ import annotations

from typing import Literal

from core.config.fields import Settings, setting
from core.words import tr

Sampler = Literal["dpmpp_2m", "euler", "euler_ancestral", "heun", "ddim"]
SigmaSchedule = Literal["normal", "karras", "simple", "sgm_uniform", "exponential"]

SAMPLER_LABELS = {
    "dpmpp_2m": "DPM++ 2M",
    "euler": "Euler",
    "euler_ancestral": "Euler a",
    "heun": "Heun",
    "ddim": "DDIM",
}
SCHEDULE_LABELS = {
    "normal": tr("Normal"),
    "karras": "Karras",
    "simple": tr("Simple"),
    "sgm_uniform": tr("SGM uniform"),
    "exponential": tr("Exponential"),
}


class GenSpec(Settings):
    """What to draw and how; with the model and LoRA it determines the picture."""

    enabled: bool = setting(
        True, title=tr("Use"), help=tr("Switch off to skip this prompt."), level="basic"
    )
    prompt: str = setting(
        "",
        title=tr("Prompt"),
        help=tr(
            "What to draw. {trigger} stands for the trigger words of the learned concepts, "
            "{trigger:robot} for that of the concept called robot."
        ),
        level="basic",
        kind="prompt",
    )
    negative: str = setting(
        "",
        title=tr("Negative prompt"),
        help=tr("What to keep away from."),
        level="basic",
        kind="prompt",
    )
    width: int | None = setting(
        None,
        title=tr("Width"),
        help=tr("Width of the picture."),
        unit="px",
        ge=32,
        le=8192,
        multiple_of=8,
        empty=tr("training resolution"),
    )
    height: int | None = setting(
        None,
        title=tr("Height"),
        help=tr("Height of the picture."),
        unit="px",
        ge=32,
        le=8192,
        multiple_of=8,
        empty=tr("training resolution"),
    )
    seed: int = setting(
        1,
        title=tr("Seed"),
        help=tr("The same seed gives the same starting noise, so pictures can be compared."),
        level="basic",
        ge=0,
        le=2**53,
    )
    steps: int = setting(
        25,
        title=tr("Steps"),
        help=tr("Sampling steps; 20 to 30 are enough to judge by."),
        ge=1,
        le=1000,
    )
    cfg: float = setting(
        7.0,
        title=tr("CFG scale"),
        help=tr("How strictly the prompt is followed; 1 switches guidance off."),
        ge=1,
        le=100,
    )
    sampler: Sampler = setting(
        "dpmpp_2m",
        title=tr("Sampler"),
        help=tr("The method that turns noise into a picture."),
        labels=SAMPLER_LABELS,
    )
    schedule: SigmaSchedule = setting(
        "karras",
        title=tr("Noise schedule"),
        help=tr("How the noise levels are spaced."),
        labels=SCHEDULE_LABELS,
    )
