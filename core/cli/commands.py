"""The command line: every command is a thin call of what the window uses too.

Exit codes: 0 done, 1 failed, 2 bad settings or arguments, 130 stopped.
"""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from core import files
from core.cli.caption_options import with_caption_options
from core.errors import Problem, UserError

DONE, FAILED, BAD_SETTINGS, STOPPED = 0, 1, 2, 130

app = typer.Typer(
    name="limner",
    help="Teach image models new subjects and styles on your own computer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
presets_app = typer.Typer(help="Look at presets and settings.", no_args_is_help=True)
lora_app = typer.Typer(help="Look into LoRA files.", no_args_is_help=True)
runs_app = typer.Typer(help="Look at earlier runs.", no_args_is_help=True)
app.add_typer(presets_app, name="presets")
app.add_typer(lora_app, name="lora")
app.add_typer(runs_app, name="runs")
queue_app = typer.Typer(help="Train one run after the other.", no_args_is_help=True)
app.add_typer(queue_app, name="queue")

Target = Annotated[
    str,
    typer.Argument(metavar="PRESET_OR_JSON", help="A preset's name, or a preset or job file."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change a setting; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
JsonEvents = Annotated[bool, typer.Option("--json", help="Print one event per line as JSON.")]
RunsDir = Annotated[
    Path | None, typer.Option("--runs", metavar="DIR", help="Folder that holds the runs.")
]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        app(args=arguments, prog_name="limner")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else DONE if end.code is None else FAILED
    except BrokenPipeError:
        # Whoever read our output has seen enough, as in `limner presets schema | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return DONE


def command(function: Callable[..., int | None]) -> Callable[..., None]:
    """Turn a function that returns an exit code into a command without tracebacks for users."""

    @functools.wraps(function)
    def run(*arguments: Any, **options: Any) -> None:
        from core.cli.text import print_problems

        try:
            code = function(*arguments, **options) or DONE
        except UserError as error:
            print_problems(error.problems)
            code = BAD_SETTINGS
        except BrokenPipeError:
            raise
        except OSError as error:
            print_problems([_refused_by_system(error)])
            code = FAILED
        except KeyboardInterrupt:
            code = STOPPED
        raise typer.Exit(code)

    return run


def _refused_by_system(error: OSError) -> Problem:
    """What to tell of a file or folder that the system would not touch."""
    named = error.filename2 or error.filename
    if error.errno == errno.ENAMETOOLONG:
        title = "The path is too long for this system; shorten it."
    else:
        title = f"{named or 'A file'} cannot be used: {files.reason(error)}."
    return Problem(code="system_refused", title=title, file=str(named or ""))


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"limner {version('limner')}")
        except PackageNotFoundError:
            typer.echo("limner (not installed)")
        raise typer.Exit(DONE)


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
@command
def train(
    target: Target,
    sets: Sets = None,
    runs: RunsDir = None,
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", metavar="DIR", help="Exactly this run folder.")
    ] = None,
    json: JsonEvents = False,
) -> int:
    """Train a LoRA. Ctrl-C stops with a checkpoint."""
    from core.cli.run import train_target

    return train_target(target, sets or [], runs=runs, run_dir=run_dir, as_json=json)


@app.command()
@command
def resume(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="The run's folder.")],
    checkpoint: Annotated[
        str, typer.Option(metavar="NAME", help="A checkpoint such as step-000100.")
    ] = "latest",
    accept_changes: Annotated[
        bool,
        typer.Option(
            "--accept-changes",
            help="Go on although the base model, its VAE or text encoder, or the optimizer has "
            "changed since the run began.",
        ),
    ] = False,
    json: JsonEvents = False,
) -> int:
    """Go on with a run that was stopped, or whose process died."""
    from core.cli.run import resume_run

    return resume_run(run_dir, checkpoint, accept_changes=accept_changes, as_json=json)


@app.command()
@command
def check(
    target: Annotated[
        str,
        typer.Argument(
            metavar="PRESET_OR_JSON_OR_FOLDER",
            help="A preset's name, a preset or job file, or a folder of pictures.",
        ),
    ],
    sets: Sets = None,
    runs: RunsDir = None,
    duplicates: Annotated[
        bool | None,
        typer.Option(
            "--duplicates/--no-duplicates",
            help="Decode and compare all pictures; by default where there are up to 2000.",
        ),
    ] = None,
    json: Json = False,
) -> int:
    """Say what would be trained, and everything that is wrong; load nothing heavy."""
    from core.cli.check import check_target

    return check_target(target, sets or [], runs=runs, duplicates=duplicates, as_json=json)


@app.command()
@command
def demo(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Run folder for the demo.")
    ] = None,
    sets: Sets = None,
    json: JsonEvents = False,
) -> int:
    """Train the demo LoRA: a small model and a few pictures that come with Limner."""
    from core.cli.demo import run_demo

    return run_demo(out, sets or [], as_json=json)


PictureFolder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="A folder of pictures with their captions.")
]
Subfolders = Annotated[
    bool, typer.Option("--subfolders", help="Also pictures in the folders below it.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change; write nothing.")]


@app.command()
@command
@with_caption_options
def caption(
    folder: PictureFolder,
    *,
    subfolders: Subfolders = False,
    dry_run: DryRun = False,
    json: Annotated[bool, typer.Option("--json", help="Print one caption per line as JSON.")] = (
        False
    ),
    **options: Any,
) -> int:
    """Caption a folder's pictures with a tagger or a captioner. Ctrl-C keeps what is done."""
    from core.captioning.options import make_options
    from core.cli.captions import caption_folder

    given = {name: value for name, value in options.items() if value is not None}
    checked = make_options(given)
    return caption_folder(folder, checked, subfolders=subfolders, dry_run=dry_run, as_json=json)


@app.command()
@command
def tags(
    folder: PictureFolder,
    subfolders: Subfolders = False,
    most: Annotated[int, typer.Option(min=0, help="Only so many, 0 for all.")] = 0,
    json: Json = False,
) -> int:
    """Count the tags in a folder's captions."""
    from core.cli.captions import show_tags

    return show_tags(folder, subfolders=subfolders, most=most, as_json=json)


@app.command()
@command
def replace(
    folder: PictureFolder,
    find: Annotated[str, typer.Argument(metavar="FIND", help="What to look for.")],
    by: Annotated[str, typer.Argument(metavar="REPLACE", help="What to put there.")] = "",
    regex: Annotated[bool, typer.Option("--regex", help="FIND is a regular expression.")] = False,
    capitals: Annotated[bool, typer.Option("--capitals", help="Capitals matter.")] = False,
    whole: Annotated[bool, typer.Option("--whole", help="Whole words, or whole tags.")] = False,
    in_tags: Annotated[bool, typer.Option("--tags", help="Look at each tag by itself.")] = False,
    subfolders: Subfolders = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> int:
    """Find and replace in a folder's captions."""
    from core.captioning.replacing import Search
    from core.cli.captions import replace_in_captions

    search = Search(find, by, regular=regex, capitals=capitals, whole=whole, tags=in_tags)
    return replace_in_captions(folder, search, subfolders=subfolders, dry_run=dry_run, as_json=json)


@app.command()
@command
def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove all that no running training needs.")
    ] = False,
    limit: Annotated[
        float | None, typer.Option(metavar="GB", min=0, help="Make it at most so large.")
    ] = None,
    json: Json = False,
) -> int:
    """Show how large the cache of prepared pictures and captions is, or make it smaller."""
    from core.cli.cache import show_cache

    return show_cache(clear=clear, limit=limit, as_json=json)


@app.command()
@command
def cull(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Pictures to go through, or the first one.")
    ],
    subfolders: Subfolders = False,
    resolution: Annotated[int, typer.Option(min=64, help="What the crop is shown for.")] = 512,
    step: Annotated[int, typer.Option(min=8, help="Bucket sides are multiples of it.")] = 8,
    trigger: Annotated[str, typer.Option(help="Trigger word, counted with the caption.")] = "",
    windowed: Annotated[bool, typer.Option("--windowed", help="Not full screen.")] = False,
) -> int:
    """Go through a folder's pictures full screen: keep, reject, delete with undo, caption."""
    from core.cli.cull import cull_folder

    return cull_folder(
        folder,
        subfolders=subfolders,
        resolution=resolution,
        step=step,
        trigger=trigger,
        windowed=windowed,
    )


@app.command()
@command
def undo(folder: PictureFolder) -> int:
    """Take back the last change of a folder's captions or pictures; again for the one before."""
    from core.cli.captions import undo_last

    return undo_last(folder)


@presets_app.command("list")
@command
def presets_list(json: Json = False) -> int:
    """List all presets."""
    from core.cli.show import show_presets

    return show_presets(as_json=json)


@presets_app.command("show")
@command
def presets_show(
    target: Target,
    full: Annotated[bool, typer.Option("--full", help="Also settings at their defaults.")] = False,
    json: Json = False,
) -> int:
    """Show what a preset sets."""
    from core.cli.show import show_preset

    return show_preset(target, full=full, as_json=json)


@presets_app.command("schema")
@command
def presets_schema(
    json: Annotated[bool, typer.Option("--json", help="As JSON schema.")] = False,
) -> int:
    """List every setting with its range, default and meaning."""
    from core.cli.show import show_schema

    return show_schema(as_json=json)


@lora_app.command("info")
@command
def lora_info(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A LoRA .safetensors file.")],
    json: Json = False,
) -> int:
    """Show what a LoRA file contains, from its header alone."""
    from core.cli.show import show_lora

    return show_lora(file, as_json=json)


@runs_app.command("list")
@command
def runs_list(runs: RunsDir = None, json: Json = False) -> int:
    """List earlier runs, newest first."""
    from core.cli.show import show_runs

    return show_runs(runs, as_json=json)


QueuedRun = Annotated[
    str, typer.Argument(metavar="RUN", help="Its number in the queue, its name or its folder.")
]


@queue_app.command("add")
@command
def queue_add(
    target: Target,
    sets: Sets = None,
    runs: RunsDir = None,
    start: Annotated[
        bool, typer.Option("--start/--no-start", help="Begin to work through the queue.")
    ] = True,
) -> int:
    """Freeze a run and put it at the end of the queue."""
    from core.cli.queue import add_target

    return add_target(target, sets or [], runs=runs, start=start)


@queue_app.command("list")
@command
def queue_list(json: Json = False) -> int:
    """Show what is in the queue."""
    from core.cli.queue import show

    return show(as_json=json)


@queue_app.command("remove")
@command
def queue_remove(run: QueuedRun) -> int:
    """Take a run out of the queue; its folder stays."""
    from core.cli.queue import remove

    return remove(run)


@queue_app.command("move")
@command
def queue_move(
    run: QueuedRun,
    place: Annotated[int, typer.Argument(metavar="NUMBER", help="1 is the next one.")],
) -> int:
    """Give a run another place in the queue."""
    from core.cli.queue import move

    return move(run, place)


@queue_app.command("run")
@command
def queue_run(
    detach: Annotated[
        bool, typer.Option("--detach", help="In a process that outlives this one.")
    ] = False,
) -> int:
    """Train what waits, one after the other; a failed one does not stop the next."""
    from core.cli.queue import run_queue

    return run_queue(detach=detach)
