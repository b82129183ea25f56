"""Turns of a mouse wheel, and two fingers moving on a touchpad, which send the same events."""

from __future__ import annotations

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QInputDevice, QWheelEvent

NOTCH = 120
# A finger's swipe sends many small amounts; pictures shall not fly by.
_SWIPE = 2 * NOTCH
_PIXELS_PER_NOTCH = 60.0


def is_finger(event: QWheelEvent) -> bool:
    """Whether a touchpad sent this.

    X11 tells pixels for mouse wheels too, where a notch is a whole one and has no phase.
    """
    device = event.device()
    if device is not None and device.type() == QInputDevice.DeviceType.TouchPad:
        return True
    if event.phase() != Qt.ScrollPhase.NoScrollPhase:
        return True
    turn = event.angleDelta()
    return not event.pixelDelta().isNull() and bool(turn.x() % NOTCH or turn.y() % NOTCH)


def amount(event: QWheelEvent) -> int:
    """The larger of the two directions, `NOTCH` for a notch away from the user."""
    turn = event.angleDelta()
    return turn.y() if abs(turn.y()) >= abs(turn.x()) else turn.x()


def pixels(event: QWheelEvent) -> QPointF:
    """How far fingers moved, in logical pixels."""
    if not event.pixelDelta().isNull():
        return QPointF(event.pixelDelta())
    return QPointF(event.angleDelta()) * (_PIXELS_PER_NOTCH / NOTCH)


class Turns:
    """Adds up small amounts until they make a step."""

    def __init__(self) -> None:
        self._sum = 0

    def steps(self, event: QWheelEvent) -> int:
        """Pictures to go on by, negative for back: one for each notch, or for a longer swipe."""
        if event.phase() == Qt.ScrollPhase.ScrollMomentum:
            return 0  # the fingers have left the touchpad
        turned = amount(event)
        if event.phase() == Qt.ScrollPhase.ScrollBegin or turned * self._sum < 0:
            self._sum = 0
        self._sum += turned
        step = _SWIPE if is_finger(event) else NOTCH
        steps = int(self._sum / step)
        self._sum -= steps * step
        return -steps if step == NOTCH else -max(-1, min(1, steps))
