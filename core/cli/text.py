"""Printing for the command line: problems, plain lines that never wrap."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from functools import cache

from rich.console import Console
from rich.text import Text

from core.errors import Problem

# Names of files may hold what the terminal's encoding cannot.
for _stream in (sys.stdout, sys.stderr):
    if isinstance(_stream, io.TextIOWrapper):
        _stream.reconfigure(errors="backslashreplace")

_STYLES = {"error": "bold red", "warning": "yellow"}


@cache
def output() -> Console:
    """The console on stdout."""
    return Console(highlight=False, markup=False, emoji=False)


@cache
def messages() -> Console:
    """The console on stderr, for what is wrong."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def say(text: str = "", style: str = "", console: Console | None = None) -> None:
    """Print one line as it is: no markup, no wrapping (paths are copied from it)."""
    (console or output()).print(Text(text, style=style), soft_wrap=True)


def problem_text(problem: Problem) -> Text:
    """A problem as one coloured line."""
    place = f" [{problem.setting}]" if problem.setting else ""
    return Text.assemble(
        (f"{problem.severity}: ", _STYLES[problem.severity]), problem.sentence(), (place, "dim")
    )


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
