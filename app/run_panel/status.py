"""Header, progress and numbers of the run on view."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app import icons, theme
from app.run_panel.model import (
    RunView,
    State,
    duration_text,
    finish_text,
    memory_text,
    speed_text,
)
from app.run_panel.parts import NumberLabel, counted
from app.widgets.labels import Elided
from core.worker import protocol

PAGES = ("images", "scroll-text", "history")
# Their count is that of the steps, which the header shows.
UNCOUNTED = ("training", "paused")
STATE_ROLES: dict[State, str] = {
    "idle": "muted",
    "starting": "accent_text",
    "running": "accent_text",
    "paused": "warning",
    "stopping": "warning",
    "finished": "good",
    "stopped": "muted",
    "failed": "error",
    "died": "error",
}


class Dot(QWidget):
    """A spot in the colour of a state."""

    def __init__(self) -> None:
        super().__init__()
        self._role = "muted"
        self.setFixedSize(theme.unit(1.5), theme.unit(1.5))

    def set_role(self, role: str) -> None:
        """Take a colour of the theme."""
        self._role = role
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(getattr(theme.colours(), self._role)))
        side = self.width() * 0.7
        box = QRectF(0, 0, side, side)
        box.moveCenter(QRectF(self.rect()).center())
        painter.drawEllipse(box)
        painter.end()


class Bar(QWidget):
    """A thin progress bar; keeps its place when it has nothing to show."""

    def __init__(self, role: str = "accent", thickness: float = 0.5) -> None:
        super().__init__()
        self._role = role
        self._share: float | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(max(3, theme.unit(thickness)))

    def set_share(self, share: float | None, role: str | None = None) -> None:
        """0 to 1; None shows nothing."""
        self._share, self._role = share, role or self._role
        self.update()

    def share(self) -> float | None:
        """What is shown now."""
        return self._share

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._share is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        box = QRectF(self.rect())
        radius = box.height() / 2
        painter.setBrush(QColor(theme.colours().border))
        painter.drawRoundedRect(box, radius, radius)
        width = box.width() * min(1.0, max(0.0, self._share))
        if width > 0:
            painter.setBrush(QColor(getattr(theme.colours(), self._role)))
            done = QRectF(box.left(), box.top(), max(width, box.height()), box.height())
            painter.drawRoundedRect(done, radius, radius)
        painter.end()


class Header(QWidget):
    """Name, state and step of the run, a bar of its steps, and the choice of page.

    Signals:
        pageChosen(int): 0 pictures, 1 log, 2 runs.
    """

    pageChosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.dot = Dot()
        self.name = Elided()
        theme.set_role(self.name, "title")
        self.step = NumberLabel("stopping · 00000 / 00000", Qt.AlignmentFlag.AlignRight, role="")
        self.bar = Bar()
        self._pages = QButtonGroup(self)
        row = QHBoxLayout()
        row.setSpacing(theme.unit(0.75))
        row.addWidget(self.dot)
        row.addWidget(self.name, 1)
        row.addWidget(self.step)
        row.addSpacing(theme.unit(0.5))
        tips = (self.tr("Samples and loss"), self.tr("Warnings and log"), self.tr("Earlier runs"))
        for number, (icon, tip) in enumerate(zip(PAGES, tips, strict=True)):
            button = QToolButton()
            button.setIcon(icons.icon(icon))
            button.setCheckable(True)
            button.setToolTip(tip)
            button.setAccessibleName(tip)
            self._pages.addButton(button, number)
            row.addWidget(button)
        self._pages.button(0).setChecked(True)
        self._pages.idClicked.connect(self.pageChosen)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.unit(0.75))
        layout.addLayout(row)
        layout.addWidget(self.bar)

    def choose_page(self, number: int) -> None:
        """Mark a page as the one on view."""
        self._pages.button(number).setChecked(True)

    def set_warnings(self, count: int, errors: bool) -> None:
        """Mark the log's button when there is something to read."""
        button = self._pages.button(1)
        role = "error" if errors else "warning" if count else "text"
        button.setIcon(icons.icon("triangle-alert" if count else "scroll-text", role))
        words = self.tr("Warnings and log")
        if count:
            number = counted(count, self.tr("warning"), self.tr("warnings"))
            words = self.tr("{0}, and the log").format(number)
        button.setToolTip(words)
        button.setAccessibleName(words)

    def show_view(self, name: str, view: RunView) -> None:
        """Show the run as it is now."""
        self.name.set_text(name)
        self.dot.set_role(STATE_ROLES[view.state])
        self.dot.setVisible(view.state != "idle")
        words = self._words(view.state)
        if view.total:
            between = " " if view.state == "running" else " · "
            words += f"{between}{view.step} / {view.total}"
        self.step.setText(words)
        self.bar.set_share(view.step / view.total if view.total else None)

    def _words(self, state: State) -> str:
        return {
            "idle": "",
            "starting": self.tr("starting"),
            "running": self.tr("step"),
            "paused": self.tr("paused"),
            "stopping": self.tr("stopping"),
            "finished": self.tr("finished"),
            "stopped": self.tr("stopped"),
            "failed": self.tr("failed"),
            "died": self.tr("broken off"),
        }[state]


class Numbers(QWidget):
    """What the worker is busy with, its own bar, and speed, end and memory below the plot."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = Elided()
        self.bar = Bar("accent_text", 0.4)
        self.speed = NumberLabel("00.0 steps/s", role="")
        self.finish = NumberLabel("finishes 00:00", Qt.AlignmentFlag.AlignHCenter, role="")
        self.memory = NumberLabel("00.0 GB", Qt.AlignmentFlag.AlignRight)
        self.memory.setToolTip(self.tr("Memory that the training uses"))
        self.phase.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        busy = QHBoxLayout()
        busy.setSpacing(theme.unit(1))
        busy.addWidget(self.phase, 2)
        busy.addWidget(self.bar, 1)
        row = QHBoxLayout()
        row.setSpacing(theme.unit(1))
        row.addWidget(self.speed)
        row.addStretch(1)
        row.addWidget(self.finish)
        row.addStretch(1)
        row.addWidget(self.memory)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.unit(0.5))
        layout.addLayout(busy)
        layout.addLayout(row)

    def show_view(self, view: RunView) -> None:
        """Show the run as it is now."""
        alive = view.state in ("starting", "running", "paused", "stopping")
        phase = view.phase if alive else None
        self.phase.set_text(self._phase_words(phase, view))
        counted = phase is not None and phase.total > 0 and phase.name not in UNCOUNTED
        self.bar.set_share(phase.done / phase.total if counted and phase else None)
        speed = view.speed() if alive else None
        self.speed.setText(speed_text(speed) if speed else "")
        left = view.seconds_left()
        self.finish.setText(finish_text(left) if left is not None else "")
        took = view.duration()
        if not alive and took:
            self.finish.setText(self.tr("took {0}").format(duration_text(took)))
        self.memory.setText(memory_text(view.memory) if view.memory else "")

    def _phase_words(self, phase: protocol.Phase | None, view: RunView) -> str:
        if phase is None:
            return self.tr("Starting the training process") if view.state == "starting" else ""
        words = {
            "loading": self.tr("Loading the model"),
            "caching": self.tr("Preparing pictures"),
            "training": self.tr("Training"),
            "sampling": self.tr("Drawing samples"),
            "saving": self.tr("Saving"),
            "paused": self.tr("Paused, its memory is free"),
        }[phase.name]
        more = f" · {phase.text}" if phase.text and phase.text != words else ""
        if phase.name == "training" and view.epoch:
            words = self.tr("Training, epoch {0}").format(int(view.epoch) + 1)
        elif phase.total and phase.name not in UNCOUNTED:
            words += f" {phase.done} / {phase.total}"
        return words + more

    def sizeHint(self) -> QSize:
        return QSize(theme.unit(40), super().sizeHint().height())
