"""Drawing the sample prompts during a run, without disturbing the training."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from core import files
from core.errors import Problem, UserError
from core.hardware import free_memory, is_out_of_memory
from core.runs.folder import safe_name
from core.sampling.engine import batches, draw_many
from core.sampling.genspec import GenSpec
from core.sampling.png_metadata import save_png
from core.training.ema import averaged
from core.training.prompts import prompts_to_draw
from core.training.session import Session, rest, warning_of
from core.worker import protocol


def draw_samples(session: Session) -> None:
    """Draw every prompt at the session's step and say so. Raises Stopped when asked to stop.

    A prompt that cannot be drawn costs that sample only. Draws come from generators of their own
    and weights are put back, so training goes on as if nothing had happened.
    """
    chosen = prompts_to_draw(session.job)
    if not chosen or not session.is_main:
        return
    control = session.control
    resting = partial(rest, control, session.emit, session.model, "sampling")
    with (
        averaged(session.adapter, session.ema),
        session.model.resident(*session.model.info.staying),
        control.pausing(resting),
    ):
        # Drawing a training batch's worth at once needs no more memory than training does.
        groups = batches([spec for _, spec in chosen], session.job.training.batch_size)
        done = 0
        for group in groups:
            session.emit(protocol.Phase(name="sampling", done=done, total=len(chosen)))
            _draw_group(session, [chosen[number] for number in group])
            done += len(group)


def _too_large(spec: GenSpec) -> Problem:
    return Problem(
        code="sample_out_of_memory",
        severity="warning",
        title=f"The GPU has too little memory for the sample {spec.prompt[:60]!r}, left out.",
        hint="Give the prompt a smaller width and height.",
        setting="sampling.prompts",
    )


def samples_missing(session: Session) -> bool:
    """Whether a prompt's picture at the session's step is not there, because a stop came first."""
    chosen = prompts_to_draw(session.job)
    return not all(_path_of(session, index, spec).exists() for index, spec in chosen)


def _path_of(session: Session, index: int, spec: GenSpec) -> Path:
    return session.run.samples(session.step) / f"{index:02d}-{safe_name(spec.prompt)}.png"


def _unwritten(path: Path, error: OSError) -> Problem:
    return Problem(
        code="sample_unwritten",
        severity="warning",
        title=f"The sample {path.name} was not saved: {files.reason(error)}.",
        file=str(path),
    )


def _draw_group(session: Session, group: list[tuple[int, GenSpec]]) -> None:
    size = session.job.training.resolution
    try:
        with session.compute.accelerator.autocast():
            images = draw_many(
                session.model,
                [spec for _, spec in group],
                default_size=size,
                device=session.device,
                check_stop=session.control.check,
            )
    except UserError as error:
        for problem in error.problems:
            session.emit(warning_of(problem))
        return
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        images = None
    if images is None:
        # Outside of the except block, which would hold on to the memory that did not suffice.
        free_memory()
        if len(group) > 1:
            for one in group:
                _draw_group(session, [one])
        else:
            session.emit(warning_of(_too_large(group[0][1])))
        return
    run, step = session.run, session.step
    extra = {"model": session.model.file.path.name, "run": run.path.name, "step": step}
    for (index, spec), image in zip(group, images, strict=True):
        path = _path_of(session, index, spec)
        try:
            save_png(image, path, spec, extra)
        except OSError as error:
            # A preview is no reason to end a training.
            session.emit(warning_of(_unwritten(path, error)))
            continue
        session.emit(
            protocol.Sample(
                step=step, index=index, path=run.relative(path), prompt=spec.prompt, seed=spec.seed
            )
        )
