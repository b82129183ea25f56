"""The training loop, readable from top to bottom.

A run at step N is fully described by (job, N, the checkpoint's state): every random number
derives from (seed, step, picture), so stopping anywhere and resuming gives the same weights.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from core.config.job import Job, set_path
from core.config.job import validate as validate_job
from core.data.batches import epoch_batches, locate
from core.data.types import Batch, Plan
from core.errors import Stopped, fail
from core.families.base import trained_parts
from core.hardware import free_memory, is_out_of_memory
from core.lora.inject import set_training
from core.randomness import seed_of
from core.runs.folder import RunFolder, step_of
from core.schedules import rate_factor
from core.training import checkpoint, objective
from core.training.control import Control, Emit
from core.training.device import memory_in_use
from core.training.interrupt import interruptible
from core.training.losses import losses_at
from core.training.optimizers import (
    park_state,
    set_rates,
    shown_rates,
    total_norm,
    unpark_state,
)
from core.training.pictures import Loaded
from core.training.processes import another_ended, came_from_another
from core.training.samples import draw_samples, samples_missing
from core.training.saving import hand_out, save_checkpoint, take_up
from core.training.session import Session, open_session, wait_for_device
from core.training.triggers import Trigger
from core.training.validation import measure, validation_wanted, was_measured
from core.worker import protocol

log = logging.getLogger(__name__)

# float16's loss scale halves with each overflow; from 65536 it is below 1 after 17.
_MOST_OVERFLOWS = 30
# Pictures that a step changes anew are decoded while the steps before it are trained.
_STEPS_AHEAD = 4


@dataclass(frozen=True)
class Outcome:
    """How a run ended. lora: the newest LoRA in the run's folder; output: its copy, if wanted."""

    status: protocol.Status
    step: int
    lora: Path | None
    output: Path | None


def train(
    job: Job,
    run: RunFolder,
    emit: Emit,
    control: Control,
    resume_from: Path | None = None,
    *,
    accept_changes: bool = False,
) -> Outcome:
    """Train `job` in `run` to its end, or until a stop; from `resume_from` (a checkpoint folder).

    accept_changes: go on although another model lies where the run's was, or the optimizer is
    another.
    Raises UserError for what a user can fix (with the last good checkpoint intact).
    """
    checkpoint.remove_leftovers(run)
    # Before anything heavy: whoever started this may have an older state to try.
    state = checkpoint.read_state(resume_from) if resume_from else None
    try:
        before = state.trainer.get("sources", {}) if state else None
        session = open_session(job, run, emit, control, before, accept_changes)
    except Stopped:
        reached = (step_of(resume_from.name) or 0) if resume_from else 0
        return Outcome("stopped", reached, _lora_of(run), None)
    try:
        if state is not None and resume_from is not None:
            session.restore(state)
            take_up(session, resume_from)
        return _train(session, resumed=state is not None)
    finally:
        session.close()


def _train(session: Session, resumed: bool) -> Outcome:
    status: protocol.Status = "finished"
    run, accelerator = session.run, session.compute.accelerator
    try:
        blocks = trained_parts(session.model).values()
        # Several processes must agree on when to stop, so there a stop waits for the step's end.
        alone = accelerator.num_processes == 1
        with interruptible(blocks, session.control.check_stop) if alone else nullcontext():
            _run_steps(session, resumed)
    except Stopped:
        status = "stopped"
        session.optimizer.zero_grad()
        if session.control.save_on_stop and session.step > session.saved_step:
            save_checkpoint(session)
    except OSError:
        raise  # a full or broken disk takes no checkpoint either
    except Exception as error:
        _keep_what_is_there(session)
        if alone or not came_from_another(error):
            raise
        raise another_ended(run, session.saved_step) from error
    if not alone:
        number, count = accelerator.process_index + 1, accelerator.num_processes
        log.info("Process %d of %d ends at step %d.", number, count, session.step)
    return Outcome(status, session.step, _lora_of(run), hand_out(session))


def _keep_what_is_there(session: Session) -> None:
    """Save the steps since the last checkpoint before an error ends the run, and say so.

    Weights change only at the end of a step, so they are those of the last whole step unless that
    very change failed. What keeps them from being saved must not hide why the run ends.
    """
    if not session.whole or session.step <= session.saved_step:
        return
    session.optimizer.zero_grad()
    free_memory()
    try:
        saved = save_checkpoint(session)
    except Exception:
        log.exception("Step %d could not be saved", session.step)
        return
    if saved is not None:
        session.emit(
            protocol.Warning(
                code="saved_before_the_end",
                title=f"The training ends early; its step {session.step} was saved, and can be "
                "resumed from.",
                file=str(saved),
            )
        )


def _lora_of(run: RunFolder) -> Path | None:
    return run.lora_file if run.lora_file.exists() else None


def _run_steps(session: Session, resumed: bool) -> None:
    """All steps from where the session stands to the end. Raises Stopped when asked to stop."""
    total = session.plan.total_steps
    set_training(session.model, session.adapter, True)
    if not resumed:
        measure(session)
        if _samples_wanted(session) and session.job.sampling.at_start:
            draw_samples(session)
    else:
        # A stop may have come between the checkpoint and what was due after it.
        if _due(session, session.validation_trigger) and not was_measured(session):
            measure(session)
        if _due(session, session.sample_trigger) and samples_missing(session):
            draw_samples(session)
    session.emit(protocol.Phase(name="training", done=session.step, total=total))
    steps = _coming_steps(session.plan, session.job, session.step)
    coming: deque[_Step] = deque()
    ahead = _STEPS_AHEAD if session.pictures.any_live else 1
    while session.step < total:
        _obey(session)
        while len(coming) < min(ahead, total - session.step):
            coming.append(next(steps))
        session.pictures.expect((session.step + n, s.batches) for n, s in enumerate(coming))
        step = coming.popleft()
        _timed_step(session, step)
        _after_step(session, step, last=session.step == total)


@dataclass(frozen=True)
class _Step:
    """One coming optimizer step: number `index` of `count` in its epoch."""

    epoch: int
    index: int
    count: int
    batches: list[Batch]

    @property
    def ends_epoch(self) -> bool:
        return self.index + 1 == self.count


def _coming_steps(plan: Plan, job: Job, done: int) -> Iterator[_Step]:
    """All steps after `done` ones, on and on."""
    epoch, first = locate(plan, job, done)
    while True:
        steps = epoch_batches(plan, job, epoch)
        for index in range(first, len(steps)):
            yield _Step(epoch, index, len(steps), steps[index])
        epoch, first = epoch + 1, 0


def _timed_step(session: Session, step: _Step) -> None:
    started = time.perf_counter()
    loss = train_step(session, step.batches)
    session.step += 1
    if session.ema and loss is not None:
        session.ema.update(session.adapter)
    session.whole = True
    session.emit(
        protocol.Step(
            step=session.step,
            total=session.plan.total_steps,
            epoch=step.epoch + (step.index + 1) / step.count,
            loss=loss,
            smoothed=None if loss is None else session.smoothed.add(loss),
            lr=shown_rates(session.optimizer),
            seconds=time.perf_counter() - started,
            memory=memory_in_use(session.device),
        )
    )


def train_step(session: Session, batches: list[Batch]) -> float | None:
    """One optimizer step over the micro-batches; returns the mean loss over all their samples.

    Each sample counts the same, whatever the sizes of the micro-batches. None, and nothing
    changes, when not one of the pictures can be used. Raises UserError `loss_not_finite` before
    the weights change, PicturesGone when there is none left at all.
    """
    training, accelerator = session.job.training, session.compute.accelerator
    optimizer, parameters = session.optimizer, session.adapter.parameters()
    set_rates(
        optimizer,
        rate_factor(
            session.step, session.plan.total_steps, training.warmup_steps, training.scheduler
        ),
    )
    mine = batches[accelerator.process_index :: accelerator.num_processes]
    loaded = [session.pictures.load(session.step, batch) for batch in mine]
    samples = _samples_of(session, batches, loaded)
    if samples == 0:
        return None
    for _attempt in range(_MOST_OVERFLOWS):
        total = _backward(session, loaded, samples)
        total = _sum_over_processes(session, total, parameters)
        accelerator.unscale_gradients(optimizer)
        loss, norm = torch.stack([total / samples, total_norm(parameters).to(total)]).tolist()
        scaled = accelerator.scaler is not None
        if not math.isfinite(loss) or not (math.isfinite(norm) or scaled):
            raise _not_finite(session)
        if training.max_grad_norm is not None and norm > training.max_grad_norm:
            factor = training.max_grad_norm / (norm + 1e-6)
            torch._foreach_mul_([p.grad for p in parameters if p.grad is not None], factor)
        session.whole = False
        optimizer.step()
        if not accelerator.optimizer_step_was_skipped:
            return float(loss)
        session.whole = True
    raise _not_finite(session)


def _backward(session: Session, loaded: Sequence[Loaded | None], samples: int) -> torch.Tensor:
    """Gradients of the mean loss over `samples`; returns the summed loss of this process, 0-d.

    Where memory runs out, all that nothing uses is given back and it is tried once more: what
    another program took for a moment, or what lay about in pieces, ends no training.
    """
    try:
        return _gradients(session, loaded, samples)
    except Exception as error:
        # The others would wait for a sum that comes twice.
        if session.compute.accelerator.num_processes > 1 or not is_out_of_memory(error):
            raise
    # Outside of the except block, which would hold on to the memory that did not suffice.
    log.warning("Memory ran out in step %d; trying once more.", session.step + 1)
    session.optimizer.zero_grad()
    free_memory()
    return _gradients(session, loaded, samples)


def _gradients(session: Session, loaded: Sequence[Loaded | None], samples: int) -> torch.Tensor:
    session.optimizer.zero_grad()
    total = torch.zeros((), device=session.device)
    for number, batch in enumerate(loaded):
        if batch is not None:
            losses = batch_losses(session, batch, number)
            session.compute.accelerator.backward(losses.sum() / samples)
            total += losses.detach().sum()
    return total


def _samples_of(session: Session, batches: list[Batch], mine: Sequence[Loaded | None]) -> int:
    """How many samples a step has in all processes together, less those left out."""
    draws = [draw for batch in batches for draw in batch.draws]
    # The others' losses are not known here, unless none can have any.
    if not any(session.pictures.may_lose(draw.item) for draw in draws):
        return len(draws)
    own = sum(len(batch.draws) for batch in mine if batch is not None)
    accelerator = session.compute.accelerator
    if accelerator.num_processes == 1:
        return own
    count = torch.tensor(float(own), device=session.device)
    return round(accelerator.reduce(count, "sum").item())


def batch_losses(session: Session, batch: Loaded, number: int) -> torch.Tensor:
    """The weighted loss of each sample of a micro-batch, (B,), with its graph."""
    training, process = session.job.training, session.model.process
    seed = (training.seed, session.step)
    shape = batch.latents.shape[1:]
    size = session.pixels_of(shape)
    noises, shares = [], []
    for draw in batch.draws:
        own = (*seed, draw.item.id, draw.repeat)
        noises.append(objective.draw_noise(shape, training.timesteps, *own))
        shares.append(process.draw(training.timesteps, size, *own))
    clean = torch.stack([noise for noise, _ in noises])
    perturbed = torch.stack([noise for _, noise in noises])
    if session.job.lora.dropout:
        rank = session.compute.accelerator.process_index
        torch.manual_seed(seed_of(*seed, "dropout", rank, number))
    return losses_at(session, batch, (clean, perturbed), torch.tensor(shares))


def _sum_over_processes(
    session: Session, total: torch.Tensor, parameters: list[torch.nn.Parameter]
) -> torch.Tensor:
    """Add the gradients and the loss of all processes; each may have had none, one or several
    micro-batches, so a plain sum is right where an average of averages would not be."""
    accelerator = session.compute.accelerator
    if accelerator.num_processes == 1:
        return total
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
    flat = accelerator.reduce(flat, "sum")
    for parameter, part in zip(
        parameters, flat.split([p.numel() for p in parameters]), strict=True
    ):
        parameter.grad = part.view_as(parameter)
    return accelerator.reduce(total, "sum")


def _not_finite(session: Session) -> Exception:
    return fail(
        "loss_not_finite",
        f"The loss stopped being a number at step {session.step + 1}; the last good checkpoint "
        f"is intact.",
        hint="Lower the learning rate, or choose bfloat16 or float32 precision.",
        setting="training.learning_rate",
    )


def _samples_wanted(session: Session) -> bool:
    return session.job.sampling.every_unit != "never"


def _due(session: Session, trigger: Trigger) -> bool:
    """Whether the step that a resumed run stands at ended with what `trigger` is for."""
    if trigger.unit == "never":
        return False
    if session.step >= session.plan.total_steps:
        return True
    if trigger.unit == "minute" or session.step == 0:
        return False
    epoch, index = locate(session.plan, session.job, session.step - 1)
    ended = index + 1 == len(epoch_batches(session.plan, session.job, epoch))
    return trigger.due(session.step, epoch, ended)


def _after_step(session: Session, done: _Step, *, last: bool) -> None:
    """Checkpoint, validation and samples where they are due; the checkpoint first, it is worth
    most."""
    now = (session.step, done.epoch, done.ends_epoch)
    save = session.checkpoint_trigger.due(*now) or last
    validate = validation_wanted(session) and (session.validation_trigger.due(*now) or last)
    draw = session.sample_trigger.due(*now) or (last and _samples_wanted(session))
    if save or validate or draw:
        # Writing would make a new folder of that name, with next to nothing in it.
        checkpoint.require_folder(session.run)
    if save:
        save_checkpoint(session)
    if validate:
        measure(session)
    if draw:
        draw_samples(session)
    if save or validate or draw:
        _back_to_training(session)


def _back_to_training(session: Session) -> None:
    # No waiting for other processes here: they have not heard the commands of the first one, and
    # their minutes end a little earlier or later. The next step brings all together.
    total = session.plan.total_steps
    session.emit(protocol.Phase(name="training", done=session.step, total=total))


def _obey(session: Session) -> None:
    """Carry out the commands that came since the last step. Raises Stopped for a stop."""
    accelerator = session.compute.accelerator
    stop = session.control.stop_asked.is_set()
    if accelerator.num_processes > 1:
        asked = torch.tensor(float(stop), device=session.device)
        stop = bool(accelerator.reduce(asked, "sum").item())
    if stop:
        raise Stopped
    if session.control.pause_asked.is_set():
        _pause(session)
    while (command := session.control.take()) is not None:
        match command:
            case protocol.SampleNow():
                draw_samples(session)
            case protocol.CheckpointNow():
                if session.step > session.saved_step:
                    save_checkpoint(session)
            case protocol.Set(path=path, value=value):
                _set_live(session, path, value)
                continue
        _back_to_training(session)


def _pause(session: Session) -> None:
    """Free the device's memory and wait. Raises Stopped when asked to stop meanwhile."""
    total = session.plan.total_steps
    with session.model.resident():
        _move_averages(session, torch.device("cpu"))
        parked = park_state(session.optimizer)
        free_memory()
        # Whoever waits for the device may have it meanwhile.
        session.device_lock.release()
        session.emit(protocol.Phase(name="paused", done=session.step, total=total))
        session.control.wait_while_paused()
        wait_for_device(session.device_lock, session.emit, session.control)
    unpark_state(parked)
    _move_averages(session, session.device)
    _back_to_training(session)


def _move_averages(session: Session, device: torch.device) -> None:
    if session.ema:
        session.ema.weights = {n: t.to(device) for n, t in session.ema.weights.items()}


def _set_live(session: Session, path: str, value: object) -> None:
    """Change one of the few live settings; a bad one is refused with a warning."""
    if path not in protocol.LIVE_SETTINGS:
        session.emit(
            protocol.Warning(
                code="setting_not_live",
                title=f"{path} cannot change while the training runs; it will count next time.",
                setting=path,
            )
        )
        return
    job, problems = validate_job(set_path(session.job.model_dump(), path, value))
    if job is None:
        for problem in problems:
            session.emit(
                protocol.Warning(code=problem.code, title=problem.title, setting=problem.setting)
            )
        return
    session.job = job
    session.set_triggers()
