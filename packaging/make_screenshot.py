"""Draw docs/window.png: the real window in the middle of a real demo run.

    python packaging/make_screenshot.py [--out docs/window.png] [--theme dark] [--at 0.6]

Opens the window off the screen with an empty data folder, chooses the demo, presses Train, waits
until the run has gone `--at` of its way and newest samples are there, and takes the picture.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 1800  # seconds


def main() -> int:
    """Take the picture; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "window.png")
    parser.add_argument("--theme", choices=("light", "dark"), default="dark")
    parser.add_argument("--at", type=float, default=0.6, help="share of the run, 0 to 1")
    parser.add_argument("--tab", type=int, default=3, help="which tab is open, from 0")
    options = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    with tempfile.TemporaryDirectory(prefix="limner-picture-") as data:
        os.environ["LIMNER_DATA_DIR"] = data
        return _take(options)


def _take(options: argparse.Namespace) -> int:
    from PySide6.QtWidgets import QApplication

    from app.window import Window, prepare

    app = QApplication(sys.argv[:1])
    _translators = prepare(app)
    window = Window()
    window.set_theme(options.theme)
    window.resize(1440, 860)
    window.show()
    window.load_demo()
    window.tabs.setCurrentIndex(options.tab)
    deadline = time.monotonic() + PATIENCE
    _until(app, lambda: window.run.controls.train.isEnabled(), deadline)
    window.train()

    def far_enough() -> bool:
        view = window.run.view()
        return view is not None and view.total > 0 and view.step >= options.at * view.total

    _until(app, far_enough, deadline)
    view = window.run.view()
    assert view is not None
    wanted = max(step for step in view.picture_steps(0) if step <= view.step)
    _until(app, lambda: len(view.pictures) > 0 and wanted in view.pictures[0], deadline)
    until = time.monotonic() + 2
    _until(app, lambda: time.monotonic() > until, deadline)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    saved = window.grab().save(str(options.out))
    window.run.shutdown("stop")
    _until(app, lambda: not window.run.is_running(), time.monotonic() + 60)
    print(options.out if saved else f"{options.out} could not be written")
    return 0 if saved else 1


def _until(app: QApplication, true: Callable[[], bool], deadline: float) -> None:
    """Let the window live until `true()`; ends the program when it never becomes so."""
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit("The run did not get so far in time.")
        app.processEvents()
        time.sleep(0.02)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    raise SystemExit(main())
