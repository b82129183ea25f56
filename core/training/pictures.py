"""What a training step takes of its pictures: latents and the weights of their areas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from core.data.dataset import LatentStore
from core.data.encoding import Prepared
from core.data.images import PictureError
from core.data.live import LivePictures, Showing
from core.data.plan import NAMED_AT_MOST, unreadable_picture
from core.data.plan_notes import black_mask, log_unnamed
from core.data.types import Batch, Draw, Item, Plan
from core.errors import Problem, UserError
from core.families.base import Frame
from core.training.control import Control, Emit
from core.training.objective import area_weights
from core.worker.protocol import Warning


class PicturesGone(UserError):
    """The run cannot go on, because the pictures that each step reads are not there any more."""


@dataclass(frozen=True)
class Loaded:
    """What a batch became: the draws that can be used, with their tensors on the CPU.

    latents: (B, C, h, w). areas: (B, h, w), how much each latent counts; None where all count
    alike. frames: what part of which picture each shows.
    """

    draws: tuple[Draw, ...]
    latents: torch.Tensor
    areas: torch.Tensor | None
    frames: tuple[Frame, ...]

    def only(self, rows: Sequence[int]) -> Loaded:
        """The batch of some of its draws."""
        return Loaded(
            tuple(self.draws[row] for row in rows),
            self.latents[rows],
            None if self.areas is None else self.areas[rows],
            tuple(self.frames[row] for row in rows),
        )


class Pictures:
    """Gives batches their latents, prepared or made anew at the step.

    A picture that cannot be read at its step, or whose mask is black there, is left out of that
    step; the first time it is told.
    """

    def __init__(
        self, plan: Plan, latents: LatentStore, seed: int, emit: Emit, control: Control
    ) -> None:
        self.encoder = latents.encoder
        self._latents = latents
        self._seed, self._emit, self._control = seed, emit, control
        self._live = LivePictures(self.encoder)
        self._live_ids = {item.id for item in plan.items if self.encoder.versions(item) == 0}
        self._all_live = len(self._live_ids) == len(plan.items)
        self._gone: set[int] = set()
        self._told: set[Path] = set()

    @property
    def any_live(self) -> bool:
        """Whether steps encode pictures, so that the VAE must stay at hand."""
        return bool(self._live_ids)

    def may_lose(self, item: Item) -> bool:
        """Whether a step may have to leave the item out."""
        return item.id in self._live_ids or self.encoder.is_masked(item)

    def expect(self, steps: Iterable[tuple[int, Sequence[Batch]]]) -> None:
        """Decode ahead for the coming steps: (number of steps before it, its batches)."""
        if self._live_ids:
            self._live.expect(
                self._showing(draw, step)
                for step, batches in steps
                for batch in batches
                for draw in batch.draws
                if draw.item.id in self._live_ids
            )

    def load(self, step: int, batch: Batch) -> Loaded | None:
        """The batch of the step after `step` done ones; None when nothing of it can be used.

        Raises Stopped when asked to stop, PicturesGone when no picture is left.
        """
        found = self._live_versions(step, batch)
        usable: list[tuple[Draw, Prepared, torch.Tensor | None]] = []
        for number, draw in enumerate(batch.draws):
            if draw.item.id in self._live_ids:
                prepared = found.get(number)
            else:
                prepared = self._latents.version(draw.item.id, draw.variant)
            if prepared is None:
                continue
            areas = self.areas_of(draw.item, prepared)
            if areas is not None and not areas.any():
                self._tell(draw.item, black_mask(draw.item))
                continue
            usable.append((draw, prepared, areas))
        return stack(usable) if usable else None

    def measured(self, batch: Batch) -> Loaded | None:
        """A batch of pictures that are only measured; None when their masks leave nothing."""
        versions = [(draw, self._latents.version(draw.item.id)) for draw in batch.draws]
        usable = [(draw, one, self.areas_of(draw.item, one)) for draw, one in versions]
        usable = [one for one in usable if one[2] is None or one[2].any()]
        return stack(usable) if usable else None

    def areas_of(self, item: Item, prepared: Prepared) -> torch.Tensor | None:
        """How much each latent of a version counts, (h, w); None where all count alike."""
        if prepared.mask is None:
            return None
        return area_weights(prepared.mask, self.encoder.concept(item).mask.outside)

    def close(self) -> None:
        """End the threads."""
        self._live.close()

    def _showing(self, draw: Draw, step: int) -> Showing:
        return draw.item, (self._seed, step, draw.item.id, draw.repeat)

    def _live_versions(self, step: int, batch: Batch) -> dict[int, Prepared]:
        """Those of a batch's live draws that could be read, by their number in it."""
        items, pixels, numbers = [], [], []
        for number, draw in enumerate(batch.draws):
            if draw.item.id not in self._live_ids:
                continue
            one = self._live.take(self._showing(draw, step), self._control.check_stop)
            if isinstance(one, PictureError):
                self._lose(draw.item, str(one))
                continue
            self._gone.discard(draw.item.id)
            items.append(draw.item)
            pixels.append(one)
            numbers.append(number)
        found: dict[int, Prepared] = {}
        together = self.encoder.at_once(items[0]) if items else 1
        for start in range(0, len(items), together):
            part = slice(start, start + together)
            encoded = self.encoder.encode(items[part], pixels[part])
            found.update(zip(numbers[part], encoded, strict=True))
        return found

    def _lose(self, item: Item, reason: str) -> None:
        self._gone.add(item.id)
        self._tell(item, unreadable_picture(item.path, reason, item.concept))
        if gone := self.encoder.gone(item, reason):
            raise PicturesGone(gone)
        if self._all_live and self._gone == self._live_ids:
            raise PicturesGone(
                Problem(
                    code="pictures_gone",
                    title="Not one of the pictures can be read any more; put them back and resume "
                    "the run.",
                    detail=reason,
                    setting=f"concepts.{item.concept}.path",
                    file=str(item.path),
                )
            )

    def _tell(self, item: Item, problem: Problem) -> None:
        if item.path in self._told:
            return
        self._told.add(item.path)
        if len(self._told) > NAMED_AT_MOST:
            log_unnamed(problem)
            return
        fields = problem.as_dict()
        del fields["severity"]
        self._emit(Warning(**fields))


def stack(usable: Sequence[tuple[Draw, Prepared, torch.Tensor | None]]) -> Loaded:
    """Draws with what was prepared of them as one batch."""
    latents = torch.stack([prepared.latents for _, prepared, _ in usable])
    given = [areas for _, _, areas in usable]
    areas = None
    if any(one is not None for one in given):
        everywhere = torch.ones(latents.shape[-2:])
        areas = torch.stack([everywhere if one is None else one for one in given])
    frames = tuple(prepared.frame for _, prepared, _ in usable)
    return Loaded(tuple(draw for draw, _, _ in usable), latents, areas, frames)
