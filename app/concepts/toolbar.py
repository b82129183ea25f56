"""Above the grid: what is shown, in which order, how large; below it: what was done."""

from __future__ import annotations

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


class PictureBar(QWidget):
    """Filters with their counts, search, order and size. Signals:

    filterChosen(name), sortChosen(name), searchChanged(text), edgeChosen(units),
    listChosen(as a list), sideToggled(shown).
    """

    filterChosen = Signal(str)
    sortChosen = Signal(object)
    searchChanged = Signal(str)
    edgeChosen = Signal(int)
    listChosen = Signal(bool)
    sideToggled = Signal(bool)

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
        flow = FlowLayout(theme.unit(0.5), chips)
        group = QButtonGroup(self)
        for name in FILTERS:
            chip = QPushButton()
            chip.setCheckable(True)
            chip.setProperty("role", "chip")
            chip.clicked.connect(lambda _, name=name: self.filterChosen.emit(name))
            group.addButton(chip)
            flow.addWidget(chip)
            self.chips[name] = chip
        self.chips["all"].setChecked(True)
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
        bold = QFont(self.chips["all"].font())
        bold.setWeight(QFont.Weight.DemiBold)
        metrics = QFontMetrics(bold)
        for name, chip in self.chips.items():
            text = f"{texts[name]}  {counts[name]}"
            chip.setText(text)
            # The chosen one is bold, and nothing moves by choosing.
            chip.setMinimumWidth(metrics.horizontalAdvance(text) + theme.unit(3.5))
            chip.setVisible(name == "all" or counts[name] > 0 or name == current)
            if name == current:
                chip.setChecked(True)

    def set_edge(self, units: int) -> None:
        """Show how large the pictures are."""
        self.edge.setValue(units)

    def _side_toggled(self, shown: bool) -> None:
        self.side.setIcon(icon("panel-right-close" if shown else "panel-right-open", "muted"))
        text = self.tr("Hide the large picture") if shown else self.tr("Show the large picture")
        self.side.setToolTip(text)
        self.side.setAccessibleName(text)
        self.sideToggled.emit(shown)
