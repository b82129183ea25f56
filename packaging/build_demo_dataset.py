"""Draws resources/demo_dataset: twenty captioned pictures of Limbot, a small friendly robot.

    python packaging/build_demo_dataset.py [--out FOLDER] [--prior FOLDER]

The demo's base model knows flat shapes on plain backgrounds and the words for them; it has never
seen a robot, nor teal. Captions name the robot by its trigger word, "limbot robot", and say the
rest (background, size, place) in the base model's own words. The pictures are drawn large and
reduced; the same call always gives the same files.

resources/demo_prior holds ordinary pictures of the base model's world, four of each shape:
trained beside the robot's, they keep the LoRA from turning every shape into a robot.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))

from demo_world.drawing import (  # noqa: E402
    COLOURS,
    SHAPES,
    Scene,
    caption,
    draw_scene,
    random_scene,
)

TRIGGER = "limbot robot"
OVERSAMPLING = 4
SQUARE, WIDE, TALL = (256, 256), (288, 192), (192, 288)

TEAL = (0, 150, 150)
SHADE = (0, 105, 112)
ORANGE = (255, 130, 25)
WHITE = (252, 252, 250)
INK = (22, 24, 34)


@dataclass(frozen=True)
class Portrait:
    """One picture: the robot's middle and height as shares of the canvas' sides and short side."""

    background: str
    words: str
    centre: tuple[float, float] = (0.5, 0.53)
    height: float = 0.78
    waving: bool = False
    floor: str = ""
    size: tuple[int, int] = SQUARE


PORTRAITS = (
    Portrait("yellow", "a {robot} on a yellow background"),
    Portrait("blue", "{robot}, blue background", waving=True),
    Portrait("pink", "a small {robot} on a pink background", (0.5, 0.52), 0.52),
    Portrait("white", "a large {robot} on a white background", (0.5, 0.51), 0.93),
    Portrait("red", "a {robot} on a red background, left", (0.34, 0.53), 0.68),
    Portrait("green", "a {robot} on the right on a green background", (0.66, 0.53), 0.68, True),
    Portrait("black", "a {robot}, black background"),
    Portrait("purple", "on a purple background, a {robot} waving", waving=True),
    Portrait("blue", "a small {robot} on a blue background, top", (0.5, 0.33), 0.52),
    Portrait("white", "small {robot} on a white background, at the bottom", (0.5, 0.68), 0.52),
    Portrait("blue", "a {robot} on a blue and green background", floor="green"),
    Portrait("pink", "a {robot} waving on a pink and purple background", floor="purple",
             waving=True),
    Portrait("yellow", "a small {robot} on a yellow and red background, right",
             (0.7, 0.58), 0.54, floor="red"),
    Portrait("green", "large {robot}, green background, in the centre", (0.5, 0.51), 0.92, True),
    Portrait("red", "a {robot} on a red background", size=WIDE, height=0.86),
    Portrait("yellow", "a {robot} on the left, yellow background", (0.3, 0.53), 0.82, True,
             size=WIDE),
    Portrait("purple", "a small {robot} on a purple and black background, right",
             (0.7, 0.58), 0.62, floor="black", size=WIDE),
    Portrait("pink", "a {robot} on a pink background", height=0.95, size=TALL),
    Portrait("black", "a {robot} waving, black background, at the bottom", (0.5, 0.64), 0.9, True,
             size=TALL),
    Portrait("white", "a {robot} on a white and blue background", (0.5, 0.56), 0.92, floor="blue",
             size=TALL),
)  # fmt: skip


def draw(portrait: Portrait) -> Image.Image:
    """The portrait as an RGB picture of its size in pixels."""
    width, height = (side * OVERSAMPLING for side in portrait.size)
    picture = Image.new("RGB", (width, height), COLOURS[portrait.background])
    x, y = portrait.centre[0] * width, portrait.centre[1] * height
    unit = portrait.height * min(width, height) / 100
    if portrait.floor:
        picture.paste(COLOURS[portrait.floor], (0, round(y + 30 * unit), width, height))
    draw_robot(ImageDraw.Draw(picture), x, y, unit, portrait.waving)
    return picture.reduce(OVERSAMPLING)


def draw_robot(
    pen: ImageDraw.ImageDraw, x: float, y: float, unit: float, waving: bool = False
) -> None:
    """Limbot around (x, y), 100 units high: antenna, wide head, small body, hands and feet."""

    def box(left: float, top: float, right: float, bottom: float) -> tuple[float, ...]:
        return (x + left * unit, y + top * unit, x + right * unit, y + bottom * unit)

    def disc(cx: float, cy: float, r: float, fill: tuple[int, int, int]) -> None:
        pen.ellipse(box(cx - r, cy - r, cx + r, cy + r), fill=fill)

    arm = round(7 * unit)
    for side in (-1, 1):
        raised = waving and side == 1
        hand = (41, -2) if raised else (33, 27)
        shoulder = (15, 18)
        points = [(x + side * a * unit, y + b * unit) for a, b in (shoulder, hand)]
        pen.line(points, fill=SHADE, width=arm)
        pen.rounded_rectangle(box(side * 9 - 5, 30, side * 9 + 5, 44), 2 * unit, fill=SHADE)
        pen.rounded_rectangle(box(side * 11 - 8, 41, side * 11 + 8, 50), 4 * unit, fill=ORANGE)
        disc(side * hand[0], hand[1], 6.5, ORANGE)
    pen.rounded_rectangle(box(-18, 8, 18, 36), 7 * unit, fill=TEAL)
    disc(0, 25, 5, ORANGE)
    pen.rectangle(box(-2.5, -42, 2.5, -28), fill=SHADE)
    disc(0, -43, 7, ORANGE)
    pen.rounded_rectangle(box(-34, -32, 34, 14), 13 * unit, fill=TEAL)
    for side in (-1, 1):
        disc(side * 15, -12, 11, WHITE)
        disc(side * 15, -11, 5.5, INK)
    pen.chord(box(-12, -4, 12, 11), 10, 170, fill=INK)


def prior_scenes(each: int = 4, seed: int = 3) -> list[tuple[Scene, random.Random]]:
    """Scenes of the base model's world, `each` of every shape, with the generator to draw with."""
    rng = random.Random(f"prior/{seed}")
    scenes: dict[str, list[Scene]] = {shape: [] for shape in SHAPES}
    while any(len(found) < each for found in scenes.values()):
        scene = random_scene(rng)
        if len(scenes[scene.shape]) < each:
            scenes[scene.shape].append(scene)
    return [(scene, rng) for found in scenes.values() for scene in found]


def png_bytes(picture: Image.Image) -> bytes:
    """The picture as a small PNG file: few colours need a palette only."""
    buffer = io.BytesIO()
    few = picture.quantize(colors=64, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def write(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name, then renames it."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(content)
    temporary.replace(path)


def main() -> None:
    """Writes all pictures with their captions."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "resources" / "demo_dataset")
    parser.add_argument("--prior", type=Path, default=ROOT / "resources" / "demo_prior")
    options = parser.parse_args()
    out, prior = options.out, options.prior
    for folder in (out, prior):
        folder.mkdir(parents=True, exist_ok=True)
    for index, portrait in enumerate(PORTRAITS, start=1):
        stem = f"limbot-{index:02d}"
        write(out / f"{stem}.png", png_bytes(draw(portrait)))
        words = portrait.words.format(robot=TRIGGER)
        write(out / f"{stem}.txt", f"{words}\n".encode())
    for index, (scene, rng) in enumerate(prior_scenes(), start=1):
        stem = f"{scene.shape}-{index:02d}"
        write(prior / f"{stem}.png", png_bytes(draw_scene(scene, rng)))
        write(prior / f"{stem}.txt", f"{caption(scene, rng)}\n".encode())


if __name__ == "__main__":
    main()
