"""What covers the window while something is dragged over it that can be dropped."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QWidget

from app import theme


class DropHint(QLabel):
    """Tells what a drop would do; lets every event of the mouse through."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        theme.set_role(self, "drop_hint")
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setText(self.tr("Drop folders or pictures to add concepts, a base model, or a preset"))
        self.hide()

    def show_over(self, over: bool) -> None:
        """Cover the window, or uncover it."""
        if over:
            margin = theme.unit(2)
            self.setGeometry(self.window().rect().adjusted(margin, margin, -margin, -margin))
            self.raise_()
        self.setVisible(over)
