"""Commands that only show something: presets, settings, LoRA files, runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.cli.job import load_target
from core.cli.text import output, print_json, print_problems, say


def show_presets(*, as_json: bool) -> int:
    """All presets, built-in ones first."""
    from core.config.presets import list_presets

    presets = list_presets()
    if as_json:
        print_json([vars(info) | {"path": str(info.path)} for info in presets])
        return 0
    width = max((len(info.name) for info in presets), default=0)
    for info in presets:
        say(f"{info.name:<{width}}  {info.path}")
    return 0


def show_preset(target: str, *, full: bool, as_json: bool) -> int:
    """What a preset sets, or with `full` every setting."""
    from core.config.presets import minimal

    preset = load_target(target)
    data = preset.data if full else minimal(preset.data, preset.unknown)
    if as_json:
        print_json(data)
    else:
        for path, value in _leaves(data):
            if path != "limner":
                say(f"{path} = {json.dumps(value, ensure_ascii=False)}")
    print_problems(preset.problems)
    return 0


def _leaves(found: dict[str, Any]) -> list[tuple[str, Any]]:
    """Nested settings as dotted path and value."""
    result: list[tuple[str, Any]] = []
    for path, value in found.items():
        if isinstance(value, dict):
            result += _leaves({f"{path}.{key}": inner for key, inner in value.items()})
        elif isinstance(value, list):
            result += _leaves({f"{path}.{index}": inner for index, inner in enumerate(value)})
        else:
            result.append((path, value))
    return result


def show_schema(*, as_json: bool) -> int:
    """Every setting that has an effect, in the order of the window."""
    from core.config.fields import Above
    from core.config.job import SETTINGS, Job

    if as_json:
        print_json(Job.model_json_schema())
        return 0
    for info in SETTINGS:
        if not info.ready:
            continue
        kind = "|".join(map(str, info.choices)) if info.type == "choice" else info.type
        facts = [kind, info.range_text(), info.unit, "or empty" if info.optional else ""]
        say(f"{info.path}  ({', '.join(fact for fact in facts if fact)})", style="bold")
        default = info.empty if info.default in (None, "") else json.dumps(info.default)
        say(f"    {info.help} Default: {default or 'empty'}.")
        for choice, text in info.helps.items():
            say(f"    {choice}: {text}")
        for path, values in info.when.items():
            if isinstance(values, Above):
                say(f"    Only when {path} is above {values.bound:g}.")
            else:
                say(f"    Only when {path} is {' or '.join(map(str, values))}.")
    return 0


def show_lora(file: Path, *, as_json: bool) -> int:
    """What a LoRA file's header says."""
    from core.lora.file import lora_info
    from core.runs.preflight import human_size

    info = lora_info(file)
    facts = {
        "file": str(info.path),
        "size": info.size,
        "modules": dict(info.modules),
        "ranks": {str(k): v for k, v in info.ranks.items()},
        "alphas": {f"{k:g}": v for k, v in info.alphas.items()},
        "dtypes": list(info.dtypes),
        "metadata": dict(info.metadata),
    }
    if as_json:
        print_json(facts)
        return 0
    total = sum(info.modules.values())
    parts = ", ".join(f"{count} {name}" for name, count in info.modules.items())
    say(f"{info.path}  {human_size(info.size)}")
    say(f"modules   {total} ({parts})")
    say(f"rank      {_counted(facts['ranks'])}")
    say(f"alpha     {_counted(facts['alphas']) or 'not given (equal to rank)'}")
    say(f"numbers   {', '.join(info.dtypes)}")
    for key, value in sorted(info.metadata.items()):
        shown = value if len(value) <= 200 else value[:197] + "..."
        say(f"{key} = {shown}", style="dim")
    return 0


def _counted(values: Any) -> str:
    if len(values) == 1:
        return str(next(iter(values)))
    return ", ".join(f"{value} ({count} modules)" for value, count in values.items())


def show_runs(runs: Path | None, *, as_json: bool) -> int:
    """Earlier runs, newest first."""
    from rich.table import Table

    from core.paths import default_runs_dir
    from core.runs.history import list_runs

    folder = runs or default_runs_dir()
    found = list_runs(folder)
    if as_json:
        print_json([vars(run) | {"created": run.created.isoformat()} for run in found])
        return 0
    if not found:
        say(f"There are no runs in {folder}.")
        return 0
    table = Table("created", "name", "status", "step", "checkpoints", "folder", box=None)
    for run in found:
        step = f"{run.step}/{run.total}" if run.total else str(run.step)
        created = f"{run.created:%Y-%m-%d %H:%M}"
        table.add_row(created, run.name, run.status, step, str(run.checkpoints), run.path.name)
    say(str(folder), style="bold")
    output().print(table, soft_wrap=True)
    return 0
