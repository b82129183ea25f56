"""`limner demo`: train the demo preset, and put the pictures before and after side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from core.cli.run import follow, freeze, tell_end
from core.cli.text import print_problems, say
from core.errors import Problem
from core.files import write_with
from core.runs.events import after_resume, read_events
from core.runs.folder import RunFolder
from core.worker import protocol

PRESET = "# demo"
SHEET_NAME = "before-after.png"

_TILE = 256
_GAP = 16
_ACROSS = 5
_LINES = 3
_GREY, _INK, _FAINT = (118, 118, 118), (250, 250, 250), (222, 222, 222)


def run_demo(out: Path | None, sets: Sequence[str], *, as_json: bool) -> int:
    """Train, make the contact sheet and say where everything lies; returns the exit code."""
    run = freeze(PRESET, sets, runs=None, run_dir=out)
    if not as_json:
        say(f"Training the demo LoRA in {run.path}")
    ended = follow(run, None, as_json)
    sheet = None
    if ended.done is not None:
        try:
            sheet = contact_sheet(run)
        except OSError as error:
            title = f"The contact sheet could not be made: {error}."
            print_problems([Problem(code="sheet_failed", severity="warning", title=title)])
    if not as_json:
        tell_end(run, ended)
        if sheet is not None:
            say(f"Before and after: {sheet}")
    return ended.code


def contact_sheet(run: RunFolder) -> Path | None:
    """Draw each prompt's first and last sample above one another into `before-after.png`.

    Returns its path, or None when the run has no samples of two different steps.
    """
    events = after_resume(read_events(run.events_file)[0])
    samples = [e for e in events if isinstance(e, protocol.Sample) and (run.path / e.path).exists()]
    steps = sorted({sample.step for sample in samples})
    if len(steps) < 2:
        return None
    by_place = {(sample.step, sample.index): sample for sample in samples}
    pairs = [
        (by_place[steps[0], index], by_place[steps[-1], index])
        for index in sorted({sample.index for sample in samples})
        if (steps[0], index) in by_place and (steps[-1], index) in by_place
    ]
    if not pairs:
        return None
    sheet = _draw(run, pairs)
    target = run.path / SHEET_NAME
    write_with(target, lambda temporary: sheet.save(temporary, format="PNG"))
    return target


def _draw(run: RunFolder, pairs: list[tuple[protocol.Sample, protocol.Sample]]) -> Image.Image:
    across = min(len(pairs), _ACROSS)
    label, heading = ImageFont.load_default(16), ImageFont.load_default(22)
    left, line, title = 120, 20, 40
    block = title + _LINES * line + 2 * (_TILE + _GAP) + _GAP
    rows = -(-len(pairs) // across)
    size = (left + across * (_TILE + _GAP) + _GAP, rows * block + _GAP)
    sheet = Image.new("RGB", size, _GREY)
    draw = ImageDraw.Draw(sheet)
    for number, (before, after) in enumerate(pairs):
        x = left + _GAP + (number % across) * (_TILE + _GAP)
        y = _GAP + (number // across) * block
        text = _wrapped(draw, before.prompt, label)
        draw.multiline_text((x, y + title), text, fill=_FAINT, font=label, spacing=4)
        y += title + _LINES * line
        for place, sample in enumerate((before, after)):
            top = y + place * (_TILE + _GAP)
            with Image.open(run.path / sample.path) as picture:
                sheet.paste(_tile(picture.convert("RGB")), (x, top))
            if number % across == 0:
                words = "Before" if place == 0 else "After"
                draw.text((_GAP, top + _TILE // 2 - 28), words, fill=_INK, font=heading)
                step = f"step {sample.step}"
                draw.text((_GAP, top + _TILE // 2), step, fill=_FAINT, font=label)
    draw.text(
        (_GAP, _GAP),
        f"{run.path.name}: same prompts and seeds, without and with the LoRA",
        fill=_INK,
        font=heading,
    )
    return sheet


def _tile(picture: Image.Image) -> Image.Image:
    """The picture fitted into a square of the sheet's own grey."""
    scale = _TILE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    tile = Image.new("RGB", (_TILE, _TILE), _GREY)
    fitted = picture.resize(size, Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.BOX)
    tile.paste(fitted, ((_TILE - size[0]) // 2, (_TILE - size[1]) // 2))
    return tile


def _wrapped(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> str:
    """`text` in at most three lines of a tile's width."""
    lines = [""]
    for word in text.split():
        candidate = f"{lines[-1]} {word}".strip()
        if draw.textlength(candidate, font=font) <= _TILE or not lines[-1]:
            lines[-1] = candidate
        else:
            lines.append(word)
    if len(lines) > _LINES:
        lines = [*lines[: _LINES - 1], lines[_LINES - 1] + " ..."]
    return "\n".join(lines)
