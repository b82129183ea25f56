"""Which system libraries Qt misses on Linux, and the command that installs them.

PySide6's wheels bring Qt itself but link against these. Only the window and the tests need them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple


class Library(NamedTuple):
    """A shared library and the packages that hold it in Debian, Fedora and Arch."""

    soname: str
    apt: str
    dnf: str
    pacman: str


# Linked by QtGui and QtWidgets themselves: nothing works without them.
BASE = (
    Library("libEGL.so.1", "libegl1", "libglvnd-egl", "libglvnd"),
    Library("libGL.so.1", "libgl1", "libglvnd-glx", "libglvnd"),
    Library("libX11.so.6", "libx11-6", "libX11", "libx11"),
    Library("libxkbcommon.so.0", "libxkbcommon0", "libxkbcommon", "libxkbcommon"),
    Library("libdbus-1.so.3", "libdbus-1-3", "dbus-libs", "dbus"),
    Library("libfontconfig.so.1", "libfontconfig1", "fontconfig", "fontconfig"),
    Library("libfreetype.so.6", "libfreetype6", "freetype", "freetype2"),
    Library("libglib-2.0.so.0", "libglib2.0-0", "glib2", "glib2"),
    Library("libgthread-2.0.so.0", "libglib2.0-0", "glib2", "glib2"),
)
# Linked by the plugin that draws on an X server.
XCB = (
    Library("libX11-xcb.so.1", "libx11-xcb1", "libX11-xcb", "libx11"),
    Library("libxkbcommon-x11.so.0", "libxkbcommon-x11-0", "libxkbcommon-x11", "libxkbcommon-x11"),
    Library("libxcb-cursor.so.0", "libxcb-cursor0", "xcb-util-cursor", "xcb-util-cursor"),
    Library("libxcb-icccm.so.4", "libxcb-icccm4", "xcb-util-wm", "xcb-util-wm"),
    Library("libxcb-image.so.0", "libxcb-image0", "xcb-util-image", "xcb-util-image"),
    Library("libxcb-keysyms.so.1", "libxcb-keysyms1", "xcb-util-keysyms", "xcb-util-keysyms"),
    Library(
        "libxcb-render-util.so.0",
        "libxcb-render-util0",
        "xcb-util-renderutil",
        "xcb-util-renderutil",
    ),
    Library("libxcb-util.so.1", "libxcb-util1", "xcb-util", "xcb-util"),
    Library("libxcb-randr.so.0", "libxcb-randr0", "libxcb", "libxcb"),
    Library("libxcb-shape.so.0", "libxcb-shape0", "libxcb", "libxcb"),
    Library("libxcb-shm.so.0", "libxcb-shm0", "libxcb", "libxcb"),
    Library("libxcb-sync.so.1", "libxcb-sync1", "libxcb", "libxcb"),
    Library("libxcb-xfixes.so.0", "libxcb-xfixes0", "libxcb", "libxcb"),
    Library("libxcb-xinerama.so.0", "libxcb-xinerama0", "libxcb", "libxcb"),
    Library("libxcb-xkb.so.1", "libxcb-xkb1", "libxcb", "libxcb"),
)
# Linked by the plugin that draws on a Wayland compositor.
WAYLAND = (
    Library("libwayland-client.so.0", "libwayland-client0", "libwayland-client", "wayland"),
    Library("libwayland-cursor.so.0", "libwayland-cursor0", "libwayland-cursor", "wayland"),
)
# Without any font every letter is an empty box. The "soname" is what people are told.
FONT = Library("a font", "fonts-dejavu-core", "dejavu-sans-fonts", "ttf-dejavu")
APT_EXTRAS = ("fontconfig",)

COMMANDS = {
    "apt": "apt-get install --no-install-recommends",
    "dnf": "dnf install",
    "pacman": "pacman -S --needed",
}


def needed_libraries(environ: Mapping[str, str]) -> tuple[Library, ...]:
    """The libraries that the Qt platform of this session links against."""
    name = environ.get("QT_QPA_PLATFORM", "").split(":")[0].split(";")[0]
    if not name:
        # Qt itself prefers Wayland where the session offers it.
        name = "wayland" if environ.get("WAYLAND_DISPLAY") else "xcb"
    extra = {"xcb": XCB, "wayland": WAYLAND}.get(name, ())
    return BASE + extra


def can_load(soname: str) -> bool:
    """Whether the system's loader finds the library `soname`."""
    import ctypes

    try:
        ctypes.CDLL(soname)
    except OSError:
        return False
    return True


def has_fonts(folders: tuple[Path, ...] | None = None) -> bool:
    """Whether any outline font lies in the usual folders."""
    if folders is None:
        home = Path(os.path.expanduser("~"))
        folders = (
            Path("/usr/share/fonts"),
            Path("/usr/local/share/fonts"),
            home / ".local/share/fonts",
            home / ".fonts",
        )
    for folder in folders:
        for _root, _folders, files in os.walk(folder):
            if any(f.lower().endswith((".ttf", ".otf", ".ttc", ".pfb")) for f in files):
                return True
    return False


def missing_libraries(
    environ: Mapping[str, str],
    loads: Callable[[str], bool] = can_load,
    fonts: Callable[[], bool] = has_fonts,
) -> list[Library]:
    """What Qt needs in this session and the system lacks, in a fixed order."""
    missing = [library for library in needed_libraries(environ) if not loads(library.soname)]
    if not fonts():
        missing.append(FONT)
    return missing


def package_manager(which: Callable[[str], str | None]) -> str | None:
    """'apt', 'dnf' or 'pacman', whichever this system has; None for another system."""
    for name, program in (("apt", "apt-get"), ("dnf", "dnf"), ("pacman", "pacman")):
        if which(program):
            return name
    return None


def packages_for(missing: list[Library], manager: str) -> list[str]:
    """The packages that hold the missing libraries, each once, in a fixed order."""
    names = [getattr(library, manager) for library in missing]
    if manager == "apt" and FONT in missing:
        names += APT_EXTRAS
    return list(dict.fromkeys(names))


def missing_message(missing: list[Library], manager: str | None) -> str:
    """One sentence that names the missing libraries and the exact command to install them."""
    names = ", ".join(library.soname for library in missing)
    if manager is None:
        return f"The window needs {names}; please install them with the system's package manager."
    command = f"sudo {COMMANDS[manager]} {' '.join(packages_for(missing, manager))}"
    return f"The window needs {names}; please run: {command}"
