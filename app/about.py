"""The window's own menu: what this program is, its keys, and a report for whoever helps."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QLabel,
    QPlainTextEdit,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app import dialogs, theme
from core import files
from core.errors import Problem
from core.runs.report import report_files, save_report, versions


def _tr(text: str) -> str:
    return QCoreApplication.translate("About", text)


def shortcuts() -> list[tuple[str, str]]:
    """(keys, what they do) in the window; the viewer lists its own with `?`."""
    return [
        ("Ctrl+Enter", _tr("Train, or add to the queue")),
        ("Ctrl+F", _tr("Search settings")),
        ("Ctrl+S", _tr("Save the preset")),
        ("Ctrl+Shift+S", _tr("Save as a new preset")),
        ("Ctrl+Z", _tr("Undo")),
        ("Ctrl+Y", _tr("Redo")),
        ("Alt+1 … Alt+5", _tr("Model, Concepts, LoRA, Training, Sampling")),
        ("F5", _tr("Look at pictures and base model again")),
        ("?", _tr("In the full-screen viewer: all of its keys")),
    ]


def show_about(parent: QWidget) -> QDialog:
    """Name, licence and versions, to be copied."""
    found = versions()
    dialog = _Dialog(parent, _tr("About Limner"))
    head = QLabel(f"Limner {found.get('limner', '')}".strip())
    theme.set_role(head, "title")
    what = QLabel(
        _tr("Teaches image models new subjects and styles on your own computer. Apache-2.0.")
    )
    what.setWordWrap(True)
    text = QPlainTextEdit("\n".join(f"{name} {number}" for name, number in found.items()))
    text.setReadOnly(True)
    text.setAccessibleName(_tr("Versions"))
    for widget in (head, what, text):
        dialog.column.addWidget(widget)
    copy = dialog.buttons.addButton(_tr("Copy versions"), QDialogButtonBox.ButtonRole.ActionRole)
    copy.clicked.connect(lambda: QApplication.clipboard().setText(text.toPlainText()))
    dialog.show_sized(52, 34)
    return dialog


def show_shortcuts(parent: QWidget) -> QDialog:
    """The window's keys."""
    dialog = _Dialog(parent, _tr("Keyboard shortcuts"))
    rows = shortcuts()
    table = QTableWidget(len(rows), 2)
    table.setAccessibleName(_tr("Keyboard shortcuts"))
    table.horizontalHeader().hide()
    table.verticalHeader().hide()
    table.setShowGrid(False)
    table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
    for number, row in enumerate(rows):
        for column, text in enumerate(row):
            table.setItem(number, column, QTableWidgetItem(text))
    table.resizeColumnsToContents()
    table.horizontalHeader().setStretchLastSection(True)
    dialog.column.addWidget(table)
    dialog.show_sized(60, 36)
    return dialog


def show_report(parent: QWidget, runs: Path) -> QDialog:
    """What a report would hold, before it is saved."""
    texts = report_files(runs)
    dialog = _Dialog(parent, _tr("Report"))
    what = QLabel(
        _tr(
            "This is what the report holds: versions, the newest run's settings and the end of its "
            "log. Pictures are not in it, and folders are replaced. Nothing is sent anywhere."
        )
    )
    what.setWordWrap(True)
    whole = "\n".join(f"--- {name} ---\n{text}" for name, text in texts.items())
    shown = QPlainTextEdit(whole)
    shown.setReadOnly(True)
    shown.setAccessibleName(_tr("Content of the report"))
    shown.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
    dialog.column.addWidget(what)
    dialog.column.addWidget(shown)
    save = dialog.buttons.addButton(_tr("Save..."), QDialogButtonBox.ButtonRole.ActionRole)

    def keep() -> None:
        start = str(Path.home() / "limner-report.zip")
        path, _ = QFileDialog.getSaveFileName(dialog, _tr("Save report"), start, "ZIP (*.zip)")
        if path:
            save_to(dialog, Path(path), texts)

    save.clicked.connect(keep)
    dialog.show_sized(84, 60)
    return dialog


def save_to(parent: QWidget, path: Path, texts: dict[str, str]) -> None:
    """Write the report; tells where that fails."""
    try:
        save_report(path, texts)
    except OSError as error:
        title = f"The report could not be saved as {path.name}: {files.reason(error)}."
        problem = Problem(code="report_unwritable", title=title, file=str(path))
        dialogs.tell(parent, _tr("Report"), [problem])


class _Dialog(QDialog):
    """A dialog with a column of widgets above its buttons."""

    def __init__(self, parent: QWidget, title: str) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.column = QVBoxLayout()
        self.column.setSpacing(theme.unit())
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        self.buttons.rejected.connect(self.reject)
        whole = QVBoxLayout(self)
        whole.setSpacing(theme.unit(1.5))
        whole.addLayout(self.column, 1)
        whole.addWidget(self.buttons)

    def show_sized(self, width: float, height: float) -> None:
        """Show it with room for that many letters across and half as many lines."""
        self.resize(theme.em(width), theme.em(height))
        self.open()
