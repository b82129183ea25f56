"""Paths of more than 260 characters on Windows, for every library and every call alike."""

from __future__ import annotations

import sys

# Byte and bit of the process environment block that say that the program takes long paths.
_FLAGS, _TAKES_LONG_PATHS = 3, 0x80


def allow_long_paths() -> None:
    r"""Let this process use paths of any length on Windows; elsewhere do nothing.

    Python says in its manifest that it takes long paths, and Windows heeds that only where an
    administrator has set LongPathsEnabled. The flag that the two lead to can be set by the process
    itself, as Go's runtime does for every program (golang/go, runtime/os_windows.go,
    initLongPathSupport; Windows 10 version 1703 and later). With it nobody has to put `\\?\` in
    front of a path, which each library would do for some calls and not for others.
    """
    if sys.platform == "win32":
        import ctypes

        block = ctypes.windll.ntdll.RtlGetCurrentPeb
        block.restype = ctypes.c_void_p
        flags = ctypes.c_ubyte.from_address(block() + _FLAGS)
        flags.value |= _TAKES_LONG_PATHS
