"""Reading files of unknown origin: bounded, regular files alone, and nothing that can surprise.

A pipe or a device under a file's name would be waited for, or read without end; JSON may nest too
deeply to be walked and hold numbers that take minutes to multiply. All files that come from
outside, and our own, which may be damaged, are read through here.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal, TypeGuard

LARGEST_JSON = 32 * 2**20
DEEPEST = 64
# The reference implementation of safetensors refuses longer headers.
LONGEST_HEADER = 100_000_000
# 20 digits hold every 64-bit number.
_MOST_DIGITS = 20
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)
# Bits of one number, by the format's names for kinds of numbers.
_BITS: Mapping[str, int] = {
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}

Why = Literal["missing", "kind", "large", "system", "damaged", "cut_off"]


class Unreadable(ValueError):
    """A file cannot be read; the text is the rest of a sentence about it ("is a pipe, ...").

    why: `missing`; `kind` (a folder, pipe or device); `large`; `system` (the system refused);
    `damaged`; `cut_off` (shorter than it says itself).
    """

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why = why


def open_regular(path: str | Path) -> BufferedReader:
    """A regular file, open for reading. Raises Unreadable; never waits for a pipe's other end."""
    return os.fdopen(_open(path)[0], "rb")


def _open(path: str | Path) -> tuple[int, int]:
    """A regular file's handle and size."""
    try:
        handle = os.open(path, os.O_RDONLY | _BINARY | _NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise Unreadable("missing", "does not exist") from None
    except OSError as error:
        # Windows refuses to open folders.
        raise _of_kind(path) or _refused(error) from None
    except ValueError:
        raise Unreadable("system", "has a name that no file can have") from None
    try:
        status = os.fstat(handle)
    except OSError as error:
        os.close(handle)
        raise _refused(error) from None
    if stat.S_ISREG(status.st_mode):
        return handle, status.st_size
    os.close(handle)
    raise _not_a_file(status.st_mode)


def read_bytes(path: str | Path, at_most: int) -> bytes:
    """A regular file's content. Raises Unreadable, also when there are more than `at_most`."""
    handle, size = _open(path)
    try:
        if size > at_most:
            raise _too_large(at_most)
        # Without Python's file objects, as folders hold captions by the hundred thousand.
        parts = [os.read(handle, size + 1)]
        while parts[-1]:
            if sum(map(len, parts)) > at_most:
                raise _too_large(at_most)  # it has grown since
            parts.append(os.read(handle, 2**20))
    except OSError as error:
        raise _refused(error) from None
    finally:
        os.close(handle)
    return b"".join(parts)


def sha256_of(path: str | Path) -> str:
    """The SHA-256 of a regular file's content, in hexadecimal. Raises Unreadable."""
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _refused(error) from None


def read_json(path: str | Path, at_most: int = LARGEST_JSON) -> dict[str, Any]:
    """The JSON object in a UTF-8 file, with or without byte order mark. Raises Unreadable."""
    data = parse_json(read_bytes(path, at_most))
    if not isinstance(data, dict):
        raise Unreadable("damaged", "does not hold a JSON object in braces")
    return data


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    A number that is none to calculate with (NaN, infinite, more digits than 64 bits) comes as its
    text, so that whoever expects a number there names the place. Raises Unreadable for what is not
    JSON, and for more than 64 levels of lists and objects.
    """
    try:
        plain = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        value = json.loads(plain, parse_int=_whole, parse_float=_float, parse_constant=str)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise Unreadable("damaged", f"is not valid JSON ({where})") from None
    except UnicodeDecodeError:
        raise Unreadable("damaged", "is not UTF-8 text") from None
    except RecursionError:
        raise _too_deep() from None
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _containers(outer)]
        if not level:
            return value
    raise _too_deep()


def _containers(value: Any) -> list[Any]:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [one for one in inside if isinstance(one, dict | list)]


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


def _float(digits: str) -> float | str:
    value = float(digits)
    return value if math.isfinite(value) else digits


@dataclass(frozen=True)
class TensorEntry:
    """What a safetensors header says about one tensor. first, last: bytes from the data's start."""

    dtype: str
    shape: tuple[int, ...]
    first: int
    last: int


@dataclass(frozen=True)
class SafetensorsHeader:
    """A safetensors file's header: tensors by name, text metadata, and where the data begin.

    size: the file's, which is what the header says or more.
    """

    tensors: Mapping[str, TensorEntry]
    metadata: Mapping[str, str]
    data_start: int
    size: int

    @property
    def end(self) -> int:
        """Where the last tensor ends in the file."""
        return self.data_start + max((one.last for one in self.tensors.values()), default=0)


def read_safetensors_header(path: str | Path) -> SafetensorsHeader:
    """The header of a safetensors file; no tensors are read.

    Format: 8 bytes little-endian length, JSON, tensor data
    (https://github.com/huggingface/safetensors). Raises Unreadable: `cut_off` when the file is
    shorter than its header says, `damaged` when the header makes no sense.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(9)
            if len(start) < 9:
                raise Unreadable("cut_off", f"holds only {size} bytes")
            (length,) = struct.unpack("<Q", start[:8])
            if length > LONGEST_HEADER or start[8:9] != b"{":
                raise Unreadable("damaged", "is not a safetensors file, or its beginning is lost")
            if 8 + length > size:
                raise _cut_off(size, 8 + length)
            file.seek(8)
            text = file.read(length)
    except OSError as error:
        raise _refused(error) from None
    header = parse_safetensors_header(text, size)
    if header.end > size:
        raise _cut_off(size, header.end)
    return header


def parse_safetensors_header(text: bytes, size: int) -> SafetensorsHeader:
    """The header in its JSON text; size: the whole file's. Raises Unreadable `damaged`."""
    raw = parse_json(text)
    if not isinstance(raw, dict):
        raise Unreadable("damaged", "has a damaged header")
    metadata = raw.pop("__metadata__", None)
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict):
        raise Unreadable("damaged", "has a damaged header: its metadata are not names and texts")
    tensors = {name: _entry(name, info) for name, info in raw.items()}
    texts = {name: value for name, value in metadata.items() if isinstance(value, str)}
    return SafetensorsHeader(tensors, texts, 8 + len(text), size)


def _entry(name: str, info: Any) -> TensorEntry:
    wrong = Unreadable("damaged", f"has a damaged header, at the tensor {name[:80]!r}")
    if not isinstance(info, dict):
        raise wrong
    dtype, shape, offsets = info.get("dtype"), info.get("shape"), info.get("data_offsets")
    if not (isinstance(dtype, str) and _are_counts(shape) and _are_counts(offsets)):
        raise wrong
    if len(offsets) != 2 or offsets[0] > offsets[1] or len(shape) > 16:
        raise wrong
    bits = _BITS.get(dtype)
    if bits is not None and (offsets[1] - offsets[0]) * 8 != bits * math.prod(shape):
        raise wrong
    return TensorEntry(dtype, tuple(shape), offsets[0], offsets[1])


def _are_counts(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(one) is int and 0 <= one < 2**63 for one in value)


def _of_kind(path: str | Path) -> Unreadable | None:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return None
    return None if stat.S_ISREG(mode) else _not_a_file(mode)


def _not_a_file(mode: int) -> Unreadable:
    kind = next((name for test, name in _KINDS if test(mode)), "a device")
    return Unreadable("kind", f"is {kind}, not a file")


def _refused(error: OSError) -> Unreadable:
    return Unreadable("system", f"cannot be read ({error.strerror or error})")


def _too_deep() -> Unreadable:
    return Unreadable("damaged", f"is nested too deeply (more than {DEEPEST} levels)")


def _cut_off(size: int, expected: int) -> Unreadable:
    return Unreadable("cut_off", f"is incomplete: it has {size:,} of {expected:,} bytes")


def _too_large(at_most: int) -> Unreadable:
    limit = f"{at_most // 2**20} MB" if at_most >= 2**20 else f"{at_most / 1024:g} KB"
    return Unreadable("large", f"is larger than {limit}")
