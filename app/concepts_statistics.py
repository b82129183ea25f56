"""What a concept's pictures and captions are like: counts, shapes, buckets, lengths, tags."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QShowEvent
from PySide6.QtWidgets import QGridLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from app import theme
from app.background import Background, StopCheck
from app.i18n import counted

if TYPE_CHECKING:
    from core.config.job import Job
    from core.data.statistics import Statistics
    from core.data.types import Item

TAGS_SHOWN = 12
BUCKETS_SHOWN = 10
TOKENS_A_BAR = 15
# How often what was counted so far is shown.
TELL_SECONDS = 0.3


@dataclass(frozen=True)
class Bar:
    """One bar: what it counts, how much, what stands behind it, and whether it warns."""

    label: str
    value: int
    note: str = ""
    warns: bool = False


class Bars(QWidget):
    """Horizontal bars, one a line, label left and number right. Painted, so it costs nothing.

    Signals: pressed(label) when a bar was clicked.
    """

    pressed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.bars: tuple[Bar, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.notifier().changed.connect(self.update)

    def set_bars(self, bars: Sequence[Bar]) -> None:
        """Show these."""
        if tuple(bars) != self.bars:
            self.bars = tuple(bars)
            self.setAccessibleDescription(", ".join(f"{b.label}: {b.value}" for b in self.bars))
            self.updateGeometry()
            self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        number = int(event.position().y() / self._line())
        if event.button() == Qt.MouseButton.LeftButton and 0 <= number < len(self.bars):
            self.pressed.emit(self.bars[number].label)

    def _line(self) -> float:
        return QFontMetricsF(theme.font("small")).height() + theme.unit(0.4)

    def sizeHint(self) -> QSize:
        return QSize(theme.em(36), round(self._line() * len(self.bars)) + 1)

    def minimumSizeHint(self) -> QSize:
        return QSize(theme.em(20), self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self.bars:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(theme.font("small"))
        metrics, colours = QFontMetricsF(theme.font("small")), theme.colours()
        width, gap, line = self.width(), theme.unit(0.75), self._line()
        labels = max(metrics.horizontalAdvance(bar.label) for bar in self.bars)
        labels = min(labels, width * 0.45)
        texts = [f"{bar.value}  {bar.note}".rstrip() for bar in self.bars]
        behind = max(metrics.horizontalAdvance(text) for text in texts)
        room = max(theme.unit(2), width - labels - behind - 2 * gap)
        most = max(1, *(bar.value for bar in self.bars))
        thick = max(3.0, metrics.height() * 0.5)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        for number, (bar, text) in enumerate(zip(self.bars, texts, strict=True)):
            top = number * line
            painter.setPen(QColor(colours.text))
            shown = metrics.elidedText(bar.label, Qt.TextElideMode.ElideRight, labels)
            painter.drawText(QRectF(0, top, labels, line), right, shown)
            length = max(2.0 if bar.value else 0.0, room * bar.value / most)
            box = QRectF(labels + gap, top + (line - thick) / 2, length, thick)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colours.warning if bar.warns else colours.accent))
            painter.drawRoundedRect(box, 2, 2)
            painter.setPen(QColor(colours.muted))
            at = QRectF(labels + gap + length + gap / 2, top, behind + gap, line)
            painter.drawText(at, left, text)
        painter.end()


class Histogram(QWidget):
    """Upright bars side by side with a label under each."""

    def __init__(self) -> None:
        super().__init__()
        self.bars: tuple[Bar, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.notifier().changed.connect(self.update)

    def set_bars(self, bars: Sequence[Bar]) -> None:
        """Show these."""
        if tuple(bars) != self.bars:
            self.bars = tuple(bars)
            self.setAccessibleDescription(
                ", ".join(f"{b.label or b.note}: {b.value}" for b in self.bars if b.value)
            )
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(theme.em(36), theme.unit(9))

    def minimumSizeHint(self) -> QSize:
        return QSize(theme.em(20), theme.unit(9))

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self.bars:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(theme.font("small"))
        metrics, colours = QFontMetricsF(theme.font("small")), theme.colours()
        foot = metrics.height() + 2
        head = metrics.height()
        room = self.height() - foot - head
        slot = self.width() / len(self.bars)
        most = max(1, *(bar.value for bar in self.bars))
        middle = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignVCenter
        base = self.height() - foot
        painter.setPen(QColor(colours.border))
        painter.drawLine(0, round(base), self.width(), round(base))
        numbers_fit = all(
            metrics.horizontalAdvance(str(bar.value)) <= slot for bar in self.bars if bar.value
        )
        for number, bar in enumerate(self.bars):
            left = number * slot
            if bar.value:
                height = max(2.0, room * bar.value / most)
                box = QRectF(left + slot * 0.12, base - height, slot * 0.76, height)
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(QColor(colours.warning if bar.warns else colours.accent))
                painter.drawRect(box)
                if numbers_fit:
                    painter.setPen(QColor(colours.muted))
                    above = QRectF(left, base - height - head, slot, head)
                    painter.drawText(above, middle, str(bar.value))
            if bar.label:
                painter.setPen(QColor(colours.muted))
                wide = QRectF(left - slot * 2, base + 2, slot * 5, foot - 2)
                painter.drawText(wide, middle, bar.label)
        painter.end()


class ConceptStatistics(QWidget):
    """The statistics of one concept. Signals: tagChosen(text) when a tag's bar was clicked;
    filled() when there is something to see for the first time.

    Give it finished facts with `set_facts`, or let it count by itself with `look_at`, which needs
    a `background`.
    """

    tagChosen = Signal(str)
    filled = Signal()
    _partly = Signal(int, object)

    def __init__(
        self, facts: Statistics | None = None, background: Background | None = None
    ) -> None:
        super().__init__()
        self._background = background
        self._number = 0
        self._wanted: tuple[Job, int, int] | None = None
        self._due = self._counting = False
        self._partly.connect(self._take_part)
        self.facts: Statistics | None = None
        self.counts = _Table()
        self.aspects, self.tokens = Histogram(), Histogram()
        self.buckets, self.tags = Bars(), Bars()
        self.tags.pressed.connect(self.tagChosen)
        self.empty = QLabel()
        theme.set_role(self.empty, "muted")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.unit(0.75))
        column.addWidget(self.empty)
        column.addWidget(self.counts)
        self._titles: dict[QWidget, QLabel] = {}
        for title, widget in (
            (self.tr("Shapes, width to height"), self.aspects),
            (self.tr("Buckets, and how much of the pictures the crop cuts off"), self.buckets),
            (self.tr("Caption lengths in tokens"), self.tokens),
            (self.tr("Most frequent tags"), self.tags),
        ):
            label = QLabel(title)
            theme.set_role(label, "group")
            widget.setAccessibleName(title)
            label.setWordWrap(True)
            column.addSpacing(theme.unit(0.75))
            column.addWidget(label)
            column.addWidget(widget)
            self._titles[widget] = label
        column.addStretch(1)
        self.set_facts(facts)

    def look_at(self, job: Job, concept: int, bucket_step: int) -> None:
        """Count the pictures that a concept of the job would train, off this thread, updating as
        it goes; while hidden only once it is shown."""
        wanted = (job, concept, bucket_step)
        if wanted != self._wanted:
            self._wanted, self._counting = wanted, True
            self.look_again()

    def look_again(self) -> None:
        """Count once more, because the folder may have changed."""
        self._due = True
        if self.isVisible():
            self._start()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._due:
            self._start()

    def _start(self) -> None:
        if self._wanted is None or self._background is None:
            return
        self._due = False
        self._number += 1
        number = self._number
        job, concept, step = self._wanted
        alone = job.model_copy(deep=True)
        for index, other in enumerate(alone.concepts):
            other.enabled = index == concept

        def work(cancelled: StopCheck) -> Statistics:
            return count_concept(
                alone, step, cancelled, lambda found: self._partly.emit(number, found)
            )

        if self.facts is None:
            self.empty.setText(self.tr("Looking at the pictures..."))
        self._background.run(
            self, ("statistics", self), work, lambda found: self._take_all(number, found)
        )

    def _take_part(self, number: int, found: Statistics) -> None:
        # What is complete is not taken away again because the folder is looked at once more.
        if number == self._number and self._counting:
            self.set_facts(found)

    def _take_all(self, number: int, found: object) -> None:
        from core.data.statistics import Statistics

        if number != self._number:
            return
        self._counting = False
        if isinstance(found, Statistics):
            self.set_facts(found)
        else:
            self.set_facts(None)
            text = self.tr("The pictures could not be counted: %1")
            self.empty.setText(text.replace("%1", str(found)))

    def set_facts(self, facts: Statistics | None) -> None:
        """Show these; None shows that nothing is known yet."""
        filled = not self.counts.isVisibleTo(self)
        self.facts = facts
        known = facts is not None and facts.pictures > 0
        self.empty.setVisible(not known)
        self.empty.setText(
            self.tr("Nothing is counted yet.") if facts is None else self.tr("No pictures.")
        )
        self.counts.setVisible(known)
        for widget, label in self._titles.items():
            widget.setVisible(known)
            label.setVisible(known)
        if facts is None or not known:
            return
        self.counts.show_rows(self._count_rows(facts))
        self.aspects.set_bars(aspect_bars(facts.aspects))
        self.buckets.set_bars(self._bucket_bars(facts))
        self.tokens.set_bars(token_bars(facts.tokens))
        self.tags.set_bars([Bar(tag, number) for tag, number in facts.tags[:TAGS_SHOWN]])
        for widget, shown in ((self.tokens, facts.captions > 0), (self.tags, bool(facts.tags))):
            widget.setVisible(shown)
            self._titles[widget].setVisible(shown)
        if filled:
            self.filled.emit()

    def _count_rows(self, facts: Statistics) -> list[tuple[str, str]]:
        captions = str(facts.captions)
        having = facts.pictures - facts.captions_missing
        if facts.captions != having:  # some have alternatives
            text = counted(self.tr("%1 for %n picture(s)", "", having), having)
            captions = text.replace("%1", captions)
        if facts.captions_missing:
            missing = self.tr(", %n picture(s) without", "", facts.captions_missing)
            captions += counted(missing, facts.captions_missing)
        if facts.captions_long:
            captions += self.tr(", %n over 75 tokens", "", facts.captions_long)
        pictures = str(facts.pictures)
        if self._counting:
            pictures = self.tr("%1 so far").replace("%1", pictures)
        if facts.rejected:
            pictures += self.tr(", %n rejected", "", facts.rejected)
        if facts.skipped:
            pictures += self.tr(", %n skipped", "", facts.skipped)
        if facts.upscaled:
            pictures += self.tr(", %n enlarged", "", facts.upscaled)
        sizes = [f"{w} × {h}" for w, h in (facts.smallest, facts.largest)]
        between = self.tr("%1 to %2, middle %3 megapixels")
        size = sizes[0]
        if facts.smallest != facts.largest:
            middle = f"{facts.median_pixels / 1e6:.2g}"
            size = between.replace("%1", sizes[0]).replace("%2", sizes[1]).replace("%3", middle)
        return [
            (self.tr("Pictures"), pictures),
            (self.tr("Sizes"), size),
            (self.tr("Captions"), captions),
        ]

    def _bucket_bars(self, facts: Statistics) -> list[Bar]:
        bars = []
        for row in facts.buckets[:BUCKETS_SHOWN]:
            note = f"−{row.lost:.0%}" if row.lost >= 0.005 else ""
            bars.append(Bar(str(row.bucket), row.pictures, note))
        rest = facts.buckets[BUCKETS_SHOWN:]
        if rest:
            more = len(rest)
            label = counted(self.tr("%n more bucket(s)", "", more), more)
            bars.append(Bar(label, sum(row.pictures for row in rest)))
        return bars


def count_concept(
    job: Job, step: int, cancelled: StopCheck, partly: Callable[[Statistics], object]
) -> Statistics:
    """The statistics of a job's pictures; `partly` gets what was counted so far a few times a
    second. Raises Stopped when cancelled.

    step: the bucket step in pixels.
    """
    from core.data.plan import make_plan
    from core.data.statistics import Accumulator

    so_far = Accumulator()
    told = time.monotonic()

    def seen(item: Item) -> None:
        nonlocal told
        so_far.add(item)
        if time.monotonic() - told > TELL_SECONDS:
            partly(so_far.snapshot())
            told = time.monotonic()

    plan = make_plan(job, bucket_step=step, check_stop=cancelled, seen=seen)
    so_far.skipped = sum(one.skipped for one in plan.concepts)
    so_far.rejected = sum(one.rejected for one in plan.concepts)
    return so_far.snapshot()


def aspect_bars(aspects: Mapping[int, int]) -> list[Bar]:
    """Bars from 1:4 to 4:1, as far as there are pictures, the usual shapes labelled."""
    from core.data.statistics import ASPECT_BINS, aspect_of_bin

    names = {-8: "1:4", -4: "1:2", -2: "2:3", 0: "1:1", 2: "3:2", 4: "2:1", 8: "4:1"}
    low = min([*aspects, -4])
    high = max([*aspects, 4])
    return [
        Bar(names.get(number, ""), aspects.get(number, 0), f"{aspect_of_bin(number):.2f}")
        for number in ASPECT_BINS
        if low <= number <= high
    ]


def token_bars(tokens: Mapping[int, int]) -> list[Bar]:
    """Bars of 15 tokens each; those over 75 warn, everything from 225 on is one."""
    from core.data.tokens import CHUNK

    last = 15
    counts: dict[int, int] = {}
    for length, number in tokens.items():
        place = min(max(0, length - 1) // TOKENS_A_BAR, last)
        counts[place] = counts.get(place, 0) + number
    shown = max(max(counts, default=0), CHUNK // TOKENS_A_BAR - 1)
    bars = []
    for place in range(shown + 1):
        end = (place + 1) * TOKENS_A_BAR
        label = f">{place * TOKENS_A_BAR}" if place == last else str(end)
        bars.append(Bar(label, counts.get(place, 0), warns=end > CHUNK))
    return bars


class _Table(QWidget):
    """A few lines of name and value."""

    def __init__(self) -> None:
        super().__init__()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(theme.unit(1.5))
        self._grid.setVerticalSpacing(theme.unit(0.4))
        self._grid.setColumnStretch(1, 1)
        self._labels: list[tuple[QLabel, QLabel]] = []

    def show_rows(self, rows: Sequence[tuple[str, str]]) -> None:
        """Show these."""
        while len(self._labels) < len(rows):
            pair = (QLabel(), QLabel())
            theme.set_role(pair[0], "muted")
            for place, label in enumerate(pair):
                label.setTextFormat(Qt.TextFormat.PlainText)
                self._grid.addWidget(label, len(self._labels), place, Qt.AlignmentFlag.AlignTop)
            pair[1].setWordWrap(True)
            self._labels.append(pair)
        for number, pair in enumerate(self._labels):
            texts = rows[number] if number < len(rows) else ("", "")
            for label, text in zip(pair, texts, strict=True):
                label.setText(text)
                label.setVisible(number < len(rows))
