"""The worker process: `python -m core.worker RUN_FOLDER [--resume NAME|latest] [--no-stdin]`.

Its streams, from the first moment on:
- A private copy of stdout carries the protocol, one JSON event a line (core/worker/protocol.py).
- stdout and stderr themselves become the run's log.txt, so whatever libraries print is kept even
  when nobody is there any more, and never mixes with the protocol. Whoever wants to see the log
  reads the file. Only what goes wrong before the run folder is known reaches the parent's stderr.
- stdin carries commands. Its end means that the window is gone; training goes on.

Exit codes: 0 finished, 1 failed, 2 bad settings or arguments, 130 stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import functools
import logging
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from core.config.job import Job
from core.errors import Problem, Stopped, UserError
from core.printable import log_to_stderr, printable
from core.runs import checkpoints, lock
from core.runs.events import EventLog
from core.runs.folder import RunFolder
from core.training.control import Control
from core.worker import listen, protocol
from core.worker.awake import end_last
from core.worker.failures import is_disk_full, problem_of
from core.worker.outlet import Outlet, PipeWriter

FINISHED, FAILED, BAD_SETTINGS, STOPPED = 0, 1, 2, 130
_CODES = {"finished": FINISHED, "stopped": STOPPED, "failed": FAILED}
_PACKAGES = (
    "torch",
    "diffusers",
    "transformers",
    "peft",
    "accelerate",
    "safetensors",
    "bitsandbytes",
    "prodigyopt",
)

# (job, run, emit, control, resume_from) -> core.training.trainer.Outcome
TrainFunction = Callable[[Job, RunFolder, Any, Control, Path | None], Any]

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the arguments and train; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m core.worker")
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--resume", default="", metavar="NAME", help="a checkpoint, or latest")
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="resume although the model or the optimizer has changed",
    )
    parser.add_argument("--no-stdin", action="store_true", help="take no commands from stdin")
    try:
        parsed = parser.parse_args(arguments)
    except SystemExit as end:
        return BAD_SETTINGS if end.code else FINISHED
    trainer = _accepting_trainer() if parsed.accept_changes else None
    return run(parsed.run, resume=parsed.resume, stdin=not parsed.no_stdin, trainer=trainer)


def run(
    folder: Path, *, resume: str = "", stdin: bool = True, trainer: TrainFunction | None = None
) -> int:
    """Train the job in `folder` from the checkpoint `resume`; returns the exit code.

    Takes over the process: its streams and signals. `trainer` stands in for
    core.training.trainer.train, which is imported only after the job has proved readable.
    """
    silent = int(os.environ.get("RANK", "0") or 0) > 0
    commands = _private_stdin()
    pipe = PipeWriter(-1 if silent else _private_stdout())
    place = RunFolder(folder.absolute())
    if silent:
        return _follow(place, resume, trainer)
    try:
        if not place.job_file.exists():
            place.read_job()
        held = lock.acquire(place)
        if held is None:
            return _refuse(pipe, _already_running(place), FAILED)
        # A name that is none must not leave a failure behind in the run's events.
        start, found = checkpoints.choose(place, resume) if resume else (None, [])
        _log_to(place.log_file)
        listen.clear_commands(place)
        outlet = Outlet(EventLog(place.events_file), pipe)
    except UserError as error:
        return _refuse(pipe, error.problem, BAD_SETTINGS)
    except OSError as error:
        return _refuse(pipe, _unwritable(place, error), FAILED)
    control = Control()
    listen.guard_stop(control, outlet, lambda: _give_up(place, outlet))
    listen.listen_to_signals(control)
    end_last()
    listen.beat(outlet)
    listen.listen_to_folder(place, control)
    if stdin and commands >= 0:
        listen.listen_to_stdin(commands, control)
    if resume and start is None:
        found = [*found, _nothing_to_resume()]
    last_words, code = _work(place, outlet, control, start, found, trainer, resume == "latest")
    outlet.finish(*last_words)
    held.release()
    return code


def _work(
    place: RunFolder,
    outlet: Outlet,
    control: Control,
    start: checkpoints.CheckpointInfo | None,
    warnings: list[Problem],
    trainer: TrainFunction | None,
    any_start: bool,
) -> tuple[list[protocol._Event], int]:
    """Train; returns the last events and the exit code, whatever happens.

    any_start: where the state in `start` proves unreadable, the one before it is tried.
    """
    job: Job | None = None
    code = BAD_SETTINGS
    try:
        job = place.read_job()
        code = FAILED
        outlet.emit(protocol.Phase(name="loading", text="starting"))
        prepare_environment(job)
        train = trainer or _import_trainer()

        def announce(start: checkpoints.CheckpointInfo | None, warnings: list[Problem]) -> None:
            outlet.emit(describe_process(start.name if start else ""))
            for problem in warnings:
                outlet.emit(event_of(problem))
            control.check()

        attempt = functools.partial(train, job, place, outlet.emit, control)
        outcome = _train(attempt, place, start, warnings, any_start, announce)
        done = protocol.Done(
            status=outcome.status,
            step=outcome.step,
            path=place.relative(outcome.lora) if outcome.lora else "",
            output=str(outcome.output) if outcome.output else "",
        )
        return [done], _CODES[outcome.status]
    except Stopped:
        return [_done(place, outlet, "stopped")], STOPPED
    except UserError as error:
        for problem in error.problems:
            log.error("%s", problem.sentence())
        return [*map(event_of, error.problems), _done(place, outlet, "failed")], code
    except BaseException as error:
        traceback.print_exc()
        problem = problem_of(error, job, place)
        return [event_of(problem), _done(place, outlet, "failed")], FAILED


def _train(
    attempt: Callable[[Path | None], Any],
    place: RunFolder,
    start: checkpoints.CheckpointInfo | None,
    warnings: list[Problem],
    any_start: bool,
    announce: Callable[[checkpoints.CheckpointInfo | None, list[Problem]], None],
) -> Any:
    """Train from `start`, or where its state proves unreadable from one before; the outcome.

    announce: is told before each attempt where it begins, and what was passed over until then.
    """
    while True:
        announce(start, warnings)
        try:
            return attempt(start.path if start else None)
        except UserError as error:
            if not any_start or start is None or error.problem.code != "checkpoint_damaged":
                raise
            told = replace(error.problem, severity="warning")
            start, found = checkpoints.latest_valid(place, before=start.step)
            warnings = [*warnings, told, *found, *([] if start else [_nothing_to_resume()])]


def _done(place: RunFolder, outlet: Outlet, status: protocol.Status) -> protocol.Done:
    lora = place.relative(place.lora_file) if place.lora_file.exists() else ""
    return protocol.Done(status=status, step=outlet.step, path=lora)


def _give_up(place: RunFolder, outlet: Outlet) -> None:
    """End the process at once; for a stop that cannot be waited for."""
    if outlet.finish(_done(place, outlet, "stopped")):
        os._exit(STOPPED)


def _nothing_to_resume() -> Problem:
    return Problem(
        code="nothing_to_resume",
        severity="warning",
        title="There is no checkpoint to go on from, so the run begins again.",
    )


def prepare_environment(job: Job) -> None:
    """Keep libraries offline (unless the job allows a download) and quiet; before their import."""
    if not job.model.allow_download:
        os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["PYTHONUTF8"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _accepting_trainer() -> TrainFunction:
    """The trainer, which is imported when it is called, told to accept another model."""

    def train(*arguments: Any) -> Any:
        from core.training.trainer import train

        return train(*arguments, accept_changes=True)

    return train


def _import_trainer() -> TrainFunction:
    from core.training.trainer import train

    return train


def describe_process(resumed_from: str = "") -> protocol.Hello:
    """`hello`: process id, versions of what is installed, device and its memory.

    Asks torch only where it is imported already; then without it the device stays empty.
    """
    versions = {"python": platform.python_version()}
    for package in ("limner", *_PACKAGES):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    device, memory = "", 0
    torch = sys.modules.get("torch")
    if torch is not None:
        versions["torch"] = str(torch.__version__)
        device, memory = _device(torch)
    return protocol.Hello(
        pid=os.getpid(),
        versions=versions,
        device=device,
        memory=memory,
        resumed_from=resumed_from,
    )


def _device(torch: Any) -> tuple[str, int]:
    if torch.cuda.is_available():
        facts = torch.cuda.get_device_properties(torch.cuda.current_device())
        return str(facts.name), int(facts.total_memory)
    if torch.backends.mps.is_available():
        return "Apple GPU", 0
    import psutil

    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' * (threads != 1)}", int(psutil.virtual_memory().total)


def event_of(problem: Problem) -> protocol.Warning | protocol.ProblemEvent:
    """The event that tells a problem."""
    kind = protocol.ProblemEvent if problem.severity == "error" else protocol.Warning
    return kind(
        code=problem.code,
        title=problem.title,
        detail=problem.detail,
        hint=problem.hint,
        setting=problem.setting,
        file=problem.file,
    )


def _already_running(place: RunFolder) -> Problem:
    pid = lock.running_pid(place)
    return Problem(
        code="run_is_running",
        title=f"The run in {place.path} is being trained already; stop it first.",
        detail=f"Its process has the number {pid}." if pid else "",
        file=str(place.path),
    )


def _unwritable(place: RunFolder, error: OSError) -> Problem:
    problem = Problem(
        code="run_folder_unwritable",
        title=f"The run's folder {place.path} cannot be written.",
        detail=str(error),
        file=str(place.path),
    )
    if is_disk_full(error):
        return replace(problem, code="disk_full", hint="Free some space on its disk.")
    return replace(problem, hint="Check its permissions.")


def _refuse(pipe: PipeWriter, problem: Problem, code: int) -> int:
    """Say on the pipe alone why nothing is done; the run's files may be another worker's."""
    print(printable(problem.sentence()), file=sys.stderr)
    for event in (event_of(problem), protocol.Done(status="failed")):
        pipe.put(event.type, protocol.encode(event).encode() + b"\n")
    pipe.drain(1.0)
    return code


def _private_stdout() -> int:
    """A copy of stdout that nobody else can print to; -1 when there is none."""
    try:
        return os.dup(1)
    except OSError:
        return -1


def _private_stdin() -> int:
    """A copy of stdin; stdin itself becomes empty, so that no library can wait for it."""
    try:
        copy = os.dup(0)
    except OSError:
        copy = -1
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    if nothing != 0:
        os.close(nothing)
    return copy


def _log_to(path: Path) -> None:
    """Send everything printed from now on to `path`. Raises OSError when it cannot be written."""
    # Binary, or Windows writes a carriage return more than Python does.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags, 0o666)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os.dup2(handle, 2)
    os.dup2(handle, 1)
    os.close(handle)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    print(f"--- worker {os.getpid()}, {time.strftime('%Y-%m-%d %H:%M:%S')} ---", file=sys.stderr)
    faulthandler.enable(file=2)
    log_to_stderr("%(asctime)s %(levelname)s %(name)s: %(message)s")


def _follow(place: RunFolder, resume: str, trainer: TrainFunction | None) -> int:
    """One of several processes of a run that is not the first: trains along and says nothing."""
    rank = os.environ["RANK"]
    _log_to(place.path / f"log-{rank}.txt")
    control = Control()
    listen.listen_to_signals(control)
    try:
        job = place.read_job()
        start, _ = checkpoints.choose(place, resume) if resume else (None, [])
        prepare_environment(job)
        train = trainer or _import_trainer()
        attempt = functools.partial(train, job, place, lambda _event: None, control)
        # As the first one does, which tells of it.
        outcome = _train(attempt, place, start, [], resume == "latest", lambda *_: None)
        return _CODES[outcome.status]
    except Stopped:
        return STOPPED
    except BaseException:
        traceback.print_exc()
        return FAILED
