"""Pictures for the benchmarks of the viewer."""

from __future__ import annotations

import io
import struct
from pathlib import Path

from PIL import Image


def colour(number: int) -> tuple[int, int, int]:
    """A colour that its neighbours in the list don't have."""
    return (60 + 150 * (number % 2), 40 + number * 53 % 180, 40 + number * 97 % 180)


def make(folder: Path, size: tuple[int, int], count: int, suffix: str) -> Path:
    """A folder of `count` pictures full of detail, each with a block of its own colour."""
    folder.mkdir(parents=True)
    width, height = size
    noise = Image.effect_noise((width // 2, height // 2), 40).resize(size).convert("RGB")
    block = (width // 4, height // 4, width * 3 // 4, height * 3 // 4)
    for number in range(count):
        noise.paste(colour(number), block)
        path = folder / f"picture {number + 1}.{suffix}"
        noise.save(path, quality=92) if suffix == "jpg" else noise.save(path, compress_level=4)
    return folder


def embed_small(path: Path) -> None:
    """Put a small version of a JPEG into its Exif header."""
    small = io.BytesIO()
    with Image.open(path) as image:
        image.draft("RGB", (320, 320))
        image.resize((160, 107)).save(small, "JPEG")
    data = small.getvalue()
    # An empty first directory, and a second one that points behind itself.
    entries = struct.pack("<HHIIHHII", 0x201, 4, 1, 44, 0x202, 4, 1, len(data))
    tiff = struct.pack("<2sHIHI", b"II", 42, 8, 0, 14) + struct.pack("<H", 2) + entries
    block = b"Exif\0\0" + tiff + struct.pack("<I", 0) + data
    whole = path.read_bytes()
    marker = b"\xff\xe1" + struct.pack(">H", len(block) + 2)
    path.write_bytes(whole[:2] + marker + block + whole[2:])
