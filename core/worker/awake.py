"""Keeping the computer on while it works: no sleep, and the last to go when Windows shuts down."""

from __future__ import annotations

import sys

_SYSTEM_REQUIRED = 0x00000001
# The range for programs that are to be ended last; others have 0x280.
_LAST = 0x100


def stay_awake() -> None:
    """Begin the time after which Windows sleeps from the start; to be called every few seconds.

    Without ES_CONTINUOUS the call holds for once, so whoever pauses or ends need not take it back.
    """
    if sys.platform == "win32":
        import ctypes

        ctypes.windll.kernel32.SetThreadExecutionState(_SYSTEM_REQUIRED)


def end_last() -> None:
    """Let Windows end this process after all others at sign-out and shutdown.

    The window is asked first, and holds the shutdown until this process has saved its checkpoint.
    """
    if sys.platform == "win32":
        import ctypes

        ctypes.windll.kernel32.SetProcessShutdownParameters(_LAST, 0)
