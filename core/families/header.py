"""Reading a safetensors file's header, and telling what a file is that is none. Torch-free.

Format: https://github.com/huggingface/safetensors (8 bytes little-endian length, JSON header,
tensor data without gaps).
"""

from __future__ import annotations

import json
import math
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from core.errors import fail

# The reference implementation refuses longer headers.
_LONGEST_HEADER = 100_000_000
_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "F8_E8M0": 1,
    "F8_E4M3FNUZ": 1,
    "F8_E5M2FNUZ": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
    "C64": 8,
}
PICKLE_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")


@dataclass(frozen=True)
class Header:
    """What a safetensors header tells: tensor name -> shape, and the text metadata."""

    shapes: dict[str, tuple[int, ...]]
    metadata: dict[str, str]


def read_header(path: Path) -> Header:
    """The header of a safetensors file.

    Raises UserError: `base_not_found`, `base_html`, `base_pickle`, `base_truncated` (the file is
    shorter than its header says) or `base_unreadable`.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            # Opening a pipe would wait for somebody to write into it.
            raise _unreadable(path, "is no file")
        size = status.st_size
        with path.open("rb") as file:
            start = file.read(512)
            _refuse_other_formats(path, start)
            if len(start) < 8:
                raise fail(
                    "base_truncated",
                    f"{path.name} holds only {size} bytes; download or copy it again.",
                    file=str(path),
                )
            (length,) = struct.unpack("<Q", start[:8])
            if length > _LONGEST_HEADER or start[8:9] != b"{":
                raise _unreadable(path, "is not a safetensors file")
            if 8 + length > size:
                raise _truncated(path, 8 + length, size)
            file.seek(8)
            text = file.read(length)
    except FileNotFoundError:
        raise fail(
            "base_not_found", f"{path} does not exist; choose another file.", file=str(path)
        ) from None
    except OSError as error:
        raise _unreadable(path, f"cannot be read ({error.strerror or error})") from None
    header, end = _parse(path, text)
    if 8 + length + end > size:
        raise _truncated(path, 8 + length + end, size)
    return header


def _parse(path: Path, text: bytes) -> tuple[Header, int]:
    """Header and the number of data bytes it claims."""
    try:
        raw = json.loads(text)
        metadata = raw.pop("__metadata__", None) or {}
        shapes: dict[str, tuple[int, ...]] = {}
        end = 0
        for name, info in raw.items():
            shape = tuple(int(side) for side in info["shape"])
            first, last = (int(offset) for offset in info["data_offsets"])
            width = _BYTES.get(info["dtype"])
            if first < 0 or (width is not None and last - first != width * math.prod(shape)):
                raise ValueError(name)
            shapes[name] = shape
            end = max(end, last)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _unreadable(path, "has a damaged header") from None
    return Header(shapes, {str(k): str(v) for k, v in dict(metadata).items()}), end


def _refuse_other_formats(path: Path, start: bytes) -> None:
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")):
        raise fail(
            "base_html",
            f"{path.name} is a web page, not a model: the download went wrong or needs a login; "
            "download the model file itself again.",
            file=str(path),
        )
    if text.startswith(b"version https://git-lfs"):
        raise fail(
            "base_truncated",
            f"{path.name} is only a Git LFS pointer, not the model; fetch the file itself with "
            "`git lfs pull` or download it again.",
            file=str(path),
        )
    pickled = start.startswith(b"PK\x03\x04") or (
        start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    )
    if path.suffix.lower() in PICKLE_SUFFIXES or (pickled and start[8:9] != b"{"):
        raise pickle_refused(path)
    if start.startswith(b"GGUF"):
        raise _unreadable(path, "is a GGUF file, which cannot be trained")


def pickle_refused(path: Path) -> Exception:
    """The refusal of a file in pickle format, which could run any program when loaded."""
    return fail(
        "base_pickle",
        f"{path.name} is in the pickle format, which can run programs when opened; Limner never "
        "loads it: get the .safetensors version or convert it.",
        file=str(path),
    )


def _truncated(path: Path, expected: int, size: int) -> Exception:
    return fail(
        "base_truncated",
        f"{path.name} is incomplete: it has {size:,} of {expected:,} bytes; download or copy it "
        "again.",
        file=str(path),
    )


def _unreadable(path: Path, what: str) -> Exception:
    return fail(
        "base_unreadable", f"{path.name} {what}; choose a .safetensors model.", file=str(path)
    )
