"""Where the finished LoRA may be put: never in the place of something that Limner did not make."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from core.config.job import Job
from core.data.plan import concept_name
from core.errors import Problem, Severity, UserError
from core.families.base import BaseModelFile
from core.files import can_write
from core.lora.file import read_header
from core.lora.metadata import run_of
from core.paths import user_path


def output_path(job: Job) -> Path | None:
    """Where `model.output` wants the LoRA, absolute; None when it is wanted nowhere."""
    wanted = job.model.output.strip()
    return user_path(wanted).absolute() if wanted else None


def is_lora_of_ours(path: Path) -> bool:
    """Whether a file is a LoRA that Limner wrote; false for all that is not a regular file."""
    # Unlike Path.is_file this raises for no name at all.
    if not os.path.isfile(path):
        return False
    try:
        return bool(run_of(read_header(path)[1]))
    except UserError:
        return False


def taken(job: Job, base: BaseModelFile | None) -> list[Problem]:
    """An error when `model.output` names something that the run itself stands on.

    That is the base model, its VAE or a folder of pictures, whatever links lead there.
    """
    output = output_path(job)
    if output is None:
        return []
    for title, place in _protected(job, base):
        if _is_or_lies_in(output, place):
            wrong = f"The LoRA file {output} {title}; choose another place for it."
            return [_problem("output_taken", wrong, output)]
    return []


def output_problems(job: Job, base: BaseModelFile | None) -> list[Problem]:
    """What forbids or hinders copying the finished LoRA to `model.output`."""
    output = output_path(job)
    if output is None:
        return []
    if found := taken(job, base):
        return found
    if os.path.isdir(output):
        wrong = f"The LoRA file {output} is a folder; write the name of a file in it."
        return [_problem("output_unwritable", wrong, output)]
    if os.path.lexists(output) and not is_lora_of_ours(output):
        wrong = (
            f"{output} is not a LoRA that Limner made, and is never replaced; choose another "
            "name for the LoRA file."
        )
        return [_problem("output_foreign", wrong, output)]
    folder = output.parent
    while not os.path.exists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        wrong = f"The LoRA file cannot lie in {folder}, which is a file; choose a folder."
        return [_problem("output_unwritable", wrong, output)]
    if not can_write(folder):
        wrong = f"The LoRA cannot be copied to {output}, because {folder} is read-only."
        return [_problem("output_unwritable", wrong, output, "warning")]
    return []


def _protected(job: Job, base: BaseModelFile | None) -> Iterator[tuple[str, Path]]:
    """(what a file in it would be, the file or folder) for all that the run reads."""
    named = [base.path] if base is not None else []
    if job.model.base.strip():
        named.append(user_path(job.model.base.strip()))
    for path in named:
        yield "lies in the base model's folder" if path.is_dir() else "is the base model", path
    if job.model.vae.strip():
        path = user_path(job.model.vae.strip())
        yield "lies in the VAE's folder" if path.is_dir() else "is the VAE", path
    for index, concept in enumerate(job.concepts):
        if concept.path.strip():
            name = concept_name(index, concept)
            yield f"lies in the picture folder of {name}", user_path(concept.path.strip())


def _is_or_lies_in(path: Path, place: Path) -> bool:
    own, other = (os.path.normcase(os.path.realpath(p)) for p in (path, place))
    if own == other or own.startswith(os.path.join(other, "")):
        return True
    try:
        # Another name of the same file: a hard link, or other case where that is the same.
        return os.path.samefile(path, place)
    except OSError:
        return False


def _problem(code: str, title: str, output: Path, severity: Severity = "error") -> Problem:
    return Problem(
        code=code,
        title=title,
        severity=severity,
        hint="It is kept in the run's folder all the same." if severity == "warning" else "",
        setting="model.output",
        file=str(output),
    )
