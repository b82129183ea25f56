"""Time from starting the worker to its first step, and its peak memory, against a bare script.

    python -m tests.benchmarks.first_step [--model ... --resolution 512 --rounds 3]

The bare script imports diffusers and peft, loads the same pipeline, adds the same LoRA, encodes
one batch and makes one optimizer step: what any trainer must do at least.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from core.runs.folder import create
from tests.benchmarks.common import add_model_options, job_of

BARE = """
import sys, time, resource, torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig
path, size, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
pipe = StableDiffusionPipeline.from_pretrained(path, local_files_only=True)
unet, vae = pipe.unet, pipe.vae
for module in (unet, vae, pipe.text_encoder): module.requires_grad_(False)
unet.add_adapter(LoraConfig(r=8, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
optimizer = torch.optim.AdamW([p for p in unet.parameters() if p.requires_grad], lr=1e-4)
with torch.no_grad():
    latents = vae.encode(torch.rand(batch, 3, size, size) * 2 - 1).latent_dist.mean
    tokens = pipe.tokenizer(["a"] * batch, padding="max_length", max_length=77, return_tensors="pt")
    text = pipe.text_encoder(tokens.input_ids)[0]
predicted = unet(latents, torch.randint(0, 1000, (batch,)), text).sample
predicted.square().mean().backward()
optimizer.step()
"""


def timed(command: list[str], until: str | None, folder: str) -> tuple[float, int]:
    """(seconds until the line that contains `until`, or the end; peak memory in bytes)."""
    environment = {**os.environ, "LIMNER_DATA_DIR": folder}
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, env=environment, text=True
    )
    assert process.stdout is not None
    seconds = 0.0
    for line in process.stdout:
        if until and not seconds and json.loads(line).get("type") == until:
            seconds = time.perf_counter() - started
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[-1]} ended with {process.returncode}")
    return seconds or time.perf_counter() - started, usage.ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    add_model_options(parser)
    options = parser.parse_args()
    ours, bare = [], []
    for _round in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            job = job_of(options, training__max_steps=2, lora__targets="attention")
            run = create(job, Path(folder) / "runs")
            size, batch = str(options.resolution), str(options.batch_size)
            bare.append(
                timed([sys.executable, "-c", BARE, job.model.base, size, batch], None, folder)
            )
            worker = [sys.executable, "-m", "core.worker", str(run.path)]
            ours.append(timed(worker, "step", folder))
    seconds = [statistics.median(s for s, _ in side) for side in (ours, bare)]
    memory = [max(m for _, m in side) / 2**20 for side in (ours, bare)]
    print(f"first step after {seconds[0]:.1f} s, bare script {seconds[1]:.1f} s", end=" ")
    print(f"(ratio {seconds[0] / seconds[1]:.2f});", end=" ")
    print(f"peak memory {memory[0]:.0f} MiB, bare {memory[1]:.0f} MiB")


if __name__ == "__main__":
    main()
