"""What the captioning worker and whoever started it say to each other: one JSON object a line.

Pictures are told once, by path; afterwards they are known by their index. Unknown types and
fields are ignored, so that either side may be older.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

PROTOCOL = 1
Status = Literal["finished", "stopped", "failed"]
PATHS_A_LINE = 200


@dataclass(frozen=True)
class Hello:
    """First event of a worker."""

    pid: int
    protocol: int = PROTOCOL


@dataclass(frozen=True)
class Phase:
    """What the worker is busy with; text tells where it calculates once that is known, or for
    whom it waits."""

    name: Literal["waiting", "loading", "captioning"]
    text: str = ""


@dataclass(frozen=True)
class Captioned:
    """One picture's caption, without trigger word; may be empty."""

    index: int
    text: str


@dataclass(frozen=True)
class Refused:
    """One picture that could not be captioned, and why in one sentence."""

    index: int
    code: str
    reason: str


@dataclass(frozen=True)
class Trouble:
    """What ends the work: the fields of a core.errors.Problem."""

    problem: dict[str, str]


@dataclass(frozen=True)
class Heartbeat:
    """Every few seconds, whatever the worker is doing."""


@dataclass(frozen=True)
class Done:
    """Last event of a worker."""

    status: Status


@dataclass(frozen=True)
class Pictures:
    """Further pictures, numbered on from those before."""

    paths: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Start:
    """All pictures are told; begin. options: those of `options.make_options`."""

    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stop:
    """End the work; what was told stays told."""


Event = Hello | Phase | Captioned | Refused | Trouble | Heartbeat | Done
Command = Pictures | Start | Stop
_KINDS: dict[str, type[Any]] = {
    kind.__name__.lower(): kind
    for kind in (
        *(Hello, Phase, Captioned, Refused, Trouble, Heartbeat, Done),
        *(Pictures, Start, Stop),
    )
}


def encode(message: Event | Command) -> bytes:
    """One line with its end. Plain ASCII, so that file names in any bytes pass."""
    data = {"type": type(message).__name__.lower(), **asdict(message)}
    return json.dumps(data).encode("ascii") + b"\n"


def decode(line: bytes) -> Event | Command | None:
    """The message in a line, or None for garbage, half lines and types of a newer version."""
    try:
        data = json.loads(line)
        kind = _KINDS[data.pop("type")]
        known = {one.name for one in fields(kind)}
        return kind(**{name: value for name, value in data.items() if name in known})  # type: ignore[no-any-return]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
