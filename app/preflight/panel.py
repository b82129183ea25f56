"""The panel above the footer: problems on the left; needs, concepts and statistics on the right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.concepts_statistics import ConceptStatistics
from app.footer import duration, size
from app.i18n import counted
from app.icons import icon
from app.preflight.problems import ProblemList
from app.preflight.watch import PreflightWatch
from app.run_panel.parts import tool_button
from app.widgets.labels import Elided, Picture

if TYPE_CHECKING:
    from core.runs.preflight import ConceptReport, Preflight


class PreflightPanel(QFrame):
    """What Train would do, and what stands against it.

    Signals: settingRequested(path) and pictureRequested(concept, path, filter) when a line was
    clicked, the filter being for pictures with the same trouble; closed() when it was put away.
    """

    settingRequested = Signal(str)
    pictureRequested = Signal(int, str, str)
    closed = Signal()

    def __init__(self, watch: PreflightWatch) -> None:
        super().__init__()
        self._watch = watch
        self.setProperty("role", "page")
        self.title = QLabel(self.tr("Before training"))
        theme.set_role(self.title, "title")
        self.verdict = Elided()
        theme.set_role(self.verdict, "muted")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedSize(theme.em(16), theme.unit(0.9))
        self.bar.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.stop = QPushButton(self.tr("Stop"))
        self.stop.clicked.connect(watch.cancel)
        self.again = QPushButton(icon("refresh-cw"), self.tr("Check again"))
        self.again.clicked.connect(watch.start)
        self.close_button = tool_button("x", self.tr("Put this away (Escape)"))
        self.close_button.clicked.connect(self.put_away)
        self.problems = ProblemList()
        self.problems.settingChosen.connect(self.settingRequested)
        self.problems.pictureChosen.connect(self.pictureRequested)
        self.good = _Good()
        self.needs = Needs()
        self.table = ConceptTable()
        self.table.chosen.connect(self._choose_concept)
        self.statistics = ConceptStatistics()
        self._concept = -1
        self._build()
        escape = QShortcut(QKeySequence(Qt.Key.Key_Escape), self)
        escape.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        escape.activated.connect(self.put_away)
        watch.changed.connect(self._show)
        self.hide()

    def _build(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(theme.unit())
        for widget in (self.title, self.verdict, self.bar, self.stop, self.again):
            head.addWidget(widget, 1 if widget is self.verdict else 0)
        head.addWidget(self.close_button)
        right = QWidget()
        right.setProperty("role", "page")
        right.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        column = QVBoxLayout(right)
        column.setContentsMargins(theme.unit(1), 0, theme.unit(1.5), theme.unit(1))
        column.setSpacing(theme.unit(1.25))
        self.statistics_title = QLabel()
        theme.set_role(self.statistics_title, "group")
        for part in (self.needs, self.table, self.statistics_title, self.statistics):
            column.addWidget(part)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(right)
        left = QVBoxLayout()
        left.addWidget(self.problems, 1)
        left.addWidget(self.good, 1)
        body = QHBoxLayout()
        body.setSpacing(theme.unit(1))
        body.addLayout(left, 1)
        body.addWidget(scroll, 1)
        whole = QVBoxLayout(self)
        margin = theme.unit(2)
        whole.setContentsMargins(margin, theme.unit(1), theme.unit(1), theme.unit(0.75))
        whole.setSpacing(theme.unit(0.75))
        whole.addLayout(head)
        whole.addLayout(body, 1)

    def sizeHint(self) -> QSize:
        return QSize(theme.em(120), theme.unit(40))

    def minimumSizeHint(self) -> QSize:
        return QSize(theme.em(60), theme.unit(20))

    def open(self) -> None:
        """Show it and look."""
        self.show()
        self._watch.set_watching(True)
        self._show()
        self.problems.setFocus(Qt.FocusReason.OtherFocusReason)

    def put_away(self) -> None:
        """Hide it and stop looking."""
        self._watch.set_watching(False)
        self.hide()
        self.closed.emit()

    def _show(self) -> None:
        if self.isHidden():
            return
        watch, found = self._watch, self._watch.found
        problems = watch.problems()
        reports = found.concepts if found is not None else ()
        names = {one.index: one.name for one in found.plan.concepts} if found and found.plan else {}
        self.problems.show_problems(problems, names)
        self.problems.setVisible(bool(problems))
        self.good.setVisible(not problems)
        self.good.set_busy(watch.status == "busy")
        busy = watch.status == "busy"
        self.stop.setVisible(busy)
        self.bar.setVisible(busy)
        self.again.setVisible(not busy)
        self.bar.setRange(0, max(0, watch.progress.total))
        self.bar.setValue(watch.progress.done)
        errors = sum(problem.severity == "error" for problem in problems)
        self.verdict.set_text(self._sentence(errors, len(problems) - errors))
        self.needs.show_needs(found)
        self.table.show_reports(reports, found is not None and found.duplicates is not None)
        self._show_statistics(reports)

    def _sentence(self, errors: int, warnings: int) -> str:
        watch = self._watch
        if watch.status == "busy":
            words = {
                "pictures": self.tr("Looking at the pictures"),
                "captions": self.tr("Counting captions"),
                "duplicates": self.tr("Comparing the pictures"),
            }
            text = words[watch.progress.phase]
            if watch.progress.total:
                text += f": {watch.progress.done} / {watch.progress.total}"
            return text
        if watch.status == "failed":
            return self.tr("The check failed: %1").replace("%1", watch.error)
        if errors:
            text = self.tr("%n problem(s) must be corrected before training.", "", errors)
            return counted(text, errors)
        if watch.status == "stopped":
            return self.tr("Stopped before everything was looked at.")
        if warnings:
            text = self.tr("Can be trained; %n warning(s).", "", warnings)
            return counted(text, warnings)
        return self.tr("Can be trained.")

    def _choose_concept(self, index: int) -> None:
        self._concept = index
        self._show()

    def _show_statistics(self, reports: tuple[ConceptReport, ...]) -> None:
        chosen = next((one for one in reports if one.summary.index == self._concept), None)
        chosen = chosen or (reports[0] if reports else None)
        self.statistics_title.setVisible(chosen is not None)
        self.statistics.setVisible(chosen is not None)
        if chosen is not None:
            self.table.mark(chosen.summary.index)
            self.statistics_title.setText(chosen.summary.name)
            if self.statistics.facts is not chosen.statistics:
                self.statistics.set_facts(chosen.statistics)


class _Good(QFrame):
    """What stands in the list's place when there is nothing to complain about."""

    def __init__(self) -> None:
        super().__init__()
        self._picture = Picture("circle-check", 4, "good")
        self.text = QLabel()
        theme.set_role(self.text, "muted")
        column = QVBoxLayout(self)
        column.addStretch(1)
        column.addWidget(self._picture, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addWidget(self.text, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(1)

    def set_busy(self, busy: bool) -> None:
        """Whether more may still be found."""
        self._picture.setVisible(not busy)
        self.text.setText(
            self.tr("No problems found so far.") if busy else self.tr("No problems found.")
        )


class Needs(QWidget):
    """What the run needs: steps, time, memory, disk; one line each."""

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(theme.unit(1.5))
        grid.setVerticalSpacing(theme.unit(0.5))
        grid.setColumnStretch(1, 1)
        self.values: dict[str, QLabel] = {}
        for row, (key, title) in enumerate(
            (
                ("steps", self.tr("Steps")),
                ("time", self.tr("Time")),
                ("memory", self.tr("Memory")),
                ("disk", self.tr("Disk")),
            )
        ):
            name = QLabel(title)
            theme.set_role(name, "muted")
            value = QLabel()
            value.setWordWrap(True)
            value.setTextFormat(Qt.TextFormat.PlainText)
            value.setAccessibleName(title)
            self.values[key] = value
            grid.addWidget(name, row, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(value, row, 1)

    def show_needs(self, found: Preflight | None) -> None:
        """Show what was found out."""
        texts = {
            "steps": self._steps(found),
            "time": self._time(found),
            "memory": self._memory(found),
            "disk": self._disk(found),
        }
        for key, text in texts.items():
            self.values[key].setText(text or "–")

    def _steps(self, found: Preflight | None) -> str:
        plan = found.plan if found is not None else None
        if plan is None or not plan.total_steps:
            return ""
        steps = counted(self.tr("%n step(s)", "", plan.total_steps), plan.total_steps)
        each = self.tr("%n an epoch", "", plan.steps_per_epoch)
        pictures = counted(
            self.tr("%n picture(s)", "", plan.samples_per_epoch), plan.samples_per_epoch
        )
        return f"{steps}, {each} ({pictures})"

    def _time(self, found: Preflight | None) -> str:
        need = found.time if found is not None else None
        if need is None:
            return ""
        if not need.total:
            return self.tr("not known yet; the first such run measures it")
        text = self.tr("about %1").replace("%1", duration(need.training + need.sampling))
        if need.sampling:
            parts = self.tr(": steps %1, samples %2").replace("%1", duration(need.training))
            text += parts.replace("%2", duration(need.sampling))
        if need.preparing >= 0.5:
            more = self.tr("; preparing pictures up to %1 more")
            text += more.replace("%1", duration(need.preparing))
        how = (
            self.tr("as measured in earlier runs")
            if need.exact
            else self.tr("roughly, from a run with other settings")
        )
        return f"{text} ({how})"

    def _memory(self, found: Preflight | None) -> str:
        need = found.memory if found is not None else None
        if need is None:
            return self._unknown(found)
        text = self.tr("about %1 on the GPU") if need.on_gpu else self.tr("about %1")
        parts = self.tr("base model %1, LoRA and optimizer %2, working space %3")
        work = max(need.activations, need.sampling) + need.rest
        for mark, number in (("%1", need.weights), ("%2", need.lora), ("%3", work)):
            parts = parts.replace(mark, size(number))
        return f"{text.replace('%1', size(need.total))}: {parts}"

    def _unknown(self, found: Preflight | None) -> str:
        if found is None or found.base is not None:
            return ""
        return self.tr("not known without the base model's files")

    def _disk(self, found: Preflight | None) -> str:
        need = found.disk if found is not None else None
        if need is None:
            return self._unknown(found)
        parts = self.tr("LoRA files %1 each, states %2, samples %3, cache %4")
        for mark, number in (
            ("%1", need.lora),
            ("%2", need.states),
            ("%3", need.samples),
            ("%4", need.cache),
        ):
            parts = parts.replace(mark, size(number) if number else "0")
        return f"{self.tr('about %1').replace('%1', size(need.total))}: {parts}"


class ConceptTable(QTableWidget):
    """One line for each concept; what is nought for all is left out.

    Signals: chosen(index of the concept).
    """

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._indexes: list[int] = []
        self._told: object = None
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.verticalHeader().hide()
        self.horizontalHeader().setHighlightSections(False)
        # As far from the edge as the words below it.
        self.horizontalHeader().setStyleSheet(
            "QHeaderView::section { padding-left: 3px; padding-right: 3px; }"
        )
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(self.tr("Concepts"))
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.itemSelectionChanged.connect(self._selected)
        theme.notifier().changed.connect(self._retheme)
        self._retheme()

    def show_reports(self, reports: tuple[ConceptReport, ...], compared: bool) -> None:
        """Show these. compared: duplicates were looked for."""
        told = (reports, compared)
        if told == self._told:
            return
        self._told = told
        columns = {
            self.tr("Pictures"): [one.summary.pictures for one in reports],
            self.tr("Rejected"): [one.summary.rejected for one in reports],
            self.tr("Skipped"): [one.summary.skipped for one in reports],
            self.tr("No caption"): [one.summary.captions_missing for one in reports],
            self.tr("Long"): [one.statistics.captions_long for one in reports],
            self.tr("Enlarged"): [one.statistics.upscaled for one in reports],
            self.tr("Twice"): [one.duplicates_exact for one in reports],
            self.tr("Alike"): [one.duplicates_near for one in reports],
            self.tr("An epoch"): [one.summary.per_epoch for one in reports],
        }
        always = (self.tr("Pictures"), self.tr("An epoch"))
        shown = {t: numbers for t, numbers in columns.items() if t in always or any(numbers)}
        tips = {
            self.tr("Long"): self.tr("Captions of more than 75 tokens, trained in parts"),
            self.tr("Enlarged"): self.tr("Pictures smaller than their bucket"),
            self.tr("Twice"): self.tr("Pictures that are there more than once"),
            self.tr("Alike"): self.tr("Pictures that look nearly like another one"),
            self.tr("An epoch"): self.tr("How many pictures an epoch shows"),
        }
        self.blockSignals(True)
        self.setColumnCount(1 + len(shown))
        in_all = len(reports) > 1
        self.setRowCount(len(reports) + in_all)
        self._indexes = [one.summary.index for one in reports]
        kinds = {"prior": self.tr("prior"), "validation": self.tr("validation")}
        for column, title in enumerate((self.tr("Concept"), *shown)):
            head = QTableWidgetItem(title)
            head.setToolTip(tips.get(title, ""))
            side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
            head.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
            self.setHorizontalHeaderItem(column, head)
        for row, one in enumerate(reports):
            kind = kinds.get(one.summary.kind, "")
            name = f"{one.summary.name} ({kind})" if kind else one.summary.name
            self._fill(row, name, [numbers[row] for numbers in shown.values()])
        if in_all:
            sums = [sum(numbers) for numbers in shown.values()]
            self._fill(len(reports), self.tr("In all"), sums, chosen=False)
        self._fit()
        self.blockSignals(False)

    def _fill(self, row: int, name: str, numbers: Sequence[int], chosen: bool = True) -> None:
        """Write one line. chosen: it may be."""
        for column, text in enumerate([name, *[str(number or "–") for number in numbers]]):
            item = QTableWidgetItem(text)
            side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
            item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
            if not chosen:
                item.setFlags(Qt.ItemFlag.ItemIsEnabled)
            self.setItem(row, column, item)

    def mark(self, index: int) -> None:
        """Select the line of a concept without telling."""
        if index not in self._indexes:
            return
        row = self._indexes.index(index)
        if len(self.selectedIndexes()) != self.columnCount() or self.currentRow() != row:
            self.blockSignals(True)
            self.selectRow(row)
            self.blockSignals(False)

    def _retheme(self) -> None:
        """A quiet mark for the line whose statistics are shown."""
        colours, palette = theme.colours(), self.palette()
        palette.setColor(palette.ColorRole.Highlight, QColor(colours.accent_soft))
        palette.setColor(palette.ColorRole.HighlightedText, QColor(colours.text))
        self.setPalette(palette)
        self.setFont(theme.font("small"))
        self.horizontalHeader().setFont(theme.font("small"))
        self._fit()

    def _fit(self) -> None:
        """Columns as wide as their words, the name takes the rest; as high as its lines."""
        metrics = QFontMetrics(theme.font("small"))
        line = metrics.height() + theme.unit(0.75)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(theme.unit(2))
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        for column in range(1, self.columnCount()):
            items = [self.horizontalHeaderItem(column)]
            items += [self.item(row, column) for row in range(self.rowCount())]
            widths = [metrics.horizontalAdvance(item.text()) for item in items if item is not None]
            header.resizeSection(column, max(widths, default=0) + theme.unit(1.75))
        if self.columnCount():
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for row in range(self.rowCount()):
            self.setRowHeight(row, line)
        self.setVisible(self.rowCount() > 0)
        self.setFixedHeight(header.sizeHint().height() + line * self.rowCount() + 4)

    def _selected(self) -> None:
        row = self.currentRow()
        if 0 <= row < len(self._indexes):
            self.chosen.emit(self._indexes[row])
