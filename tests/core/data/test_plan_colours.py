"""A plan says which pictures have colours that no conversion is known for."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from core.config.concepts import Concept
from core.config.job import Job
from core.data.plan import make_plan


@pytest.mark.parametrize(("transfer", "told"), [(16, ["picture_colours"]), (13, [])])
def test_colours_that_cannot_be_converted_are_told(tmp_path: Path, transfer: int, told: list[str]):
    path = tmp_path / "a.png"
    Image.new("RGB", (64, 64), (90, 40, 20)).save(path)
    data = path.read_bytes()
    body = b"cICP" + bytes([9, transfer, 0, 1])
    chunk = struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(data[:33] + chunk + data[33:])
    job = Job(concepts=[Concept(path=str(tmp_path))])

    problems = make_plan(job, bucket_step=8).problems

    assert [p.code for p in problems if p.code == "picture_colours"] == told
