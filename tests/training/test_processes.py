"""The real worker process: killed and resumed, and several processes as one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from core.runs.folder import RunFolder, create

ROOT = Path(__file__).parents[2]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def start(run: RunFolder, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "core.worker", str(run.path), *arguments],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def wait_for(process: subprocess.Popen[str], wanted: Callable[[Any], bool]) -> Any:
    """The first event that is wanted; fails when the process ends before."""
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if wanted(event):
            return event
    raise AssertionError(f"the worker ended with {process.wait()}")


def finish(process: subprocess.Popen[str]) -> list[Any]:
    assert process.stdout is not None
    events = [json.loads(line) for line in process.stdout]
    assert process.wait(120) == 0, events[-3:]
    return events


def test_killed_and_resumed_equals_straight(make_job, tmp_path: Path) -> None:
    """kill -9 in the middle of a step, resume by `latest`: the same weights to the last bit."""
    job = make_job(checkpoints__every_unit="step", checkpoints__every=3, training__max_steps=14)
    straight, broken = (create(job, tmp_path, tmp_path / name) for name in ("一", "zwei drei"))
    finish(start(straight))
    process = start(broken)
    event = wait_for(process, lambda e: e["type"] == "step" and e["step"] >= 8)
    process.kill()
    process.wait()
    events = finish(start(broken, "--resume", "latest"))
    steps = [e["step"] for e in events if e["type"] == "step"]
    assert steps[-1] == 14 and steps[0] in range(7, event["step"] + 6, 3)
    one, other = load_file(straight.lora_file), load_file(broken.lora_file)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    make_job, run_trainer, tmp_path: Path
) -> None:
    job = make_job(checkpoints__every_unit="step", checkpoints__every=2, training__max_steps=6)
    run = run_trainer(job)
    newest = run.folder.checkpoint(6) / "state" / "optimizer.pt"
    newest.write_bytes(newest.read_bytes()[:100])
    events = finish(start(run.folder, "--resume", "latest"))
    hello = next(e for e in events if e["type"] == "hello")
    assert hello["resumed_from"] == "step-000004"
    assert any(e["type"] in ("warning", "problem") and "step-000006" in e["title"] for e in events)
    assert [e["step"] for e in events if e["type"] == "step"] == [5, 6]


def with_everything(job: Any, folder: Path) -> Any:
    """The job with masks, pictures changed at each step, a prior and a validation concept; one
    mask is black, so that its picture is left out of steps that only one process sees."""
    shutil.copytree(job.concepts[0].path, folder)
    for number in range(6):
        mask = Image.new("L", (8, 8), 255 * (number != 2))
        mask.putpixel((0, 0), 100 * (number != 2))
        mask.save(folder / f"{number}-masklabel.png")
    prior, held = (job.concepts[0].model_copy(deep=True) for _ in range(2))
    prior.kind, held.kind = "prior", "validation"
    job.concepts[0].path = str(folder)
    job.concepts[0].mask.source = "file"
    job.concepts[0].image.flip, job.concepts[0].image.caching = 0.5, "off"
    job.concepts += [prior, held]
    job.training.validation.every_unit = "step"
    return job


def two_processes(run: RunFolder) -> list[str]:
    """The command that trains a run in two processes, as the README has it."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    return [sys.executable, *launch, "-m", "core.worker", str(run.path), "--no-stdin"]


def events_of(run: RunFolder) -> list[Any]:
    if not run.events_file.exists():
        return []
    return [json.loads(line) for line in run.events_file.read_text().splitlines()]


def test_a_killed_process_is_told_in_words_and_costs_no_step(make_job, tmp_path: Path) -> None:
    import psutil

    job = make_job(training__max_steps=100_000, lora__text_encoder=False)
    run = create(job, tmp_path, tmp_path / "two")
    process = subprocess.Popen(
        two_processes(run),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(ACCELERATE_USE_CPU="true"),
    )
    try:
        deadline = time.monotonic() + 200
        while not any(e["type"] == "step" and e["step"] >= 2 for e in events_of(run)):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
        workers = psutil.Process(process.pid).children(recursive=True)
        follower = next(w for w in workers if w.environ().get("RANK") == "1")
        follower.kill()
        assert process.wait(120) != 0
    finally:
        for one in [*psutil.Process().children(recursive=True)]:
            one.kill()
    problem = next(e for e in events_of(run) if e["type"] == "problem")
    assert problem["code"] == "process_ended"
    saved = [e["step"] for e in events_of(run) if e["type"] == "checkpoint"]
    assert problem["title"].endswith(f"ended; resume from step {saved[-1]}.")
    assert run.checkpoint(saved[-1]).is_dir()
    assert events_of(run)[-1]["status"] == "failed"


@pytest.mark.parametrize("everything", [False, True])
def test_two_processes_give_what_one_gives(
    make_job, run_trainer, tmp_path: Path, everything: bool
) -> None:
    """Micro-batches shared out over two processes: the same steps up to float32 rounding."""
    job = make_job(
        training__gradient_accumulation=3,
        training__batch_size=1,
        training__max_steps=4,
        lora__text_encoder=False,
    )
    if everything:
        job = with_everything(job, tmp_path / "masked")
    alone = run_trainer(job)
    run = create(job, tmp_path, tmp_path / "two")
    process = subprocess.run(
        two_processes(run),
        capture_output=True,
        text=True,
        env=environment(ACCELERATE_USE_CPU="true"),
        timeout=300,
        check=False,
    )
    log = run.log_file.read_text(encoding="utf-8") if run.log_file.exists() else ""
    assert process.returncode == 0, process.stderr[-2000:] + log[-2000:]
    # A lone run would give the same numbers, so each of the two must tell that it was there.
    assert "Process 1 of 2 ends at step 4." in log
    assert "Process 2 of 2 ends at step 4." in (run.path / "log-1.txt").read_text(encoding="utf-8")
    events = events_of(run)
    steps = [e for e in events if e["type"] == "step"]
    assert [e["step"] for e in steps] == [1, 2, 3, 4]
    assert [e["loss"] for e in steps] == pytest.approx([s.loss for s in alone.of("step")], rel=1e-4)
    measured = [(e["step"], e["loss"]) for e in events if e["type"] == "validation"]
    assert measured == [(v.step, pytest.approx(v.loss, rel=1e-4)) for v in alone.of("validation")]
    assert len(measured) == (5 if everything else 0)
    one, other = load_file(alone.folder.lora_file), load_file(run.lora_file)
    for name, value in one.items():
        assert torch.allclose(value, other[name], atol=2e-5), name


def test_a_stop_ends_the_process_soon(make_job, tmp_path: Path) -> None:
    job = make_job(training__max_steps=100_000)
    run = create(job, tmp_path, tmp_path / "run")
    process = start(run)
    wait_for(process, lambda e: e["type"] == "step" and e["step"] == 3)
    assert process.stdin is not None
    process.stdin.write('{"type": "stop", "save": true}\n')
    process.stdin.flush()
    asked = time.monotonic()
    done = wait_for(process, lambda e: e["type"] == "done")
    assert process.wait(60) == 130 and done["status"] == "stopped"
    # The promise is 3 s; a test machine may be busy with other things.
    assert time.monotonic() - asked < 30
    assert run.checkpoint(done["step"]).is_dir() and run.lora_file.exists()
