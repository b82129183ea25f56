"""First start: what training will run on, and the three steps to it."""

from __future__ import annotations

from PySide6.QtCore import QSize, Signal
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QPushButton, QToolButton

from app import theme
from app.detection import BaseModelWatch
from app.icons import icon
from app.state import SettingsState
from app.widgets.labels import Elided, Picture


class Welcome(QFrame):
    """Three steps with their marks. Signals: stepChosen(name) with `pictures`, `model` or
    `train`; demoRequested(); dismissed()."""

    stepChosen = Signal(str)
    demoRequested = Signal()
    dismissed = Signal()

    def __init__(self, state: SettingsState, model: BaseModelWatch) -> None:
        super().__init__()
        self._state, self._model = state, model
        self.setProperty("role", "card")
        title = QLabel(self.tr("Three steps to a LoRA"))
        theme.set_role(title, "title")
        self.hardware = Elided()
        theme.set_role(self.hardware, "muted")
        self.hardware.set_text(self.tr("Looking for a graphics card..."))
        close = QToolButton()
        close.setIcon(icon("x", "muted"))
        close.setIconSize(QSize(theme.unit(2), theme.unit(2)))
        close.setToolTip(self.tr("Hide the first steps"))
        close.setAccessibleName(self.tr("Hide the first steps"))
        close.clicked.connect(self.dismissed)
        self._steps: dict[str, QPushButton] = {}
        steps = QHBoxLayout()
        steps.setSpacing(theme.unit(1))
        for name, text in (
            ("pictures", self.tr("1. Pictures")),
            ("model", self.tr("2. Base model")),
            ("train", self.tr("3. Train")),
        ):
            button = QPushButton(icon("circle", "muted"), text)
            button.clicked.connect(lambda _, name=name: self.stepChosen.emit(name))
            self._steps[name] = button
            steps.addWidget(button)
        steps.addStretch(1)
        demo = QPushButton(icon("sparkles"), self.tr("Try the demo"))
        demo.setToolTip(self.tr("A small model and its pictures, ready to train"))
        demo.clicked.connect(self.demoRequested)
        grid = QGridLayout(self)
        grid.setContentsMargins(theme.unit(2), theme.unit(1.25), theme.unit(1), theme.unit(1.5))
        grid.setHorizontalSpacing(theme.unit(1))
        grid.setVerticalSpacing(theme.unit(0.75))
        line = QHBoxLayout()
        line.setSpacing(theme.unit(0.75))
        line.addWidget(Picture("cpu", 2))
        line.addWidget(self.hardware, 1)
        top = QHBoxLayout()
        top.setSpacing(theme.unit(1))
        top.addWidget(title)
        top.addStretch(1)
        top.addWidget(demo)
        top.addWidget(close)
        grid.addLayout(top, 0, 0, 1, 2)
        grid.addLayout(line, 1, 0, 1, 2)
        grid.addLayout(steps, 2, 0, 1, 2)
        state.problemsChanged.connect(self._show)
        state.reloaded.connect(self._show)
        model.changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        codes = {problem.code for problem in self._state.problems()}
        done = {
            "pictures": not codes & {"no_concepts", "concept_no_folder"},
            "model": self._model.file is not None,
            "train": False,
        }
        for name, button in self._steps.items():
            drawing, role = ("circle-check", "good") if done[name] else ("circle", "muted")
            button.setIcon(icon(drawing, role))
            button.setAccessibleDescription(self.tr("done") if done[name] else "")
