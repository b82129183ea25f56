"""Checkpoints on disk: which there are, which are whole, and which one a run goes on from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from core.config.job import defaults, require, set_path
from core.errors import UserError
from core.runs.checkpoints import (
    choose,
    latest_valid,
    list_checkpoints,
    safetensors_fault,
    stand_at,
)
from core.runs.folder import RunFolder, create


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A frozen run."""
    data = set_path(defaults(), "model.base", "base.safetensors")
    data = set_path(data, "concepts.0.path", "pictures")
    return create(require(data), tmp_path / "runs")


def safetensors(values: int = 4) -> bytes:
    header = {
        "__metadata__": {"a": "b"},
        "x": {"dtype": "F32", "shape": [values], "data_offsets": [0, values * 4]},
    }
    raw = json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + b"\x01" * (values * 4)


def make_checkpoint(run: RunFolder, at: int, with_state: bool = True) -> Path:
    folder = run.checkpoint(at)
    folder.mkdir(parents=True)
    (folder / "lora.safetensors").write_bytes(safetensors())
    if with_state:
        state = folder / "state"
        state.mkdir()
        files = {"weights.safetensors": safetensors(), "trainer.json": b'{"step": 1}'}
        listed = {}
        for name, data in files.items():
            (state / name).write_bytes(data)
            listed[name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        data = safetensors()
        lora = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        manifest = {"limner": 1, "step": at, "files": listed, "lora": lora}
        (state / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def test_no_checkpoints(run: RunFolder) -> None:
    assert list_checkpoints(run) == []
    assert latest_valid(run) == (None, [])
    assert choose(run, "latest") == (None, [])


def test_checkpoints_are_listed_by_step(run: RunFolder) -> None:
    for at, with_state in ((300, True), (100, False), (1_000_000, True)):
        make_checkpoint(run, at, with_state)
    (run.checkpoints_folder / ".writing-step-000400").mkdir()
    (run.checkpoints_folder / "notes").mkdir()
    found = list_checkpoints(run)
    assert [c.step for c in found] == [100, 300, 1_000_000]
    assert [c.has_state for c in found] == [False, True, True]
    assert all(c.valid and c.problem is None for c in found)
    newest, problems = latest_valid(run)
    assert newest is not None
    assert (newest.name, problems) == ("step-1000000", [])
    assert newest.lora.is_file()


def cut_lora(folder: Path) -> None:
    path = folder / "lora.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def flip_lora(folder: Path) -> None:
    path = folder / "lora.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x02")


def lose_lora(folder: Path) -> None:
    (folder / "lora.safetensors").unlink()


def cut_state(folder: Path) -> None:
    path = folder / "state" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-3])


def flip_state(folder: Path) -> None:
    path = folder / "state" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x02")


def lose_state_file(folder: Path) -> None:
    (folder / "state" / "trainer.json").unlink()


def no_manifest(folder: Path) -> None:
    (folder / "state" / "manifest.json").unlink()


def bad_manifest(folder: Path) -> None:
    (folder / "state" / "manifest.json").write_text('{"files": 3}', encoding="utf-8")


def foreign_state(folder: Path) -> None:
    path = folder / "state" / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8").replace("200", "100"), encoding="utf-8")


DAMAGES = [
    cut_lora,
    flip_lora,
    lose_lora,
    cut_state,
    flip_state,
    lose_state_file,
    no_manifest,
    bad_manifest,
    foreign_state,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(run: RunFolder, damage: Any) -> None:
    make_checkpoint(run, 100)
    damage(make_checkpoint(run, 200))
    newest, problems = latest_valid(run)
    assert newest is not None
    assert newest.step == 100
    (problem,) = problems
    assert (problem.code, problem.severity) == ("checkpoint_damaged", "warning")
    assert "step-000200" in problem.title
    with pytest.raises(UserError, match="step-000100") as caught:
        choose(run, "step-000200")
    assert caught.value.problem.code == "checkpoint_damaged"


def test_the_latest_checkpoint_is_of_the_way_that_was_taken_last(run: RunFolder) -> None:
    for at in (100, 200, 300, 400):
        make_checkpoint(run, at)
    stand_at(run, 200)  # somebody resumed from there
    newest, _ = latest_valid(run)
    assert newest is not None and newest.step == 200
    assert [c.step for c in list_checkpoints(run)] == [100, 200, 300, 400]
    make_checkpoint(run, 250)
    stand_at(run, 250)
    newest, _ = latest_valid(run)
    assert newest is not None and newest.step == 250
    flip_state(run.checkpoint(250))
    flip_state(run.checkpoint(200))
    newest, problems = latest_valid(run)
    assert newest is not None and (newest.step, len(problems)) == (100, 2)
    stand_at(run, 400)
    newest, _ = latest_valid(run)
    assert newest is not None and newest.step == 400
    assert sorted(p.name for p in run.checkpoints_folder.iterdir() if not p.is_dir()) == []


@pytest.mark.parametrize("text", ["", "[]", '{"step": "x"}', '{"step": 1e999}', "[" * 100_000])
def test_a_damaged_note_of_where_the_run_stands_counts_as_none(run: RunFolder, text: str) -> None:
    make_checkpoint(run, 100)
    run.head_file.write_text(text)
    newest, problems = latest_valid(run)
    assert newest is not None and (newest.step, problems) == (100, [])


@pytest.mark.parametrize("name", ["step-000100", "100"])
def test_a_checkpoint_is_chosen_by_name(run: RunFolder, name: str) -> None:
    make_checkpoint(run, 100)
    make_checkpoint(run, 200)
    found, problems = choose(run, name)
    assert found is not None
    assert (found.step, problems) == (100, [])


@pytest.mark.parametrize("name", ["step-000300", "x", "", "²", "../step-000100"])
def test_a_wrong_name_tells_what_there_is(run: RunFolder, name: str) -> None:
    make_checkpoint(run, 100)
    with pytest.raises(UserError, match="resume from step-000100") as caught:
        choose(run, name)
    assert caught.value.problem.code == "checkpoint_not_found"


@pytest.mark.parametrize("text", ["[]", "[1]", "null", "3", "{", "[" * 100_000])
def test_a_job_that_holds_no_settings_is_named(run: RunFolder, text: str) -> None:
    run.job_file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"job\.json") as caught:
        run.read_job()
    assert caught.value.problem.code == "run_job_unreadable"


def test_a_checkpoint_without_state_cannot_be_resumed(run: RunFolder) -> None:
    make_checkpoint(run, 100, with_state=False)
    make_checkpoint(run, 200)
    with pytest.raises(UserError) as caught:
        choose(run, "step-000100")
    assert caught.value.problem.code == "checkpoint_without_state"


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"\xff" * 8, b"\x02" + b"\x00" * 7 + b"[]", b"\x04" + b"\x00" * 7 + b"{}  extra"],
)
def test_files_that_are_no_safetensors(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    assert safetensors_fault(path)
    path.write_bytes(safetensors())
    assert safetensors_fault(path) == ""
    path.write_bytes(safetensors() + b"more")
    assert safetensors_fault(path)


@pytest.mark.parametrize(
    "manifest",
    [
        b'{"step": 100, "files": {"a": {"size": 1e999, "sha256": "x"}}}',
        b'{"step": 1e999, "files": {}}',
        b'{"step": 100, "files": [1]}',
        b'{"step": 100}',
        b"[" * 900 + b"]" * 900,
        b"\xff",
    ],
)
def test_an_odd_manifest_passes_over_its_checkpoint_alone(run: RunFolder, manifest: bytes) -> None:
    make_checkpoint(run, 50)
    make_checkpoint(run, 100)
    (run.checkpoint(100) / "state" / "manifest.json").write_bytes(manifest)
    found, problems = latest_valid(run)
    assert found is not None and found.step == 50
    assert [p.code for p in problems] == ["checkpoint_damaged"]


def test_an_odd_header_passes_over_its_checkpoint_alone(run: RunFolder) -> None:
    make_checkpoint(run, 50)
    make_checkpoint(run, 100)
    header = b'{"a":{"data_offsets":[0,"x"]},"b":{"data_offsets":[0,5]}}'
    lora = run.checkpoint(100) / "lora.safetensors"
    lora.write_bytes(len(header).to_bytes(8, "little") + header + bytes(50))
    found, problems = latest_valid(run)
    assert found is not None and found.step == 50
    assert "damaged header" in problems[0].title
