"""What set-up must know about Windows before it downloads anything: each check is one sentence.

Pure functions of what the system says, so that they are tested everywhere.
"""

from __future__ import annotations

import ntpath
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# torch's longest file below `.venv\Lib\site-packages` has 173 characters, its drive counted off.
LONGEST_PACKAGE_FILE = len(r"\.venv\Lib\site-packages") + 174
MAX_PATH = 260
RUNTIME = ("msvcp140.dll", "vcruntime140.dll", "vcruntime140_1.dll")
SYNCED = ("OneDrive", "OneDriveConsumer", "OneDriveCommercial")


def store_python(prefix: str) -> str:
    """A sentence where this Python is the Microsoft Store's, else "".

    It keeps what programs save in a hidden folder of its own, which goes with the next version.
    """
    parts = {part.lower() for part in prefix.replace("/", "\\").split("\\")}
    if "windowsapps" in parts or any(p.startswith("pythonsoftwarefoundation.") for p in parts):
        return (
            "This Python comes from the Microsoft Store, which hides the files that programs save; "
            "please install Python 3.12 from python.org and start again."
        )
    return ""


def long_path(root: str, allowed: bool) -> str:
    """A sentence where packages below `root` would exceed Windows' limit for paths, else "".

    allowed: whether the system permits longer ones.
    """
    most = MAX_PATH - 1 - LONGEST_PACKAGE_FILE
    if allowed or len(root) <= most:
        return ""
    return (
        f"The folder {root} is too deep for Windows: its path has {len(root)} characters, and "
        f"Limner's packages leave room for {most}; please move the folder, for instance to "
        "C:\\Limner, and start again."
    )


def synced_folder(root: str, environ: Mapping[str, str]) -> str:
    """A sentence where `root` lies in a OneDrive folder, else ""."""
    for name in SYNCED:
        top = environ.get(name, "")
        if top and (ntpath.normcase(root) + "\\").startswith(
            ntpath.normcase(top).rstrip("\\") + "\\"
        ):
            return (
                f"The folder {root} is inside OneDrive, which would upload Limner's 5 GB of "
                "packages and lock them while it does; please move the folder, for instance to "
                "C:\\Limner, and start again."
            )
    return ""


def missing_runtime(names: Sequence[str]) -> str:
    """A sentence where Microsoft's C++ runtime is incomplete. names: files of System32."""
    there = {name.lower() for name in names}
    if all(name in there for name in RUNTIME):
        return ""
    return (
        "Microsoft's C++ runtime is missing, without which torch cannot be loaded; please install "
        "the Microsoft Visual C++ Redistributable (x64) from microsoft.com and start again."
    )


def problem(
    root: str,
    prefix: str,
    environ: Mapping[str, str],
    long_paths: bool,
    system_files: Sequence[str],
) -> str:
    """The first sentence that stands against a set-up below `root`, "" for none."""
    return (
        store_python(prefix)
        or long_path(root, long_paths)
        or synced_folder(root, environ)
        or missing_runtime(system_files)
    )


def check(root: Path, fail: Callable[[str], Exception]) -> None:
    """Raise `fail(sentence)` where this Windows cannot be set up as it is; elsewhere do nothing."""
    if sys.platform != "win32":
        return
    system = Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32")
    names = [name for name in RUNTIME if (system / name).exists()]
    sentence = problem(str(root), sys.base_prefix, os.environ, _long_paths(), names)
    if sentence:
        raise fail(sentence)


def _long_paths() -> bool:
    """Whether the registry permits paths of more than 260 characters."""
    if sys.platform != "win32":
        return True
    import winreg

    try:
        place = r"SYSTEM\CurrentControlSet\Control\FileSystem"
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as key:
            return bool(winreg.QueryValueEx(key, "LongPathsEnabled")[0])
    except OSError:
        return False
