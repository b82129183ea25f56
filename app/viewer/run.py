"""`limner cull`: the viewer as a program of its own."""

from __future__ import annotations

import sys

from core.cli.cull import Wish


def run_viewer(wish: Wish) -> int:
    """Open the viewer and stay until it is closed; returns the process's exit code."""
    from PySide6.QtWidgets import QApplication

    from app.collector import Collector
    from app.viewer import open_viewer
    from app.viewer.source import Training
    from app.window import prepare
    from core.data.buckets import Shapes
    from core.printable import keep_libraries_off_stderr

    app = QApplication(sys.argv[:1])
    keep_libraries_off_stderr()
    translators = prepare(app)
    viewer = open_viewer(
        wish.folder,
        wish.start,
        include_subfolders=wish.include_subfolders,
        training=Training(wish.resolution, Shapes(wish.step), wish.trigger),
        full_screen=not wish.windowed,
    )
    collector = Collector(app)
    code = app.exec()
    collector.stop()
    del viewer, translators
    return code
