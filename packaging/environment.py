"""Limner's own Python environment: made once, with locked versions, into `.venv`.

Interrupted work is never mistaken for finished work: the stamp file says "unfinished" from before
the first package until after the last, and an unfinished environment is made again.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch_index
import windows
from shortcut import make_shortcut
from stamp import (
    STAMP_NAME,
    base_is_there,
    expected_stamp,
    graphics_drivers,
    is_ready,
    read_stamp,
    venv_python,
)

MINIMUM_FREE_BYTES = 3_000_000_000
CONSTRAINTS = Path("packaging/constraints.txt")
CUDA_CONSTRAINTS = Path("packaging/constraints-cuda.txt")
UNFINISHED = "unfinished"


class SetupError(RuntimeError):
    """Set-up cannot go on; the text is one sentence for the person at the keyboard."""


class PipError(SetupError):
    """pip failed; `half_done` says whether packages may have been left half installed."""

    def __init__(self, sentence: str, half_done: bool) -> None:
        super().__init__(sentence)
        self.half_done = half_done


def say(text: str) -> None:
    """Tell the person what happens now, at once and apart from the program's own output."""
    print(text, file=sys.stderr, flush=True)


def setup_environment() -> dict[str, str]:
    """The environment variables for pip and the programs started later.

    pip's own settings (proxy, index, certificates) stay as they are; only what would put
    packages elsewhere than into `.venv` is taken out.
    """
    env = dict(os.environ)
    for name in ("PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"):
        env.pop(name, None)
    env.update(PYTHONUTF8="1", PIP_USER="0", PIP_DISABLE_PIP_VERSION_CHECK="1")
    return env


# ---------------------------------------------------------------------------------------- lock


# Handed to pip: should this process alone be killed, the lock stays as long as pip still writes.
_held_locks: list[int] = []


def _try_lock(handle: int) -> bool:
    """Take the lock on an open file without waiting; whether that worked."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def setup_lock(path: Path, poll_seconds: float = 0.2) -> Iterator[None]:
    """Hold the lock file `path`; waits, and says so once, while another process holds it.

    The system drops the lock with the process, so a crash leaves nothing to clean up. The file
    itself stays: removing it would let two processes lock two files of the same name.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _try_lock(handle):
            say("Another set-up of Limner is running; waiting for it to finish ...")
            while not _try_lock(handle):
                time.sleep(poll_seconds)
        _held_locks.append(handle)
        yield
    finally:
        if handle in _held_locks:
            _held_locks.remove(handle)
        os.close(handle)


# --------------------------------------------------------------------------------------- files


def write_stamp(venv: Path, state: Mapping[str, Any]) -> None:
    """Write the stamp file: temporary name, flush, rename."""
    target = venv / STAMP_NAME
    temporary = target.with_suffix(".new")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, target)


def remove_environment(venv: Path) -> None:
    """Remove an environment that set-up made; SetupError where it is another's or in use.

    It is renamed first, so that an interruption leaves no half environment under its name.
    """
    for old in glob.glob(glob.escape(str(venv)) + ".old-*"):
        shutil.rmtree(old, ignore_errors=True)
    if not venv.exists():
        return
    if not (venv / STAMP_NAME).exists() and any(venv.iterdir()):
        raise SetupError(
            f"{venv} was not made by Limner's set-up; please move it away and start again."
        )
    old_name = venv.with_name(f"{venv.name}.old-{os.getpid()}")
    try:
        venv.rename(old_name)
    except OSError as error:
        raise SetupError(
            f"{venv} cannot be replaced ({error.strerror}); please close Limner and start again."
        ) from None
    shutil.rmtree(old_name, ignore_errors=True)


def check_space(folder: Path) -> None:
    """SetupError when a disk has clearly too little room for the packages.

    pip unpacks into the folder for temporary files, which may lie on another disk than `folder`.
    """
    needs = (
        (folder, f"{MINIMUM_FREE_BYTES / 1e9:.0f} GB (8 GB with CUDA)"),
        (Path(tempfile.gettempdir()), f"{MINIMUM_FREE_BYTES / 1e9:.0f} GB for the download"),
    )
    for place, need in needs:
        free = shutil.disk_usage(place).free
        if free < MINIMUM_FREE_BYTES:
            raise SetupError(
                f"Only {free / 1e9:.1f} GB are free at {place}; Limner's packages need at least "
                f"{need}. Please make room there and start again."
            )


# ----------------------------------------------------------------------------------------- pip


def explain_pip_failure(lines: Sequence[str], venv: Path) -> str:
    """One sentence on why pip failed and what to do, from the last lines of its error output."""
    text = "\n".join(lines)
    lower = text.lower()
    if "errno 28" in lower or "no space left" in lower or "winerror 112" in lower:
        return (
            f"The disk is full: please free some space at {venv.parent} and at "
            f"{tempfile.gettempdir()}, and start again."
        )
    network = (
        "newconnectionerror",
        "max retries exceeded",
        "connection broken",
        "connection aborted",
        "proxyerror",
        "sslerror",
        "certificate verify failed",
        "timed out",
        "temporary failure in name resolution",
        "name or service not known",
        "getaddrinfo failed",
    )
    if any(word in lower for word in network):
        return (
            "pip could not reach its package index: please check the connection and pip's proxy "
            "and index settings (`pip config list`), then start again."
        )
    errors = [line.strip() for line in lines if "error" in line.lower()]
    last = (errors or [line.strip() for line in lines if line.strip()] or ["no message"])[-1]
    if "no matching distribution found for torch" in lower:
        return (
            f"There is no torch {torch_index.TORCH_VERSION} for this system "
            f"({platform.system()} {platform.machine()}, Python {platform.python_version()})."
        )
    return f"pip could not install Limner's packages ({last}); please fix that and start again."


def run_pip(venv: Path, arguments: Sequence[str], root: Path) -> None:
    """Run pip of the environment in `root`; SetupError with one sentence when it fails.

    Its progress goes to the terminal; its error output too, with the last lines kept to explain
    a failure.
    """
    command = [str(venv_python(venv)), "-P", "-m", "pip", *arguments]
    if not sys.stdout.isatty():
        command += ["--progress-bar", "off"]
    last: deque[str] = deque(maxlen=40)
    with subprocess.Popen(
        command,
        cwd=root,
        env=setup_environment(),
        # The program's own output comes later on stdout, perhaps into a pipe: keep it clean.
        stdout=sys.stderr,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        pass_fds=() if sys.platform == "win32" else tuple(_held_locks),
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            sys.stderr.write(line)
            last.append(line.rstrip())
    if process.returncode:
        half_done = process.returncode < 0 or any("OSError" in line for line in last)
        raise PipError(explain_pip_failure(last, venv), half_done)


# ---------------------------------------------------------------------------- what to install


def ask(*command: str) -> str:
    """A tool's output, or '' when it is missing, fails or takes longer than 20 seconds."""
    program = shutil.which(command[0])
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, *command[1:]],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def read_amd_topology() -> list[str]:
    """The texts of the kernel's `properties` file of every compute node; [] without an AMD card."""
    texts = []
    for name in sorted(glob.glob("/sys/class/kfd/kfd/topology/nodes/*/properties")):
        with contextlib.suppress(OSError):
            texts.append(Path(name).read_text(encoding="ascii", errors="replace"))
    return texts


def detect_torch() -> torch_index.TorchChoice:
    """The build of torch for this computer, from nvidia-smi and the kernel's AMD nodes."""
    nvidia = torch_index.parse_nvidia(
        ask("nvidia-smi"), ask("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader")
    )
    return torch_index.choose_torch(
        sys.platform,
        platform.machine(),
        nvidia,
        torch_index.parse_amd_chips(read_amd_topology()),
        os.environ.get("LIMNER_TORCH_INDEX", ""),
    )


def install_torch(root: Path, venv: Path, choice: torch_index.TorchChoice, *options: str) -> None:
    """Install the chosen build of torch. options: more for pip. Raises PipError."""
    if choice.note:
        say(choice.note)
    torch = ["install", "--constraint", str(CONSTRAINTS), *options, choice.requirement]
    if choice.index is None:
        # The versions of the CUDA libraries differ in the builds of PyTorch's own index.
        torch += ["--constraint", str(CUDA_CONSTRAINTS)]
    else:
        # An addition to the user's index, not instead of it: the rest still comes from there.
        torch += ["--extra-index-url", choice.index]
    say(f"Installing {choice.requirement} ...")
    run_pip(venv, torch, root)


def install_packages(root: Path, venv: Path, kind: str) -> str:
    """Install torch, the build backend and the project with the locked versions.

    `kind` is "app" or "test". Returns which torch it is, as pip was asked for it. The backend is
    installed like everything else, from the lock, and used without isolation: an isolated build
    would fetch whatever version is newest.
    """
    choice = detect_torch()
    install_torch(root, venv, choice)
    locked = ["install", "--constraint", str(CONSTRAINTS)]
    extras = "[test]" if kind == "test" else ""
    say("Installing Limner's other packages ...")
    run_pip(venv, [*locked, "hatchling"], root)
    project = ["--no-build-isolation", "--editable", f".{extras}"]
    run_pip(venv, [*locked, *project], root)
    return choice.requirement


# -------------------------------------------------------------------------------------- set-up


def base_python() -> str:
    """The interpreter to make the environment from: not one inside an environment."""
    if sys.prefix != sys.base_prefix:
        return getattr(sys, "_base_executable", None) or sys.executable
    return sys.executable


def make_venv(venv: Path) -> None:
    """Make an empty environment marked unfinished; SetupError when Python cannot."""
    venv.mkdir(parents=True)
    write_stamp(venv, {"state": UNFINISHED})
    done = subprocess.run(
        [base_python(), "-m", "venv", str(venv)],
        env=setup_environment(),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines() or ["no message"]
        raise SetupError(f"Python could not make an environment in {venv}: {lines[-1].strip()}")


def set_up(root: Path, kind: str) -> None:
    """Bring `.venv` below `root` to what `kind` ("app" or "test") needs.

    Waits for another set-up; does nothing when that one did all. SetupError says what failed.
    """
    venv = root / ".venv"
    try:
        with setup_lock(root / ".setup.lock"):
            if is_ready(root, kind):
                return
            _set_up_locked(root, venv, kind)
    except PermissionError as error:
        raise SetupError(
            f"Set-up may not write {error.filename or root}; please start once as a user who may."
        ) from None
    except OSError as error:
        if error.errno == 28:  # ENOSPC
            raise SetupError(explain_pip_failure(["No space left"], venv)) from None
        raise SetupError(f"Set-up cannot write below {root}: {error.strerror}.") from None


def _set_up_locked(root: Path, venv: Path, kind: str) -> None:
    """`set_up` for the process that holds the lock."""
    wanted = expected_stamp(root)
    before = read_stamp(venv)
    unfinished = before.get("state") == UNFINISHED
    if unfinished:
        say("The last set-up did not finish; starting it again.")
    elif before and not base_is_there(venv):
        say("The Python that Limner was set up with is gone; setting it up with this one.")
        unfinished = True
    if unfinished or before.get("python") != wanted["python"]:
        windows.check(root, SetupError)
        remove_environment(venv)
        check_space(root)
        say(f"Setting Limner up in {venv}: once, with a download of 1 to 4 GB.")
        make_venv(venv)
        before = {"python": wanted["python"]}
    # An environment that once held the test tools keeps them through an update.
    wide = "test" if kind == "test" or "test" in before else "app"
    kinds = ("app", "test") if wide == "test" else ("app",)
    after = {
        "python": wanted["python"],
        **{k: wanted["packages"] for k in kinds},
        "drivers": graphics_drivers(),
    }
    if all(before.get(k) == wanted["packages"] for k in kinds):
        _follow_the_card(root, venv, before, after)
        return
    write_stamp(venv, {"state": UNFINISHED})
    try:
        after["torch"] = install_packages(root, venv, wide)
    except PipError as error:
        if not error.half_done:
            # pip gave up before it touched anything: the next start goes on from here.
            write_stamp(venv, before)
        raise
    write_stamp(venv, after)
    in_menu = " Limner is in the start menu now." if make_shortcut(root) else ""
    say(f"Set-up is done.{in_menu}")


def _follow_the_card(
    root: Path, venv: Path, before: Mapping[str, Any], after: dict[str, Any]
) -> None:
    """Bring torch in line with a graphics card or driver that came after set-up.

    Where it cannot be had now, Limner starts with the torch that is there.
    """
    choice = detect_torch()
    if choice.requirement != before.get("torch"):
        say("There is a graphics card now that was not there at set-up.")
        write_stamp(venv, {"state": UNFINISHED})
        try:
            install_torch(root, venv, choice, "--retries", "1")
        except PipError as error:
            if error.half_done:
                raise
            write_stamp(venv, before)
            say(f"{error} Until then Limner uses the processor.")
            return
    write_stamp(venv, {**after, "torch": choice.requirement})
