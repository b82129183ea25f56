"""How one picture of the grid looks: thumbnail, badges, caption; and its caption's editor."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from PySide6.QtCore import (
    QAbstractItemModel,
    QCoreApplication,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPointF,
    QRect,
    QRectF,
    QSize,
    Qt,
)
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QHelpEvent,
    QImage,
    QKeyEvent,
    QPainter,
    QPen,
    QTextLayout,
    QTextOption,
)
from PySide6.QtWidgets import (
    QAbstractItemDelegate,
    QAbstractItemView,
    QPlainTextEdit,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolTip,
    QWidget,
)

from app import icons, theme
from app.concepts.facts import PictureFacts
from app.concepts.model import FACTS
from app.thumbnails import ThumbnailStore

Index = QModelIndex | QPersistentModelIndex

TILE_LINES, LIST_LINES = 3, 5
_KEPT_TEXTS = 2000
_CONTROL = Qt.KeyboardModifier.ControlModifier
# Badges stand on the picture: their colours are those of the dark theme in both.
_ON_PICTURE = theme.DARK


@dataclass(frozen=True)
class Badge:
    """One mark on a picture: its drawing, colour and meaning."""

    icon: str
    colour: str
    text: str


@dataclass(frozen=True)
class TileShape:
    """Lengths of one cell in pixels. as_list: caption beside the picture, not under it."""

    cell: QSize
    picture: QSize
    pad: int
    as_list: bool

    def picture_box(self, cell: QRect) -> QRect:
        """Where the thumbnail lies."""
        return QRect(cell.left() + self.pad, cell.top() + self.pad, *self.picture.toTuple())

    def text_box(self, cell: QRect) -> QRect:
        """Where the caption lies."""
        box = self.picture_box(cell)
        if self.as_list:
            left = box.right() + 2 * self.pad
            return QRect(left, box.top(), cell.right() - self.pad - left, box.height())
        top = box.bottom() + 1 + self.pad // 2
        return QRect(box.left(), top, box.width(), cell.bottom() - self.pad // 2 - top)


def single_line_height() -> float:
    """Height of a line of the small font."""
    return QFontMetricsF(theme.font("small")).height()


def tile_shape(room: int, edge: int, as_list: bool) -> tuple[TileShape, int]:
    """The shape of cells in a view `room` pixels wide, and how many stand side by side.

    edge: the thumbnails' side; tiles grow or shrink a little so that a row is filled.
    """
    pad = theme.unit(0.75)
    if as_list:
        side = max(edge // 2, theme.unit(9))
        return TileShape(QSize(room, side + 2 * pad), QSize(side, side), pad, True), 1
    columns = max(1, round(room / (edge + 2 * pad)))
    width = max(room // columns, 4 * pad)
    side = width - 2 * pad
    height = 2 * pad + side + round(TILE_LINES * single_line_height())
    return TileShape(QSize(width, height), QSize(side, side), pad, False), columns


class TileDelegate(QStyledItemDelegate):
    """Paints pictures as tiles or list rows, and edits captions in place."""

    def __init__(self, store: ThumbnailStore, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.store = store
        self.shape, _ = tile_shape(800, theme.unit(20), False)
        self._texts: OrderedDict[tuple[str, int, int], list[str]] = OrderedDict()
        theme.notifier().changed.connect(self._texts.clear)

    # --- painting ------------------------------------------------------------

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        facts: PictureFacts = index.data(FACTS)
        cell: QRect = option.rect  # type: ignore[attr-defined]
        state: QStyle.StateFlag = option.state  # type: ignore[attr-defined]
        self._paint_ground(painter, cell, state)
        box = self.shape.picture_box(cell)
        painter.fillRect(box, QColor(theme.colours().picture))
        self._paint_picture(painter, box, facts)
        self._paint_badges(painter, box, facts)
        self._paint_text(painter, self.shape.text_box(cell), facts)

    def _paint_ground(self, painter: QPainter, cell: QRect, state: QStyle.StateFlag) -> None:
        colours = theme.colours()
        inner = QRectF(cell).adjusted(1.5, 1.5, -1.5, -1.5)
        selected = bool(state & QStyle.StateFlag.State_Selected)
        focused = bool(state & QStyle.StateFlag.State_HasFocus)
        if not (selected or focused or state & QStyle.StateFlag.State_MouseOver):
            return
        painter.setPen(Qt.PenStyle.NoPen)
        if focused or selected:
            line = colours.accent if focused else colours.accent_soft
            painter.setPen(QPen(QColor(line), 2 if focused else 1))
        painter.setBrush(QColor(colours.accent_soft if selected else colours.hover))
        painter.drawRoundedRect(inner, self.shape.pad * 0.7, self.shape.pad * 0.7)

    def _paint_picture(self, painter: QPainter, box: QRect, facts: PictureFacts) -> None:
        image = self.store.peek(facts.path, self.wanted_edge(painter.device().devicePixelRatioF()))
        if facts.problem or (image is not None and image.isNull()):
            side = box.height() / 3
            place = QRectF(0, 0, side, side)
            place.moveCenter(QPointF(box.center()))
            icons.draw_in(painter, "image-off", place, _ON_PICTURE.disabled)
            return
        if image is None:
            return
        if facts.note.mark == "reject":
            painter.setOpacity(0.35)
        painter.drawImage(fitted(image, box), image)
        painter.setOpacity(1.0)
        if facts.note.mark == "reject":
            bar = max(3, self.shape.pad // 2)
            painter.fillRect(
                QRect(box.left(), box.bottom() + 1 - bar, box.width(), bar),
                QColor(_ON_PICTURE.error),
            )

    def wanted_edge(self, ratio: float) -> int:
        """How large thumbnails are on the screen, in its own pixels."""
        return round(max(self.shape.picture.width(), self.shape.picture.height()) * ratio)

    def _paint_badges(self, painter: QPainter, box: QRect, facts: PictureFacts) -> None:
        side = theme.unit(2.5)
        gap = max(1, side // 8)
        x, y = box.left() + gap, box.top() + gap
        for badge in self.badges(facts):
            if x + side > box.right():
                return
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(20, 20, 20, 200))
            painter.drawRoundedRect(QRectF(x, y, side, side), side / 4, side / 4)
            inset = side * 0.17
            place = QRectF(x, y, side, side).adjusted(inset, inset, -inset, -inset)
            icons.draw_in(painter, badge.icon, place, badge.colour)
            x += side + gap

    def badges(self, facts: PictureFacts) -> list[Badge]:
        """The marks of a picture, the gravest first."""
        c, found = _ON_PICTURE, []
        if facts.problem:
            found.append(Badge("file-x", c.error, facts.problem))
        elif facts.caption_problem:
            found.append(Badge("file-x", c.error, caption_trouble(facts)))
        elif facts.no_caption and facts.read:
            found.append(Badge("captions-off", c.warning, self.tr("No caption")))
        if facts.small and not facts.problem:
            text = self.tr("Smaller than its bucket: it is enlarged, which blurs it")
            found.append(Badge("scaling", c.warning, text))
        if facts.group >= 0:
            found.append(Badge("copy", c.warning, self.tr("Nearly the same as another picture")))
        if facts.note.mark == "reject":
            found.append(Badge("x", c.error, self.tr("Marked as rejected")))
        elif facts.note.mark == "keep":
            found.append(Badge("check", c.good, self.tr("Marked to keep")))
        if facts.mask:
            found.append(Badge("venetian-mask", c.text, self.tr("Has a mask")))
        if facts.note.focus is not None:
            found.append(Badge("crosshair", c.text, self.tr("The crop follows a point you set")))
        return found

    def _paint_text(self, painter: QPainter, box: QRect, facts: PictureFacts) -> None:
        colours = theme.colours()
        painter.setFont(theme.font("small"))
        text, colour, name = facts.text.strip(), colours.text, facts.path.name
        if facts.problem:
            text, colour = facts.problem, colours.error
        elif facts.caption_problem:
            text, colour = caption_trouble(facts), colours.error
        elif not text:
            text, colour = (self.tr("no caption") if facts.read else ""), colours.muted
        metrics = QFontMetricsF(theme.font("small"))
        y, height = box.top() + metrics.ascent(), metrics.height()
        lines = TILE_LINES
        if self.shape.as_list:
            painter.setPen(QColor(colours.muted))
            about = f"{name}   {size_text(facts)}"
            elide = Qt.TextElideMode.ElideMiddle
            painter.drawText(QPointF(box.left(), y), metrics.elidedText(about, elide, box.width()))
            y += height * 1.2
            lines = max(1, int((box.bottom() - y) / height) + 1)
        painter.setPen(QColor(colour))
        for line in self._lines(text, box.width(), min(lines, LIST_LINES + 3)):
            painter.drawText(QPointF(box.left(), y), line)
            y += height

    def _lines(self, text: str, width: int, most: int) -> list[str]:
        """A text broken into at most so many lines, the last one ending in an ellipsis."""
        key = (text, width, most)
        if key in self._texts:
            self._texts.move_to_end(key)
            return self._texts[key]
        lines = self._texts[key] = broken(text, width, most)
        while len(self._texts) > _KEPT_TEXTS:
            self._texts.popitem(last=False)
        return lines

    def helpEvent(
        self,
        event: QHelpEvent,
        view: QAbstractItemView,
        option: QStyleOptionViewItem,
        index: Index,
    ) -> bool:
        if not index.isValid():
            QToolTip.hideText()
            return True
        facts: PictureFacts = index.data(FACTS)
        lines = [facts.path.name, size_text(facts), *(b.text for b in self.badges(facts))]
        QToolTip.showText(event.globalPos(), "\n".join(line for line in lines if line), view)
        return True

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return self.shape.cell

    # --- editing ------------------------------------------------------------

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: Index) -> QWidget:
        return CaptionEditor(parent)

    def setEditorData(self, editor: QWidget, index: Index) -> None:
        # The model's text may change while its editor is open; what is being typed stays.
        if isinstance(editor, CaptionEditor) and not editor.started:
            editor.start(str(index.data(Qt.ItemDataRole.EditRole)))

    def setModelData(self, editor: QWidget, model: QAbstractItemModel, index: Index) -> None:
        if isinstance(editor, CaptionEditor):
            model.setData(index, editor.exact_text(), Qt.ItemDataRole.EditRole)

    def updateEditorGeometry(
        self, editor: QWidget, option: QStyleOptionViewItem, index: Index
    ) -> None:
        cell: QRect = option.rect  # type: ignore[attr-defined]
        around = editor.parentWidget()
        assert around is not None
        room = around.rect()
        text = self.shape.text_box(cell)
        pad = self.shape.pad
        width = min(max(text.width() + 2 * pad, theme.em(44)), room.width())
        height = min(max(text.height() + pad, round(single_line_height() * 8)), room.height())
        left = min(max(text.left() - pad, 0), room.width() - width)
        top = min(max(text.top() - pad // 2, 0), room.height() - height)
        editor.setGeometry(left, top, width, height)

    def eventFilter(self, editor: QObject, event: QEvent) -> bool:
        if (
            isinstance(editor, CaptionEditor)
            and isinstance(event, QKeyEvent)
            and event.type() == QEvent.Type.KeyPress
            and (end := _end_of_editing(event)) is not None
        ):
            self.commitData.emit(editor)
            self.closeEditor.emit(editor, end)
            return True
        return super().eventFilter(editor, event)


def _end_of_editing(event: QKeyEvent) -> QAbstractItemDelegate.EndEditHint | None:
    """What follows when a key ends editing; None where it does not. Qt leaves these to texts."""
    hints = QAbstractItemDelegate.EndEditHint
    if event.key() == Qt.Key.Key_Tab:
        return hints.EditNextItem
    if event.key() == Qt.Key.Key_Backtab:
        return hints.EditPreviousItem
    enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
    return hints.NoHint if enter and event.modifiers() & _CONTROL else None


class CaptionEditor(QPlainTextEdit):
    """Edits one caption where it stands; keeps undo of its own while it is open."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.started = False
        self.setTabChangesFocus(True)
        self.setAccessibleName(self.tr("Caption"))
        self.setToolTip(
            self.tr("Ctrl+Enter keeps the text, Esc leaves it as it was, Tab goes on to the next")
        )

    def event(self, event: QEvent) -> bool:
        # The window trains by this key; while a caption is written it ends the writing.
        if (
            event.type() == QEvent.Type.ShortcutOverride
            and isinstance(event, QKeyEvent)
            and _end_of_editing(event) is not None
        ):
            event.accept()
            return True
        return super().event(event)

    def start(self, text: str) -> None:
        """Begin with a text, the cursor at its end."""
        self.started = True
        self.setPlainText(text)
        self.moveCursor(self.textCursor().MoveOperation.End)

    def exact_text(self) -> str:
        """The text with all its spaces: `toPlainText` makes no-break spaces ordinary ones."""
        return self.document().toRawText().replace("\u2029", "\n")


def fitted(image: QImage, box: QRect) -> QRectF:
    """Where a picture lies in `box`: whole, in the middle, never enlarged beyond the box."""
    size = image.size().scaled(box.size(), Qt.AspectRatioMode.KeepAspectRatio)
    size = size.expandedTo(QSize(1, 1))
    place = QRect(box.topLeft(), size)
    place.moveCenter(box.center())
    return QRectF(place)


def caption_trouble(facts: PictureFacts) -> str:
    """Why a picture's caption is not known, or empty."""
    if not facts.caption_problem:
        return ""
    text = QCoreApplication.translate("PictureFacts", "The caption cannot be read: %1")
    return text.replace("%1", facts.caption_problem)


def size_text(facts: PictureFacts) -> str:
    """Pixels and bytes in short: `1024 × 768, 1.2 MB`."""
    if not facts.read or not facts.bytes:
        return ""
    number = float(facts.bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            break
        number /= 1000
    amount = f"{number:.0f} {unit}" if unit in ("B", "kB") else f"{number:.1f} {unit}"
    return f"{facts.size[0]} × {facts.size[1]}, {amount}" if facts.size else amount


def broken(text: str, width: int, most: int) -> list[str]:
    """A text in lines of the small font that fit into `width`, at most `most` of them."""
    font = theme.font("small")
    metrics = QFontMetricsF(font)
    option = QTextOption()
    option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
    lines: list[str] = []
    # Qt takes a byte order mark at the beginning for none of the text, and would count without it.
    paragraphs = [p for line in text.split("\n") if (p := line.lstrip("\ufeff")).strip()]
    for number, paragraph in enumerate(paragraphs):
        # No more than could be shown: captions may be pages long.
        units = paragraph[: 80 * most].encode("utf-16-le", "surrogatepass")
        layout = QTextLayout(paragraph[: 80 * most], font)
        layout.setTextOption(option)
        layout.beginLayout()
        while (line := layout.createLine()).isValid():
            line.setLineWidth(max(1, width))
            start, end = 2 * line.textStart(), 2 * (line.textStart() + line.textLength())
            if len(lines) == most - 1:
                ends_here = end >= len(units) and number + 1 == len(paragraphs)
                rest = _text(units[start : end + 160]) + ("" if ends_here else " …")
                lines.append(metrics.elidedText(rest, Qt.TextElideMode.ElideRight, width))
                break
            lines.append(_text(units[start:end]))
        layout.endLayout()
        if len(lines) == most:
            break
    return lines


def _text(units: bytes) -> str:
    """Qt counts text in units of UTF-16."""
    return units.decode("utf-16-le", "replace")
