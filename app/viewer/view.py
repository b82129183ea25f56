"""Which part of a picture is seen at which size; plain geometry in device pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from PySide6.QtCore import QPointF, QRectF, QSize, QSizeF

from app.viewer.decode import fitting

MOST_SCALE, LEAST_SCALE = 32.0, 0.01
# Fitting enlarges small pictures up to here, so that an icon does not fill a screen.
MOST_FIT = 3.0
# Pictures that nearly fill the window anyway are shown pixel for pixel, which is sharper.
NEARLY = 1.15
STEP = 1.25


@dataclass(frozen=True)
class View:
    """fit: whole picture; fill: no margin; free: `scale` device pixels per picture pixel with the
    picture's point (x, y), as fractions of its sides, in the middle."""

    mode: Literal["fit", "fill", "free"] = "fit"
    scale: float = 1.0
    x: float = 0.5
    y: float = 0.5


FIT = View()


def scale_of(view: View, picture: QSize, box: QSize) -> float:
    """Device pixels per picture pixel."""
    if picture.isEmpty() or box.isEmpty():
        return 1.0
    wide, high = box.width() / picture.width(), box.height() / picture.height()
    match view.mode:
        case "fit":
            scale = min(wide, high, MOST_FIT)
            return 1.0 if 1 < scale < NEARLY else scale
        case "fill":
            return max(wide, high)
    return view.scale


def target_of(view: View, picture: QSize, box: QSize) -> QRectF:
    """Where the whole picture lies, in device pixels from the box's left upper corner.

    Fitted pictures that are scaled down get the size that they are decoded in, at whole pixels.
    """
    if picture.isEmpty():
        return QRectF()
    scale = scale_of(view, picture, box)
    if view.mode == "fit" and scale < 1:
        size = QSizeF(fitting(picture, box))
    else:
        size = QSizeF(picture.width() * scale, picture.height() * scale)
    left = _side(size.width(), box.width(), view.x if view.mode == "free" else 0.5)
    top = _side(size.height(), box.height(), view.y if view.mode == "free" else 0.5)
    return QRectF(QPointF(round(left), round(top)), size)


def _side(length: float, room: float, middle: float) -> float:
    if length <= room:
        return (room - length) / 2
    return min(0.0, max(room - length, room / 2 - middle * length))


def zoomed(view: View, scale: float, at: QPointF, picture: QSize, box: QSize) -> View:
    """The view at another scale with the picture's point under `at` (device pixels) kept there."""
    scale = min(MOST_SCALE, max(LEAST_SCALE, scale))
    before = target_of(view, picture, box)
    if before.isEmpty():
        return view
    x = (at.x() - before.left()) / before.width()
    y = (at.y() - before.top()) / before.height()
    wide, high = picture.width() * scale, picture.height() * scale
    middle_x = x + (box.width() / 2 - at.x()) / wide
    middle_y = y + (box.height() / 2 - at.y()) / high
    return bounded(View("free", scale, middle_x, middle_y), picture, box)


def panned(view: View, by: QPointF, picture: QSize, box: QSize) -> View:
    """The view moved by `by` device pixels, as a hand moves paper; fitted ones don't move."""
    if view.mode == "fit" or picture.isEmpty():
        return view
    scale = scale_of(view, picture, box)
    free = replace(view, mode="free", scale=scale)
    if view.mode == "fill":
        free = replace(free, x=0.5, y=0.5)
    moved = replace(
        free,
        x=free.x - by.x() / (picture.width() * scale),
        y=free.y - by.y() / (picture.height() * scale),
    )
    return bounded(moved, picture, box)


def bounded(view: View, picture: QSize, box: QSize) -> View:
    """The view with its middle where the picture still covers as much of the box as it can."""
    if view.mode != "free" or picture.isEmpty():
        return view
    return replace(
        view,
        x=_middle(view.x, picture.width() * view.scale, box.width()),
        y=_middle(view.y, picture.height() * view.scale, box.height()),
    )


def _middle(value: float, length: float, room: float) -> float:
    if length <= room:
        return 0.5
    half = room / 2 / length
    return min(1 - half, max(half, value))
