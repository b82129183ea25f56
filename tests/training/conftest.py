"""A tiny model, a few pictures and a way to run the trainer in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from core.config.job import Job, require
from core.families.registry import family
from core.runs.folder import RunFolder, create
from core.training.control import Control
from core.training.trainer import Outcome, train
from tests.refusals import Refusals

SIZES = [(64, 64), (96, 64), (64, 96), (80, 80), (120, 60), (64, 64), (200, 200)]


@pytest.fixture(autouse=True)
def _held_for_a_moment(refusals: Refusals) -> None:
    """See `refusals`."""


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """accelerate keeps one state a process; each run of a test needs its own."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model of the SD 1.x family in diffusers format."""
    return family("sd15").build_tiny(tmp_path_factory.mktemp("models") / "tiny model", seed=0)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven drawn pictures of several shapes with captions."""
    folder = tmp_path_factory.mktemp("data") / "Bilder 图片"
    folder.mkdir()
    for number, (width, height) in enumerate(SIZES):
        image = Image.new("RGB", (width, height), (40 * number % 256, 90, 200 - 20 * number))
        draw = ImageDraw.Draw(image)
        draw.ellipse((8, 8, width - 8, height // 2), fill=(250, 30 * number % 256, 20))
        image.save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"thing {number}, a drawing", encoding="utf-8")
    return folder


@dataclass
class Run:
    """What one call of the trainer did."""

    folder: RunFolder
    outcome: Outcome
    events: list[Any] = field(default_factory=list)

    def of(self, kind: str) -> list[Any]:
        return [event for event in self.events if event.type == kind]


RunTrainer = Callable[..., Run]


@pytest.fixture
def make_job(tiny_model: Path, pictures: Path) -> Callable[..., Job]:
    """Make a small valid job; keyword arguments are paths with `__` for dots."""

    def make(**changes: Any) -> Job:
        from core.config.job import defaults, set_path

        data = defaults()
        start = {
            "model.base": str(tiny_model),
            "concepts.0.path": str(pictures),
            "lora.rank": 4,
            "lora.alpha": 4.0,
            "lora.text_encoder": True,
            "training.resolution": 64,
            "training.batch_size": 2,
            "training.max_steps": 6,
            "training.learning_rate": 1e-3,
            "training.gradient_checkpointing": False,
            "sampling.every_unit": "never",
            "checkpoints.every_unit": "never",
            "checkpoints.dtype": "float32",
        }
        for path, value in {
            **start,
            **{k.replace("__", "."): v for k, v in changes.items()},
        }.items():
            data = set_path(data, path, value)
        return require(data)

    return make


@pytest.fixture
def run_trainer(tmp_path: Path) -> RunTrainer:
    """Run the trainer on a job; `on_event(event, control)` may send commands."""

    def run(
        job: Job,
        *,
        folder: RunFolder | None = None,
        resume: Path | None = None,
        on_event: Callable[[Any, Control], None] | None = None,
        accept_changes: bool = False,
    ) -> Run:
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state(True)
        folder = folder or create(job, tmp_path / "runs")
        control, events = Control(), []

        def emit(event: Any) -> None:
            events.append(event)
            if on_event:
                on_event(event, control)

        outcome = train(
            job, folder, emit, control, resume_from=resume, accept_changes=accept_changes
        )
        return Run(folder, outcome, events)

    return run
