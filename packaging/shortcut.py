"""An entry for Limner in Windows' start menu: the window without a console."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

# Values come by environment variables, so that no name needs quoting.
_SCRIPT = (
    "$link = (New-Object -ComObject WScript.Shell).CreateShortcut($env:LIMNER_LINK); "
    "$link.TargetPath = $env:LIMNER_TARGET; "
    "$link.Arguments = $env:LIMNER_ARGUMENTS; "
    "$link.WorkingDirectory = $env:LIMNER_FOLDER; "
    "$link.IconLocation = $env:LIMNER_ICON; "
    "$link.Description = 'Teach image models new subjects and styles'; "
    "$link.Save()"
)


def shortcut_values(root: Path, environ: Mapping[str, str]) -> dict[str, str] | None:
    """What the script needs, by variable; None without a start menu to put it into."""
    programs = environ.get("APPDATA", "")
    if not programs:
        return None
    menu = Path(programs, "Microsoft", "Windows", "Start Menu", "Programs")
    return {
        "LIMNER_LINK": str(menu / "Limner.lnk"),
        "LIMNER_TARGET": str(root / ".venv" / "Scripts" / "pythonw.exe"),
        "LIMNER_ARGUMENTS": f'"{root / "packaging" / "bootstrap.py"}"',
        "LIMNER_FOLDER": str(root),
        "LIMNER_ICON": str(root / "resources" / "icons" / "limner.ico"),
    }


def make_shortcut(root: Path) -> bool:
    """Make or renew the entry; whether it is there now. Elsewhere than on Windows: False."""
    if sys.platform != "win32":
        return False
    values = shortcut_values(root, os.environ)
    if values is None:
        return False
    try:
        done = subprocess.run(
            ["powershell", "-NoProfile", "-NonInteractive", "-Command", _SCRIPT],
            env={**os.environ, **values},
            capture_output=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
