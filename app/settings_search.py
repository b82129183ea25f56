"""Search over every setting: by name, path and help, whatever the level."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from PySide6.QtCore import (
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QFocusEvent, QFontMetricsF, QKeyEvent, QPainter, QResizeEvent
from PySide6.QtWidgets import (
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
)

from app import theme
from app.forms import when_text
from app.i18n import schema
from app.icons import icon
from app.state import LISTS, SettingsState
from app.tabs.places import tab_of, tab_titles
from core.config.fields import SettingInfo
from core.config.job import BY_PATH, SETTINGS

MOST = 12
ROLE = Qt.ItemDataRole.UserRole


@dataclass(frozen=True)
class Hit:
    """A setting that was found. applies: whether it has any effect now; note: why not."""

    info: SettingInfo
    path: str
    applies: bool
    note: str = ""


def find(query: str, infos: Iterable[SettingInfo] = SETTINGS) -> list[SettingInfo]:
    """Settings in which every word of `query` occurs, best first.

    A title that begins with a word counts most, then titles, paths, group and help.
    """
    words = query.casefold().replace(".", " ").replace("_", " ").split()
    if not words:
        return []
    scored = []
    for order, info in enumerate(infos):
        if not info.ready:
            continue
        score = _score(info, words)
        if score:
            scored.append((-score, order, info))
    return [info for _, _, info in sorted(scored, key=lambda entry: entry[:2])]


def _score(info: SettingInfo, words: list[str]) -> int:
    """How well all words match; 0 when one is missing."""
    titles = {info.title.casefold(), schema(info.title).casefold()}
    others = [word.strip() for word in info.also.casefold().split(",") if word.strip()]
    path = info.path.casefold().replace(".", " ").replace("_", " ")
    rest = " ".join(
        (
            info.help,
            schema(info.help),
            info.group,
            schema(info.group),
            *map(str, info.choices),
            *(schema(str(label)) for label in info.labels.values()),
        )
    ).casefold()
    total = 0
    for word in words:
        if any(title.startswith(word) or f" {word}" in title for title in titles):
            total += 30
        elif any(word in title for title in titles):
            total += 20
        elif any(word in other.split() for other in others):
            total += 15
        elif any(word in other for other in others):
            total += 12
        elif word in path:
            total += 10
        elif word in rest:
            total += 3
        else:
            return 0
    joined = " ".join(words)
    if joined in titles or joined in others:
        return total + 50
    return total + (25 if any(joined in name for name in (*titles, *others)) else 0)


class SettingsSearch(QLineEdit):
    """The search field with its list of results.

    Signals: chosen(path) with the concrete path of the setting to show.
    """

    chosen = Signal(str)

    def __init__(self, state: SettingsState) -> None:
        super().__init__()
        self._state = state
        self.open_items: dict[str, int] = {}
        self.setToolTip(self.tr("Search all settings (Ctrl+F)"))
        self.setAccessibleName(self.tr("Search settings"))
        self.addAction(icon("search", "muted"), QLineEdit.ActionPosition.LeadingPosition)
        self.setMinimumWidth(theme.em(20))
        self.setMaximumWidth(theme.em(44))
        self.list: QListWidget | None = None
        self.textEdited.connect(lambda _: self.search())

    def search(self) -> None:
        """Show what is found for the text."""
        hits = [self._hit(info) for info in find(self.text())][:MOST]
        popup = self._popup()
        popup.clear()
        for hit in hits:
            item = QListWidgetItem(schema(hit.info.title))
            item.setData(ROLE, hit)
            popup.addItem(item)
        if not hits and self.text().strip():
            item = QListWidgetItem(self.tr("Nothing found"))
            item.setFlags(Qt.ItemFlag.NoItemFlags)
            popup.addItem(item)
        popup.setVisible(popup.count() > 0)
        if hits:
            popup.setCurrentRow(0)
        self._place()

    def hits(self) -> list[Hit]:
        """What is listed now."""
        if self.list is None or self.list.isHidden():
            return []
        found = [self.list.item(row).data(ROLE) for row in range(self.list.count())]
        return [hit for hit in found if isinstance(hit, Hit)]

    def choose_row(self, row: int) -> None:
        """Take a result: close the list and tell its path."""
        hits = self.hits()
        if 0 <= row < len(hits):
            hit = hits[row]
            self.close_list()
            self.clear()
            self.chosen.emit(hit.path)

    def close_list(self) -> None:
        """Hide the results."""
        if self.list is not None:
            self.list.hide()

    def _hit(self, info: SettingInfo) -> Hit:
        path = info.path
        for list_path in LISTS:
            if path.startswith(f"{list_path}[]"):
                items = self._state.get(list_path)
                if not items:
                    return Hit(info, list_path, False, self.tr("the list is empty"))
                index = min(max(0, self.open_items.get(list_path, 0)), len(items) - 1)
                path = path.replace("[]", f".{index}")
        if self._state.applies(info, path):
            return Hit(info, path, True)
        needs = self.tr("only with %1").replace("%1", when_text(info, BY_PATH.get))
        # The way to it leads through the setting on which it depends.
        return Hit(info, self._first_condition(info, path), False, needs)

    def _first_condition(self, info: SettingInfo, path: str) -> str:
        condition = next(iter(info.when), path)
        for list_path in LISTS:
            if path.startswith(f"{list_path}."):
                item = path.removeprefix(f"{list_path}.").split(".")[0]
                return f"{list_path}.{item}.{condition}"
        return condition

    def _popup(self) -> QListWidget:
        if self.list is None:
            popup = QListWidget(self.window())
            popup.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            popup.setItemDelegate(_HitDelegate(popup))
            popup.setMouseTracking(True)
            popup.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
            popup.setAccessibleName(self.tr("Search results"))
            popup.itemClicked.connect(lambda item: self.choose_row(popup.row(item)))
            popup.itemEntered.connect(popup.setCurrentItem)
            popup.hide()
            self.window().installEventFilter(self)
            self.list = popup
        return self.list

    def _place(self) -> None:
        popup = self._popup()
        if popup.isHidden():
            return
        window = self.window()
        width = min(max(self.width(), theme.em(64)), window.width() - theme.unit(2))
        below = self.mapTo(window, QPoint(self.width() - width, self.height() + 2))
        rows = sum(popup.sizeHintForRow(row) for row in range(popup.count()))
        room = window.height() - below.y() - theme.unit(2)
        height = min(rows + 2 * popup.frameWidth() + theme.unit(0.5), room)
        popup.setGeometry(QRect(max(theme.unit(), below.x()), below.y(), width, height))
        popup.raise_()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        long, short = self.tr("Search settings  Ctrl+F"), self.tr("Search")
        room = self.width() - theme.unit(6)
        fits = self.fontMetrics().horizontalAdvance(long) <= room
        self.setPlaceholderText(long if fits else short)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize:
            self._place()
        return super().eventFilter(watched, event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        popup = self.list
        if popup is not None and not popup.isHidden():
            step = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}.get(Qt.Key(event.key()), 0)
            if step:
                popup.setCurrentRow(max(0, min(popup.currentRow() + step, popup.count() - 1)))
                return
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self.choose_row(popup.currentRow())
                return
        if event.key() == Qt.Key.Key_Escape:
            self.close_list()
            self.clear()
            return
        super().keyPressEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.close_list()


class _HitDelegate(QStyledItemDelegate):
    """Two lines: the setting and its place, then what it is or when it applies."""

    def sizeHint(
        self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> QSize:
        body = QFontMetricsF(theme.font("body")).height()
        small = QFontMetricsF(theme.font("small")).height()
        return QSize(10, round(body + small + theme.unit(1.25)))

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        hit = index.data(ROLE)
        if not isinstance(hit, Hit):
            super().paint(painter, option, index)
            return
        colours = theme.colours()
        rect = option.rect.adjusted(theme.unit(), 0, -theme.unit(), 0)  # type: ignore[attr-defined]
        if option.state & QStyle.StateFlag.State_Selected:  # type: ignore[attr-defined]
            painter.fillRect(option.rect, QColor(colours.accent_soft))  # type: ignore[attr-defined]
        top = rect.top() + theme.unit(0.5)
        body, small = theme.font("body"), theme.font("small")
        metrics = QFontMetricsF(body)
        painter.setFont(body)
        painter.setPen(QColor(colours.text if hit.applies else colours.muted))
        line = QRect(rect.left(), top, rect.width(), round(metrics.height()))
        painter.drawText(line, int(Qt.AlignmentFlag.AlignLeft), schema(hit.info.title))
        painter.setFont(small)
        painter.setPen(QColor(colours.muted))
        painter.drawText(line, int(Qt.AlignmentFlag.AlignRight), place_of(hit.info))
        second = QRect(
            rect.left(), line.bottom() + 1, rect.width(), round(QFontMetricsF(small).height()) + 1
        )
        text = hit.note or schema(hit.info.help)
        cut = QFontMetricsF(small).elidedText(text, Qt.TextElideMode.ElideRight, second.width())
        painter.drawText(second, int(Qt.AlignmentFlag.AlignLeft), cut)


def place_of(info: SettingInfo) -> str:
    """Where a setting stands: its tab and group."""
    parts = [tab_titles()[tab_of(info.path)], schema(info.group)]
    return " · ".join(part for part in parts if part)
