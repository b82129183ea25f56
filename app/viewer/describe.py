"""What is said over a picture: facts, caption, badges, crop and mask."""

from __future__ import annotations

from PySide6.QtCore import QDateTime, QLocale, QObject, Signal
from PySide6.QtGui import QImage

from app.viewer import overlays
from app.viewer.album import Album
from app.viewer.canvas import Canvas
from app.viewer.decode import Picture
from app.viewer.facts import (
    BLURRED,
    BRIGHT,
    DARK,
    FactReader,
    Facts,
    placement_of,
    token_words,
)
from app.viewer.overlays import Badge, Shown
from app.viewer.source import Entry
from core.data.types import Placement

_KEPT_MASKS = 8


class Describer(QObject):
    """Puts together what is drawn over a picture. Signals: maskReady()."""

    maskReady = Signal()

    def __init__(self, album: Album, facts: FactReader, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._album, self._facts = album, facts
        self.shows_info = self.shows_caption = self.shows_crop = self.shows_mask = False
        self.picking = False
        # The picture and its point under the cross while one is chosen by keys.
        self.aim: tuple[str, tuple[float, float]] | None = None
        self.empty_text = ""
        self.top = 0
        self._masks: dict[str, QImage] = {}
        self._asked_masks: set[str] = set()

    def needs_facts(self) -> bool:
        """Whether facts are shown at once, not only after a rest."""
        return self.shows_info or self.shows_caption or self.shows_mask

    def shown(self, entry: Entry | None, canvas: Canvas, is_listed: bool) -> Shown:
        """What is drawn over a pane."""
        if entry is None:
            return Shown(top=self.top, message=self._nothing(is_listed))
        picture = canvas.picture
        shown = Shown(mark=entry.note.mark, stars=entry.note.stars, top=self.top)
        facts = self._facts.get(entry.path)
        if picture is not None and picture.problem:
            shown.message = ("image-off", f"{entry.name}\n{picture.problem}")
        elif canvas.is_waiting:
            shown.message = ("", entry.name)
        placement = self._placement(entry)
        if picture is not None and not picture.problem:
            shown.badges = self._badges(entry, facts, placement, picture)
            if (self.shows_crop or self.picking) and placement is not None:
                shown.placement = placement
                if not self.shows_info:
                    words = self.crop_words(placement)
                    shown.crop_text = self.tr("Trained at {0}").format(words)
                shown.focus = self._cross(entry)
            if self.shows_mask and facts is not None and facts.mask:
                shown.mask = self._mask(facts.mask)
        if self.shows_info:
            shown.lines = self._lines(entry, facts, placement)
        if self.shows_caption and facts is not None:
            shown.caption = facts.caption or ""
            shown.caption_note = self._caption_note(facts)
        return shown

    def _nothing(self, is_listed: bool) -> tuple[str, str] | None:
        if not is_listed:
            return None
        if self.empty_text:
            return "folder", self.empty_text
        if self._album.known and self._album.filter != "all":
            return "funnel", self.tr("No picture passes the filter.")
        if self._album.known:
            return "images", ""
        return "images", self.tr(
            "There are no pictures here. New ones appear as soon as they are in the folder; "
            "another folder can be dropped here."
        )

    def _placement(self, entry: Entry) -> Placement | None:
        if not entry.pixels or not min(entry.pixels):
            return None
        return placement_of(entry.pixels, self._facts.training, self.focus_of(entry))

    def focus_of(self, entry: Entry) -> tuple[float, float] | None:
        """The point that the crop keeps: the one being chosen, else the one that is set."""
        if self.aim is not None and self.aim[0] == entry.path:
            return self.aim[1]
        return entry.note.focus

    def _cross(self, entry: Entry) -> tuple[float, float] | None:
        """Where the cross is drawn: while a point is chosen also in the middle."""
        return self.focus_of(entry) or ((0.5, 0.5) if self.picking else None)

    def crop_words(self, placement: Placement) -> str:
        """The bucket's size, and how much of the picture it cuts off."""
        width, height = placement.resized
        area = placement.bucket.width * placement.bucket.height
        lost = 1 - area / (width * height)
        words = f"{placement.bucket.width} x {placement.bucket.height}"
        if lost >= 0.005:
            words += " · " + self.tr("{0} % cut off").format(round(lost * 100))
        return words

    def why(self, why: str) -> str:
        """In what the suggested one of near-duplicates is better, in a word or two."""
        return {
            "larger": self.tr("most pixels"),
            "lossless": self.tr("stored without loss"),
            "less_compressed": self.tr("least compressed"),
            "older": self.tr("oldest file"),
            "sharper": self.tr("sharpest"),
        }.get(why, "")

    def _badges(
        self, entry: Entry, facts: Facts | None, placement: Placement | None, picture: Picture
    ) -> list[Badge]:
        badges = []
        if entry.group >= 0:
            words = self.tr("near-duplicates, group {0}").format(entry.group + 1)
            if entry.suggested:
                words += " · " + self.tr("suggested to keep")
                if why := self.why(entry.why):
                    words += f" ({why})"
            badges.append(Badge(words))
        if picture.animated:
            badges.append(Badge(self.tr("animated: first frame")))
        if picture.profile:
            short = len(picture.profile) < 28
            badges.append(Badge(picture.profile if short else self.tr("colour profile")))
        if placement is not None and placement.upscaled:
            badges.append(Badge(self.tr("small: will be enlarged"), "warning"))
        sharpness = facts.sharpness if facts is not None else None
        if sharpness is not None and sharpness < BLURRED:
            badges.append(Badge(self.tr("blurred"), "warning"))
        brightness = facts.brightness if facts is not None else None
        if brightness is not None and not DARK <= brightness <= BRIGHT:
            words = self.tr("very dark") if brightness < DARK else self.tr("very bright")
            badges.append(Badge(words, "warning"))
        return badges

    def _lines(self, entry: Entry, facts: Facts | None, placement: Placement | None) -> list[str]:
        locale = QLocale()
        place = f"{self._album.position_of(entry) + 1} / {len(self._album)}"
        lines = [f"{entry.name}", f"{self.tr('Picture')}\t{place}"]
        if entry.pixels:
            width, height = entry.pixels
            million = width * height / 1e6
            lines.append(f"{self.tr('Pixels')}\t{width} x {height} ({million:.1f} MP)")
        if placement is not None:
            lines.append(f"{self.tr('Training')}\t{self.crop_words(placement)}")
        if facts is None:
            return lines
        if facts.size >= 0:
            when = QDateTime.fromSecsSinceEpoch(int(facts.mtime))
            date = locale.toString(when, QLocale.FormatType.ShortFormat)
            lines.append(f"{self.tr('File')}\t{overlays.file_size(facts.size)}, {date}")
        if facts.caption is None:
            lines.append(f"{self.tr('Caption')}\t{self.tr('none')}")
        else:
            words = facts.caption_problem or token_words(facts.tokens)
            lines.append(f"{self.tr('Caption')}\t{words}")
        if facts.sharpness is not None and facts.brightness is not None:
            lines.append(f"{self.tr('Sharpness')}\t{facts.sharpness:.0f}")
            words = f"{facts.brightness * 100:.0f} %"
            clipped = (facts.black, self.tr("{0} % black")), (facts.white, self.tr("{0} % white"))
            for share, told in clipped:
                if share >= 0.01:
                    words += " · " + told.format(round(share * 100))
            lines.append(f"{self.tr('Brightness')}\t{words}")
        return lines

    def _caption_note(self, facts: Facts) -> str:
        if facts.caption is None:
            return self.tr("no caption")
        if facts.caption_problem:
            return facts.caption_problem
        return token_words(facts.tokens)

    # --- masks --------------------------------------------------

    def _mask(self, path: str) -> QImage | None:
        known = self._masks.get(path)
        if known is None and path not in self._asked_masks:
            self._asked_masks.add(path)

            def done(image: object) -> None:
                self._asked_masks.discard(path)
                if isinstance(image, QImage):
                    self._masks[path] = image
                    while len(self._masks) > _KEPT_MASKS:
                        self._masks.pop(next(iter(self._masks)))
                    self.maskReady.emit()

            work = overlays.mask_tint
            self._facts.background.run(self, ("mask", path), lambda _c: work(path), done)
        return known

    def forget_masks(self) -> None:
        """Read masks anew."""
        self._masks.clear()
