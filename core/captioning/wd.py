"""WD14-style taggers: an ONNX model and the list of its tags, run by onnxruntime.

The format is that of SmilingWolf's WD taggers: `model.onnx` takes pictures as float32 of 0 to
255 in BGR order and gives one probability for each row of `selected_tags.csv` (columns tag_id,
name, category, count; category 9 rates, 0 is general, 4 is a character).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from core.captioning.options import CaptionOptions
from core.captioning.tidying import spaced
from core.data.captions import LARGEST_LIST, CaptionError, read_text
from core.errors import UserError, fail
from core.paths import console_python

if TYPE_CHECKING:
    import numpy as np

MODEL, TAGS = "model.onnx", "selected_tags.csv"
GENERAL, CHARACTER, RATING = 0, 4, 9
_LARGEST = 4096
_GPU_PROVIDERS = (
    "CUDAExecutionProvider",
    "ROCMExecutionProvider",
    "MIGraphXExecutionProvider",
    "DmlExecutionProvider",
)


def install_hint() -> str:
    """How to install onnxruntime into this very environment, in one sentence."""
    return f'Install it with: "{console_python()}" -m pip install onnxruntime'


@dataclass(frozen=True)
class Tag:
    """One row of the tag list."""

    name: str
    category: int


def read_tags(file: Path) -> list[Tag]:
    """The rows of `selected_tags.csv` in order.

    Raises UserError `tagger_tags` when the file or a column is missing or a row makes no sense.
    """
    try:
        rows = list(csv.DictReader(read_text(file, LARGEST_LIST).splitlines()))
    except FileNotFoundError:
        raise fail(
            "tagger_tags",
            f"{file} is missing; a tagger's folder holds {MODEL} and {TAGS}.",
            file=str(file),
        ) from None
    except (CaptionError, csv.Error) as error:
        raise fail(
            "tagger_tags", f"The tag list {file} cannot be read: {error}", file=str(file)
        ) from None
    tags = []
    for number, row in enumerate(rows, start=2):
        try:
            tags.append(Tag(_text(row, "name"), int(_text(row, "category"))))
        except (KeyError, ValueError):
            raise fail(
                "tagger_tags",
                f"Line {number} of {file} has no name or no category number; fetch the tagger's "
                "files again.",
                file=str(file),
            ) from None
    if not tags:
        raise fail("tagger_tags", f"The tag list {file} is empty; fetch it again.", file=str(file))
    return tags


def _text(row: dict[str, Any], column: str) -> str:
    value = row[column]
    if not isinstance(value, str) or not value.strip():
        raise KeyError(column)
    return value.strip()


def prepare(image: Image.Image, width: int, height: int) -> np.ndarray:
    """An RGB picture as the model wants it: (height, width, 3) float32, 0 to 255, BGR.

    Padded with white to a square in its middle, then resized with BICUBIC. A side of more than
    4096 pixels is brought down to that first: its square would take gigabytes.
    """
    import numpy as np

    if max(image.size) > _LARGEST:
        image = smaller(image, _LARGEST)
    side = max(image.size)
    square = Image.new("RGB", (side, side), (255, 255, 255))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    if square.size != (width, height):
        square = square.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(square, dtype=np.float32)[:, :, ::-1]


def smaller(image: Image.Image, most: int) -> Image.Image:
    """The picture with its longer side at `most` pixels, by averaging."""
    scale = most / max(image.size)
    size = tuple(max(1, round(side * scale)) for side in image.size)
    return image.resize((size[0], size[1]), Image.Resampling.BOX)


def spelled(name: str, options: CaptionOptions) -> str:
    """A tag's name as it is written into a caption."""
    text = name if options.underscores else spaced(name)
    if options.escape:
        text = text.replace("(", "\\(").replace(")", "\\)")
    return text


def choose_tags(
    probabilities: Iterable[float], tags: Sequence[Tag], options: CaptionOptions
) -> list[str]:
    """The tags to write for one picture, most probable first.

    Thresholds go by each row's own category. Of the rating rows the one most probable is taken,
    and only when asked for; other categories (artists, series) count as general.
    """
    excluded = {_key(tag) for tag in options.exclude}
    general: list[tuple[float, str]] = []
    characters: list[tuple[float, str]] = []
    rating: tuple[float, str] | None = None
    for probability, tag in zip(probabilities, tags, strict=True):
        chance = float(probability)
        if tag.category == RATING:
            if rating is None or chance > rating[0]:
                rating = chance, tag.name
            continue
        character = tag.category == CHARACTER
        if chance >= (options.character if character else options.general):
            (characters if character else general).append((chance, tag.name))
    if options.characters_first:
        found = _sorted(characters) + _sorted(general)
    else:
        found = _sorted(characters + general)
    found = [pair for pair in found if _key(pair[1]) not in excluded]
    if options.most_tags:
        kept = set(_sorted(found)[: options.most_tags])
        found = [pair for pair in found if pair in kept]
    if options.ratings and rating is not None and _key(rating[1]) not in excluded:
        found.append(rating)
    return [spelled(name, options) for _, name in found]


def _sorted(pairs: list[tuple[float, str]]) -> list[tuple[float, str]]:
    return sorted(pairs, key=lambda pair: -pair[0])


def _key(tag: str) -> str:
    return " ".join(tag.replace("_", " ").replace("\\", "").casefold().split())


class WdTagger:
    """A loaded tagger. batch: how many pictures it takes at once, 0 where that is free.

    provider: where it calculates, in onnxruntime's words: CPU, CUDA, Dml.
    """

    def __init__(self, folder: Path, options: CaptionOptions) -> None:
        """Load the model. Raises UserError when files are missing, damaged or do not fit."""
        self.options = options
        self.tags = read_tags(folder / TAGS)
        file = folder / MODEL
        self._session = _open_session(file, options)
        self.provider = str(self._session.get_providers()[0]).removesuffix("ExecutionProvider")
        self._read_shapes(file)

    def _read_shapes(self, file: Path) -> None:
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = list(inputs[0].shape)
        fits = len(inputs) == 1 and len(shape) == 4 and "float" in inputs[0].type
        # The three colours tell the order of the axes; a model may leave its sides open.
        self._channels_first = fits and shape[1] == 3 and shape[3] != 3
        if not fits or (shape[3] != 3 and not self._channels_first):
            raise fail(
                "tagger_shape",
                f"{file} is no WD14-style tagger: its input {shape} is not one colour picture.",
                file=str(file),
            )
        sides = shape[2:4] if self._channels_first else shape[1:3]
        height, width = (side if isinstance(side, int) and side > 0 else 448 for side in sides)
        self.size = width, height
        self.batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else 0
        self._input, self._output = inputs[0].name, outputs[0].name
        self._half = inputs[0].type == "tensor(float16)"
        count = outputs[0].shape[-1]
        if isinstance(count, int) and count != len(self.tags):
            raise self._mismatch(file, count)
        self._file = file

    def _mismatch(self, file: Path, count: int) -> UserError:
        return fail(
            "tagger_mismatch",
            f"{file} gives {count} probabilities, but {TAGS} beside it has {len(self.tags)} tags; "
            "fetch both files of the same tagger again.",
            file=str(file),
        )

    def prepare(self, image: Image.Image) -> np.ndarray:
        """One RGB picture as this model's input, (H, W, 3) or (3, H, W)."""
        import numpy as np

        pixels = prepare(image, *self.size)
        if self._channels_first:
            pixels = pixels.transpose(2, 0, 1)
        return np.ascontiguousarray(pixels, dtype=np.float16 if self._half else np.float32)

    def probabilities(self, prepared: Sequence[np.ndarray]) -> np.ndarray:
        """(pictures, tags) float32. Raises UserError `tagger_mismatch`."""
        import numpy as np

        stacked = np.stack(prepared)
        missing = self.batch - len(stacked) if self.batch else 0
        if missing > 0:
            stacked = np.concatenate([stacked, np.repeat(stacked[-1:], missing, axis=0)])
        found = self._session.run([self._output], {self._input: stacked})[0]
        rows = np.asarray(found, dtype=np.float32).reshape(len(stacked), -1)
        if rows.shape[1] != len(self.tags):
            raise self._mismatch(self._file, rows.shape[1])
        return rows[: len(prepared)]

    def describe(self, prepared: Sequence[np.ndarray]) -> list[str]:
        """The caption of each prepared picture: its tags between commas."""
        rows = self.probabilities(prepared)
        return [", ".join(choose_tags(row, self.tags, self.options)) for row in rows]


def _open_session(file: Path, options: CaptionOptions) -> Any:
    if not file.is_file():
        raise fail(
            "tagger_missing",
            f"{file} is missing; a tagger's folder holds {MODEL} and {TAGS}.",
            file=str(file),
        )
    try:
        import onnxruntime
    except ImportError as error:
        raise fail(
            "onnxruntime_missing",
            "Taggers need the package onnxruntime, which is not installed.",
            hint=f"{install_hint()} (for NVIDIA GPUs onnxruntime-gpu, on Windows "
            "onnxruntime-directml).",
            detail="" if isinstance(error, ModuleNotFoundError) else str(error),
        ) from None
    onnxruntime.set_default_logger_severity(3)
    there = onnxruntime.get_available_providers()
    gpu = [name for name in _GPU_PROVIDERS if name in there]
    if options.device == "gpu" and not gpu:
        raise fail(
            "no_gpu",
            "This onnxruntime cannot calculate on a GPU; install onnxruntime-gpu (NVIDIA) or "
            "onnxruntime-directml (Windows), or choose the processor.",
            setting="device",
        )
    wanted = [] if options.device == "cpu" else gpu
    attempts = [[name, "CPUExecutionProvider"] for name in wanted]
    last: Exception | None = None
    for providers in [*attempts, ["CPUExecutionProvider"]]:
        if options.device == "gpu" and len(providers) == 1:
            break
        try:
            session = onnxruntime.InferenceSession(str(file), providers=providers)
        except Exception as error:  # onnxruntime's own classes derive from nothing common
            last = error
            continue
        if options.device != "gpu" or session.get_providers()[0] != "CPUExecutionProvider":
            return session
    raise fail(
        "tagger_damaged",
        f"{file} cannot be loaded; fetch the tagger's files again."
        if options.device != "gpu"
        else f"{file} cannot be loaded on the GPU; choose the processor.",
        detail=" ".join(str(last).split())[:300] if last else "",
        file=str(file),
    )


def has_onnxruntime() -> bool:
    """Whether onnxruntime is installed, without importing it."""
    from importlib.util import find_spec

    return find_spec("onnxruntime") is not None
