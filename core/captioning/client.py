"""The other side of the captioning worker: start it, hear it, stop it. No torch, no Qt."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from core.captioning import messages
from core.captioning.options import CaptionOptions
from core.errors import Problem
from core.paths import console_python
from core.worker.failures import manner_of_end
from core.worker.lineprocess import LineProcess


def usual_command() -> list[str]:
    """The command line of a captioning worker."""
    # -P: a file named torch.py in the folder where Limner was started must not be imported.
    return [console_python(), "-P", "-m", "core.captioning.worker"]


class CaptionWorker(LineProcess[messages.Event]):
    """A captioning worker that was started here."""

    def __init__(self, command: Sequence[str] | None = None) -> None:
        """Start it; `command` stands in for the usual command line. Raises OSError."""
        super().__init__(command or usual_command(), _decode)

    def begin(self, pictures: Sequence[Path], options: CaptionOptions) -> None:
        """Tell it what to do; returns at once."""
        for start in range(0, len(pictures), messages.PATHS_A_LINE):
            part = pictures[start : start + messages.PATHS_A_LINE]
            self._send(messages.Pictures([os.path.abspath(path) for path in part]))
        self._send(messages.Start(asdict(options)))

    def stop(self) -> None:
        """Ask it to end; it does within two seconds, whatever it is doing."""
        self._send(messages.Stop())

    def why_it_died(self) -> Problem:
        """What to tell about a worker that ended without `Done`."""
        tail = [line for line in self.printed().splitlines() if line.strip()][-5:]
        how = manner_of_end(self.wait(2.0), tail)
        return Problem(
            code="worker_died",
            title=f"The captioning process {how}.",
            detail="\n".join(["The last it printed:", *tail]) if tail else "",
            hint="What it had captioned is kept; start again for the rest.",
        )

    def _send(self, command: messages.Command) -> None:
        self.send_line(messages.encode(command))


def _decode(line: bytes) -> messages.Event | None:
    return messages.decode(line)  # type: ignore[return-value]  # a worker sends no commands
