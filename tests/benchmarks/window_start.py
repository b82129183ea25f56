"""Time from starting Python until the window is painted, against an empty window of bare Qt.

    python -m tests.benchmarks.window_start [--rounds 5]

Both are fresh processes, off the screen, with an empty data folder; rounds alternate.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

BARE = """
from PySide6.QtWidgets import QApplication, QMainWindow
app = QApplication([])
window = QMainWindow()
window.show()
window.grab()
print("shown", flush=True)
"""
OURS = """
import os, sys
from PySide6.QtWidgets import QApplication
from app.window import Window, prepare
app = QApplication([])
keep = prepare(app)
window = Window()
window.show()
window.grab()
print("shown", sorted({"torch", "numpy", "diffusers"} & set(sys.modules)), flush=True)
os._exit(0)
"""


def shown_after(code: str) -> tuple[float, str]:
    """(seconds until the process says that its window is painted, what it said)."""
    with tempfile.TemporaryDirectory() as data:
        settings = {"QT_QPA_PLATFORM": "offscreen", "LIMNER_DATA_DIR": data}
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **settings},
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - started
        process.stdout.read()
        process.wait()
    if not line.startswith("shown"):
        raise SystemExit("The window did not open.")
    return seconds, line.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    ours, bare, said = [], [], ""
    for _round in range(options.rounds):
        bare.append(shown_after(BARE)[0])
        seconds, said = shown_after(OURS)
        ours.append(seconds)
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    print(f"window painted after {statistics.median(ours):.2f} s (goal: under 1.5),", end=" ")
    print(f"a bare one after {statistics.median(bare):.2f} s; ratio {ratio:.1f}; {said}")


if __name__ == "__main__":
    main()
