"""What is drawn over a picture: crop, mask, marks, badges, facts and caption."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import cos, floor, pi, sin

from PySide6.QtCore import QLocale, QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QImage, QPainter, QPen, QPolygonF

from app import icons, theme
from core.data.types import Placement

# Over pictures the same in both themes: light on a dark veil.
VEIL = QColor(18, 18, 18, 205)
TEXT, MUTED = QColor("#f4f4f2"), QColor("#b9b9b5")
KEEP, REJECT, STAR = QColor("#54c184"), QColor("#ef6b62"), QColor("#f5c451")
_DIM = QColor(0, 0, 0, 150)
_BAND = 48


@dataclass
class Badge:
    """A short word about the picture. kind: `plain` or `warning`."""

    text: str
    kind: str = "plain"


@dataclass
class Shown:
    """What is drawn over one picture; empty parts are not.

    top: room for the bar at the upper edge, in logical pixels.
    """

    mark: str = ""
    stars: int = 0
    badges: list[Badge] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    caption: str | None = None
    caption_note: str = ""
    placement: Placement | None = None
    crop_text: str = ""
    focus: tuple[float, float] | None = None
    mask: QImage | None = None
    message: tuple[str, str] | None = None
    top: float = 0.0
    active: bool = False
    many: bool = False


def draw(painter: QPainter, room: QRectF, target: QRectF, shown: Shown) -> None:
    """Draw everything over a picture at `target` in a pane `room`, both in logical pixels."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    free = room.adjusted(0, shown.top, 0, 0)
    if not target.isEmpty():
        if shown.mark == "reject":
            _shade(painter, target.intersected(room), QColor(0, 0, 0, 130))
        if shown.mask is not None and not shown.mask.isNull():
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(target, shown.mask)
        if shown.placement is not None:
            _draw_crop(painter, room, target, shown)
        if shown.focus is not None:
            _draw_focus(painter, target, shown.focus)
    bottom = room.bottom()
    if shown.caption is not None or shown.caption_note:
        bottom = _draw_caption(painter, room, shown)
    if shown.placement is not None and shown.crop_text and not target.isEmpty():
        _draw_crop_text(painter, room, target, bottom, shown)
    _draw_mark(painter, room, shown)
    _draw_badges(painter, free, shown)
    if shown.lines:
        # A small pane keeps room for the picture.
        rows = int(free.height() * 0.5 / _line_height() / 1.25)
        _draw_lines(painter, free, shown.lines[: max(2, rows)])
    if shown.message is not None:
        _draw_message(painter, room, *shown.message)
    if shown.many:
        colour = QColor(theme.colours().accent) if shown.active else QColor(0, 0, 0, 90)
        # Smoothing a frame as large as the window costs milliseconds and changes nothing.
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.setPen(QPen(colour, 3 if shown.active else 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(room.adjusted(1, 1, -2, -2))


def crop_rect(placement: Placement, target: QRectF) -> QRectF:
    """Where the bucket's cut lies on a picture drawn at `target`."""
    full_width, full_height = placement.resized
    x, y = target.width() / full_width, target.height() / full_height
    left, top = placement.crop
    return QRectF(
        target.left() + left * x,
        target.top() + top * y,
        placement.bucket.width * x,
        placement.bucket.height * y,
    ).intersected(target)


def _draw_crop(painter: QPainter, room: QRectF, target: QRectF, shown: Shown) -> None:
    assert shown.placement is not None
    crop = crop_rect(shown.placement, target)
    seen = target.intersected(room)
    for outside in (
        QRectF(seen.topLeft(), QPointF(seen.right(), crop.top())),
        QRectF(QPointF(seen.left(), crop.bottom()), seen.bottomRight()),
        QRectF(QPointF(seen.left(), crop.top()), QPointF(crop.left(), crop.bottom())),
        QRectF(QPointF(crop.right(), crop.top()), QPointF(seen.right(), crop.bottom())),
    ):
        if outside.width() > 0 and outside.height() > 0:
            _shade(painter, outside, _DIM)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QPen(QColor(0, 0, 0, 160), 3))
    painter.drawRect(crop)
    painter.setPen(QPen(QColor("#ffffff"), 1))
    painter.drawRect(crop)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)


def _draw_crop_text(
    painter: QPainter, room: QRectF, target: QRectF, bottom: float, shown: Shown
) -> None:
    """The bucket's size in the cut's left lower corner, above what lies there."""
    assert shown.placement is not None
    visible = crop_rect(shown.placement, target).intersected(room)
    if visible.width() > theme.em(12):
        air = theme.unit(0.75)
        low = min(visible.bottom(), bottom) - air
        label(painter, QPointF(visible.left() + air, low), shown.crop_text, "bottom")


def _draw_focus(painter: QPainter, target: QRectF, focus: tuple[float, float]) -> None:
    x, y = target.left() + focus[0] * target.width(), target.top() + focus[1] * target.height()
    size = theme.unit(1.5)
    for colour, width in ((QColor(0, 0, 0, 180), 4), (STAR, 2)):
        painter.setPen(QPen(colour, width))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawEllipse(QPointF(x, y), size, size)
        for across, down in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            start = QPointF(x + across * size * 0.5, y + down * size * 0.5)
            painter.drawLine(start, QPointF(x + across * size * 1.5, y + down * size * 1.5))


def _draw_mark(painter: QPainter, room: QRectF, shown: Shown) -> None:
    if shown.mark:
        colour = KEEP if shown.mark == "keep" else REJECT
        height = theme.unit(0.6)
        painter.fillRect(QRectF(room.left(), room.bottom() - height, room.width(), height), colour)


def _draw_badges(painter: QPainter, room: QRectF, shown: Shown) -> None:
    """Stars, mark and badges in the right upper corner, from right to left."""
    gap = theme.unit(0.75)
    right, top = room.right() - theme.unit(1.5), room.top() + theme.unit(1.5)
    height = _line_height() + theme.unit(0.75)
    if shown.stars:
        width = draw_stars(painter, QPointF(right, top), height, shown.stars)
        right -= width + gap
    if shown.mark:
        name, colour = ("check", KEEP) if shown.mark == "keep" else ("x", REJECT)
        box = QRectF(right - height, top, height, height)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawEllipse(box)
        inner = height * 0.22
        icons.draw(painter, name, box.adjusted(inner, inner, -inner, -inner), "on_accent")
        right -= height + gap
    for badge in reversed(shown.badges):
        colour = STAR if badge.kind == "warning" else TEXT
        right -= label(painter, QPointF(right, top), badge.text, "right", colour) + gap


def draw_stars(painter: QPainter, corner: QPointF, height: float, count: int) -> float:
    """Stars on a veil with their right upper corner at `corner`; returns their width."""
    side = height * 0.62
    width = side * count + height * 0.5
    box = QRectF(corner.x() - width, corner.y(), width, height)
    _veil(painter, box)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(STAR)
    for number in range(count):
        middle = QPointF(box.left() + height * 0.25 + side * (number + 0.5), box.center().y())
        painter.drawPolygon(star_shape(middle, side * 0.48))
    return width


def star_shape(middle: QPointF, radius: float) -> QPolygonF:
    points = []
    for corner in range(10):
        length = radius if corner % 2 == 0 else radius * 0.42
        angle = corner * pi / 5 - pi / 2
        points.append(middle + QPointF(cos(angle) * length, sin(angle) * length))
    return QPolygonF(points)


def _line_height() -> float:
    return QFontMetricsF(theme.font()).height()


def _bands(painter: QPainter, box: QRectF) -> Iterator[QRectF]:
    """A box in pieces of a few lines of the screen's pixels.

    Qt spreads what blends more lines over several threads and waits for them: longer than it
    takes, and many times as long where other programs keep the cores busy.
    """
    ratio = painter.device().devicePixelRatioF()
    top, end = box.top(), floor(box.top() * ratio)
    while top < box.bottom():
        end += _BAND
        bottom = min(end / ratio, box.bottom())
        yield QRectF(box.left(), top, box.width(), bottom - top)
        top = bottom


def _shade(painter: QPainter, box: QRectF, colour: QColor) -> None:
    """Darken a part of the picture, without seams to other parts or between its bands."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    whole = QRectF(box.topLeft().toPoint(), box.bottomRight().toPoint())
    for band in _bands(painter, whole):
        painter.fillRect(band, colour)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)


def _veil(painter: QPainter, box: QRectF) -> None:
    """A dark plate with round corners to write on."""
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(VEIL)
    plate = box.toAlignedRect().toRectF()
    for band in _bands(painter, plate):
        painter.setClipRect(band)
        painter.drawRoundedRect(plate, theme.unit(0.5), theme.unit(0.5))
    painter.setClipping(False)


def label(
    painter: QPainter, corner: QPointF, text: str, anchor: str, colour: QColor = TEXT
) -> float:
    """A line of text on a veil; returns its width.

    anchor: `right` puts its right upper corner at `corner`, `bottom` its left lower one.
    """
    painter.setFont(theme.font())
    metrics = QFontMetricsF(theme.font())
    size = QSizeF(
        metrics.horizontalAdvance(text) + theme.unit(1.5), metrics.height() + theme.unit(0.75)
    )
    if anchor == "right":
        box = QRectF(corner - QPointF(size.width(), 0), size)
    else:
        box = QRectF(corner - QPointF(0, size.height()), size)
    _veil(painter, box)
    painter.setPen(colour)
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
    return size.width()


def _draw_lines(painter: QPainter, room: QRectF, lines: Sequence[str]) -> None:
    """Facts in the left upper corner; a tab sets the value apart from its name."""
    font = theme.font()
    metrics = QFontMetricsF(font)
    painter.setFont(font)
    rows = [line.partition("\t") for line in lines]
    names = max((metrics.horizontalAdvance(n) for n, tab, _ in rows if tab), default=0.0)
    gap, air = theme.unit(1.5), theme.unit(1)
    most = room.width() - 2 * theme.unit(1.5)
    values = max(
        metrics.horizontalAdvance(value) + names + gap if tab else metrics.horizontalAdvance(name)
        for name, tab, value in rows
    )
    width = min(most, values + 2 * air)
    line_height = metrics.height() * 1.25
    corner = room.topLeft() + QPointF(theme.unit(1.5), theme.unit(1.5))
    box = QRectF(corner, QSizeF(width, line_height * len(rows) + 1.5 * air))
    _veil(painter, box)
    for number, (name, tab, value) in enumerate(rows):
        line = QRectF(
            box.left() + air,
            box.top() + 0.75 * air + number * line_height,
            width - 2 * air,
            line_height,
        )
        middle = Qt.AlignmentFlag.AlignVCenter
        if tab:
            painter.setPen(MUTED)
            painter.drawText(line, middle, name)
            line.setLeft(line.left() + names + gap)
        painter.setPen(TEXT)
        text = value if tab else name
        shown = metrics.elidedText(text, Qt.TextElideMode.ElideMiddle, line.width())
        painter.drawText(line, middle, shown)


def _draw_caption(painter: QPainter, room: QRectF, shown: Shown) -> float:
    """The caption below the picture, wrapped, with its count of tokens under it; returns the
    upper edge."""
    font = theme.font()
    metrics = QFontMetricsF(font)
    painter.setFont(font)
    air = theme.unit(1)
    width = min(room.width() - theme.unit(4), theme.em(110))
    wrap = int(Qt.TextFlag.TextWordWrap | Qt.TextFlag.TextWrapAnywhere | Qt.AlignmentFlag.AlignLeft)
    text = (shown.caption or "").strip()
    most = metrics.height() * 6
    inner = QRectF(0, 0, width - 2 * air, most)
    needed = metrics.boundingRect(inner, wrap, text) if text else QRectF()
    note_height = metrics.height() if shown.caption_note else 0.0
    text_height = min(most, needed.height())
    height = text_height + note_height + 1.5 * air
    box = QRectF(0, 0, max(needed.width(), metrics.horizontalAdvance(shown.caption_note)), height)
    box.setWidth(min(width, box.width() + 2 * air))
    box.moveCenter(QPointF(room.center().x(), 0))
    box.moveBottom(room.bottom() - theme.unit(2))
    _veil(painter, box)
    body = box.adjusted(air, 0.75 * air, -air, -0.75 * air)
    if text:
        painter.setPen(TEXT)
        painter.save()
        painter.setClipRect(QRectF(body.topLeft(), QSizeF(body.width(), text_height)))
        painter.drawText(body, wrap, text)
        painter.restore()
    if shown.caption_note:
        painter.setPen(MUTED)
        painter.drawText(
            body, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom, shown.caption_note
        )
    return box.top()


def _draw_message(painter: QPainter, room: QRectF, icon: str, text: str) -> None:
    """A picture's place without a picture: an icon and a sentence in the middle."""
    side = theme.unit(5)
    painter.setFont(theme.font())
    metrics = QFontMetricsF(theme.font())
    width = min(room.width() - theme.unit(4), theme.em(60))
    wrap = int(
        Qt.TextFlag.TextWordWrap | Qt.TextFlag.TextWrapAnywhere | Qt.AlignmentFlag.AlignHCenter
    )
    needed = metrics.boundingRect(QRectF(0, 0, width, 4000), wrap, text)
    top = room.center().y() - (side + theme.unit(1.5) + needed.height()) / 2
    if icon:
        box = QRectF(room.center().x() - side / 2, top, side, side)
        icons.draw(painter, icon, box, "on_accent")
    painter.setPen(TEXT)
    place = QRectF(
        room.center().x() - width / 2, top + side + theme.unit(1.5), width, needed.height() + 4
    )
    painter.drawText(place, wrap, text)


def file_size(size: int) -> str:
    """A file's size as people read it."""
    return QLocale().formattedDataSize(size, 1, QLocale.DataSizeFormat.DataSizeTraditionalFormat)


def mask_tint(path: str) -> QImage:
    """A mask as a red veil over what training leaves out; a null image when it cannot be read.

    Called in a thread.
    """
    from PySide6.QtCore import QSize

    from app.viewer.decode import decode

    found = decode(path, QSize(1024, 1024)).image
    if found.isNull():
        return found
    alpha = found.convertToFormat(QImage.Format.Format_Grayscale8)
    alpha.invertPixels()
    tint = QImage(found.size(), QImage.Format.Format_ARGB32)
    tint.fill(QColor(220, 40, 40))
    tint.setAlphaChannel(alpha)
    faint = QImage(found.size(), QImage.Format.Format_ARGB32_Premultiplied)
    faint.fill(Qt.GlobalColor.transparent)
    painter = QPainter(faint)
    painter.setOpacity(0.55)
    painter.drawImage(0, 0, tint)
    painter.end()
    return faint
