"""Files of unknown origin: whatever they hold, they are read or refused in one sentence."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.reading import (
    DEEPEST,
    Unreadable,
    parse_json,
    parse_safetensors_header,
    read_bytes,
    read_json,
    read_safetensors_header,
)


def why(path: Path) -> str:
    with pytest.raises(Unreadable) as caught:
        read_safetensors_header(path)
    return caught.value.why


def safetensors(path: Path, header: str, data: bytes = bytes(16)) -> Path:
    text = header.encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


ENTRY = '{"dtype":"F32","shape":[4],"data_offsets":[0,16]}'


def test_a_header_says_what_is_in_the_file(tmp_path):
    text = f'{{"__metadata__":{{"a":"b"}},"x":{ENTRY}}}'
    header = read_safetensors_header(safetensors(tmp_path / "x", text))
    assert header.metadata == {"a": "b"}
    assert header.tensors["x"].shape == (4,) and header.tensors["x"].dtype == "F32"
    assert header.data_start == 8 + len(text) and header.end == header.size


@pytest.mark.parametrize(
    "entry",
    [
        '{"dtype":"F32","shape":[1e999],"data_offsets":[0,16]}',
        '{"dtype":"F32","shape":[4],"data_offsets":[0,1e999]}',
        '{"dtype":"F32","shape":[4.0],"data_offsets":[0,16]}',
        '{"dtype":"F32","shape":[true],"data_offsets":[0,4]}',
        '{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}',
        '{"dtype":"F32","shape":4,"data_offsets":[0,16]}',
        '{"dtype":"F32","shape":[5],"data_offsets":[0,16]}',
        '{"dtype":"F32","shape":[4],"data_offsets":[16,0]}',
        '{"dtype":"F32","shape":[4],"data_offsets":[0]}',
        '{"dtype":"F32","shape":[4],"data_offsets":[0,"x"]}',
        '{"dtype":"F32","shape":[4],"data_offsets":null}',
        '{"dtype":7,"shape":[4],"data_offsets":[0,16]}',
        '{"dtype":"F32","shape":[' + "9" * 4000 + '],"data_offsets":[0,16]}',
        '{"dtype":"F32","shape":[' + ",".join(["0"] * 17) + '],"data_offsets":[0,0]}',
        "[]",
        "null",
        "[" * 500 + "]" * 500,
        "[" * 100_000 + "]" * 100_000,
        "NaN",
    ],
)
def test_a_damaged_entry_is_one_refusal(tmp_path, entry):
    assert why(safetensors(tmp_path / "x", f'{{"x":{entry}}}')) == "damaged"


@pytest.mark.parametrize("metadata", ['"abc"', "[]", "1", "true"])
def test_metadata_that_are_not_names_and_texts_are_damage(tmp_path, metadata):
    assert why(safetensors(tmp_path / "x", f'{{"__metadata__":{metadata}}}')) == "damaged"


def test_what_is_shorter_than_it_says_is_cut_off(tmp_path):
    file = safetensors(tmp_path / "x", f'{{"x":{ENTRY}}}')
    whole = file.read_bytes()
    for length in (0, 5, 8, 9, 20, len(whole) - 1):
        file.write_bytes(whole[:length])
        assert why(file) == "cut_off"


@given(st.data())
def test_no_change_of_a_header_is_more_than_a_refusal(data):
    text = bytearray(f'{{"__metadata__":{{"a":"b"}},"x":{ENTRY},"y":{ENTRY}}}'.encode())
    for _ in range(data.draw(st.integers(1, 6))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    try:
        header = parse_safetensors_header(bytes(text), 1000)
    except Unreadable:
        return
    assert all(type(side) is int for one in header.tensors.values() for side in one.shape)


def test_numbers_that_cannot_be_calculated_with_come_as_their_texts():
    numbers = parse_json(
        "[NaN, -Infinity, 1e999, 123456789012345678901, 18446744073709551615, 1.5]"
    )
    long = "123456789012345678901"
    assert numbers == ["NaN", "-Infinity", "1e999", long, 2**64 - 1, 1.5]


def test_depth_has_a_bound_long_before_pythons_own():
    assert parse_json("[" * DEEPEST + "]" * DEEPEST)
    for depth in (DEEPEST + 1, 900, 100_000):
        with pytest.raises(Unreadable, match="nested too deeply"):
            parse_json("[" * depth + "]" * depth)


@pytest.mark.parametrize("text", [b"{", b"\xff\xfe\x00", b"", b"[1]", b'{"a":1}x'])
def test_what_is_not_a_json_object_is_damage(tmp_path, text):
    (tmp_path / "x.json").write_bytes(text)
    with pytest.raises(Unreadable) as caught:
        read_json(tmp_path / "x.json")
    assert caught.value.why == "damaged"


def test_a_byte_order_mark_is_read_over(tmp_path):
    (tmp_path / "x.json").write_bytes(b"\xef\xbb\xbf" + json.dumps({"a": "ä"}).encode())
    assert read_json(tmp_path / "x.json") == {"a": "ä"}


def test_a_file_has_a_largest_size(tmp_path):
    (tmp_path / "x").write_bytes(bytes(11))
    assert len(read_bytes(tmp_path / "x", 11)) == 11
    with pytest.raises(Unreadable) as caught:
        read_bytes(tmp_path / "x", 10)
    assert caught.value.why == "large"


def test_folders_and_what_is_not_there(tmp_path):
    for name, expected in ((".", "kind"), ("no", "missing"), ("a\0b", "system")):
        with pytest.raises(Unreadable) as caught:
            read_bytes(str(tmp_path / name), 10)
        assert caught.value.why == expected


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(Unreadable) as caught:
            read_bytes(path, 10)
        assert caught.value.why == "kind"
