"""What the worker process and whoever started it say to each other: one JSON object a line.

Events go worker -> window (and into the run's events.jsonl), commands window -> worker.
Unknown types are ignored by the reader, so that either side may be older.
"""

from __future__ import annotations

import json
import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from core.reading import parse_json

PROTOCOL_VERSION = 1

PhaseName = Literal["loading", "caching", "training", "sampling", "saving", "paused"]
Status = Literal["finished", "stopped", "failed"]


class _Event(BaseModel):
    # Unknown fields of a newer worker are dropped rather than refused.
    model_config = ConfigDict(extra="ignore", ser_json_inf_nan="null")
    time: float = Field(default_factory=time.time)


class Hello(_Event):
    """First event of a worker process. memory: device memory in bytes, 0 when unknown."""

    type: Literal["hello"] = "hello"
    protocol: int = PROTOCOL_VERSION
    pid: int
    versions: dict[str, str] = {}
    device: str = ""
    memory: int = 0
    resumed_from: str = ""


class Phase(_Event):
    """What the worker is busy with; done of total items, total 0 when it cannot be counted."""

    type: Literal["phase"] = "phase"
    name: PhaseName
    done: int = 0
    total: int = 0
    text: str = ""


class Step(_Event):
    """One optimizer step. epoch is fractional; seconds is this step's duration; memory in bytes.

    lr: rate per parameter group, d x lr for Prodigy. loss is None when not one of the step's
    pictures could be used.
    """

    type: Literal["step"] = "step"
    step: int
    total: int
    epoch: float
    loss: float | None
    smoothed: float | None = None
    lr: dict[str, float] = {}
    seconds: float = 0.0
    memory: int = 0


class Sample(_Event):
    """A preview picture; path is relative to the run folder, with forward slashes."""

    type: Literal["sample"] = "sample"
    step: int
    index: int
    path: str
    prompt: str
    seed: int


class Checkpoint(_Event):
    """A checkpoint; path of its folder relative to the run folder, with forward slashes.

    verified: other programs read every layer of it. rounding: how far the file's number format
    moves the LoRA from what was trained, as a share of it.
    """

    type: Literal["checkpoint"] = "checkpoint"
    step: int
    path: str
    verified: bool
    rounding: float = 0.0


class Validation(_Event):
    """Mean loss on the validation concepts."""

    type: Literal["validation"] = "validation"
    step: int
    loss: float


class _Problem(_Event):
    code: str
    title: str
    detail: str = ""
    hint: str = ""
    setting: str = ""
    file: str = ""


class Warning(_Problem):
    """Something the user should know; the run goes on."""

    type: Literal["warning"] = "warning"


class ProblemEvent(_Problem):
    """Something that ends the run, or one item of it."""

    type: Literal["problem"] = "problem"


class Heartbeat(_Event):
    """Every 5 seconds, whatever the worker is doing."""

    type: Literal["heartbeat"] = "heartbeat"


class Done(_Event):
    """Last event of a worker process. path: the LoRA relative to the run folder, or empty."""

    type: Literal["done"] = "done"
    status: Status
    step: int = 0
    path: str = ""
    output: str = ""


Event = Annotated[
    Hello
    | Phase
    | Step
    | Sample
    | Checkpoint
    | Validation
    | Warning
    | ProblemEvent
    | Heartbeat
    | Done,
    Field(discriminator="type"),
]


class Stop(BaseModel):
    """End the run; with save a checkpoint is written first."""

    type: Literal["stop"] = "stop"
    save: bool = True


class Pause(BaseModel):
    """Free the device's memory, keep the state, wait for resume."""

    type: Literal["pause"] = "pause"


class Resume(BaseModel):
    """Go on after a pause."""

    type: Literal["resume"] = "resume"


class SampleNow(BaseModel):
    """Draw the sample prompts after the step in work."""

    type: Literal["sample_now"] = "sample_now"


class CheckpointNow(BaseModel):
    """Write a checkpoint after the step in work."""

    type: Literal["checkpoint_now"] = "checkpoint_now"


# Problems that end a resume unless it is told to accept what has changed.
NEEDS_CONSENT = ("model_changed", "optimizer_changed")

LIVE_SETTINGS = (
    "sampling.every",
    "sampling.every_unit",
    "sampling.prompts",
    "checkpoints.every",
    "checkpoints.every_unit",
)


class Set(BaseModel):
    """Change one of LIVE_SETTINGS while running."""

    type: Literal["set"] = "set"
    path: str
    value: Any


Command = Annotated[
    Stop | Pause | Resume | SampleNow | CheckpointNow | Set, Field(discriminator="type")
]

_events: TypeAdapter[Event] = TypeAdapter(Event)
_commands: TypeAdapter[Command] = TypeAdapter(Command)


def encode(message: BaseModel) -> str:
    """One line of JSON without its line end.

    Names of files that are no valid UTF-8 come through as escapes.
    """
    try:
        return message.model_dump_json()
    except PydanticSerializationError:
        return json.dumps(message.model_dump(mode="json"))


def decode_event(line: str | bytes) -> Event | None:
    """The event in a line, or None for garbage, half lines and types of a newer version."""
    return _decode(_events, line)


def decode_command(line: str | bytes) -> Command | None:
    """The command in a line, or None for garbage and types of a newer version."""
    return _decode(_commands, line)


def _decode(adapter: TypeAdapter[Any], line: str | bytes) -> Any:
    try:
        data = parse_json(line)
        return adapter.validate_python(data) if isinstance(data, dict) else None
    except (ValueError, ValidationError):
        return None
