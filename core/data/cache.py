"""Latents and what captions became, on disk, found by what they were computed from.

An entry's name is a hash of everything its content depends on, so it is never stale; a checksum
inside tells when the disk has damaged it. Entries are safetensors files.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import threading
import time
import uuid
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from core import files, paths
from core.data.augment import Variation, unchanged
from core.data.images import Color
from core.data.types import Placement
from core.errors import Problem

# Raise when the same inputs give other numbers than before: another resampling, another crop.
FORMAT = 2
_TEXT_FORMAT = 2


def content_key(*parts: Any) -> str:
    """A name for what was computed from these JSON-ready values."""
    text = json.dumps(parts, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def latent_key(
    file_digest: str,
    placement: Placement,
    background: Color,
    vae: str,
    dtype: str,
    *,
    variation: Variation | None = None,
    mask: str = "",
) -> str:
    """The key of a picture's latents. vae: LoadedModel.identity["vae"]. mask: the digest of its
    mask's file, `alpha` where transparency is the mask, or "" without."""
    bucket = placement.bucket
    size = [bucket.width, bucket.height, *placement.resized, *placement.crop]
    more: list[Any] = []
    if variation is not None and variation != unchanged(placement):
        # The crop that the picture would have had without says nothing about this one.
        size = size[:4]
        more.append(variation.key())
    if mask:
        more.append({"mask": mask})
    return content_key("latents", FORMAT, file_digest, size, list(background), vae, dtype, *more)


def text_key(caption: str, length: int, text: str) -> str:
    """The key of a caption's conditioning at a length.

    text: LoadedModel.identity["text"].
    """
    return content_key("text", _TEXT_FORMAT, caption, length, text)


class TensorCache:
    """Bags of named tensors by key below one folder, for several threads and processes.

    problem: set when an entry could not be written; nothing is written from then on, and
    whoever uses the cache goes on without it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problem: Problem | None = None

    def path_of(self, key: str) -> Path:
        """Where the entry lies or would lie."""
        return self.folder / key[:2] / f"{key}.safetensors"

    def has(self, key: str) -> bool:
        """Whether there is an entry; it may still prove damaged when read. Counts as use of it."""
        path = self.path_of(key)
        _touch(path)
        return path.is_file()

    def get(self, key: str) -> dict[str, torch.Tensor] | None:
        """An entry's tensors by name, or None when there is none. A damaged one is removed."""
        path = self.path_of(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        tensors = _unpack(data)
        if tensors is None:
            with contextlib.suppress(OSError):
                files.unlink(path)
        else:
            _touch(path)
        return tensors

    def put(self, key: str, tensors: Mapping[str, torch.Tensor]) -> bool:
        """Keep tensors as one entry; returns whether it is kept, whatever the disk does."""
        if self.problem is not None:
            return False
        path = self.path_of(key)
        try:
            _replace(path, _pack(tensors))
        except OSError as error:
            if path.is_file():
                return True  # Another process has just written it, and Windows let only one.
            self.problem = _unwritable(self.folder, error)
            return False
        return True


def latent_cache() -> TensorCache:
    """The user's cache of latents."""
    return TensorCache(paths.cache_dir() / "latents")


def text_cache() -> TensorCache:
    """The user's cache of captions' conditioning."""
    return TensorCache(paths.cache_dir() / "text")


def _touch(path: Path) -> None:
    # The longest unused entries are the first to go when the cache is full.
    with contextlib.suppress(OSError):
        os.utime(path)


_NO_CHECKSUM = b'"crc32":"00000000"'


def _pack(tensors: Mapping[str, torch.Tensor]) -> bytes:
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data = safetensors.torch.save(ready, metadata={"crc32": "00000000"})
    header_end = 8 + int.from_bytes(data[:8], "little")
    checksum = f'"crc32":"{zlib.crc32(data[header_end:]):08x}"'.encode()
    return data[:header_end].replace(_NO_CHECKSUM, checksum, 1) + data[header_end:]


def _unpack(data: bytes) -> dict[str, torch.Tensor] | None:
    """The tensors of an entry, or None when it is damaged."""
    try:
        header_end = 8 + int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8:header_end])["__metadata__"]
        if int(metadata["crc32"], 16) != zlib.crc32(data[header_end:]):
            return None
        tensors = safetensors.torch.load(data)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    except safetensors.SafetensorError:
        return None
    return tensors or None


def _replace(path: Path, data: bytes) -> None:
    """Write in one step, but without waiting for the disk as core.files does.

    An entry lost or torn by a power cut is noticed by its checksum and made again, and waiting
    would slow tens of thousands of small files down.
    """
    name = path.parent / f".writing-{uuid.uuid4().hex}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        try:
            handle = os.open(name, flags, 0o666)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(name, flags, 0o666)
        with os.fdopen(handle, "wb", buffering=0) as file:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
        files.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            files.unlink(name)
        raise


def _unwritable(folder: Path, error: OSError) -> Problem:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    todo = "make room on its disk" if full else "look at the folder and its permissions"
    return Problem(
        code="cache_unwritable",
        title=f"The cache in {folder} cannot be written; {todo}.",
        detail=f"{error.strerror or error}. Training goes on without the cache.",
        severity="warning",
        file=str(folder),
    )


class FileDigests:
    """SHA-256 of files' bytes, remembered so that an unchanged file is not read again.

    A file counts as unchanged while its size and modification time are the same. The memory is
    a file of JSON lines that any number of processes append to.
    """

    # A file changed twice within the clock's grain looks unchanged, so young ones are not kept.
    _YOUNG_SECONDS = 2.0
    # Hashing that many anew is no matter when the process is killed.
    _SAVED_TOGETHER = 100

    def __init__(self, index: Path | None = None) -> None:
        self._index = index or paths.cache_dir() / "file_digests.jsonl"
        self._lock = threading.Lock()
        self._new: list[str] = []
        self._known: dict[str, tuple[int, int, str]] = {}
        lines = self._read()
        if lines > 2 * len(self._known) + 1000:
            self._rewrite()

    def digest(self, path: Path) -> str:
        """The hash of a file's bytes, in hexadecimal. Raises OSError."""
        name = os.path.abspath(path)
        status = os.stat(name)
        known = self._known.get(name)
        if known is not None and known[:2] == (status.st_size, status.st_mtime_ns):
            return known[2]
        with open(name, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if time.time() - status.st_mtime >= self._YOUNG_SECONDS:
            with self._lock:
                self._known[name] = (status.st_size, status.st_mtime_ns, digest)
                self._new.append(_line(name, self._known[name]))
                many = len(self._new) >= self._SAVED_TOGETHER
            if many:
                self.save()
        return digest

    def save(self) -> None:
        """Append what was learned to the file, as happens now and then by itself. A disk that
        refuses costs only the memory."""
        with self._lock:
            new, self._new = self._new, []
        if not new:
            return
        # A leading line end closes a line that a killed process has left half-written.
        data = ("\n" + "\n".join(new) + "\n").encode("ascii")
        with contextlib.suppress(OSError):
            self._index.parent.mkdir(parents=True, exist_ok=True)
            with open(self._index, "ab", buffering=0) as file:
                file.write(data)

    def _read(self) -> int:
        """Fill the memory from the file; returns how many lines it has."""
        try:
            text = self._index.read_text("ascii", errors="replace")
        except OSError:
            return 0
        lines = [line for line in text.split("\n") if line]
        for line in lines:
            with contextlib.suppress(ValueError, TypeError):
                name, size, mtime_ns, digest = json.loads(line)
                if isinstance(digest, str) and len(digest) == 64:
                    self._known[name] = (int(size), int(mtime_ns), digest)
        return len(lines)

    def _rewrite(self) -> None:
        lines: Iterable[str] = (_line(name, known) for name, known in self._known.items())
        with contextlib.suppress(OSError):
            files.write_text(self._index, "\n".join(lines) + "\n")


def _line(name: str, known: tuple[int, int, str]) -> str:
    return json.dumps([name, *known])
