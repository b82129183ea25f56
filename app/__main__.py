"""Entry point: without arguments the window opens, arguments go to the command line.

It stays light: `limner --help` must not load Qt, the window must not load torch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.cli.cull import Wish

NO_DISPLAY = (
    "There is no display to open the window on; `limner demo` trains the demo LoRA in the "
    "terminal and `limner --help` lists the other commands."
)


def has_display(platform: str, environ: Mapping[str, str]) -> bool:
    """Whether a window can open, judged by `sys.platform` and the environment variables.

    Only Linux (and other X11/Wayland systems) tells by variables; a value in QT_QPA_PLATFORM
    is taken as the user's own choice.
    """
    if platform in ("win32", "darwin"):
        return True
    return any(environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))


def can_show(without_display: str) -> bool:
    """Whether a window can open; otherwise says why on the standard error stream."""
    if not has_display(sys.platform, os.environ):
        print(without_display, file=sys.stderr)
        return False
    try:
        import PySide6.QtWidgets  # noqa: F401  (its system libraries, before our own modules)
    except ImportError as error:
        print(f"The window needs Qt, which could not be loaded: {error}.", file=sys.stderr)
        return False
    return True


def show_viewer(wish: Wish) -> int:
    """Open the culling viewer and stay until it is closed; returns the process's exit code."""
    if not can_show("There is no display to show pictures on."):
        return 2
    from app.viewer.run import run_viewer

    return run_viewer(wish)


def _log_to_file() -> None:
    """Give a process without a console (pythonw) a file for what it would say there."""
    from core.paths import user_data_dir

    place = user_data_dir() / "window.log"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        log = open(place, "w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
    except OSError:
        log = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stdout = sys.stdout or log
    sys.stderr = log


def main() -> int:
    """Open the window or run a command; returns the process's exit code.

    2 means that there is no display, or that Qt's system libraries are missing.
    """
    arguments = sys.argv[1:]
    if sys.stderr is None:
        _log_to_file()
    if arguments:
        if "cull" in arguments:
            from core.cli import cull

            cull.opener = show_viewer
        else:
            from core.printable import keep_libraries_off_stderr

            keep_libraries_off_stderr()
        from core.cli import main as run_command

        return run_command(arguments)
    if not can_show(NO_DISPLAY):
        return 2
    from app.window import run_window

    return run_window(sys.argv)


if __name__ == "__main__":
    sys.exit(main())
