"""Runs whose worker has a scripted trainer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.config.job import defaults, require, set_path
from core.runs.folder import RunFolder, create
from core.worker.client import WorkerProcess
from tests.refusals import Refusals

SCRIPT = Path(__file__).with_name("trainers.py")


@pytest.fixture(autouse=True)
def _held_for_a_moment(refusals: Refusals) -> None:
    """See `refusals`."""


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A frozen run in a folder with a space and letters of another script."""
    data = set_path(defaults(), "model.base", "nowhere.safetensors")
    data = set_path(data, "concepts.0.path", "pictures")
    return create(require(data), tmp_path, tmp_path / "ein Lauf 图")


StartWorker = Callable[..., WorkerProcess]
Command = Callable[..., list[str]]


@pytest.fixture
def script_command() -> Command:
    """Make the command line of a worker with a scripted trainer."""

    def make(name: str, run: RunFolder, *more: str) -> list[str]:
        return [sys.executable, str(SCRIPT), name, str(run.path), *more]

    return make


@pytest.fixture
def start(run: RunFolder, script_command: Command) -> Iterator[StartWorker]:
    """Start a worker with the scripted trainer of that name; killed at the test's end."""
    started: list[WorkerProcess] = []

    def begin(name: str, *more: str, run: RunFolder = run) -> WorkerProcess:
        worker = WorkerProcess(run, command=script_command(name, run, *more))
        started.append(worker)
        return worker

    yield begin
    for worker in started:
        worker.kill()
        worker.wait(10)


@pytest.fixture
def all_events() -> Callable[[WorkerProcess], list[Any]]:
    """Read a worker's events to its end."""

    def read(worker: WorkerProcess) -> list[Any]:
        events: list[Any] = []
        while not worker.ended:
            event = worker.get(30)
            assert event is not None or worker.ended, "nothing was heard for half a minute"
            if event is not None:
                events.append(event)
        return events

    return read


@pytest.fixture
def until() -> Callable[[WorkerProcess, str], Any]:
    """Read a worker's events up to the first of a type (or a phase of that name)."""

    def read(worker: WorkerProcess, wanted: str) -> Any:
        while not worker.ended:
            event = worker.get(30)
            assert event is not None or worker.ended, f"no {wanted} came for half a minute"
            if event is not None and wanted in (event.type, getattr(event, "name", "")):
                return event
        raise AssertionError(f"the worker ended without {wanted}")

    return read
