"""From PRESET_OR_JSON and --set to a job."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config.job import BY_PATH, Job, info_of, parse_text, set_path, validate
from core.config.preset_data import over_defaults
from core.config.presets import (
    LoadedPreset,
    find_preset,
    load_preset,
    resolve_paths,
    resolve_value,
)
from core.errors import Problem, UserError, fail
from core.paths import user_path


@dataclass(frozen=True)
class BuiltJob:
    """A job with absolute paths, and the warnings to show before it runs."""

    job: Job
    warnings: tuple[Problem, ...]


def load_target(target: str) -> LoadedPreset:
    """The preset, preset file, job file or run folder that `target` names. Raises UserError."""
    path = user_path(target)
    # Path.is_file raises for names that are too long for any file; these two never do.
    if os.path.isfile(path / "job.json"):
        return load_preset(path / "job.json")
    if os.path.isfile(path) or target.lower().endswith(".json"):
        return load_preset(path)
    if os.path.isdir(path) or "/" in target or "\\" in target:
        raise fail(
            "preset_not_found",
            f"{target} is neither a preset's name nor a preset file.",
            hint="`limner presets list` shows the presets.",
            file=target,
        )
    return load_preset(find_preset(target).path)


def build_job(target: str, sets: Sequence[str]) -> BuiltJob:
    """The validated job. Raises UserError with all problems at once.

    Relative paths in a preset belong to its folder, those in --set to the current folder.
    """
    preset = load_target(target)
    data = resolve_paths(preset.data, preset.path.absolute().parent)
    data, changed, problems = apply_sets(data, sets)
    problems += [p for p in preset.problems if p.setting not in changed]
    job, found = validate(data)
    problems += found
    errors = [p for p in problems if p.severity == "error"]
    if job is None or errors:
        raise UserError(*problems)
    return BuiltJob(job, tuple(problems))


def apply_sets(
    data: dict[str, Any], sets: Sequence[str]
) -> tuple[dict[str, Any], set[str], list[Problem]]:
    """`data` with every `path=value` carried out, the paths changed, and what was wrong."""
    changed: set[str] = set()
    problems: list[Problem] = []
    for text in sets:
        path, equals, value = text.partition("=")
        path = re.sub(r"\[(\d+)\]", r".\1", path.strip())
        if not equals or not path:
            problems.append(
                Problem(
                    code="set_malformed",
                    title=f"--set {text} has no value; write it as path=value, such as "
                    f"training.learning_rate=1e-4.",
                )
            )
            continue
        try:
            data = _set_one(data, path, value, problems)
            changed.add(path)
        except KeyError:
            problems.append(_unknown(path))
    return data, changed, problems


def _set_one(data: dict[str, Any], path: str, text: str, problems: list[Problem]) -> dict[str, Any]:
    info = info_of(path)
    value = resolve_value(path, parse_text(info, text), Path.cwd())
    result = set_path(data, path, value)
    if info is not None:
        if not info.ready:
            title = f"{path} has no effect yet in this version of Limner."
            problems.append(
                Problem(code="setting_idle", severity="warning", title=title, setting=path)
            )
        return result
    # A whole group or list was given as JSON; what it leaves out is at its default.
    full, _, found = over_defaults(result)
    problems += [p for p in found if p.setting == path or p.setting.startswith(f"{path}.")]
    return full


def _unknown(path: str) -> Problem:
    plain = re.sub(r"\.\d+(?=\.|$)", "[]", path)
    by_name = [known for known in BY_PATH if known.rsplit(".", 1)[-1] == plain.rsplit(".", 1)[-1]]
    near = difflib.get_close_matches(plain, BY_PATH, n=2, cutoff=0.75)
    proposals = list(dict.fromkeys([*near, *by_name]))[:3]
    shown = " or ".join(known.replace("[]", ".0") for known in proposals)
    return Problem(
        code="setting_unknown",
        title=f"There is no setting named {path}.",
        hint=f"Did you mean {shown}?" if shown else "`limner presets schema` lists all settings.",
        setting=path,
    )
