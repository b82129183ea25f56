"""Reading a safetensors file's header, and telling what a file is that is not one. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.errors import UserError, fail
from core.reading import Unreadable, open_regular, read_safetensors_header

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
        with open_regular(path) as file:
            _refuse_other_formats(path, file.read(512))
        header = read_safetensors_header(path)
    except Unreadable as error:
        raise _complaint(path, error) from None
    except OSError as error:
        raise _unreadable(path, f"cannot be read ({error.strerror or error})") from None
    shapes = {name: entry.shape for name, entry in header.tensors.items()}
    return Header(shapes, dict(header.metadata))


def _complaint(path: Path, error: Unreadable) -> UserError:
    if error.why == "missing":
        return fail("base_not_found", f"{path} {error}; choose another file.", file=str(path))
    if error.why == "cut_off":
        said = f"{path.name} {error}; download or copy it again."
        return fail("base_truncated", said, file=str(path))
    return _unreadable(path, str(error))


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


def pickle_refused(path: Path) -> UserError:
    """The refusal of a file in pickle format, which could run any program when loaded."""
    return fail(
        "base_pickle",
        f"{path.name} is in the pickle format, which can run programs when opened; Limner never "
        "loads it: get the .safetensors version or convert it.",
        file=str(path),
    )


def _unreadable(path: Path, what: str) -> UserError:
    return fail(
        "base_unreadable", f"{path.name} {what}; choose a .safetensors model.", file=str(path)
    )
