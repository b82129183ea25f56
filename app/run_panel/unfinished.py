"""The run that the window offers to go on with when it opens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app import prefs
from core.runs.checkpoints import resumable_steps
from core.runs.history import list_runs

_SIGNED_OUT, _DISMISSED = "unfinished/signed_out", "unfinished/dismissed"


@dataclass(frozen=True)
class Unfinished:
    """A run that can go on. signed_out: it was stopped because the user's session ended."""

    run: Path
    signed_out: bool


def find(runs: Path) -> Unfinished | None:
    """The newest run below `runs`, where the end of the user's session stopped it or its worker
    died, it has a checkpoint, and nobody has put the offer away; else None."""
    begun = (run for run in list_runs(runs) if run.status != "waiting")
    newest = next(begun, None)
    if newest is None or str(newest.path) == prefs.text(_DISMISSED, ""):
        return None
    signed_out = str(newest.path) == prefs.text(_SIGNED_OUT, "")
    offered = newest.status == "crashed" or (newest.status == "stopped" and signed_out)
    if not offered or not resumable_steps(newest.folder):
        return None
    return Unfinished(newest.path, signed_out)


def note_sign_out(run: Path) -> None:
    """Remember that a run is being stopped because the user's session ends."""
    prefs.put(_SIGNED_OUT, str(run))


def forget_sign_out() -> None:
    """A run goes on or another one begins: how it ends now is another matter."""
    if prefs.text(_SIGNED_OUT, ""):
        prefs.put(_SIGNED_OUT, "")


def dismiss(run: Path) -> None:
    """Never offer this run again."""
    prefs.put(_DISMISSED, str(run))
