"""The window's own menu: versions, keys, and a report without the user's paths."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from PySide6.QtWidgets import QDialog, QPlainTextEdit, QTableWidget

from app import about
from app.window import Window
from core.config.job import defaults, require, set_path
from core.runs.folder import create
from core.runs.report import report_files, versions


def opened(window: Window, name: str) -> QDialog:
    window.header.helpRequested.emit(name)
    [dialog] = [d for d in window.findChildren(QDialog) if d.isVisible()]
    return dialog


def test_about_tells_what_is_installed(window: Window) -> None:
    dialog = opened(window, "about")
    text = dialog.findChild(QPlainTextEdit).toPlainText()
    assert f"torch {versions()['torch']}" in text and "Python" in text
    dialog.reject()


def test_the_keys_are_those_of_the_window(window: Window) -> None:
    dialog = opened(window, "keys")
    table = dialog.findChild(QTableWidget)
    assert table.rowCount() == len(about.shortcuts())
    dialog.reject()


def test_a_report_has_no_paths_and_is_shown_before_it_is_saved(
    window: Window, tmp_path: Path, qtbot: Any
) -> None:
    pictures = tmp_path / "Ann's 图" / "cats"
    data = set_path(defaults(), "model.base", str(tmp_path / "models" / "base.safetensors"))
    data = set_path(data, "concepts.0.path", str(pictures))
    runs = tmp_path / "runs"
    run = create(require(data), runs)
    run.log_file.write_text(f"reading {pictures}/1.png\nFailed in {run.path}\n")
    window.run.set_runs_dir(runs)
    dialog = opened(window, "report")
    shown = dialog.findChild(QPlainTextEdit).toPlainText()
    assert "Failed in <path" in shown and '"optimizer": "adamw"' in shown
    assert str(tmp_path) not in shown and "Ann" not in shown
    about.save_to(dialog, tmp_path / "report.zip", report_files(runs))
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        assert archive.namelist() == ["versions.txt", "job.json", "log.txt"]
        assert b"Ann" not in archive.read("log.txt")
    dialog.reject()
