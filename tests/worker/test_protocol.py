"""Every message survives the line; everything else on the line does no harm."""

from __future__ import annotations

import json
import types
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from core.worker import protocol
from core.worker.lines import LineSplitter

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**53), 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: TEXT,
    bool: st.booleans(),
    Any: st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=5,
    ),
}


def strategy_of(annotation: Any) -> st.SearchStrategy[Any]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(strategy_of, arguments))
    if origin is dict:
        return st.dictionaries(*map(strategy_of, arguments), max_size=3)
    if annotation is type(None):
        return st.none()
    return BY_TYPE[annotation]


def messages(kind: type[BaseModel]) -> st.SearchStrategy[BaseModel]:
    def of(field: FieldInfo) -> st.SearchStrategy[Any]:
        return strategy_of(field.annotation)

    return st.fixed_dictionaries({n: of(f) for n, f in kind.model_fields.items()}).map(
        lambda values: kind(**values)
    )


def kinds(union: Any) -> list[Any]:
    return list(typing.get_args(typing.get_args(union)[0]))


EVENTS, COMMANDS = kinds(protocol.Event), kinds(protocol.Command)


def test_the_unions_are_whole() -> None:
    def told(base: type) -> set[str]:
        direct = [c for c in base.__subclasses__() if not c.__name__.startswith("_")]
        private = [c for c in base.__subclasses__() if c.__name__.startswith("_")]
        return {c.__name__ for c in direct} | {n for c in private for n in told(c)}

    assert told(protocol._Event) == {kind.__name__ for kind in EVENTS}
    assert {kind.__name__ for kind in COMMANDS} == {
        "Stop",
        "Pause",
        "Resume",
        "SampleNow",
        "CheckpointNow",
        "Set",
    }


@pytest.mark.parametrize("kind", EVENTS)
@given(data=st.data())
def test_every_event_round_trips(kind: type[BaseModel], data: st.DataObject) -> None:
    event = data.draw(messages(kind))
    line = protocol.encode(event)
    assert "\n" not in line
    assert protocol.decode_event(line) == event
    assert protocol.decode_event(line.encode()) == event
    assert protocol.decode_command(line) is None


@pytest.mark.parametrize("kind", COMMANDS)
@given(data=st.data())
def test_every_command_round_trips(kind: type[BaseModel], data: st.DataObject) -> None:
    command = data.draw(messages(kind))
    line = protocol.encode(command)
    assert "\n" not in line
    assert protocol.decode_command(line) == command
    assert protocol.decode_event(line) is None


@pytest.mark.parametrize("kind", EVENTS)
def test_fields_of_a_newer_worker_are_dropped(kind: type[BaseModel]) -> None:
    required = {n: f for n, f in kind.model_fields.items() if f.is_required()}
    plain = {"Literal": None, int: 1, float: 1.0, str: "x", bool: True}
    values = {
        n: typing.get_args(f.annotation)[0]
        if typing.get_origin(f.annotation) is typing.Literal
        else plain.get(f.annotation, 1.0)
        for n, f in required.items()
    }
    event = kind(**values)
    line = json.dumps({**json.loads(protocol.encode(event)), "from_the_future": [1]})
    assert protocol.decode_event(line) == event


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "null",
        "[]",
        '{"type":"unheard_of"}',
        '{"type":"step"}',
        '{"type":"done","status":1}',
        "[" * 100_000,
        '{"type": "step", "step": ' + "9" * 5000 + "}",
    ],
)
def test_garbage_is_none(line: str) -> None:
    assert protocol.decode_event(line) is None
    assert protocol.decode_command(line) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_no_event(line: bytes) -> None:
    assert protocol.decode_event(line) is None


def test_an_infinite_loss_is_told_as_none() -> None:
    event = protocol.Step(step=1, total=2, epoch=0.5, loss=float("inf"))
    decoded = protocol.decode_event(protocol.encode(event))
    assert isinstance(decoded, protocol.Step)
    assert decoded.loss is None


@given(
    st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"").strip()), max_size=10),
    st.integers(1, 7),
)
def test_lines_come_out_however_they_are_cut(lines: list[bytes], size: int) -> None:
    stream = b"".join(line + b"\r\n" for line in lines)
    splitter, found = LineSplitter(), []
    for start in range(0, len(stream), size):
        found += splitter.feed(stream[start : start + size])
    assert found == [line for line in lines if line]


def test_an_endless_line_is_left_out() -> None:
    splitter = LineSplitter()
    for _ in range(5):
        assert splitter.feed(b"x" * 500_000) == []
    assert splitter.feed(b"end\nnext\n") == [b"next"]
