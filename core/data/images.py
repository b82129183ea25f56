"""Reading pictures: upright, composed on a background, in sRGB, whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from core.data.colours import (
    grey_profile,
    profile_of_coding,
    profile_of_gamma,
    to_srgb,
)
from core.data.headers import (
    HEAD_BYTES,
    PictureError,
    check_webp_end,
    is_webp,
    jxl_size,
    orientation_of,
    png_header,
    webp_header,
)
from core.data.kinds import formats_of, why_not_read
from core.data.signs import Coding, coding_of, gamma_of
from core.data.types import Placement

if TYPE_CHECKING:
    import numpy as np
    from PIL.ImageFile import ImageFile

__all__ = [
    "MAX_PIXELS",
    "WHITE",
    "Color",
    "Header",
    "PictureError",
    "color_of",
    "cut",
    "load_mask",
    "load_picture",
    "load_pixels",
    "load_with_alpha",
    "may_be_transparent",
    "picture_size",
    "read_header",
    "to_pixels",
]

MAX_PIXELS = 400_000_000
# Pillow raises its own error above twice this; up to there `_check_size` speaks.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
# Workflows and large profiles that are packed into a PNG are no damage, up to here no bomb either.
PngImagePlugin.MAX_TEXT_CHUNK = 2**25
# They name no file, and people cannot mend what they say; what matters comes as an error as well.
warnings.filterwarnings("ignore", module=r"PIL\.")

Color = tuple[int, int, int]
WHITE: Color = (255, 255, 255)

# Fields of TIFF 6.0, section 8.
_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANAR = 258, 262, 284
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Enough for what says how the colours are meant, in front of the pixels.
_COLOUR_HEAD = 1 << 16
_MOST_BYTES = 1 << 31
# Pictures this large are decoded one at a time, so that many threads don't need many gigabytes.
_LARGE_PIXELS = 40_000_000
_one_large_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Header:
    """What a picture's first bytes tell. size: upright, in pixels. orientation: 1..8 as in EXIF,
    1 where its reader turns it by itself. coding: the colours that it declares by code points."""

    size: tuple[int, int]
    orientation: int
    coding: Coding | None


def read_header(path: Path) -> Header:
    """A picture's header.

    Raises PictureError when the file is not a picture or is larger than MAX_PIXELS. A file that
    is damaged behind its header passes.
    """
    with _reasons(path), open(path, "rb") as file:
        start = file.read(HEAD_BYTES)
        coding = None
        if is_webp(start):
            # Pillow would read the whole file.
            size, orientation = webp_header(file, start)
        elif (found := png_header(file, start)) is not None:
            size, orientation = found  # such a PNG declares no colours by code points
        elif "JXL" in formats_of(start):
            size, orientation = jxl_size(start + file.read(_COLOUR_HEAD)), 1
        else:
            if start[:4] == b"\x89PNG" or start[4:8] == b"ftyp":
                file.seek(0)
                coding = coding_of(file.read(_COLOUR_HEAD))
            file.seek(0)
            image = Image.open(file, formats=formats_of(start))
            _check_layout(image)
            size, orientation = image.size, orientation_of(image, file)
        _check_size(size)
        return Header((size[1], size[0]) if orientation >= 5 else size, orientation, coding)


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height after EXIF rotation, from the file's header alone.

    Raises PictureError as `read_header`.
    """
    return read_header(path).size


def load_picture(
    path: Path, background: Color = WHITE, at_least: tuple[int, int] | None = None
) -> Image.Image:
    """The picture in RGB (sRGB), upright, transparency composed on `background`.

    Of an animation the first frame. With `at_least` (width, height, upright) a JPEG may be
    decoded at a half, quarter or eighth of its size, never below `at_least`; that is much faster.
    Raises PictureError when any part of it cannot be read.
    """
    return load_with_alpha(path, background, at_least)[0]


def load_with_alpha(
    path: Path, background: Color = WHITE, at_least: tuple[int, int] | None = None
) -> tuple[Image.Image, Image.Image | None]:
    """As `load_picture`, and how opaque each pixel is (grey, 255 is opaque); None where all are."""
    with _reasons(path), _in_memory(path) as file:
        start = file.read(_COLOUR_HEAD)
        file.seek(0)
        if is_webp(start):
            check_webp_end(file, start)
        image = _opened(file, start)
        _check_layout(image)
        _check_size(image.size)
        large = image.width * image.height > _LARGE_PIXELS
        with _one_large_at_a_time if large else contextlib.nullcontext():
            orientation = orientation_of(image, file)
            if at_least is not None and image.format in ("JPEG", "MPO"):
                image.draft(None, at_least[::-1] if orientation >= 5 else at_least)
            _scale_transparent_colour(image)
            image.load()
            flat, alpha = _flatten(image, background, _profile_of(image, start))
            turn = _TURNS.get(orientation)
            if turn is None:
                return flat, alpha
            return flat.transpose(turn), None if alpha is None else alpha.transpose(turn)


def may_be_transparent(path: Path) -> bool:
    """Whether a picture's header tells of transparency; all of it may be opaque all the same.

    Raises PictureError as `picture_size`.
    """
    with _reasons(path), open(path, "rb") as file:
        start = file.read(HEAD_BYTES)
        file.seek(0)
        return bool(Image.open(file, formats=formats_of(start)).has_transparency_data)


def load_mask(path: Path) -> Image.Image:
    """A mask's file as grey, upright by its own EXIF; what is transparent in it is black.

    Raises PictureError as `load_picture`.
    """
    return load_picture(path, background=(0, 0, 0)).convert("L")


def color_of(text: str) -> Color:
    """The colour of a text such as `#ffcc00`."""
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue


def cut(
    image: Image.Image,
    full: tuple[int, int],
    part: tuple[float, float, float, float],
    size: tuple[int, int],
    filter: Image.Resampling = Image.Resampling.LANCZOS,
) -> Image.Image:
    """A part (left, top, width, height) of the picture as if it were `full` large, scaled to
    `size` with antialiasing.

    Only the part itself is computed, since a very thin picture scaled as a whole would not fit
    into memory.
    """
    left, top, width, height = part
    scale_x, scale_y = image.width / full[0], image.height / full[1]
    box = (
        max(left * scale_x, 0),
        max(top * scale_y, 0),
        min((left + width) * scale_x, image.width),
        min((top + height) * scale_y, image.height),
    )
    return image.resize(size, filter, box=box, reducing_gap=3.0)


def to_pixels(image: Image.Image, placement: Placement) -> np.ndarray:
    """The bucket's rectangle of a picture, scaled by Lanczos and cut: (height, width, 3) uint8."""
    import numpy as np

    size = (placement.bucket.width, placement.bucket.height)
    return np.array(cut(image, placement.resized, (*placement.crop, *size), size))


def load_pixels(path: Path, placement: Placement, background: Color = WHITE) -> np.ndarray:
    """What training sees of a picture: (height, width, 3) uint8 of its bucket's size.

    Raises PictureError as `load_picture`.
    """
    width, height = placement.resized
    # Twice the size leaves the last, exact scaling to Lanczos.
    image = load_picture(path, background, at_least=(2 * width, 2 * height))
    return to_pixels(image, placement)


def _opened(file: BinaryIO, start: bytes) -> ImageFile:
    """The picture, its pixels not decoded yet where its format allows that."""
    formats = formats_of(start)
    if "JXL" not in formats:
        return Image.open(file, formats=formats)
    _check_size(jxl_size(start))
    try:
        return Image.open(file, formats=formats)
    except RuntimeError as error:  # it has no words for people
        raise PictureError("The file is damaged; its pixels cannot be decoded.") from error


def _in_memory(path: Path) -> BinaryIO:
    """The file's contents; itself it is closed, so that others may move or remove it meanwhile."""
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size > _MOST_BYTES:
            raise PictureError("The file is larger than 2 GB; scale the picture down.")
        return io.BytesIO(file.read(_MOST_BYTES + 1))


@contextlib.contextmanager
def _reasons(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while reading into a PictureError.

    Pillow's readers raise almost any exception on damaged files, so all of them are caught.
    """
    try:
        yield
    except PictureError:
        raise
    except FileNotFoundError as error:
        if path.is_symlink():
            raise PictureError("The file is a link to something that is not there.") from error
        raise PictureError("The file is not there any more.") from error
    except PermissionError as error:
        raise PictureError("The file may not be read; change its permissions.") from error
    except UnidentifiedImageError as error:
        raise PictureError(_what_else(path)) from error
    except Image.DecompressionBombError as error:
        raise PictureError(_too_large()) from error
    except MemoryError as error:
        raise PictureError("There is not enough memory to decode the picture.") from error
    except Exception as error:
        if "truncated" in str(error).lower():
            raise PictureError("The file ends too early; its end is missing.") from error
        if isinstance(error, OSError) and error.errno is not None:
            raise PictureError(f"The file cannot be read ({error.strerror}).") from error
        text = str(error).strip().rstrip(".") or type(error).__name__
        raise PictureError(f"The file is damaged ({text}).") from error


def _what_else(path: Path) -> str:
    """Why a file was not recognised, from its first bytes."""
    try:
        with open(path, "rb") as file:
            return why_not_read(file.read(512))
    except OSError as error:
        return f"The file cannot be read ({error.strerror or error})."


def _tiff_tag(image: Image.Image, number: int) -> object:
    """A field of a TIFF file's first page; None where it is missing or the file is no TIFF."""
    from PIL.TiffImagePlugin import TiffImageFile

    return image.tag_v2.get(number) if isinstance(image, TiffImageFile) else None


def _check_layout(image: Image.Image) -> None:
    """Refuse what Pillow would decode to noise: it takes planes of 16-bit channels for 8-bit."""
    if image.format != "TIFF" or _tiff_tag(image, _PLANAR) != 2:
        return
    bits = _tiff_tag(image, _BITS_PER_SAMPLE)
    if isinstance(bits, tuple) and len(bits) > 1 and max(bits) > 8:
        raise PictureError(
            "The TIFF holds its 16-bit channels one after another, which cannot be read; save it "
            "with interleaved channels, or as PNG."
        )


def _check_size(size: tuple[int, int]) -> None:
    if size[0] < 1 or size[1] < 1:
        raise PictureError("The file is damaged; it declares a size of zero.")
    if size[0] * size[1] > MAX_PIXELS:
        raise PictureError(_too_large(f"{size[0]}x{size[1]} pixels"))


def _too_large(size: str = "far too many pixels") -> str:
    limit = MAX_PIXELS // 1_000_000
    return f"The file declares {size}, more than the limit of {limit} million; scale it down."


# What Pillow multiplies the pixels of such PNG files by to make them 8 bits.
_SHALLOW_GREY = {"L;2": 85, "L;4": 17}


def _scale_transparent_colour(image: ImageFile) -> None:
    """Bring a PNG's transparent colour to 8 bits, as Pillow does with its pixels only."""
    colour = image.info.get("transparency")
    if image.format != "PNG" or colour is None or not image.tile:
        return
    raw_mode = image.tile[0][3]
    if isinstance(colour, int) and raw_mode in _SHALLOW_GREY:
        image.info["transparency"] = colour * _SHALLOW_GREY[raw_mode] & 255
    elif isinstance(colour, tuple) and raw_mode == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def _profile_of(image: Image.Image, start: bytes) -> bytes | None:
    """The ICC profile of a picture that begins with `start`, or one made of what it declares.

    A PNG's cICP outranks its profile (PNG, third edition, section 4.3); in AVIF and HEIC a
    profile outranks nclx (ISO/IEC 23000-22).
    """
    coding = coding_of(start)
    profile = image.info.get("icc_profile")
    grey = image.mode in ("L", "LA", "I", "I;16", "I;16B", "1")
    if coding is not None and (image.format == "PNG" or not profile):
        return profile_of_coding(coding, grey)
    gamma = None if profile else gamma_of(start)
    if gamma is None:
        return profile
    if grey:
        return grey_profile(100_000 / gamma.exponent)
    return profile_of_gamma(gamma)


def _flatten(
    image: Image.Image, background: Color, profile: bytes | None
) -> tuple[Image.Image, Image.Image | None]:
    """A decoded picture in RGB without transparency, and its transparency if there was any."""
    mode = image.mode
    alpha: Image.Image | None = None
    if mode.startswith("I") or mode == "F":
        colour, alpha = _to_8_bit(image)
    elif image.has_transparency_data:
        if mode in ("L", "LA", "La"):
            colour, alpha = image.convert("LA").split()
        else:
            rgba = image.convert("RGBA")
            colour, alpha = rgba.convert("RGB"), rgba.getchannel("A")
    elif mode in ("L", "RGB", "CMYK", "LAB"):
        colour = image
    else:
        colour = image.convert("L" if mode == "1" else "RGB")
    rgb = to_srgb(colour, profile)
    if alpha is None or alpha.getextrema()[0] == 255:
        return rgb, None
    canvas = Image.new("RGB", rgb.size, background)
    canvas.paste(rgb, mask=alpha)
    return canvas, alpha


def _to_8_bit(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """A grey picture of 16 or 32 bits or floats as 8-bit grey, and its transparency if any."""
    import numpy as np

    values = np.asarray(image).astype(np.float64)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    bottom, top = _grey_range(image.mode, float(values.min()), float(values.max()))
    scaled = np.floor((values - bottom) * (255.0 / (top - bottom)) + 0.5)
    scaled = np.clip(scaled, 0, 255).astype(np.uint8)
    if _tiff_tag(image, _PHOTOMETRIC) == 0:
        scaled = 255 - scaled  # Pillow turns such negatives round in 8 bits only.
    alpha = None
    key = image.info.get("transparency")
    if isinstance(key, int):
        alpha = Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8))
    return Image.fromarray(scaled), alpha


def _grey_range(mode: str, low: float, high: float) -> tuple[float, float]:
    """Which values are black and white in a grey picture whose values are low..high.

    These formats don't say. Integers are 16 bits unless they exceed that. Floats are 0..1, 0..255
    or 0..65535, whichever holds them; a little above 1 are highlights, which keep their shape,
    and clearly negative ones make a range of its own.
    """
    if mode.startswith("I"):
        top = 65535.0 if high <= 65535 else float(2**31 - 1)
    elif 1.0 < high <= 8.0:
        top = high
    else:
        top = next((t for t in (1.0, 255.0, 65535.0) if high <= t), high)
    if low < -0.05 * high:
        return low, max(high, low + 1e-6)
    return 0.0, top
