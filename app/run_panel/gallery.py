"""The live sample gallery: the newest picture large, earlier ones by prompt and by step."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QImage, QResizeEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from app import icons, theme
from app.run_panel.filmstrip import Filmstrip
from app.run_panel.model import Picture, RunView
from app.run_panel.parts import NumberLabel, tool_button
from app.run_panel.picture import PictureView, Shown
from app.run_panel.pictures import PictureLoader
from app.run_panel.prompt_chips import PromptChips
from app.widgets.labels import Elided


class Gallery(QWidget):
    """Shows one run's samples; follows the newest until somebody looks back.

    Signals:
        zoomAsked(): the picture was double-clicked. stepShown(int): this step is on view.
    """

    zoomAsked = Signal()
    stepShown = Signal(int)

    def __init__(self, loader: PictureLoader, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._loader = loader
        self._folder: Path | None = None
        self._view = RunView()
        self._prompt = 0
        self._step: int | None = None
        self._follow = True
        self._before = False
        self._empty_text = ""
        self._build()
        loader.loaded.connect(self._on_loaded)

    def _build(self) -> None:
        self.picture = PictureView()
        self.caption = Elided()
        theme.set_role(self.caption, "muted")
        self.chips = PromptChips()
        self.chips.chosen.connect(self.show_prompt)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName(self.tr("Step of the sample"))
        self.slider.setPageStep(1)
        self.slider.setMinimumHeight(theme.unit(2.75))
        self.slider.valueChanged.connect(self._on_slider)
        self._step_label = NumberLabel("step 00000", Qt.AlignmentFlag.AlignRight)
        self.compare = tool_button(
            "columns-2", self.tr("Show the first picture beside this one"), checkable=True
        )
        self.compare.toggled.connect(self._refresh_picture)
        self.before = tool_button(
            "history", self.tr("Hold to see the first picture (key B, with the picture focused)")
        )
        self.before.pressed.connect(lambda: self._hold_before(True))
        self.before.released.connect(lambda: self._hold_before(False))
        self.zoom = tool_button("maximize", self.tr("Whole window (double click on the picture)"))
        self.zoom.clicked.connect(self.zoomAsked)
        self.strip = Filmstrip(self._thumbnail)
        self.strip.chosen.connect(self.show_step)
        self.picture.zoomAsked.connect(self.zoomAsked)
        self.picture.stepAsked.connect(self.move_step)
        self.picture.promptAsked.connect(self.move_prompt)
        self.picture.endAsked.connect(self._to_end)
        self.picture.beforeHeld.connect(self._hold_before)
        self._row = QWidget()
        row = QHBoxLayout(self._row)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.unit(0.75))
        row.addWidget(self.chips)
        row.addSpacing(theme.unit(0.5))
        row.addWidget(self.slider, 1)
        row.addWidget(self._step_label)
        for button in (self.before, self.compare, self.zoom):
            row.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.unit(0.75))
        layout.addWidget(self.picture, 1)
        layout.addWidget(self.caption)
        layout.addWidget(self._row)
        layout.addWidget(self.strip)
        self._show_nothing()

    def show_run(self, folder: Path | None, view: RunView, empty_text: str) -> None:
        """Show another run; `empty_text` stands where no picture is yet."""
        self._folder, self._view, self._empty_text = folder, view, empty_text
        self._prompt, self._step, self._follow = 0, None, True
        self.refresh()

    def show_folder(self, folder: Path | None) -> None:
        """The run's folder, once it is known."""
        self._folder = folder

    def set_zoomed(self, zoomed: bool) -> None:
        """Whether the picture has the whole window now."""
        self.zoom.setIcon(icons.icon("minimize" if zoomed else "maximize"))
        tip = self.tr("Back (Esc)") if zoomed else self.tr("Whole window (double click)")
        self.zoom.setToolTip(tip)
        self.picture.setFocus()

    def set_empty_text(self, text: str) -> None:
        """The sentence shown until the first picture comes."""
        if text != self._empty_text:
            self._empty_text = text
            if not self._view.prompts():
                self.picture.show_message(text)

    def refresh(self) -> None:
        """The run's pictures have changed."""
        prompts = self._view.prompts()
        if not prompts:
            self._show_nothing()
            return
        if self._prompt not in prompts:
            self._prompt = prompts[0]
        steps = self._view.picture_steps(self._prompt)
        if self._follow or self._step is None:
            self._step = steps[-1]
        elif self._step not in steps:
            self._step = max((s for s in steps if s <= self._step), default=steps[-1])
        words = {i: self._view.pictures[i] for i in prompts}
        texts = {i: by_step[max(by_step)].prompt for i, by_step in words.items()}
        self.chips.set_prompts(texts, self._prompt)
        with QSignalBlocker(self.slider):
            self.slider.setRange(0, len(steps) - 1)
            self.slider.setValue(steps.index(self._step))
        self.slider.setEnabled(len(steps) > 1)
        for button in (self.before, self.compare):
            button.setEnabled(len(steps) > 1)
        self.zoom.setEnabled(True)
        self.strip.set_steps(steps, self._step)
        self._step_label.setText(self.tr("step {0}").format(self._step))
        self._refresh_picture()
        self.stepShown.emit(self._step)

    def shown_picture(self) -> Picture | None:
        """The sample on view, or None."""
        if self._step is None:
            return None
        return self._view.pictures.get(self._prompt, {}).get(self._step)

    def show_step(self, step: int) -> None:
        """Show the sample of this step, or the nearest before it."""
        steps = self._view.picture_steps(self._prompt)
        if steps:
            self._step = max((s for s in steps if s <= step), default=steps[0])
            self._follow = self._step == steps[-1]
            self.refresh()

    def show_prompt(self, index: int) -> None:
        """Show another prompt at about the same step."""
        if index in self._view.prompts():
            self._prompt = index
            self.refresh()

    def move_step(self, by: int) -> None:
        """One sample later (+1) or earlier (-1)."""
        self.slider.setValue(self.slider.value() + by)

    def move_prompt(self, by: int) -> None:
        """The next prompt (+1) or the one before (-1)."""
        prompts = self._view.prompts()
        if prompts:
            place = prompts.index(self._prompt) + by
            self.show_prompt(prompts[max(0, min(place, len(prompts) - 1))])

    def resizeEvent(self, event: QResizeEvent) -> None:
        # In a low window the picture matters more than the strip; the slider stays.
        self.strip.setVisible(event.size().height() >= theme.unit(30))
        self.caption.setVisible(event.size().height() >= theme.unit(22))
        super().resizeEvent(event)

    def _show_nothing(self) -> None:
        self._step = None
        self.picture.show_message(self._empty_text)
        self.caption.set_text("")
        self.chips.set_prompts({}, 0)
        self.strip.set_steps([], None)
        with QSignalBlocker(self.slider):
            self.slider.setRange(0, 0)
        for widget in (self.slider, self.before, self.compare, self.zoom):
            widget.setEnabled(False)
        self._step_label.setText("")

    def _on_slider(self, place: int) -> None:
        steps = self._view.picture_steps(self._prompt)
        if 0 <= place < len(steps):
            self.show_step(steps[place])

    def _to_end(self, last: bool) -> None:
        self.slider.setValue(self.slider.maximum() if last else 0)

    def _hold_before(self, held: bool) -> None:
        if held != self._before:
            self._before = held
            self._refresh_picture()

    def _refresh_picture(self) -> None:
        picture = self.shown_picture()
        if picture is None or self._folder is None:
            return
        first = self._view.pictures[self._prompt][self._view.picture_steps(self._prompt)[0]]
        wanted = [first] if self._before else [picture]
        if self.compare.isChecked() and not self._before and first is not picture:
            wanted = [first, picture]
        self.caption.set_text(picture.prompt)
        paths = [self._folder / p.path for p in wanted]
        self._loader.want(*paths)
        images = [self._loader.get(path) for path in paths]
        if any(image is None for image in images):
            return  # the picture before stays until this one is read
        labelled = len(wanted) > 1 or self._before
        self.picture.show_pictures(
            [
                Shown(image, self._label(p) if labelled else "")
                for image, p in zip(images, wanted, strict=True)
                if image is not None
            ]
        )

    def _label(self, picture: Picture) -> str:
        if picture.step == 0:
            return self.tr("before training")
        return self.tr("step {0}").format(picture.step)

    def _thumbnail(self, step: int, edge: int) -> QImage | None:
        picture = self._view.pictures.get(self._prompt, {}).get(step)
        if picture is None or self._folder is None:
            return None
        return self._loader.get(self._folder / picture.path, edge)

    def _on_loaded(self, path: str, edge: int, image: QImage) -> None:
        if self._folder is None or not Path(path).is_relative_to(self._folder):
            return
        if edge:
            self.strip.refresh()
        else:
            self._refresh_picture()
