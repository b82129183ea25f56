"""Scripted trainers. `python trainers.py NAME RUN [--resume X]` is a worker that uses one."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import Problem, UserError
from core.worker import main, protocol
from tests.refusals import momentary_refusals


def outcome(status: str = "finished", step: int = 0) -> Any:
    return SimpleNamespace(status=status, step=step, lora=None, output=None)


def steps(job: Any, run: Any, emit: Any, control: Any, resume_from: Any, count: int = 5) -> Any:
    emit(protocol.Phase(name="training", done=0, total=count))
    for number in range(1, count + 1):
        emit(protocol.Step(step=number, total=count, epoch=number / count, loss=0.5))
    run.lora_file.write_bytes(b"lora")
    return SimpleNamespace(status="finished", step=count, lora=run.lora_file, output=None)


def garbage(job: Any, run: Any, emit: Any, control: Any, resume_from: Any) -> Any:
    print('{"type": "step", "step": 999}')
    os.write(1, b"\xff\xfe not text at all\n")
    subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
    print("to stderr", file=sys.stderr)
    emit(protocol.Phase(name="training"))
    assert sys.stdin.read() == ""
    return steps(job, run, emit, control, resume_from)


def flood(job: Any, run: Any, emit: Any, control: Any, resume_from: Any) -> Any:
    return steps(job, run, emit, control, resume_from, count=20_000)


def freeze(job: Any, run: Any, emit: Any, control: Any, resume_from: Any) -> Any:
    emit(protocol.Phase(name="training"))
    # The thread that writes to the pipe would be frozen before it has said so.
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGSTOP)


def changed(job: Any, run: Any, emit: Any, control: Any, resume_from: Any) -> Any:
    if "--accept-changes" not in sys.argv:
        words = "The VAE has changed since this run began."
        raise UserError(Problem(code="model_changed", title=words))
    return steps(job, run, emit, control, resume_from)


def unreadable_state(job: Any, run: Any, emit: Any, control: Any, resume_from: Any) -> Any:
    if resume_from is not None and resume_from.name != "step-000001":
        words = f"{resume_from.name} cannot be resumed from."
        raise UserError(Problem(code="checkpoint_damaged", title=words))
    emit(protocol.Phase(name="training", text=resume_from.name if resume_from else "new"))
    return steps(job, run, emit, control, resume_from)


def exit_suddenly(job: Any, run: Any, emit: Any, control: Any, resume_from: Any) -> Any:
    emit(protocol.Phase(name="training"))
    emit(protocol.Step(step=3, total=9, epoch=0.1, loss=0.5))
    time.sleep(0.3)
    os._exit(7)


def segfault(job: Any, run: Any, emit: Any, control: Any, resume_from: Any) -> Any:
    emit(protocol.Phase(name="training"))
    time.sleep(0.3)
    ctypes.string_at(0)


def deaf_in(phase: str) -> Any:
    """A trainer that sits in a library in `phase` and never looks at control."""

    def train(job: Any, run: Any, emit: Any, control: Any, resume_from: Any) -> Any:
        emit(protocol.Phase(name=phase))
        time.sleep(120)

    return train


def obedient_in(phase: str) -> Any:
    """A trainer that stays in `phase` until control says stop, then tells whether to save."""

    def train(job: Any, run: Any, emit: Any, control: Any, resume_from: Any) -> Any:
        emit(protocol.Phase(name=phase))
        while not control.stop_asked.wait(0.02):
            command = control.take()
            if command is not None:
                emit(protocol.Warning(code="took", title=command.type))
        if control.save_on_stop:
            emit(protocol.Checkpoint(step=4, path="checkpoints/step-000004", verified=True))
        return outcome("stopped", 4)

    return train


def slow_save(job: Any, run: Any, emit: Any, control: Any, resume_from: Any) -> Any:
    """Stops well, but needs longer than the grace of other phases to save."""
    emit(protocol.Phase(name="training"))
    control.stop_asked.wait()
    emit(protocol.Phase(name="saving"))
    time.sleep(2.5)
    emit(protocol.Checkpoint(step=4, path="checkpoints/step-000004", verified=True))
    return outcome("stopped", 4)


def paced(job: Any, run: Any, emit: Any, control: Any, resume_from: Any) -> Any:
    """Twenty steps in two seconds."""
    emit(protocol.Phase(name="training", total=20))
    for number in range(1, 21):
        control.check()
        time.sleep(0.1)
        emit(protocol.Step(step=number, total=20, epoch=1, loss=0.5, seconds=0.1))
    return outcome(step=20)


def wait_for_file(job: Any, run: Any, emit: Any, control: Any, resume_from: Any) -> Any:
    """Goes on once the file `go` lies in the run folder."""
    emit(protocol.Phase(name="training"))
    while not (run.path / "go").exists():
        control.check()
        time.sleep(0.02)
    return steps(job, run, emit, control, resume_from)


def raising(error: BaseException) -> Any:
    def train(job: Any, run: Any, emit: Any, control: Any, resume_from: Any) -> Any:
        emit(protocol.Phase(name="training"))
        raise error

    return train


class OutOfMemoryError(RuntimeError):
    """Named as torch's own."""


def two_problems() -> UserError:
    return UserError(
        Problem(code="first", title="The first thing is wrong.", setting="model.base"),
        Problem(code="second", title="And a second.", severity="warning"),
    )


def resumed(job: Any, run: Any, emit: Any, control: Any, resume_from: Any) -> Any:
    emit(protocol.Warning(code="resumed", title=resume_from.name if resume_from else "new"))
    return outcome()


TRAINERS = {
    "steps": steps,
    "garbage": garbage,
    "flood": flood,
    "freeze": freeze,
    "changed": changed,
    "unreadable_state": unreadable_state,
    "exit": exit_suddenly,
    "segfault": segfault,
    "slow_save": slow_save,
    "paced": paced,
    "wait_for_file": wait_for_file,
    "resumed": resumed,
    "user_error": raising(two_problems()),
    "cuda_memory": raising(OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")),
    "memory": raising(RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")),
    "disk": raising(OSError(errno.ENOSPC, "No space left on device")),
    "rust_disk": raising(Exception("I/O error: No space left on device (os error 28)")),
    "bug": raising(ZeroDivisionError("division by zero")),
    **{f"deaf_{p}": deaf_in(p) for p in ("loading", "caching", "training")},
    **{f"{p}": obedient_in(p) for p in ("loading", "training", "sampling", "saving", "paused")},
}


if __name__ == "__main__":
    name, folder, *rest = sys.argv[1:]
    resume = rest[rest.index("--resume") + 1] if "--resume" in rest else ""
    # In this process too each file that was just written is held for one try.
    with pytest.MonkeyPatch.context() as patch, momentary_refusals(patch):
        code = main.run(Path(folder), resume=resume, trainer=TRAINERS[name])
    sys.stderr.flush()
    os._exit(code)
