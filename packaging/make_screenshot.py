"""Draw the pictures of docs/: the real window with the demo.

    python packaging/make_screenshot.py [--out docs/window.png] [--theme dark] [--at 0.6]
    python packaging/make_screenshot.py --concept pictures --out docs/pictures.png

Opens the window off the screen with an empty data folder and chooses the demo. The first presses
Train, waits until the run has gone `--at` of its way and newest samples are there, and takes the
picture; the second shows a room of the first concept's card, without a run.
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

    from app.window import Window

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 1800  # seconds


def main() -> int:
    """Take the picture; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "window.png")
    parser.add_argument("--theme", choices=("light", "dark"), default="dark")
    parser.add_argument("--at", type=float, default=0.6, help="share of the run, 0 to 1")
    parser.add_argument("--tab", type=int, default=3, help="which tab is open, from 0")
    parser.add_argument("--concept", help="show this room of the first concept's card instead")
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
    deadline = time.monotonic() + PATIENCE
    _until(app, lambda: window.run.controls.train.isEnabled(), deadline)
    if options.concept:
        return _take_room(app, window, options)
    window.tabs.setCurrentIndex(options.tab)
    window.train()

    def far_enough() -> bool:
        view = window.run.view()
        return view is not None and view.total > 0 and view.step >= options.at * view.total

    _until(app, far_enough, deadline)
    view = window.run.view()
    assert view is not None
    wanted = max(step for step in view.picture_steps(0) if step <= view.step)
    _until(app, lambda: len(view.pictures) > 0 and wanted in view.pictures[0], deadline)
    _rest(app, 2)
    code = _save(window, options.out)
    window.run.shutdown("stop")
    _until(app, lambda: not window.run.is_running(), time.monotonic() + 60)
    return code


def _take_room(app: QApplication, window: Window, options: argparse.Namespace) -> int:
    """The picture of one room of the first concept."""
    page = window.pages["concepts"]
    window.tabs.setCurrentWidget(page)
    page.list.cards[0].enter(options.concept)  # type: ignore[attr-defined]
    _rest(app, 5)
    return _save(window, options.out)


def _save(window: Window, path: Path) -> int:
    """Write what the window shows; returns the exit code."""
    path.parent.mkdir(parents=True, exist_ok=True)
    saved = window.grab().save(str(path))
    print(path if saved else f"{path} could not be written")
    return 0 if saved else 1


def _rest(app: QApplication, seconds: float) -> None:
    """Let the window live for a while."""
    end = time.monotonic() + seconds
    _until(app, lambda: time.monotonic() > end, end + PATIENCE)


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
