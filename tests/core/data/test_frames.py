"""What is told of a picture's crop is what the VAE sees, whatever was done to the picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from core.config.concepts import Concept, ImageAugmentation
from core.data.augment import Variation, change, draw, frame_of, unchanged
from core.data.encoding import Encoder
from core.data.types import Bucket, Item, Placement
from core.families.base import Frame
from tests.core.data.fake_model import FakeModel

# A picture of 400 x 100, scaled to 200 x 50; 50 x 50 of it from (60, 0) are shown.
PLACEMENT = Placement(Bucket(50, 50), (200, 50), (60, 0), False)
SIZE = (400, 100)


def test_an_unchanged_picture_shows_its_crop() -> None:
    found = frame_of(SIZE, PLACEMENT, unchanged(PLACEMENT))
    assert found == Frame(original=(400, 100), crop=(60, 0), target=(50, 50))


def test_a_mirrored_picture_is_cut_from_the_other_side() -> None:
    mirrored = Variation(unchanged(PLACEMENT).centre, flip=True)
    assert frame_of(SIZE, PLACEMENT, mirrored).crop == (200 - 60 - 50, 0)


def test_a_moved_crop_is_told_where_it_went() -> None:
    assert frame_of(SIZE, PLACEMENT, Variation((25 + 13, 25))).crop == (13, 0)


def test_zooming_counts_as_a_picture_that_was_scaled_larger() -> None:
    """Twice as near: the picture is 400 x 100 then, and the part begins at twice its place."""
    near = Variation((70, 20), zoom=2.0)
    assert frame_of(SIZE, PLACEMENT, near).crop == (140 - 25, 40 - 25)
    mirrored = Variation((70, 20), zoom=2.0, flip=True)
    assert frame_of(SIZE, PLACEMENT, mirrored).crop == (400 - 50 - 115, 15)


@pytest.mark.parametrize("seed", range(6))
def test_the_crop_is_where_the_pixels_come_from(seed: int) -> None:
    """On a ramp of brightness the first pixel tells where the part begins."""
    ramp = np.tile(np.linspace(0, 255, 200), (50, 1)).astype(np.uint8)
    image = Image.fromarray(np.stack([ramp] * 3, axis=-1))
    settings = ImageAugmentation(crop_jitter=1.0, flip=0.5, scale=0.5, scale_most=1.5)
    variation = draw(PLACEMENT, settings, seed)
    pixels, _ = change(image, None, PLACEMENT, variation)
    whole = 200 * variation.zoom
    left = frame_of((200, 50), PLACEMENT, variation).crop[0]
    # Mirrored, brightness falls from left to right.
    place = whole - left - 1 if variation.flip else left
    assert pixels[25, 0, 0] == pytest.approx(place / whole * 255, abs=4)


def test_frames_reach_what_is_prepared(tmp_path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", SIZE, (9, 200, 30)).save(path)
    item = Item(0, 0, path, SIZE, Placement(Bucket(48, 48), (192, 48), (60, 0), False), ("a",))
    encoder = Encoder(FakeModel(), [Concept()])  # type: ignore[arg-type]
    variation = encoder.variation(item, 0)
    prepared = encoder.encode([item], encoder.read(item, [variation]))[0]
    assert prepared.frame == Frame(SIZE, (60, 0), (48, 48))
    cached = encoder.fits(item, variation, {"tensor": prepared.latents})
    assert cached is not None and cached.frame == prepared.frame
