"""The memory that pre-flight estimates against the most that the run itself reports.

    python -m tests.benchmarks.memory [--steps 12] [--model ... --resolution 512]

Each run is a process of its own, as training from the window is; its step events tell the memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from core.data.plan import make_plan
from core.families.detect import detect
from core.hardware import gpu_driver_here
from core.runs.folder import create
from core.runs.memory import memory_need
from tests.benchmarks.common import add_model_options, job_of


def reported(run: Path) -> int:
    """The most bytes that the steps of a run told."""
    subprocess.run(
        [sys.executable, "-m", "core.worker", str(run)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    lines = (run / "events.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    return max(event["memory"] for event in events if event["type"] == "step")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12)
    add_model_options(parser)
    options = parser.parse_args()
    sizes = sorted({options.batch_size, 4 * options.batch_size})
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LIMNER_DATA_DIR"] = str(Path(folder) / "data")
        for batch_size in sizes:
            for checkpointing in (False, True):
                options.batch_size = batch_size
                job = job_of(
                    options,
                    training__max_steps=options.steps,
                    training__gradient_checkpointing=checkpointing,
                )
                base = detect(job.model.base)
                plan = make_plan(job, bucket_step=base.bucket_step)
                need = memory_need(job, base, plan, gpu_driver_here())
                assert need is not None
                seen = reported(create(job, Path(folder) / "runs").path)
                print(
                    f"batch {batch_size}, checkpointing {'on' if checkpointing else 'off'}: "
                    f"reported {seen / 1e6:.0f} MB, estimated {need.total / 1e6:.0f} MB "
                    f"({need.total / seen:.2f})"
                )


if __name__ == "__main__":
    main()
