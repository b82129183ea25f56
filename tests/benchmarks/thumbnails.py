"""How long the window stands still while a concept's pictures scroll by; run by hand:

    python -m tests.benchmarks.thumbnails [--pictures 1000] [--edge 1024] [--seconds 12]

PNG files of 1024 x 1024 pixels are shown in the real page of pictures and scrolled from the first
to the last one, first with an empty thumbnail cache, then with a full one, then back and forth
with everything in memory. A timer ticks every 5 ms; a stall is by how much a tick came late. The
bound: no stall over 20 ms. The first line measures the same while nothing happens, because a busy
machine makes ticks late by itself; the processor time of the GUI thread between two ticks, which
other programs cannot lengthen, is told beside it.

Beside other work only the scheduler is measured; `chrt -f 10 python -m ...` (Linux, as root) gives
the window its turn at once.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PIL import Image, ImageFilter
from PySide6.QtCore import QEventLoop, Qt, QTimer
from PySide6.QtWidgets import QApplication

TICK_MS = 5
FRAME_MS = 16


@dataclass
class Gaps:
    """Lateness of each tick, and the GUI thread's own processor time before it, in ms."""

    late: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)

    def report(self, name: str) -> None:
        """Print median, percentiles, the worst, and how many were over the bound."""

        def at(values: list[float], share: float) -> float:
            ordered = sorted(values)
            return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

        over = sum(late > 20 for late in self.late)
        print(
            f"{name}: late by median {at(self.late, 0.5):.1f} ms, p99 {at(self.late, 0.99):.1f} "
            f"ms, worst {max(self.late):.1f} ms, {over} of {len(self.late)} over 20 ms; own "
            f"processor time p99 {at(self.own, 0.99):.1f} ms, worst {max(self.own):.1f} ms",
            flush=True,
        )


def watch(until: Callable[[], bool], step: Callable[[], None] = lambda: None) -> Gaps:
    """Run the event loop until something is true; `step` is called sixty times a second."""
    gaps = Gaps()
    last = [time.perf_counter(), time.thread_time()]
    loop = QEventLoop()

    def tick() -> None:
        now, own = time.perf_counter(), time.thread_time()
        gaps.late.append(max(0.0, (now - last[0]) * 1000 - TICK_MS))
        gaps.own.append((own - last[1]) * 1000)
        last[:] = [now, own]
        if until():
            loop.quit()

    timer, frames = QTimer(), QTimer()
    for each, every, act in ((timer, TICK_MS, tick), (frames, FRAME_MS, step)):
        each.setTimerType(Qt.TimerType.PreciseTimer)
        each.timeout.connect(act)
        each.start(every)
    loop.exec()
    timer.stop()
    frames.stop()
    return gaps


def make_pictures(folder: Path, count: int, edge: int) -> None:
    """Pictures with detail, of which each file is another one; every second has a caption."""
    rng = random.Random(1)
    kinds = []
    for _ in range(8):
        small = Image.frombytes("RGB", (64, 64), rng.randbytes(3 * 64 * 64))
        large = small.resize((edge, edge), Image.Resampling.BICUBIC)
        noise = Image.effect_noise((edge, edge), 24).convert("RGB")
        kinds.append(Image.blend(large, noise, 0.15).filter(ImageFilter.SMOOTH))
    folder.mkdir(parents=True)
    data = []
    for kind in kinds:
        kind.save(folder / "one.png", compress_level=1)
        data.append((folder / "one.png").read_bytes())
    (folder / "one.png").unlink()
    for number in range(count):
        (folder / f"picture {number:05d}.png").write_bytes(data[number % len(data)])
        if number % 2:
            text = "a red robot on a table, soft light, " * (1 + number % 5)
            (folder / f"picture {number:05d}.txt").write_text(text, encoding="utf-8")


def scroll(page, seconds: float) -> Gaps:  # type: ignore[no-untyped-def]
    """Scroll from the first to the last picture in so many seconds, as a turning wheel does."""
    bar = page.grid.verticalScrollBar()
    bar.setValue(0)
    begun = time.perf_counter()

    def step() -> None:
        share = min(1.0, (time.perf_counter() - begun) / seconds)
        bar.setValue(round(share * bar.maximum()))

    def done() -> bool:
        return time.perf_counter() - begun > seconds and page.store.is_idle()

    return watch(done, step)


def run(options: argparse.Namespace, folder: Path) -> None:
    """Measure with an empty cache, a full one, and with everything in memory."""
    idle_until = time.perf_counter() + 3
    watch(lambda: time.perf_counter() > idle_until).report("nothing happens")
    measure("empty cache", options, folder, fill=True)
    measure("full cache", options, folder, fill=False)
    made = sum(1 for _ in (folder / "thumbnails").rglob("*.jpg"))
    print(f"{made} thumbnails in the cache")


def measure(name: str, options: argparse.Namespace, folder: Path, fill: bool) -> None:
    """Open the page on the pictures and scroll through them."""
    from app.background import Background
    from app.concepts.facts import Look
    from app.concepts.pictures import PicturesPage
    from app.thumbnails import ThumbnailStore
    from core.config.concepts import Concept
    from core.data.buckets import Shapes

    background = Background()
    store = ThumbnailStore(folder=folder / "thumbnails")
    page = PicturesPage(background, store)
    page.resize(1280, 800)
    page.show()
    begun = time.perf_counter()
    page.set_look(Look(Concept(path=str(folder / "pictures")), (1024,), Shapes(64)))

    def opened() -> bool:
        read = len(page.model.shown()) == options.pictures and not page.source.busy
        return read and background.is_idle() and store.is_idle()

    gaps = watch(opened)
    gaps.report(f"opening, {name} ({time.perf_counter() - begun:.1f} s until all is read)")
    scroll(page, options.seconds).report(f"scrolling, {name}")
    if fill:
        # What flew by was left out: stand still everywhere once, to fill the cache.
        bar = page.grid.verticalScrollBar()
        for value in range(0, bar.maximum() + 1, page.grid.viewport().height()):
            bar.setValue(value)
            QApplication.processEvents()
            watch(store.is_idle)
    else:
        scroll(page, options.seconds).report("scrolling again")
    page.close_down()
    background.close()
    store.close()
    page.close()
    page.deleteLater()


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--edge", type=int, default=1024)
    parser.add_argument("--seconds", type=float, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["LIMNER_DATA_DIR"] = str(Path(name) / "data")
        folder = Path(name)
        make_pictures(folder / "pictures", options.pictures, options.edge)
        app = QApplication(sys.argv[:1])
        from app import theme
        from app.collector import Collector

        theme.setup(app, "dark")
        collector = Collector(app)  # as the window has it: no other thread collects garbage
        run(options, folder)
        collector.stop()


if __name__ == "__main__":
    main()
