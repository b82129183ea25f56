"""A report for whoever helps: versions, the newest run's settings and the end of its log.

No pictures, and no paths: folders and files of the user's are written as `<path 1>`.
"""

from __future__ import annotations

import json
import platform
import zipfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from core.config.job import SETTINGS, get_path
from core.config.rules import PATH_KINDS
from core.errors import UserError
from core.files import write_with
from core.runs.folder import RunFolder
from core.runs.history import list_runs

PACKAGES = (
    *("limner", "PySide6-Essentials", "torch", "diffusers", "transformers", "peft", "accelerate"),
    *("safetensors", "bitsandbytes", "prodigyopt", "pillow", "numpy"),
)
_EVENTS, _LINES = 200, 500
_MOST_BYTES = 512 * 1024


def versions() -> dict[str, str]:
    """What is installed: name -> version; packages that are missing are left out."""
    found = {"Python": platform.python_version(), "System": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def report_files(runs: Path) -> dict[str, str]:
    """The texts of a report by file name, of the newest run below `runs`, if there is one."""
    texts = {"versions.txt": "".join(f"{name} {number}\n" for name, number in versions().items())}
    newest = next(iter(list_runs(runs)), None)
    if newest is None:
        return texts
    run = RunFolder(newest.path)
    hidden = _paths_of(run)
    for name, path, lines in (
        ("job.json", run.job_file, None),
        ("events.jsonl", run.events_file, _EVENTS),
        ("log.txt", run.log_file, _LINES),
    ):
        text = _tail(path, lines)
        if text:
            texts[name] = _without(text, hidden)
    return texts


def save_report(path: Path, texts: Mapping[str, str]) -> None:
    """Write a report as a zip file. Raises OSError."""

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in texts.items():
                archive.writestr(name, text)

    write_with(path, write)


def _tail(path: Path, lines: int | None) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _MOST_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return text if lines is None else "".join(text.splitlines(keepends=True)[-lines:])


def _paths_of(run: RunFolder) -> dict[str, str]:
    """What to write in place of the user's paths, longer ones first."""
    found = [str(run.path), str(run.path.parent)]
    try:
        data = run.read_job().model_dump()
    except UserError:
        data = {}
    for info in SETTINGS if data else ():
        if info.kind in PATH_KINDS:
            for index in range(len(data["concepts"])):
                try:
                    found.append(str(get_path(data, info.path.replace("[]", f".{index}"))))
                except KeyError:
                    break
    paths = dict.fromkeys(p for p in found if len(p) > 1 and ("/" in p or "\\" in p))
    named = {path: f"<path {number}>" for number, path in enumerate(paths, 1)}
    named[str(Path.home())] = "<home>"
    return dict(sorted(named.items(), key=lambda pair: -len(pair[0])))


def _without(text: str, hidden: Mapping[str, str]) -> str:
    for path, name in hidden.items():
        # JSON writes backslashes twice, and letters beyond ASCII perhaps as escapes.
        for spelled in (path, json.dumps(path)[1:-1], json.dumps(path, ensure_ascii=False)[1:-1]):
            text = text.replace(spelled, name)
    return text
