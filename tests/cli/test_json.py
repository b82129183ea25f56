"""JSON on the command line is UTF-8 whatever encoding the pipe has."""

from __future__ import annotations

import io
import json
import sys

import pytest

from core.cli.progress import JsonLines
from core.cli.text import print_json
from core.worker import protocol

NAME = "猫 😀 é \udc80"


def printed(pipe: io.BytesIO) -> str:
    return pipe.getvalue().decode("utf-8")


def test_json_in_a_pipe_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.BytesIO()
    stream = io.TextIOWrapper(pipe, encoding="cp1252", errors="backslashreplace")
    monkeypatch.setattr(sys, "stdout", stream)
    stream.write("first ")
    print_json({"name": NAME})
    text = printed(pipe)
    assert text.startswith("first {")
    assert json.loads(text.removeprefix("first ")) == {"name": NAME}
    assert "猫 😀 é" in text
    pipe.truncate(0)
    pipe.seek(0)
    JsonLines().take(protocol.Warning(code="x", title=NAME))
    (line,) = printed(pipe).splitlines()
    assert json.loads(line)["title"] == NAME
