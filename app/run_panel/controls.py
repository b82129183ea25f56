"""The row of buttons that steers training; the window puts it into its footer."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QMenu, QPushButton, QToolButton, QWidget

from app import icons, theme
from app.run_panel.model import ALIVE, State
from app.run_panel.parts import counted, tool_button

COMPACT_BELOW = 136  # spacing units of window width
LULL_MS = 1500


class Controls(QWidget):
    """Train (while one trains: Add to queue), Pause/Resume, Stop, Sample now, Checkpoint now.

    Signals:
        trainRequested(), pauseRequested(), resumeRequested(), sampleRequested(),
        checkpointRequested(). stopRequested(bool): with a checkpoint or without.
    """

    trainRequested = Signal()
    pauseRequested = Signal()
    resumeRequested = Signal()
    stopRequested = Signal(bool)
    sampleRequested = Signal()
    checkpointRequested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._state: State = "idle"
        self._asked_in: State | None = None
        self._watched: QObject | None = None
        self.train = QPushButton(self.tr("Train"))
        self.train.setIcon(icons.icon("play", "on_accent"))
        theme.set_role(self.train, "primary")
        self.train.clicked.connect(self.trainRequested)
        self.pause = QPushButton(self.tr("Pause"))
        self.pause.clicked.connect(self._on_pause)
        self.stop = QPushButton(self.tr("Stop"))
        self.stop.setIcon(icons.icon("square"))
        self.stop.setToolTip(self.tr("Stop and keep everything: a checkpoint is written first."))
        self.stop.clicked.connect(lambda: self.stopRequested.emit(True))
        self.stop_menu = tool_button("chevron-down", self.tr("Other ways to stop"))
        menu = QMenu(self.stop_menu)
        self.stop_unsaved = menu.addAction(self.tr("Stop without saving"))
        self.stop_unsaved.triggered.connect(lambda: self.stopRequested.emit(False))
        self.stop_menu.setMenu(menu)
        self.stop_menu.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.sample = QPushButton(self.tr("Sample now"))
        self.sample.setIcon(icons.icon("camera"))
        self.sample.setToolTip(self.tr("Draw the sample prompts after this step."))
        self.sample.clicked.connect(self.sampleRequested)
        self.checkpoint = QPushButton(self.tr("Checkpoint now"))
        self.checkpoint.setIcon(icons.icon("save"))
        self.checkpoint.setToolTip(self.tr("Write a LoRA file after this step and go on."))
        self.checkpoint.clicked.connect(self.checkpointRequested)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.unit(0.75))
        for widget in (self.sample, self.checkpoint):
            row.addWidget(widget)
        row.addSpacing(theme.unit(1))
        for button in (self.train, self.pause, self.stop):
            row.addWidget(button)
        row.addWidget(self.stop_menu)
        self._texts = {
            self.sample: self.sample.text(),
            self.checkpoint: self.checkpoint.text(),
        }
        for button, text in self._texts.items():
            button.setAccessibleName(text)
        self._errors = self._warnings = 0
        self._lull = QTimer(self)
        self._lull.setSingleShot(True)
        self._lull.setInterval(LULL_MS)
        self._lull.timeout.connect(lambda: self.train.setEnabled(True))
        self._keep_widths()
        self.set_state("idle", False)

    def _keep_widths(self) -> None:
        """A button that changes its words stays as wide as the longest of them."""
        for button, words in (
            (self.train, (self.tr("Train"), self.tr("Add to queue"))),
            (self.pause, (self.tr("Pause"), self.tr("Resume"))),
            (self.stop, (self.tr("Stop"), self.tr("Stopping…"))),
        ):
            text, icon = button.text(), button.icon()
            button.setIcon(icons.icon("square"))
            widths = []
            for word in words:
                button.setText(word)
                widths.append(button.sizeHint().width())
            button.setText(text)
            button.setIcon(icon)
            button.setMinimumWidth(max(widths))

    def set_ready(self, errors: int, warnings: int) -> None:
        """How many problems the settings have; Train then leads to them instead of starting."""
        self._errors, self._warnings = errors, warnings
        queued = self._state in ALIVE
        if errors:
            count = counted(errors, self.tr("setting"), self.tr("settings"))
            tip = self.tr("{0} must be corrected first; press to see them.").format(count)
        elif queued:
            tip = self.tr("Train with the settings on the left when it is their turn.")
        elif warnings:
            count = counted(warnings, self.tr("warning"), self.tr("warnings"))
            tip = self.tr("Start training ({0}, nothing that prevents it).").format(count)
        else:
            tip = self.tr("Start training with the settings on the left.")
        self.train.setToolTip(tip)
        name = "circle-alert" if errors else "plus" if queued else "play"
        self.train.setIcon(icons.icon(name, "on_accent"))
        self.train.setText(self.tr("Add to queue") if queued else self.tr("Train"))

    def set_state(self, state: State, can_draw: bool) -> None:
        """Enable what makes sense now. can_draw: the model is loaded and trains."""
        began = state in ALIVE and self._state not in ALIVE
        self._state = state
        alive = state in ALIVE
        if began:
            # The second click of a double click must not add the same run to the queue.
            self.train.setEnabled(False)
            self._lull.start()
        elif not alive:
            self._lull.stop()
            self.train.setEnabled(True)
        paused = state == "paused"
        self.set_ready(self._errors, self._warnings)
        if state != self._asked_in:
            self._asked_in = None
        can_pause = state in ("starting", "running", "paused")
        self.pause.setEnabled(can_pause and self._asked_in is None)
        self.pause.setText(self.tr("Resume") if paused else self.tr("Pause"))
        self.pause.setIcon(icons.icon("play" if paused else "pause"))
        tip = self.tr("Go on.") if paused else self.tr("Free the GPU and wait; nothing is lost.")
        self.pause.setToolTip(tip)
        stopping = state == "stopping"
        self.stop.setEnabled(alive and not stopping)
        self.stop_menu.setEnabled(alive)
        self.stop.setText(self.tr("Stopping…") if stopping else self.tr("Stop"))
        self.sample.setEnabled(state == "running" and can_draw)
        self.checkpoint.setEnabled(state == "running" and can_draw)

    def _on_pause(self) -> None:
        # Until the worker has followed, a second press would ask for the opposite.
        self._asked_in = self._state
        self.pause.setEnabled(False)
        if self._state == "paused":
            self.resumeRequested.emit()
        else:
            self.pauseRequested.emit()

    def set_compact(self, compact: bool) -> None:
        """Leave out the words of the lesser buttons where the window is narrow."""
        for button, text in self._texts.items():
            button.setText("" if compact else text)

    def showEvent(self, event: QEvent) -> None:
        window = self.window()
        if window is not self._watched:
            self._watched = window
            window.installEventFilter(self)
        self._fit()
        super().showEvent(event)  # type: ignore[arg-type]

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and watched is self._watched:
            self._fit()
        return False

    def _fit(self) -> None:
        self.set_compact(self.window().width() < theme.unit(COMPACT_BELOW))
