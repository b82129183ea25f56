"""`start.sh test`: formatting, lint, types and tests, all of them, with one verdict."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from environment import say
from stamp import venv_python

# One process for each of a small machine's two cores; a file's tests share what they have loaded.
# Files stay in order, because reordered by their number of tests the longest would come last.
_WHOLE_SUITE = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")


def check_commands(
    python: str, pytest_arguments: Sequence[str], cache: str | None
) -> dict[str, list[str]]:
    """The commands to run by the name they are reported under, in order.

    Without arguments pytest runs everything, in two processes. `cache` is a folder for the tools'
    caches when the checkout cannot be written, else None.
    """
    pytest = [python, "-m", "pytest", *(pytest_arguments or _WHOLE_SUITE)]
    if cache:
        pytest += ["-p", "no:cacheprovider"]
    return {
        "ruff format": [python, "-m", "ruff", "format", "--check", "."],
        "ruff check": [python, "-m", "ruff", "check", "."],
        "mypy": [python, "-m", "mypy"],
        "pytest": pytest,
    }


def run_checks(root: Path, pytest_arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run every check in `root`, also after one failed; returns 0 when all passed, else 1."""
    env = dict(environ)
    failed = []
    with tempfile.TemporaryDirectory(prefix="limner-checks-") as temporary:
        cache = None if os.access(root, os.W_OK) else temporary
        if cache:
            env.update(RUFF_CACHE_DIR=f"{cache}/ruff", MYPY_CACHE_DIR=f"{cache}/mypy")
        python = str(venv_python(root / ".venv"))
        for name, command in check_commands(python, pytest_arguments, cache).items():
            say(f"== {name}")
            if subprocess.run(command, cwd=root, env=env).returncode:
                failed.append(name)
    sys.stdout.flush()
    say(f"Failed: {', '.join(failed)}." if failed else "All checks passed.")
    return 1 if failed else 0
