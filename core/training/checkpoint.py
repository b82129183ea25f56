"""Checkpoints: one folder each, there whole or not at all.

checkpoints/step-000100/lora.safetensors   usable anywhere
checkpoints/step-000100/state/             what exact resume needs
    weights.safetensors    the LoRA in float32 (and its average, prefix `ema.`)
    optimizer.pt           tensors and numbers only: loaded with weights_only=True
    trainer.json           step and what else the loop carries
    manifest.json          sizes and SHA-256 of the others and of the LoRA, written last
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from core import files
from core.errors import fail
from core.files import sync_folder, write_json, write_with
from core.reading import read_json, sha256_of
from core.runs import checkpoints
from core.runs.checkpoints import LORA_NAME
from core.runs.folder import RunFolder, step_of

_FILES = ("weights.safetensors", "optimizer.pt", "trainer.json")


@dataclass(frozen=True)
class TrainingState:
    """What exact resume needs.

    weights, ema: float32 tensors named as in LoRA files (ema empty without averaging);
    optimizer: its state_dict; trainer: JSON-ready values of the loop (step, smoothed loss, ...).
    """

    weights: Mapping[str, torch.Tensor]
    ema: Mapping[str, torch.Tensor]
    optimizer: dict[str, Any]
    trainer: dict[str, Any]


def begin(run: RunFolder, step: int) -> Path:
    """An empty folder to write the checkpoint of `step` into; `finish` puts it in its place.

    Raises UserError `run_folder_gone` where the run's folder was deleted or moved.
    """
    require_folder(run)
    folder = run.checkpoints_folder / f".writing-{run.checkpoint(step).name}"
    if folder.exists():
        files.remove_tree(folder)
    folder.mkdir(parents=True)
    return folder


def require_folder(run: RunFolder) -> None:
    """Raise UserError `run_folder_gone` where the run's folder was deleted or moved."""
    if not run.job_file.exists():
        raise fail(
            "run_folder_gone",
            f"The run's folder {run.path} was deleted or moved, or its disk was taken away, so the "
            "training has ended.",
            hint="If it is somewhere else now, resume it there from its last checkpoint.",
            file=str(run.path),
        )


def finish(run: RunFolder, step: int, written: Path) -> Path:
    """Rename a written checkpoint to its place; returns the place.

    An older folder of the same step (from before a resume) is moved aside first and removed after.
    Raises OSError; then the written folder stays, and `adopt_written` puts it in its place later.
    """
    place = run.checkpoint(step)
    old = run.checkpoints_folder / f".replaced-{place.name}"
    files.remove_tree(old)
    if place.exists():
        files.rename(place, old)
    sync_folder(written)
    files.rename(written, place)
    sync_folder(place.parent)
    files.remove_tree(old)
    return place


def write_state(folder: Path, state: TrainingState) -> None:
    """Write `folder/state`; its manifest comes last, so a state without one is not whole.

    The LoRA file must lie in `folder` already.
    """
    target = folder / "state"
    target.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.detach().cpu().contiguous() for name, t in state.weights.items()}
    tensors |= {f"ema.{name}": t.detach().cpu().contiguous() for name, t in state.ema.items()}
    write_with(target / "weights.safetensors", lambda p: save_file(tensors, p))
    write_with(target / "optimizer.pt", lambda p: _save(state.optimizer, p))
    write_json(target / "trainer.json", state.trainer)
    manifest = {
        "limner": 1,
        "step": state.trainer["step"],
        "files": {name: _facts(target / name) for name in _FILES},
        "lora": _facts(folder / LORA_NAME),
    }
    write_json(target / "manifest.json", manifest)


def _facts(path: Path) -> dict[str, Any]:
    return {"size": path.stat().st_size, "sha256": sha256_of(path)}


def _save(data: dict[str, Any], path: Path) -> None:
    # Through Python's own file: torch's writer does not say that the disk is full.
    with open(path, "wb") as file:
        torch.save(data, file)


def read_state(checkpoint: Path) -> TrainingState:
    """Read a checkpoint's state. Raises UserError `checkpoint_damaged` when it is not whole."""
    folder = checkpoint / "state"
    try:
        manifest = read_json(folder / "manifest.json")
        for name in _FILES:
            if sha256_of(folder / name) != manifest["files"][name]["sha256"]:
                raise ValueError(f"{name} has changed since it was written")
        tensors = load_file(folder / "weights.safetensors")
        optimizer = torch.load(folder / "optimizer.pt", map_location="cpu", weights_only=True)
        trainer = read_json(folder / "trainer.json")
    except Exception as error:  # damaged files raise whatever their format's reader raises
        raise fail(
            "checkpoint_damaged",
            f"The checkpoint {checkpoint.name} cannot be resumed from: its state is damaged or "
            f"missing.",
            detail=_why(error),
            file=str(checkpoint),
        ) from error
    return TrainingState(
        weights={n: t for n, t in tensors.items() if not n.startswith("ema.")},
        ema={n.removeprefix("ema."): t for n, t in tensors.items() if n.startswith("ema.")},
        optimizer=optimizer,
        trainer=trainer,
    )


def _why(error: Exception) -> str:
    # torch's own words advise to load with `weights_only=False`, which runs code from the file.
    if isinstance(error, pickle.UnpicklingError):
        return "state/optimizer.pt holds something else than Limner writes."
    return str(error)


def drop_old_states(run: RunFolder, keep: int, upto: int) -> None:
    """Remove the states of all but the newest `keep` checkpoints; LoRA files all stay.

    Those after the step `upto` are of a way that the run has turned back on; they stay until it
    gets there again, and do not count.
    """
    steps = (step_of(f.name) for f in run.checkpoints_folder.iterdir())
    folders = [run.checkpoint(s) for s in sorted(s for s in steps if s is not None and s <= upto)]
    with_state = [folder for folder in folders if (folder / "state").is_dir()]
    for folder in with_state[:-keep]:
        # Renamed first: half a removed state must not look like a damaged one.
        doomed = folder / ".removing"
        # One that is in use is removed after a later checkpoint.
        with contextlib.suppress(OSError):
            files.rename(folder / "state", doomed)
        files.remove_tree(doomed)


def adopt_written(run: RunFolder) -> None:
    """Put checkpoints in their place that are whole but could not be renamed when written."""
    if not run.checkpoints_folder.is_dir():
        return
    for folder in run.checkpoints_folder.iterdir():
        name = folder.name.removeprefix(".writing-")
        step = step_of(name)
        if name == folder.name or step is None or (folder.parent / name).exists():
            continue
        found = checkpoints.verify(checkpoints.inspect(folder, step))
        if found.valid and found.has_state:
            with contextlib.suppress(OSError):
                files.rename(folder, folder.parent / name)


def remove_leftovers(run: RunFolder) -> None:
    """Remove what an interrupted write or removal left behind; what is whole is kept."""
    for pattern in ("samples/*/.writing-*", ".writing-*.safetensors"):
        for file in run.path.glob(pattern):
            with contextlib.suppress(OSError):
                files.unlink(file)
    adopt_written(run)
    if not run.checkpoints_folder.is_dir():
        return
    for folder in run.checkpoints_folder.iterdir():
        if folder.name.startswith(".replaced-"):
            place = folder.with_name(folder.name.removeprefix(".replaced-"))
            if not place.exists():
                files.rename(folder, place)
                continue
        if folder.name.startswith((".writing-", ".replaced-")):
            files.remove_tree(folder)
        files.remove_tree(folder / ".removing")
