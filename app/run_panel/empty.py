"""What stands on the run side before anything was trained."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from app import icons, theme


class EmptyPage(QWidget):
    """Says what will be seen here, and leads to earlier runs.

    Signals:
        runsRequested(): the list of earlier runs is wanted.
    """

    runsRequested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._picture = QLabel()
        title = QLabel(self.tr("Nothing is training"))
        theme.set_role(title, "title")
        text = QLabel(
            self.tr(
                "Press Train to begin. The newest sample, the loss curve and the time left "
                "appear here while the model learns."
            )
        )
        theme.set_role(text, "muted")
        text.setWordWrap(True)
        button = QPushButton(self.tr("Earlier runs"))
        button.setIcon(icons.icon("history"))
        button.clicked.connect(self.runsRequested)
        column = QWidget()
        column.setMaximumWidth(theme.em(46))
        layout = QVBoxLayout(column)
        layout.setSpacing(theme.unit(1.5))
        layout.addStretch(2)
        for label in (self._picture, title, text):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            layout.addWidget(label)
        layout.addWidget(button, 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addStretch(3)
        row = QHBoxLayout(self)
        row.addWidget(column)
        theme.notifier().changed.connect(self._paint)
        self._paint()

    def _paint(self) -> None:
        size = theme.unit(7)
        pixmap = icons.pixmap("images", size, "border_strong", self.devicePixelRatioF())
        self._picture.setPixmap(pixmap)
