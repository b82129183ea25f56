"""The row of buttons for changes of many captions."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QMenu, QPushButton, QToolButton, QWidget

from app import theme
from app.captions.operations import Kind
from app.icons import icon
from app.widgets.buttons import tool_button


class ManyBar(QWidget):
    """Asks for changes of many captions. Signals: automatic(), changeAsked(kind)."""

    automatic = Signal()
    changeAsked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.auto_button = QPushButton(icon("sparkles"), self.tr("Automatic..."))
        self.auto_button.setToolTip(self.tr("Let a tagger or captioner write captions"))
        self.auto_button.clicked.connect(self.automatic)
        self.change_button = QPushButton(icon("search"), self.tr("Find, replace..."))
        self.change_button.setToolTip(self.tr("Change many captions (Ctrl+H)"))
        self.change_button.clicked.connect(lambda: self.changeAsked.emit("replace"))
        self.more = tool_button("ellipsis", self.tr("More changes"), None)
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self.more)
        offered: tuple[tuple[Kind, str], ...] = (
            ("normalise", self.tr("Tidy up captions...")),
            ("add", self.tr("Add a tag...")),
            ("trigger", self.tr("Trigger word to the front...")),
            ("order", self.tr("Order tags by frequency...")),
            ("duplicates", self.tr("Remove duplicate tags...")),
        )
        for kind, text in offered:
            menu.addAction(text, partial(self.changeAsked.emit, kind))
        self.more.setMenu(menu)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.unit(0.5))
        row.addWidget(self.auto_button)
        row.addWidget(self.change_button)
        row.addStretch(1)
        row.addWidget(self.more)

    def set_able(self, able: bool) -> None:
        """Whether there are captions that can be changed."""
        for button in (self.auto_button, self.change_button, self.more):
            button.setEnabled(able)
