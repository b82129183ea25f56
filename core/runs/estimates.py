"""How long a run will take, judged by what earlier runs took."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config.job import Job
from core.data.types import Plan
from core.errors import UserError
from core.families.detect import detect
from core.paths import default_runs_dir
from core.reading import Unreadable, parse_json, read_json

# What decides how long a step takes; runs that agree in these are comparable as they are.
_SAME = (
    ("model", "base"),
    ("model", "dtype"),
    ("training", "resolution"),
    ("training", "batch_size"),
    ("training", "gradient_accumulation"),
    ("training", "gradient_checkpointing"),
    ("training", "precision"),
    ("training", "optimizer"),
    ("lora", "rank"),
    ("lora", "targets"),
    ("lora", "text_encoder"),
)
_RUNS_TO_TRY = 20
_HEAD_BYTES, _TAIL_BYTES = 512 * 1024, 4 * 1024 * 1024
_STEPS = 300
_KINDS = (b'"step"', b'"phase"', b'"sample"', b'"hello"', b'"done"')
_PICTURES = "Preparing pictures"


@dataclass(frozen=True)
class Measured:
    """What earlier runs took, in seconds; 0 where none tells.

    step: one optimizer step. exact: the run had the same settings; otherwise its time was scaled
    by pixels and batch. picture: preparing one picture (reading, scaling, VAE), as a run did that
    had none cached. sample: drawing one sample. memory: the most bytes that the run held, 0 unless
    exact. run: the folder of the run that the step's time is from.
    """

    step: float = 0.0
    exact: bool = False
    picture: float = 0.0
    sample: float = 0.0
    memory: int = 0
    run: str = ""


@dataclass(frozen=True)
class TimeNeed:
    """Seconds that a run will take, estimated; 0 where nothing is known to judge by.

    preparing: encoding all pictures when none is cached yet. exact: see Measured.
    """

    training: float
    preparing: float
    sampling: float
    exact: bool

    @property
    def total(self) -> float:
        """All of it; 0 when not even the steps' time is known."""
        return self.training + self.preparing + self.sampling if self.training else 0.0


@dataclass(frozen=True)
class LastDevice:
    """What the newest run calculated on, as its `hello` told: name and bytes of memory."""

    name: str = ""
    memory: int = 0

    @property
    def is_cpu(self) -> bool:
        """Whether it was the processor."""
        return self.name.startswith("CPU")


def time_need(measured: Measured, plan: Plan, samples: int) -> TimeNeed:
    """The time that a plan needs with `samples` sample pictures."""
    pictures = len(plan.items) + len(plan.validation)
    return TimeNeed(
        training=measured.step * plan.total_steps,
        preparing=measured.picture * pictures,
        sampling=measured.sample * samples,
        exact=measured.exact,
    )


def measured_speed(job: Job, runs: Path | None = None) -> Measured:
    """What the newest runs in `runs` (by default the user's folder) tell of a job's speed.

    A run with the same settings counts as it is; else one of the same base model, or of another
    of the same family and size, is scaled. Reads at most a few runs' events.
    """
    wanted = _facts(job.model_dump())
    rough: Measured | None = None
    known = Measured()
    for folder, data in _runs(runs or default_runs_dir()):
        same = _facts(data) == wanted
        if not same and (rough is not None or not _alike(job, data)):
            continue
        found = _read(folder / "events.jsonl")
        if not found.step:
            continue
        scale = 1.0 if same else _scale(job, data)
        measured = Measured(
            step=found.step * scale,
            exact=same,
            picture=found.picture * (1.0 if same else _area_scale(job, data)),
            sample=found.sample,
            memory=found.memory if same else 0,
            run=folder.name,
        )
        if not same:
            rough = measured
            continue
        # Later runs find the pictures cached, so the slowest one tells what preparing costs.
        known = Measured(
            step=known.step or measured.step,
            exact=True,
            picture=max(known.picture, measured.picture),
            sample=known.sample or measured.sample,
            memory=max(known.memory, measured.memory),
            run=known.run or measured.run,
        )
    return known if known.step else rough or known


def last_device(runs: Path | None = None) -> LastDevice:
    """What the newest run that told so calculated on."""
    for folder, _ in _runs(runs or default_runs_dir()):
        for event in _events(folder / "events.jsonl", head_only=True):
            if event.get("type") == "hello" and event.get("device"):
                return LastDevice(str(event["device"]), int(event.get("memory") or 0))
    return LastDevice()


def _runs(folder: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The newest runs with their jobs as plain data."""
    try:
        candidates = sorted(folder.iterdir(), reverse=True)[:_RUNS_TO_TRY]
    except OSError:
        return
    for run in candidates:
        try:
            data = read_json(run / "job.json")
        except Unreadable:
            continue
        if all(isinstance(data.get(g, {}), dict) for g, _ in _SAME):
            yield run, data


def _facts(data: Mapping[str, Any]) -> list[Any]:
    return [data.get(group, {}).get(name) for group, name in _SAME]


def _alike(job: Job, data: Mapping[str, Any]) -> bool:
    """Whether a run's step time can be scaled to the job's."""
    training = data.get("training", {})
    for name in ("precision", "gradient_checkpointing"):
        if training.get(name) != getattr(job.training, name):
            return False
    base = str(data.get("model", {}).get("base") or "")
    if not base or not _side(data):
        return False
    if base == job.model.base:
        return True
    try:
        mine, other = detect(job.model.base), detect(base)
    except UserError:
        return False
    return (mine.family, mine.default_resolution, mine.bucket_step) == (
        other.family,
        other.default_resolution,
        other.bucket_step,
    )


def _side(data: Mapping[str, Any]) -> int:
    side = data.get("training", {}).get("resolution")
    return side if isinstance(side, int) and side > 0 else 0


def _area_scale(job: Job, data: Mapping[str, Any]) -> float:
    return (job.training.resolution / _side(data)) ** 2


def _scale(job: Job, data: Mapping[str, Any]) -> float:
    """How much longer a step of the job takes than one of the run, by the pixels in it."""
    training = data.get("training", {})
    theirs = [training.get(name) for name in ("batch_size", "gradient_accumulation")]
    count = 1
    for number in theirs:
        count *= number if isinstance(number, int) and number > 0 else 1
    mine = job.training.batch_size * job.training.gradient_accumulation
    return _area_scale(job, data) * mine / count


def _read(events: Path) -> Measured:
    """What one run's events tell."""
    steps: list[float] = []
    memory = 0
    pictures = _Span()
    samples = _Span()
    for event in _events(events):
        kind = event.get("type")
        at = _number(event.get("time"))
        if kind == "step":
            steps.append(_number(event.get("seconds")))
            memory = max(memory, int(_number(event.get("memory"))))
        if kind == "phase" and event.get("name") == "caching" and event.get("text") == _PICTURES:
            pictures.count_to(at, int(_number(event.get("done"))))
        elif kind == "phase" and event.get("name") == "sampling":
            samples.open(at)
        elif kind == "sample":
            samples.count(at)
        elif kind in ("phase", "hello"):
            pictures.close()
            samples.close()
    times = [seconds for seconds in steps[-_STEPS:] if seconds > 0]
    return Measured(
        step=statistics.median(times) if times else 0.0,
        picture=pictures.each(),
        sample=samples.each(),
        memory=memory,
    )


class _Span:
    """Seconds and items of something that events tell the beginning and the progress of."""

    def __init__(self) -> None:
        self._since = self._done = 0.0
        self.seconds, self.items = 0.0, 0

    def open(self, at: float) -> None:
        """It goes on from this time."""
        if not self._since:
            self._since = at

    def count(self, at: float) -> None:
        """One more item is done."""
        if self._since and at > self._since:
            self.seconds += at - self._since
            self.items += 1
            self._since = at

    def count_to(self, at: float, done: int) -> None:
        """So many items are done in all since it began."""
        if self._since and done > self._done and at >= self._since:
            self.seconds += at - self._since
            self.items += int(done - self._done)
        self._since, self._done = at, done

    def close(self) -> None:
        """Something else has begun."""
        self._since = self._done = 0.0

    def each(self) -> float:
        """Seconds an item; 0 when there was none."""
        return self.seconds / self.items if self.items else 0.0


def _events(path: Path, head_only: bool = False) -> Iterator[dict[str, Any]]:
    """The events that tell times, of the beginning and the end of a file; never all of a huge
    one."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(_HEAD_BYTES if size > _HEAD_BYTES + _TAIL_BYTES or head_only else size)
            if not head_only and len(data) < size:
                file.seek(size - _TAIL_BYTES)
                data += b"\n" + file.read()
    except OSError:
        return
    for line in data.splitlines():
        if any(kind in line for kind in _KINDS):
            try:
                event = parse_json(line)
            except Unreadable:
                continue  # cut by where the reading began or ended
            if isinstance(event, dict):
                yield event


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
