"""Above the grid: what is shown, in which order, how large; below it: what was done."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QFont, QFontMetrics
from PySide6.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.concepts.facts import FILTERS
from app.concepts.grid import LEAST_EDGE, MOST_EDGE
from app.icons import icon
from app.run_panel.flow import FlowLayout
from app.widgets.buttons import tool_button
from app.widgets.fields import ChoiceField

_SEARCH_MS = 250
_SHOWN_LETTERS = 40


class PictureBar(QWidget):
    """Filters with their counts, search, order and size. Signals:

    filterChosen(name), sortChosen(name), searchChanged(text), edgeChosen(units),
    listChosen(as a list), sideToggled(shown). dropped(kind, text): a further condition, one of
    those that `set_conditions` showed, is to hold no longer.
    """

    filterChosen = Signal(str)
    sortChosen = Signal(object)
    searchChanged = Signal(str)
    edgeChosen = Signal(int)
    listChosen = Signal(bool)
    sideToggled = Signal(bool)
    dropped = Signal(str, str)

    def __init__(self) -> None:
        super().__init__()
        self.search = QLineEdit()
        self.search.setPlaceholderText(self.tr("Search in captions and names"))
        self.search.setAccessibleName(self.tr("Search in captions and names"))
        self.search.setClearButtonEnabled(True)
        self.search.setMinimumWidth(theme.em(16))
        self._delay = QTimer(self)
        self._delay.setSingleShot(True)
        self._delay.setInterval(_SEARCH_MS)
        self._delay.timeout.connect(lambda: self.searchChanged.emit(self.search.text()))
        self.search.textChanged.connect(lambda: self._delay.start())
        self.sort = ChoiceField(
            [
                ("name", self.tr("By name")),
                ("date", self.tr("Newest first")),
                ("size", self.tr("Largest files first")),
                ("pixels", self.tr("Most pixels first")),
                ("caption", self.tr("Longest captions first")),
                ("similarity", self.tr("Look-alikes together")),
            ]
        )
        self.sort.setAccessibleName(self.tr("Order"))
        self.sort.edited.connect(self.sortChosen)
        self.edge = QSlider(Qt.Orientation.Horizontal)
        self.edge.setRange(LEAST_EDGE, MOST_EDGE)
        self.edge.setFixedWidth(theme.em(13))
        self.edge.setToolTip(self.tr("Size of the pictures (Ctrl and the wheel)"))
        self.edge.setAccessibleName(self.tr("Size of the pictures"))
        self.edge.valueChanged.connect(self.edgeChosen)
        self.as_tiles = tool_button("layout-grid", self.tr("Captions under the pictures"))
        self.as_list = tool_button("list", self.tr("Captions beside the pictures"))
        both = QButtonGroup(self)
        for button in (self.as_tiles, self.as_list):
            button.setCheckable(True)
            both.addButton(button)
        self.as_tiles.setChecked(True)
        self.as_list.toggled.connect(self.listChosen)
        self.side = tool_button("panel-right-close", self.tr("Hide the large picture"))
        self.side.setCheckable(True)
        self.side.setChecked(True)
        self.side.toggled.connect(self._side_toggled)
        self.chips: dict[str, QPushButton] = {}
        self.conditions: dict[tuple[str, str], QPushButton] = {}
        self._current = "all"
        self._build()

    def _build(self) -> None:
        line = QHBoxLayout()
        line.setSpacing(theme.unit(0.75))
        line.addWidget(self.search, 1)
        line.addWidget(self.sort)
        line.addWidget(self.edge)
        line.addWidget(self.as_tiles)
        line.addWidget(self.as_list)
        line.addWidget(self.side)
        chips = QWidget()
        chips.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        flow = self._flow = FlowLayout(theme.unit(0.5), chips)
        for name in FILTERS:
            chip = QPushButton()
            chip.setCheckable(True)
            chip.setProperty("role", "chip")
            chip.clicked.connect(lambda _, name=name: self._choose(name))
            flow.addWidget(chip)
            self.chips[name] = chip
        self._light()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.unit(0.75))
        column.addLayout(line)
        column.addWidget(chips)

    def set_counts(self, counts: dict[str, int], current: str) -> None:
        """How many pictures each filter lets through; filters without any are not offered."""
        texts = {
            "all": self.tr("All"),
            "no_caption": self.tr("No caption"),
            "small": self.tr("Too small"),
            "bad": self.tr("Bad files"),
            "duplicates": self.tr("Look-alikes"),
            "rejected": self.tr("Rejected"),
            "focus": self.tr("Own crop"),
        }
        metrics = _bold(self.chips["all"])
        for name, chip in self.chips.items():
            text = f"{texts[name]}  {counts[name]}"
            chip.setText(text)
            # The chosen one is bold, and nothing moves by choosing.
            chip.setMinimumWidth(metrics.horizontalAdvance(text) + theme.unit(3.5))
            chip.setVisible(name == "all" or counts[name] > 0 or name == current)
        self._current = current
        self._light()

    def set_conditions(self, conditions: Sequence[tuple[str, str]]) -> None:
        """Show what else the pictures must fulfil, each as a chip that a click takes away.

        Pairs of a kind and a text: `tag` (empty for those without a caption) and `search`.
        """
        if list(conditions) == list(self.conditions):
            return
        for chip in self.conditions.values():
            self._flow.removeWidget(chip)
            chip.hide()
            chip.deleteLater()
        self.conditions = {condition: self._condition(*condition) for condition in conditions}
        self._light()

    def _condition(self, kind: str, text: str) -> QPushButton:
        names = {"tag": self.tr("Tag: %1"), "search": self.tr("Search: %1")}
        name = names[kind].replace("%1", text) if text else self.tr("Without caption")
        short = name if len(name) <= _SHOWN_LETTERS else f"{name[: _SHOWN_LETTERS - 1]}…"
        chip = QPushButton(icon("x", "accent_text"), short.replace("&", "&&"))
        chip.setProperty("role", "chip")
        chip.setCheckable(True)
        chip.setChecked(True)
        chip.setLayoutDirection(Qt.LayoutDirection.RightToLeft)  # the cross behind the text
        width = _bold(chip).horizontalAdvance(short) + chip.iconSize().width()
        chip.setMinimumWidth(width + theme.unit(4))
        said = self.tr("Take this filter away: %1").replace("%1", name)
        chip.setToolTip(said)
        chip.setAccessibleName(said)
        chip.clicked.connect(lambda: self.dropped.emit(kind, text))
        self._flow.addWidget(chip)
        return chip

    def _choose(self, name: str) -> None:
        self._current = name
        self._light()
        self.filterChosen.emit(name)

    def _light(self) -> None:
        """Light the filter in use; All is lit only where all are shown."""
        for name, chip in self.chips.items():
            chip.setChecked(name == self._current and (name != "all" or not self.conditions))

    def clear_search(self) -> None:
        """Search for nothing, at once."""
        self.search.clear()
        self._delay.stop()
        self.searchChanged.emit("")

    def set_edge(self, units: int) -> None:
        """Show how large the pictures are."""
        self.edge.setValue(units)

    def _side_toggled(self, shown: bool) -> None:
        self.side.setIcon(icon("panel-right-close" if shown else "panel-right-open", "muted"))
        text = self.tr("Hide the large picture") if shown else self.tr("Show the large picture")
        self.side.setToolTip(text)
        self.side.setAccessibleName(text)
        self.sideToggled.emit(shown)


def _bold(chip: QPushButton) -> QFontMetrics:
    """The measures of a chip's text while it is lit."""
    font = QFont(chip.font())
    font.setWeight(QFont.Weight.DemiBold)
    return QFontMetrics(font)
