"""Earlier runs at a glance, read from little more than the last lines of their events."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from core.runs.events import after_resume
from core.runs.folder import RunFolder, step_of
from core.runs.lock import is_running
from core.runs.queue import is_queued
from core.worker import protocol
from core.worker.protocol import Event, decode_event

RunStatus = Literal["finished", "stopped", "failed", "running", "crashed", "waiting"]

_TAILS = (8 * 1024, 256 * 1024)
_STARTING = 30.0  # seconds that a worker may need before its first event
_NAME = re.compile(r"(\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d)-(.+)")


@dataclass(frozen=True)
class RunSummary:
    """One run. created: local time. step of total optimizer steps, 0 when none was made.

    last_sample: the first picture of the newest samples. checkpoints: how many there are.
    crashed: its worker ended without a last word; it can be resumed. waiting: in the queue.
    """

    path: Path
    name: str
    created: datetime
    status: RunStatus
    step: int
    total: int
    last_sample: Path | None
    checkpoints: int

    @property
    def folder(self) -> RunFolder:
        """The run's folder."""
        return RunFolder(self.path)


def list_runs(runs_dir: Path) -> list[RunSummary]:
    """All runs in a folder, newest first; whatever is no run is left out."""
    try:
        with os.scandir(runs_dir) as entries:
            folders = [Path(entry.path) for entry in entries if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [summary for folder in folders if (summary := summarize(folder)) is not None]
    return sorted(found, key=lambda run: (run.created, run.name), reverse=True)


def summarize(folder: Path) -> RunSummary | None:
    """The summary of one run folder, or None when it holds no run."""
    run = RunFolder(folder)
    try:
        frozen = run.job_file.stat().st_mtime
    except OSError:
        return None
    created, name = datetime.fromtimestamp(frozen), folder.name
    if match := _NAME.fullmatch(folder.name):
        try:
            created = datetime.strptime(match.group(1), "%Y-%m-%d_%H-%M-%S")
            name = match.group(2)
        except ValueError:
            pass
    status, step, total = progress(run)
    checkpoints = _steps_in(run.checkpoints_folder)
    return RunSummary(
        path=folder,
        name=name,
        created=created,
        status=status,
        step=step,
        total=total,
        last_sample=_last_sample(run),
        checkpoints=len(checkpoints),
    )


def progress(run: RunFolder) -> tuple[RunStatus, int, int]:
    """Status, last step and total steps of a run, from the tail of its events."""
    done: protocol.Done | None = None
    events: list[Event] = []
    reached, total = 0, 0
    for size in _TAILS:
        events, whole = _tail(run.events_file, size)
        events = after_resume(events)
        reached, total = _steps_told(events)
        if total or whole:
            break
    if events and isinstance(events[-1], protocol.Done):
        done = events[-1]
        reached = max(reached, done.step)
    if is_running(run):
        return "running", reached, total
    if done is not None:
        return done.status, reached, total
    if not events and is_queued(run.path):
        return "waiting", 0, 0
    if not events and _age(run.job_file) < _STARTING:
        return "running", 0, 0
    return "crashed", reached, total


def _steps_told(events: list[Event]) -> tuple[int, int]:
    """Steps done and in all, as last told; a resume may have nothing left to do, and no step."""
    for event in reversed(events):
        if isinstance(event, protocol.Step):
            return event.step, event.total
        if isinstance(event, protocol.Phase) and event.name == "training" and event.total:
            return event.done, event.total
    return 0, 0


def _tail(path: Path, size: int) -> tuple[list[Event], bool]:
    """Events in the last `size` bytes, and whether that was the whole file."""
    try:
        with open(path, "rb") as file:
            start = max(0, os.fstat(file.fileno()).st_size - size)
            file.seek(start)
            lines = file.read().split(b"\n")
    except OSError:
        return [], True
    if start:
        del lines[0]
    events = [event for line in lines[:-1] if (event := decode_event(line)) is not None]
    return events, start == 0


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return _STARTING


def _steps_in(folder: Path) -> list[tuple[int, str]]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except OSError:
        return []
    return sorted((step, name) for name in names if (step := step_of(name)) is not None)


def _last_sample(run: RunFolder) -> Path | None:
    folder = run.path / "samples"
    for _, name in reversed(_steps_in(folder)):
        pictures = sorted(p.name for p in (folder / name).glob("*.png"))
        pictures = [picture for picture in pictures if not picture.startswith(".")]
        if pictures:
            return folder / name / pictures[0]
    return None
