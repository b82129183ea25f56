"""Which running trainings read a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.runs import lock
from core.runs.folder import RunFolder
from core.runs.using import running_on


def make(runs: Path, name: str, job: Any) -> RunFolder:
    run = RunFolder(runs / name)
    run.path.mkdir(parents=True)
    run.job_file.write_text(job if isinstance(job, str) else json.dumps(job), encoding="utf-8")
    return run


def test_only_running_ones_that_touch_the_folder(tmp_path: Path) -> None:
    runs, pictures = tmp_path / "runs", tmp_path / "pictures"
    (pictures / "inner").mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(pictures)
    concept = {"path": str(link / "inner")}
    uses = make(runs, "b", {"concepts": [{"path": str(tmp_path / "other")}, concept]})
    ended = make(runs, "c", {"concepts": [concept]})
    off = make(runs, "d", {"concepts": [{**concept, "enabled": False}]})
    near = make(runs, "e", {"concepts": [{"path": str(tmp_path / "pictures 2")}]})
    held = [lock.acquire(run) for run in (uses, off, near)]
    try:
        assert running_on(pictures, runs) == [uses.path]
        assert running_on(pictures / "inner", runs) == [uses.path]
        assert running_on(tmp_path / "elsewhere", runs) == []
        assert not ended.lock_file.exists()
    finally:
        for one in held:
            assert one is not None
            one.release()
    assert running_on(pictures, runs) == []


@pytest.mark.parametrize(
    "job", ["", "[]", "{", '{"concepts": 3}', '{"concepts": [1, {"path": 2}]}']
)
def test_a_run_that_cannot_be_read_is_left_out(tmp_path: Path, job: str) -> None:
    run = make(tmp_path / "runs", "a", job)
    held = lock.acquire(run)
    assert held is not None
    assert running_on(tmp_path, tmp_path / "runs") == []
    held.release()


def test_without_runs(tmp_path: Path) -> None:
    assert running_on(tmp_path, tmp_path / "none") == []
