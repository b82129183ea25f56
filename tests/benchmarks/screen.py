"""An X screen in memory (Xvfb), keys sent to it by XTest, and the colour of its pixels; by ctypes,
because starting a program for each key would cost more than what is measured."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import shutil
import subprocess
import time
from collections.abc import Sequence

KEYS = {"Right": 0xFF53, "Home": 0xFF50, "space": 0x20}


class _Image(ctypes.Structure):
    _fields_ = (
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("xoffset", ctypes.c_int),
        ("format", ctypes.c_int),
        ("data", ctypes.POINTER(ctypes.c_ubyte)),
    )


class Screen:
    """An Xvfb of 1920 x 1080 with a connection to it; `close` ends both."""

    def __init__(self, number: int = 93, width: int = 1920, height: int = 1080) -> None:
        if shutil.which("Xvfb") is None:
            raise RuntimeError("Xvfb is not installed")
        self.name = f":{number}"
        self.width, self.height = width, height
        self._server = subprocess.Popen(
            ["Xvfb", self.name, "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._x = ctypes.CDLL(ctypes.util.find_library("X11") or "libX11.so.6")
        self._test = ctypes.CDLL(ctypes.util.find_library("Xtst") or "libXtst.so.6")
        self._x.XOpenDisplay.restype = ctypes.c_void_p
        self._x.XGetImage.restype = ctypes.POINTER(_Image)
        self._x.XDefaultRootWindow.restype = ctypes.c_ulong
        deadline = time.monotonic() + 10
        while True:
            self._display = ctypes.c_void_p(self._x.XOpenDisplay(self.name.encode()))
            if self._display:
                break
            if time.monotonic() > deadline:
                raise RuntimeError("Xvfb did not start")
            time.sleep(0.05)
        self._root = ctypes.c_ulong(self._x.XDefaultRootWindow(self._display))

    def environment(self) -> dict[str, str]:
        """Variables for programs that shall show themselves here."""
        return {**os.environ, "DISPLAY": self.name, "QT_QPA_PLATFORM": "xcb"}

    def key(self, name: str, down: bool) -> None:
        """Press or release a key of `KEYS`."""
        code = self._x.XKeysymToKeycode(self._display, ctypes.c_ulong(KEYS[name]))
        self._test.XTestFakeKeyEvent(self._display, code, int(down), ctypes.c_ulong(0))
        self._x.XFlush(self._display)

    def tap(self, name: str) -> float:
        """Press and release a key; returns when, by `time.perf_counter`."""
        self.key(name, True)
        pressed = time.perf_counter()
        self.key(name, False)
        return pressed

    def repeat_keys(self, per_second: int, after_ms: int = 250) -> None:
        """Let the server repeat keys that are held down, as keyboards usually do."""
        core_keyboard = 0x0100
        self._x.XkbSetAutoRepeatRate(
            self._display, core_keyboard, after_ms, round(1000 / per_second)
        )
        self._x.XFlush(self._display)

    def click(self, x: int, y: int) -> None:
        """Give the window below the pointer the keyboard: there is no window manager."""
        self._test.XTestFakeMotionEvent(self._display, -1, x, y, ctypes.c_ulong(0))
        self._x.XFlush(self._display)

    def pixel(self, x: int, y: int) -> tuple[int, int, int]:
        """Red, green and blue of a pixel as it is now."""
        planes, zpixmap = ctypes.c_ulong(0xFFFFFFFF), 2
        image = self._x.XGetImage(self._display, self._root, x, y, 1, 1, planes, zpixmap)
        data = image.contents.data
        result = (data[2], data[1], data[0])
        self._x.XDestroyImage(image)
        return result

    def wait_for_change(
        self, point: tuple[int, int], before: tuple[int, int, int], seconds: float
    ) -> float | None:
        """When the pixel was first another one, by `time.perf_counter`; None if it stayed."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            if self.pixel(*point) != before:
                return time.perf_counter()
            time.sleep(0.0005)
        return None

    def start(self, command: Sequence[str], **more: str) -> subprocess.Popen[bytes]:
        """Start a program here; further environment variables by name."""
        return subprocess.Popen(
            list(command),
            env={**self.environment(), **more},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def close(self) -> None:
        """End the connection and the server."""
        self._x.XCloseDisplay(self._display)
        self._server.terminate()
        self._server.wait()
