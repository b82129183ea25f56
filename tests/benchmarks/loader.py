"""How long the trainer waits for its data, as a share of the step time, inside real runs.

    python -m tests.benchmarks.loader [--steps 300] [--rounds 3] [--model ... --resolution 512]

A run of the real trainer, in this process, with everything that gives it data timed from outside:
the making of the epochs' batches, the latents of each batch, and the embeddings of its captions.
The share is their time against the whole time from the first step's end to the last one's.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from core.data.text import TextStore
from core.runs.folder import create
from core.training import trainer
from core.training.control import Control
from core.training.pictures import Pictures
from core.worker import protocol
from tests.benchmarks.common import add_model_options, job_of


class Clock:
    """Adds up the seconds spent in functions, by name; forgets what came before `start`."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)

    def start(self) -> None:
        self.spent.clear()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its duration added under `name`."""

        def call(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                self.spent[name] += time.perf_counter() - started

        return call

    def timed_steps(self, coming: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """The generator of coming steps, the making of each added as `batches`."""

        def walk(*arguments: Any) -> Iterator[Any]:
            steps = coming(*arguments)
            take = self.timed("batches", lambda: next(steps))
            while True:
                yield take()

        return walk


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    add_model_options(parser)
    options = parser.parse_args()
    clock = Clock()
    Pictures.load = clock.timed("latents", Pictures.load)  # type: ignore[method-assign]
    Pictures.expect = clock.timed("latents", Pictures.expect)  # type: ignore[method-assign]
    TextStore.__getitem__ = clock.timed("text", TextStore.__getitem__)  # type: ignore[method-assign]
    trainer._coming_steps = clock.timed_steps(trainer._coming_steps)
    shares = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LIMNER_DATA_DIR"] = str(Path(folder) / "data")
        job = job_of(options, training__max_steps=options.steps)
        for _round in range(options.rounds):
            ends: list[float] = []

            def emit(event: Any, ends: list[float] = ends) -> None:
                if isinstance(event, protocol.Step):
                    ends.append(time.perf_counter())
                    if len(ends) == 1:
                        clock.start()

            trainer.train(job, create(job, Path(folder)), emit, Control())
            whole = ends[-1] - ends[0]
            spent = {name: seconds / whole for name, seconds in sorted(clock.spent.items())}
            shares.append(sum(spent.values()))
            parts = ", ".join(f"{name} {share:.2%}" for name, share in spent.items())
            print(
                f"{whole / (len(ends) - 1) * 1000:.1f} ms a step; waiting {shares[-1]:.2%}: {parts}"
            )
    print(f"the trainer waits {statistics.median(shares):.2%} of its time (goal: under 2 %)")


if __name__ == "__main__":
    main()
