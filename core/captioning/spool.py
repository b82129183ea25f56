"""Captions that were made but not written yet, kept on disk so that a crash loses none of them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from core import files
from core.captioning.options import CaptionOptions
from core.paths import user_data_dir, user_path

_KEPT_SECONDS = 30 * 24 * 3600
# These say what becomes of a caption, not what the model makes of a picture.
_LATER = ("mode", "trigger", "device", "batch", "download", "dtype")


class Spool:
    """What a model has made of the pictures of one folder, until somebody writes or discards it.

    One line of JSON a picture; a run with the same model and settings takes it over. A picture
    that has changed meanwhile is made anew.
    """

    def __init__(self, folder: Path, options: CaptionOptions) -> None:
        settings = {name: value for name, value in asdict(options).items() if name not in _LATER}
        model = [_stamp_of(path) for path in _model_files(options)]
        key = json.dumps([os.path.abspath(folder), settings, model], sort_keys=True)
        name = hashlib.sha256(key.encode("ascii")).hexdigest()[:24]
        self.file = user_data_dir() / "captions" / f"{name}.jsonl"

    def read(self, pictures: Sequence[Path]) -> dict[Path, str]:
        """What is there for those of the pictures that are still the same."""
        wanted = {os.path.abspath(picture): picture for picture in pictures}
        found: dict[Path, str] = {}
        try:
            lines = self.file.read_bytes().split(b"\n")
        except OSError:
            return {}
        for line in lines:
            try:
                path, stamp, text = json.loads(line)
                picture = wanted[path]
                if isinstance(text, str) and stamp == _stamp(picture):
                    found[picture] = text
            except (ValueError, KeyError, TypeError, OSError):
                continue  # another folder's, half a line, or a picture that is gone
        return found

    def add(self, picture: Path, text: str) -> None:
        """Keep one caption. A disk that is full costs only this second safety."""
        with contextlib.suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            line = json.dumps([os.path.abspath(picture), _stamp(picture), text])
            with open(self.file, "ab", buffering=0) as file:
                # In front, so that a line which a crash cut in half spoils no other.
                file.write(b"\n" + line.encode("ascii"))

    def clear(self) -> None:
        """The captions are written; also forgets what other runs left behind a month ago."""
        with contextlib.suppress(OSError):
            files.unlink(self.file, missing_ok=True)
            for other in self.file.parent.glob("*.jsonl"):
                if time.time() - other.stat().st_mtime > _KEPT_SECONDS:
                    files.unlink(other)


def _model_files(options: CaptionOptions) -> list[Path]:
    """Files by which another model under the same path is known."""
    folder = user_path((options.tagger or options.captioner).strip())
    names = ("model.onnx", "selected_tags.csv", "config.json", "model.safetensors")
    return [folder / name for name in names]


def _stamp_of(path: Path) -> list[int]:
    try:
        return _stamp(path)
    except OSError:
        return []


def _stamp(picture: Path) -> list[int]:
    status = os.stat(picture)
    return [status.st_size, status.st_mtime_ns]
