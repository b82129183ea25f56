"""What the benchmarks share: a job on the demo data, and honest ratios."""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from core.config.job import Job, defaults, require, set_path
from core.paths import resources_dir


def demo_job(**changes: Any) -> Job:
    """A job on the demo model and dataset; keyword arguments are paths with `__` for dots."""
    data = defaults()
    start: dict[str, Any] = {
        "model.base": str(resources_dir() / "demo_model"),
        "concepts.0.path": str(resources_dir() / "demo_dataset"),
        "training.resolution": 64,
        "training.batch_size": 4,
        "training.gradient_checkpointing": False,
        "lora.targets": "all",
        "lora.rank": 8,
        "lora.alpha": 8.0,
        "sampling.every_unit": "never",
        "checkpoints.every_unit": "never",
    }
    for path, value in {**start, **{k.replace("__", "."): v for k, v in changes.items()}}.items():
        data = set_path(data, path, value)
    return require(data)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Options to measure another model, pictures and size than the demo's."""
    parser.add_argument("--model", type=Path, help="a base model instead of the demo's")
    parser.add_argument("--pictures", type=Path, help="a folder instead of the demo's pictures")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=4)


def job_of(options: argparse.Namespace, **changes: Any) -> Job:
    """The job that the options of `add_model_options` describe."""
    if options.model:
        changes["model__base"] = str(options.model)
    if options.pictures:
        changes["concepts__0__path"] = str(options.pictures)
    changes["training__resolution"] = options.resolution
    changes["training__batch_size"] = options.batch_size
    return demo_job(**changes)


def report(what: str, ours: list[float], reference: list[float], limit: float) -> None:
    """Print medians of paired durations (seconds) and their ratio, with the goal beside it."""
    pairs = [a / b for a, b in zip(ours, reference, strict=True)]
    print(f"{what}: {statistics.median(ours) * 1000:.1f} ms", end=" ")
    print(f"against {statistics.median(reference) * 1000:.1f} ms bare;", end=" ")
    print(
        f"ratio of medians {statistics.median(ours) / statistics.median(reference):.3f},", end=" "
    )
    print(f"median of paired ratios {statistics.median(pairs):.3f} (goal: at most {limit})")
