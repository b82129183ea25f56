"""The other side of the worker: start it, hear it, command it, end it. No torch, no Qt."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from core.errors import Problem
from core.files import write_text
from core.paths import console_python
from core.runs.checkpoints import resumable_steps
from core.runs.folder import RunFolder
from core.worker import protocol
from core.worker.failures import manner_of_end
from core.worker.lineprocess import LineProcess
from core.worker.protocol import Event


def worker_command(
    run: RunFolder, resume: str | None = None, python: str = "", accept_changes: bool = False
) -> list[str]:
    """The command line of a worker for `run`; `resume` names a checkpoint, or is `latest`.

    accept_changes: resume although another model or optimizer has taken the place of the run's.
    """
    # -P: a file named torch.py in the folder where Limner was started must not be imported.
    command = [python or console_python(), "-P", "-m", "core.worker", str(run.path)]
    if resume:
        command += ["--resume", resume]
    return [*command, "--accept-changes"] if accept_changes else command


class WorkerProcess(LineProcess[Event]):
    """A worker of a run that was started here."""

    def __init__(
        self,
        run: RunFolder,
        resume: str | None = None,
        python: str = "",
        command: Sequence[str] | None = None,
        accept_changes: bool = False,
    ) -> None:
        """Start it; `command` stands in for the usual command line. Raises OSError."""
        usual = command or worker_command(run, resume, python, accept_changes)
        super().__init__(usual, protocol.decode_event)
        self.run = run

    def send(self, command: protocol.Command) -> None:
        """Send a command; returns at once, also when the worker hangs or is gone."""
        self.send_line(protocol.encode(command).encode() + b"\n")

    def end(self, patience: float = 3.0) -> int | None:
        """Stop without saving, then terminate, then kill, each with some patience."""
        self.send(protocol.Stop(save=False))
        if self.wait(patience) is None:
            self.terminate()
            if self.wait(patience) is None:
                self.kill()
        return self.wait(patience)


def send_by_folder(run: RunFolder, command: protocol.Command) -> None:
    """Command a worker that somebody else started; it looks once a second. Raises OSError."""
    # A folder that was deleted must not come back with a command alone in it.
    os.stat(run.job_file)
    name = f"{time.time_ns():020d}-{os.getpid()}.json"
    write_text(run.commands_folder / name, protocol.encode(command) + "\n")


def log_tail(run: RunFolder, lines: int = 20) -> list[str]:
    """The last lines of the run's log; empty when there is none."""
    try:
        with open(run.log_file, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 64 * 1024))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]


def why_it_died(run: RunFolder, code: int | None, printed: str = "") -> Problem:
    """What to tell about a worker that ended without `done`, with the log's last lines.

    code: its exit code where known, negative for a signal. printed: what came on its stderr.
    """
    tail = printed.splitlines()[-5:] or _last_words(log_tail(run, 200))
    kept = resumable_steps(run)
    hint = "Start it again to begin anew."
    if kept:
        hint = f"Resume it from its checkpoint at step {kept[-1]}."
    return Problem(
        code="worker_died",
        title=f"The training process {manner_of_end(code, tail)}.",
        detail="\n".join(["The end of its log:", *tail]) if tail else "",
        hint=hint,
        file=str(run.log_file),
    )


def _last_words(log: list[str]) -> list[str]:
    """The end of what the last worker of a run printed."""
    starts = [number for number, line in enumerate(log) if line.startswith("--- worker ")]
    return log[starts[-1] + 1 :][-5:] if starts else log[-5:]
