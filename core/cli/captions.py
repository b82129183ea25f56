"""`limner caption`, `tags`, `replace` and `undo`: captions of a folder's pictures."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from core.captioning.batch import apply_changes
from core.captioning.files import CaptionSet, read_captions
from core.captioning.job import CaptionPlan, Ended, Told, plan_captions, run_captions
from core.captioning.job import Progress as Done
from core.captioning.options import CaptionOptions
from core.captioning.replacing import Search, preview_search
from core.captioning.spool import Spool
from core.captioning.tags import Change, count_tags
from core.cli.text import (
    messages,
    output,
    print_json,
    print_problems,
    problem_text,
    say,
    write_json,
)
from core.data.captions import caption_lines
from core.data.scan import scan_folder
from core.errors import Problem, UserError, fail
from core.files import can_write
from core.paths import user_path

if TYPE_CHECKING:
    from core.culling.history import History

DONE, FAILED, STOPPED = 0, 1, 130
_ONE_WISH_SECONDS = 0.25
_LINE_SECONDS = 30.0


def caption_folder(
    folder: Path, options: CaptionOptions, *, subfolders: bool, dry_run: bool, as_json: bool
) -> int:
    """Caption the pictures of a folder; returns the exit code. Ctrl-C keeps what is done."""
    root, pictures = _pictures(folder, subfolders)
    history = None if dry_run else _history(root)
    plan = plan_captions(pictures, options)
    if not dry_run:
        _check_writable({picture.parent for picture in plan.pictures})
    print_problems(plan.problems)
    if not as_json:
        say(_what(plan, len(pictures)))
    shown = _Shown(as_json, dry_run, len(plan.pictures))
    spool = Spool(root, options)
    try:
        with shown, _stopping("captioned", shown.note) as stop:
            ended = run_captions(plan, options, shown.take, stop, spool=spool)
    except KeyboardInterrupt:
        ended = Ended("stopped")
    written = DONE
    if history is not None:
        label = f"Captions by {options.tagger or options.captioner}"
        written = _write(history, shown.changes, label, as_json)
        if written == DONE:
            spool.clear()
        else:
            say("What was not written is kept: the same command writes it.", console=messages())
    elif not as_json:
        say(f"{_pictures_text(len(shown.changes))} would get a caption; nothing was written.")
    print_problems(ended.problems)
    if ended.status == "finished":
        return written
    # Settings that cannot work are told by the worker, since only it loads the model.
    bad = any(problem.setting for problem in ended.problems)
    return STOPPED if ended.status == "stopped" else 2 if bad else FAILED


def show_tags(folder: Path, *, subfolders: bool, most: int, as_json: bool) -> int:
    """Print how many pictures have each tag, most frequent first."""
    _, pictures = _pictures(folder, subfolders)
    found = _read(pictures)
    counts = count_tags(text for text in found.texts.values() if text)
    rows = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    rows = rows[:most] if most else rows
    if as_json:
        print_json(dict(rows))
        return DONE
    width = len(str(rows[0][1])) if rows else 1
    for tag, count in rows:
        say(f"{count:{width}} {tag}")
    captioned = sum(bool(text and text.strip()) for text in found.texts.values())
    say(f"{len(counts)} tags in {captioned} captions of {_pictures_text(len(pictures))}.")
    return DONE


def replace_in_captions(
    folder: Path, search: Search, *, subfolders: bool, dry_run: bool, as_json: bool
) -> int:
    """Find and replace in all captions of a folder, as one step that can be undone."""
    root, pictures = _pictures(folder, subfolders)
    history = None if dry_run else _history(root)
    changes = preview_search(_read(pictures).texts, search)
    for change in changes:
        if as_json:
            write_json(_json_line(change))
        else:
            say(str(change.picture.relative_to(root)), style="bold")
            say(f"- {change.before or ''}".rstrip("\r\n"), style="red")
            say(f"+ {change.after}".rstrip("\r\n"), style="green")
    if history is not None:
        return _write(history, changes, f"Replace {search.find}", as_json)
    if not as_json:
        say(f"{_pictures_text(len(changes))} would change; nothing was written.")
    return DONE


def undo_last(folder: Path) -> int:
    """Take back the last change of a folder's pictures or captions; returns the exit code."""
    root = user_path(folder).absolute()
    if not root.is_dir():
        raise fail("folder_missing", f"The folder {root} does not exist; name another.")
    done = _history(root).undo()
    if done is None:
        say("There is nothing to undo.")
        return DONE
    print_problems(done.problems)
    if done.pictures:
        say(f"Undone: {done.label} ({_pictures_text(len(done.pictures))}).", style="bold green")
    return DONE if done.pictures else FAILED


def _pictures(folder: Path, subfolders: bool) -> tuple[Path, list[Path]]:
    """The folder's absolute path and its pictures. Raises UserError without any."""
    root = user_path(folder).absolute()
    scan = scan_folder(root, subfolders)
    if errors := [p for p in scan.problems if p.severity == "error"]:
        raise UserError(*errors)
    print_problems(scan.problems)
    if not scan.pictures:
        hint = "" if subfolders else "Add --subfolders if they are in folders below it."
        raise fail(
            "no_pictures",
            f"The folder {root} holds no pictures; name another.",
            hint=hint,
            file=str(root),
        )
    return root, scan.pictures


def _check_writable(folders: Iterable[Path]) -> None:
    """Raise UserError before a model works for hours on captions that nobody could keep."""
    for folder in sorted(folders):
        if not can_write(folder):
            raise fail(
                "folder_read_only",
                f"The folder {folder} may not be written, so its captions could not be kept; "
                "change its permissions, or look at the captions with --dry-run.",
                file=str(folder),
            )


def _read(pictures: Sequence[Path]) -> CaptionSet:
    found = read_captions(pictures)
    print_problems(found.problems.values())
    return found


def _pictures_text(count: int) -> str:
    return f"{count} picture{'s' * (count != 1)}"


def _what(plan: CaptionPlan, pictures: int) -> str:
    parts = [f"{_pictures_text(pictures)}, {len(plan.pictures)} to caption"]
    if plan.skipped:
        parts.append(f"{plan.skipped} have a caption and are left out (--mode changes that)")
    return ", ".join(parts) + "."


def _history(root: Path) -> History:
    """The folder's history. What was interrupted in it is finished first, and told, so that the
    captions that are read afterwards are those that will be there."""
    from core.culling.history import History

    history = History.open(root)
    if history.recovered is not None:
        say(f"Finished what was interrupted: {history.recovered.label}.", console=messages())
        print_problems(history.recovered.problems)
    return history


def _write(history: History, changes: Sequence[Change], label: str, as_json: bool) -> int:
    """Write what was made and tell it; returns the exit code. Ctrl-C leaves out the rest."""
    if not changes:
        if not as_json:
            say("Nothing to write.")
        return DONE
    with _stopping("written", lambda text: say(text, console=messages())) as stop:
        applied = apply_changes(changes, history, label, stop=stop)
    print_problems(applied.problems)
    if not as_json:
        style = "bold green" if applied.pictures else ""
        say(f"Wrote the captions of {_pictures_text(len(applied.pictures))}.", style=style)
        if applied.pictures:
            say(f'Undo with: limner undo "{history.root}"')
    if any(problem.code == "stopped" for problem in applied.problems):
        return STOPPED
    return FAILED if applied.problems else DONE


def _json_line(change: Change) -> str:
    data = {"picture": str(change.picture), "before": change.before, "after": change.after}
    return json.dumps(data, ensure_ascii=False)


class _Shown:
    """Shows progress: a bar on a terminal, a line now and then elsewhere, JSON lines by choice."""

    def __init__(self, as_json: bool, every: bool, total: int) -> None:
        self.changes: list[Change] = []
        self._json, self._every = as_json, every
        self._last_line = time.monotonic()
        self._phase = ""
        self._bar: Progress | None = None
        if not as_json and total and output().is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=output(),
            )
            self._task = self._bar.add_task("Starting", total=total)

    def __enter__(self) -> _Shown:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def note(self, text: str) -> None:
        """Print a line of our own."""
        say(text, console=messages() if self._json else None)

    def take(self, told: Told) -> None:
        """Show one thing that came."""
        match told:
            case Change():
                self.changes.append(told)
                if self._json:
                    write_json(_json_line(told))
                elif self._every:
                    say(f"{told.picture.name}: {' | '.join(caption_lines(told.after))}")
            case Problem():
                # Above the bar where there is one; on its own line it would run into it.
                console = self._bar.console if self._bar is not None else messages()
                console.print(problem_text(told), soft_wrap=True)
            case Done():
                self._progress(told)

    def _progress(self, told: Done) -> None:
        words = {"starting": "Starting", "loading": "Loading", "captioning": "Captioning"}
        name = words.get(told.phase, "") + (f" ({told.text})" if told.text else "")
        name = told.text if told.phase == "waiting" else name
        if self._bar is not None:
            self._bar.update(self._task, completed=told.done, description=name)
            return
        now = time.monotonic()
        new = name != self._phase and told.total
        if not self._json and (new or now - self._last_line >= _LINE_SECONDS):
            self._phase, self._last_line = name, now
            say(name if new else f"{name}: {told.done} of {told.total}")


@contextmanager
def _stopping(done: str, note: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a stop that keeps what is `done`; a second one is a
    KeyboardInterrupt."""
    asked: list[float] = []

    def on_signal(_number: int, _frame: Any) -> None:
        now = time.monotonic()
        if asked and now - asked[-1] < _ONE_WISH_SECONDS:
            return
        asked.append(now)
        if len(asked) > 1:
            raise KeyboardInterrupt
        note(f"Stopping; what is {done} is kept.")

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, on_signal) for number in numbers]
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
