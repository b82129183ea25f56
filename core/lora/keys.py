"""Names of LoRA layers in files: the kohya-flat spelling with diffusers block names.

`unet` module `down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q` becomes
`lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q`. Of all spellings this
is the one that ComfyUI, Forge, SD.Next, diffusers and kohya's own scripts all read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from core.families.base import FamilyInfo, Part


def flat_key(part: Part, module: str) -> str:
    """The file key of a module, without `.lora_down.weight` and the like.

    Text-encoder names always carry `text_model.`, which transformers 5 dropped from
    CLIPTextModel's own names but every loader expects.
    """
    if part.role == "text" and not module.startswith("text_model."):
        module = f"text_model.{module}"
    return f"{part.lora_prefix}_{module.replace('.', '_')}"


def key_table(
    modules: Mapping[str, Iterable[str]], info: FamilyInfo
) -> dict[str, tuple[Part, str]]:
    """File key -> (part, module) for every adapted module.

    modules: part -> names of its modules.

    The flat spelling cannot be undone by itself (both `.` and `_` became `_`), so reading goes
    through this table. Raises ValueError if two modules would share a key.
    """
    table: dict[str, tuple[Part, str]] = {}
    for part, names in ((info.part(own), names) for own, names in modules.items()):
        for name in names:
            key = flat_key(part, name)
            if key in table:
                raise ValueError(f"{key} would name both {table[key][1]} and {name}")
            table[key] = (part, name)
    return table
