"""One to four pictures side by side that are zoomed and moved together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import QPoint, QRect, QRectF, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QWidget

from app import theme
from app.viewer import overlays
from app.viewer.canvas import Canvas
from app.viewer.overlays import Shown
from app.viewer.view import FIT, View

COUNTS = (1, 2, 4)


class Panes(QWidget):
    """Canvases in a grid, one of them active: marks and deletions go there.

    Signals: activated(index) by mouse or Tab, painted(index, path, stage), turned(steps),
    viewChanged(), clicked(index, x, y), menuAsked(global position), resized().
    """

    activated = Signal(int)
    painted = Signal(int, str, int)
    turned = Signal(int)
    viewChanged = Signal()
    clicked = Signal(int, float, float)
    menuAsked = Signal(QPoint)
    resized = Signal()

    def __init__(self, shown: Callable[[int], Shown], parent: QWidget | None = None) -> None:
        """shown(index) gives what is drawn over a pane's picture."""
        super().__init__(parent)
        self._shown = shown
        self.canvases: list[Canvas] = []
        self.active = 0
        self.locked = False
        self._linking = False
        # Moves of the mouse end at a widget that does not track them; the window waits for them.
        self.setMouseTracking(True)
        self.set_count(1)

    @property
    def current(self) -> Canvas:
        """The active pane."""
        return self.canvases[self.active]

    def set_count(self, count: int) -> None:
        """Show so many pictures; the first pane becomes the active one."""
        while len(self.canvases) > count:
            gone = self.canvases.pop()
            gone.hide()
            gone.deleteLater()
        while len(self.canvases) < count:
            self._add()
        self.active = 0
        self._place()
        view = self.canvases[0].view
        for canvas in self.canvases:
            canvas.set_view(view)
            canvas.update()

    def _add(self) -> None:
        index = len(self.canvases)
        canvas = Canvas(self)
        canvas.overlays.append(lambda c, painter: self._draw_over(index, c, painter))
        canvas.painted.connect(lambda path, stage: self.painted.emit(index, path, stage))
        canvas.turned.connect(self.turned)
        canvas.pressed.connect(lambda: self.activate(index))
        canvas.viewChanged.connect(lambda: self._link(index))
        canvas.clicked.connect(lambda x, y: self.clicked.emit(index, x, y))
        canvas.menuAsked.connect(self.menuAsked)
        canvas.show()
        self.canvases.append(canvas)

    def activate(self, index: int) -> None:
        """Make a pane the active one."""
        if index != self.active and 0 <= index < len(self.canvases):
            self.active = index
            self.refresh()
            self.activated.emit(index)

    def refresh(self) -> None:
        """Draw all panes anew: something over the pictures changed."""
        for canvas in self.canvases:
            canvas.update()

    def set_picking(self, on: bool) -> None:
        """Whether clicks choose a point of the picture."""
        for canvas in self.canvases:
            canvas.set_picking(on)

    def reset_view(self) -> None:
        """Another picture comes: fit it, unless zoom and place are locked."""
        if not self.locked and len(self.canvases) == 1:
            self.set_view(FIT)

    def set_view(self, view: View) -> None:
        """See all pictures so."""
        if all(canvas.view == view for canvas in self.canvases):
            return
        self._linking = True
        for canvas in self.canvases:
            canvas.set_view(view)
        self._linking = False
        self.viewChanged.emit()

    def _link(self, index: int) -> None:
        """Show the same region in the other panes, also of pictures in other sizes."""
        if self._linking:
            return
        self._linking = True
        canvas = self.canvases[index]
        own = canvas.picture
        for other in self.canvases:
            theirs = other.picture
            if other is canvas:
                continue
            view = canvas.view
            if view.mode == "free" and own is not None and theirs is not None:
                wider = own.size.width() / max(1, theirs.size.width())
                view = replace(view, scale=view.scale * wider)
            other.set_view(view)
        self._linking = False
        self.viewChanged.emit()

    # --- drawing -------------------------------------------------------------

    def _draw_over(self, index: int, canvas: Canvas, painter: QPainter) -> None:
        shown = self._shown(index)
        if canvas.y() > 0:
            shown.top = 0.0
        shown.active, shown.many = index == self.active, len(self.canvases) > 1
        target = canvas.target() if canvas.picture is not None else QRectF()
        overlays.draw(painter, QRectF(canvas.rect()), target, shown)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(theme.colours().picture))
        painter.end()

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._place()
        self.resized.emit()

    def _place(self) -> None:
        """All panes the same size, so that linked views show the same."""
        count = len(self.canvases)
        columns = 1 if count == 1 else 2
        rows = 2 if count > 2 else 1
        gap = 0 if count == 1 else theme.unit(0.25)
        width = (self.width() - gap * (columns - 1)) // columns
        height = (self.height() - gap * (rows - 1)) // rows
        for number, canvas in enumerate(self.canvases):
            row, column = divmod(number, columns)
            canvas.setGeometry(QRect(column * (width + gap), row * (height + gap), width, height))
