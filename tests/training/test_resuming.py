"""Going on from a checkpoint: an older one, an unreadable one, and a folder that is gone."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import UserError
from core.runs.checkpoints import choose, latest_valid
from core.runs.folder import create
from core.training import checkpoint
from core.worker import protocol


def with_checkpoints(make_job: Any, **more: Any) -> Any:
    return make_job(checkpoints__every_unit="step", checkpoints__every=2, **more)


def test_a_resume_from_an_older_checkpoint_makes_its_lora_the_newest_and_stays_there(
    make_job: Any, run_trainer: Any
) -> None:
    job = with_checkpoints(make_job, checkpoints__keep_states=3)
    run = run_trainer(job).folder
    older = (run.checkpoint(2) / "lora.safetensors").read_bytes()
    assert run.lora_file.read_bytes() != older

    def stop_at_once(event: Any, control: Any) -> None:
        if event.type == "phase" and event.name == "training":
            control.submit(protocol.Stop())

    resumed = run_trainer(job, folder=run, resume=run.checkpoint(2), on_event=stop_at_once)
    assert resumed.outcome.status == "stopped" and resumed.outcome.step == 2
    assert run.lora_file.read_bytes() == older
    # Steps 4 and 6 are of the way that was left.
    newest, _ = latest_valid(run)
    assert newest is not None and newest.step == 2

    def save_at_three(event: Any, control: Any) -> None:
        if event.type == "step" and event.step == 3:
            control.submit(protocol.Stop())

    run_trainer(job, folder=run, resume=run.checkpoint(2), on_event=save_at_three)
    newest, _ = latest_valid(run)
    assert newest is not None and newest.step == 3
    assert run.lora_file.read_bytes() == (run.checkpoint(3) / "lora.safetensors").read_bytes()
    # The others can still be chosen by name.
    assert choose(run, "step-000006")[0] is not None


def test_states_of_the_way_that_was_left_take_no_other_ones_place(
    make_job: Any, run_trainer: Any
) -> None:
    job = with_checkpoints(make_job, checkpoints__keep_states=1, training__max_steps=8)
    run = run_trainer(job).folder
    older = checkpoint.read_state(run.checkpoint(8))
    older.trainer["step"] = 2
    checkpoint.write_state(run.checkpoint(2), older)

    def stop_at_five(event: Any, control: Any) -> None:
        if event.type == "step" and event.step == 5:
            control.submit(protocol.Stop())

    run_trainer(job, folder=run, resume=run.checkpoint(2), on_event=stop_at_five)
    kept = [f.name for f in sorted(run.checkpoints_folder.glob("step-*")) if (f / "state").is_dir()]
    assert kept == ["step-000005", "step-000008"]


def test_fewer_pictures_than_before_count_no_more_steps_than_there_are(
    make_job: Any, run_trainer: Any, pictures: Path, tmp_path: Path
) -> None:
    own = tmp_path / "pictures"
    shutil.copytree(pictures, own)
    job = make_job(
        concepts__0__path=str(own),
        training__max_steps=None,
        training__epochs=1,
        checkpoints__every_unit="step",
        checkpoints__every=1,
        checkpoints__keep_states=9,
    )
    run = run_trainer(job).folder
    for number in range(1, 7):
        (own / f"{number}.png").unlink()
    again = run_trainer(job, folder=run, resume=run.checkpoint(3))
    assert again.outcome.status == "finished" and again.outcome.step == 3
    codes = [w.code for w in again.of("warning")]
    assert codes == ["captions_without_picture", "pictures_changed", "nothing_left_to_train"]
    assert all(e.done <= e.total for e in again.of("phase") if e.name == "training")
    assert not again.of("step")
    lora = (run.checkpoint(3) / "lora.safetensors").read_bytes()
    assert run.lora_file.read_bytes() == lora


class Anything:
    """Something that no state holds."""


def test_a_whole_state_that_cannot_be_read_is_named_without_torchs_advice(
    make_job: Any, run_trainer: Any
) -> None:
    run = run_trainer(make_job(training__max_steps=1)).folder
    state = run.checkpoint(1) / "state"
    torch.save({"state": Anything()}, state / "optimizer.pt")
    manifest = json.loads((state / "manifest.json").read_text())
    data = (state / "optimizer.pt").read_bytes()
    facts = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest["files"]["optimizer.pt"] = facts
    (state / "manifest.json").write_text(json.dumps(manifest))
    assert latest_valid(run)[0] is not None  # whole, by its hashes
    with pytest.raises(UserError) as caught:
        checkpoint.read_state(run.checkpoint(1))
    problem = caught.value.problem
    assert problem.code == "checkpoint_damaged"
    assert "weights_only" not in problem.sentence() + problem.detail


def test_a_run_folder_deleted_while_it_trains_is_told_and_stays_away(
    make_job: Any, run_trainer: Any, tmp_path: Path
) -> None:
    job = with_checkpoints(make_job)
    run = create(job, tmp_path / "runs")

    def delete(event: Any, _control: Any) -> None:
        if event.type == "step" and event.step == 3:
            shutil.rmtree(run.path)

    with pytest.raises(UserError) as caught:
        run_trainer(job, folder=run, on_event=delete)
    assert caught.value.problem.code == "run_folder_gone"
    assert not run.path.exists()


def test_half_written_files_of_a_killed_run_go_at_its_next_start(
    make_job: Any, run_trainer: Any
) -> None:
    run = run_trainer(make_job(training__max_steps=1)).folder
    place = run.samples(1)
    place.mkdir(parents=True)
    (place / "00-thing.png").write_bytes(b"a picture")
    halves = [place / ".writing-0a1b2c.png", run.path / ".writing-0a1b2c.safetensors"]
    for half in halves:
        half.write_bytes(b"half")
    checkpoint.remove_leftovers(run)
    assert not any(half.exists() for half in halves)
    assert [path.name for path in place.iterdir()] == ["00-thing.png"]
