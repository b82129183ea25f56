"""How long the window stands still while events pour in; run by hand:

    python -m tests.benchmarks.gui_stall [--events-per-second 50] [--seconds 20] [--flood 20000]

A worker (a separate process) says that many steps a second, with a sample of three pictures every
25 steps. The panel shows it while a timer ticks 60 times a second; a stall is by how much a tick
came late. The bound: the 99th percentile is under 20 ms. The first line measures the same without
events, because a busy machine makes ticks late by itself. With --flood a last part measures a
flood of so many events at once.

Beside other work only the scheduler is measured; `chrt -f 10 python -m ...` (Linux, as root) gives
the window its turn at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QCoreApplication, QEventLoop, Qt, QTimer
from PySide6.QtWidgets import QApplication

TICK_MS = 1000 / 60
LOADING = 3.0  # seconds before the first step; loading a model takes longer


def speak(folder: Path, rate: float, seconds: float, flood: int) -> None:
    """The worker's part: hold the lock and say events in events.jsonl and on stdout."""
    from core.runs import lock
    from core.runs.events import EventLog
    from core.runs.folder import RunFolder
    from core.worker import protocol
    from tests.app_run.scripted import PROMPTS

    run = RunFolder(folder)
    held = lock.acquire(run)
    log = EventLog(run.events_file)

    def say(event: protocol._Event) -> None:
        log.append(event)
        os.write(1, protocol.encode(event).encode() + b"\n")

    say(protocol.Hello(pid=os.getpid()))
    total = flood or int(rate * seconds)
    say(protocol.Phase(name="loading", total=1))
    time.sleep(LOADING)
    say(protocol.Phase(name="training", total=total))
    begin = time.perf_counter()
    for step in range(1, total + 1):
        if not flood:
            time.sleep(max(0.0, begin + step / rate - time.perf_counter()))
            if step % 25 == 0:
                for index, prompt in enumerate(PROMPTS):
                    path = run.samples(step) / f"{index:02d}.png"
                    say(
                        protocol.Sample(
                            step=step, index=index, path=run.relative(path), prompt=prompt, seed=1
                        )
                    )
        say(
            protocol.Step(
                step=step,
                total=total,
                epoch=step / 100,
                loss=0.1 + 0.05 * ((step * 7919) % 100) / 100,
                smoothed=0.1,
                lr={"unet": 1e-4},
                seconds=1 / rate,
            )
        )
    say(protocol.Done(status="finished", step=total))
    del held
    os._exit(0)


def measure(rate: float, seconds: float, flood: int) -> list[float]:
    """Lateness of each tick in milliseconds, from the first step on."""
    from app.run_panel.panel import RunPanel
    from core.runs.folder import RunFolder, create
    from core.worker import client
    from tests.app_run.scripted import PROMPTS, a_job, draw

    def command(run: RunFolder, *_more: object) -> list[str]:
        words = ["--speak", str(run.path), "--events-per-second", str(rate)]
        words += ["--seconds", str(seconds), "--flood", str(flood)]
        return [sys.executable, "-m", "tests.benchmarks.gui_stall", *words]

    client.worker_command = command
    late: list[float] = []
    loading: list[float] = []
    last: list[float] = []

    def tick() -> None:
        now = time.perf_counter()
        view = panel.view()
        begun = view is not None and view.step > 0
        if last:
            (late if begun else loading).append(max(0.0, (now - last[0]) * 1000 - TICK_MS))
        last[:] = [now]

    with tempfile.TemporaryDirectory() as folder:
        panel = RunPanel()
        panel.set_runs_dir(Path(folder))
        panel.resize(520, 640)
        panel.show()
        run = create(a_job(), Path(folder))
        for step in range(0, int(rate * seconds) + 1, 25):
            for index in range(len(PROMPTS)):
                draw(run.samples(step) / f"{index:02d}.png", index, 0.5, 512)
        loop = QEventLoop()
        panel.runningChanged.connect(lambda running: None if running else loop.quit())
        timer = QTimer()
        timer.setTimerType(Qt.TimerType.PreciseTimer)
        timer.timeout.connect(tick)
        panel.resume(run.path, "")
        timer.start(round(TICK_MS))
        loop.exec()
        timer.stop()
        shown = panel.view()
        assert shown is not None
        print(f"  {len(shown.loss.steps)} steps drawn, {len(late)} ticks")
        report("  while loading", loading)
        panel.shutdown("detach")
        panel.deleteLater()
        QCoreApplication.processEvents()
    return late


def measure_idle(seconds: float) -> list[float]:
    """Lateness of each tick while nothing arrives: what the machine itself adds."""
    late: list[float] = []
    last = [time.perf_counter()]

    def tick() -> None:
        now = time.perf_counter()
        late.append(max(0.0, (now - last[0]) * 1000 - TICK_MS))
        last[:] = [now]

    loop = QEventLoop()
    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(tick)
    timer.start(round(TICK_MS))
    QTimer.singleShot(round(seconds * 1000), loop.quit)
    loop.exec()
    return late


def report(name: str, late: list[float]) -> None:
    """Print median, percentiles and the worst."""
    ordered = sorted(late)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    print(
        f"{name}: median {at(0.5):.1f} ms, p95 {at(0.95):.1f} ms, p99 {at(0.99):.1f} ms, "
        f"worst {ordered[-1]:.1f} ms"
    )


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events-per-second", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--flood", type=int, default=0)
    parser.add_argument("--speak", type=Path, help="for the worker's part")
    parsed = parser.parse_args()
    if parsed.speak:
        speak(parsed.speak, parsed.events_per_second, parsed.seconds, parsed.flood)
    app = QApplication([])
    from app import theme

    theme.setup(app, "dark")
    rate = parsed.events_per_second
    report("nothing arrives", measure_idle(min(10.0, parsed.seconds)))
    report(f"{rate:g} events a second", measure(rate, parsed.seconds, 0))
    if parsed.flood:
        report(f"flood of {parsed.flood}", measure(rate, 0, parsed.flood))


if __name__ == "__main__":
    main()
