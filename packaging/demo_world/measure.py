"""The demo model's quality gate: does it draw what the prompt says?

Colours, count and position are read from the pixels. The background is the median of the
border; what differs from it is the subject, whose colour is the median of its inner pixels;
both are named after the nearest colour of the palette. The shape is read by a small
convolutional network, the judge, from the subject's mask alone, so that colour cannot help it.
The judge was trained on drawings (blurred, bent, noisy) with a ninth class of blobs and mixed
shapes: a shapeless blob counts as wrong rather than as the likeliest shape.
"""

from __future__ import annotations

import json
import math
import random
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from .drawing import (
    COLOURS,
    OVERSAMPLING,
    SHAPES,
    SIDE,
    Scene,
    caption,
    centres,
    draw_scene,
    draw_shape,
    random_scene,
)
from .store import Log

GATE = {"background": 0.95, "colour": 0.90, "shape": 0.80}
PROMPTS = 200
STEPS = 20
GUIDANCE = 4.0
BATCH = 50
PALETTE = np.array(list(COLOURS.values()), dtype=np.float32)
NAMES = tuple(COLOURS)


class Judge(nn.Module):
    """Names the shape in soft masks (B, 1, 64, 64): logits (B, 9), the ninth for none of them."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 16, 24, 40, 56)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in pairwise(widths)
        )
        self.last = nn.Linear(2 * widths[-1], len(SHAPES) + 1)

    def features(self, masks: Tensor) -> Tensor:
        """What the last layer sees, (B, 112)."""
        x = masks
        for layer in self.layers:
            x = functional.gelu(layer(x))
        return torch.cat((x.mean((2, 3)), x.amax((2, 3))), dim=1)

    def forward(self, masks: Tensor) -> Tensor:
        """Logits for `SHAPES` and "none"."""
        return self.last(self.features(masks))


def load_judge(path: Path) -> Judge:
    """The judge kept beside the script."""
    judge = Judge()
    judge.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    return judge.eval()


# Training of the judge


def _mask_picture(rng: random.Random) -> tuple[Image.Image, int]:
    big = SIDE * OVERSAMPLING
    picture = Image.new("RGB", (big, big), (0, 0, 0))
    pen = ImageDraw.Draw(picture)
    scene = random_scene(rng)
    label = SHAPES.index(scene.shape)
    radius, places = centres(scene, rng)
    white = (255, 255, 255)
    if rng.random() < 0.14:
        label = len(SHAPES)
        for place in places:
            _draw_none(pen, place, radius, rng)
    else:
        for place in places:
            turn = math.radians(rng.uniform(-14, 14))
            draw_shape(pen, scene.shape, place, radius * rng.uniform(0.9, 1.1), turn, white)
    soft = picture.convert("L").reduce(OVERSAMPLING)
    return soft.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.3))), label


def _draw_none(
    pen: ImageDraw.ImageDraw, place: tuple[float, float], radius: float, rng: random.Random
) -> None:
    """A wobbly blob, or two different shapes on top of each other."""
    white = (255, 255, 255)
    if rng.random() < 0.4:
        first, second = rng.sample(SHAPES, 2)
        shift = radius * rng.uniform(0.3, 0.6)
        draw_shape(pen, first, (place[0] - shift, place[1]), radius * 0.8, 0, white)
        draw_shape(pen, second, (place[0] + shift, place[1] + shift / 2), radius * 0.8, 0, white)
        return
    waves = [(k, rng.uniform(0.08, 0.28), rng.uniform(0, 2 * math.pi)) for k in (2, 3, 4)]
    points = []
    for index in range(48):
        angle = 2 * math.pi * index / 48
        r = radius * OVERSAMPLING * (0.85 + sum(a * math.sin(k * angle + p) for k, a, p in waves))
        x, y = place[0] * OVERSAMPLING, place[1] * OVERSAMPLING
        points.append((x + r * math.cos(angle), y + r * math.sin(angle)))
    pen.polygon(points, fill=white)


def _judge_batch(rng: random.Random, count: int) -> tuple[Tensor, Tensor]:
    pairs = [_mask_picture(rng) for _ in range(count)]
    masks = torch.from_numpy(np.stack([np.asarray(p, dtype=np.float32) for p, _ in pairs])) / 255
    masks = masks[:, None]
    turn = torch.eye(2).repeat(count, 1, 1) + torch.randn(count, 2, 2) * 0.06
    shift = torch.randn(count, 2, 1) * 0.03
    grid = functional.affine_grid(torch.cat((turn, shift), 2), list(masks.shape), False)
    masks = functional.grid_sample(masks, grid, align_corners=False)
    masks = masks + torch.randn_like(masks) * 0.06 * torch.rand(count, 1, 1, 1)
    return masks.clamp(0, 1), torch.tensor([label for _, label in pairs])


def train_judge(path: Path, seed: int, log: Log, steps: int = 1500) -> None:
    """Trains the judge on drawn masks (about two minutes) and writes it as float16."""
    torch.manual_seed(seed)
    rng = random.Random(f"{seed}/judge")
    judge = Judge()
    optim = torch.optim.AdamW(judge.parameters(), lr=4e-3)
    rates = torch.optim.lr_scheduler.OneCycleLR(optim, 4e-3, total_steps=steps)
    for step in range(steps):
        masks, labels = _judge_batch(rng, 64)
        loss = functional.cross_entropy(judge(masks), labels)
        optim.zero_grad()
        loss.backward()
        optim.step()
        rates.step()
        if step % 250 == 249:
            log(f"judge step {step + 1} loss {loss.item():.4f}")
    weights = {key: value.half().contiguous() for key, value in judge.state_dict().items()}
    temporary = path.with_suffix(".part")
    save_file(weights, temporary)
    temporary.replace(path)
    log(f"judge on drawings: {judge_accuracy(load_judge(path)):.3f}")


def judge_accuracy(judge: Judge, count: int = 400, seed: int = 11) -> float:
    """The share of undistorted drawings (colours and all) whose shape is read rightly."""
    rng = random.Random(seed)
    right = 0
    for _ in range(count):
        scene = random_scene(rng)
        right += read_picture(draw_scene(scene, rng), judge).shape == scene.shape
    return right / count


# Reading a picture


@dataclass(frozen=True)
class Reading:
    """What was found in a picture; `shape` is "none" where it is no shape of the world."""

    background: str
    colour: str
    shape: str
    count: int
    position: str


def nearest_colour(rgb: NDArray[np.float32]) -> str:
    """The palette's name for a colour, 0 to 255 per channel."""
    return NAMES[int(((PALETTE - rgb) ** 2).sum(axis=1).argmin())]


def subject_mask(
    pixels: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Background colour, subject colour (each (3,)) and the soft mask (64, 64) in [0, 1]."""
    border = np.concatenate(
        (pixels[:2].reshape(-1, 3), pixels[-2:].reshape(-1, 3),
         pixels[:, :2].reshape(-1, 3), pixels[:, -2:].reshape(-1, 3))
    )  # fmt: skip
    ground = np.median(border, axis=0).astype(np.float32)
    different = np.sqrt(((pixels - ground) ** 2).sum(axis=2)) > 45
    padded = np.pad(different, 1)
    inner = different.copy()
    for dy in range(3):
        for dx in range(3):
            inner &= padded[dy : dy + SIDE, dx : dx + SIDE]
    chosen = inner if inner.sum() >= 12 else different
    if not chosen.any():
        return ground, ground, np.zeros((SIDE, SIDE), dtype=np.float32)
    subject = np.median(pixels[chosen], axis=0).astype(np.float32)
    axis = subject - ground
    mask = ((pixels - ground) @ axis) / max(float(axis @ axis), 1.0)
    return ground, subject, mask.clip(0, 1).astype(np.float32)


def count_parts(mask: NDArray[np.bool_], least: int = 25) -> int:
    """The number of connected parts with at least `least` pixels."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    parts = 0
    while left:
        border, size = [left.pop()], 0
        while border:
            y, x = border.pop()
            size += 1
            for near in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                if near in left:
                    left.remove(near)
                    border.append(near)
        parts += size >= least
    return parts


def find_position(mask: NDArray[np.float32]) -> str:
    """Where the mask's centre of mass lies; within 6 pixels of the middle is the centre."""
    total = max(float(mask.sum()), 1e-6)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    dx = float((mask * columns).sum()) / total - (SIDE - 1) / 2
    dy = float((mask * rows).sum()) / total - (SIDE - 1) / 2
    if max(abs(dx), abs(dy)) < 6:
        return "centre"
    if abs(dx) > abs(dy):
        return "left" if dx < 0 else "right"
    return "top" if dy < 0 else "bottom"


@torch.inference_mode()
def read_picture(picture: Image.Image, judge: Judge) -> Reading:
    """Reads an RGB picture of 64 x 64 pixels."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32)
    ground, subject, mask = subject_mask(pixels)
    best = int(judge(torch.from_numpy(mask)[None, None]).argmax())
    return Reading(
        background=nearest_colour(ground),
        colour=nearest_colour(subject),
        shape=(*SHAPES, "none")[best],
        count=count_parts(mask > 0.5),
        position=find_position(mask),
    )


# The gate


def gate_prompts(count: int = PROMPTS, seed: int = 2024) -> list[tuple[Scene, str]]:
    """Scenes and captions drawn at random, the same for the same seed."""
    rng = random.Random(f"gate/{seed}")
    scenes = [random_scene(rng) for _ in range(count)]
    return [(scene, caption(scene, rng)) for scene in scenes]


def load_pipeline(folder: Path) -> Any:
    """The exported model in float32, offline, without progress bars."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        folder, local_files_only=True, dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def sample(
    pipeline: Any, prompts: list[str], seed: int = 5, steps: int = STEPS
) -> list[Image.Image]:
    """One picture per prompt, in float32; its noise depends on seed and place in the list.

    bfloat16 takes twenty times as long on processors without instructions for it.
    """
    pictures: list[Image.Image] = []
    for start in range(0, len(prompts), BATCH):
        part = prompts[start : start + BATCH]
        noise = [
            torch.Generator().manual_seed(seed * 100_003 + start + i) for i in range(len(part))
        ]
        pictures += pipeline(
            part,
            num_inference_steps=steps,
            guidance_scale=GUIDANCE,
            height=SIDE,
            width=SIDE,
            generator=noise,
        ).images
    return pictures


def score(wanted: list[Scene], pictures: list[Image.Image], judge: Judge) -> dict[str, float]:
    """The share of pictures right in each respect; positions of single shapes only."""
    readings = [read_picture(picture, judge) for picture in pictures]
    pairs = list(zip(wanted, readings, strict=True))
    single = [(scene, reading) for scene, reading in pairs if scene.count == 1]

    def share(name: str, chosen: list[tuple[Scene, Reading]]) -> float:
        hits = sum(getattr(scene, name) == getattr(reading, name) for scene, reading in chosen)
        return round(hits / max(1, len(chosen)), 4)

    result = {name: share(name, pairs) for name in ("background", "colour", "shape", "count")}
    return result | {"position": share("position", single)}


def shape_mistakes(wanted: list[Scene], pictures: list[Image.Image], judge: Judge) -> str:
    """Which shapes were read as which others, most frequent first, for the log."""
    mistakes: dict[str, int] = {}
    for scene, picture in zip(wanted, pictures, strict=True):
        found = read_picture(picture, judge).shape
        if found != scene.shape:
            name = f"{scene.shape} x{scene.count} {scene.size} as {found}"
            mistakes[name] = mistakes.get(name, 0) + 1
    return json.dumps(dict(sorted(mistakes.items(), key=lambda item: -item[1])))


def seconds_per_picture(pipeline: Any, steps: int = STEPS) -> float:
    """Core seconds of one picture in `steps` steps, the best of two.

    Processor time, the wall time on one free core: other programs must not change a measure.
    """
    times = []
    for _ in range(2):
        begun = time.process_time()
        sample(pipeline, ["a red circle on a blue background"], steps=steps)
        times.append(time.process_time() - begun)
    return round(min(times), 3)


def measure(pipeline: Any, judge: Judge, count: int = PROMPTS) -> dict[str, float]:
    """The gate's measures over `count` prompts, and the seconds of one picture."""
    wanted = gate_prompts(count)
    pictures = sample(pipeline, [line for _, line in wanted])
    measures = score([scene for scene, _ in wanted], pictures, judge)
    return measures | {"seconds_per_picture": seconds_per_picture(pipeline)}
