"""Faces and creatures of the demo world: pictures of many parts, for the later training.

They give the base model a sense of eyes, limbs and second colours, which flat shapes alone do
not, and a LoRA then learns a new being from few pictures. Their words ("face", "creature") are
deliberately no tokens of their own: the text encoder learns to read a word in pieces, as every
trigger word will come to it.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

from .drawing import (
    COLOURS,
    OVERSAMPLING,
    SIDE,
    Point,
    Scene,
    article,
    centres,
    draw_shape,
    jitter,
    place_words,
    random_colour,
    sentence,
    size_words,
)

# Where a face sits in a shape and how wide it is, in units of the shape's radius.
FACES: dict[str, tuple[float, float]] = {
    "circle": (-0.05, 1.0),
    "square": (-0.05, 1.0),
    "heart": (-0.2, 0.9),
    "triangle": (0.3, 0.8),
    "star": (0.02, 0.72),
    "cross": (-0.02, 0.62),
}
WHITE, INK = (250, 250, 250), (22, 24, 34)


@dataclass(frozen=True)
class Being:
    """A shape with a face, or a creature (shape ""); an empty colour is any, and left unsaid."""

    shape: str
    colour: str
    limbs: str
    background: str
    size: str = "medium"
    position: str = "centre"


def random_being(rng: random.Random) -> Being:
    """Faces and creatures in equal shares; a third of the creatures in a colour without name."""
    colour, limbs, background = rng.sample(tuple(COLOURS), 3)
    size = rng.choices(("small", "medium", "large"), (15, 40, 45))[0]
    position = "centre"
    if size != "large":
        position = rng.choice(("centre", "left", "right", "top", "bottom"))
    if rng.random() < 0.5:
        return Being(rng.choice(tuple(FACES)), colour, "", background, size, position)
    colour = "" if rng.random() < 0.33 else colour
    return Being("", colour, limbs, background, size, position)


def being_caption(being: Being, rng: random.Random) -> str:
    """One of many ways to say it."""
    size = size_words(being.size, rng)
    colour = being.colour + " " if being.colour else ""
    if being.shape:
        words = f"{size}{colour}{being.shape} with a face"
    else:
        words = f"{size}{colour}creature"
        if rng.random() < 0.7:
            words += f" with {being.limbs} feet"
    subject = article(words) if rng.random() < 0.75 else words
    return sentence(subject, place_words(being.position, rng), being.background, rng)


def draw_being(being: Being, rng: random.Random) -> Image.Image:
    """The being as an RGB picture of 64 x 64 pixels."""
    big = SIDE * OVERSAMPLING
    picture = Image.new("RGB", (big, big), jitter(COLOURS[being.background], rng))
    pen = ImageDraw.Draw(picture)
    place = Scene("circle", "", "", being.size, being.position)
    radius, ((x, y),) = centres(place, rng)
    body = jitter(COLOURS[being.colour], rng) if being.colour else random_colour(rng)
    if being.shape:
        draw_shape(pen, being.shape, (x, y), radius, math.radians(rng.uniform(-5, 5)), body)
        rise, width = FACES[being.shape]
        r = radius * OVERSAMPLING
        middle = (x * OVERSAMPLING, y * OVERSAMPLING + rise * r)
        _face(pen, middle, r * width, rng)
    else:
        middle = (x * OVERSAMPLING, y * OVERSAMPLING)
        limbs = jitter(COLOURS[being.limbs], rng)
        _creature(pen, middle, radius * OVERSAMPLING, body, limbs, rng)
    return picture.reduce(OVERSAMPLING)


def _face(pen: ImageDraw.ImageDraw, middle: Point, r: float, rng: random.Random) -> None:
    """Two round eyes and a smile, about `r` wide to each side of the middle (large pixels)."""
    x, y = middle
    apart, size = r * rng.uniform(0.3, 0.42), r * rng.uniform(0.18, 0.28)
    pupil = size * rng.uniform(0.45, 0.6)
    for side in (-1, 1):
        _disc(pen, x + side * apart, y - r * 0.15, size, WHITE)
        _disc(pen, x + side * apart, y - r * 0.13, pupil, INK)
    wide = r * rng.uniform(0.25, 0.4)
    pen.chord((x - wide, y, x + wide, y + r * 0.48), 10, 170, fill=INK)


def _disc(pen: ImageDraw.ImageDraw, x: float, y: float, r: float, fill: tuple[int, ...]) -> None:
    pen.ellipse((x - r, y - r, x + r, y + r), fill=fill)


def _creature(
    pen: ImageDraw.ImageDraw,
    middle: Point,
    r: float,
    body: tuple[int, ...],
    limbs: tuple[int, ...],
    rng: random.Random,
) -> None:
    """A round or boxy body with arms, hands, feet, perhaps horns or ears, and a face."""
    x, y = middle
    w, h = r * rng.uniform(0.5, 0.8), r * rng.uniform(0.5, 0.72)
    thick = round(r * rng.uniform(0.14, 0.24))
    for side in (-1, 1):
        hand = (x + side * min(r, w * 1.4), y + rng.choice((-0.5, 0.1, 0.5)) * h)
        pen.line((x + side * w * 0.8, y, *hand), fill=body, width=thick)
        _disc(pen, *hand, thick * 0.75, limbs)
        foot = x + side * w * 0.5
        pen.line((foot, y + h * 0.8, foot, y + h * 1.25), fill=body, width=thick)
        box = (foot - thick * 1.1, y + h * 1.2, foot + thick * 1.1, y + h * 1.2 + thick)
        pen.rounded_rectangle(box, thick * 0.45, fill=limbs)
    top = rng.choice(("", "horns", "ears"))
    for side in (-1, 1) if top else ():
        tip = (x + side * w * 0.6, y - h * 1.15)
        if top == "horns":
            pen.line((x + side * w * 0.35, y - h * 0.8, *tip), fill=limbs, width=thick // 2 + 1)
        else:
            _disc(pen, tip[0], y - h * 0.95, thick * 0.9, body)
    corner = min(w, h) * rng.choice((0.25, 0.5, 1.0))
    pen.rounded_rectangle((x - w, y - h, x + w, y + h), corner, fill=body)
    _face(pen, (x, y - h * 0.12), min(w * 1.05, h * 1.2), rng)
