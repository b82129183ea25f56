"""`limner train` and `limner resume`: start a worker, show what it says, stop it cleanly."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.cli.job import build_job
from core.cli.progress import Reporter, reporter
from core.cli.text import messages, print_problems, say
from core.config.job import Job
from core.errors import UserError, fail
from core.paths import default_runs_dir, user_path
from core.runs.folder import RunFolder, create
from core.runs.history import progress
from core.runs.lock import is_running
from core.runs.preflight import preflight
from core.worker import protocol
from core.worker.client import WorkerProcess, why_it_died

DONE, FAILED, STOPPED = 0, 1, 130
_SILENT_SECONDS = 30.0
# Whoever ends whole groups of processes (timeout, service managers) often signals one twice.
_ONE_WISH_SECONDS = 0.25


@dataclass(frozen=True)
class Ended:
    """How a worker ended: the exit code to give, and its last word if there was one.

    needs_consent: it refused to go on with what has changed, and would with --accept-changes.
    """

    code: int
    done: protocol.Done | None
    needs_consent: bool = False


def train_target(
    target: str, sets: Sequence[str], *, runs: Path | None, run_dir: Path | None, as_json: bool
) -> int:
    """Check, freeze and train; returns the exit code. Raises UserError before anything starts."""
    run = freeze(target, sets, runs=runs, run_dir=run_dir)
    if not as_json:
        say(f"Run: {run.path}")
    ended = follow(run, None, as_json)
    if not as_json:
        tell_end(run, ended)
    return ended.code


def freeze(
    target: str, sets: Sequence[str], *, runs: Path | None, run_dir: Path | None
) -> RunFolder:
    """A new run folder for `target`. Raises UserError with everything that is in the way."""
    built = build_job(target, sets)
    folder = runs or default_runs_dir()
    found = preflight(built.job, run_dir or folder)
    if found.errors:
        raise UserError(*built.warnings, *found.problems)
    # The worker tells the plan's warnings itself, into the run's events too.
    told = {(p.code, p.title) for p in found.plan.problems} if found.plan else set()
    own = [p for p in found.problems if (p.code, p.title) not in told]
    print_problems([*built.warnings, *own])
    return create(with_absolute_output(built.job), folder, run_dir)


def with_absolute_output(job: Job) -> Job:
    """`job` with its output file's folder spelled out, so that it means the same everywhere."""
    if not job.model.output.strip():
        return job
    copy = job.model_copy(deep=True)
    copy.model.output = str(user_path(job.model.output).absolute())
    return copy


def resume_run(
    run_dir: Path, checkpoint: str, *, accept_changes: bool = False, as_json: bool
) -> int:
    """Go on with a run; returns the exit code. Raises UserError when that is impossible."""
    run = RunFolder(user_path(run_dir).absolute())
    run.read_job()
    if is_running(run):
        raise fail(
            "run_is_running",
            f"The run in {run.path} is being trained at this moment; it needs no resume.",
            file=str(run.path),
        )
    status, step, total = progress(run)
    if status == "finished" and checkpoint == "latest":
        say(
            f"The run in {run.path} is finished ({step} of {total} steps).",
            console=messages() if as_json else None,
        )
        return DONE
    ended = follow(run, checkpoint, as_json, accept_changes)
    if not as_json:
        tell_end(run, ended, checkpoint)
    return ended.code


def follow(
    run: RunFolder, resume: str | None, as_json: bool, accept_changes: bool = False
) -> Ended:
    """Start a worker on `run` and show its events until it ends.

    The first Ctrl-C (or SIGTERM) stops it with a checkpoint, the second ends it at once. It runs
    in a session of its own, so that the terminal's Ctrl-C reaches it only through here.
    """
    shown = reporter(as_json)
    try:
        worker = WorkerProcess(run, resume, accept_changes=accept_changes)
    except OSError as error:
        shown.close()
        raise fail("worker_not_started", f"The training process cannot start: {error}.") from error
    try:
        with _stopping(worker, shown) as asked:
            done, needs_consent = _show(worker, shown)
    finally:
        shown.close()
    code = worker.wait(10.0)
    if code is None:
        worker.kill()
    if done is not None:
        codes = {"finished": DONE, "stopped": STOPPED, "failed": code or FAILED}
        return Ended(codes[done.status], done, needs_consent)
    if len(asked) > 1:
        return Ended(STOPPED, None)
    print_problems([why_it_died(run, worker.poll(), worker.printed())])
    return Ended(FAILED, None)


def _show(worker: WorkerProcess, shown: Reporter) -> tuple[protocol.Done | None, bool]:
    """Pass events on until the worker's end; returns its last word, and whether it asks for
    consent to what has changed."""
    done: protocol.Done | None = None
    silent = needs_consent = False
    while not worker.ended:
        event = worker.get(0.2)
        if event is None:
            if not worker.ended and worker.silent_for() > _SILENT_SECONDS and not silent:
                silent = True
                shown.note(f"No sign of life for {_SILENT_SECONDS:.0f} s; Ctrl-C twice ends it.")
            continue
        silent = False
        shown.take(event)
        if isinstance(event, protocol.Done):
            done = event
        elif isinstance(event, protocol.ProblemEvent):
            needs_consent |= event.code in protocol.NEEDS_CONSENT
    return done, needs_consent


@contextmanager
def _stopping(worker: WorkerProcess, shown: Reporter) -> Iterator[list[float]]:
    """Turn Ctrl-C and SIGTERM into a stop of the worker; gives the times of those so far."""
    asked: list[float] = []

    def on_signal(_number: int, _frame: object) -> None:
        now = time.monotonic()
        if asked and now - asked[-1] < _ONE_WISH_SECONDS:
            return
        asked.append(now)
        if len(asked) == 1:
            worker.send(protocol.Stop(save=True))
            shown.note("Stopping with a checkpoint; Ctrl-C again ends it at once.")
        else:
            worker.kill()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, on_signal) for number in numbers]
    try:
        yield asked
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def tell_end(run: RunFolder, ended: Ended, checkpoint: str = "latest") -> None:
    """Say what there is now, and how to go on; checkpoint: where this began."""
    done = ended.done
    if done is not None and done.status == "finished":
        say(f"Finished after {done.step} steps.", style="bold green")
    elif ended.code == STOPPED:
        say(f"Stopped{f' at step {done.step}' if done else ''}.", style="bold")
    if done is not None and done.path:
        say(f"LoRA:    {run.path / done.path}")
    if done is not None and done.output:
        say(f"Copy:    {done.output}")
    samples = run.path / "samples"
    if samples.is_dir():
        say(f"Samples: {samples}")
    if ended.needs_consent:
        named = "" if checkpoint == "latest" else f" --checkpoint {checkpoint}"
        say(f'Go on all the same with: limner resume "{run.path}"{named} --accept-changes')
    elif ended.code in (FAILED, STOPPED) and run.job_file.exists():
        say(f'Resume with: limner resume "{run.path}"')
