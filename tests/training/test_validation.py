"""Validation: the same measurement every time, which training neither feels nor changes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.data.batches import validation_batches
from core.training.control import Control
from core.training.ema import averaged
from core.training.validation import measure
from core.worker import protocol
from tests.training.test_step import Reference, open_for, seeded, shake


@pytest.fixture
def measured(pictures: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "held out"
    folder.mkdir()
    for number in (1, 2, 6):
        shutil.copy(pictures / f"{number}.png", folder / f"v{number}.png")
        (folder / f"v{number}.txt").write_text(f"held {number}, a, b\nother", encoding="utf-8")
    return folder


def with_validation(job: Any, folder: Path, **changes: Any) -> Any:
    held = job.concepts[0].model_copy(deep=True)
    held.kind, held.path = "validation", str(folder)
    held.caption.shuffle, held.image.flip = True, 1.0
    held.caption.dropout = 0.9
    job.concepts.append(held)
    for name, value in {"every": 2, "every_unit": "step", "timesteps": 3, **changes}.items():
        setattr(job.training.validation, name, value)
    return job


def weights_of(run: Any) -> dict[str, torch.Tensor]:
    return load_file(run.outcome.lora)


def test_training_is_the_same_to_the_last_bit(make_job, run_trainer, measured: Path) -> None:
    settings = {"lora__dropout": 0.4, "training__ema__enabled": True, "training__max_steps": 5}
    plain = run_trainer(make_job(**settings))
    job = with_validation(make_job(**settings), measured)
    with_it = run_trainer(job)
    assert [v.step for v in with_it.of("validation")] == [0, 2, 4, 5]
    assert not plain.of("validation")
    assert [s.loss for s in with_it.of("step")] == [s.loss for s in plain.of("step")]
    a, b = weights_of(plain), weights_of(with_it)
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    assert len(with_it.of("step")) == 5
    assert with_it.of("step")[-1].total == plain.of("step")[-1].total


def test_every_pace(make_job, run_trainer, measured: Path) -> None:
    for unit, every, wanted in (
        ("epoch", 1, [0, 5, 6]),
        ("step", 3, [0, 3, 6]),
        ("never", 1, []),
        ("minute", 1, [0, 6]),
    ):
        job = with_validation(make_job(), measured, every=every, every_unit=unit)
        done = run_trainer(job)
        steps = [v.step for v in done.of("validation")]
        if unit == "epoch":
            ends = {s.step for s in done.of("step") if s.epoch == int(s.epoch)}
            assert steps == sorted({0, 6} | ends)
        else:
            assert steps == wanted


def test_measuring_twice_gives_the_same(make_job, tmp_path: Path, measured: Path) -> None:
    events: list[Any] = []
    session = open_for(with_validation(make_job(lora__dropout=0.5), measured), tmp_path)
    session.emit = events.append
    shake(session)
    torch.manual_seed(1)
    measure(session)
    state = torch.get_rng_state()
    session.validated_step = -1
    measure(session)
    assert torch.equal(state, torch.get_rng_state())
    first, second = (e.loss for e in events if isinstance(e, protocol.Validation))
    assert first == second
    unet = session.model.parts["unet"]
    dropouts = [m for n, m in unet.named_modules() if ".lora_dropout." in n]
    assert dropouts and all(m.training for m in dropouts)
    session.close()


def test_loss_equals_a_reference(
    make_job, tiny_model: Path, tmp_path: Path, measured: Path
) -> None:
    """Fixed noise by name, bucket and level; the middles of three equal parts of the timesteps;
    first captions, unshuffled and never dropped."""
    job = with_validation(make_job(), measured)
    events: list[Any] = []
    session = open_for(job, tmp_path)
    session.emit = events.append
    shake(session)
    measure(session)
    reference = Reference(tiny_model)
    factors = dict(session.adapter.named_weights())
    unet = reference.merged(session, "unet", reference.unet, factors)
    text = reference.merged(session, "text_encoder", reference.text, factors)
    losses = []
    call = torch.func.functional_call
    draws = [d for b in validation_batches(session.plan, job) for d in b.draws]
    assert {d.caption for d in draws} == {f"held {n}, a, b" for n in (1, 2, 6)}
    for draw in draws:
        latents = reference.latents(draw)
        for level, at in enumerate((166, 500, 833)):
            seed = ("validation", draw.item.path.name, str(draw.item.placement.bucket), level)
            noise = torch.randn(latents.shape[1:], generator=seeded(*seed, "noise"))[None]
            tokens = reference.tokenizer(
                [draw.caption], padding="max_length", max_length=77, return_tensors="pt"
            ).input_ids
            with torch.no_grad():
                embeddings = call(reference.text, text, (tokens,)).last_hidden_state
                when = torch.tensor([at])
                noisy = reference.noise.add_noise(latents, noise, when)
                predicted = call(reference.unet, unet, (noisy, when, embeddings)).sample
            losses.append(float(torch.nn.functional.mse_loss(predicted, noise)))
    (event,) = (e for e in events if isinstance(e, protocol.Validation))
    assert event.loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    session.close()


def test_averaged_weights_are_measured(make_job, tmp_path: Path, measured: Path) -> None:
    job = with_validation(make_job(training__ema__enabled=True), measured)
    session = open_for(job, tmp_path)
    events: list[Any] = []
    session.emit = events.append
    shake(session)
    raw = {n: p.detach().clone() for n, p in session.adapter.named_weights()}
    measure(session)
    assert all(torch.equal(p, raw[n]) for n, p in session.adapter.named_weights())
    ema, session.ema = session.ema, None
    assert ema is not None
    session.validated_step = -1
    measure(session)
    with averaged(session.adapter, ema):
        session.validated_step = -1
        measure(session)
    with_average, raw_loss, by_hand = (e.loss for e in events if isinstance(e, protocol.Validation))
    assert with_average == by_hand != raw_loss
    session.close()


def test_a_stop_interrupts_it(make_job, run_trainer, measured: Path) -> None:
    def stop(event: Any, control: Control) -> None:
        if event.type == "phase" and event.text == "Measuring the validation loss":
            control.submit(protocol.Stop())

    done = run_trainer(with_validation(make_job(), measured), on_event=stop)
    assert done.outcome.status == "stopped" and done.outcome.step == 0
    assert not done.of("validation") and not done.of("step")


def test_a_pause_is_obeyed_in_the_middle(make_job, run_trainer, measured: Path) -> None:
    seen: list[str] = []

    def pause(event: Any, control: Control) -> None:
        if event.type == "phase":
            if event.text == "Measuring the validation loss" and "paused" not in seen:
                control.submit(protocol.Pause())
            seen.append(event.name)
            if event.name == "paused":
                control.submit(protocol.Resume())

    plain = run_trainer(with_validation(make_job(), measured))
    paused = run_trainer(with_validation(make_job(), measured), on_event=pause)
    assert "paused" in seen
    wanted = [(v.step, v.loss) for v in plain.of("validation")]
    assert [(v.step, v.loss) for v in paused.of("validation")] == wanted


def test_it_is_exact_after_a_resume(make_job, run_trainer, measured: Path) -> None:
    def job() -> Any:
        return with_validation(
            make_job(checkpoints__every=2, checkpoints__every_unit="step", lora__dropout=0.2),
            measured,
        )

    straight = run_trainer(job())

    def stop_at_four(event: Any, control: Control) -> None:
        # Between the checkpoint and the measurement that is due after it.
        if event.type == "checkpoint" and event.step == 4:
            control.submit(protocol.Stop())

    first = run_trainer(job(), on_event=stop_at_four)
    assert [v.step for v in first.of("validation")] == [0, 2]
    second = run_trainer(job(), folder=first.folder, resume=first.folder.checkpoint(4))
    together = [(v.step, v.loss) for run in (first, second) for v in run.of("validation")]
    assert together == [(v.step, v.loss) for v in straight.of("validation")]
    a, b = weights_of(straight), weights_of(second)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_pictures_that_are_only_measured_may_be_bad(make_job, run_trainer, measured: Path) -> None:
    data = (measured / "v2.png").read_bytes()
    (measured / "v2.png").write_bytes(data[: len(data) // 2])
    done = run_trainer(with_validation(make_job(), measured))
    assert done.outcome.status == "finished" and len(done.of("validation")) == 4
    assert [Path(w.file).name for w in done.of("warning") if w.code == "picture_unreadable"] == [
        "v2.png"
    ]
