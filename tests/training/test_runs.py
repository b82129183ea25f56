"""Whole runs of the trainer: exact resume, undisturbed by samples, stopped, paused, broken."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.device_lock import CPU, DeviceLock
from core.errors import Stopped, UserError
from core.training.control import Control
from core.worker import protocol


def weights(run) -> dict[str, torch.Tensor]:
    return load_file(run.folder.lora_file)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def stop_after(step: int):
    def on_event(event, control) -> None:
        if event.type == "step" and event.step == step:
            control.submit(protocol.Stop())

    return on_event


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lora__text_encoder": False, "lora__targets": "all", "lora__dropout": 0.2},
        {"training__optimizer": "prodigy", "training__learning_rate": 1.0},
        {"training__optimizer": "adamw_8bit", "lora__rank": 64, "lora__alpha": 64.0},
        {
            "training__ema__enabled": True,
            "training__gradient_accumulation": 2,
            "concepts__0__caption__shuffle": True,
            "concepts__0__caption__dropout": 0.3,
            "concepts__0__repeats": 1.5,
        },
    ],
    ids=["adamw", "all-dropout", "prodigy", "8bit", "ema-captions"],
)
def test_stopping_and_resuming_changes_nothing(make_job, run_trainer, changes) -> None:
    job = make_job(**changes)
    straight = run_trainer(job)
    assert straight.outcome.status == "finished" and straight.outcome.step == 6
    halved = run_trainer(job, on_event=stop_after(3))
    assert halved.outcome.status == "stopped" and halved.outcome.step == 3
    assert not same(weights(straight), weights(halved))
    resumed = run_trainer(job, folder=halved.folder, resume=halved.folder.checkpoint(3))
    assert resumed.outcome.status == "finished"
    assert [e.step for e in resumed.of("step")] == [4, 5, 6]
    assert same(weights(straight), weights(resumed))
    last, again = straight.of("step")[-1], resumed.of("step")[-1]
    assert (last.loss, last.smoothed, last.lr) == (again.loss, again.smoothed, again.lr)


def test_samples_do_not_disturb_the_training(make_job, run_trainer) -> None:
    quiet = run_trainer(make_job())
    noisy_job = make_job(sampling__every_unit="step", sampling__every=2)
    noisy_job.sampling.prompts = [_spec("thing 1", sampler="euler_ancestral")]
    noisy = run_trainer(noisy_job)
    assert [s.step for s in noisy.of("sample")] == [0, 2, 4, 6]
    for event in noisy.of("sample"):
        assert (noisy.folder.path / event.path).stat().st_size > 0
    assert same(weights(quiet), weights(noisy))


@pytest.mark.parametrize("last", [2, 4])
def test_samples_that_a_stop_cut_off_are_drawn_after_it(make_job, run_trainer, last: int) -> None:
    job = make_job(
        sampling__every_unit="step",
        sampling__every=2,
        checkpoints__every_unit="step",
        checkpoints__every=2,
        training__max_steps=4,
    )
    job.sampling.prompts = [_spec("one"), _spec("two")]

    def stop_between(event, control) -> None:
        if event.type == "sample" and (event.step, event.index) == (last, 0):
            control.submit(protocol.Stop())

    job.training.batch_size = 1
    run = run_trainer(job, on_event=stop_between)
    assert run.outcome.status == "stopped" and run.outcome.step == last
    assert len(list(run.folder.samples(last).iterdir())) == 1
    again = run_trainer(job, folder=run.folder, resume=run.folder.checkpoint(last))
    assert again.outcome.status == "finished"
    drawn = [(sample.step, sample.index) for sample in again.of("sample")]
    assert drawn == [(step, index) for step in range(last, 5, 2) for index in (0, 1)]
    once_more = run_trainer(job, folder=run.folder, resume=run.folder.checkpoint(4))
    assert once_more.of("sample") == []


def test_a_sample_too_large_for_the_gpu_costs_that_sample_only(
    make_job, run_trainer, monkeypatch
) -> None:
    from core.training import samples

    real = samples.draw_many

    def on_a_small_gpu(model, specs, **more):
        if len(specs) > 1 or specs[0].prompt == "huge":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(model, specs, **more)

    monkeypatch.setattr(samples, "draw_many", on_a_small_gpu)
    job = make_job(sampling__every_unit="step", sampling__every=1, training__max_steps=1)
    job.sampling.prompts = [_spec("one"), _spec("huge"), _spec("two")]
    run = run_trainer(job)
    assert run.outcome.status == "finished"
    assert [sample.index for sample in run.of("sample") if sample.step == 1] == [0, 2]
    told = [(w.code, w.setting) for w in run.of("warning")]
    assert told == 2 * [("sample_out_of_memory", "sampling.prompts")]
    assert "'huge'" in run.of("warning")[0].title


def test_sample_prompts_take_the_trigger_words(make_job) -> None:
    from core.training.prompts import prompts_to_draw

    job = make_job(concepts__0__prompt__trigger="zxc cat")
    job.sampling.prompts = [
        _spec("{trigger}, in the rain"),
        _spec("a dog", enabled=False),
        _spec("photo of {trigger}"),
    ]
    drawn = [(index, spec.prompt) for index, spec in prompts_to_draw(job)]
    assert drawn == [(0, "zxc cat, in the rain"), (2, "photo of zxc cat")]
    job.concepts[0].prompt.trigger = ""
    drawn = [(index, spec.prompt) for index, spec in prompts_to_draw(job)]
    assert drawn == [(0, "in the rain"), (2, "photo of ")]


def _spec(prompt: str, **more):
    from core.sampling.genspec import GenSpec

    return GenSpec(prompt=prompt, steps=4, cfg=3.0, **more)


def test_every_picture_is_trained_and_the_loss_falls(make_job, run_trainer) -> None:
    job = make_job(
        training__max_steps=None,
        training__epochs=30,
        training__learning_rate=5e-3,
        training__scheduler="constant",
    )
    run = run_trainer(job)
    losses = [e.loss for e in run.of("step")]
    assert len(losses) == run.of("step")[-1].total
    third = len(losses) // 3
    assert sum(losses[-third:]) < 0.97 * sum(losses[:third])


def test_checkpoints_at_their_interval_and_states_of_the_newest_only(make_job, run_trainer) -> None:
    job = make_job(checkpoints__every_unit="step", checkpoints__every=2, checkpoints__keep_states=2)
    run = run_trainer(job)
    assert [c.step for c in run.of("checkpoint")] == [2, 4, 6]
    assert all(c.verified for c in run.of("checkpoint"))
    folders = sorted(run.folder.checkpoints_folder.iterdir())
    assert [f.name for f in folders] == ["step-000002", "step-000004", "step-000006"]
    assert all((f / "lora.safetensors").is_file() for f in folders)
    assert [(f / "state").is_dir() for f in folders] == [False, True, True]
    newest = (folders[-1] / "lora.safetensors").read_bytes()
    assert run.folder.lora_file.read_bytes() == newest


@pytest.mark.parametrize("phase", ["loading", "caching", "sampling"])
def test_stop_in_every_phase_before_the_first_step(make_job, run_trainer, phase: str) -> None:
    job = make_job(sampling__every_unit="step", sampling__every=1)
    job.sampling.prompts = [_spec("thing")]

    def on_event(event, control) -> None:
        if event.type == "phase" and event.name == phase:
            control.submit(protocol.Stop())

    run = run_trainer(job, on_event=on_event)
    assert run.outcome.status == "stopped" and run.outcome.step == 0
    assert not run.of("step") and not run.of("checkpoint")


def test_stop_inside_a_pass_keeps_the_steps_done(make_job, run_trainer, monkeypatch) -> None:
    """A stop that comes while step 4 is being calculated leaves the state of step 3."""
    from core.families.unet_model import UNetModel

    job = make_job()
    straight = run_trainer(job)
    holder: dict = {}
    calls = 0
    predict = UNetModel.predict

    def late_stop(self, *args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == 4:
            holder["control"].submit(protocol.Stop())
        return predict(self, *args, **kwargs)

    monkeypatch.setattr(UNetModel, "predict", late_stop)
    run = run_trainer(job, on_event=lambda _event, control: holder.update(control=control))
    assert run.outcome.status == "stopped" and run.outcome.step == 3
    monkeypatch.undo()
    resumed = run_trainer(job, folder=run.folder, resume=run.folder.checkpoint(3))
    assert same(weights(straight), weights(resumed))


def test_stop_without_saving_writes_nothing(make_job, run_trainer) -> None:
    def on_event(event, control) -> None:
        if event.type == "step" and event.step == 2:
            control.submit(protocol.Stop(save=False))

    run = run_trainer(make_job(), on_event=on_event)
    assert run.outcome.status == "stopped" and run.outcome.lora is None
    assert not run.of("checkpoint")


def test_pause_waits_and_changes_nothing(make_job, run_trainer) -> None:
    import threading

    straight = run_trainer(make_job())
    paused: list[float] = []

    def on_event(event, control) -> None:
        if event.type == "step" and event.step == 2:
            control.submit(protocol.Pause())
        if event.type == "phase" and event.name == "paused":
            paused.append(time.monotonic())
            threading.Timer(0.3, control.submit, [protocol.Resume()]).start()

    run = run_trainer(make_job(), on_event=on_event)
    assert len(paused) == 1 and run.outcome.status == "finished"
    assert same(weights(straight), weights(run))


@pytest.mark.parametrize("phase", ["caching", "sampling"])
def test_pause_is_obeyed_in_other_phases_too(make_job, run_trainer, phase: str) -> None:
    import threading

    def job():
        made = make_job(sampling__every_unit="step", sampling__every=3)
        made.sampling.prompts = [_spec("thing 1")]
        return made

    straight = run_trainer(job())
    seen: list[str] = []

    def on_event(event, control) -> None:
        if event.type != "phase":
            return
        seen.append(event.name)
        if event.name == phase and seen.count("paused") == 0:
            control.submit(protocol.Pause())
        if event.name == "paused":
            threading.Timer(0.3, control.submit, [protocol.Resume()]).start()

    run = run_trainer(job(), on_event=on_event)
    assert run.outcome.status == "finished"
    paused = seen.index("paused")
    assert seen.count("paused") == 1 and seen[paused - 1] == seen[paused + 1] == phase
    assert same(weights(straight), weights(run))


def test_live_commands(make_job, run_trainer) -> None:
    job = make_job()

    def on_event(event, control) -> None:
        if event.type == "step" and event.step == 2:
            spec = _spec("new prompt").model_dump()
            control.submit(protocol.Set(path="sampling.prompts", value=[spec]))
            control.submit(protocol.SampleNow())
            control.submit(protocol.CheckpointNow())
            control.submit(protocol.Set(path="training.learning_rate", value=5.0))
            control.submit(protocol.Set(path="sampling.every", value="often"))

    run = run_trainer(job, on_event=on_event)
    assert [(s.step, s.prompt) for s in run.of("sample")] == [(2, "new prompt")]
    assert [c.step for c in run.of("checkpoint")] == [2, 6]
    codes = [w.code for w in run.of("warning")]
    assert "setting_not_live" in codes and "setting_invalid" in codes


def test_commands_wait_for_no_other_process(make_job, run_trainer, monkeypatch) -> None:
    """Only the first of several processes hears them; waiting for the others would be for ever."""
    from accelerate import Accelerator

    waits: list[int] = []
    monkeypatch.setattr(Accelerator, "wait_for_everyone", lambda self: waits.append(1))
    job = make_job(training__max_steps=3)
    job.sampling.prompts = [_spec("thing")]

    def command(event, control) -> None:
        if event.type == "step" and event.step == 1:
            control.submit(protocol.CheckpointNow())
            control.submit(protocol.SampleNow())

    run = run_trainer(job, on_event=command)
    assert [e.step for e in run.of("checkpoint")] == [1, 3]
    assert [e.step for e in run.of("sample")] == [1]
    assert waits == []


def test_a_loss_that_is_no_number_stops_with_the_checkpoint_intact(
    make_job, run_trainer, monkeypatch
) -> None:
    from core.families.unet_model import UNetModel

    job = make_job(checkpoints__every_unit="step", checkpoints__every=2)
    calls = 0
    predict = UNetModel.predict

    def break_at_four(self, *args, **kwargs):
        nonlocal calls
        calls += 1
        result = predict(self, *args, **kwargs)
        return result * float("nan") if calls >= 4 else result

    monkeypatch.setattr(UNetModel, "predict", break_at_four)
    from core.runs.folder import create

    folder = create(job, Path(job.concepts[0].path).parent / "runs")
    with pytest.raises(UserError) as caught:
        run_trainer(job, folder=folder)
    assert caught.value.problem.code == "loss_not_finite"
    monkeypatch.undo()
    resumed = run_trainer(job, folder=folder, resume=folder.checkpoint(2))
    assert same(weights(run_trainer(job)), weights(resumed))


def test_a_damaged_state_is_refused_in_a_sentence(make_job, run_trainer) -> None:
    job = make_job(training__max_steps=2)
    run = run_trainer(job)
    state = run.folder.checkpoint(2) / "state"
    raw = bytearray((state / "weights.safetensors").read_bytes())
    raw[-1] ^= 1
    (state / "weights.safetensors").write_bytes(raw)
    with pytest.raises(UserError) as caught:
        run_trainer(job, folder=run.folder, resume=run.folder.checkpoint(2))
    assert caught.value.problem.code == "checkpoint_damaged"
    assert "step-000002" in caught.value.problem.title


def test_a_failed_checkpoint_write_leaves_the_last_one(make_job, run_trainer, monkeypatch) -> None:
    from core.training import checkpoint

    job = make_job(checkpoints__every_unit="step", checkpoints__every=2)
    real, calls = checkpoint.write_state, []

    def full_disk(folder, state) -> None:
        calls.append(folder)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(folder, state)

    monkeypatch.setattr(checkpoint, "write_state", full_disk)
    from core.runs.folder import create

    folder = create(job, Path(job.concepts[0].path).parent / "runs full")
    with pytest.raises(OSError, match="No space"):
        run_trainer(job, folder=folder)
    names = sorted(p.name for p in folder.checkpoints_folder.iterdir())
    assert names == ["step-000002"]
    assert checkpoint.read_state(folder.checkpoint(2)).trainer["step"] == 2


def test_a_disk_that_fills_under_the_optimizers_state_is_told_as_such(
    tmp_path, monkeypatch
) -> None:
    import io

    from core.runs.folder import RunFolder
    from core.training import checkpoint
    from core.worker.failures import problem_of

    class FullDisk(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data) -> int:
            raise OSError(28, "No space left on device")

    def full_when_written(path, mode="r"):
        return FullDisk() if mode == "wb" else open(path, mode)

    monkeypatch.setattr(checkpoint, "open", full_when_written, raising=False)
    many = torch.zeros(100_000)
    state = checkpoint.TrainingState({"a": many}, {}, {"state": {0: many}}, {"step": 1})
    with pytest.raises(Exception) as raised:
        checkpoint.write_state(tmp_path, state)
    assert problem_of(raised.value, None, RunFolder(tmp_path)).code == "disk_full"


def test_leftovers_of_a_killed_write_are_cleared(make_job, run_trainer) -> None:
    job = make_job(training__max_steps=2)
    run = run_trainer(job)
    place = run.folder.checkpoint(2)
    place.rename(place.with_name(".replaced-step-000002"))
    (run.folder.checkpoints_folder / ".writing-step-000004").mkdir()
    from core.training import checkpoint

    checkpoint.remove_leftovers(run.folder)
    assert [p.name for p in run.folder.checkpoints_folder.iterdir()] == ["step-000002"]


def test_the_file_gives_the_same_picture_in_diffusers(
    make_job, run_trainer, tiny_model, tmp_path
) -> None:
    """Trainer's own sample against StableDiffusionPipeline with the LoRA file loaded."""
    import numpy
    from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline
    from PIL import Image

    job = make_job(
        training__learning_rate=0.02,
        training__scheduler="constant",
        lora__targets="all",
        sampling__every_unit="step",
        sampling__every=6,
    )
    spec = _spec("thing 1", sampler="euler", schedule="normal", negative="ugly")
    job.sampling.prompts = [spec]
    run = run_trainer(job)
    before, after = (run.folder.path / s.path for s in run.of("sample"))
    pipe = StableDiffusionPipeline.from_pretrained(
        tiny_model, local_files_only=True, dtype=torch.float32
    )
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = EulerDiscreteScheduler.from_config(
        pipe.scheduler.config, timestep_spacing="linspace", final_sigmas_type="zero"
    )
    pipe.load_lora_weights(run.folder.lora_file)
    factor = pipe.vae_scale_factor
    noise = torch.randn(
        1, 4, 64 // factor, 64 // factor, generator=torch.Generator().manual_seed(spec.seed)
    )
    # The pipeline starts from sigma x noise; the exact width is sqrt(1 + sigma^2).
    sigma = float(pipe.scheduler.init_noise_sigma)
    noise = noise * (1 + sigma**2) ** 0.5 / sigma
    drawn = pipe(
        spec.prompt,
        negative_prompt=spec.negative,
        latents=noise,
        num_inference_steps=spec.steps,
        guidance_scale=spec.cfg,
        height=64,
        width=64,
    ).images[0]

    def distance(a, b) -> int:
        pair = [numpy.asarray(x.convert("RGB"), dtype=int) for x in (a, b)]
        return int(abs(pair[0] - pair[1]).max())

    assert distance(Image.open(after), drawn) <= 2
    assert distance(Image.open(before), drawn) > 10


def _device_is_free() -> bool:
    """Whether nobody has the processor's lock."""
    lock = DeviceLock(CPU, "another")

    def give_up() -> None:
        if tries:
            raise Stopped
        tries.append(1)

    tries: list[int] = []
    try:
        lock.take(lambda text: None, give_up)
    except Stopped:
        return False
    lock.release()
    return True


def test_a_run_has_its_device_alone_and_lends_it_while_it_is_paused(make_job, run_trainer) -> None:
    free: dict[str, bool] = {}

    def look(event: Any, control: Control) -> None:
        if event.type == "step" and event.step == 1:
            free["training"] = _device_is_free()
            control.submit(protocol.Pause())
        if event.type == "phase" and event.name == "paused":
            free["paused"] = _device_is_free()
            control.submit(protocol.Resume())

    done = run_trainer(make_job(training__max_steps=2), on_event=look)
    assert done.outcome.status == "finished"
    assert (free["training"], free["paused"], _device_is_free()) == (False, True, True)
