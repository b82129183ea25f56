"""Labels: help of at most two lines, problems, and single lines that are cut with an ellipsis."""

from __future__ import annotations

from math import ceil

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetrics,
    QFontMetricsF,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QTextLayout,
    QTextOption,
)
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from app import icons, theme

ROLES = {
    "help": "muted",
    "error": "error",
    "warning": "warning",
    "todo": "accent_text",
    "good": "good",
}
ICONS = {"error": "circle-alert", "warning": "triangle-alert", "todo": "info", "good": "check"}


class Note(QWidget):
    """A small wrapped text of at most two lines; a click shows all of it, or less again.

    kind `help` is muted; `error`, `warning`, `todo` and `good` have their colour and an icon.
    """

    def __init__(self, lines: int = 2) -> None:
        super().__init__()
        self._lines = lines
        self._text = ""
        self._kind = "help"
        self._open = False
        self._cut = False
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def set_note(self, text: str, kind: str = "help") -> None:
        """Show `text` as one of the kinds above."""
        if (text, kind) == (self._text, self._kind):
            return
        self._text, self._kind = text, kind
        self.setAccessibleName(text)
        self.updateGeometry()
        self.update()

    def text(self) -> str:
        """The whole text."""
        return self._text

    def kind(self) -> str:
        """What kind of note it is."""
        return self._kind

    def _indent(self) -> float:
        return 0 if self._kind == "help" else QFontMetricsF(theme.font("small")).height() * 1.25

    def _layout(self, width: float) -> tuple[QTextLayout, int]:
        """The text broken into lines of `width`, and how many there are."""
        layout = QTextLayout(self._text, theme.font("small"))
        option = QTextOption()
        option.setWrapMode(QTextOption.WrapMode.WordWrap)
        layout.setTextOption(option)
        layout.beginLayout()
        y = 0.0
        while (line := layout.createLine()).isValid():
            line.setLineWidth(max(1.0, width - self._indent()))
            line.setPosition(QPointF(self._indent(), y))
            y += line.height()
        layout.endLayout()
        return layout, layout.lineCount()

    def _line_height(self) -> float:
        return QFontMetricsF(theme.font("small")).height()

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        count = self._layout(width)[1]
        shown = count if self._open else min(count, self._lines)
        return int(self._line_height() * max(1, shown) + 1)

    def sizeHint(self) -> QSize:
        width = self.width() or theme.em(30)
        return QSize(theme.em(30), self.heightForWidth(width))

    def minimumSizeHint(self) -> QSize:
        return QSize(theme.em(10), int(self._line_height()))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.oldSize().width() != event.size().width():
            self.updateGeometry()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        colours = theme.colours()
        role = ROLES[self._kind]
        painter.setPen(QColor(getattr(colours, role)))
        painter.setFont(theme.font("small"))
        layout, count = self._layout(self.width())
        shown = count if self._open else min(count, self._lines)
        self._cut = count > self._lines
        self.setCursor(
            Qt.CursorShape.PointingHandCursor if self._cut else Qt.CursorShape.ArrowCursor
        )
        metrics = QFontMetricsF(theme.font("small"))
        for index in range(shown):
            line = layout.lineAt(index)
            if index == shown - 1 and count > shown:
                rest = self._text[line.textStart() :]
                width = self.width() - self._indent()
                cut = metrics.elidedText(rest, Qt.TextElideMode.ElideRight, width)
                painter.drawText(QPointF(self._indent(), line.y() + line.ascent()), cut)
            else:
                line.draw(painter, QPointF(0, 0))
        if self._kind != "help" and self._text:
            side = metrics.height()
            icons.draw(painter, ICONS[self._kind], QRectF(0, 0, side, side), role)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if self._cut:
            self._open = not self._open
            self.updateGeometry()
            self.update()


class Picture(QLabel):
    """An icon that stands by itself, in the colours of the theme in use."""

    def __init__(self, name: str, units: float, role: str = "muted") -> None:
        super().__init__()
        self._name, self._units, self._role = name, units, role
        theme.notifier().changed.connect(self._paint)
        self._paint()

    def _paint(self) -> None:
        side, ratio = theme.unit(self._units), self.devicePixelRatioF()
        self.setPixmap(icons.pixmap(self._name, side, self._role, ratio))


def line_height(font: QFont) -> int:
    """The height of a line of any writing in pixels: Chinese and Japanese letters come from a
    font of their own, which may be higher than the Latin one."""
    layout = QTextLayout("Áǧ漢あ한", font)
    layout.beginLayout()
    line = layout.createLine()
    layout.endLayout()
    return max(ceil(line.height()), QFontMetrics(font).height())


class Elided(QLabel):
    """One line of text that ends in an ellipsis where there is no room; a tooltip has it all."""

    def __init__(self, text: str = "", mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight):
        super().__init__()
        self._full = text
        self._mode = mode
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.set_text(text)

    def set_text(self, text: str) -> None:
        """Show another text."""
        self._full = text
        self._cut()
        self.updateGeometry()

    def full_text(self) -> str:
        """The text without an ellipsis."""
        return self._full

    def _cut(self) -> None:
        shown = self.fontMetrics().elidedText(self._full, self._mode, max(0, self.width() - 2))
        self.setText(shown)
        self.setToolTip(self._full if shown != self._full else "")
        self.setAccessibleName(self._full)

    def sizeHint(self) -> QSize:
        metrics = self.fontMetrics()
        return QSize(metrics.horizontalAdvance(self._full) + 4, line_height(self.font()))

    def minimumSizeHint(self) -> QSize:
        return QSize(theme.em(4), line_height(self.font()))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._cut()
