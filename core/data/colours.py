"""Colours into sRGB: by ICC profile, or by what a picture declares in its place."""

from __future__ import annotations

import io
import struct
from functools import lru_cache

from PIL import Image, ImageChops, ImageCms

from core.data.signs import Coding, Gamma

_D65 = (0.3127, 0.3290)
_SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
# Red, green and blue by code point (ITU-T H.273, table 2); 2 is unspecified.
_PRIMARIES = {
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_PLAIN_PRIMARIES = (0, 1, 2)
# Video's transfer functions are shown as sRGB's by what shows pictures (browsers, libavif).
_SRGB_CURVES = (0, 1, 2, 6, 13, 14, 15)
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_HDR = {16: "PQ", 18: "HLG"}
# From XYZ of D65 to cone responses (Bradford), as ICC.1:2010 annex E recommends.
_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
_D50 = (0.9642, 1.0, 0.8249)
# Little CMS's shortened way is 10 of 255 off in the darkest greys of linear light.
_FLAGS_OF_GREY = ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOOPTIMIZE


def why_not_converted(coding: Coding | None) -> str:
    """What of the declared colours no conversion is known for, in a few words; else empty."""
    if coding is None:
        return ""
    if coding.transfer in _HDR:
        return f"high dynamic range ({_HDR[coding.transfer]})"
    if coding.transfer not in _SRGB_CURVES and coding.transfer not in _GAMMAS:
        return f"a rare tone curve (number {coding.transfer} of ITU-T H.273)"
    if coding.primaries not in _PRIMARIES and coding.primaries not in _PLAIN_PRIMARIES:
        return f"rare primaries (number {coding.primaries} of ITU-T H.273)"
    return ""


@lru_cache(maxsize=16)
def profile_of_coding(coding: Coding, grey: bool = False) -> bytes | None:
    """An ICC profile of colours given by code points; None for sRGB and where none is known.

    Wide primaries of a high dynamic range are converted, its tone curve is not.
    """
    primaries = _PRIMARIES.get(coding.primaries, _SRGB)
    exponent = _GAMMAS.get(coding.transfer)
    if grey:
        return None if exponent is None else grey_profile(exponent)
    if primaries == _SRGB and exponent is None:
        return None
    return _profile(_D65, primaries, exponent)


@lru_cache(maxsize=16)
def profile_of_gamma(gamma: Gamma) -> bytes | None:
    """An ICC profile of a PNG's gamma and chromaticities; None where they make no colours."""
    pairs = [(gamma.chroma[at] / 1e5, gamma.chroma[at + 1] / 1e5) for at in range(0, 8, 2)]
    if any(y <= 0 or x < 0 or x + y > 1.0001 for x, y in pairs):
        return None
    return _profile(pairs[0], tuple(pairs[1:]), 100_000 / gamma.exponent)


def grey_profile(exponent: float) -> bytes:
    """An ICC profile of grey values with a power curve."""
    return _file(b"GRAY", [(b"kTRC", _curve(exponent)), (b"wtpt", _xyz(_D50))])


def _profile(
    white: tuple[float, float],
    primaries: tuple[tuple[float, float], ...],
    exponent: float | None,
) -> bytes | None:
    """A matrix profile (ICC.1:2010, 8.3.3); exponent: of the curve, None for sRGB's."""
    import numpy as np

    red_green_blue = np.array([_of_chroma(*pair) for pair in primaries]).T
    source_white = np.array(_of_chroma(*white))
    try:
        matrix = red_green_blue * np.linalg.solve(red_green_blue, source_white)
    except np.linalg.LinAlgError:
        return None
    cones = np.array(_BRADFORD)
    scale = np.diag((cones @ np.array(_D50)) / (cones @ source_white))
    adapted = np.linalg.inv(cones) @ scale @ cones @ matrix
    if not np.isfinite(adapted).all() or np.abs(adapted).max() > 100:
        return None
    tags = [(b"wtpt", _xyz(_D50))]
    for column, name in enumerate(b"rgb"):
        tags.append((bytes([name]) + b"XYZ", _xyz(tuple(adapted[:, column]))))
        tags.append((bytes([name]) + b"TRC", _curve(exponent)))
    return _file(b"RGB ", tags)


def _of_chroma(x: float, y: float) -> tuple[float, float, float]:
    return x / y, 1.0, (1 - x - y) / y


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(_fixed(value) for value in values)


def _curve(exponent: float | None) -> bytes:
    """A parametric curve: a power, or sRGB's (IEC 61966-2-1) without an exponent."""
    if exponent is not None:
        return b"para\0\0\0\0\0\0\0\0" + _fixed(exponent)
    numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return b"para\0\0\0\0\0\3\0\0" + b"".join(_fixed(number) for number in numbers)


def _file(space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    """An ICC file, version 4.2, of a display with these tags."""
    text = "Declared colours".encode("utf-16-be")
    words = b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
    tags = [(b"desc", words), (b"cprt", words), *tags]
    at = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags:
        table += struct.pack(">4sII", name, at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(
        ">I4sI4s4s4s", at + len(body), b"\0" * 4, 0x04200000, b"mntr", space, b"XYZ "
    )
    head += bytes(12) + b"acsp" + bytes(28) + b"".join(_fixed(value) for value in _D50)
    return head.ljust(128, b"\0") + table + body


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """A picture in L, RGB, CMYK or LAB as RGB in sRGB, by its profile where it has a usable one."""
    transform = None
    if image.mode == "LAB":
        transform = _lab_transform()
    elif profile:
        # Some decoders hand out grey as RGB.
        if image.mode == "RGB" and _is_grey(profile):
            image = image.getchannel("G")
        transform = _profile_transform(profile, image.mode)
    if transform is not None:
        return transform.apply(image)
    return image.convert("RGB")


def _is_grey(profile: bytes) -> bool:
    return profile[16:20] == b"GRAY"


@lru_cache(maxsize=1)
def _srgb_profile() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@lru_cache(maxsize=1)
def _lab_transform() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), _srgb_profile(), "LAB", "RGB")


@lru_cache(maxsize=32)
def _profile_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The way from an embedded profile to sRGB; None where it is sRGB already or is broken.

    Relative colorimetric with black point compensation, as photo programs do by default.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if space != {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}[mode]:
            return None
        transform = ImageCms.buildTransform(
            source,
            _srgb_profile(),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=_FLAGS_OF_GREY if mode == "L" else ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if mode == "CMYK":
            return transform
        probe = _probe(mode)
        change = ImageChops.difference(transform.apply(probe), probe.convert("RGB"))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    # Most profiles in the wild are sRGB itself; running them would only cost time.
    return transform if max(change.tobytes()) > 1 else None


def _probe(mode: str) -> Image.Image:
    """A small picture that holds colours from all over the space."""
    if mode == "L":
        return Image.frombytes("L", (256, 1), bytes(range(256)))
    levels = range(0, 256, 17)
    colours = bytes(v for r in levels for g in levels for b in levels for v in (r, g, b))
    return Image.frombytes("RGB", (len(levels) ** 2, len(levels)), colours)
