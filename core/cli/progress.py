"""Showing a run in the terminal: bars where there is a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from typing import Protocol

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
)

from core.cli.text import duration, output, print_problems, problem_text, say, write_json
from core.errors import Problem
from core.worker import protocol

_WORDS = {
    "loading": "Loading",
    "caching": "Caching",
    "training": "Training",
    "sampling": "Sampling",
    "saving": "Saving",
    "paused": "Paused",
}
_LINE_SECONDS = 30.0


class Reporter(Protocol):
    """Gets every event of a run in turn."""

    def take(self, event: protocol.Event) -> None:
        """Show one event."""
        ...

    def note(self, text: str) -> None:
        """Show a message of our own."""
        ...

    def close(self) -> None:
        """No more events come."""
        ...


def reporter(as_json: bool) -> Reporter:
    """The reporter for this output: JSON lines, bars on a terminal, or plain lines."""
    if as_json:
        return JsonLines()
    return Bars() if output().is_terminal else PlainLines()


def problem_of(event: protocol.Warning | protocol.ProblemEvent) -> Problem:
    """The problem that an event tells."""
    return Problem(
        code=event.code,
        title=event.title,
        severity="warning" if isinstance(event, protocol.Warning) else "error",
        detail=event.detail,
        hint=event.hint,
        setting=event.setting,
        file=event.file,
    )


class Pace:
    """Steps per second and time left, from the steps themselves (samples do not count)."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def take(self, step: protocol.Step) -> str:
        """What to show beside the bar: loss, steps per second, time left."""
        first = self._seconds == 0.0
        self._seconds = step.seconds if first else 0.9 * self._seconds + 0.1 * step.seconds
        loss = step.smoothed if step.smoothed is not None else step.loss
        parts = [f"loss {loss:.4f}" if loss is not None else "no picture to learn from"]
        if self._seconds > 0:
            rate = 1 / self._seconds
            pace = f"{rate:.1f} steps/s" if rate >= 1 else f"{self._seconds:.1f} s/step"
            parts += [pace, f"{duration((step.total - step.step) * self._seconds)} left"]
        return ", ".join(parts)


class JsonLines:
    """One event per line on stdout; a reader who leaves does not end the training."""

    def __init__(self) -> None:
        self._gone = False

    def take(self, event: protocol.Event) -> None:
        """Print the event as it came."""
        if self._gone:
            return
        try:
            write_json(protocol.encode(event))
        except BrokenPipeError:
            self._gone = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def note(self, text: str) -> None:
        """Messages are no events; they go to stderr."""
        from core.cli.text import messages

        say(text, console=messages())

    def close(self) -> None:
        """Nothing is open."""


class PlainLines:
    """A line now and then, for logs and pipes."""

    def __init__(self) -> None:
        self._phases: set[str] = set()
        self._pace = Pace()
        self._last_line = 0.0
        self._told: set[tuple[str, int]] = set()

    def take(self, event: protocol.Event) -> None:
        """Print what is new and of interest."""
        match event:
            case protocol.Phase(name=name, text=text) if name not in ("sampling", "saving"):
                line = f"{_WORDS[name]}{f': {text}' if text else ''}"
                if line not in self._phases or name == "paused":
                    self._phases.add(line)
                    say(line)
            case protocol.Step():
                self._step(event)
            case protocol.Sample(step=step) | protocol.Checkpoint(step=step):
                if (event.type, step) not in self._told:
                    self._told.add((event.type, step))
                    say(milestone(event))
            case protocol.Warning() | protocol.ProblemEvent():
                print_problems([problem_of(event)])
            case _:
                pass

    def _step(self, event: protocol.Step) -> None:
        text = self._pace.take(event)
        tenth = max(1, event.total // 10)
        now = time.monotonic()
        due = event.step % tenth == 0 or event.step == event.total
        if due or now - self._last_line >= _LINE_SECONDS:
            self._last_line = now
            say(f"Step {event.step}/{event.total}: {text}")

    def note(self, text: str) -> None:
        """Print a line."""
        say(text)

    def close(self) -> None:
        """Nothing is open."""


def milestone(event: protocol.Sample | protocol.Checkpoint) -> str:
    """A line that tells of samples or a checkpoint."""
    if isinstance(event, protocol.Sample):
        return f"Samples at step {event.step}: {event.path.rpartition('/')[0]}"
    note = "" if event.verified else " (could not be verified)"
    if event.rounding:
        note += f" (rounding in the file moves the LoRA by {event.rounding:.2%})"
    return f"Checkpoint at step {event.step}: {event.path}{note}"


class Bars:
    """One bar per phase; samples and savings come and go below the training's."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[info]}"),
            console=output(),
        )
        self._tasks: dict[str, TaskID] = {}
        self._now = ""
        self._pace = Pace()
        self._told: set[tuple[str, int]] = set()
        self._progress.start()

    def take(self, event: protocol.Event) -> None:
        """Move the bars, and print what should stay above them."""
        match event:
            case protocol.Phase():
                self._phase(event)
            case protocol.Step():
                info = self._pace.take(event)
                self._move("training", event.step, event.total, info)
            case protocol.Sample(step=step) | protocol.Checkpoint(step=step):
                if (event.type, step) not in self._told:
                    self._told.add((event.type, step))
                    self.note(milestone(event))
            case protocol.Warning() | protocol.ProblemEvent():
                self._progress.console.print(problem_text(problem_of(event)), soft_wrap=True)
            case _:
                pass

    def _phase(self, event: protocol.Phase) -> None:
        if self._now and self._now != event.name:
            self._leave(self._now)
        self._now = event.name
        self._move(event.name, event.done, event.total, event.text)

    def _leave(self, name: str) -> None:
        task = self._tasks.get(name)
        if task is None or name == "training":
            return
        if name in ("sampling", "saving", "paused"):
            self._progress.remove_task(task)
            del self._tasks[name]
            return
        total = self._progress.tasks[self._progress.task_ids.index(task)].total
        self._progress.update(task, total=total or 1, completed=total or 1, info="")

    def _move(self, name: str, done: int, total: int, info: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(_WORDS[name], total=total or None, info="")
        task = self._tasks[name]
        keep = name == "training" and not info
        if keep:
            self._progress.update(task, completed=done, total=total or None)
        else:
            self._progress.update(task, completed=done, total=total or None, info=info)

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        say(text, console=self._progress.console)

    def close(self) -> None:
        """Leave the bars as they are and give the terminal back."""
        if self._now:
            self._leave(self._now)
        self._progress.stop()
