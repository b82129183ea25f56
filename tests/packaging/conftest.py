"""A small project folder with a set-up that installs nothing, to test the real set-up around it."""

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"

# Stands in for `.venv/bin/python`: writes down how it was called, and what for.
STUB_PYTHON = """\
#!/bin/sh
{
    for word in "$@"; do printf '%s\\t' "$word"; done
    printf 'utf8=%s safe=%s qt=%s cwd=%s\\n' \\
        "$PYTHONUTF8" "$PYTHONSAFEPATH" "$QT_QPA_PLATFORM" "$PWD"
} >> "$STUB_LOG"
case "$*" in
    *"$STUB_HANG_ON"*) [ -z "$STUB_HANG_ON" ] || sleep 60 ;;
esac
case "$*" in
    *"$STUB_FAIL_ON"*) [ -z "$STUB_FAIL_ON" ] || { echo "$STUB_ERROR" >&2; exit 1; } ;;
esac
"""

# Runs the real `set_up`; only the making of the empty environment is replaced.
DRIVER = """\
import os, sys
from pathlib import Path
sys.path.insert(0, {packaging!r})
import environment

def make_venv(venv):
    venv.mkdir()
    environment.write_stamp(venv, {{"state": environment.UNFINISHED}})
    home = os.path.dirname(sys.executable)
    (venv / "pyvenv.cfg").write_text("home = " + home + "\\n", encoding="utf-8")
    (venv / "bin").mkdir()
    python = venv / "bin" / "python"
    python.write_text({stub!r})
    python.chmod(0o755)

environment.make_venv = make_venv
environment.ask = lambda *command: ""
try:
    environment.set_up(Path(sys.argv[1]), sys.argv[2])
except environment.SetupError as error:
    sys.exit(str(error))
"""


class Project:
    """A project folder under a name with spaces and Chinese letters, and its call log."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "Limner 设置 a"
        (self.root / "packaging").mkdir(parents=True)
        for path in PACKAGING.glob("*.py"):
            shutil.copy(path, self.root / "packaging")
        for name in ("constraints.txt", "constraints-cuda.txt"):
            shutil.copy(PACKAGING / name, self.root / "packaging")
        for name in ("pyproject.toml", "start.sh"):
            shutil.copy(PACKAGING.parent / name, self.root)
        self.log = folder / "calls.txt"
        self.driver = folder / "driver.py"
        text = DRIVER.format(packaging=str(self.root / "packaging"), stub=STUB_PYTHON)
        self.driver.write_text(textwrap.dedent(text), encoding="utf-8")

    def environ(self, base, **named):
        """The environment variables `base` with those of the stub."""
        stub = {"STUB_LOG": str(self.log), "STUB_HANG_ON": "", "STUB_FAIL_ON": "", "STUB_ERROR": ""}
        return {**base, **stub, **named}

    def start_set_up(self, base, kind="app", **named):
        """Start the set-up as a process of its own."""
        return subprocess.Popen(
            [sys.executable, str(self.driver), str(self.root), kind],
            env=self.environ(base, **named),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        )

    def set_up(self, base, kind="app", **named):
        """Run the set-up; returns its exit code and what it said."""
        process = self.start_set_up(base, kind, **named)
        _out, said = process.communicate(timeout=60)
        return process.returncode, said

    def calls(self):
        """What the environment's Python was called with, one line a call."""
        return self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []


@pytest.fixture
def project(tmp_path):
    """A project folder that is not set up."""
    if sys.platform == "win32":
        pytest.skip("the stand-in for Python is a shell script")
    return Project(tmp_path)
