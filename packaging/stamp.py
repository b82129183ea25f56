"""Whether `.venv` is what this checkout needs: a hash compared, nothing heavy imported.

Every start comes through here, so it only uses what costs a few milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

STAMP_NAME = "limner-setup.json"
LOCK_FILES = ("packaging/constraints.txt", "packaging/constraints-cuda.txt", "pyproject.toml")


def venv_python(venv: Path) -> Path:
    """The environment's interpreter."""
    if sys.platform == "win32":
        return venv / "Scripts" / "python.exe"
    return venv / "bin" / "python"


def expected_stamp(root: Path) -> dict[str, str]:
    """What the stamp must hold: the Python that made it, and a hash of all that was installed.

    The checkout's path belongs to it: an environment does not survive being moved.
    """
    digest = hashlib.sha256()
    for part in (str(root), os.environ.get("LIMNER_TORCH_INDEX", "")):
        digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
    for name in LOCK_FILES:
        digest.update((root / name).read_bytes() + b"\0")
    version = "{}-{}.{}".format(sys.implementation.name, *sys.version_info[:2])
    return {"python": version, "packages": digest.hexdigest()}


def graphics_drivers() -> list[str]:
    """The drivers of graphics cards that torch has a build for: "nvidia", "amd"; quick to ask."""
    if sys.platform == "win32":
        system = Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32")
        return ["nvidia"] if (system / "nvcuda.dll").exists() else []
    found = {"nvidia": "/proc/driver/nvidia/version", "amd": "/dev/kfd"}
    return [name for name, path in found.items() if os.path.exists(path)]


def base_is_there(venv: Path) -> bool:
    """Whether the Python that the environment was made from is still where it was.

    pyvenv.cfg names its folder as `home`.
    """
    try:
        lines = (venv / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    homes = [
        line.partition("=")[2].strip() for line in lines if line.split("=")[0].strip() == "home"
    ]
    name = "python.exe" if sys.platform == "win32" else ""
    return bool(homes) and os.path.exists(os.path.join(homes[0], name))


def read_stamp(venv: Path) -> dict[str, Any]:
    """The stamp of an environment; {} when there is none or it cannot be read."""
    try:
        state = json.loads((venv / STAMP_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def is_ready(root: Path, kind: str) -> bool:
    """Whether the environment below `root` was finished for `kind` with these very versions."""
    venv = root / ".venv"
    state = read_stamp(venv)
    if not state:
        return False
    wanted = expected_stamp(root)
    return (
        state.get("python") == wanted["python"]
        and state.get(kind) == wanted["packages"]
        and set(graphics_drivers()) <= set(state.get("drivers", ()))
        and venv_python(venv).exists()
        and base_is_there(venv)
    )
