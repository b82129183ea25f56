"""Looking at masks before training: which pictures it would leave out for them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from core.config.concepts import Concept
from core.data.augment import covered, draw, unchanged, version_seed, versions
from core.data.images import PictureError, load_mask, load_with_alpha, may_be_transparent
from core.data.plan_notes import black_mask, unreadable_mask
from core.data.scan import StopCheck, ask_stop
from core.data.types import Item
from core.errors import Problem


def unusable_masks(
    items: Iterable[Item], concepts: Sequence[Concept], check_stop: StopCheck | None = None
) -> dict[int, Problem]:
    """The items whose mask cannot be decoded, or leaves nothing to learn: id -> why.

    Decodes every mask, be it a file or the picture's transparency, and looks at all versions that
    will be prepared. Where each step makes a new one a mask must be black all over, as some step
    may show what is white in it. Raises Stopped when `check_stop` says so.
    """
    found: dict[int, Problem] = {}
    last: tuple[Path, Image.Image | PictureError | None] | None = None
    for item in items:
        concept = concepts[item.concept]
        # What lies outside a transparency that counts a little is never nothing.
        by_alpha = concept.mask.source == "alpha" and concept.mask.outside == 0
        source = item.path if by_alpha else item.mask
        if source is None:
            continue
        ask_stop(check_stop)
        if last is None or last[0] != source:
            last = (source, _alpha(source) if by_alpha else _load(source))
        mask = last[1]
        if isinstance(mask, PictureError):
            found[item.id] = unreadable_mask(source, item.path, str(mask), item.concept)
        elif mask is not None and concept.mask.outside == 0 and _is_black(mask, item, concepts):
            found[item.id] = black_mask(item)
    return found


def _load(path: Path) -> Image.Image | PictureError:
    try:
        return load_mask(path)
    except PictureError as error:
        return error


def _alpha(path: Path) -> Image.Image | None:
    """How opaque a picture is; None where it is so all over, or where it cannot be read."""
    with contextlib.suppress(PictureError):  # whoever decodes the picture itself tells
        if may_be_transparent(path):
            return load_with_alpha(path)[1]
    return None


def _is_black(mask: Image.Image, item: Item, concepts: Sequence[Concept]) -> bool:
    concept = concepts[item.concept]
    if concept.kind == "validation":
        shown = [covered(mask, item.placement, unchanged(item.placement))]
    elif count := versions(concept.image):
        seeds = (version_seed(item.path, number) for number in range(count))
        variations = (draw(item.placement, concept.image, *seed) for seed in seeds)
        shown = [covered(mask, item.placement, variation) for variation in variations]
    else:
        shown = [mask]
    return not any(part.getbbox() for part in shown)
