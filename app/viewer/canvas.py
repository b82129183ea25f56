"""One picture on neutral grey: fitted or zoomed, moved by mouse, wheel and touchpad."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QColor,
    QMouseEvent,
    QNativeGestureEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from app import theme
from app.viewer import wheel
from app.viewer.decode import Picture
from app.viewer.prefetch import Stage
from app.viewer.view import (
    FIT,
    STEP,
    View,
    bounded,
    panned,
    scale_of,
    target_of,
    zoomed,
)

# After this long without the picture the one before makes room for a placeholder.
PATIENCE_MS = 60
_DRAG = 4

Overlay = Callable[["Canvas", QPainter], None]


class Canvas(QWidget):
    """Shows one picture.

    Signals: painted(path, stage) when a picture was drawn that was not drawn so before; stage is
    that of `Stage`, or -1 for a placeholder or what is wrong with it. turned(steps) when the
    wheel asks for other pictures, viewChanged(), pressed() by any button, clicked(x, y) with
    fractions of the picture while `picks` is on, menuAsked(global position), resized().
    """

    painted = Signal(str, int)
    turned = Signal(int)
    viewChanged = Signal()
    pressed = Signal()
    clicked = Signal(float, float)
    menuAsked = Signal(QPoint)
    resized = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.path = ""
        self.picks = False
        self.overlays: list[Overlay] = []
        self._picture: Picture | None = None
        self._stage = -1
        self._drawn_path = ""
        self._told: tuple[str, int] = ("", -2)
        self._view = FIT
        self._turns = wheel.Turns()
        self._grab: QPointF | None = None
        self._moved = False
        self._waiting = QTimer(self)
        self._waiting.setSingleShot(True)
        self._waiting.setInterval(PATIENCE_MS)
        self._waiting.timeout.connect(self._give_up)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setMouseTracking(True)
        self.setMinimumSize(80, 60)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(lambda p: self.menuAsked.emit(self.mapToGlobal(p)))
        self.setAccessibleName(self.tr("Picture"))

    # --- what is shown -------------------------------------------------------

    def show_picture(self, path: str, picture: Picture | None, stage: int) -> None:
        """Show a file as far as it is decoded; without a picture the one before stays a moment."""
        fresh = path != self.path
        self.path = path
        if picture is None:
            if fresh or self._drawn_path != path:
                self._waiting.start()
            return
        self._waiting.stop()
        self._picture, self._stage, self._drawn_path = picture, stage, path
        self._view = bounded(self._view, picture.size, self.box())
        self.update()

    def clear(self) -> None:
        """Show nothing."""
        self._waiting.stop()
        self.path = self._drawn_path = ""
        self._picture, self._stage = None, -1
        self.update()

    def _give_up(self) -> None:
        self._picture, self._stage, self._drawn_path = None, -1, self.path
        self.update()

    @property
    def picture(self) -> Picture | None:
        """What is drawn of the current file; None while another one or a placeholder is."""
        return self._picture if self._drawn_path == self.path else None

    @property
    def stage(self) -> int:
        """How much of it is drawn; -1 for nothing."""
        return self._stage if self._drawn_path == self.path else -1

    @property
    def is_drawn(self) -> bool:
        """Whether the current file's picture, in any detail, has been on the screen."""
        return self._told[0] == self.path and self._told[1] >= 0

    @property
    def is_waiting(self) -> bool:
        """Whether a placeholder stands for a picture that is still being decoded."""
        return bool(self.path) and self._drawn_path == self.path and self._picture is None

    def box(self) -> QSize:
        """The room for the picture in device pixels."""
        ratio = self.devicePixelRatioF()
        return QSize(round(self.width() * ratio), round(self.height() * ratio))

    def wants(self) -> Stage:
        """How much of the picture the view needs."""
        picture = self.picture
        if picture is None or self._view.mode == "fit" or picture.size.isEmpty():
            return Stage.SCREEN
        fit = scale_of(FIT, picture.size, self.box())
        return Stage.FULL if self.scale() > min(fit, 1.0) * 1.02 else Stage.SCREEN

    # --- the view ------------------------------------------------------------

    @property
    def view(self) -> View:
        """What is seen of the picture."""
        return self._view

    def set_view(self, view: View) -> None:
        """See another part of the picture."""
        size = self._size()
        if size is not None:
            view = bounded(view, size, self.box())
        if view != self._view:
            self._view = view
            self.update()
            self.viewChanged.emit()

    def scale(self) -> float:
        """Device pixels per picture pixel now."""
        size = self._size()
        return 1.0 if size is None else scale_of(self._view, size, self.box())

    def target(self) -> QRectF:
        """Where the whole picture lies, in logical pixels of this widget."""
        shown = self.picture
        return QRectF() if shown is None else self._target_of(shown)

    def _target_of(self, picture: Picture) -> QRectF:
        device = target_of(self._view, picture.size, self.box())
        ratio = self.devicePixelRatioF()
        return QRectF(device.topLeft() / ratio, device.size() / ratio)

    def zoom_by(self, factor: float, at: QPointF | None = None) -> None:
        """Zoom around a point in logical pixels, the middle without one."""
        self.zoom_to(self.scale() * factor, at)

    def zoom_to(self, scale: float, at: QPointF | None = None) -> None:
        """Zoom to device pixels per picture pixel around a point."""
        size = self._size()
        if size is not None:
            point = QPointF(self.rect().center()) if at is None else at
            ratio = self.devicePixelRatioF()
            self.set_view(zoomed(self._view, scale, point * ratio, size, self.box()))

    def toggle_zoom(self, at: QPointF | None = None) -> None:
        """From fit to 100 % around a point, from anything else to fit."""
        if self._view.mode == "fit" and abs(self.scale() - 1) > 0.001:
            self.zoom_to(1.0, at)
        elif self._view.mode == "fit":
            self.zoom_to(2.0, at)
        else:
            self.set_view(FIT)

    def pan(self, by: QPointF) -> None:
        """Move the picture by logical pixels."""
        size = self._size()
        if size is not None:
            ratio = self.devicePixelRatioF()
            self.set_view(panned(self._view, by * ratio, size, self.box()))

    def pointer(self) -> QPointF | None:
        """Where the mouse is over the picture, in logical pixels."""
        point = QPointF(self.mapFromGlobal(self.cursor().pos()))
        return point if self.underMouse() and self.target().contains(point) else None

    def _size(self) -> QSize | None:
        """The picture's size in its own pixels; None where there is nothing to see."""
        shown = self.picture
        return None if shown is None or shown.size.isEmpty() else shown.size

    # --- drawing -------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        picture, grey = self._picture, QColor(theme.colours().picture)
        if picture is None or picture.image.isNull():
            painter.fillRect(self.rect(), grey)
        else:
            # Only what the picture does not cover; its edges may lie between two pixels.
            inner = self._target_of(picture).toAlignedRect().adjusted(1, 1, -1, -1)
            for part in _around(self.rect(), inner):
                painter.fillRect(part, grey)
            self._draw(painter, picture)
        for overlay in self.overlays:
            painter.save()
            overlay(self, painter)
            painter.restore()
        painter.end()
        if self._drawn_path == self.path and self._told != (self.path, self._stage):
            self._told = (self.path, self._stage)
            self.painted.emit(self.path, self._stage)

    def _draw(self, painter: QPainter, picture: Picture) -> None:
        """The picture in device pixels, so that a fitted one is copied, not scaled."""
        ratio = self.devicePixelRatioF()
        target = target_of(self._view, picture.size, self.box())
        painter.save()
        painter.scale(1 / ratio, 1 / ratio)
        if picture.image.hasAlphaChannel():
            painter.fillRect(target, Qt.GlobalColor.white)
        scale = scale_of(self._view, picture.size, self.box())
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, scale < 3)
        if target.size() == picture.image.size().toSizeF():
            painter.drawImage(target.topLeft(), picture.image)
        else:
            painter.drawImage(target, picture.image)
        painter.restore()

    def resizeEvent(self, event: QResizeEvent) -> None:
        size = self._size()
        if size is not None:
            self._view = bounded(self._view, size, self.box())
        self.resized.emit()

    # --- mouse and touchpad --------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.pressed.emit()
        if event.button() == Qt.MouseButton.BackButton:
            self.turned.emit(-1)
        elif event.button() == Qt.MouseButton.ForwardButton:
            self.turned.emit(1)
        elif event.button() in (Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton):
            self._grab, self._moved = event.position(), False

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._grab is not None:
            by = event.position() - self._grab
            if self._moved or by.manhattanLength() >= _DRAG:
                self._moved = True
                self._grab = event.position()
                self.pan(by)
                if self._view.mode != "fit":
                    self.setCursor(Qt.CursorShape.ClosedHandCursor)
        event.ignore()  # the window shows its controls

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        was_click = self._grab is not None and not self._moved
        self._grab = None
        self.set_picking(self.picks)
        target = self.target()
        if self.picks and was_click and target.contains(event.position()):
            self.clicked.emit(
                (event.position().x() - target.left()) / target.width(),
                (event.position().y() - target.top()) / target.height(),
            )

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and not self.picks:
            self.toggle_zoom(event.position())

    def set_picking(self, on: bool) -> None:
        """Whether a click chooses a point of the picture."""
        self.picks = on
        self.setCursor(Qt.CursorShape.CrossCursor if on else Qt.CursorShape.ArrowCursor)

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.accept()
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.zoom_by(STEP ** (wheel.amount(event) / wheel.NOTCH), event.position())
        elif self._view.mode != "fit" and wheel.is_finger(event):
            self.pan(wheel.pixels(event))
        elif steps := self._turns.steps(event):
            self.turned.emit(steps)

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.NativeGesture:
            assert isinstance(event, QNativeGestureEvent)
            if event.gestureType() == Qt.NativeGestureType.ZoomNativeGesture:
                self.zoom_by(1.0 + event.value(), event.position())
                return True
            if event.gestureType() == Qt.NativeGestureType.SmartZoomNativeGesture:
                self.toggle_zoom(event.position())
                return True
        return super().event(event)


def _around(outer: QRect, inner: QRect) -> list[QRect]:
    """What of a rectangle lies outside another one: above, left, right and below."""
    inner = inner.intersected(outer)
    if inner.isEmpty():
        return [outer]
    middle = inner.height()
    right, below = inner.right() + 1, inner.bottom() + 1
    return [
        QRect(outer.left(), outer.top(), outer.width(), inner.top() - outer.top()),
        QRect(outer.left(), inner.top(), inner.left() - outer.left(), middle),
        QRect(right, inner.top(), outer.right() + 1 - right, middle),
        QRect(outer.left(), below, outer.width(), outer.bottom() + 1 - below),
    ]
