"""Random changes to pictures: mirroring, other crops, zoom, rotation, colours, blur.

`draw` decides what is changed, from a seed alone; `change` does it. All geometry is one map from
the result to the picture, so nothing is resampled twice for the sake of two changes:

- Without rotation it is a rectangle of the picture, scaled by Lanczos with antialiasing; mirroring
  turns the result's pixels round and costs nothing.
- With rotation the part that is needed is first scaled down by Lanczos to at most twice the
  result's density, then sampled (bicubic) on a grid twice as fine as the result, and that is
  scaled to the result by Lanczos. So downscaling stays free of aliasing, and the bicubic sampling
  happens where its softness lies above the result's finest detail.

Colour changes are all linear in RGB; they are multiplied into one matrix and rounded once. Masks
take the same geometry, with a triangle filter that does not ring, and no colour changes.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageFilter

from core.config.concepts import ImageAugmentation
from core.data.images import cut
from core.data.seeds import seed_of_name, stable_seed
from core.data.types import Placement
from core.families.base import Frame, Size

if TYPE_CHECKING:
    import numpy as np

_CHANCES = (
    "flip",
    "crop_jitter",
    "scale",
    "rotation",
    "brightness",
    "contrast",
    "saturation",
    "hue",
    "blur",
    "grayscale",
)
# Keep the random streams of one seed apart, so that one change more does not alter the others.
_STREAMS = {name: number for number, name in enumerate(_CHANCES, start=1)}
# Rec. 709, as the W3C's filter effects have it.
_LUMA = (0.2126, 0.7152, 0.0722)
_FINER = 2


@dataclass(frozen=True)
class Variation:
    """What is done to a picture. The default of each field but `centre` changes nothing.

    centre: the middle (x, y) of the part that is shown, in pixels of `Placement.resized`. zoom:
    the part is the bucket's size divided by this. angle: degrees that the picture turns
    counter-clockwise. flip comes after these. brightness, contrast, saturation: factors. hue:
    degrees on the colour wheel. blur: the Gaussian's standard deviation in pixels of the result.
    """

    centre: tuple[float, float]
    zoom: float = 1.0
    angle: float = 0.0
    flip: bool = False
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    blur: float = 0.0
    grayscale: bool = False

    def key(self) -> list[float]:
        """Plain numbers that tell this variation from every other, for cache keys."""
        return [
            *self.centre,
            self.zoom,
            self.angle,
            float(self.flip),
            self.brightness,
            self.contrast,
            self.saturation,
            self.hue,
            self.blur,
            float(self.grayscale),
        ]

    def detail(self) -> int:
        """How many times as large as `Placement.resized` the picture must be decoded, at least."""
        return 1 << max(0, math.ceil(math.log2(self.zoom) - 1e-9))


def makes_changes(settings: ImageAugmentation) -> bool:
    """Whether any change has a chance."""
    return any(getattr(settings, name) > 0 for name in _CHANCES)


def versions(settings: ImageAugmentation) -> int:
    """How many versions of each picture are prepared: 0 when each step makes a new one."""
    if not makes_changes(settings):
        return 1
    return settings.variants if settings.caching == "variants" else 0


def version_seed(picture: Path, version: int) -> tuple[int, int]:
    """The seed of a prepared version: by the picture's name, so that neither another folder, nor
    another run, nor pictures that join it make the others anew."""
    return seed_of_name(picture.name), version


def unchanged(placement: Placement) -> Variation:
    """The variation that shows the bucket's rectangle as it is."""
    bucket, (left, top) = placement.bucket, placement.crop
    return Variation((left + bucket.width / 2, top + bucket.height / 2))


def draw(placement: Placement, settings: ImageAugmentation, *seed: int) -> Variation:
    """What is done to a picture that lies so, drawn from the seed alone.

    The part that is shown, turned or not, lies wholly within the picture.
    """
    if not makes_changes(settings):
        return unchanged(placement)

    def stream(name: str) -> random.Random | None:
        """Random numbers for a change, or None when it is not made."""
        numbers = random.Random(stable_seed(*seed, _STREAMS[name]))
        return numbers if numbers.random() < getattr(settings, name) else None

    def around(name: str, middle: float) -> float:
        numbers, most = stream(name), getattr(settings, f"{name}_most")
        return middle if numbers is None else round(middle + _signed(numbers) * most, 4)

    crop = _moved_crop(placement, settings.crop_jitter_reach, stream("crop_jitter"))
    centre, zoom = _zoomed(placement, crop, settings.scale_most, stream("scale"))
    angle = around("rotation", 0.0)
    blurring = stream("blur")
    return Variation(
        centre=centre,
        zoom=_enough_zoom(placement, centre, zoom, angle),
        angle=angle,
        flip=stream("flip") is not None,
        brightness=around("brightness", 1.0),
        contrast=around("contrast", 1.0),
        saturation=around("saturation", 1.0),
        hue=around("hue", 0.0),
        blur=0.0 if blurring is None else round(blurring.random() * settings.blur_most, 4),
        grayscale=stream("grayscale") is not None,
    )


def change(
    image: Image.Image, mask: Image.Image | None, placement: Placement, variation: Variation
) -> tuple[np.ndarray, np.ndarray | None]:
    """A picture and its mask as training sees them: (H, W, 3) and (H, W) uint8 of the bucket.

    image: RGB, upright, of any size with the picture's shape. mask: grey, of any size; it covers
    the picture.
    """
    import numpy as np

    part = _part(image, placement, variation, Image.Resampling.LANCZOS)
    if variation.blur:
        part = part.filter(ImageFilter.GaussianBlur(variation.blur))
    pixels = _recoloured(np.array(part), variation)
    if mask is None:
        return pixels, None
    return pixels, np.array(covered(mask, placement, variation))


def covered(mask: Image.Image, placement: Placement, variation: Variation) -> Image.Image:
    """What of a mask comes to lie in the bucket, as `change` takes it."""
    return _part(mask, placement, variation, Image.Resampling.BILINEAR)


def vary(
    image: Image.Image,
    mask: Image.Image | None,
    placement: Placement,
    settings: ImageAugmentation,
    *seed: int,
) -> tuple[np.ndarray, np.ndarray | None]:
    """`draw` and `change` in one: with every chance 0 exactly `images.to_pixels`."""
    return change(image, mask, placement, draw(placement, settings, *seed))


def outline(placement: Placement, variation: Variation) -> list[tuple[float, float]]:
    """The corners of the part that is shown, in pixels of `Placement.resized`: those that come to
    lie top left, top right, bottom right and bottom left, before mirroring."""
    bucket = placement.bucket
    right, down = _axes(variation)
    (x, y), w, h = variation.centre, bucket.width / 2, bucket.height / 2
    signs = ((-w, -h), (w, -h), (w, h), (-w, h))
    return [(x + i * right[0] + j * down[0], y + i * right[1] + j * down[1]) for i, j in signs]


def frame_of(size: Size, placement: Placement, variation: Variation) -> Frame:
    """What a variation shows of a picture of `size`.

    Zooming in shows less of a picture that was scaled that much larger; mirroring turns left and
    right round, so the crop is counted from the other side. Turning leaves the crop's middle.
    """
    zoom = variation.zoom
    crop = []
    for axis, length in enumerate((placement.bucket.width, placement.bucket.height)):
        start = variation.centre[axis] * zoom - length / 2
        if axis == 0 and variation.flip:
            start = placement.resized[0] * zoom - length - start
        crop.append(max(0, math.floor(start + 0.5)))
    return Frame(size, (crop[0], crop[1]), (placement.bucket.width, placement.bucket.height))


def _signed(numbers: random.Random) -> float:
    return 2 * numbers.random() - 1


def _moved_crop(
    placement: Placement, reach: float, numbers: random.Random | None
) -> tuple[int, int]:
    """Left and top of the crop, moved by up to `reach` of the room to either side."""
    left, top = placement.crop
    if numbers is None:
        return left, top
    room = (
        placement.resized[0] - placement.bucket.width,
        placement.resized[1] - placement.bucket.height,
    )

    def moved(place: int, room: int) -> int:
        low, high = place - reach * place, place + reach * (room - place)
        return min(max(round(low + numbers.random() * (high - low)), 0), room)

    return moved(left, room[0]), moved(top, room[1])


def _zoomed(
    placement: Placement, crop: tuple[int, int], most: float, numbers: random.Random | None
) -> tuple[tuple[float, float], float]:
    """Centre and zoom of a part of the crop: any size down to 1 / most, anywhere in it."""
    size = (placement.bucket.width, placement.bucket.height)
    zoom = 1.0 if numbers is None else round(1 + numbers.random() * (most - 1), 4)
    centre = []
    for start, length in zip(crop, size, strict=True):
        room = length - length / zoom
        offset = room / 2 if numbers is None else round(numbers.random() * room, 2)
        centre.append(start + min(offset, room) + length / zoom / 2)
    return (centre[0], centre[1]), zoom


def _enough_zoom(
    placement: Placement, centre: tuple[float, float], zoom: float, angle: float
) -> float:
    """The zoom at which the part, turned about its centre, does not reach beyond the picture."""
    if not angle:
        return zoom
    w, h = placement.bucket.width, placement.bucket.height
    sine, cosine = abs(math.sin(math.radians(angle))), abs(math.cos(math.radians(angle)))
    extents = (w * cosine + h * sine, w * sine + h * cosine)
    room = (min(place, full - place) for place, full in zip(centre, placement.resized, strict=True))
    return max(zoom, *(extent / 2 / side for extent, side in zip(extents, room, strict=True)))


def _axes(variation: Variation) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where in the picture one pixel to the right and one down in the result lead."""
    angle = math.radians(variation.angle)
    cosine, sine = math.cos(angle) / variation.zoom, math.sin(angle) / variation.zoom
    return (cosine, sine), (-sine, cosine)


def _part(
    image: Image.Image, placement: Placement, variation: Variation, filter: Image.Resampling
) -> Image.Image:
    """The bucket-size picture of what a variation shows, before colours."""
    width, height = placement.bucket.width, placement.bucket.height
    if variation.angle:
        part = _turned(image, placement, variation, filter)
    else:
        (x, y), w, h = variation.centre, width / variation.zoom, height / variation.zoom
        part = cut(image, placement.resized, (x - w / 2, y - h / 2, w, h), (width, height), filter)
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if variation.flip else part


def _turned(
    image: Image.Image, placement: Placement, variation: Variation, filter: Image.Resampling
) -> Image.Image:
    width, height = placement.bucket.width, placement.bucket.height
    full = placement.resized
    corners = outline(placement, variation)
    # A margin for the sampling filter, as far as there is picture.
    margin = 4 / variation.zoom
    low, spans, sides = [], [], []
    for axis, native in ((0, image.width), (1, image.height)):
        first = max(0.0, min(corner[axis] for corner in corners) - margin)
        last = min(float(full[axis]), max(corner[axis] for corner in corners) + margin)
        density, finest = native / full[axis], variation.zoom * _FINER
        if density <= finest:
            # Whole pixels of the picture, which `cut` then copies as they are.
            first = math.floor(first * density) / density
            last = min(math.ceil(last * density), native) / density
        low.append(first)
        spans.append(last - first)
        sides.append(max(1, round((last - first) * min(density, finest))))
    near = cut(image, full, (low[0], low[1], spans[0], spans[1]), (sides[0], sides[1]), filter)
    # From pixels of the finer grid to pixels of `near`.
    right, down = _axes(variation)
    rows = []
    for axis in (0, 1):
        density = sides[axis] / spans[axis]
        across, along = right[axis] * density / _FINER, down[axis] * density / _FINER
        origin = (variation.centre[axis] - low[axis]) * density
        middle = across * width * _FINER / 2 + along * height * _FINER / 2
        rows += [across, along, origin - middle]
    sampling = Image.Resampling.BILINEAR if filter == filter.BILINEAR else Image.Resampling.BICUBIC
    finer = near.transform(
        (width * _FINER, height * _FINER), Image.Transform.AFFINE, rows, sampling
    )
    return finer.resize((width, height), filter)


def _recoloured(pixels: np.ndarray, variation: Variation) -> np.ndarray:
    import numpy as np

    v = variation
    if (v.brightness, v.contrast, v.saturation, v.hue, v.grayscale) == (1.0, 1.0, 1.0, 0.0, False):
        return pixels
    luma = np.array(_LUMA)
    matrix = v.brightness * v.contrast * np.eye(3)
    # Contrast turns about the picture's mean, which brightness has moved.
    mean = float(pixels.reshape(-1, 3).mean(axis=0) @ luma) * v.brightness
    grey = np.tile(luma, (3, 1))
    matrix = (v.saturation * np.eye(3) + (1 - v.saturation) * grey) @ matrix
    if v.hue:
        matrix = _hue_matrix(v.hue) @ matrix
    if v.grayscale:
        matrix = grey @ matrix
    # Greys stay what they are in all but the first two, so the offset passes them unchanged.
    changed = pixels.reshape(-1, 3).astype(np.float32) @ matrix.T.astype(np.float32)
    changed += np.float32((1 - v.contrast) * mean + 0.5)
    return np.clip(changed, 0, 255).astype(np.uint8).reshape(pixels.shape)


def _hue_matrix(degrees: float) -> np.ndarray:
    """Turns colours about the grey axis and keeps their luma (W3C Filter Effects, hueRotate)."""
    import numpy as np

    r, g, b = _LUMA
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    grey = np.tile(np.array(_LUMA), (3, 1))
    turn = np.array([[-r, -g, 1 - b], [0.143, 0.140, -0.283], [-(1 - r), g, b]])
    return grey + cosine * (np.eye(3) - grey) + sine * turn
