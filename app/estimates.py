"""How long a run will take and how large its file will be, judged without loading anything."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.config.job import Job
from core.errors import UserError
from core.families.base import BaseModelFile
from core.paths import default_runs_dir

# What decides how long a step takes; runs that agree in these are comparable.
_SAME = (
    ("model", "base"),
    ("model", "dtype"),
    ("training", "resolution"),
    ("training", "batch_size"),
    ("training", "gradient_accumulation"),
    ("training", "gradient_checkpointing"),
    ("training", "precision"),
    ("training", "optimizer"),
    ("lora", "rank"),
    ("lora", "targets"),
    ("lora", "text_encoder"),
)
_RUNS_TO_TRY = 20
_TAIL_BYTES = 64 * 1024
_ATTENTION = re.compile(r"attn[12]\.to_(q|k|v|out\.0)\.weight$")
_FEED_FORWARD = re.compile(r"(ff\.net\.(0\.proj|2)|attentions?\.\d+\.proj_(in|out))\.weight$")
_TEXT = re.compile(r"(self_attn\.(q|k|v|out)_proj|mlp\.fc[12])\.weight$")
_ORIGINAL_BLOCK = re.compile(
    r"(input_blocks|output_blocks|middle_block)\.\d+(\.\d+)?\.proj_(in|out)"
)
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def seconds_per_step(job: Job, runs: Path | None = None) -> float:
    """The median step time of the newest run with comparable settings; 0 when there is none."""
    folder = runs or default_runs_dir()
    wanted = _facts(job.model_dump())
    try:
        candidates = sorted(folder.iterdir(), reverse=True)[:_RUNS_TO_TRY]
    except OSError:
        return 0.0
    for run in candidates:
        try:
            with open(run / "job.json", encoding="utf-8") as file:
                if _facts(json.load(file)) != wanted:
                    continue
            seconds = _step_times(run / "events.jsonl")
        except (OSError, ValueError, AttributeError):
            continue
        if seconds:
            return statistics.median(seconds)
    return 0.0


def _facts(data: Mapping[str, Any]) -> list[Any]:
    return [data.get(group, {}).get(name) for group, name in _SAME]


def _step_times(events: Path) -> list[float]:
    """Durations of the last steps in a run's events."""
    with open(events, "rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - _TAIL_BYTES))
        lines = file.read().splitlines()
    times = []
    for line in lines:
        if b'"step"' in line and b'"seconds"' in line:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # the first line is cut
            if event.get("type") == "step" and event.get("seconds"):
                times.append(float(event["seconds"]))
    return times


def lora_bytes(job: Job, file: BaseModelFile) -> int:
    """Size of the LoRA file from the shapes of the layers it adapts; 0 when they can't be read.

    A layer with weights (out, in, ...) gets rank x in x ... and out x rank numbers.
    """
    from core.families.detect import weight_files
    from core.families.header import read_header

    try:
        if file.layout == "single_file":
            parts = {"": [file.path]}
        else:
            parts = {name: weight_files(file.path / name) for name in ("unet", "text_encoder")}
        shapes = {
            f"{part}.{name}": shape
            for part, paths in parts.items()
            for path in paths
            for name, shape in read_header(path).shapes.items()
        }
    except (UserError, OSError):
        return 0
    numbers = sum(
        job.lora.rank * (math.prod(shape[1:]) + shape[0])
        for name, shape in shapes.items()
        if len(shape) >= 2 and _is_target(name, job.lora.targets, job.lora.text_encoder)
    )
    return numbers * _BYTES[job.checkpoints.dtype]


def _is_target(name: str, targets: str, text_encoder: bool) -> bool:
    """Whether the weight of this name in a UNet or text encoder is adapted."""
    if "first_stage_model" in name:
        return False
    if "text_encoder" in name or "cond_stage_model" in name:
        return text_encoder and bool(_TEXT.search(name))
    if _ATTENTION.search(name):
        return True
    if targets == "attention":
        return False
    if _FEED_FORWARD.search(name) or _ORIGINAL_BLOCK.search(name):
        return True
    return targets == "all" and name.endswith(".weight")
