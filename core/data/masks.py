"""Looking at mask files before training: which pictures it would leave out for their masks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from core.config.concepts import Concept
from core.data.augment import makes_changes
from core.data.images import PictureError, cut, load_mask
from core.data.plan_notes import black_mask, unreadable_mask
from core.data.scan import StopCheck, ask_stop
from core.data.types import Item
from core.errors import Problem


def unusable_masks(
    items: Iterable[Item], concepts: Sequence[Concept], check_stop: StopCheck | None = None
) -> dict[int, Problem]:
    """The items whose mask file cannot be decoded, or leaves nothing to learn: id -> why.

    Decodes every mask. Where pictures are changed at random a mask must be black all over, as
    some version may show what is white in it. Raises Stopped when `check_stop` says so.
    """
    found: dict[int, Problem] = {}
    last: tuple[Path, Image.Image | PictureError] | None = None
    for item in items:
        if item.mask is None:
            continue
        ask_stop(check_stop)
        if last is None or last[0] != item.mask:
            last = (item.mask, _load(item.mask))
        mask = last[1]
        if isinstance(mask, PictureError):
            found[item.id] = unreadable_mask(item.mask, item.path, str(mask), item.concept)
        elif concepts[item.concept].mask.outside == 0 and _is_black(mask, item, concepts):
            found[item.id] = black_mask(item)
    return found


def _load(path: Path) -> Image.Image | PictureError:
    try:
        return load_mask(path)
    except PictureError as error:
        return error


def _is_black(mask: Image.Image, item: Item, concepts: Sequence[Concept]) -> bool:
    concept = concepts[item.concept]
    if concept.kind == "validation" or not makes_changes(concept.image):
        placement = item.placement
        size = (placement.bucket.width, placement.bucket.height)
        part = (*placement.crop, *size)
        mask = cut(mask, placement.resized, part, size, Image.Resampling.BILINEAR)
    return mask.getextrema() in ((0, 0), 0)
