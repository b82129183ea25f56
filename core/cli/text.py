"""Printing for the command line: problems, plain lines that never wrap."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from core.errors import Problem
from core.printable import printable

# Names of files may hold what the terminal's encoding cannot.
for _stream in (sys.stdout, sys.stderr):
    if isinstance(_stream, io.TextIOWrapper):
        _stream.reconfigure(errors="backslashreplace")


class _Console(Console):
    """A console that obeys no control character of a text: names of files may hold any."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """As rich does, with the controls of all but its own segments written out."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


# The longest path that Linux takes has 4096 bytes.
_ENDLESS = re.compile(r"\S{4100,}")
_LINES = 10
_STYLES = {"error": "bold red", "warning": "yellow"}


@cache
def output() -> Console:
    """The console on stdout."""
    return _Console(highlight=False, markup=False, emoji=False)


@cache
def messages() -> Console:
    """The console on stderr, for what is wrong."""
    return _Console(stderr=True, highlight=False, markup=False, emoji=False)


def say(text: str = "", style: str = "", console: Console | None = None) -> None:
    """Print one line as it is: no markup, no wrapping (paths are copied from it)."""
    line = Text(printable(text, one_line=True), style=style)
    (console or output()).print(line, soft_wrap=True)


def print_json(data: Any) -> None:
    """Indented JSON on stdout."""
    write_json(json.dumps(data, ensure_ascii=False, indent=2, default=str))


def write_json(text: str) -> None:
    """Print JSON as UTF-8, which it is by definition, whatever a pipe's own encoding is.

    What UTF-8 cannot hold (names of files in another encoding) becomes JSON's own escapes.
    """
    sys.stdout.flush()
    sys.stdout.buffer.write(printable(text).encode("utf-8", "backslashreplace") + b"\n")
    sys.stdout.buffer.flush()


def problem_text(problem: Problem) -> Text:
    """A problem as one coloured line."""
    place = f" [{problem.setting}]" if problem.setting else ""
    shown = replace(
        problem,
        title=_cut(printable(problem.title, one_line=True)),
        hint=_cut(printable(problem.hint, one_line=True)),
        detail=printable(_first_lines(problem)),
    )
    return Text.assemble(
        (f"{problem.severity}: ", _STYLES[problem.severity]),
        shown.sentence(),
        (printable(place), "dim"),
    )


def _first_lines(problem: Problem) -> str:
    """A problem's detail; of a long list of files behind a warning the first ones."""
    lines = problem.detail.split("\n")
    if problem.severity == "error" or len(lines) <= _LINES:
        return problem.detail
    rest = f"and {len(lines) - _LINES} more, which --json names"
    return "\n".join([*lines[:_LINES], rest])


def _cut(text: str) -> str:
    """A sentence without the middle of names that no screen holds."""
    return _ENDLESS.sub(lambda found: f"{found[0][:200]}...{found[0][-50:]}", text)


def print_problems(problems: Iterable[Problem]) -> None:
    """Print problems to stderr, errors last, where the eye is."""
    sys.stdout.flush()
    for problem in sorted(problems, key=lambda p: p.severity, reverse=True):
        messages().print(problem_text(problem), soft_wrap=True)


def duration(seconds: float) -> str:
    """Seconds for people: `42 s`, `3 min`, `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
