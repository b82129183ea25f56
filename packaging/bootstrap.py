"""Set Limner up and start it: what start.sh and start.bat call. Standard library only.

    bootstrap.py                 open the window
    bootstrap.py test [ARGS]     format, lint, types, tests; ARGS go to pytest
    bootstrap.py --relock        write the lock files in packaging/ again
    bootstrap.py ARGS            anything else goes to Limner's command line

The first start makes `.venv` beside this folder; later ones compare one hash and go on.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Read by Python 3.8 too, so that an old one gets a sentence and no traceback.
OLDEST, NEWEST = (3, 11), (3, 13)
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
if str(HERE) not in sys.path:
    # PYTHONSAFEPATH, which Limner sets for itself, leaves the script's own folder out.
    sys.path.insert(0, str(HERE))

NO_DISPLAY = (
    "There is no display to open the window on; `./start.sh demo` trains the demo LoRA in the "
    "terminal and `./start.sh --help` lists the other commands."
)


def check_python(version: tuple[int, ...]) -> str:
    """A sentence when this Python (major, minor, ...) cannot run Limner, '' when it can."""
    if OLDEST <= tuple(version[:2]) <= NEWEST:
        return ""
    return (
        "Limner needs Python 3.11, 3.12 or 3.13, and this is {}.{}; please install one of them "
        "and start again.".format(*version[:2])
    )


def has_display(platform: str, environ: dict[str, str]) -> bool:
    """Whether the window can open, by the same rule as app/__main__.py, before any set-up."""
    if platform in ("win32", "darwin"):
        return True
    return any(environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))


def start_environment(root: Path) -> dict[str, str]:
    """The environment variables for Limner itself and the worker that it starts."""
    env = dict(os.environ)
    for name in ("PYTHONHOME", "PYTHONPATH"):
        env.pop(name, None)
    env["PYTHONUTF8"] = "1"
    # `python -m` would look for `app` and `core` in the folder one happens to be in.
    env["PYTHONSAFEPATH"] = "1"
    env["VIRTUAL_ENV"] = str(root / ".venv")
    return env


def replace_process(command: list[str], env: dict[str, str]) -> int:
    """Go on as `command`. Only Windows comes back, with its exit code."""
    if sys.platform != "win32":
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(command[0], command, env)
    import signal
    import subprocess

    # Windows cannot replace a process. Ctrl-C goes to the program, which knows how to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return subprocess.call(command, env=env)


def tell(text: str) -> None:
    """Say something on the console, or in a message box where there is none (a shortcut)."""
    if sys.stderr is not None:
        print(text, file=sys.stderr)
    elif sys.platform == "win32":
        import ctypes

        ctypes.windll.user32.MessageBoxW(None, text, "Limner", 0x10)


def open_window(root: Path, env: dict[str, str]) -> int:
    """Start the window without a console on Windows; returns once it is there, or its exit code.

    The window makes the file that LIMNER_READY_FILE names when it is shown. What it says before,
    why it cannot open for instance, comes out here.
    """
    import subprocess
    import tempfile
    import time

    from stamp import venv_python

    python = venv_python(root / ".venv").with_name("pythonw.exe")
    with tempfile.TemporaryDirectory(prefix="limner-", ignore_cleanup_errors=True) as folder:
        ready, said = Path(folder, "ready"), Path(folder, "said")
        with open(said, "wb") as file:
            process = subprocess.Popen(
                [str(python), "-m", "app"],
                env={**env, "LIMNER_READY_FILE": str(ready)},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                # Closing the console must not end the window.
                creationflags=getattr(subprocess, "DETACHED_PROCESS", 0)
                | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        while process.poll() is None:
            if ready.exists():
                return 0
            time.sleep(0.05)
        tell(said.read_text(encoding="utf-8", errors="replace").strip())
        return process.returncode


def leave_environment(root: Path) -> None:
    """Go on with the Python that `.venv` was made from, if this is the one inside it.

    start.sh uses the environment's Python because it starts fastest; set-up may replace it.
    """
    if sys.prefix == sys.base_prefix or Path(sys.prefix) != root / ".venv":
        return
    base = getattr(sys, "_base_executable", None)
    if base and base != sys.executable:
        sys.exit(replace_process([base, os.path.abspath(__file__), *sys.argv[1:]], {**os.environ}))


def prepare(root: Path, kind: str, qt_environ: dict[str, str] | None) -> None:
    """Make everything ready for `kind` ("app" or "test"); quick when it already is.

    `qt_environ` holds the variables that choose Qt's platform, or None when Qt is not used.
    """
    from stamp import is_ready

    if not is_ready(root, kind):
        leave_environment(root)
        import system_packages
        from environment import set_up

        system_packages.provide_venv_module()
        set_up(root, kind)
    if qt_environ is not None and sys.platform.startswith("linux"):
        import system_packages

        system_packages.provide_qt_libraries(qt_environ)


def open_from_shortcut() -> int:
    """Open the window without any console; where set-up has work to do, open one for it."""
    from stamp import is_ready

    if not is_ready(ROOT, "app"):
        os.startfile(str(ROOT / "start.bat"))  # type: ignore[attr-defined,unused-ignore]
        return 0
    return open_window(ROOT, start_environment(ROOT))


def run(arguments: list[str]) -> int:
    """Do what the arguments ask for; returns the exit code where the process is not replaced."""
    if arguments[:1] == ["--relock"]:
        from relock import relock

        return relock(ROOT)
    if arguments[:1] == ["test"]:
        environ = {"QT_QPA_PLATFORM": "offscreen", **os.environ}
        prepare(ROOT, "test", environ)
        from checks import run_checks

        env = start_environment(ROOT)
        env.setdefault("QT_QPA_PLATFORM", "offscreen")
        return run_checks(ROOT, arguments[1:], env)
    window = not arguments
    if window and not has_display(sys.platform, dict(os.environ)):
        print(NO_DISPLAY, file=sys.stderr)
        return 2
    if window and sys.stderr is None:
        return open_from_shortcut()
    prepare(ROOT, "app", dict(os.environ) if window else None)
    if window and sys.platform == "win32":
        return open_window(ROOT, start_environment(ROOT))
    from stamp import venv_python

    command = [str(venv_python(ROOT / ".venv")), "-m", "app", *arguments]
    return replace_process(command, start_environment(ROOT))


def main() -> int:
    """Run, and turn what goes wrong in set-up into one sentence. 2: set-up failed, 130: Ctrl-C."""
    problem = check_python(tuple(sys.version_info[:2]))
    if problem:
        tell(problem)
        return 2
    for stream in (sys.stdout, sys.stderr):
        # A path that the terminal cannot show must not stop the set-up.
        if stream is not None:  # a start without a console has none
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        return run(sys.argv[1:])
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except RuntimeError as error:
        if type(error).__name__ not in ("SetupError", "PipError"):
            raise
        tell(str(error))
        return 2


if __name__ == "__main__":
    sys.exit(main())
