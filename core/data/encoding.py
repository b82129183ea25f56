"""From a picture's file to what a training step takes of it: latents and mask."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from core.config.concepts import Concept
from core.data.augment import Variation, change, draw, frame_of, unchanged, version_seed, versions
from core.data.cache import FileDigests, latent_key
from core.data.images import (
    PictureError,
    color_of,
    load_mask,
    load_with_alpha,
    picture_size,
)
from core.data.preparing import on_cpu
from core.data.types import Item
from core.errors import Problem, UserError, fail
from core.families.base import Frame, LoadedModel
from core.hardware import free_memory, is_out_of_memory
from core.paths import user_path

# What is encoded at once: four pictures of 512 px, fewer of larger ones.
_PIXELS_AT_ONCE = 4 * 512 * 512
_DTYPE = "float32"
_ALPHA = "alpha"


@dataclass(frozen=True)
class Prepared:
    """One version of a picture, on the CPU.

    latents: (C, h, w) float32. mask: (h, w) float32, how much of each latent's area is to be
    learned, 0..1; None where all is. frame: what part of which picture it shows.
    """

    latents: torch.Tensor
    frame: Frame
    mask: torch.Tensor | None = None

    def bytes(self) -> int:
        """How much memory it takes."""
        parts = [self.latents] if self.mask is None else [self.latents, self.mask]
        return sum(part.numel() * part.element_size() for part in parts)


@dataclass(frozen=True)
class Pixels:
    """One version of a picture before encoding: (3, H, W) uint8, frame and mask as in Prepared."""

    picture: torch.Tensor
    frame: Frame
    mask: torch.Tensor | None = None


class Encoder:
    """Turns items into latents and masks, by the settings of their concepts.

    concepts: the job's, by Item.concept; the defaults stand in where there is none.
    """

    def __init__(self, model: LoadedModel, concepts: Sequence[Concept] = ()) -> None:
        self.model = model
        self._concepts = dict(enumerate(concepts))
        self._default = Concept()

    def concept(self, item: Item) -> Concept:
        """The settings of an item's concept."""
        return self._concepts.get(item.concept, self._default)

    def versions(self, item: Item) -> int:
        """How many versions of a picture are prepared; 0 when each step makes a new one."""
        concept = self.concept(item)
        # What is only measured must look the same in every measurement.
        return 1 if concept.kind == "validation" else versions(concept.image)

    def variation(self, item: Item, version: int) -> Variation:
        """What is done to a prepared version of an item."""
        concept = self.concept(item)
        if concept.kind == "validation":
            return unchanged(item.placement)
        return draw(item.placement, concept.image, *version_seed(item.path, version))

    def variation_at(self, item: Item, *seed: int) -> Variation:
        """What is done to an item at one step."""
        return draw(item.placement, self.concept(item).image, *seed)

    def is_masked(self, item: Item) -> bool:
        """Whether the item may have a mask that leaves something out."""
        return self.concept(item).mask.source == "alpha" or self._mask_file(item) is not None

    def _mask_file(self, item: Item) -> Path | None:
        return item.mask if self.concept(item).mask.source == "file" else None

    def gone(self, item: Item, reason: str) -> Problem | None:
        """The problem that ends a run: not one picture but its concept's whole folder is away."""
        path = self.concept(item).path
        if not path.strip() or user_path(path).is_dir():
            return None
        return Problem(
            code="pictures_gone",
            title=f"The folder {user_path(path)} is not there any more; put it back and go on.",
            detail=reason,
            setting=f"concepts.{item.concept}.path",
            file=str(user_path(path)),
        )

    def key_of(self, item: Item, variation: Variation, digests: FileDigests) -> str:
        """The cache key of a version. Raises PictureError."""
        concept = self.concept(item)
        mask = _ALPHA if concept.mask.source == "alpha" else ""
        if (file := self._mask_file(item)) is not None:
            with _named(file):
                mask = _digest(file, digests)
        return latent_key(
            _digest(item.path, digests),
            item.placement,
            color_of(concept.background),
            self.model.identity["vae"],
            _DTYPE,
            variation=variation,
            mask=mask,
        )

    def fits(
        self, item: Item, variation: Variation, tensors: dict[str, torch.Tensor]
    ) -> Prepared | None:
        """A cache entry's tensors as what they should be, or None when they have other shapes."""
        bucket, scale = item.placement.bucket, self.model.latent_scale
        size = (bucket.height // scale, bucket.width // scale)
        latents, mask = tensors.get("tensor"), tensors.get("mask")
        if latents is None or tuple(latents.shape) != (self.model.latent_channels, *size):
            return None
        if mask is not None and tuple(mask.shape) != size:
            return None
        return Prepared(latents, frame_of(item.size, item.placement, variation), mask)

    def check(self, item: Item) -> None:
        """See from its header whether a picture is still there as it was. Raises PictureError."""
        if picture_size(item.path) != item.size:
            raise PictureError("The file was changed after it was looked at.")
        if (file := self._mask_file(item)) is not None:
            with _named(file):
                picture_size(file)

    def read(self, item: Item, variations: Sequence[Variation]) -> list[Pixels]:
        """Versions of a picture, decoded once for all of them. Raises PictureError."""
        self.check(item)
        found: dict[int, Pixels] = {}
        mask = None
        if (file := self._mask_file(item)) is not None:
            with _named(file):
                mask = load_mask(file)
        for detail in sorted({v.detail() for v in variations}, reverse=True):
            width, height = (side * detail for side in item.placement.resized)
            # Twice the size leaves the last, exact scaling to Lanczos.
            image, alpha = load_with_alpha(
                item.path,
                color_of(self.concept(item).background),
                at_least=(2 * width, 2 * height),
            )
            if self.concept(item).mask.source == "alpha":
                mask = alpha
            for number, variation in enumerate(variations):
                if variation.detail() == detail:
                    pixels, covered = change(image, mask, item.placement, variation)
                    frame = frame_of(item.size, item.placement, variation)
                    found[number] = self._pixels(pixels, covered, frame)
        return [found[number] for number in range(len(variations))]

    def _pixels(self, pixels: np.ndarray, covered: np.ndarray | None, frame: Frame) -> Pixels:
        picture = torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
        if covered is None:
            return Pixels(picture, frame)
        mask = torch.from_numpy(covered).float()[None, None] / 255
        return Pixels(picture, frame, F.avg_pool2d(mask, self.model.latent_scale)[0, 0])

    def encode(self, items: Sequence[Item], pixels: Sequence[Pixels]) -> list[Prepared]:
        """Pictures of one bucket encoded together. Raises UserError naming the picture."""
        try:
            latents = self._latents([one.picture for one in pixels])
        except Exception as error:
            if len(items) == 1 and isinstance(error, UserError):
                raise _not_finite(items[0], error) from error
            if len(items) == 1 or not (isinstance(error, UserError) or is_out_of_memory(error)):
                raise
            latents = None
        if latents is None:
            # Outside of the except block, which would hold on to the memory that did not suffice.
            free_memory()
            pairs = zip(items, pixels, strict=True)
            return [self.encode([item], [one])[0] for item, one in pairs]
        # Each a copy of its own, else one kept picture would hold its whole batch in memory.
        return [
            Prepared(one.clone(), its.frame, its.mask)
            for one, its in zip(latents, pixels, strict=True)
        ]

    def _latents(self, pictures: Sequence[torch.Tensor]) -> torch.Tensor:
        """(B, C, h, w) float32 on the CPU. Raises UserError `vae_not_finite`."""
        batch = torch.stack(list(pictures)).float() / 127.5 - 1.0
        with torch.no_grad():
            latents = self.model.encode_pixels(batch).detach().float().cpu()
        if not torch.isfinite(latents).all():
            raise fail("vae_not_finite", "The VAE gave numbers that are not finite.")
        return latents

    def batch_size(self, item: Item) -> int:
        """How many pictures of an item's bucket are prepared at once by default.

        One on the CPU, where the numbers must not depend on which pictures were cached already.
        """
        return 1 if on_cpu(self.model) else self.at_once(item)

    def at_once(self, item: Item) -> int:
        """How many pictures of an item's bucket are a good load for the VAE."""
        bucket = item.placement.bucket
        return max(1, _PIXELS_AT_ONCE // (bucket.width * bucket.height))


def _digest(path: Path, digests: FileDigests) -> str:
    try:
        return digests.digest(path)
    except FileNotFoundError as error:
        raise PictureError("The file is not there any more.") from error
    except OSError as error:
        raise PictureError(f"The file cannot be read ({error.strerror or error}).") from error


@contextlib.contextmanager
def _named(mask: Path) -> Iterator[None]:
    """Let a PictureError name the mask; without it the wrong things would be learned."""
    try:
        yield
    except PictureError as error:
        raise PictureError(f"Its mask {mask.name} cannot be used: {error}") from error


def _not_finite(item: Item, error: UserError) -> UserError:
    return fail(
        "latents_not_finite",
        f"The latents of {item.path} are not finite; look at the picture, or choose another VAE "
        "under model.vae.",
        detail=error.problem.title,
        file=str(item.path),
        setting="model.vae",
    )
