from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.config.concepts import Concept
from core.config.job import Job


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for pictures, with a space and letters beyond Latin in its name."""
    path = tmp_path / "Bilder über 猫"
    path.mkdir()
    return path


def random_picture(width: int, height: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    """(height, width, channels) uint8 of smooth colours, so that JPEG and resizing keep them."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 4, channels), dtype=np.uint8)
    bands = [
        Image.fromarray(coarse[..., c]).resize((width, height), Image.Resampling.BICUBIC)
        for c in range(channels)
    ]
    return np.stack([np.array(band) for band in bands], axis=-1)


@pytest.fixture
def add_picture(folder: Path) -> Callable[..., Path]:
    """add_picture(name, width, height, caption=None) -> path of a new picture in `folder`."""

    def add(name: str, width: int = 64, height: int = 64, caption: str | None = None) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = sum(name.encode())
        Image.fromarray(random_picture(width, height, seed)).save(path)
        if caption is not None:
            path.with_suffix(".txt").write_text(caption, encoding="utf-8")
        return path

    return add


@pytest.fixture
def make_job(folder: Path) -> Callable[..., Job]:
    """make_job(resolution=64, **training) -> a job with one concept: `folder`."""

    def make(**training: object) -> Job:
        job = Job(concepts=[Concept(path=str(folder), name="robot")])
        job.training.resolution = 64
        for name, value in training.items():
            setattr(job.training, name, value)
        return job

    return make


@pytest.fixture
def picture_array() -> Callable[..., np.ndarray]:
    return random_picture


def icc_profile(space: bytes, tags: dict[bytes, bytes], pcs: bytes = b"XYZ ") -> bytes:
    """A small ICC v2 profile written by hand (ICC.1:2001-04)."""
    everything = {b"wtpt": b"XYZ \0\0\0\0" + _xyz(0.9642, 1.0, 0.8249), **tags}
    everything.setdefault(b"cprt", b"text\0\0\0\0free\0")
    name = b"test\0"
    everything.setdefault(
        b"desc", b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + b"\0" * 79
    )
    table = struct.pack(">I", len(everything))
    offset = 128 + 4 + 12 * len(everything)
    body = b""
    for tag, data in everything.items():
        data += b"\0" * (-len(data) % 4)
        table += tag + struct.pack(">II", offset + len(body), len(data))
        body += data
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    header = struct.pack(">I4sI4s4s4s", 0, b"\0\0\0\0", 0x02400000, kind, space, pcs)
    header += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28
    header += _xyz(0.9642, 1.0, 0.8249) + b"\0" * 48
    whole = header[:128].ljust(128, b"\0") + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


def _xyz(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def gamma_curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


# sRGB's primaries, adapted to D50 (IEC 61966-2-1 with Bradford).
_RED, _GREEN, _BLUE = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)


@pytest.fixture
def swapped_profile() -> bytes:
    """An RGB profile that calls red what sRGB calls green, and the other way round."""
    tags = {
        b"rXYZ": b"XYZ \0\0\0\0" + _xyz(*_GREEN),
        b"gXYZ": b"XYZ \0\0\0\0" + _xyz(*_RED),
        b"bXYZ": b"XYZ \0\0\0\0" + _xyz(*_BLUE),
    }
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma_curve(2.2))
    return icc_profile(b"RGB ", tags)


@pytest.fixture
def linear_gray_profile() -> bytes:
    return icc_profile(b"GRAY", {b"kTRC": gamma_curve(1.0)})


@pytest.fixture
def cmyk_profile() -> bytes:
    """A CMYK profile in which any ink gives one colour, Lab (60, 40, -30), and none gives white."""
    ramp = bytes(range(256))
    white, ink = bytes([255, 128, 128]), bytes([153, 168, 98])
    grid = white + ink * 15
    identity = b"".join(struct.pack(">i", 65536 if i % 4 == 0 else 0) for i in range(9))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + ramp * 4 + grid + ramp * 3
    return icc_profile(b"CMYK", {b"A2B0": lut, b"A2B1": lut}, pcs=b"Lab ")
