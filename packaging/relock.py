"""Write the lock files again: `python packaging/bootstrap.py --relock`.

pip resolves the whole project with all extras in an empty environment and reports what it would
install; nothing is installed. Run it where pip reaches the public package index: a build of torch
for the CPU only would not name the CUDA libraries.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from environment import (
    CONSTRAINTS,
    CUDA_CONSTRAINTS,
    SetupError,
    base_python,
    explain_pip_failure,
    say,
    setup_environment,
)
from stamp import venv_python

# Needed on Windows alone, so that a resolution elsewhere may not see it.
OTHER_SYSTEMS = ("colorama",)
CUDA_NAME = re.compile(r"(nvidia|cuda|triton)(-|$)")

HEAD = """\
# {what}
# Regenerate: python packaging/bootstrap.py --relock
# (pip resolves pyproject.toml with all extras in an empty environment; the names are complete,
# what depends on what included. Ranges belong into pyproject.toml, exact versions only here.)
"""
WHAT = "The exact versions that Limner's set-up installs (pip constraints)."
WHAT_CUDA = "The same for the libraries of the plain torch package on Linux (CUDA 13.0)."


def normalized(name: str) -> str:
    """A package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def all_requirements(pyproject: dict[str, Any]) -> list[str]:
    """The project's dependencies with those of every extra and of the build, each once."""
    project = pyproject["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    groups += [pyproject["build-system"]["requires"], OTHER_SYSTEMS]
    return list(dict.fromkeys(line for group in groups for line in group))


def pins_from_report(report: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Name to version from pip's installation report: (all but CUDA's libraries, CUDA's).

    The local part of a version ("2.13.0+cpu") is dropped: every build of it satisfies the pin.
    """
    common: dict[str, str] = {}
    cuda: dict[str, str] = {}
    for item in report["install"]:
        name = normalized(item["metadata"]["name"])
        version = item["metadata"]["version"].split("+")[0]
        (cuda if CUDA_NAME.match(name) else common)[name] = version
    return common, cuda


def lock_text(what: str, pins: dict[str, str]) -> str:
    """The text of a lock file."""
    lines = [f"{name}=={version}\n" for name, version in sorted(pins.items())]
    return HEAD.format(what=what) + "".join(lines)


def resolve(root: Path) -> dict[str, Any]:
    """pip's report on what it would install; SetupError when it finds no solution."""
    pyproject = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="limner-relock-") as folder:
        venv, report = Path(folder) / "venv", Path(folder) / "report.json"
        env = setup_environment()
        subprocess.run([base_python(), "-m", "venv", str(venv)], check=True, env=env)
        pip = [str(venv_python(venv)), "-m", "pip", "install", "--dry-run", "--ignore-installed"]
        command = [*pip, "--quiet", "--report", str(report), *all_requirements(pyproject)]
        done = subprocess.run(
            command, env=env, stderr=subprocess.PIPE, encoding="utf-8", errors="replace"
        )
        if done.returncode:
            sys.stderr.write(done.stderr)
            raise SetupError(explain_pip_failure(done.stderr.splitlines(), venv))
        return json.loads(report.read_text(encoding="utf-8"))


def replace_text(path: Path, text: str) -> None:
    """Write a file under a temporary name and rename it."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    temporary.replace(path)


def relock(root: Path) -> int:
    """Write both lock files; returns the exit code."""
    common, cuda = pins_from_report(resolve(root))
    replace_text(root / CONSTRAINTS, lock_text(WHAT, common))
    say(f"{CONSTRAINTS}: {len(common)} packages.")
    if cuda:
        replace_text(root / CUDA_CONSTRAINTS, lock_text(WHAT_CUDA, cuda))
        say(f"{CUDA_CONSTRAINTS}: {len(cuda)} packages.")
    else:
        say(f"{CUDA_CONSTRAINTS} stays as it is: the torch found here has no CUDA libraries.")
    return 0
