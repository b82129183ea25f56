"""Settings of the LoRA tab: the shape of what is trained."""

from __future__ import annotations

from typing import Literal

from core.config.fields import Settings, setting
from core.words import tr

Targets = Literal["attention", "attention_ff", "all"]


class Lora(Settings):
    """The adapter that is trained."""

    type: Literal["lora"] = setting(
        "lora",
        title=tr("Type"),
        help=tr("Kind of adapter."),
        labels={"lora": "LoRA"},
        ready=False,
    )
    rank: int = setting(
        16,
        title=tr("Rank"),
        help=tr(
            "How much the LoRA can hold. 8 to 32 suits one character or style; more makes larger "
            "files and overfits sooner."
        ),
        level="basic",
        ge=1,
        le=1024,
        also="network dim, lora dim, dimension, size",
    )
    alpha: float = setting(
        16.0,
        title=tr("Alpha"),
        help=tr(
            "Strength of the LoRA is alpha divided by rank. Equal to rank gives strength 1; "
            "smaller values need a higher learning rate."
        ),
        level="basic",
        gt=0,
        le=4096,
        also="network alpha",
    )
    dropout: float = setting(
        0.0,
        title=tr("Dropout"),
        help=tr("Share of the LoRA's inputs switched off at random at each step."),
        ge=0,
        lt=1,
        also="network dropout",
    )
    targets: Targets = setting(
        "attention_ff",
        title=tr("Layers"),
        help=tr(
            "Which layers of the image model learn. Attention is smallest; with feed-forward it "
            "learns subjects better; all layers adds the convolutions, for small models and "
            "strong styles. The four layers outside of the blocks are left out: some programs "
            "ignore them."
        ),
        level="basic",
        labels={
            "attention": tr("Attention"),
            "attention_ff": tr("Attention and feed-forward"),
            "all": tr("All layers, convolutions too"),
        },
        also="network args, layer filter, conv, target modules",
    )
    text_encoder: bool = setting(
        False,
        title=tr("Train the text encoder"),
        help=tr(
            "Also teach the part that reads prompts. Learns a new word faster, but blurs other "
            "words sooner."
        ),
        level="basic",
    )
    dtype: Literal["float32"] = setting(
        "float32",
        title=tr("LoRA weights in memory"),
        help=tr("LoRA weights always train in float32."),
        labels={"float32": "float32"},
        ready=False,
    )
