"""Small parts that the panel's pieces share."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSize, Qt, QUrl
from PySide6.QtGui import QDesktopServices, QFont, QFontDatabase
from PySide6.QtWidgets import QLabel, QPushButton, QSizePolicy, QToolButton

from app import icons, theme


def tabular(font: QFont) -> QFont:
    """`font` with digits of equal width, so that changing numbers do not move."""
    font = QFont(font)
    font.setFeature(QFont.Tag("tnum"), 1)
    return font


class NumberLabel(QLabel):
    """A label always as wide as its template, for a value that changes all the time."""

    def __init__(
        self,
        template: str,
        align: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignLeft,
        role: str = "muted",
    ) -> None:
        super().__init__()
        self._template = template
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setFont(tabular(self.font()))
        theme.set_role(self, role)
        self.setAlignment(align | Qt.AlignmentFlag.AlignVCenter)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """The size of the template, whatever the text."""
        metrics = self.fontMetrics()
        return QSize(metrics.horizontalAdvance(self._template) + 2, metrics.height())

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()


def tool_button(icon: str, tip: str, *, checkable: bool = False) -> QToolButton:
    """A flat button that is only an icon; `tip` is its tooltip and accessible name."""
    button = QToolButton()
    button.setIcon(icons.icon(icon))
    button.setToolTip(tip)
    button.setAccessibleName(tip)
    button.setCheckable(checkable)
    return button


def link_button(text: str, icon: str = "") -> QPushButton:
    """A button that looks like a link."""
    button = QPushButton(text)
    theme.set_role(button, "link")
    if icon:
        button.setIcon(icons.icon(icon, "accent_text"))
    return button


def reveal(path: Path) -> None:
    """Open the folder that holds `path` (or `path` itself, when it is one) in the file manager."""
    folder = path if path.is_dir() else path.parent
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))


def monospaced() -> QFont:
    """The system's font with equal widths, in the body's size."""
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
    font.setPointSizeF(theme.font("small").pointSizeF())
    return font


def counted(number: int, one: str, many: str) -> str:
    """`number` with its noun: `counted(2, "warning", "warnings")` is `2 warnings`."""
    return f"{number} {one if number == 1 else many}"
