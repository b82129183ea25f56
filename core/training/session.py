"""Everything a run holds in memory, and how it is put together."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config.job import Job
from core.data.dataset import LatentStore, TextStore, prepare_latents, prepare_text
from core.data.leases import Lease, begin_lease, trim
from core.data.plan import make_plan
from core.data.types import Plan
from core.device_lock import CPU, DeviceLock
from core.errors import Problem, UserError, fail
from core.families.base import BaseModelFile, Conditioning, LoadedModel, Loading, Role
from core.families.detect import check_family, detect, schedule_of
from core.families.registry import family
from core.lora.inject import Adapter, inject
from core.runs.findings import text_settings_problems
from core.runs.folder import RunFolder
from core.runs.output import taken
from core.training.checkpoint import TrainingState
from core.training.control import Control, Emit
from core.training.device import Compute, choose_compute, limit_threads
from core.training.ema import Ema
from core.training.optimizers import build_optimizer
from core.training.pictures import Pictures
from core.training.prompts import prompts_to_draw
from core.training.sources import Reading, begun_again, other_pictures, settle
from core.training.triggers import Trigger
from core.worker import protocol

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

# Looks back about 50 steps; only what is shown, never what is trained.
_SMOOTHING = 0.98


@dataclass
class SmoothedLoss:
    """Bias-corrected moving average of the loss, for the eye (as in Adam, arXiv 1412.6980)."""

    value: float = 0.0
    count: int = 0

    def add(self, loss: float) -> float:
        """Take one loss in; returns the average."""
        self.value = _SMOOTHING * self.value + (1 - _SMOOTHING) * loss
        self.count += 1
        return self.value / (1 - _SMOOTHING**self.count)


@dataclass
class Session:
    """A run in memory. step: optimizer steps done; text is None while the encoder is trained.

    whole: weights, averages and optimizer are all those of `step`, not in the middle of a change.

    sampling and checkpoints are copies of the job's settings that `set` commands may change.
    """

    job: Job
    run: RunFolder
    emit: Emit
    control: Control
    compute: Compute
    model: LoadedModel
    adapter: Adapter
    optimizer: Any  # accelerate's wrapper around a torch optimizer
    plan: Plan
    pictures: Pictures
    text: TextStore | None
    ema: Ema | None
    lease: Lease
    device_lock: DeviceLock
    reading: Reading
    started: float = field(default_factory=time.time)
    step: int = 0
    saved_step: int = 0
    whole: bool = True
    validated_step: int = -1
    smoothed: SmoothedLoss = field(default_factory=SmoothedLoss)
    sample_trigger: Trigger = field(init=False)
    checkpoint_trigger: Trigger = field(init=False)
    validation_trigger: Trigger = field(init=False)

    def __post_init__(self) -> None:
        self.set_triggers()
        validation = self.job.training.validation
        self.validation_trigger = Trigger(validation.every, validation.every_unit)

    def set_triggers(self) -> None:
        """Take the intervals from the job, at the start and after a `set` command."""
        sampling, checkpoints = self.job.sampling, self.job.checkpoints
        self.sample_trigger = Trigger(sampling.every, sampling.every_unit)
        self.checkpoint_trigger = Trigger(checkpoints.every, checkpoints.every_unit)

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.compute.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and speaks; true unless several GPUs are used."""
        return bool(self.compute.accelerator.is_main_process)

    def conditioning(self, captions: list[str]) -> Conditioning:
        """That of captions, on the device: prepared, or encoded with the model as it stands."""
        prepared = self.model.text.encode(captions) if self.text is None else self.text[captions]
        return {name: rows.to(self.device) for name, rows in prepared.items()}

    def pixels_of(self, shape: torch.Size) -> tuple[int, int]:
        """Width and height in pixels of a picture whose latents are (C, h, w)."""
        return shape[2] * self.model.latent_scale, shape[1] * self.model.latent_scale

    def close(self) -> None:
        """End what the run has going on beside itself."""
        self.pictures.close()
        self.lease.end()
        self.device_lock.release()

    def state(self) -> TrainingState:
        """What a checkpoint keeps for exact resume."""
        scaler = self.compute.accelerator.scaler
        return TrainingState(
            weights=dict(self.adapter.named_weights()),
            ema=self.ema.weights if self.ema else {},
            optimizer=self.optimizer.state_dict(),
            trainer={
                "step": self.step,
                "started": self.started,
                "smoothed": [self.smoothed.value, self.smoothed.count],
                "ema_updates": self.ema.updates if self.ema else 0,
                "scaler": scaler.state_dict() if scaler is not None else None,
                "sources": self.reading.sources().as_dict(),
            },
        )

    def restore(self, state: TrainingState) -> None:
        """Go on from a checkpoint's state, after naming the pictures that have changed since.

        An optimizer or average that the state does not fit, as was accepted when the session was
        opened, begins again. Raises UserError when the state is of another job.
        """
        before = state.trainer.get("sources", {})
        for problem in other_pictures(before, self.reading.sources()):
            self.emit(warning_of(problem))
        again = begun_again(before, self.job)
        try:
            self.adapter.load_weights(state.weights)
            if self.ema:
                kept = "training.ema.enabled" not in again
                average = state.ema if kept else state.weights
                self.ema.load(average, state.trainer["ema_updates"] if kept else 0)
            if "training.optimizer" not in again:
                self.optimizer.load_state_dict(state.optimizer)
        except (ValueError, KeyError, RuntimeError) as error:
            raise fail(
                "checkpoint_foreign",
                "The checkpoint was made with other LoRA or optimizer settings and cannot be "
                "resumed with these.",
                detail=str(error),
            ) from error
        if self.compute.accelerator.scaler is not None and state.trainer["scaler"]:
            self.compute.accelerator.scaler.load_state_dict(state.trainer["scaler"])
        self.step = self.saved_step = int(state.trainer["step"])
        if self.step > self.plan.total_steps:
            self.emit(warning_of(_nothing_left(self.step, self.plan.total_steps)))
            self.plan = replace(self.plan, total_steps=self.step)
        self.started = float(state.trainer["started"])
        self.smoothed = SmoothedLoss(*state.trainer["smoothed"])


def open_session(
    job: Job,
    run: RunFolder,
    emit: Emit,
    control: Control,
    before: Mapping[str, Any] | None = None,
    accept_changes: bool = False,
) -> Session:
    """Load the model, look at the pictures, fill the caches and add the LoRA.

    before: what the run was made from (Sources.as_dict) where it is resumed. Settings and models
    that have changed since are named, and refused where they do not fit, unless `accept_changes`.
    Raises UserError for everything that a user can mend, Stopped when asked to stop.
    """
    emit(protocol.Phase(name="loading", text="Looking at the base model"))
    base = _find_base(job, emit)
    plan = _make_plan(job, base, emit, control)
    reading = Reading(job, base)
    compute = choose_compute(job)
    if not compute.accelerator.is_main_process:
        emit = _silent
    if before is not None:
        for problem in settle(before, job, reading.models(), accept_changes):
            emit(warning_of(problem))
    device = _device_lock(run, compute)
    wait_for_device(device, emit, control)
    emit(protocol.Phase(name="loading", text="Loading the base model"))
    lease: Lease | None = None
    try:
        model = _load(job, base, compute)
        limit_threads(model, compute.device)
        control.check()
        lease = begin_lease()
        plan, latents, text = _prepare(job, plan, model, compute, emit, control)
        reading.look(job, plan)
        _keep_cache_small(job, lease, latents, text)
        pictures = Pictures(plan, latents, job.training.seed, emit, control)
        # Samples need the rest again; on a small card its memory is worth more than the move.
        model.place(*_needed_by_steps(pictures, text))
        adapter = inject(model, job.lora, job.training.seed)
        if job.training.gradient_checkpointing:
            for component in adapter.components():
                _enable_checkpointing(model.parts[component])
        optimizer = compute.accelerator.prepare_optimizer(build_optimizer(adapter, job.training))
        ema = Ema(adapter, job.training.ema.decay) if job.training.ema.enabled else None
        session = Session(
            job=job,
            run=run,
            emit=emit,
            control=control,
            compute=compute,
            model=model,
            adapter=adapter,
            optimizer=optimizer,
            plan=plan,
            pictures=pictures,
            text=text,
            ema=ema,
            lease=lease,
            device_lock=device,
            reading=reading,
        )
    except BaseException:
        device.release()
        if lease is not None:
            lease.end()
        raise
    return session


def _needed_by_steps(pictures: Pictures, text: TextStore | None) -> tuple[Role, ...]:
    """What must be on the device while steps are trained: not the VAE unless they encode
    pictures, not the text side unless it is trained or captions are new at each step."""
    needed: list[Role] = ["denoiser"]
    if text is None or not text.complete:
        needed.append("text")
    if pictures.any_live:
        needed.append("vae")
    return tuple(needed)


def _prepare(
    job: Job, plan: Plan, model: LoadedModel, compute: Compute, emit: Emit, control: Control
) -> tuple[Plan, LatentStore, TextStore | None]:
    """Latents and, unless its encoder is trained, text from the cache or computed now."""
    # A small card need not hold the largest part beside what encodes pictures and captions.
    with control.pausing(lambda: rest(control, emit, model, "caching")):
        with model.resident("vae"):
            latents, plan = prepare_latents(plan, model, emit, control, concepts=job.concepts)
        if job.lora.text_encoder:
            return plan, latents, None
        with model.resident("text"):
            text = prepare_text(plan, job, model, emit, control)
            _read_prompts(job, model)
    return plan, latents, text


def _read_prompts(job: Job, model: LoadedModel) -> None:
    """Have a text side that is about to be given up read the sample prompts before."""
    if "text" in model.info.staying or job.sampling.every_unit == "never":
        return
    for _, spec in prompts_to_draw(job):
        for text in (spec.prompt, spec.negative) if spec.cfg > 1 else (spec.prompt,):
            model.text.encode([text])


def _keep_cache_small(job: Job, lease: Lease, latents: LatentStore, text: TextStore | None) -> None:
    """Name what this run needs, then remove what no run has used for longest."""
    lease.name(latents.keys() | (text.keys() if text else set()))
    left = trim(job.training.cache_limit * 1e9)
    if left.removed:
        log.info("Removed %.1f MB of long unused cache entries.", left.removed / 1e6)


def rest(control: Control, emit: Emit, model: LoadedModel, phase: protocol.PhaseName) -> None:
    """Free the device of the model and wait for resume, in the middle of a phase."""
    with model.resident():
        emit(protocol.Phase(name="paused"))
        control.wait_while_paused()
    emit(protocol.Phase(name=phase))


def _nothing_left(step: int, total: int) -> Problem:
    return Problem(
        code="nothing_left_to_train",
        severity="warning",
        title=f"With the pictures and settings that are there now, the run has {total} steps; its "
        f"checkpoint stands at step {step}, so there is nothing left to train.",
    )


def _device_lock(run: RunFolder, compute: Compute) -> DeviceLock:
    """The lock of the run's device, of which its first process takes care for all."""
    device = compute.device
    name = CPU if device.type == "cpu" else f"{device.type}:{device.index or 0}"
    rank = compute.accelerator.process_index
    # Processes of one run that share a device share it on purpose.
    return DeviceLock(f"{name} rank {rank}" if rank else name, f"the training of {run.path.name}")


def wait_for_device(device: DeviceLock, emit: Emit, control: Control) -> None:
    """Take the run's device, telling for whom it waits. Raises Stopped when asked to stop."""
    device.take(lambda text: emit(protocol.Phase(name="loading", text=text)), control.check_stop)


def _silent(_event: object) -> None:
    """Where the events of all but the first of several processes go."""


def _find_base(job: Job, emit: Emit) -> BaseModelFile:
    def tell(size: int) -> None:
        known = f", {size / 1e9:.1f} GB" if size else ""
        emit(protocol.Phase(name="loading", text=f"Downloading {job.model.base}{known}"))

    base = detect(job.model.base, allow_download=job.model.allow_download, tell=tell)
    check_family(job.model, base)
    if problems := [*taken(job, base), *text_settings_problems(job, base)]:
        raise UserError(*problems)
    return base


def _make_plan(job: Job, base: BaseModelFile, emit: Emit, control: Control) -> Plan:
    plan = make_plan(job, bucket_step=base.bucket_step, check_stop=control.check)
    errors = [p for p in plan.problems if p.severity == "error"]
    if errors:
        raise UserError(*errors)
    for problem in plan.problems:
        emit(warning_of(problem))
    return plan


def warning_of(problem: Problem) -> protocol.Warning:
    """A problem as the event that tells of it."""
    fields = problem.as_dict()
    del fields["severity"]
    return protocol.Warning(**fields)


def _load(job: Job, base: BaseModelFile, compute: Compute) -> LoadedModel:
    settings = job.model
    prediction, zero_snr = schedule_of(settings, base)
    how = Loading(
        vae=Path(settings.vae) if settings.vae.strip() else None,
        dtype=compute.weights,
        device=compute.device,
        clip_skip=settings.clip_skip,
        prediction_type=prediction,
        zero_terminal_snr=zero_snr,
    )
    return family(base.family).load(base, how)


def _enable_checkpointing(component: Any) -> None:
    # diffusers and transformers agree on the idea, not on the name.
    if hasattr(component, "enable_gradient_checkpointing"):
        component.enable_gradient_checkpointing()
    else:
        component.activation_checkpointing_enable({"use_reentrant": False})
