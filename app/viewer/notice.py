"""A quiet bar below the upper edge: what was done with Undo beside it, or what went wrong."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QRectF, Qt, QTimer
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from app import icons, theme
from app.viewer.controls import TextButton
from app.viewer.overlays import REJECT, TEXT, VEIL

LASTS_MS = 6000


class Notice(QWidget):
    """One sentence and at most one button; it goes by itself unless something went wrong."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._label = QLabel()
        self._label.setTextFormat(Qt.TextFormat.PlainText)
        self._label.setStyleSheet(f"color: {TEXT.name()};")
        self._button = TextButton("")
        self._close = TextButton(self.tr("Close"))
        self._act: Callable[[], object] | None = None
        self._is_problem = False
        self._below = 0
        row = self._row = QHBoxLayout(self)
        air = theme.unit(1)
        row.setContentsMargins(theme.unit(4), air, air, air)
        row.setSpacing(theme.unit(1.5))
        row.addWidget(self._label, 1)
        row.addWidget(self._button)
        row.addWidget(self._close)
        self._button.clicked.connect(self._clicked)
        self._close.clicked.connect(self.hide)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(LASTS_MS)
        self._timer.timeout.connect(self.hide)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.hide()

    def say(self, text: str, button: str = "", act: Callable[[], object] | None = None) -> None:
        """Tell what was done; `act` follows a press of `button`."""
        if self._is_problem and self.isVisible():
            return  # what went wrong stays until it is closed
        self._show(text, button, act, False)
        self._timer.start()

    def problem(self, text: str, button: str = "", act: Callable[[], object] | None = None) -> None:
        """Tell what went wrong, until it is closed."""
        self._timer.stop()
        self._show(text, button, act, True)

    def keep(self, text: str, button: str, act: Callable[[], object]) -> None:
        """Tell what goes on, until another notice or `hide`."""
        self._timer.stop()
        self._show(text, button, act, False)

    def dismiss_problem(self) -> bool:
        """Close what went wrong; returns whether there was something."""
        shown = self._is_problem and self.isVisible()
        if shown:
            self.hide()
        return shown

    @property
    def text(self) -> str:
        """The sentence that is shown, "" for none."""
        return self._label.text() if self.isVisible() else ""

    def _show(
        self, text: str, button: str, act: Callable[[], object] | None, is_problem: bool
    ) -> None:
        self._is_problem, self._act = is_problem, act
        self._label.setText(text)
        self._button.setText(button)
        self._button.setVisible(bool(button))
        self._close.setVisible(is_problem)
        self.setAccessibleName(text)
        self.show()
        self.raise_()
        self.place()
        self.update()

    def place(self) -> None:
        """Lie in the middle below the parent's upper edge."""
        parent = self.parentWidget()
        assert parent is not None
        metrics = QFontMetricsF(self._label.font())
        extra = sum(
            b.sizeHint().width() + theme.unit(1.5)
            for b in (self._button, self._close)
            if b.isVisibleTo(self)
        )
        needed = metrics.horizontalAdvance(self._label.text()) + extra + theme.unit(8)
        most = parent.width() - theme.unit(4)
        wraps = needed > most
        self._label.setWordWrap(wraps)
        width = int(min(most, needed))
        height = self._row.totalHeightForWidth(width) if wraps else self.sizeHint().height()
        top = self._below + theme.unit(1.5)
        self.setGeometry((parent.width() - width) // 2, top, width, height)

    def set_below(self, pixels: int) -> None:
        """Keep so far below the upper edge: the bar lies there."""
        self._below = pixels

    def _clicked(self) -> None:
        act = self._act
        self.hide()
        if act is not None:
            act()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(REJECT if self._is_problem else Qt.PenStyle.NoPen)
        painter.setBrush(QColor(VEIL.red(), VEIL.green(), VEIL.blue(), 235))
        radius = theme.unit(0.75)
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), radius, radius)
        side = theme.unit(2)
        box = QRectF(theme.unit(1.25), (self.height() - side) / 2, side, side)
        name = "triangle-alert" if self._is_problem else "info"
        icons.draw(painter, name, box, "on_accent")
        painter.end()
