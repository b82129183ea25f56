"""The kinds of picture files: what they are called, which are read, and by which packages."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from core.data.signs import is_jxl
from core.errors import Problem
from core.paths import console_python

_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "TIFF", "GIF")
_HEIF_BRANDS = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)
_BEGINNINGS = (b"\xff\xd8", b"\x89PNG", b"RIFF", b"GIF8", b"BM")
_AVIF_BRANDS = (b"ftypavif", b"ftypavis")

_RAW = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc"),
    *(".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl"),
    *(".sr2", ".srf", ".srw", ".x3f"),
)
_UNREAD = {
    **dict.fromkeys(_RAW, "camera raw"),
    **dict.fromkeys((".jp2", ".j2k", ".j2c", ".jpf", ".jpx", ".jpm"), "JPEG 2000"),
    **dict.fromkeys((".jxr", ".wdp", ".hdp"), "JPEG XR"),
    **dict.fromkeys((".psd", ".psb"), "Photoshop"),
    **dict.fromkeys((".pbm", ".pgm", ".ppm", ".pnm", ".pam", ".pfm"), "Netpbm"),
    **dict.fromkeys((".svg", ".svgz"), "SVG"),
    **dict.fromkeys((".afphoto", ".afdesign"), "Affinity"),
    **{".tga": "Targa", ".exr": "OpenEXR", ".hdr": "Radiance HDR", ".dds": "DDS", ".qoi": "QOI"},
    **{
        ".xcf": "GIMP",
        ".kra": "Krita",
        ".ora": "OpenRaster",
        ".clip": "Clip Studio",
        ".pcx": "PCX",
    },
}
_NAMED_AT_MOST = 4


def unread_kind(name: str) -> str:
    """What kind of picture a file of this name is where none of its kind is read; else empty."""
    return _UNREAD.get(os.path.splitext(name)[1].lower(), "")


def not_read(folder: Path, files: Sequence[Path]) -> Problem:
    """The warning about picture files of kinds that are not read. files: at least one."""
    kinds = Counter(unread_kind(path.name) for path in files)
    listed = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common(_NAMED_AT_MOST))
    if rest := kinds.total() - sum(n for _, n in kinds.most_common(_NAMED_AT_MOST)):
        listed += f", {rest} of other kinds"
    one = len(files) == 1
    return Problem(
        code="pictures_not_read",
        title=f"{len(files)} picture {'file' if one else 'files'} in {folder} "
        f"{'is' if one else 'are'} left out ({listed}), as Limner does not read "
        f"{'its kind' if one else 'their kinds'}; export {'it' if one else 'them'} as PNG or JPEG.",
        detail="\n".join(os.path.relpath(path, folder) for path in files),
        severity="warning",
        file=str(files[0]),
    )


def formats_of(start: bytes) -> tuple[str, ...]:
    """Pillow's names of the formats that a file which begins so may have."""
    if _is_heif(start) and _register_heif():
        return (*_FORMATS, "HEIF")
    return (*_FORMATS, "JXL") if is_jxl(start) and _register_jxl() else _FORMATS


def why_not_read(start: bytes) -> str:
    """Why a file that begins so (512 bytes suffice) is not a picture, in one sentence."""
    if not start:
        return "The file is empty."
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "The file is a web page, not a picture; download the picture itself again."
    if b"<svg" in text:
        return "The file is an SVG drawing; export it as PNG."
    if text.startswith(b"version https://git-lfs"):
        return "The file is only a Git LFS pointer; fetch the real file with git lfs pull."
    if _is_heif(start) and not _register_heif():
        return _needs("HEIC", "pi-heif")
    if is_jxl(start) and not _register_jxl():
        return _needs("JPEG XL", "pillow-jxl-plugin")
    if start.startswith(b"8BPS"):
        return "The file is a Photoshop document; export it as PNG."
    if start.startswith((b"II*\0", b"MM\0*")):
        return "The file is a damaged TIFF, or one of a rare kind; save the picture as PNG."
    known = start.startswith(_BEGINNINGS) or is_jxl(start) or _is_heif(start)
    if known or start[4:12] in _AVIF_BRANDS:
        return "The file is damaged; its header cannot be read."
    if not start.strip(b"\0"):
        return "The file holds only zeros; the disk or a download has lost it."
    return "The file is not a picture of a known format."


def _needs(kind: str, package: str) -> str:
    return (
        f'{kind} pictures need the package {package}; install it with "{console_python()}" -m pip '
        f"install {package}, or convert the picture to PNG or JPEG."
    )


def _is_heif(start: bytes) -> bool:
    return start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS


@lru_cache(maxsize=1)
def _register_heif() -> bool:
    try:
        from pi_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


@lru_cache(maxsize=1)
def _register_jxl() -> bool:
    try:
        import pillow_jxl  # noqa: F401
    except ImportError:
        return False
    return True
