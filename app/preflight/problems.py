"""The list of problems: grouped, wrapped, each line leading to its picture or its setting."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetrics,
    QHelpEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolTip,
)

from app import icons, theme
from app.forms import problem_kind
from app.widgets.labels import ICONS, ROLES
from core.data.scan import is_picture_name
from core.errors import Problem

Index = QModelIndex | QPersistentModelIndex
_WRAP = int(Qt.TextFlag.TextWordWrap.value | Qt.AlignmentFlag.AlignLeft.value)
# What the grid shows beside the picture that a line leads to: all that have the same trouble.
_ALIKE = {
    "captions_missing": "no_caption",
    "pictures_upscaled": "small",
    "pictures_left_out": "small",
    "duplicates_exact": "duplicates",
    "duplicates_near": "duplicates",
}
_MOST_DETAIL = 240


@dataclass(frozen=True)
class Line:
    """One line of the list: a heading, or a problem with where it leads.

    concept: the number of the concept whose picture it is about; -1 where there is none. alike:
    the filter of the grid (see FILTERS) that lets through the pictures with the same trouble.
    """

    heading: str = ""
    problem: Problem | None = None
    concept: int = -1
    picture: str = ""
    alike: str = "all"

    @property
    def text(self) -> str:
        """What the line says."""
        if self.problem is None:
            return self.heading
        hint = self.problem.hint
        return f"{self.problem.title} {hint}" if hint else self.problem.title

    @property
    def detail(self) -> str:
        """The facts that are added to it, not longer than a few lines."""
        text = self.problem.detail if self.problem is not None else ""
        return text if len(text) <= _MOST_DETAIL else f"{text[: _MOST_DETAIL - 2]} …"

    @property
    def kind(self) -> str:
        """`error`, `todo` or `warning`."""
        return problem_kind(self.problem) if self.problem else ""


def concept_of(problem: Problem) -> int:
    """The number of the concept that a problem belongs to; -1 for none."""
    parts = problem.setting.split(".")
    return int(parts[1]) if parts[0] == "concepts" and parts[1:2] and parts[1].isdigit() else -1


def lines_of(problems: Sequence[Problem], titles: dict[int, str], words: Words) -> list[Line]:
    """The problems under their headings: errors, settings, then concept by concept.

    titles: how each concept is called.
    """
    groups: dict[tuple[int, int], list[Line]] = {}
    for problem in problems:
        concept = concept_of(problem)
        picture = problem.file if concept >= 0 and is_picture_name(problem.file) else ""
        key = (0, -1) if problem.severity == "error" else (1, concept)
        groups.setdefault(key, []).append(
            Line(
                problem=problem,
                concept=concept,
                picture=os.path.normpath(picture) if picture else "",
                alike=_ALIKE.get(problem.code, "all"),
            )
        )
    lines: list[Line] = []
    for (rank, concept), group in sorted(groups.items(), key=lambda pair: pair[0]):
        if rank == 0:
            title = words.errors
        elif concept < 0:
            title = words.settings
        else:
            title = titles.get(concept, str(concept + 1))
        lines += [Line(heading=f"{title}  ({len(group)})"), *group]
    return lines


@dataclass(frozen=True)
class Words:
    """The headings' translated words."""

    errors: str
    settings: str


class _Model(QAbstractListModel):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.lines)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            line = self.lines[index.row()]
            return f"{line.text} {line.detail}".rstrip()
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        if self.lines[index.row()].problem is None:
            return Qt.ItemFlag.NoItemFlags
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable

    def show(self, lines: list[Line]) -> None:
        self.beginResetModel()
        self.lines = lines
        self.endResetModel()


class _Delegate(QStyledItemDelegate):
    """Draws a line: icon, wrapped text, and at its end where it leads to."""

    def __init__(self, view: ProblemList) -> None:
        super().__init__(view)
        self._view = view

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        line = self._view.line(index)
        width = self._view.viewport().width()
        if line.problem is None:
            return QSize(width, _metrics("body").height() + theme.unit(1.25))
        text = self.text_rect(QRect(0, 0, width, 100_000))
        height = _height(text, line.text, "body") + _height(text, line.detail, "small")
        return QSize(width, height + theme.unit(0.75))

    def text_rect(self, rect: QRect) -> QRect:
        """Where the text of a line lies in the line's rectangle."""
        side = _icon_side()
        left = theme.unit(0.75) + side + theme.unit(0.75)
        right = 2 * self._zone() + theme.unit(0.5)
        return rect.adjusted(left, theme.unit(0.375), -right, 0)

    def _zone(self) -> int:
        return _icon_side() + theme.unit(1)

    def zone_rect(self, rect: QRect, place: int) -> QRect:
        """The square of a small button at a line's end; place 0 is the last one."""
        zone = self._zone()
        height = _metrics("body").height() + theme.unit(0.75)
        return QRect(rect.right() - (place + 1) * zone, rect.top(), zone, height)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        line, colours = self._view.line(index), theme.colours()
        rect: QRect = option.rect  # type: ignore[attr-defined]
        state: QStyle.StateFlag = option.state  # type: ignore[attr-defined]
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if line.problem is None:
            painter.setFont(_bold())
            painter.setPen(QColor(colours.muted))
            at = rect.adjusted(theme.unit(0.75), theme.unit(0.5), 0, 0)
            painter.drawText(at, Qt.AlignmentFlag.AlignVCenter, line.heading)
            painter.restore()
            return
        hovered = bool(state & QStyle.StateFlag.State_MouseOver)
        chosen = bool(state & QStyle.StateFlag.State_Selected) and self._view.hasFocus()
        if hovered or chosen:
            path = QPainterPath()
            path.addRoundedRect(QRectF(rect).adjusted(1, 0, -1, 0), 4, 4)
            painter.fillPath(path, QColor(colours.accent_soft if chosen else colours.hover))
        side = _icon_side()
        text = self.text_rect(rect)
        top = text.top() + (_metrics("body").height() - side) / 2
        icon_at = QRectF(rect.left() + theme.unit(0.75), top, side, side)
        icons.draw(painter, ICONS[line.kind], icon_at, ROLES[line.kind])
        painter.setFont(theme.font("body"))
        painter.setPen(QColor(colours.text))
        painter.drawText(text, _WRAP, line.text)
        if line.detail:
            painter.setFont(theme.font("small"))
            painter.setPen(QColor(colours.muted))
            below = text.adjusted(0, _height(text, line.text, "body"), 0, 0)
            painter.drawText(below, _WRAP, line.detail)
        for place, (name, _tip) in enumerate(self._view.ways(line)):
            zone = self.zone_rect(rect, place)
            box = QRectF(0, 0, side, side)
            box.moveCenter(QRectF(zone).center())
            active = hovered and zone.contains(self._view.pointer())
            icons.draw(painter, name, box, "accent_text" if active else "muted")
        painter.restore()


def _metrics(size: str) -> QFontMetrics:
    return QFontMetrics(theme.font("small" if size == "small" else "body"))


def _height(room: QRect, text: str, size: str) -> int:
    """How high a text is when it is broken into lines as wide as `room`."""
    return _metrics(size).boundingRect(room, _WRAP, text).height() if text else 0


def _bold() -> QFont:
    font = theme.font("small")
    font.setBold(True)
    return font


def _icon_side() -> int:
    return theme.unit(1.75)


class ProblemList(QListView):
    """Problems with their ways out. Signals:

    settingChosen(path); pictureChosen(concept, path, filter for pictures with the same trouble).
    """

    settingChosen = Signal(str)
    pictureChosen = Signal(int, str, str)

    def __init__(self) -> None:
        super().__init__()
        self._model = _Model()
        self._pointer = QPoint(-1, -1)
        self._delegate = _Delegate(self)
        self.setModel(self._model)
        self.setItemDelegate(self._delegate)
        self.setMouseTracking(True)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAccessibleName(self.tr("Problems"))
        self.activated.connect(self._activate)
        theme.notifier().changed.connect(self.scheduleDelayedItemsLayout)

    def show_problems(self, problems: Sequence[Problem], titles: dict[int, str]) -> None:
        """Show these, unless they are shown already; the place scrolled to stays."""
        words = Words(self.tr("Must be corrected"), self.tr("Settings"))
        lines = lines_of(problems, titles, words)
        if lines == self._model.lines:
            return
        at = self.verticalScrollBar().value()
        self._model.show(lines)
        self.doItemsLayout()
        self.verticalScrollBar().setValue(at)

    def lines(self) -> list[Line]:
        """What is shown."""
        return list(self._model.lines)

    def line(self, index: Index) -> Line:
        """The line at an index."""
        return self._model.lines[index.row()]

    def ways(self, line: Line) -> list[tuple[str, str]]:
        """The small buttons at a line's end, from the right: icon and what it does."""
        found = []
        if line.problem is not None and line.problem.setting:
            found.append(("sliders-horizontal", self.tr("Go to the setting")))
        if line.picture:
            found.append(("images", self.tr("Show the picture")))
        return found

    def pointer(self) -> QPoint:
        """Where the mouse pointer is, in the view."""
        return self._pointer

    def choose(self, row: int, way: str = "") -> None:
        """Go where a line leads: its picture first, else its setting; `way` asks for one."""
        line = self._model.lines[row]
        if line.problem is None:
            return
        if line.picture and way != "sliders-horizontal":
            self.pictureChosen.emit(line.concept, line.picture, line.alike)
        elif line.problem.setting:
            self.settingChosen.emit(line.problem.setting)

    def _activate(self, index: QModelIndex) -> None:
        self.choose(index.row())

    def _way_at(self, at: QPoint) -> tuple[int, str, str]:
        """Row, icon and tip of the small button at a place; row -1 where there is no line."""
        index = self.indexAt(at)
        if not index.isValid():
            return -1, "", ""
        rect = self.visualRect(index)
        for place, (name, tip) in enumerate(self.ways(self.line(index))):
            if self._delegate.zone_rect(rect, place).contains(at):
                return index.row(), name, tip
        return index.row(), "", ""

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        super().mouseMoveEvent(event)
        self._pointer = event.position().toPoint()
        row = self._way_at(self._pointer)[0]
        leads = row >= 0 and self._model.lines[row].problem is not None
        shape = Qt.CursorShape.PointingHandCursor if leads else Qt.CursorShape.ArrowCursor
        self.viewport().setCursor(shape)
        self.viewport().update()

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._pointer = QPoint(-1, -1)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        row, way, _ = self._way_at(event.position().toPoint())
        if row >= 0 and event.button() == Qt.MouseButton.LeftButton:
            self.choose(row, way)

    def viewportEvent(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent):
            row, _, tip = self._way_at(event.pos())
            problem = self._model.lines[row].problem if row >= 0 else None
            text = tip or (problem.sentence() if problem else "")
            if problem is not None and problem.file and not tip:
                text += f"\n{problem.file}"
            QToolTip.showText(event.globalPos(), text, self.viewport())
            return True
        return super().viewportEvent(event)
