"""Keeping the computer awake while it works; Windows sleeps after a time without any input."""

from __future__ import annotations

import sys

_SYSTEM_REQUIRED = 0x00000001


def stay_awake() -> None:
    """Begin the time after which Windows sleeps from the start; to be called every few seconds.

    Without ES_CONTINUOUS the call holds for once, so whoever pauses or ends need not take it back.
    """
    if sys.platform == "win32":
        import ctypes

        ctypes.windll.kernel32.SetThreadExecutionState(_SYSTEM_REQUIRED)
