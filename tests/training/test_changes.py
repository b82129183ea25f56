"""What has changed under a run since its last checkpoint is named before the first step."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from core.config.job import Job, set_path, validate
from core.data.plan import make_plan
from core.errors import UserError
from core.families.detect import detect
from core.training.sources import Reading, Sources, begun_again, other_pictures, settle


@pytest.fixture
def own_job(make_job: Callable[..., Job], tiny_model: Path, pictures: Path, tmp_path: Path) -> Job:
    """A job with a model, pictures, a mask and a wildcard file of its own, free to be changed."""
    shutil.copytree(tiny_model, tmp_path / "model")
    shutil.copytree(pictures, tmp_path / "pictures")
    Image.new("L", (64, 64), 200).save(tmp_path / "pictures" / "0-masklabel.png")
    (tmp_path / "wild").mkdir()
    (tmp_path / "wild" / "colour.txt").write_text("red\nblue\n")
    (tmp_path / "pictures" / "0.txt").write_text("a __colour__ thing")
    return make_job(
        model__base=str(tmp_path / "model"),
        concepts__0__path=str(tmp_path / "pictures"),
        concepts__0__name="things",
        concepts__0__mask__source="file",
        concepts__0__caption__choices=True,
        concepts__0__caption__wildcards=str(tmp_path / "wild"),
    )


def sources(job: Job) -> Sources:
    base = detect(job.model.base)
    reading = Reading(job, base)
    reading.look(job, make_plan(job, bucket_step=base.bucket_step))
    reading.models()
    return reading.sources()


def changed(job: Job, **changes: Any) -> Job:
    data = job.model_dump()
    for path, value in changes.items():
        data = set_path(data, path.replace("__", "."), value)
    made, problems = validate(data)
    assert made is not None, problems
    return made


def told(before: Sources, job: Job) -> str:
    """What is said about pictures, after the way through the state's JSON."""
    kept = json.loads(json.dumps(before.as_dict()))
    return " ".join(problem.title for problem in other_pictures(kept, sources(job)))


def changes_told(run: Any) -> list[str]:
    return [w.code for w in run.of("warning") if w.code.endswith("_changed")]


def alter(path: Path) -> None:
    """Change a picture's content, but not its size in pixels."""
    with Image.open(path) as image:
        size, mode = image.size, image.mode
    Image.new(mode, size, 7 if mode == "L" else (7, 7, 7)).save(path)


def test_nothing_is_said_where_nothing_has_changed(own_job: Job) -> None:
    before = sources(own_job)
    assert told(before, own_job) == ""
    assert settle(before.as_dict(), own_job, sources(own_job).models, False) == []


def test_each_changed_file_is_named_with_what_changed(own_job: Job, tmp_path: Path) -> None:
    before, folder = sources(own_job), tmp_path / "pictures"
    alter(folder / "1.png")
    assert "things/1.png (picture)." in told(before, own_job)
    alter(folder / "0-masklabel.png")
    assert "things/0.png (mask)" in told(before, own_job)
    (folder / "2.txt").write_text("another caption")
    assert "things/2.png (caption)" in told(before, own_job)
    (tmp_path / "wild" / "colour.txt").write_text("red\ngreen\n")
    assert "wildcard colour of things" in told(before, own_job)
    (folder / "3.png").unlink()
    assert "things/3.png (gone)" in told(before, own_job)
    shutil.copy(folder / "4.png", folder / "9.png")
    # Five are named, the sixth is counted.
    assert "and 1 more" in told(before, own_job)
    assert "things/1.png" in told(before, own_job)


@pytest.mark.parametrize(
    ("part", "called", "setting"),
    [
        ("unet/diffusion_pytorch_model.safetensors", "base model", "model.base"),
        ("text_encoder/model.safetensors", "text encoder", "model.base"),
        ("vae/diffusion_pytorch_model.safetensors", "VAE", "model.base"),
    ],
)
def test_another_model_behind_the_same_path_is_an_error_until_accepted(
    own_job: Job, tmp_path: Path, part: str, called: str, setting: str
) -> None:
    before, file = sources(own_job).as_dict(), tmp_path / "model" / part
    tensors = load_file(file)
    name = next(iter(tensors))
    save_file({**tensors, name: tensors[name] + 0.5}, file)
    now = sources(own_job).models
    with pytest.raises(UserError) as caught:
        settle(before, own_job, now, accept=False)
    assert [(p.code, p.setting) for p in caught.value.problems] == [("model_changed", setting)]
    assert caught.value.problem.title.startswith(f"The {called} has changed since this run began")
    [warning] = settle(before, own_job, now, accept=True)
    assert (warning.code, warning.severity) == ("model_changed", "warning")


def test_another_way_to_predict_counts_as_another_model(own_job: Job, tmp_path: Path) -> None:
    before = sources(own_job).as_dict()
    config = tmp_path / "model" / "scheduler" / "scheduler_config.json"
    facts = json.loads(config.read_text())
    config.write_text(json.dumps({**facts, "prediction_type": "v_prediction"}))
    with pytest.raises(UserError, match="base model"):
        settle(before, own_job, sources(own_job).models, accept=False)


def test_a_vae_of_its_own_counts_by_content_not_by_path(own_job: Job, tmp_path: Path) -> None:
    before = sources(own_job).as_dict()
    shutil.copytree(tmp_path / "model" / "vae", tmp_path / "vae")
    same = changed(own_job, model__vae=str(tmp_path / "vae"))
    assert settle(before, same, sources(same).models, accept=False) == []
    file = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    save_file({name: tensor + 0.5 for name, tensor in load_file(file).items()}, file)
    with pytest.raises(UserError, match="VAE has changed") as caught:
        settle(before, same, sources(same).models, accept=False)
    assert caught.value.problem.setting == "model.vae"


def test_settings_that_were_edited_are_named_with_both_values(own_job: Job) -> None:
    before = sources(own_job).as_dict()
    models = before["models"]
    edited = changed(own_job, training__seed=77, training__batch_size=1, lora__alpha=2.0)
    [problem] = settle(before, edited, models, accept=False)
    assert (problem.code, problem.severity) == ("settings_changed", "warning")
    for words in ("training.seed was 0 and is 77", "batch_size was 2 and is 1", "lora.alpha was"):
        assert words in problem.title
    harmless = changed(
        own_job, sampling__every=7, checkpoints__keep_states=9, model__output="/x.safetensors"
    )
    assert settle(before, harmless, models, accept=False) == []


def test_a_state_that_does_not_fit_is_refused(own_job: Job) -> None:
    before = sources(own_job).as_dict()
    models = before["models"]
    for accept in (False, True):
        with pytest.raises(UserError) as caught:
            settle(before, changed(own_job, lora__rank=8), models, accept)
        assert caught.value.problem.code == "checkpoint_foreign"
        assert "lora.rank was 4 and is 8" in caught.value.problem.title
    prodigy = changed(own_job, training__optimizer="prodigy", training__learning_rate=1.0)
    with pytest.raises(UserError) as caught:
        settle(before, prodigy, models, accept=False)
    assert caught.value.problem.code == "optimizer_changed"
    assert [p.code for p in settle(before, prodigy, models, accept=True)] == [
        "optimizer_changed",
        "settings_changed",
    ]
    assert begun_again(before, prodigy) == {"training.optimizer"}


def test_a_resume_refuses_another_model_before_the_first_step_and_obeys(
    own_job: Job, run_trainer: Any, tmp_path: Path
) -> None:
    first = run_trainer(changed(own_job, training__max_steps=2))
    weights = tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    save_file({name: tensor * 1.5 for name, tensor in tensors.items()}, weights)
    longer = changed(own_job, training__max_steps=3)
    heard: list[Any] = []
    with pytest.raises(UserError) as caught:
        run_trainer(
            longer,
            folder=first.folder,
            resume=first.folder.checkpoint(2),
            on_event=lambda event, _control: heard.append(event),
        )
    assert caught.value.problem.code == "model_changed"
    assert not any(e.type == "step" or getattr(e, "name", "") == "caching" for e in heard)
    again = run_trainer(
        longer, folder=first.folder, resume=first.folder.checkpoint(2), accept_changes=True
    )
    assert again.outcome.status == "finished"
    assert changes_told(again) == ["model_changed", "settings_changed"]
    # From the new state on, the new model is the run's own.
    third = run_trainer(longer, folder=first.folder, resume=first.folder.checkpoint(3))
    assert changes_told(third) == []


def test_an_accepted_optimizer_begins_again_with_the_weights_of_the_checkpoint(
    own_job: Job, run_trainer: Any
) -> None:
    first = run_trainer(changed(own_job, training__max_steps=2))
    other = changed(
        own_job,
        training__max_steps=3,
        training__optimizer="prodigy",
        training__learning_rate=1.0,
        training__ema__enabled=True,
    )
    run = run_trainer(
        other, folder=first.folder, resume=first.folder.checkpoint(2), accept_changes=True
    )
    assert [event.step for event in run.of("step")] == [3]
    assert changes_told(run) == ["optimizer_changed", "settings_changed"]
    before = load_file(first.folder.checkpoint(2) / "state" / "weights.safetensors")
    after = load_file(first.folder.checkpoint(3) / "state" / "weights.safetensors")
    # Prodigy's first step is as small as its d0; weights begun again would differ by far more.
    for name, value in before.items():
        assert (after[name] - value).abs().max() < 1e-3
        assert f"ema.{name}" in after


def test_a_picture_deleted_while_it_trains_costs_no_checkpoint(
    own_job: Job, run_trainer: Any, tmp_path: Path
) -> None:
    def delete(event: Any, _control: Any) -> None:
        if event.type == "step" and event.step == 1:
            (tmp_path / "pictures" / "5.png").unlink(missing_ok=True)

    run = run_trainer(changed(own_job, training__max_steps=2), on_event=delete)
    assert run.outcome.status == "finished"
    kept = json.loads((run.folder.checkpoint(2) / "state" / "trainer.json").read_text())
    assert "things/5.png" in kept["sources"]["pictures"]
