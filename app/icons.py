"""Icons from `resources/icons` (Lucide), drawn in the colours of the theme in use."""

from __future__ import annotations

from functools import lru_cache

from PySide6.QtCore import QByteArray, QPoint, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QIcon, QIconEngine, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from app import theme
from core.paths import resources_dir


@lru_cache(maxsize=256)
def _renderer(name: str, colour: str) -> QSvgRenderer:
    """The drawing `name` in `colour`. Raises FileNotFoundError for an unknown name."""
    svg = (resources_dir() / "icons" / f"{name}.svg").read_text(encoding="utf-8")
    return QSvgRenderer(QByteArray(svg.replace("currentColor", colour).encode()))


class _Engine(QIconEngine):
    """Draws at paint time, so that a change of theme or screen needs no new icon."""

    def __init__(self, name: str, role: str) -> None:
        super().__init__()
        self._name, self._role = name, role

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        disabled = mode == QIcon.Mode.Disabled
        colour = getattr(theme.colours(), "disabled" if disabled else self._role)
        # A box wider than high leaves air between the drawing and the text behind it.
        box = QRectF(rect.x(), rect.y(), min(rect.width(), rect.height()), rect.height())
        _renderer(self._name, colour).render(painter, box)

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        if size.isEmpty():
            return QPixmap()
        result = QPixmap(size)
        result.fill(Qt.GlobalColor.transparent)
        painter = QPainter(result)
        self.paint(painter, QRect(QPoint(0, 0), size), mode, state)
        painter.end()
        return result

    def clone(self) -> QIconEngine:
        return _Engine(self._name, self._role)


def icon(name: str, role: str = "text") -> QIcon:
    """The icon `name` in the theme colour `role` (a field of `theme.Colours`).

    Raises FileNotFoundError when there is no such drawing.
    """
    _renderer(name, getattr(theme.colours(), role))
    return QIcon(_Engine(name, role))


def draw(painter: QPainter, name: str, rect: QRectF, role: str = "text") -> None:
    """Draw the icon `name` into `rect`."""
    _renderer(name, getattr(theme.colours(), role)).render(painter, rect)


def draw_in(painter: QPainter, name: str, rect: QRectF, colour: str) -> None:
    """Draw the icon `name` into `rect` in a colour (#rrggbb) that no theme changes."""
    _renderer(name, colour).render(painter, rect)


def pixmap(name: str, size: int, role: str = "text", ratio: float = 1.0) -> QPixmap:
    """The icon as a pixmap of `size` logical pixels for a screen of pixel ratio `ratio`."""
    result = QPixmap(round(size * ratio), round(size * ratio))
    result.fill(Qt.GlobalColor.transparent)
    painter = QPainter(result)
    draw(painter, name, QRectF(0, 0, result.width(), result.height()), role)
    painter.end()
    result.setDevicePixelRatio(ratio)
    return result
