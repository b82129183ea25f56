"""Draws the demo world: flat captioned pictures of shapes, and other pictures for the VAE.

Every picture is drawn four times larger (256 x 256) and reduced to 64 x 64 pixels, which gives
clean soft edges. Lengths below are pixels of the small picture unless they say otherwise.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

SIDE = 64
OVERSAMPLING = 4

SHAPES = ("circle", "square", "triangle", "star", "heart", "ring", "cross", "moon")
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (215, 35, 45),
    "orange": (245, 125, 20),
    "yellow": (255, 225, 50),
    "green": (40, 165, 75),
    "blue": (40, 90, 215),
    "purple": (130, 45, 170),
    "pink": (255, 150, 195),
    "white": (250, 250, 250),
    "black": (25, 25, 30),
}
POSITIONS = ("centre", "left", "right", "top", "bottom")
SIZES = ("small", "medium", "large")

RADII = {"small": 11.0, "medium": 16.0, "large": 25.0}
SHIFTS = {"small": 17.0, "medium": 12.5}
DIRECTIONS = {"centre": (0, 0), "left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}
LAYOUTS = {
    2: (14.0, ((17.0, 32.0), (47.0, 32.0))),
    3: (13.0, ((32.0, 17.0), (17.0, 46.0), (47.0, 46.0))),
}

Point = tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """What one picture shows; `count` above one has neither size nor position of its own."""

    shape: str
    colour: str
    background: str
    size: str = "medium"
    position: str = "centre"
    count: int = 1


def random_scene(rng: random.Random) -> Scene:
    """A scene with shapes and colours drawn evenly; three in ten show two or three shapes."""
    shape = rng.choice(SHAPES)
    colour, background = rng.sample(tuple(COLOURS), 2)
    count = rng.choices((1, 2, 3), (70, 15, 15))[0]
    if count > 1:
        return Scene(shape, colour, background, count=count)
    size = rng.choices(SIZES, (25, 40, 35))[0]
    position = "centre" if size == "large" else rng.choice(POSITIONS)
    return Scene(shape, colour, background, size, position)


def outline(shape: str, turn: float) -> list[Point]:
    """A shape's polygon in units of its radius, y downwards, turned by `turn` radians."""
    points = _OUTLINES[shape]
    cos, sin = math.cos(turn), math.sin(turn)
    return [(x * cos - y * sin, x * sin + y * cos) for x, y in points]


def _star() -> list[Point]:
    corners = []
    for index in range(10):
        radius = 1.15 if index % 2 == 0 else 0.5
        angle = math.pi * (index / 5 - 0.5)
        corners.append((radius * math.cos(angle), radius * math.sin(angle) + 0.05))
    return corners


def _heart() -> list[Point]:
    curve = []
    for index in range(60):
        t = 2 * math.pi * index / 60
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        curve.append((math.sin(t) ** 3 * 1.05, -y / 15.5 - 0.1))
    return curve


def _moon() -> list[Point]:
    """A crescent: the unit circle without a circle of radius 0.8 around (0.55, 0)."""
    offset, bite = 0.55, 0.8
    outer = math.acos((1 + offset**2 - bite**2) / (2 * offset))
    inner = math.acos((bite**2 + offset**2 - 1) / (2 * bite * offset))
    curve = []
    for index in range(41):
        angle = outer + (2 * math.pi - 2 * outer) * index / 40
        curve.append((math.cos(angle) + 0.15, math.sin(angle)))
    for index in range(41):
        angle = -(math.pi - inner) - 2 * inner * index / 40
        curve.append((offset + bite * math.cos(angle) + 0.15, bite * math.sin(angle)))
    return curve


def _cross() -> list[Point]:
    a, b = 0.36, 1.0
    return [
        (-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a),
        (a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a),
    ]  # fmt: skip


def _round() -> list[Point]:
    return [(math.cos(math.pi * i / 32), math.sin(math.pi * i / 32)) for i in range(64)]


_OUTLINES: dict[str, list[Point]] = {
    "circle": _round(),
    "ring": _round(),
    "square": [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
    "triangle": [(0.0, -1.0), (1.08, 0.88), (-1.08, 0.88)],
    "star": _star(),
    "heart": _heart(),
    "cross": _cross(),
    "moon": _moon(),
}


def jitter(colour: tuple[int, int, int], rng: random.Random, amount: int = 7) -> tuple[int, ...]:
    """A colour moved by up to `amount` of 255 per channel."""
    return tuple(max(0, min(255, value + rng.randint(-amount, amount))) for value in colour)


def centres(scene: Scene, rng: random.Random) -> tuple[float, list[Point]]:
    """Radius and centres of the scene's shapes, with a little play."""
    play = rng.uniform
    if scene.count > 1:
        radius, places = LAYOUTS[scene.count]
        radius *= play(0.92, 1.0)
        return radius, [(x + play(-1, 1), y + play(-1.5, 1.5)) for x, y in places]
    radius = RADII[scene.size] * play(0.92, 1.06)
    shift = SHIFTS.get(scene.size, 0.0)
    dx, dy = DIRECTIONS[scene.position]
    middle = SIDE / 2
    return radius, [(middle + dx * shift + play(-2, 2), middle + dy * shift + play(-2, 2))]


def draw_scene(scene: Scene, rng: random.Random) -> Image.Image:
    """The scene as an RGB picture of 64 x 64 pixels."""
    big = SIDE * OVERSAMPLING
    picture = Image.new("RGB", (big, big), jitter(COLOURS[scene.background], rng))
    pen = ImageDraw.Draw(picture)
    fill = jitter(COLOURS[scene.colour], rng)
    radius, places = centres(scene, rng)
    for place in places:
        turn = math.radians(rng.uniform(-7, 7))
        draw_shape(pen, scene.shape, place, radius, turn, fill)
    return picture.reduce(OVERSAMPLING)


def draw_shape(
    pen: ImageDraw.ImageDraw,
    shape: str,
    centre: Point,
    radius: float,
    turn: float,
    fill: tuple[int, ...],
) -> None:
    """One shape on the enlarged canvas; centre and radius in pixels of the small picture."""
    x, y, r = (value * OVERSAMPLING for value in (*centre, radius))
    if shape == "ring":
        width = max(1, round(r * 0.42))
        pen.ellipse((x - r, y - r, x + r, y + r), outline=fill, width=width)
        return
    pen.polygon([(x + px * r, y + py * r) for px, py in outline(shape, turn)], fill=fill)


# Captions

_SIZE_WORDS = {"small": ("small", "small", "little", "tiny"), "large": ("large", "large", "big")}
_COUNT_WORDS = {2: "two", 3: "three"}
_PLACES = {
    "left": ("on the left", "left", "on the left side"),
    "right": ("on the right", "right", "on the right side"),
    "top": ("at the top", "top", "up at the top"),
    "bottom": ("at the bottom", "bottom", "down at the bottom"),
    "centre": ("in the centre", "centre", "in the middle"),
}


def article(words: str) -> str:
    """The words with "a" or "an" before them."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def plural(shape: str) -> str:
    """The shape's plural."""
    return shape + ("es" if shape == "cross" else "s")


def caption(scene: Scene, rng: random.Random) -> str:
    """One of many ways to say the scene; everything that can be seen is said.

    Only a single shape in the centre may go without its position: no position means the centre.
    """
    if scene.count > 1:
        subject = f"{_COUNT_WORDS[scene.count]} {scene.colour} {plural(scene.shape)}"
        return sentence(subject, "", scene.background, rng)
    words = f"{size_words(scene.size, rng)}{scene.colour} {scene.shape}"
    subject = article(words) if rng.random() < 0.75 else words
    return sentence(subject, place_words(scene.position, rng), scene.background, rng)


def size_words(size: str, rng: random.Random) -> str:
    """A word for the size with a space after it; nothing for the medium size."""
    return rng.choice(_SIZE_WORDS[size]) + " " if size in _SIZE_WORDS else ""


def place_words(position: str, rng: random.Random) -> str:
    """Words for the position; the centre is mostly left unsaid."""
    if position == "centre" and rng.random() >= 0.3:
        return ""
    return rng.choice(_PLACES[position])


def sentence(subject: str, place: str, background: str, rng: random.Random) -> str:
    """Subject, place (may be empty) and background in one of several orders."""
    ground = f"{background} background"
    on_ground = "on " + (article(ground) if rng.random() < 0.8 else ground)
    form = rng.random()
    if form < 0.45:
        return f"{subject} {on_ground}" + (f", {place}" if place else "")
    if form < 0.65:
        return f"{subject}, {ground}" + (f", {place}" if place else "")
    if form < 0.85:
        return f"{subject}{' ' + place if place else ''} {on_ground}"
    if form < 0.93:
        return f"{on_ground}, {subject}" + (f" {place}" if place else "")
    return f"{subject}{', ' + place if place else ''}, {ground}"


# Other pictures, so that the VAE also carries what the base model never learns


def random_colour(rng: random.Random) -> tuple[int, int, int]:
    """Any colour, evenly."""
    return (rng.randrange(256), rng.randrange(256), rng.randrange(256))


def draw_other(rng: random.Random) -> Image.Image:
    """A varied picture of 64 x 64 pixels: gradients, strokes, textures, faces, creatures."""
    big = SIDE * OVERSAMPLING
    picture = _ground(big, rng)
    pen = ImageDraw.Draw(picture)
    rng.choice((_strokes, _patches, _face, _creature, _creature, _grid))(pen, big, rng)
    return picture.reduce(OVERSAMPLING)


def _ground(big: int, rng: random.Random) -> Image.Image:
    kind = rng.random()
    first, second = random_colour(rng), random_colour(rng)
    if kind < 0.4:
        return Image.new("RGB", (big, big), first)
    if kind < 0.65:
        picture = Image.new("RGB", (big, big), first)
        edge = rng.randint(big // 4, 3 * big // 4)
        box = (0, edge, big, big) if rng.random() < 0.5 else (edge, 0, big, big)
        picture.paste(second, box)
        return picture
    corners = Image.new("RGB", (2, 2))
    corners.putdata([random_colour(rng) for _ in range(4)])
    return corners.resize((big, big), Image.Resampling.BICUBIC)


def _strokes(pen: ImageDraw.ImageDraw, big: int, rng: random.Random) -> None:
    for _ in range(rng.randint(3, 9)):
        points = [(rng.uniform(0, big), rng.uniform(0, big)) for _ in range(rng.randint(2, 4))]
        pen.line(points, fill=random_colour(rng), width=rng.randint(4, 28), joint="curve")


def _patches(pen: ImageDraw.ImageDraw, big: int, rng: random.Random) -> None:
    for _ in range(rng.randint(3, 10)):
        x, y = rng.uniform(0, big), rng.uniform(0, big)
        a, b = rng.uniform(8, 70), rng.uniform(8, 70)
        box = (x - a, y - b, x + a, y + b)
        if rng.random() < 0.5:
            pen.ellipse(box, fill=random_colour(rng))
        else:
            pen.rounded_rectangle(box, radius=rng.uniform(0, min(a, b)), fill=random_colour(rng))


def _face(pen: ImageDraw.ImageDraw, big: int, rng: random.Random) -> None:
    x, y, r = rng.uniform(90, big - 90), rng.uniform(90, big - 90), rng.uniform(45, 95)
    pen.ellipse((x - r, y - r * 1.1, x + r, y + r * 1.1), fill=random_colour(rng))
    _eyes(pen, (x, y - r * 0.25), r * 0.4, r * rng.uniform(0.12, 0.25), rng)
    box = (x - r * 0.5, y + r * 0.1, x + r * 0.5, y + r * 0.65)
    pen.arc(box, 20, 160, fill=random_colour(rng), width=rng.randint(5, 14))


def _eyes(
    pen: ImageDraw.ImageDraw, middle: Point, apart: float, size: float, rng: random.Random
) -> None:
    white, dark = random_colour(rng), random_colour(rng)
    if rng.random() < 0.6:
        white, dark = (250, 250, 250), (20, 20, 25)
    for side in (-1, 1):
        x, y = middle[0] + side * apart, middle[1]
        pen.ellipse((x - size, y - size, x + size, y + size), fill=white)
        small = size * 0.5
        pen.ellipse((x - small, y - small, x + small, y + small), fill=dark)


def _creature(pen: ImageDraw.ImageDraw, big: int, rng: random.Random) -> None:
    """A blocky or round being with limbs, eyes and something on its head."""
    x, y = rng.uniform(90, big - 90), rng.uniform(100, big - 90)
    w, h = rng.uniform(30, 60), rng.uniform(30, 60)
    body, limb = random_colour(rng), random_colour(rng)
    thick = rng.randint(8, 22)
    for side in (-1, 1):
        hand = (x + side * w * 1.5, y + rng.uniform(-0.6, 0.8) * h)
        pen.line((x + side * w, y, *hand), fill=limb, width=thick)
        pen.line((x + side * w / 2, y + h, x + side * w / 2, y + h * 1.5), fill=limb, width=thick)
    round_off = rng.choice((0, min(w, h) * 0.4, min(w, h)))
    pen.rounded_rectangle((x - w, y - h, x + w, y + h), radius=round_off, fill=body)
    top = y - h
    pen.line((x, top, x, top - 28), fill=limb, width=thick // 2)
    tip = rng.uniform(8, 16)
    pen.ellipse((x - tip, top - 28 - tip, x + tip, top - 28 + tip), fill=random_colour(rng))
    _eyes(pen, (x, y - h * 0.3), w * 0.45, w * rng.uniform(0.2, 0.38), rng)
    mouth = (x - w * 0.5, y + h * 0.35, x + w * 0.5, y + h * 0.6)
    pen.rectangle(mouth, fill=random_colour(rng))


def _grid(pen: ImageDraw.ImageDraw, big: int, rng: random.Random) -> None:
    step = rng.choice((24, 32, 48, 64))
    colour = random_colour(rng)
    kind = rng.randrange(3)
    for row, y in enumerate(range(0, big, step)):
        if kind == 0:
            pen.rectangle((0, y, big, y + step // 2), fill=colour)
            continue
        for column, x in enumerate(range(0, big, step)):
            if kind == 1 and (row + column) % 2:
                pen.rectangle((x, y, x + step, y + step), fill=colour)
            elif kind == 2:
                pen.ellipse((x + 4, y + 4, x + step * 0.7, y + step * 0.7), fill=colour)
