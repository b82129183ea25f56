"""Which checkpoints a run has, and which of them are whole, judged by what lies on disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core import files
from core.errors import Problem, fail
from core.reading import Unreadable, read_json, read_safetensors_header, sha256_of
from core.runs.folder import RunFolder, step_of

LORA_NAME = "lora.safetensors"
STATE_NAME = "state"
MANIFEST_NAME = "manifest.json"
_FAULTS = {"missing": "is missing", "cut_off": "is cut off"}


@dataclass(frozen=True)
class CheckpointInfo:
    """One checkpoint folder.

    has_state: training can be resumed from it. valid: everything that is there is whole; if not,
    `problem` says what is wrong.
    """

    step: int
    path: Path
    has_state: bool
    valid: bool
    problem: Problem | None = None

    @property
    def name(self) -> str:
        """The folder's name, `step-000100`."""
        return self.path.name

    @property
    def lora(self) -> Path:
        """The LoRA file."""
        return self.path / LORA_NAME

    @property
    def state(self) -> Path:
        """The folder that resume reads."""
        return self.path / STATE_NAME


def list_checkpoints(run: RunFolder) -> list[CheckpointInfo]:
    """All checkpoints, oldest first. Reads headers and sizes only, so it is fast."""
    try:
        folders = [entry for entry in run.checkpoints_folder.iterdir() if entry.is_dir()]
    except FileNotFoundError:
        return []
    found = [(step, path) for path in folders if (step := step_of(path.name)) is not None]
    return [inspect(path, step) for step, path in sorted(found)]


def resumable_steps(run: RunFolder) -> list[int]:
    """The steps that training can be resumed from, in order; empty where it must begin anew."""
    return [c.step for c in list_checkpoints(run) if c.valid and c.has_state]


def inspect(path: Path, step: int) -> CheckpointInfo:
    """What the checkpoint folder `path` holds; reads no weights."""
    state = path / STATE_NAME
    wrong = safetensors_fault(path / LORA_NAME)
    if wrong:
        return CheckpointInfo(step, path, False, False, _damaged(path, f"{LORA_NAME} {wrong}"))
    if not state.exists():
        return CheckpointInfo(step, path, False, True)
    wrong = _state_fault(state, step, hashes=False)
    if wrong:
        return CheckpointInfo(step, path, False, False, _damaged(path, wrong))
    return CheckpointInfo(step, path, True, True)


def verify(checkpoint: CheckpointInfo) -> CheckpointInfo:
    """`checkpoint` after reading every byte of its state against the manifest's hashes."""
    if not (checkpoint.valid and checkpoint.has_state):
        return checkpoint
    wrong = _state_fault(checkpoint.state, checkpoint.step, hashes=True)
    if not wrong:
        return checkpoint
    problem = _damaged(checkpoint.path, wrong)
    return replace(checkpoint, has_state=False, valid=False, problem=problem)


def latest_valid(
    run: RunFolder, before: int | None = None
) -> tuple[CheckpointInfo | None, list[Problem]]:
    """The newest checkpoint (older than step `before`) to go on from, read and verified.

    Those that the run has turned its back on (`stand_at`) come last. Damaged ones are passed over
    with a warning each; None when there is none.
    """
    problems: list[Problem] = []
    head = _head(run)
    found = list_checkpoints(run)
    for listed in sorted(found, key=lambda c: (head is None or c.step <= head, c.step))[::-1]:
        if before is not None and listed.step >= before:
            continue
        checkpoint = verify(listed)
        if checkpoint.valid and checkpoint.has_state:
            return checkpoint, problems
        if checkpoint.problem is not None:
            problems.append(replace(checkpoint.problem, severity="warning"))
    return None, problems


def stand_at(run: RunFolder, step: int) -> None:
    """Remember that the run goes on from `step`, where checkpoints of later steps lie about.

    They are of a way that somebody has turned back on, and not what `latest` means. Raises OSError.
    """
    steps = (step_of(entry.name) for entry in run.checkpoints_folder.iterdir())
    if any(other is not None and other > step for other in steps):
        files.write_json(run.head_file, {"step": step})
    else:
        files.unlink(run.head_file, missing_ok=True)


def _head(run: RunFolder) -> int | None:
    try:
        return int(read_json(run.head_file)["step"])
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def choose(run: RunFolder, name: str) -> tuple[CheckpointInfo | None, list[Problem]]:
    """The checkpoint called `name` (`step-000100`, `100`, or `latest`), verified.

    Raises UserError when it does not exist, is damaged, or its state is no longer kept. Only
    `latest` gives None, when there is no checkpoint at all to go on from.
    """
    if name == "latest":
        return latest_valid(run)
    wanted = int(name) if name.isdecimal() else step_of(name)
    listed = list_checkpoints(run)
    usable = [c.name for c in listed if c.valid and c.has_state]
    hint = (
        f"You can resume from {', '.join(usable)}." if usable else "There is none to resume from."
    )
    for found in listed:
        if found.step != wanted:
            continue
        checkpoint = verify(found)
        if checkpoint.problem is not None:
            others = [n for n in usable if n != checkpoint.name]
            hint = f"You can resume from {', '.join(others)}." if others else ""
            raise fail(
                "checkpoint_damaged",
                checkpoint.problem.title,
                detail=checkpoint.problem.detail,
                hint=hint,
                file=str(checkpoint.path),
            )
        if not checkpoint.has_state:
            raise fail(
                "checkpoint_without_state",
                f"{checkpoint.name} holds a LoRA to use, but no state to resume from.",
                hint=hint,
                file=str(checkpoint.path),
            )
        return checkpoint, []
    raise fail(
        "checkpoint_not_found",
        f"This run has no checkpoint {name!r}.",
        hint=hint,
        file=str(run.checkpoints_folder),
    )


def safetensors_fault(path: Path) -> str:
    """What is wrong with a safetensors file by its header and size; empty when nothing is."""
    try:
        header = read_safetensors_header(path)
    except Unreadable as error:
        return _FAULTS.get(error.why, str(error))
    return "" if header.size == header.end else "is cut off"


def _state_fault(state: Path, step: int, hashes: bool) -> str:
    try:
        manifest = read_json(state / MANIFEST_NAME)
        listed: dict[str, Any] = manifest["files"]
        written_at = int(manifest["step"])
        facts = {
            f"{STATE_NAME}/{name}": (int(v["size"]), str(v["sha256"])) for name, v in listed.items()
        }
        if lora := manifest.get("lora"):
            facts[LORA_NAME] = (int(lora["size"]), str(lora["sha256"]))
    except Unreadable as error:
        if error.why == "missing":
            return "its state was not written to the end"
        return f"{STATE_NAME}/{MANIFEST_NAME} {error}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{STATE_NAME}/{MANIFEST_NAME} does not list the state's files"
    if written_at != step:
        return f"its state belongs to step {written_at}"
    for name, (size, digest) in facts.items():
        file = state.parent / name
        try:
            if file.stat().st_size != size:
                return f"{name} is cut off"
            if hashes and sha256_of(file) != digest:
                return f"{name} is damaged"
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
        except Unreadable as error:
            return f"{name} {error}"
    return ""


def _damaged(path: Path, what: str) -> Problem:
    return Problem(
        code="checkpoint_damaged",
        title=f"The checkpoint {path.name} is damaged and was passed over: {what}.",
        file=str(path),
    )
