"""What `tests.benchmarks.gpu` measures of one model trained in one way, in one process.

Sessions and steps are the product's own. One session holds pictures of two sizes, so that a model
is loaded once for all its cases.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from core.config.job import Job, defaults, require, set_path
from core.data.batches import epoch_batches
from core.data.types import Batch
from core.errors import UserError
from core.families.base import trained_parts
from core.hardware import free_memory
from core.lora.inject import set_training
from core.runs.folder import create
from core.runs.memory import memory_need
from core.training.control import Control
from core.training.device import memory_in_use
from core.training.interrupt import interruptible
from core.training.session import Session, open_session
from core.training.trainer import _obey, batch_losses, train_step
from core.worker import protocol
from tests.benchmarks.made import make

BATCH_SIZES = (1, 4)
# From there float16's scale has to be halved often before gradients fit.
_HUGE_SCALE = 2.0**40


@dataclass(frozen=True)
class Effort:
    """How much is done for one number: steps before and while it is measured, seconds at most."""

    warm_up: int = 3
    steps: int = 10
    seconds: float = 10.0
    profiled: int = 2
    sampling_steps: int = 20


@dataclass(frozen=True)
class Row:
    """One line of the table. pixels, batch: 0 where it is about no case. seconds: per step;
    busy: share of them in which the GPU calculates; peak, estimate: bytes; loss: of the first
    step of the smallest case, before anything is learned; remark: everything else.
    """

    family: str
    way: str
    pixels: int = 0
    batch: int = 0
    seconds: float | None = None
    busy: float | None = None
    peak: int | None = None
    estimate: int | None = None
    loss: float | None = None
    device: str = ""
    remark: str = ""


@dataclass
class Bench:
    """A session and what its measurements need. batches: a full one for each size of pictures."""

    session: Session
    batches: dict[int, Batch]
    effort: Effort
    events: list[Any] = field(default_factory=list)


# One more thing to find out of a session after its cases, told in words.
Extra = Callable[[Bench], str]


def open_bench(
    model: Path, folder: Path, sizes: tuple[int, ...], settings: dict[str, Any], effort: Effort
) -> Bench:
    """A session on `model` with pictures of `sizes` (pixels along a side), ready for steps.

    Raises UserError where the settings don't work on this computer.
    """
    job = _job(model, folder, sizes, {"sampling.prompts.0.steps": effort.sampling_steps} | settings)
    events: list[Any] = []
    session = open_session(job, create(job, folder / "runs"), events.append, Control())
    set_training(session.model, session.adapter, True)
    batches = {}
    for group in epoch_batches(session.plan, job, 0):
        for batch in group:
            batches[batch.bucket.width] = batch
    return Bench(session, batches, effort, events)


def _job(model: Path, folder: Path, sizes: tuple[int, ...], settings: dict[str, Any]) -> Job:
    data = defaults()
    start: dict[str, Any] = {
        "model.base": str(model),
        "training.resolution": sizes[0],
        "training.batch_size": max(BATCH_SIZES),
        "training.max_steps": 1000,
        "sampling.every_unit": "never",
        "sampling.prompts.0.prompt": "a photo",
        "sampling.prompts.0.seed": 1,
        "checkpoints.every_unit": "never",
    }
    for number, size in enumerate(sizes):
        pictures = folder / f"pictures {size}"
        if not pictures.exists():
            make(pictures, (size, size), max(BATCH_SIZES), "png")
            for picture in pictures.glob("*.png"):
                picture.with_suffix(".txt").write_text("a photo of a thing", encoding="utf-8")
        start[f"concepts.{number}.path"] = str(pictures)
        start[f"concepts.{number}.resolution"] = size
    for path, value in {**start, **settings}.items():
        data = set_path(data, path, value)
    return require(data)


def first_loss(bench: Bench) -> float:
    """The loss of the first step of the smallest case, before the LoRA has learned anything."""
    session, batch = bench.session, _case(bench, min(bench.batches), 1)
    loaded = session.pictures.load(session.step, batch)
    assert loaded is not None
    with torch.no_grad():
        return float(batch_losses(session, loaded, 0).mean())


def cases(bench: Bench, wanted: Iterable[tuple[int, int]]) -> Iterable[Row]:
    """A row for each size of pictures and batch; one that fails says why and the next follows."""
    for pixels, size in wanted:
        row = Row("", "", pixels, size)
        try:
            yield _measured(bench, row)
        except Exception as error:
            yield replace(row, remark=in_words(error))
        bench.session.optimizer.zero_grad()


def _case(bench: Bench, pixels: int, size: int) -> Batch:
    whole = bench.batches[pixels]
    return replace(whole, draws=whole.draws[:size])


def _measured(bench: Bench, row: Row) -> Row:
    session, batch, effort = bench.session, _case(bench, row.pixels, row.batch), bench.effort
    device = session.device
    free_memory()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with interruptible(trained_parts(session.model).values(), session.control.check_stop):
        for _ in range(effort.warm_up):
            _step(session, batch)
        durations: list[float] = []
        while len(durations) < effort.steps and sum(durations) < effort.seconds:
            started = time.perf_counter()
            _step(session, batch)
            durations.append(time.perf_counter() - started)
        seconds = statistics.median(durations)
        reserved = memory_in_use(device)
        if device.type == "cuda":
            reserved = torch.cuda.max_memory_reserved(device)
        # Not before: CUDA loads its code piece by piece, as it is needed.
        beside = _used_beside(device)
        busy = _busy_seconds(session, batch, effort.profiled) / seconds
    return replace(
        row,
        seconds=seconds,
        busy=min(busy, 1.0),
        peak=reserved + beside,
        estimate=_estimate(session, batch),
    )


def _step(session: Session, batch: Batch) -> None:
    """One step of the trainer. It waits for its loss, so the GPU's queue never grows: steps take
    as long as they do in a run."""
    loss = train_step(session, [batch])
    session.step += 1
    session.whole = True
    if loss is None or not math.isfinite(loss):
        raise RuntimeError(f"the loss is {loss}")


def _used_beside(device: torch.device) -> int:
    """Bytes of a GPU in use that are not torch's own store: mostly the CUDA context and libraries,
    which an estimate of what training takes has to count too."""
    if device.type != "cuda":
        return 0
    free, total = torch.cuda.mem_get_info(device)
    return max(0, total - free - torch.cuda.memory_reserved(device))


def _busy_seconds(session: Session, batch: Batch, steps: int) -> float:
    """Seconds per step in which the device calculates: kernels and copies on a GPU, PyTorch's
    operators on the processor. Steps that are watched take longer, what is calculated does not."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    gpu = session.device.type == "cuda"
    activity = ProfilerActivity.CUDA if gpu else ProfilerActivity.CPU
    with profile(activities=[activity]) as watched:
        for _ in range(steps):
            _step(session, batch)
        _finish(session.device)
    wanted = DeviceType.CUDA if gpu else DeviceType.CPU
    spans = [
        (event.time_range.start, event.time_range.end)
        for event in watched.events() or ()
        # Names that a program gives to stretches of time span waiting too.
        if event.device_type == wanted and not getattr(event, "is_user_annotation", False)
    ]
    return covered(spans) / 1e6 / steps


def covered(spans: list[tuple[float, float]]) -> float:
    """How long at least one of the spans (start, end) lasts."""
    total, reached = 0.0, -math.inf
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _estimate(session: Session, batch: Batch) -> int | None:
    """What pre-flight would say of a job that has this case alone."""
    count = len(batch.draws)
    training = session.job.training.model_copy(update={"batch_size": count})
    job = session.job.model_copy(update={"training": training})
    plan = replace(session.plan, buckets={batch.bucket: count})
    need = memory_need(job, session.model.file, plan, session.device.type == "cuda")
    return need.total if need else None


# --- what is found out after the cases ------------------------------------------------


def pausing(bench: Bench) -> str:
    """How much memory a pause leaves in use, and whether training goes on after it."""
    session, device = bench.session, bench.session.device
    seen: list[int] = []
    emit = session.emit

    def watch(event: Any) -> None:
        emit(event)
        if isinstance(event, protocol.Phase) and event.name == "paused":
            seen.append(memory_in_use(device))
            session.control.submit(protocol.Resume())

    before = memory_in_use(device)
    session.emit = watch
    try:
        session.control.submit(protocol.Pause())
        _obey(session)
    finally:
        session.emit = emit
    _step(session, _case(bench, min(bench.batches), 1))
    return f"pause: {gigabytes(before)} before, {gigabytes(seen[0])} while paused; training goes on"


def sampling(bench: Bench) -> str:
    """Seconds that a sample takes beside the training, at the model's own size."""
    from core.training.samples import draw_samples

    session = bench.session
    side = session.model.file.default_resolution
    prompts = [
        spec.model_copy(update={"width": side, "height": side})
        for spec in session.job.sampling.prompts
    ]
    settings = session.job.sampling.model_copy(update={"prompts": prompts})
    session.job = session.job.model_copy(update={"sampling": settings})
    bench.events.clear()
    times = []
    # The first one also loads libraries and makes the GPU choose its algorithms.
    for _ in range(2):
        started = time.perf_counter()
        draw_samples(session)
        _finish(session.device)
        times.append(time.perf_counter() - started)
    drawn = sum(isinstance(event, protocol.Sample) for event in bench.events)
    if drawn != len(times) * len(prompts):
        warnings = [e.title for e in bench.events if isinstance(e, protocol.Warning)]
        return f"sampling failed: {' '.join(warnings)}"
    return (
        f"sample {side} px, {bench.effort.sampling_steps} steps: {times[1]:.2f} s "
        f"(the first {times[0]:.2f} s)"
    )


def overflow(bench: Bench, scale: float = _HUGE_SCALE) -> str:
    """What float16's loss scaler does where the scale is far too large: halve it until the
    gradients fit, and change the weights once, by the step that fits."""
    session = bench.session
    scaler = session.compute.accelerator.scaler
    if scaler is None:
        return "no loss scaler"
    before = [weight.detach().clone() for weight in session.adapter.parameters()]
    usual = scaler.get_scale()
    scaler.update(scale)
    _step(session, _case(bench, min(bench.batches), 1))
    found = scaler.get_scale()
    weights = session.adapter.parameters()
    if found >= scale:
        return f"loss scale {_power(scale)} led to no overflow"
    if not all(bool(weight.isfinite().all()) for weight in weights):
        return "after an overflow the weights are not numbers any more"
    if all(torch.equal(a, b) for a, b in zip(before, weights, strict=True)):
        return "after an overflow nothing was learned"
    return (
        f"loss scale {_power(scale)} fell to {_power(found)} within one step "
        f"(usual {_power(usual)}), weights finite and changed"
    )


def _power(scale: float) -> str:
    return f"2^{math.log2(scale):.0f}"


def gigabytes(count: int) -> str:
    """Bytes as people read them."""
    return f"{count / 1e9:.2f} GB"


def in_words(error: BaseException) -> str:
    """Why something was not measured, in one line."""
    if isinstance(error, UserError):
        return error.problems[0].title
    first = str(error).strip().partition("\n")[0][:150]
    return f"{type(error).__name__}: {first}"
