"""Time per step of the real trainer against a bare loop on the same tensors, in one process.

    python -m tests.benchmarks.trainer_overhead [--steps 60] [--model ... --resolution 512]

Steps of both kinds alternate, so that a busy machine slows both alike. The bare step is
forward, backward, gradient clipping and optimizer on tensors that are ready; the trainer's step
makes noise, looks up latents and embeddings, reports an event and writes it to a file.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from core.data.batches import epoch_batches
from core.data.types import Batch
from core.families.base import trained_parts
from core.lora.inject import set_training
from core.runs.events import EventLog
from core.runs.folder import create
from core.training.control import Control
from core.training.interrupt import interruptible
from core.training.session import Session, open_session
from core.training.trainer import _Step, _timed_step
from tests.benchmarks.common import add_model_options, job_of, report


def prepared(session: Session, batch: Batch) -> tuple[Any, ...]:
    """Noisy latents, timesteps, conditioning and target of a batch, on the device."""
    latents = session.pictures.load(session.step, batch).latents.to(session.device)
    noise, process = torch.randn_like(latents), session.model.process
    t = torch.rand(len(latents), device=session.device)
    text = session.conditioning([d.caption for d in batch.draws])
    target = process.target(latents, noise, t)
    return process.mix(latents, noise, t), process.time(t), text, target


def bare_step(session: Session, tensors: tuple[Any, ...], optimizer: Any) -> None:
    """Forward, backward, clipping and optimizer, nothing else."""
    noisy, at, text, target = tensors
    optimizer.zero_grad()
    with session.compute.accelerator.autocast():
        predicted = session.model.predict(noisy, at, text, ())
    loss = torch.nn.functional.mse_loss(predicted.float(), target)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(session.adapter.parameters(), 1.0)
    optimizer.step()
    loss.item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    add_model_options(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = create(job := job_of(options), Path(folder))
        log = EventLog(run.events_file)
        session = open_session(job, run, log.append, Control())
        set_training(session.model, session.adapter, True)
        optimizer = torch.optim.AdamW(session.adapter.parameters(), lr=1e-4)
        groups = [g for g in epoch_batches(session.plan, job, 0) if len(g) == 1]
        ours, bare = [], []
        for number in range(options.steps + 5):
            group = groups[number % len(groups)]
            tensors = prepared(session, group[0])
            started = time.perf_counter()
            bare_step(session, tensors, optimizer)
            middle = time.perf_counter()
            with interruptible(trained_parts(session.model).values(), session.control.check_stop):
                # A run hooks in once; its steps pay for what the hooks do.
                begun = time.perf_counter()
                _timed_step(session, _Step(0, 0, 1, group))
                ended = time.perf_counter()
            if number >= 5:
                bare.append(middle - started)
                ours.append(ended - begun)
        log.close()
    report("training step", ours, bare, 1.05)


if __name__ == "__main__":
    main()
