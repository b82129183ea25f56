"""Memory that runs out, and losses that stop being numbers: nothing that was trained is lost."""

from __future__ import annotations

import gc
import sys
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.config.concepts import Concept
from core.data.encoding import Encoder, Pixels
from core.data.types import Bucket, Item, Placement
from core.errors import UserError
from core.families.base import Frame
from core.training import device, trainer


def full() -> Exception:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def at_step(number: int, times: int, error):
    """batch_losses that raises at one step, so many times."""
    real, left = trainer.batch_losses, [times]

    def losses(session, batch, index):
        if session.step + 1 == number and left[0]:
            left[0] -= 1
            raise error()
        return real(session, batch, index)

    return losses


def test_a_step_that_runs_out_of_memory_once_is_made_again(
    make_job, run_trainer, monkeypatch
) -> None:
    job = make_job(training__max_steps=4, lora__dropout=0.1)
    plain = run_trainer(job)
    monkeypatch.setattr(trainer, "batch_losses", at_step(3, 1, full))
    tried = run_trainer(job)
    assert tried.outcome.status == "finished" and len(tried.of("step")) == 4
    one, other = (load_file(run.folder.lora_file) for run in (plain, tried))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("error", "code"),
    [(full, "out of memory"), (lambda: RuntimeError("something of a driver's"), "driver")],
)
def test_an_error_that_stays_costs_no_step_that_was_done(
    make_job, run_trainer, monkeypatch, tmp_path: Path, error, code: str
) -> None:
    from core.runs.folder import create

    job = make_job(training__max_steps=5)
    straight = run_trainer(job)
    folder = create(job, tmp_path, tmp_path / "broken")
    events = []
    with monkeypatch.context() as patched:
        patched.setattr(trainer, "batch_losses", at_step(4, 2, error))
        with pytest.raises(RuntimeError, match=code):
            run_trainer(job, folder=folder, on_event=lambda event, _control: events.append(event))
    assert [e.step for e in events if e.type == "checkpoint"] == [3]
    (told,) = [e for e in events if e.type == "warning"]
    assert told.code == "saved_before_the_end" and "step 3 was saved" in told.title
    resumed = run_trainer(job, folder=folder, resume=folder.checkpoint(3))
    assert resumed.outcome.step == 5
    one, other = (load_file(run.folder.lora_file) for run in (straight, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_loss_that_is_no_number_leaves_the_last_good_step(
    make_job, run_trainer, monkeypatch, tmp_path: Path
) -> None:
    from core.runs.folder import create

    job = make_job(training__max_steps=5)
    folder = create(job, tmp_path, tmp_path / "run")
    real = trainer.batch_losses

    def losses(session, batch, index):
        return real(session, batch, index) * (float("nan") if session.step == 2 else 1.0)

    monkeypatch.setattr(trainer, "batch_losses", losses)
    with pytest.raises(UserError) as caught:
        run_trainer(job, folder=folder)
    assert caught.value.problem.code == "loss_not_finite"
    assert folder.checkpoint(2).is_dir() and folder.lora_file.exists()


def test_weights_in_the_middle_of_their_change_are_never_saved(
    make_job, run_trainer, monkeypatch, tmp_path: Path
) -> None:
    from core.runs.folder import create

    job = make_job(training__max_steps=5)
    folder = create(job, tmp_path, tmp_path / "run")
    real, calls = torch.optim.AdamW.step, []

    def step(optimizer, *args, **named):
        calls.append(optimizer)
        if len(calls) == 3:
            raise full()
        return real(optimizer, *args, **named)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(torch.OutOfMemoryError):
        run_trainer(job, folder=folder)
    assert len(calls) == 3 and not list(folder.checkpoints_folder.glob("step-*"))


class _Narrow:
    """A model whose VAE holds one picture at a time."""

    latent_scale, latent_channels = 8, 4

    def __init__(self) -> None:
        self.failed: weakref.ref[torch.Tensor] | None = None
        self.held_at_retry: list[bool] = []

    def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        if self.failed is not None:
            gc.collect()
            self.held_at_retry.append(self.failed() is not None)
        if len(pixels) > 1:
            activations = torch.zeros(8)
            self.failed = weakref.ref(activations)
            raise full()
        return torch.ones(1, 4, 1, 1)


def test_pictures_too_many_for_the_memory_are_encoded_one_by_one_without_the_failed_pass() -> None:
    model = _Narrow()
    placement = Placement(Bucket(8, 8), (8, 8), (0, 0), False)
    items = [Item(n, 0, Path(f"{n}.png"), (8, 8), placement, ("",)) for n in range(3)]
    frame = Frame.whole((8, 8))
    pixels = [Pixels(torch.zeros(3, 8, 8, dtype=torch.uint8), frame)] * 3
    found = Encoder(model, [Concept()]).encode(items, pixels)  # type: ignore[arg-type]
    assert len(found) == 3 and model.held_at_retry == [False, False, False]


@pytest.mark.parametrize(("system", "limits"), [("win32", [1.0]), ("linux", [])])
def test_on_windows_a_gpu_does_not_go_on_in_the_computers_memory(
    system: str, limits: list[float], monkeypatch
) -> None:
    asked: list[float] = []
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", asked.append)
    device.keep_to_gpu_memory()
    assert asked == limits
