"""Why work ended, in words: errors that nobody foresaw, and processes without a last word."""

from __future__ import annotations

import errno
import re
import signal
import sys
from collections.abc import Sequence

from core.config.job import Job
from core.errors import Problem
from core.hardware import is_of_gpu, is_out_of_memory
from core.runs import checkpoints
from core.runs.folder import RunFolder

# Windows: no room on the disk, on the file's handle.
_DISK_FULL = frozenset({112, 39})
# safetensors and torch write files outside of Python and only pass the words on; 28 is the number
# on Linux and macOS, 112 on Windows.
_SAYS_DISK_FULL = re.compile(r"No space left on device|os error (28|112)\b")
# Windows: a library, one that it needs, or a function in one was not found, or it could not start.
_NOT_LOADED = frozenset({126, 127, 1114})
_SAYS_NOT_LOADED = re.compile(r"WinError (126|127|1114)\b|DLL load failed")

# How a process ends on Windows that crashes. Source: Microsoft, "NTSTATUS values" (MS-ERREF 2.3.1).
_CRASHES = {
    0xC0000005: "access violation",
    0xC0000006: "a file or library could not be read",
    0xC000001D: "illegal instruction",
    0xC0000094: "division by zero",
    0xC00000FD: "stack overflow",
    0xC0000374: "damaged memory",
    0xC0000409: "emergency stop",
    0xE06D7363: "uncaught C++ error",
}
_NO_MEMORY = frozenset({0xC0000017, 0xC000009A, 0xC000012D})
_NO_LIBRARY = frozenset({0xC0000135, 0xC0000139, 0xC0000142})
_SIGNED_OUT = frozenset({0x40010004, 0xC000026B})
_CONSOLE_CLOSED = 0xC000013A
# What TerminateProcess is given by Python and by the Task Manager.
_TERMINATED = 1


def problem_of(error: BaseException, job: Job | None, place: RunFolder) -> Problem:
    """What to tell about an error that nobody foresaw, in one sentence with something to do."""
    if problem := problem_of_computer(error):
        return problem
    if is_out_of_memory(error):
        return _out_of_memory(error, job)
    if is_disk_full(error):
        hint = "Free some space, then start the run again."
        if kept := checkpoints.resumable_steps(place):
            hint = f"Free some space, then resume the run from its checkpoint at step {kept[-1]}."
        return Problem(
            code="disk_full",
            title=f"The disk that holds {place.path} is full.",
            hint=hint,
            file=str(place.path),
        )
    words = " ".join(str(error).split())
    words = words if len(words) <= 300 else words[:297] + "..."
    called = type(error).__name__ + (f": {words}" if words else "")
    return Problem(
        code="internal_error",
        title=f"Training ended because of an error inside Limner ({called}).",
        detail=f"The whole report is in {place.log_file}.",
        file=str(place.log_file),
    )


def problem_of_computer(error: BaseException) -> Problem | None:
    """What to tell where the error says that this Windows is not set up for the work; else None.

    Its two commonest: a paging file that is too small, as all memory that programs ask for must
    have a place in it or in RAM, and a missing or old C++ runtime, without which torch's libraries
    do not load.
    """
    chain = _chain(error)
    if any(_is_paging_file(one) for one in chain):
        return Problem(
            code="out_of_memory",
            title="The computer's memory is not enough, as Windows' paging file is too small.",
            hint="Close other programs, or let Windows choose the size of the paging file: search "
            'for "Adjust the appearance and performance of Windows" in the start menu, then '
            "Advanced, Virtual memory.",
        )
    if any(_is_not_loaded(one) for one in chain):
        return Problem(
            code="library_not_loaded",
            title="Windows could not load a library that this needs; most often Microsoft's C++ "
            "runtime is missing or too old.",
            detail=" ".join(str(error).split())[:300],
            hint="Install the Microsoft Visual C++ Redistributable (x64) from microsoft.com, then "
            "start again.",
        )
    return None


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or one that led to it, says that a disk is full."""
    codes = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
    return any(
        (isinstance(one, OSError) and (one.errno in codes or _number(one) in _DISK_FULL))
        or _SAYS_DISK_FULL.search(str(one))
        for one in _chain(error)
    )


def manner_of_end(code: int | None, tail: Sequence[str] = ()) -> str:
    """How a process ended that said nothing, as the rest of a sentence: "was killed".

    code: its exit code where known, negative for a signal; Windows has large positive ones for
    crashes. tail: the last lines that it printed.
    """
    if code is None:
        return "is gone without a last word"
    if code < 0:
        return _manner_of_signal(-code)
    if code in _CRASHES:
        return f"crashed ({_CRASHES[code]}, 0x{code:08X})"
    if code in _NO_MEMORY:
        return (
            f"ended because the computer's memory ran out (0x{code:08X}); close other programs or "
            "enlarge Windows' paging file"
        )
    if code in _NO_LIBRARY:
        return (
            f"could not load a library (0x{code:08X}); install the Microsoft Visual C++ "
            "Redistributable (x64) from microsoft.com"
        )
    if code in _SIGNED_OUT:
        return "was ended by Windows at sign-out or shutdown"
    if code == _CONSOLE_CLOSED:
        return "was ended by Ctrl+C or because its console was closed"
    if code == _TERMINATED and sys.platform == "win32" and not _is_traceback(tail):
        return "was ended by another program, such as the Task Manager"
    return f"ended unexpectedly with code {code if code < 0x40000000 else f'0x{code:08X}'}"


def _manner_of_signal(number: int) -> str:
    if number == 9:
        return "was killed; often the system does so when memory runs out"
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    crash = name in ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT")
    return f"{'crashed' if crash else 'was ended'} ({name})"


def _is_traceback(tail: Sequence[str]) -> bool:
    """Whether the last lines are Python's own report of an error."""
    return any(line.startswith(("Traceback ", "  File ")) for line in tail)


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found:
        found.append(current)
        current = current.__cause__ or current.__context__
    return found


def _number(error: BaseException) -> int | None:
    """The number of an error of Windows; None for other errors."""
    number = getattr(error, "winerror", None)
    return number if isinstance(number, int) else None


def _is_paging_file(error: BaseException) -> bool:
    # 1455 in words too: safetensors passes on no more than those.
    return _number(error) == 1455 or bool(re.search(r"(os error|WinError) 1455\b", str(error)))


def _is_not_loaded(error: BaseException) -> bool:
    if not isinstance(error, OSError | ImportError):
        return False
    return _number(error) in _NOT_LOADED or bool(_SAYS_NOT_LOADED.search(str(error)))


def _out_of_memory(error: BaseException, job: Job | None) -> Problem:
    advice, setting = [], "training.resolution"
    if job is not None:
        training = job.training
        advice.append(f"lower the resolution (now {training.resolution})")
        if training.batch_size > 1:
            advice.insert(0, f"lower the batch size (now {training.batch_size})")
            setting = "training.batch_size"
        if not training.gradient_checkpointing:
            advice.insert(0, "switch on gradient checkpointing")
            setting = "training.gradient_checkpointing"
    hint = ", or ".join(advice)
    where = "GPU" if is_of_gpu(error) else "computer"
    return Problem(
        code="out_of_memory",
        title=f"The {where}'s memory is not enough for these settings.",
        hint=hint[:1].upper() + hint[1:] + "." if hint else "Close other programs.",
        setting=setting,
    )
