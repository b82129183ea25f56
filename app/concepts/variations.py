"""What a picture becomes with the concept's changes, drawn by the code that training uses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QPoint, QRect, QSize, QTimer
from PySide6.QtGui import QColor, QImage, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from app import theme
from app.background import Background, StopCheck
from app.concepts.facts import Look, PictureFacts
from app.concepts.tiles import fitted
from app.icons import icon
from app.widgets.labels import Note
from core.config.concepts import Concept

SHOWN = 6
_COLUMNS = 3
_DELAY_MS = 120
# Sets the previews of `Again` apart from the versions that training prepares.
_AGAIN_SEED = 7919


def changes_pictures(concept: Concept) -> bool:
    """Whether any change of the pictures has a chance."""
    from core.data.augment import makes_changes

    return concept.kind != "validation" and makes_changes(concept.image)


def draw_versions(
    facts: PictureFacts, look: Look, again: int, cancelled: StopCheck = lambda: False
) -> list[QImage]:
    """What training makes of a picture at the first resolution; shorter when cancelled.

    again 0: the versions that are prepared before training, where they are; else other draws.
    """
    from core.data.augment import vary, version_seed
    from core.data.companions import mask_beside
    from core.data.images import color_of, load_mask, load_with_alpha

    assert facts.size is not None
    concept = look.concept
    placement = look.placements(facts.size, facts.note.focus)[0]
    width, height = placement.resized
    most = max(1, round(concept.image.scale_most)) if concept.image.scale else 1
    wanted = (2 * most * width, 2 * most * height)
    image, alpha = load_with_alpha(facts.path, color_of(concept.background), at_least=wanted)
    mask = alpha if concept.mask.source == "alpha" else None
    if concept.mask.source == "file" and (file := mask_beside(facts.path)) is not None:
        mask = load_mask(file)
    prepared = concept.image.caching == "variants"
    count = min(SHOWN, concept.image.variants) if prepared and not again else SHOWN
    result = []
    for number in range(count):
        if cancelled():
            break
        seed: tuple[int, ...] = (_AGAIN_SEED, again, number)
        if prepared and not again:
            seed = version_seed(facts.path, number)
        pixels, part = vary(image, mask, placement, concept.image, *seed)
        if part is not None:
            # What is not learned fades away.
            share = part[..., None].astype("float32") / 255 * 0.8 + 0.2
            pixels = (pixels * share).astype("uint8")
        high, wide = pixels.shape[:2]
        drawn = QImage(pixels.tobytes(), wide, high, 3 * wide, QImage.Format.Format_RGB888)
        result.append(drawn.convertToFormat(QImage.Format.Format_RGB32))
    return result


class _Strip(QWidget):
    """The drawn versions side by side, in as many lines as they need."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[QImage] = []
        self.faded = False
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def _cell(self, width: int) -> QSize:
        """The size of one version: as wide as a third of the strip, its height by its shape."""
        wide = max(1, (width - (_COLUMNS - 1) * theme.unit(0.5)) // _COLUMNS)
        if not self.images:
            return QSize(wide, wide)
        shape = self.images[0].height() / max(1, self.images[0].width())
        return QSize(wide, max(1, round(wide * min(shape, 1.5))))

    def set_images(self, images: list[QImage]) -> None:
        """Show these."""
        self.images = images
        self.faded = False
        self.updateGeometry()
        self.update()

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        lines = -(-max(1, len(self.images)) // _COLUMNS)
        return lines * self._cell(width).height() + (lines - 1) * theme.unit(0.5)

    def sizeHint(self) -> QSize:
        width = max(self.width(), theme.unit(30))
        return QSize(theme.unit(30), self.heightForWidth(width))

    def resizeEvent(self, event: QResizeEvent) -> None:
        self.updateGeometry()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setOpacity(0.5 if self.faded else 1.0)
        gap, cell = theme.unit(0.5), self._cell(self.width())
        for number, image in enumerate(self.images):
            line, column = divmod(number, _COLUMNS)
            at = QPoint(column * (cell.width() + gap), line * (cell.height() + gap))
            box = QRect(at, cell)
            painter.fillRect(box, QColor(theme.colours().picture))
            painter.drawImage(fitted(image, box), image)
        painter.end()


class Variations(QWidget):
    """Previews of the changes, and how they are kept for training."""

    def __init__(self, background: Background) -> None:
        super().__init__()
        self._background = background
        self._facts: PictureFacts | None = None
        self._look: Look | None = None
        self._again = 0
        self._asked: tuple[object, ...] | None = None
        self.title = QLabel(self.tr("What changes make of it"))
        theme.set_role(self.title, "group")
        self.again = QPushButton(icon("dices"), self.tr("Again"))
        self.again.setToolTip(self.tr("Draw other versions"))
        self.again.clicked.connect(self.draw_again)
        self.strip = _Strip()
        self.note = Note(lines=4)
        head = QHBoxLayout()
        head.addWidget(self.title)
        head.addStretch(1)
        head.addWidget(self.again)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.unit(0.75))
        column.addLayout(head)
        column.addWidget(self.strip)
        column.addWidget(self.note)
        self._delay = QTimer(self)
        self._delay.setSingleShot(True)
        self._delay.setInterval(_DELAY_MS)
        self._delay.timeout.connect(self._draw)

    def show_picture(self, facts: PictureFacts | None, look: Look | None) -> None:
        """Show what becomes of a picture."""
        if facts is None or self._facts is None or facts.path != self._facts.path:
            self._again = 0
        self._facts, self._look = facts, look
        usable = facts is not None and look is not None and facts.size and not facts.problem
        changing = usable and look is not None and changes_pictures(look.concept)
        for widget in (self.title, self.again, self.strip):
            widget.setVisible(bool(changing))
        self.note.setVisible(bool(usable))
        if look is not None:
            self.note.set_note(self.caching_text(look.concept))
        if changing and self._wish() != self._asked:
            self.strip.faded = True
            self.strip.update()
            self._delay.start()
        elif not changing:
            self.strip.set_images([])
            self._asked = None

    def draw_again(self) -> None:
        """Draw other versions than those shown."""
        self._again += 1
        self._draw()

    def images(self) -> list[QImage]:
        """The versions that are shown."""
        return self.strip.images

    def caching_text(self, concept: Concept) -> str:
        """Which caching is used for the concept, and why, in a sentence."""
        if not changes_pictures(concept):
            if concept.kind == "validation":
                return self.tr("Validation pictures are never changed.")
            return self.tr("The picture is not changed; it is encoded once and kept.")
        if concept.image.caching == "off":
            return self.tr(
                "Each step changes the picture anew and encodes it then, as you chose: endless "
                "variety, but slower, and the VAE stays in memory."
            )
        return self.tr(
            "%1 changed versions of each picture are encoded before training and each step draws "
            "one: changes happen before encoding, so cached pictures cannot change at each step."
        ).replace("%1", str(concept.image.variants))

    def _wish(self) -> tuple[object, ...]:
        facts, look = self._facts, self._look
        assert facts is not None and look is not None
        concept = look.concept
        return (
            facts.path,
            facts.modified,
            facts.note.focus,
            look.sides,
            look.shapes,
            concept.image.model_dump_json(),
            concept.mask.source,
            concept.background,
            self._again,
        )

    def _draw(self) -> None:
        facts, look, again = self._facts, self._look, self._again
        if facts is None or look is None or not facts.size or not changes_pictures(look.concept):
            return
        self._asked = self._wish()
        path = facts.path
        work: Callable[[StopCheck], list[QImage]] = lambda cancelled: draw_versions(  # noqa: E731
            facts, look, again, cancelled
        )
        self._background.run(
            self, ("variations", id(self)), work, lambda result: self._drawn(path, result)
        )

    def _drawn(self, path: Path, result: object) -> None:
        if self._facts is None or self._facts.path != path:
            return
        if isinstance(result, list):
            self.strip.set_images(result)
        elif isinstance(result, Exception):
            self.strip.set_images([])
            self.note.set_note(str(result), "error")
