"""Writing the session's checkpoint and handing the LoRA out."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from core import files
from core.errors import Problem, UserError
from core.files import write_with
from core.lora.file import read_header, write_lora
from core.lora.metadata import Trained, lora_metadata, run_of
from core.lora.verify import Verified, verify
from core.runs import checkpoints
from core.runs.folder import step_name
from core.runs.output import is_lora_of_ours, output_path
from core.training import checkpoint
from core.training.optimizers import found_rates
from core.training.session import Session, warning_of
from core.worker import protocol

# float16 usually moves a LoRA by 0.03 %, bfloat16 by 0.2 %; a hundredth can be seen in pictures.
_MUCH_ROUNDED = 0.01


def save_checkpoint(session: Session) -> Path | None:
    """Write the checkpoint of the session's step, verify it, copy its LoRA to where it is wanted.

    Returns its folder, or None in a process that does not write. The LoRA file holds the averaged
    weights where averaging is on; the state holds both. Raises UserError `lora_not_finite` before
    anything is replaced, OSError when the disk is full.
    """
    if not session.is_main:
        return None
    session.emit(protocol.Phase(name="saving"))
    # One that another program kept from its place before may get there now.
    checkpoint.adopt_written(session.run)
    run, step = session.run, session.step
    weights = session.ema.weights if session.ema else dict(session.adapter.named_weights())
    folder = checkpoint.begin(run, step)
    try:
        _write_lora(session, folder / "lora.safetensors", weights)
        found = verify(folder / "lora.safetensors", session.adapter, weights)
        checkpoint.write_state(folder, session.state())
    except BaseException:
        files.remove_tree(folder)
        raise
    place = _finish(session, step, folder)
    session.saved_step = step
    for problem in _doubts(found, session, place):
        session.emit(warning_of(problem))
    _renew_lora(session, place / "lora.safetensors")
    _stand_at(session, step)
    checkpoint.drop_old_states(run, session.job.checkpoints.keep_states, step)
    session.emit(
        protocol.Checkpoint(
            step=step,
            path=run.relative(place),
            verified=not found.difference,
            rounding=found.rounding,
        )
    )
    return place


def take_up(session: Session, start: Path) -> None:
    """Make the checkpoint that a run goes on from its newest LoRA, which a later one may be now."""
    lora = start / "lora.safetensors"
    if session.is_main and lora.exists():
        _renew_lora(session, lora)
        _stand_at(session, session.step)


def _stand_at(session: Session, step: int) -> None:
    try:
        checkpoints.stand_at(session.run, step)
    except OSError as error:
        if not files.is_in_use(error):
            raise


def _finish(session: Session, step: int, written: Path) -> Path:
    """Put a checkpoint in its place; where another program holds it, it waits as it is, whole."""
    try:
        return checkpoint.finish(session.run, step, written)
    except OSError as error:
        if not files.is_in_use(error):
            raise
        held = Problem(
            code="checkpoint_held",
            severity="warning",
            title=f"Another program has the checkpoint of step {step} open, so it is called "
            f"{written.name} for now; it gets its name with the next one.",
            file=str(written),
        )
        session.emit(warning_of(held))
        return written


def _renew_lora(session: Session, lora: Path) -> None:
    """Copy a checkpoint's LoRA to the run's; under a name of its own where that one is in use."""
    target = session.run.lora_file
    try:
        _copy(lora, target)
    except OSError as error:
        if not files.is_in_use(error):
            raise
        other = target.with_name(f"lora-{step_name(session.step)}.safetensors")
        _copy(lora, other)
        held = Problem(
            code="lora_held",
            severity="warning",
            title=f"Another program has {target.name} open, so the LoRA of step {session.step} is "
            f"in {other.name} beside it.",
            file=str(other),
        )
        session.emit(warning_of(held))


def _doubts(found: Verified, session: Session, place: Path) -> Iterator[Problem]:
    """What is to be said of a LoRA file that does not hold what was trained, or not well."""
    file = str(place / "lora.safetensors")
    if found.difference:
        yield Problem(
            code="lora_not_verified",
            severity="warning",
            title=f"The LoRA of {place.name} does not read back as it was trained.",
            detail=found.difference,
            file=file,
        )
    if found.rounding > _MUCH_ROUNDED:
        zeroed = f", and {found.zeroed} of its {found.numbers} numbers become 0"
        yield Problem(
            code="lora_rounded",
            severity="warning",
            title=f"Rounding to {session.job.checkpoints.dtype} changes the LoRA of {place.name} "
            f"by {found.rounding:.1%}{zeroed if found.zeroed else ''}; save it as float32 to keep "
            "what was trained.",
            setting="checkpoints.dtype",
            file=file,
        )


def _write_lora(session: Session, path: Path, weights: dict[str, torch.Tensor]) -> None:
    model = session.model
    metadata = lora_metadata(
        session.job,
        model.info,
        model.file,
        model.process.prediction_type,
        session.plan,
        Trained(
            step=session.step,
            precision=session.compute.precision,
            rates=found_rates(session.optimizer, session.adapter),
            started=session.started,
            now=time.time(),
        ),
        session.run.path.name,
    )
    dtype = getattr(torch, session.job.checkpoints.dtype)
    write_lora(path, weights, session.adapter.alphas(), metadata, dtype)


def hand_out(session: Session) -> Path | None:
    """Copy the newest LoRA to `model.output`; returns where, or None when that is not wanted.

    A LoRA that another run left there is moved aside, never overwritten; what is not a LoRA of
    ours stays as it is. A place that cannot be written is a warning: the LoRA is in the run's
    folder all the same.
    """
    output = output_path(session.job)
    if output is None or not session.is_main or not session.run.lora_file.exists():
        return None
    if os.path.lexists(output) and not os.path.isdir(output) and not is_lora_of_ours(output):
        session.emit(
            protocol.Warning(
                code="output_foreign",
                title=f"{output} is not a LoRA that Limner made and was left as it is; the "
                "finished LoRA is in the run's folder.",
                setting="model.output",
                file=str(output),
            )
        )
        return None
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        moved = _move_foreign_aside(output, session)
        _copy(session.run.lora_file, output)
    except (OSError, ValueError, UserError) as error:
        # Whatever lies there, or has come there since it was looked at: the training is done.
        session.emit(
            protocol.Warning(
                code="output_unwritable",
                title=f"The LoRA could not be copied to {output}; it is in the run's folder.",
                detail=getattr(error, "strerror", None) or str(error),
                setting="model.output",
                file=str(output),
            )
        )
        return None
    if moved is not None:
        problem = Problem(
            code="output_moved_aside",
            severity="warning",
            title=f"{output.name} was there already from another run; it is now {moved.name}.",
            file=str(moved),
        )
        session.emit(warning_of(problem))
    return output


def _move_foreign_aside(output: Path, session: Session) -> Path | None:
    if os.path.isdir(output):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(output))
    if not output.exists():
        return None
    metadata = read_header(output)[1]
    # Folders of different runs may have the same name; when they began tells them apart.
    began = metadata.get("ss_training_started_at")
    if run_of(metadata) == session.run.path.name and began == str(session.started):
        return None
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S", time.localtime(output.stat().st_mtime))
    aside = output.with_name(f"{output.stem}-{stamp}{output.suffix}")
    number = 2
    while aside.exists():
        aside = output.with_name(f"{output.stem}-{stamp}-{number}{output.suffix}")
        number += 1
    files.rename(output, aside)
    return aside


def _copy(source: Path, target: Path) -> None:
    write_with(target, lambda temporary: shutil.copyfile(source, temporary))
