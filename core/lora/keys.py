"""Names of LoRA layers in files: the kohya-flat spelling with diffusers block names.

`unet` module `down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q` becomes
`lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q`. Of all spellings this
is the one that ComfyUI, Forge, SD.Next, diffusers and kohya's own scripts all read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

TEXT_PREFIXES = ("lora_te",)


def flat_key(prefix: str, module: str) -> str:
    """The file key of a module, without `.lora_down.weight` and the like.

    prefix: `lora_unet`, `lora_te`, `lora_te1`, ... Text-encoder names always carry `text_model.`,
    which transformers 5 dropped from CLIPTextModel's own names but every loader expects.
    """
    if prefix.startswith(TEXT_PREFIXES) and not module.startswith("text_model."):
        module = f"text_model.{module}"
    return f"{prefix}_{module.replace('.', '_')}"


def key_table(
    modules: Mapping[str, Iterable[str]], prefixes: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """File key -> (component, module) for every adapted module.

    The flat spelling cannot be undone by itself (both `.` and `_` became `_`), so reading goes
    through this table. Raises ValueError if two modules would share a key.
    """
    table: dict[str, tuple[str, str]] = {}
    for component, names in modules.items():
        for name in names:
            key = flat_key(prefixes[component], name)
            if key in table:
                raise ValueError(f"{key} would name both {table[key][1]} and {name}")
            table[key] = (component, name)
    return table
