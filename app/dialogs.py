"""Questions and messages in the window's own words; tests answer them by replacing `ask`."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QCoreApplication, QSize
from PySide6.QtWidgets import QInputDialog, QMessageBox, QWidget

from app.i18n import counted
from core.errors import Problem, UserError


def ask(
    parent: QWidget, title: str, text: str, answers: Sequence[tuple[str, str]], detail: str = ""
) -> str:
    """Ask with one button per answer (key, label); returns the key, or "" when closed.

    The first answer is the usual one; the last is the safe one and also Escape.
    """
    box = QMessageBox(parent)
    box.setWindowTitle(title)
    box.setText(text)
    box.setInformativeText(detail)
    buttons = {}
    for number, (key, label) in enumerate(answers):
        last = number == len(answers) - 1
        role = QMessageBox.ButtonRole.RejectRole if last else QMessageBox.ButtonRole.ActionRole
        button = box.addButton(label, role)
        buttons[button] = key
        if number == 0:
            box.setDefaultButton(button)
        if last:
            box.setEscapeButton(button)
    box.exec()
    return buttons.get(box.clickedButton(), "")  # type: ignore[call-overload]


def give_room(window: QWidget, wanted: QSize) -> None:
    """Size a window with a list or table, but never larger than the screen.

    Left alone, Qt gives it two thirds of the screen at most, which on a small one leaves two rows.
    """
    window.resize(wanted.boundedTo(window.screen().availableSize() * 0.92))


def ask_name(parent: QWidget, title: str, label: str, before: str = "") -> str | None:
    """Ask for a line of text; None when cancelled."""
    text, ok = QInputDialog.getText(parent, title, label, text=before)
    return text.strip() if ok else None


def tell(parent: QWidget, title: str, problems: Sequence[Problem]) -> None:
    """Show problems, all of them, in one message."""
    box = QMessageBox(parent)
    severe = any(p.severity == "error" for p in problems)
    box.setIcon(QMessageBox.Icon.Critical if severe else QMessageBox.Icon.Warning)
    box.setWindowTitle(title)
    if len(problems) == 1:
        box.setText(problems[0].title)
        rest = " ".join(part for part in (problems[0].detail, problems[0].hint) if part)
        box.setInformativeText(rest)
    else:
        many = len(problems)
        title = QCoreApplication.translate("dialogs", "%n problem(s):", "", many)
        box.setText(counted(title, many))
        shown = "\n".join(f"• {p.sentence()}" for p in problems[:8])
        box.setInformativeText(shown)
        if len(problems) > 8:
            box.setDetailedText("\n".join(p.sentence() for p in problems))
    box.addButton(QMessageBox.StandardButton.Ok)
    box.exec()


def tell_error(parent: QWidget, title: str, error: UserError) -> None:
    """Show what a `UserError` says."""
    tell(parent, title, list(error.problems))
