"""The side of the grid: one picture large, its crop, its caption as trained, its changes."""

from __future__ import annotations

import html

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QImage, QResizeEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.background import Background
from app.concepts.facts import Look, PictureFacts
from app.concepts.preview import CropPreview
from app.concepts.tiles import caption_trouble, size_text
from app.concepts.variations import Variations
from app.i18n import counted
from app.icons import icon
from app.viewer.helper import Helper
from app.widgets import numbers
from app.widgets.labels import Elided, Note
from core.config.concepts import Concept
from core.data.captions import caption_lines, whole_caption, with_trigger
from core.data.types import Placement


def trained_captions(concept: Concept, facts: PictureFacts) -> tuple[str, ...]:
    """The alternatives that training reads for a picture, before any change of the captions."""
    if concept.prompt.source != "caption_file":
        return tuple(facts.text.split("\n")) if facts.text else ("",)
    whole = concept.prompt.lines == "whole"
    found = whole_caption(facts.text) if whole else caption_lines(facts.text)
    return tuple(with_trigger(text, concept.prompt.trigger.strip()) for text in found or ("",))


class PictureDetail(QScrollArea):
    """What training makes of one picture. Signals: those of `CropPreview`."""

    focusChosen = Signal(object)
    opened = Signal()

    def __init__(self, background: Background) -> None:
        super().__init__()
        self._background = background
        self._facts: PictureFacts | None = None
        self._look: Look | None = None
        self._helper = Helper()
        self.destroyed.connect(self._helper.close)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.preview = CropPreview(background)
        self.preview.focusChosen.connect(self.focusChosen)
        self.preview.opened.connect(self.opened)
        self.name = Elided(mode=Qt.TextElideMode.ElideMiddle)
        theme.set_role(self.name, "group")
        self.size_label = QLabel()
        theme.set_role(self.size_label, "small")
        self.problem = Note(lines=4)
        self.sides = _Sides()
        self.sides.chosen.connect(self._choose_side)
        self.crop = QLabel()
        self.crop.setWordWrap(True)
        theme.set_role(self.crop, "small")
        self.small = Note(lines=3)
        self.centre = QPushButton(icon("undo-2"), self.tr("Crop from the middle"))
        self.centre.clicked.connect(lambda: self.focusChosen.emit(None))
        self.centre.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.caption_title = QLabel(self.tr("Caption as trained"))
        theme.set_role(self.caption_title, "group")
        self.caption = QLabel()
        self.caption.setWordWrap(True)
        self.caption.setTextFormat(Qt.TextFormat.RichText)
        self.caption.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.tokens = QLabel()
        theme.set_role(self.tokens, "small")
        self.variations = Variations(background)
        self._build()
        self.show_picture(None, None, None)

    def _build(self) -> None:
        inner = QWidget()
        column = QVBoxLayout(inner)
        gap = theme.unit()
        column.setContentsMargins(theme.unit(1.5), 0, gap, gap)
        column.setSpacing(theme.unit(0.5))
        names = QHBoxLayout()
        names.addWidget(self.name, 1)
        names.addWidget(self.size_label)
        captions = QHBoxLayout()
        captions.addWidget(self.caption_title)
        captions.addStretch(1)
        captions.addWidget(self.tokens)
        column.addWidget(self.preview)
        column.addSpacing(theme.unit(0.5))
        column.addLayout(names)
        for part in (self.problem, self.sides, self.crop, self.small, self.centre):
            column.addWidget(part)
        column.addSpacing(gap)
        self._caption_box = QWidget()
        box = QVBoxLayout(self._caption_box)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(theme.unit(0.5))
        box.addLayout(captions)
        box.addWidget(self.caption)
        column.addWidget(self._caption_box)
        column.addSpacing(gap)
        column.addWidget(self.variations)
        column.addStretch(1)
        self.setWidget(inner)
        for widget in (self.viewport(), inner):
            widget.setAutoFillBackground(False)
        self.setFrameShape(QFrame.Shape.NoFrame)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        # Always of one height for one window, so that nothing moves from picture to picture.
        share = min(round(self.height() * 0.5), round(self.width() * 0.9))
        self.preview.setFixedHeight(min(max(share, theme.unit(18)), theme.unit(60)))

    def sizeHint(self) -> QSize:
        return QSize(theme.em(48), theme.unit(60))

    def minimumSizeHint(self) -> QSize:
        return QSize(theme.em(34), theme.unit(30))

    def close_down(self) -> None:
        """End the process that counts tokens."""
        self._helper.close()

    def show_picture(
        self, facts: PictureFacts | None, look: Look | None, thumbnail: QImage | None
    ) -> None:
        """Show a picture, or that none is chosen."""
        self._facts, self._look = facts, look
        self.preview.show_picture(facts, look, thumbnail)
        self.variations.show_picture(facts, look)
        self.name.setVisible(facts is not None)
        self.size_label.setVisible(facts is not None)
        self._caption_box.setVisible(facts is not None and not facts.problem)
        if facts is None or look is None:
            for part in (self.problem, self.sides, self.crop, self.small, self.centre):
                part.setVisible(False)
            return
        self.name.set_text(facts.path.name)
        self.size_label.setText(size_text(facts))
        self.problem.setVisible(bool(facts.problem or facts.caption_problem))
        self.problem.set_note(facts.problem or caption_trouble(facts), "error")
        self.sides.set_sides(look.sides if len(look.sides) > 1 and not facts.problem else ())
        self._show_crop()
        self._show_caption()

    def _choose_side(self, index: int) -> None:
        self.preview.set_which(index)
        self._show_crop()

    def _show_crop(self) -> None:
        facts, look = self._facts, self._look
        placements = self.preview.placements()
        self.crop.setVisible(bool(placements))
        self.small.setVisible(False)
        self.centre.setVisible(bool(placements) and facts is not None and bool(facts.note.focus))
        if not placements or facts is None or look is None or facts.size is None:
            return
        placement = placements[min(self.sides.index(), len(placements) - 1)]
        self.crop.setText(self.crop_text(placement, facts.size))
        self.small.setVisible(placement.upscaled)
        if placement.upscaled and look.concept.small == "leave_out":
            self.small.set_note(
                self.tr("Smaller than its bucket, so it is left out, as you chose."), "warning"
            )
        elif placement.upscaled:
            text = self.tr("It is enlarged %1 times, which blurs it. Larger pictures train better.")
            factor = numbers.show(round(_scale(placement, facts.size), 2))
            self.small.set_note(text.replace("%1", factor), "warning")

    def crop_text(self, placement: Placement, size: tuple[int, int]) -> str:
        """The bucket, the scale and what is lost, in a line."""
        bucket = placement.bucket
        lost = 1 - bucket.width * bucket.height / (placement.resized[0] * placement.resized[1])
        parts = [
            self.tr("Bucket %1 × %2").replace("%1", str(bucket.width)),
            self.tr("scaled to %1 %").replace("%1", _percent(_scale(placement, size))),
        ]
        parts[0] = parts[0].replace("%2", str(bucket.height))
        if lost >= 0.005:
            parts.append(self.tr("%1 % cut off").replace("%1", _percent(lost)))
        else:
            parts.append(self.tr("nothing cut off"))
        return " · ".join(parts)

    def _show_caption(self) -> None:
        facts, look = self._facts, self._look
        assert facts is not None and look is not None
        captions = trained_captions(look.concept, facts)
        shown = [html.escape(text).replace("\n", "<br>") for text in captions]
        empty = f"<i>{html.escape(self.tr('empty'))}</i>"
        joined = [text or empty for text in shown]
        if len(joined) > 1:
            between = html.escape(self.tr("or"))
            self.caption.setText(f"<br><i>{between}</i> ".join(joined))
        else:
            self.caption.setText(joined[0])
        self.tokens.setText("")
        self._background.run(
            self, ("tokens", id(self)), lambda _: self._count(captions), self._tokens_known
        )

    def _count(self, captions: tuple[str, ...]) -> int:
        """In a thread: tokens of the longest caption."""
        reply = self._helper.ask({"do": "tokens", "texts": list(captions)})
        return max(reply["counts"], default=0)

    def _tokens_known(self, result: object) -> None:
        if not isinstance(result, int) or self._facts is None:
            return
        text = counted(self.tr("%n token(s)", "", result), result)
        chunks = -(-result // 75)
        if chunks > 1:
            text += ", " + self.tr("in %1 chunks").replace("%1", str(chunks))
        self.tokens.setText(text)


class _Sides(QWidget):
    """Which of several resolutions is looked at. Signals: chosen(index)."""

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(0)
        self._row.addStretch(1)
        self._group = QButtonGroup(self)
        self._group.idClicked.connect(self.chosen)
        self._sides: tuple[int, ...] = ()

    def set_sides(self, sides: tuple[int, ...]) -> None:
        """Offer these resolutions; nothing is shown for none."""
        self.setVisible(bool(sides))
        if sides == self._sides:
            return
        self._sides = sides
        for button in self._group.buttons():
            self._group.removeButton(button)
            self._row.removeWidget(button)
            button.hide()
            button.deleteLater()
        for number, side in enumerate(sides):
            button = QPushButton(f"{side} px")
            button.setCheckable(True)
            button.setChecked(number == 0)
            button.setProperty("role", "segment")
            ends = {0: "left", len(sides) - 1: "right"}
            button.setProperty("side", ends.get(number, "middle"))
            self._group.addButton(button, number)
            self._row.insertWidget(number, button)
        self.chosen.emit(0)

    def index(self) -> int:
        """The one that is looked at."""
        return max(0, self._group.checkedId())


def _scale(placement: Placement, size: tuple[int, int]) -> float:
    return max(placement.resized[0] / size[0], placement.resized[1] / size[1])


def _percent(share: float) -> str:
    percent = 100 * share
    return numbers.show(round(percent, 1) if percent < 10 else round(percent))
