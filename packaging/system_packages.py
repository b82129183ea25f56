"""System packages that set-up needs: installed where it may (root under apt), named elsewhere."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

import qt_libraries
from environment import SetupError, say


def may_install() -> bool:
    """Whether this process may install system packages itself: root, under apt."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return is_root and qt_libraries.package_manager(shutil.which) == "apt"


def apt_install(packages: Sequence[str]) -> bool:
    """Install packages with apt-get, as root; whether that worked."""
    say(f"Installing system packages: {' '.join(packages)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # Lists may be missing (a fresh container) or old; where they cannot be had, try without.
    subprocess.run(["apt-get", "update", "-qq"], env=env, stdout=sys.stderr)
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    return subprocess.run(command, env=env, stdout=sys.stderr).returncode == 0


def provide_venv_module() -> None:
    """Make sure that Python can make environments; SetupError names the command otherwise."""
    if importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip"):
        return
    package = "python{}.{}-venv".format(*sys.version_info[:2])
    if may_install() and apt_install([package]):
        importlib.invalidate_caches()
        if importlib.util.find_spec("ensurepip"):
            return
    raise SetupError(f"Python's venv module is missing; please run: sudo apt-get install {package}")


def provide_qt_libraries(environ: Mapping[str, str]) -> None:
    """Make sure that Qt's system libraries are there; SetupError names what is missing.

    `environ` holds the variables that choose Qt's platform.
    """
    missing = qt_libraries.missing_libraries(environ)
    if not missing:
        return
    if may_install() and apt_install(qt_libraries.packages_for(missing, "apt")):
        missing = qt_libraries.missing_libraries(environ)
    if missing:
        manager = qt_libraries.package_manager(shutil.which)
        raise SetupError(qt_libraries.missing_message(missing, manager))
