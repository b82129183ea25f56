"""What is told when work ends unexpectedly, as Windows and its libraries word it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from core.captioning.client import CaptionWorker
from core.runs.folder import RunFolder
from core.worker import main
from core.worker.client import why_it_died
from core.worker.failures import manner_of_end, problem_of


def windows_error(number: int, words: str = "") -> OSError:
    """As Python raises it on Windows, which has no errno of these numbers."""
    error = OSError(22, words or f"[WinError {number}]")
    error.winerror = number  # type: ignore[attr-defined,unused-ignore]
    return error


def caused_by(error: Exception) -> RuntimeError:
    outer = RuntimeError("could not go on")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (windows_error(1455, "Die Auslagerungsdatei ist zu klein"), "out_of_memory", "paging"),
        (
            SafetensorError("Error: The paging file is too ... (os error 1455)"),
            "out_of_memory",
            "p",
        ),
        (caused_by(windows_error(1455)), "out_of_memory", "paging"),
        (SafetensorError("IoError: There is not enough space (os error 112)"), "disk_full", "full"),
        (windows_error(112), "disk_full", "full"),
        (windows_error(39), "disk_full", "full"),
        (
            OSError(
                '[WinError 126] The specified module could not be found. Error loading "c10.d"'
            ),
            "library_not_loaded",
            "C++ runtime",
        ),
        (windows_error(1114), "library_not_loaded", "C++ runtime"),
        (ImportError("DLL load failed while importing _C"), "library_not_loaded", "C++ runtime"),
        (SafetensorError("something else (os error 1121)"), "internal_error", "error inside"),
        (ImportError("No module named bitsandbytes"), "internal_error", "error inside"),
    ],
)
def test_the_failures_of_windows_are_told_in_words(
    error: Exception, code: str, words: str, tmp_path: Path
) -> None:
    problem = problem_of(error, None, RunFolder(tmp_path))
    assert problem.code == code
    assert words in problem.title
    assert problem.hint or code == "internal_error"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0xC0000005, "crashed (access violation, 0xC0000005)"),
        (0xC0000409, "crashed (emergency stop, 0xC0000409)"),
        (0xC0000017, "memory ran out (0xC0000017)"),
        (0xC000012D, "memory ran out (0xC000012D)"),
        (0xC0000135, "Visual C++"),
        (0x40010004, "at sign-out or shutdown"),
        (0xC000013A, "its console was closed"),
        (0xC0000999, "ended unexpectedly with code 0xC0000999"),
        (7, "ended unexpectedly with code 7"),
        (-9, "was killed"),
        (None, "without a last word"),
    ],
)
def test_an_exit_code_is_told_in_words(code: int | None, words: str, tmp_path: Path) -> None:
    assert words in why_it_died(RunFolder(tmp_path), code).title


def test_the_code_of_the_task_manager_is_known_from_that_of_a_python_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert manner_of_end(1) == "ended unexpectedly with code 1"
    monkeypatch.setattr(sys, "platform", "win32")
    assert "Task Manager" in manner_of_end(1)
    report = ["Traceback (most recent call last):", '  File "x.py", line 1', "ImportError: y"]
    assert manner_of_end(1, report) == "ended unexpectedly with code 1"


def test_a_captioning_process_ends_in_the_same_words() -> None:
    worker = CaptionWorker([sys.executable, "-c", "import os; os._exit(7)"])
    assert worker.why_it_died().title == ("The captioning process ended unexpectedly with code 7.")


def test_the_log_is_opened_without_windows_line_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(path: Path, flags: int, mode: int) -> int:
        asked.append(flags)
        raise PermissionError

    monkeypatch.setattr(os, "O_BINARY", 1 << 28, raising=False)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError):
        main._log_to(tmp_path / "log.txt")
    assert asked[0] & 1 << 28
