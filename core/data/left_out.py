"""Folders among somebody's pictures that are no pictures to learn from."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from core.errors import Problem
from core.paths import EVENTS_NAME, JOB_NAME

# Thumbnails, resource forks and bins of Synology, QNAP, macOS archives and Windows.
_SYSTEM_FOLDERS = frozenset(
    {
        *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot"),
        *("__macosx", "$recycle.bin", "system volume information", "lost+found"),
    }
)
# NAME_STEP_NUMBER_TIME_SEED of kohya's scripts (e000001 for an epoch), TIME-training-sample-STEP of
# OneTrainer, TIME__STEP_NUMBER of ai-toolkit.
_SAMPLE_NAME = re.compile(
    r"(?:.+_)?e?\d{6}_\d{2}_\d{14}(?:_\d+)?|.*training-sample-\d+-\d+-\d+.*|\d+__\d{9}_\d+"
)


def is_system_folder(name: str) -> bool:
    """Whether a folder of this name holds what the system keeps, not what a person put there."""
    return name.casefold() in _SYSTEM_FOLDERS


def is_run_folder(folder: Path) -> bool:
    """Whether Limner works or has worked in a folder."""
    return all(os.path.isfile(folder / name) for name in (JOB_NAME, EVENTS_NAME))


def why_left_out(folder: Path, pictures: Sequence[str]) -> Problem | None:
    """A warning that a folder is not searched, nor what is in it; None where it is.

    pictures: the names of those directly in it.
    """
    if is_run_folder(folder):
        return _left_out("run_folder_left_out", folder, "is a run of Limner")
    if is_sample_folder(folder) and _all_drawn(pictures):
        return _left_out("samples_left_out", folder, "holds samples that a trainer has drawn")
    return None


def is_sample_folder(folder: Path) -> bool:
    """Whether a folder is called as trainers call the one for their samples."""
    return folder.name.casefold() in ("sample", "samples")


def are_samples(folder: Path, pictures: Sequence[str]) -> bool:
    """Whether what somebody chose by itself are samples of a run of Limner or another trainer."""
    places = [folder, *folder.parents][:2]
    own = any(p.name == "samples" and is_run_folder(p.parent) for p in places)
    return own or _all_drawn(pictures)


def perhaps_generated(folder: Path) -> Problem:
    """The question whether pictures are meant that are taken all the same."""
    return Problem(
        code="pictures_generated",
        title=f"The pictures in {folder} seem to be samples; training on those teaches a LoRA the "
        "faults of its model.",
        severity="warning",
        hint="Move them elsewhere if they are not meant.",
        file=str(folder),
    )


def _all_drawn(pictures: Sequence[str]) -> bool:
    stems = [os.path.splitext(name)[0] for name in pictures]
    return bool(stems) and all(map(_SAMPLE_NAME.fullmatch, stems))


def _left_out(code: str, folder: Path, what: str) -> Problem:
    return Problem(
        code=code,
        title=f"{folder} {what}, so pictures in it are left out.",
        severity="warning",
        hint="Choose the folder that holds them as a concept of its own if they are meant.",
        file=str(folder),
    )
