"""`python scripted.py TRAINER ARGUMENTS...`: the command line, its workers' trainer scripted."""

from __future__ import annotations

import sys
from pathlib import Path

from core import cli
from core.runs.folder import RunFolder
from core.worker import client

TRAINERS = Path(__file__).parents[1] / "worker" / "trainers.py"

if __name__ == "__main__":
    trainer, *arguments = sys.argv[1:]

    def command(
        run: RunFolder, resume: str | None = None, python: str = "", accept_changes: bool = False
    ) -> list[str]:
        line = [sys.executable, str(TRAINERS), trainer, str(run.path)]
        if resume:
            line += ["--resume", resume]
        return [*line, "--accept-changes"] if accept_changes else line

    client.worker_command = command
    sys.exit(cli.main(arguments))
