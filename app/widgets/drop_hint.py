"""What the window says while something is dragged over it that can be dropped."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QWidget

from app import theme


class DropHint(QLabel):
    """Tells what a drop would do, above the window's bottom line; the mouse goes through it."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        theme.set_role(self, "drop_hint")
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setText(self.tr("Drop folders or pictures to add concepts, a base model, or a preset"))
        self.hide()

    def show_over(self, over: bool) -> None:
        """Show it, or put it away."""
        if over:
            self.adjustSize()
            room = self.window().rect()
            left = room.center().x() - self.width() // 2
            self.move(left, room.bottom() - theme.unit(8) - self.height())
            self.raise_()
        self.setVisible(over)
