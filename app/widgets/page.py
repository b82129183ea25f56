"""A tab's page: one scrolling column that keeps its lines readable on wide screens."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtWidgets import QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from app import theme

MOST_EM = 132


class Page(QScrollArea):
    """A scrolling column; add widgets to `column`."""

    def __init__(self, most_em: int = MOST_EM) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        outer = QWidget()
        outer.setProperty("role", "page")
        outer.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        margins = QVBoxLayout(outer)
        inner = QWidget()
        self._inner, self._most_em = inner, most_em
        self.set_wide(False)
        inner.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        margins.setContentsMargins(
            theme.unit(theme.MARGIN), theme.unit(2), theme.unit(2), theme.unit(2)
        )
        margins.addWidget(inner)
        margins.addStretch(1)
        self.column = QVBoxLayout(inner)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(theme.unit(2.5))
        self.setWidget(outer)

    def set_wide(self, wide: bool) -> None:
        """Let the column take the whole width, for pictures rather than lines to read."""
        self._inner.setMaximumWidth(16777215 if wide else theme.em(self._most_em))

    def bring(self, widget: QWidget) -> None:
        """Scroll so that `widget` can be seen, once the layout has settled."""

        def scroll() -> None:
            inside = self.widget()
            assert inside is not None
            top = widget.mapTo(inside, QPoint(0, 0)).y()
            self.ensureVisible(0, top + widget.height(), 0, theme.unit(4))
            self.ensureVisible(0, max(0, top - theme.unit(4)), 0, theme.unit(2))

        QTimer.singleShot(0, widget, scroll)
