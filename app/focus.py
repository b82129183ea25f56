"""Where the keyboard focus goes when the widget that has it is disabled or hidden."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtWidgets import QWidget


class _Return(QObject):
    """Gives the focus back to a widget once it can have it, unless it was taken elsewhere."""

    def __init__(self, away: QWidget, keeper: QWidget) -> None:
        super().__init__(keeper)
        self._away, self._keeper = weakref.ref(away), weakref.ref(keeper)
        away.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.EnabledChange, QEvent.Type.Show):
            away, keeper = self._away(), self._keeper()
            if away is not None and away.isEnabled() and away.isVisible():
                if keeper is not None and keeper.window().focusWidget() is keeper:
                    away.setFocus(Qt.FocusReason.OtherFocusReason)
                away.removeEventFilter(self)
                self.deleteLater()
        return False


if TYPE_CHECKING:
    _Base = QWidget
else:
    _Base = object


class SteadyFocus(_Base):
    """Mixin for windows: the focus never wanders from a widget that goes away to its neighbour.

    Qt would hand it to the next in the order of Tab, where Space or an arrow key may stop a
    training or load another preset. Here the nearest plain area around the widget keeps it, on
    which keys do nothing and from which Tab goes on; the widget has it back when it returns.
    """

    def focusNextPrevChild(self, forward: bool) -> bool:
        """Move the focus as Tab does, but never for a widget that has just gone."""
        gone = self.focusWidget()
        if gone is None or (gone.isEnabled() and gone.isVisible()) or not self.isVisible():
            return super().focusNextPrevChild(forward)
        keeper = gone.parentWidget()
        while keeper is not None and not _is_plain(keeper):
            keeper = keeper.parentWidget()
        keeper = keeper or self
        keeper.setFocus(Qt.FocusReason.OtherFocusReason)
        _Return(gone, keeper)
        return True


def _is_plain(widget: QWidget) -> bool:
    if not (widget.isVisible() and widget.isEnabled()) or widget.focusProxy() is not None:
        return False
    return widget.isWindow() or widget.focusPolicy() == Qt.FocusPolicy.NoFocus
