"""The model families by name. A new one is a module `core.families.<name>` and a line here."""

from __future__ import annotations

from dataclasses import dataclass

from core.words import tr


@dataclass(frozen=True)
class FamilyKind:
    """A family as a choice: what people call it, and what it is."""

    title: str
    help: str


FAMILIES = {
    "sd15": FamilyKind("Stable Diffusion 1.x", tr("Small and fast; 512 px.")),
    "sdxl": FamilyKind(
        "Stable Diffusion XL", tr("Pony, Illustrious and NoobAI too; two text encoders, 1024 px.")
    ),
    "kolors": FamilyKind(
        "Kolors", tr("Reads Chinese and English with a large language model; 1024 px.")
    ),
}
FAMILY_CHOICES = {
    "auto": FamilyKind(tr("Automatic"), tr("Read from the model.")),
    **FAMILIES,
}
