"""How quick the culling viewer is; run by hand:

    python -m tests.benchmarks.viewer [--only png,jpeg,camera,stall,open,...] [--keys 100]

The first parts drive the real viewer in this process and read when it has painted: from the key to
the next picture at 10 a second (1024-pixel PNG) and with the key held down (24-megapixel JPEG), by
how much the window's thread comes late meanwhile, the first picture and the whole list of a folder
of 10,000, memory for pictures, and 1,000 deletions at a keyboard's repeat rate. `others` shows
`limner cull`, feh and geeqie one after another on an Xvfb screen, sends keys by XTest and waits
until a pixel changes; it needs the Debian packages xvfb, libxtst6, feh and geeqie, or does without
those that are not there.

Every picture has a colour of its own in its middle, so that each step changes the pixel watched.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QElapsedTimer, QEvent, QEventLoop, Qt, QTimer
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QApplication

from tests.benchmarks.made import embed_small, make

PARTS = ("quiet", "png", "jpeg", "camera", "stall", "open", "delete", "memory", "others")
TICK_MS = 4
HELD_PER_SECOND = 30
HOLD_SECONDS = 3.0
REPEAT_AFTER = 0.25


# --- in this process -------------------------------------------------------------


def process(seconds: float) -> None:
    """Let the window work for so long, and sleep meanwhile as it does in earnest."""
    loop, timer = QEventLoop(), QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(loop.quit)
    timer.start(max(1, round(seconds * 1000)))
    loop.exec()


def until(done: Callable[[], bool], seconds: float = 60) -> None:
    """Let the window work until `done`."""
    end = time.perf_counter() + seconds
    while not done():
        if time.perf_counter() > end:
            raise RuntimeError("the viewer did not get there")
        process(0.002)


class Paints:
    """When which picture was first drawn, by path."""

    def __init__(self, viewer: Any) -> None:
        self.first: dict[str, float] = {}
        self.low = 0
        viewer.pictureShown.connect(self._drawn)

    def _drawn(self, path: str, stage: int) -> None:
        if path not in self.first and stage >= 0:
            self.first[path] = time.perf_counter()
            self.low += stage == 0


class Stalls:
    """By how much a timer of the window's thread came late, and that thread's own processor time
    between two of them, in milliseconds. Other programs make it late too, but cost it nothing."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self.own: list[float] = []
        self._clock = QElapsedTimer()
        self._spent = 0.0
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)

    def __enter__(self) -> Stalls:
        self._clock.start()
        self._spent = time.thread_time()
        self._timer.start(TICK_MS)
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.stop()

    def _tick(self) -> None:
        self.late.append(max(0.0, self._clock.nsecsElapsed() / 1e6 - TICK_MS))
        self._clock.restart()
        spent = time.thread_time()
        self.own.append((spent - self._spent) * 1000)
        self._spent = spent

    def tell(self, when: str) -> None:
        """Print both."""
        over = sum(late > 20 for late in self.late)
        report(f"  window's thread late, {when} ({over} over the goal of 20 ms)", self.late)
        report("    its own processor time", self.own)


def measure_quiet(_folder: Path, _keys: int) -> None:
    """What the machine does by itself: nothing happens in the program."""
    with Stalls() as stalls:
        process(5)
    stalls.tell("nothing happens")


def open_viewer(folder: Path, wait: bool = True) -> Any:
    """The real viewer, 1920 x 1080."""
    from app.viewer import open_viewer as open_it

    viewer = open_it(folder, full_screen=False)
    viewer.resize(1920, 1080)
    if wait:
        until(lambda: viewer.is_listed and viewer.panes.current.is_drawn)
        viewer.show_controls(False)
        process(1.0)
    return viewer


def press(viewer: Any, key: Qt.Key, repeats: bool = False) -> None:
    """A key as the keyboard sends it."""
    for kind in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease):
        event = QKeyEvent(kind, key, Qt.KeyboardModifier.NoModifier, "", repeats)
        QApplication.sendEvent(viewer, event)


def close(viewer: Any) -> None:
    """Close a viewer after all its changes."""
    worker = viewer.judge.worker
    until(lambda: worker.waiting == 0, 600)
    viewer.close()
    worker.join()
    process(0.1)


def report(what: str, values: Sequence[float], unit: str = "ms") -> None:
    """Median, 95th percentile and worst of some durations."""
    ordered = sorted(values)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    print(
        f"{what}: median {at(0.5):.1f} {unit}, p95 {at(0.95):.1f} {unit}, "
        f"p99 {at(0.99):.1f} {unit}, worst {ordered[-1]:.1f} {unit} ({len(ordered)})",
        flush=True,
    )


def measure_png(folder: Path, keys: int) -> None:
    """Key to painted picture at 10 a second."""
    viewer = open_viewer(make(folder / "png", (1024, 1024), keys + 1, "png"))
    paints, durations = Paints(viewer), []
    with Stalls() as stalls:
        for _ in range(keys):
            started = time.perf_counter()
            press(viewer, Qt.Key.Key_Right)
            path = viewer.album.current.path
            until(lambda path=path: path in paints.first)
            durations.append((paints.first[path] - started) * 1000)
            process(max(0.0, 0.1 - (time.perf_counter() - started)))
    report("1024-pixel PNG, 10 a second, key to painted (goal: p95 under 16 ms)", durations)
    stalls.tell("meanwhile")
    close(viewer)


def measure_jpeg(folder: Path, keys: int) -> None:
    """The key held down in a folder of 24-megapixel JPEG that nothing is known of."""
    _hold_jpeg(folder / "jpeg", keys, "24-megapixel JPEG")


def measure_camera(folder: Path, keys: int) -> None:
    """The same with the small picture in each header that cameras and phones write."""
    _hold_jpeg(folder / "camera", keys, "24-megapixel JPEG of a camera", embedded=True)


def _hold_jpeg(many: Path, keys: int, what: str, embedded: bool = False) -> None:
    make(many, (6000, 4000), 12, "jpg")
    if embedded:
        for path in many.iterdir():
            embed_small(path)
    first = sorted(many.iterdir())
    for number in range(12, keys + 1):
        os.link(first[number % 12], many / f"picture {number + 1}.jpg")
    viewer = open_viewer(many)
    paints = Paints(viewer)
    with Stalls() as stalls:
        started = time.perf_counter()
        press(viewer, Qt.Key.Key_Right)
        while viewer.album.position < len(viewer.album) - 1:
            press(viewer, Qt.Key.Key_Right, repeats=True)
            process(1 / HELD_PER_SECOND)
        spent = time.perf_counter() - started
    times = sorted(paints.first.values())
    gaps = [(b - a) * 1000 for a, b in zip([started, *times], times, strict=False)]
    report(f"{what}, key held, from picture to picture (goal: under 100 ms)", gaps)
    print(f"  {len(times)} of {keys} drawn in {spent:.1f} s, {paints.low} first in low resolution")
    stalls.tell("meanwhile")
    close(viewer)


def measure_stall(folder: Path, keys: int) -> None:
    """Everything shown at once: facts, caption, crop, film strip, marks, zoom, compare."""
    viewer = open_viewer(make(folder / "stall", (1024, 1024), keys + 1, "png"))
    for name in ("info", "caption", "crop", "filmstrip"):
        viewer.commands.run(name)
    with Stalls() as stalls:
        for number in range(keys):
            name = ("next", "keep", "stars3", "toggle_zoom", "compare")[number % 5]
            viewer.commands.run(name)
            process(0.1)
    stalls.tell("everything shown, 10 commands a second")
    close(viewer)


def measure_open(folder: Path, _keys: int) -> None:
    """First picture and whole list of 10,000 pictures with captions."""
    many = make(folder / "many", (1024, 1024), 20, "png")
    first = sorted(many.iterdir())
    for number in range(20, 10_000):
        os.link(first[number % 20], many / f"picture {number + 1}.png")
    for number in range(10_000):
        (many / f"picture {number + 1}.txt").write_text("a thing", encoding="utf-8")
    shown, listed = [], []
    with Stalls() as stalls:
        for _ in range(5):
            started = time.perf_counter()
            viewer = open_viewer(many, wait=False)
            paints = Paints(viewer)
            until(lambda viewer=viewer: viewer.is_listed)
            listed.append((time.perf_counter() - started) * 1000)
            until(lambda paints=paints: bool(paints.first))
            shown.append((min(paints.first.values()) - started) * 1000)
            process(0.5)
            assert len(viewer.album) == 10_000
            close(viewer)
    report("10,000 pictures, first one painted (goal: under 300 ms)", shown)
    report("10,000 pictures, list complete (goal: under 1000 ms)", listed)
    stalls.tell("opening included")


def measure_delete(folder: Path, _keys: int) -> None:
    """1,000 deletions at a keyboard's repeat rate."""
    many = make(folder / "delete", (1024, 1024), 20, "png")
    first = sorted(many.iterdir())
    for number in range(20, 1001):
        shutil.copy(first[number % 20], many / f"picture {number + 1}.png")
        (many / f"picture {number + 1}.txt").write_text("a thing", encoding="utf-8")
    viewer = open_viewer(many)
    steps = []
    most = 0
    started = time.perf_counter()
    with Stalls() as stalls:
        while len(viewer.album) > 1:
            before = len(viewer.album)
            begun = time.perf_counter()
            press(viewer, Qt.Key.Key_Delete, repeats=len(steps) > 0)
            if len(viewer.album) < before:
                steps.append((time.perf_counter() - begun) * 1000)
            most = max(most, viewer.judge.worker.waiting)
            process(1 / HELD_PER_SECOND)
    spent = time.perf_counter() - started
    report("1,000 deletions, what a key costs the window", steps)
    stalls.tell("meanwhile")
    begun = time.perf_counter()
    until(lambda: viewer.judge.worker.waiting == 0, 600)
    print(
        f"  {len(steps)} in {spent:.1f} s ({len(steps) / spent:.1f} a second of "
        f"{HELD_PER_SECOND}); at most {most} waited; the last was on the disk "
        f"{time.perf_counter() - begun:.2f} s after the last key"
    )
    assert len(list(many.glob("*.png"))) == 1
    close(viewer)


def measure_memory(folder: Path, _keys: int) -> None:
    """Memory while 24-megapixel pictures are zoomed, beside that of a viewer without pictures."""
    import psutil

    # Made in another process, whose memory does not count.
    maker = multiprocessing.get_context("spawn").Process(
        target=make, args=(folder / "memory", (6000, 4000), 12, "jpg")
    )
    maker.start()
    maker.join()
    (folder / "empty").mkdir()
    viewer = open_viewer(folder / "empty", wait=False)
    until(lambda: viewer.is_listed)
    process(1.0)
    own = psutil.Process()
    before, kept, resident = own.memory_info().rss, 0, 0
    close(viewer)
    viewer = open_viewer(folder / "memory")
    for number in range(60):
        viewer.commands.run("next" if number % 12 < 11 else "first")
        if number % 3 == 0:
            viewer.commands.run("full")
        for _ in range(10):
            process(0.03)
            kept = max(kept, viewer.loader.bytes)
            resident = max(resident, own.memory_info().rss)
    print(
        f"memory: at most {kept / 2**20:.0f} MB of decoded pictures (budget "
        f"{viewer.loader.budget / 2**20:.0f} MB); the process took at most "
        f"{(resident - before) / 2**20:.0f} MB more than the {before / 2**20:.0f} MB without "
        "pictures",
        flush=True,
    )
    close(viewer)


# --- beside others on a real screen -------------------------------------------------


def measure_others(folder: Path, keys: int) -> None:
    """`limner cull`, feh and geeqie on the same pictures with the same keys and the same eye."""
    from tests.benchmarks.screen import Screen

    png = make(folder / "others png", (1024, 1024), keys + 2, "png")
    jpeg = make(folder / "others jpeg", (6000, 4000), 12, "jpg")
    first = sorted(jpeg.iterdir())
    for number in range(12, 200):
        os.link(first[number % 12], jpeg / f"picture {number + 1}.jpg")
    for name, pictures, pause, held in (
        ("1024-pixel PNG, 10 a second", png, 0.1, False),
        ("24-megapixel JPEG, 2 a second", jpeg, 0.5, False),
        ("24-megapixel JPEG, key held down, change to change", jpeg, 0.0, True),
    ):
        start = str(pictures / "picture 1.png" if pictures is png else pictures / "picture 1.jpg")
        count = keys if pictures is png else min(keys, 40)
        for program, command in _programs(pictures, start).items():
            if command[0] != sys.executable and shutil.which(command[0]) is None:
                print(f"{name}: {program} is not installed")
                continue
            screen = Screen()
            try:
                found = _watch(screen, command, folder, count, pause, held)
            finally:
                screen.close()
            if found:
                report(f"{name}, {program}", found)
            else:
                print(f"{name}: {program} showed nothing")


def _programs(folder: Path, start: str) -> dict[str, list[str]]:
    """Full screen, the folder's pictures in natural order, each from its first one."""
    return {
        "limner": [sys.executable, "-m", "app", "cull", str(folder)],
        "feh": ["feh", "-F", "-Z", "--version-sort", "--start-at", start, str(folder)],
        "geeqie": ["geeqie", "-f", start],
    }


def _watch(
    screen: Any, command: list[str], home: Path, count: int, pause: float, held: bool
) -> list[float]:
    """Milliseconds from a key to a changed pixel, or with the key held from change to change."""
    homes = {
        name: str(home / "home" / name.lower())
        for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")
    }
    for path in homes.values():
        Path(path).mkdir(parents=True, exist_ok=True)
    black = screen.pixel(screen.width // 2, screen.height // 2)
    program = screen.start(command, **homes, LIMNER_DATA_DIR=str(home / "limner"))
    point = (screen.width // 2, screen.height // 2)
    try:
        if screen.wait_for_change(point, black, 30) is None:
            return []
        screen.click(*point)
        time.sleep(4.0)
        return _hold(screen, point, HOLD_SECONDS) if held else _tap(screen, point, count, pause)
    finally:
        program.terminate()
        try:
            program.wait(10)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def _tap(screen: Any, point: tuple[int, int], count: int, pause: float) -> list[float]:
    durations = []
    for _ in range(count):
        before = screen.pixel(*point)
        pressed = screen.tap("space")
        changed = screen.wait_for_change(point, before, 5)
        if changed is None:
            continue
        durations.append((changed - pressed) * 1000)
        time.sleep(max(0.0, pause - (time.perf_counter() - pressed)))
    return durations


def _hold(screen: Any, point: tuple[int, int], seconds: float) -> list[float]:
    """The key goes down and stays so; the screen's server repeats it. Milliseconds from one
    change of the pixel to the next, and from the last to the end where nothing came any more; the
    keyboard's wait before it repeats a key does not count."""
    screen.repeat_keys(HELD_PER_SECOND, round(REPEAT_AFTER * 1000))
    before = screen.pixel(*point)
    screen.key("space", True)
    changes = [time.perf_counter()]
    repeating, end = changes[0] + REPEAT_AFTER, changes[0] + seconds
    while time.perf_counter() < end:
        now = screen.pixel(*point)
        if now != before:
            changes.append(time.perf_counter())
            before = now
        time.sleep(0.0005)
    screen.key("space", False)
    rest = (time.perf_counter() - changes[-1]) * 1000
    gaps = [(b - a) * 1000 for a, b in pairwise(changes[:2])]
    gaps += [(b - max(a, repeating)) * 1000 for a, b in pairwise(changes[1:])]
    return [*gaps, rest] if not gaps or rest > 3 * statistics.median(gaps) else gaps


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(PARTS), help="parts, by commas")
    parser.add_argument("--keys", type=int, default=100)
    parsed = parser.parse_args()
    parts = parsed.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}; there are {PARTS}")
    with tempfile.TemporaryDirectory(prefix="limner-viewer-") as place:
        folder = Path(place)
        os.environ["LIMNER_DATA_DIR"] = str(folder / "data")
        os.environ["XDG_DATA_HOME"] = str(folder / "xdg")
        (folder / "xdg").mkdir()
        app = QApplication([])
        from app.collector import Collector
        from app.window import prepare

        keep = prepare(app)
        collector = Collector(app)
        for part in parts:
            load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
            print(f"[{part}; load {load:.1f} on {os.cpu_count()} cores]", flush=True)
            globals()[f"measure_{part}"](folder, parsed.keys)
        collector.stop()
        del keep


if __name__ == "__main__":
    main()
