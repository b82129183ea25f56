"""A run's folder on disk: names of everything in it (the layout of docs: README, 'A run')."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from core.config.job import Job, require
from core.errors import fail
from core.files import write_json
from core.paths import EVENTS_NAME, JOB_NAME, foreign_system
from core.reading import Unreadable, read_json


@dataclass(frozen=True)
class RunFolder:
    """Paths inside one run's folder; makes nothing by itself."""

    path: Path

    @property
    def job_file(self) -> Path:
        """The frozen, fully resolved job."""
        return self.path / JOB_NAME

    @property
    def events_file(self) -> Path:
        """Every event, append-only, one JSON object a line."""
        return self.path / EVENTS_NAME

    @property
    def log_file(self) -> Path:
        """The worker's whole output."""
        return self.path / "log.txt"

    @property
    def lock_file(self) -> Path:
        """Held by the worker while it runs; tells a window whether a run is alive."""
        return self.path / "worker.lock"

    @property
    def commands_folder(self) -> Path:
        """Commands for a worker whose stdin belongs to a window that is gone."""
        return self.path / "commands"

    @property
    def checkpoints_folder(self) -> Path:
        """Holds one folder per checkpoint, step-000100 and so on."""
        return self.path / "checkpoints"

    @property
    def lora_file(self) -> Path:
        """The newest checkpoint's LoRA."""
        return self.path / "lora.safetensors"

    @property
    def head_file(self) -> Path:
        """The step that the run stands at, where checkpoints of later steps lie about."""
        return self.checkpoints_folder / "head.json"

    def checkpoint(self, step: int) -> Path:
        """The folder of the checkpoint at `step`."""
        return self.checkpoints_folder / step_name(step)

    def samples(self, step: int) -> Path:
        """The folder of the sample pictures drawn at `step`."""
        return self.path / "samples" / step_name(step)

    def relative(self, path: Path) -> str:
        """`path` as events carry it: relative to the run folder, with forward slashes."""
        return path.relative_to(self.path).as_posix()

    def read_job(self) -> Job:
        """The job that this run was started with. Raises UserError when it is missing or bad."""
        try:
            data = read_json(self.job_file)
        except Unreadable as error:
            if error.why == "missing":
                raise fail(
                    "run_not_found",
                    f"{self.path} is not a run's folder: there is no job.json in it.",
                    file=str(self.path),
                ) from None
            raise fail(
                "run_job_unreadable",
                f"{self.job_file} {error}; the run cannot be resumed.",
                file=str(self.job_file),
            ) from None
        return require(data)


def step_name(step: int) -> str:
    """The folder name of a step: `step-000100`."""
    return f"step-{step:06d}"


def step_of(name: str) -> int | None:
    """The step in a folder name, or None."""
    match = re.fullmatch(r"step-(\d{6,})", name)
    return int(match.group(1)) if match else None


def safe_name(text: str, length: int = 40) -> str:
    """`text` as a part of a file name on every system; keeps letters of all scripts."""
    cleaned = re.sub(r'[\x00-\x1f<>:"/\\|?*\s.]+', "-", text.strip()).strip("-")
    cleaned = cleaned.encode("utf-8")[: length * 3].decode("utf-8", "ignore")[:length].strip("-")
    return cleaned or "run"


def create(job: Job, runs: Path, folder: Path | None = None) -> RunFolder:
    """Make a new run folder below `runs` (or exactly `folder`) and freeze `job` into it.

    Raises UserError when `folder` already holds a run or cannot be made.
    """
    for given in (runs, folder):
        if given is not None and (system := foreign_system(str(given))):
            raise fail(
                "run_folder_foreign",
                f"{given} is a path of {system}, not of this computer; choose another folder.",
                file=str(given),
            )
    name = job.name or (job.concepts[0].name if job.concepts else "") or "run"
    if folder is None:
        base = runs / f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{safe_name(name)}"
        folder, number = base, 2
        while folder.exists():
            folder = base.with_name(f"{base.name}-{number}")
            number += 1
    run = RunFolder(folder.absolute())
    if run.job_file.exists():
        raise fail(
            "run_exists",
            f"{folder} already holds a run; choose another folder or resume that run.",
            file=str(folder),
        )
    try:
        run.path.mkdir(parents=True, exist_ok=True)
        write_json(run.job_file, job.model_dump())
    except OSError as error:
        raise fail(
            "run_folder_unwritable",
            f"The run's folder {folder} cannot be written; choose another place for runs.",
            detail=str(error),
            file=str(folder),
        ) from error
    return run
