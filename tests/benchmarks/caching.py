"""Pictures a second of filling the latent cache against bare VAE encoding, in one process.

    python -m tests.benchmarks.caching [--rounds 5] [--model ... --pictures ... --resolution 256]

Bare: tensors of the same sizes, already decoded, through the VAE in the same batches. The
cache reads, decodes, scales, crops, encodes, hashes and writes. Rounds alternate.

The default is the size of the demo's pictures. `--resolution 64`, that of the demo model, is the
hardest case: its VAE then takes hardly longer than the decoding, so that a second core has to be
free all the time. Other programs that hold it make reading and encoding wait for one another. So
the encoding thread's own processor time is compared too: what the ratio would be if reading and
writing cost that thread nothing but their handing over.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

from core.data.dataset import prepare_latents
from core.data.plan import make_plan
from core.families.base import Loading
from core.families.detect import detect
from core.families.registry import family
from core.training.control import Control
from core.training.device import limit_threads
from tests.benchmarks.common import add_model_options, job_of

BATCH = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    add_model_options(parser)
    parser.set_defaults(resolution=256)
    options = parser.parse_args()
    job = job_of(options)
    base = detect(job.model.base)
    model = family(base.family).load(
        base,
        Loading(
            vae=None,
            dtype=torch.float32,
            device=torch.device("cpu"),
            clip_skip=0,
            prediction_type=base.prediction_type,
            zero_terminal_snr=base.zero_terminal_snr,
        ),
    )
    # As a session does before it prepares.
    limit_threads(model, torch.device("cpu"))
    plan = make_plan(job, bucket_step=base.bucket_step)
    sizes = Counter(item.placement.bucket for item in plan.items)
    ours, bare, own, own_bare = [], [], [], []
    for _round in range(options.rounds + 1):
        started, busy = time.perf_counter(), time.thread_time()
        for bucket, count in sizes.items():
            for first in range(0, count, BATCH):
                number = min(BATCH, count - first)
                model.encode_pixels(torch.rand(number, 3, bucket.height, bucket.width) * 2 - 1)
        bare.append(len(plan.items) / (time.perf_counter() - started))
        own_bare.append(time.thread_time() - busy)
        with tempfile.TemporaryDirectory() as folder:
            os.environ["LIMNER_DATA_DIR"] = str(Path(folder))
            started, busy = time.perf_counter(), time.thread_time()
            prepare_latents(plan, model, lambda _event: None, Control(), batch_size=BATCH)
            ours.append(len(plan.items) / (time.perf_counter() - started))
            own.append(time.thread_time() - busy)
    ours, bare = ours[1:], bare[1:]
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    print(f"caching {len(plan.items)} pictures: {statistics.median(ours):.1f} a second,", end=" ")
    print(
        f"bare encoding {statistics.median(bare):.1f}; ratio {ratio:.3f} (goal: at least 0.9);",
        end=" ",
    )
    alone = statistics.median(a / b for a, b in zip(own_bare[1:], own[1:], strict=True))
    print(f"by the encoding thread's own time {alone:.3f}")


if __name__ == "__main__":
    main()
