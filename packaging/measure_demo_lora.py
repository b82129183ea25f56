"""Measures a LoRA trained on the demo dataset: is the robot there, and is the rest still there?

    python packaging/measure_demo_lora.py LORA.safetensors [--sheet SHEET.png]

Robot. Pictures of robot prompts are compared with the training pictures, with the LoRA and, from
the same noise, without it. The subject is cut out first (what differs from the border's colour,
as a square around it, 32 x 32), so neither background nor place nor size can raise the
similarity. What is left is described by its colour layout (16 x 16 RGB, nothing outside of the
subject) and by its edges (absolute brightness gradients in 8 x 8 cells, mean removed). The
similarity of two pictures is the mean of the two cosines; a sample counts with its best among
the training pictures, so that a waving and a resting robot are both right. Colour alone or
outline alone does not pass: a plain teal box reaches `plain_box`, which the gate must exceed,
and the training pictures among each other reach `ceiling`. A learned feature space was not used:
none of this size knows robots, and this one can be checked by eye.

Rest. Ordinary prompts of the demo world are read by the same gate as the base model's
(`demo_world.measure`), with and without the LoRA; and the share of their pictures that look like
the robot is counted (`bleeding`).
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))

from demo_world.measure import gate_prompts, load_judge, load_pipeline, sample, score  # noqa: E402
from demo_world.store import contact_sheet  # noqa: E402

TRIGGER = "limbot robot"
ORDINARY = 60
CROP = 32
DIFFERENT = 60  # distance from the border's colour, of 441, from which a pixel is subject
# The gate: least gain in mean similarity, least share of samples that show the robot, most
# ordinary pictures that do, and the most that any measure of ordinary prompts may lose.
GAIN, SHARE, BLEEDING, LOSS = 0.4, 0.7, 0.1, 0.15
# Orange is left out: the robot's hands are orange and could not be told from the background.
BACKGROUNDS = ("red", "yellow", "green", "blue", "purple", "pink", "white", "black")

Array = NDArray[np.floating]


def robot_prompts() -> list[str]:
    """24 prompts: every background three times; most were not among the captions."""
    places = ("left", "right", "top", "bottom")
    lines = [f"a {TRIGGER} on a {ground} background" for ground in BACKGROUNDS]
    lines += [f"a large {TRIGGER} on a {ground} background" for ground in BACKGROUNDS]
    for index, ground in enumerate(BACKGROUNDS):
        lines.append(f"{TRIGGER}, {ground} background, {places[index % 4]}")
    return lines


def cut_out(picture: Image.Image) -> tuple[Array, Array] | None:
    """The subject as RGB in [-0.5, 0.5] and its mask, (32, 32, 3) and (32, 32); None if empty."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32)
    edges = (pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:])
    border = np.concatenate([edge.reshape(-1, 3) for edge in edges])
    ground = np.median(border, axis=0)
    mask = np.sqrt(((pixels - ground) ** 2).sum(axis=2)) > DIFFERENT
    rows, columns = np.flatnonzero(mask.sum(axis=1) >= 2), np.flatnonzero(mask.sum(axis=0) >= 2)
    if rows.size < 4 or columns.size < 4:
        return None
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    side = int(max(bottom - top, right - left))
    x, y = (int(left + right) - side) // 2, (int(top + bottom) - side) // 2
    box = (x, y, x + side, y + side)
    size, bilinear = (CROP, CROP), Image.Resampling.BILINEAR
    coloured = np.where(mask[..., None], pixels, 127.5).astype(np.uint8)
    framed = Image.new("RGB", (side, side), (127, 127, 127))
    framed.paste(Image.fromarray(coloured), (-box[0], -box[1]))
    covered = Image.new("L", (side, side))
    covered.paste(Image.fromarray(mask.astype(np.uint8) * 255), (-box[0], -box[1]))
    colours = np.asarray(framed.resize(size, bilinear), dtype=np.float32) / 255 - 0.5
    return colours, np.asarray(covered.resize(size, bilinear), dtype=np.float32) / 255


def _pooled(values: Array, cells: int) -> Array:
    step = CROP // cells
    return values.reshape(cells, step, cells, step, -1).mean(axis=(1, 3)).reshape(-1)


def _unit(values: Array) -> Array:
    return values / max(float(np.linalg.norm(values)), 1e-6)


def describe(picture: Image.Image) -> Array | None:
    """Colour layout and edges, each of length one; None where there is no subject."""
    found = cut_out(picture)
    if found is None:
        return None
    colours, mask = found
    layout = _unit(_pooled(colours * mask[..., None], 16))
    grey = (colours * mask[..., None]).mean(axis=2)
    gradients = np.stack(
        (np.abs(np.diff(grey, axis=0, append=0)), np.abs(np.diff(grey, axis=1, append=0))), axis=2
    )
    edges = _pooled(gradients, 8)
    return np.concatenate((layout, _unit(edges - edges.mean()))) / np.sqrt(2)


def training_pictures(folder: Path) -> list[Image.Image]:
    """The dataset's pictures with one plain background, short side 64 pixels."""
    pictures = []
    for path in sorted(folder.glob("*.png")):
        words = path.with_suffix(".txt").read_text(encoding="utf-8")
        if " and " in words:
            continue
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        factor = 64 / min(picture.size)
        width, height = (round(side * factor) for side in picture.size)
        pictures.append(picture.resize((width, height), Image.Resampling.BOX))
    return pictures


def similarities(pictures: list[Image.Image], references: list[Array]) -> list[float]:
    """Each picture's best similarity to the references, -1 to 1; no subject counts 0."""
    values = []
    for picture in pictures:
        found = describe(picture)
        values.append(0.0 if found is None else max(float(found @ one) for one in references))
    return values


def references_of(pictures: list[Image.Image]) -> list[Array]:
    """The descriptions of the training pictures."""
    return [found for found in map(describe, pictures) if found is not None]


def controls(references: list[Array]) -> dict[str, float]:
    """`ceiling`: training pictures among each other. `plain_box`: the right colour alone."""
    best = [
        max(float(one @ other) for other in references if other is not one) for one in references
    ]
    boxes = []
    for ground in ((255, 225, 50), (40, 90, 215), (250, 250, 250)):
        picture = Image.new("RGB", (64, 64), ground)
        ImageDraw.Draw(picture).rounded_rectangle((16, 10, 48, 54), 6, fill=(0, 150, 150))
        boxes.append(picture)
    return {
        "ceiling": round(float(np.mean(best)), 4),
        "plain_box": round(float(np.mean(similarities(boxes, references))), 4),
    }


def draw_all(pipeline: Any) -> tuple[list[Image.Image], list[Image.Image]]:
    """Pictures of the robot prompts and of the ordinary ones, always from the same noise."""
    ordinary = [line for _, line in gate_prompts(ORDINARY, seed=77)]
    return sample(pipeline, robot_prompts(), seed=21), sample(pipeline, ordinary, seed=22)


def measure_lora(
    lora: Path, model: Path, dataset: Path, judge_file: Path, sheet: Path | None = None
) -> dict[str, Any]:
    """All measures of a LoRA file; `robot_with` and `robot_without` are mean similarities."""
    random.seed(0)
    judge, pipeline = load_judge(judge_file), load_pipeline(model)
    references = references_of(training_pictures(dataset))
    wanted = [scene for scene, _ in gate_prompts(ORDINARY, seed=77)]
    robots_before, rest_before = draw_all(pipeline)
    pipeline.load_lora_weights(str(lora.parent), weight_name=lora.name)
    robots_after, rest_after = draw_all(pipeline)
    known = controls(references)
    before = similarities(robots_before, references)
    after = similarities(robots_after, references)
    alike = (known["ceiling"] + known["plain_box"]) / 2
    bleeding = [value > alike for value in similarities(rest_after, references)]
    if sheet is not None:
        pictures = [*robots_before, *robots_after, *rest_before[:24], *rest_after[:24]]
        contact_sheet(pictures, 12).save(sheet)
    return {
        **known,
        "robot_without": round(float(np.mean(before)), 4),
        "robot_with": round(float(np.mean(after)), 4),
        "robot_share": round(float(np.mean([value > alike for value in after])), 4),
        "bleeding": round(float(np.mean(bleeding)), 4),
        "rest_without": score(wanted, rest_before, judge),
        "rest_with": score(wanted, rest_after, judge),
    }


def failures(measures: dict[str, Any]) -> list[str]:
    """What of the gate is not met, in words; empty when all is well."""
    found = []
    if measures["robot_with"] < measures["plain_box"] + 0.1:
        found.append("samples are hardly more like the robot than a plain box of its colour")
    if measures["robot_with"] < measures["robot_without"] + GAIN:
        found.append("the LoRA hardly brings the samples nearer to the training pictures")
    if measures["robot_share"] < SHARE:
        found.append("too few samples show the robot")
    if measures["bleeding"] > BLEEDING:
        found.append("ordinary prompts draw the robot")
    for name, value in measures["rest_without"].items():
        if measures["rest_with"][name] < value - LOSS:
            found.append(f"{name} of ordinary prompts fell too far")
    return found


def main() -> None:
    """Prints the measures as JSON; exit code 1 where the gate is not met."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("lora", type=Path)
    parser.add_argument("--model", type=Path, default=ROOT / "resources" / "demo_model")
    parser.add_argument("--dataset", type=Path, default=ROOT / "resources" / "demo_dataset")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet: before, after")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    judge_file = HERE / "demo_world" / "judge.safetensors"
    measures = measure_lora(options.lora, options.model, options.dataset, judge_file, options.sheet)
    print(json.dumps(measures, indent=2))
    problems = failures(measures)
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
