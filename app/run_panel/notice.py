"""The card that tells what became of a run, and offers what can be done now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout

from app import icons, theme
from app.run_panel.flow import FlowLayout
from app.run_panel.parts import monospaced, tool_button

Kind = Literal["good", "info", "warning", "error"]
_ICONS = {
    "good": "circle-check",
    "info": "info",
    "warning": "triangle-alert",
    "error": "circle-alert",
}
LINES = 4


@dataclass(frozen=True)
class Action:
    """One button of the card."""

    text: str
    do: Callable[[], object]
    icon: str = ""


class Notice(QFrame):
    """Icon, sentence, a few lines more, and buttons; hidden while there is nothing to tell.

    Signals:
        waved_off(): its closing cross was pressed.
    """

    waved_off = Signal()

    def __init__(self) -> None:
        super().__init__()
        theme.set_role(self, "card")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self._icon = QLabel()
        self._icon.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._title = QLabel()
        self._detail = QLabel()
        self._lines = QLabel()
        for label in (self._title, self._detail, self._lines):
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setWordWrap(label is not self._lines)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        theme.set_role(self._title, "group")
        theme.set_role(self._detail, "muted")
        theme.set_role(self._lines, "muted")
        self._lines.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.close_button = tool_button("x", self.tr("Put this message away"))
        self.close_button.clicked.connect(self.waved_off)
        self._buttons = FlowLayout(theme.unit(0.5))
        texts = QVBoxLayout()
        texts.setSpacing(theme.unit(0.5))
        for label in (self._title, self._detail, self._lines):
            texts.addWidget(label)
        texts.addLayout(self._buttons)
        row = QHBoxLayout(self)
        row.setContentsMargins(*[theme.unit(1)] * 4)
        row.setSpacing(theme.unit(1))
        row.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(texts, 1)
        row.addWidget(self.close_button, 0, Qt.AlignmentFlag.AlignTop)
        self._told: object = None
        self.hide()
        theme.notifier().changed.connect(self._paint_icon)
        self._kind: Kind = "info"

    def tell(
        self,
        kind: Kind,
        title: str,
        detail: str = "",
        lines: Sequence[str] = (),
        actions: Sequence[Action] = (),
    ) -> None:
        """Show this; the same again changes nothing."""
        told = (kind, title, detail, tuple(lines), tuple(a.text for a in actions))
        if told == self._told:
            return
        self._told, self._kind = told, kind
        self._paint_icon()
        self._title.setText(title)
        self._detail.setText(detail)
        self._detail.setVisible(bool(detail))
        self._lines.setFont(monospaced())
        self._lines.setText("\n".join(lines[-LINES:]))
        self._lines.setVisible(bool(lines))
        self._lines.setToolTip("\n".join(lines))
        while self._buttons.count():
            item = self._buttons.takeAt(0)
            widget = item.widget() if item else None
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        for action in actions:
            button = QPushButton(action.text)
            if action.icon:
                button.setIcon(icons.icon(action.icon))
            button.clicked.connect(lambda _=False, do=action.do: do())
            self._buttons.addWidget(button)
        self.show()

    def clear(self) -> None:
        """Nothing to tell."""
        self._told = None
        self.hide()

    def title(self) -> str:
        """The sentence on view, or empty."""
        return self._title.text() if self._told else ""

    def detail(self) -> str:
        """The lines below the sentence."""
        return self._detail.text() if self._told else ""

    def buttons(self) -> dict[str, QPushButton]:
        """The buttons on view by their text."""
        if not self._told:
            return {}
        items = [self._buttons.itemAt(i) for i in range(self._buttons.count())]
        found = [item.widget() for item in items if item is not None]
        return {b.text(): b for b in found if isinstance(b, QPushButton)}

    def _paint_icon(self) -> None:
        role = {"info": "accent_text"}.get(self._kind, self._kind)
        size = theme.unit(2.25)
        self._icon.setPixmap(icons.pixmap(_ICONS[self._kind], size, role, self.devicePixelRatioF()))
