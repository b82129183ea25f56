"""The hero of the panel: one sample, large, on neutral grey, or two of them side by side."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from app import icons, theme

# Below this magnification a picture is scaled smoothly. From it on, every pixel becomes a block
# of whole screen pixels first, so that a 64 px demo picture stays crisp instead of foggy.
CRISP_FROM = 1.75


@dataclass
class Shown:
    """One picture in the view: the image, null when unreadable, and the words below it."""

    image: QImage
    label: str = ""


class PictureView(QWidget):
    """Paints one or two pictures as large as they fit; never upsets the layout by their size.

    Signals:
        zoomAsked(): double click. stepAsked(int): arrow keys, -1 or +1 step.
        promptAsked(int): arrow keys, -1 or +1 prompt. endAsked(bool): Home (False), End (True).
        beforeHeld(bool): the key B is down.
    """

    zoomAsked = Signal()
    stepAsked = Signal(int)
    promptAsked = Signal(int)
    endAsked = Signal(bool)
    beforeHeld = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: list[Shown] = []
        self._message = ""
        self._scaled: dict[tuple[int, int, int], QImage] = {}
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(self.tr("Sample picture"))

    def show_pictures(self, shown: list[Shown]) -> None:
        """Show these, left to right."""
        self._shown, self._message = shown, ""
        self._scaled.clear()
        self.update()

    def show_message(self, text: str) -> None:
        """Show a sentence instead of a picture."""
        self._shown, self._message = [], text
        self.update()

    def shown(self) -> list[Shown]:
        """What is on view now."""
        return list(self._shown)

    def minimumSizeHint(self) -> QSize:
        """Small enough for a window at 200 %."""
        return QSize(theme.unit(16), theme.unit(12))

    def sizeHint(self) -> QSize:
        """The size that a picture needs to be judged."""
        return QSize(theme.unit(48), theme.unit(40))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        radius = theme.unit(0.5)
        colours = theme.colours()
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colours.picture))
        painter.drawRoundedRect(self.rect(), radius, radius)
        if self._message:
            self._paint_message(painter, QRectF(self.rect()), self._message)
        gap = theme.unit(1)
        area = QRectF(self.rect()).adjusted(gap, gap, -gap, -gap)
        width = (area.width() - gap * (len(self._shown) - 1)) / max(1, len(self._shown))
        for number, shown in enumerate(self._shown):
            left = area.left() + number * (width + gap)
            self._paint_one(painter, shown, QRectF(left, area.top(), width, area.height()))
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QColor(colours.accent))
            painter.drawRoundedRect(
                QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), radius, radius
            )
        painter.end()

    def _paint_one(self, painter: QPainter, shown: Shown, area: QRectF) -> None:
        painter.setFont(theme.font("small"))
        line = painter.fontMetrics().height() + theme.unit(0.5) if shown.label else 0
        box = area.adjusted(0, 0, 0, -line)
        if shown.image.isNull():
            self._paint_message(painter, box, self.tr("This picture cannot be read."))
            target = box
        else:
            ratio = self.devicePixelRatioF()
            scaled = self._fit(shown.image, box.size() * ratio)
            size = scaled.size() / ratio
            target = QRectF(0, 0, size.width(), size.height())
            target.moveCenter(box.center())
            # Whole device pixels, or the blocks of a crisp picture get uneven.
            target.moveTopLeft(
                QPointF(round(target.x() * ratio) / ratio, round(target.y() * ratio) / ratio)
            )
            painter.drawImage(target, scaled)
        if shown.label:
            below = QRectF(area.left(), target.bottom(), area.width(), line)
            painter.setPen(QColor(255, 255, 255, 190))
            painter.drawText(below, Qt.AlignmentFlag.AlignCenter, shown.label)

    def _fit(self, image: QImage, size: object) -> QImage:
        """The image scaled to fit `size` device pixels, remembered until the next change."""
        width, height = int(size.width()), int(size.height())  # type: ignore[attr-defined]
        key = (image.cacheKey(), width, height)
        if key not in self._scaled:
            self._scaled = {k: v for k, v in self._scaled.items() if k[1:] == key[1:]}
            self._scaled[key] = fit_image(image, width, height)
        return self._scaled[key]

    def _paint_message(self, painter: QPainter, area: QRectF, text: str) -> None:
        painter.setFont(theme.font("body"))
        painter.setPen(QColor(255, 255, 255, 170))
        flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
        margin = theme.unit(2)
        painter.drawText(area.adjusted(margin, margin, -margin, -margin), flags, text)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self.zoomAsked.emit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = event.key()
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}
        prompts = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}
        if key in steps:
            self.stepAsked.emit(steps[Qt.Key(key)])
        elif key in prompts:
            self.promptAsked.emit(prompts[Qt.Key(key)])
        elif key in (Qt.Key.Key_Home, Qt.Key.Key_End):
            self.endAsked.emit(key == Qt.Key.Key_End)
        elif key == Qt.Key.Key_B:
            if not event.isAutoRepeat():
                self.beforeHeld.emit(True)
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_F):
            self.zoomAsked.emit()
        else:
            super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_B and not event.isAutoRepeat():
            self.beforeHeld.emit(False)
        else:
            super().keyReleaseEvent(event)

    def focusOutEvent(self, event: QEvent) -> None:
        self.beforeHeld.emit(False)
        super().focusOutEvent(event)  # type: ignore[arg-type]


def fit_image(image: QImage, width: int, height: int) -> QImage:
    """`image` scaled to fit `width` x `height` device pixels.

    Large ones shrink smoothly; small ones grow by a whole factor without blending (and by the
    small rest smoothly, so that the picture still fills the room there is).
    """
    if width < 1 or height < 1 or image.isNull():
        return QImage()
    keep = Qt.AspectRatioMode.KeepAspectRatio
    smooth = Qt.TransformationMode.SmoothTransformation
    factor = min(width / image.width(), height / image.height())
    if factor < CRISP_FROM:
        return image.scaled(width, height, keep, smooth)
    blocks = -int(-factor // 1)
    crisp = image.scaled(
        image.width() * blocks,
        image.height() * blocks,
        keep,
        Qt.TransformationMode.FastTransformation,
    )
    return crisp if blocks == factor else crisp.scaled(width, height, keep, smooth)


def draw_missing(painter: QPainter, area: QRectF) -> None:
    """The sign for a picture that is not there, in a thumbnail's place."""
    edge = min(area.width(), area.height()) / 3
    spot = QRectF(0, 0, edge, edge)
    spot.moveCenter(area.center())
    icons.draw(painter, "images", spot, "disabled")
