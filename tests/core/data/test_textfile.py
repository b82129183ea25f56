"""Text files are given back exactly as they stand, whatever their encoding."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config.concepts import Concept, Prompt
from core.data.captions import caption_file_of, caption_lines, read_caption_file, whole_caption
from core.data.textfile import CaptionError, CaptionText, without_surrogates

LINES = "a red robot,  standing\n\n  second line \n"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_text_is_exact_and_its_form_is_told(folder: Path, newline: str, encoding: str) -> None:
    text = f"一只猫, {LINES}".replace("\n", newline)
    (folder / "a.txt").write_bytes(text.encode(encoding))
    got = read_caption_file(folder / "a.txt")
    expected = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le"}.get(encoding, encoding)
    assert got == CaptionText(text, expected, newline, guessed=encoding == "gb18030")


def test_the_commonest_line_end_is_told(folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"1\r\n2\r\n3\n4")
    assert read_caption_file(folder / "a.txt").newline == "\r\n"
    (folder / "a.txt").write_bytes(b"one line")
    assert read_caption_file(folder / "a.txt").newline == "\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        # In GB18030 these words are valid UTF-8 of other scripts.
        ("一只猫", "gb18030"),
        ("联通, red", "gb18030"),
        ("привет, мир", "utf-8"),
        ("čeština, ελληνικά, עברית", "utf-8"),
        ("naïveté « été », e\u0301\u0302", "utf-8"),
        ("猫", "utf-8"),
    ],
)
def test_chinese_is_told_from_other_scripts(folder: Path, text: str, encoding: str) -> None:
    (folder / "a.txt").write_bytes(text.encode(encoding))
    got = read_caption_file(folder / "a.txt")
    assert (got.text, got.encoding) == (text, encoding)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_its_mark(folder: Path, encoding: str) -> None:
    (folder / "a.txt").write_bytes("a red robot, café".encode(encoding))
    got = read_caption_file(folder / "a.txt")
    assert (got.text, got.encoding) == ("a red robot, café", encoding)


@pytest.mark.parametrize("size", [4095, 4096, 4097, 3 * 2**20])
def test_long_files_are_whole(folder: Path, size: int) -> None:
    text = ("abcdefghij" * (size // 10 + 1))[:size]
    (folder / "a.txt").write_text(text)
    assert read_caption_file(folder / "a.txt", size).text == text


def test_more_than_allowed_is_refused(folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"x" * 10_000)
    assert len(read_caption_file(folder / "a.txt", 10_000).text) == 10_000
    with pytest.raises(CaptionError, match="larger"):
        read_caption_file(folder / "a.txt", 9_999)


def test_what_is_no_file_gives_a_reason(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_caption_file(folder / "gone.txt")
    (folder / "folder.txt").mkdir()
    for path in (folder / "folder.txt", Path(f"{folder}/a\0b.txt")):
        with pytest.raises(CaptionError):
            read_caption_file(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_named_like_a_caption_does_not_hang(folder: Path) -> None:
    os.mkfifo(folder / "a.txt")
    with pytest.raises(CaptionError, match="is a pipe, not a file"):
        read_caption_file(folder / "a.txt")


@given(st.binary(max_size=60))
def test_any_bytes_give_text_or_a_reason(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "a.txt"
        path.write_bytes(data)
        try:
            text = read_caption_file(path).text
        except CaptionError as error:
            assert str(error).startswith("The file ")
        else:
            assert "\0" not in text
            text.encode("utf-8")


def test_the_file_that_editing_writes(folder: Path) -> None:
    picture = folder / "a.v2.png"
    concept = Concept(path=str(folder))
    assert caption_file_of(concept, picture) == folder / "a.v2.txt"
    (folder / "a.v2.caption").write_text("x")
    assert caption_file_of(concept, picture) == folder / "a.v2.caption"
    (folder / "a.v2.txt").write_text("x")
    assert caption_file_of(concept, picture) == folder / "a.v2.txt"
    other = Concept(path=str(folder), prompt=Prompt(source="filename"))
    assert caption_file_of(other, picture) is None


def test_lines_as_alternatives_or_as_one() -> None:
    text = "\r\n red robot, \r\nstanding,\r\n\r\n"
    assert caption_lines(text) == ("red robot", "standing")
    assert whole_caption(text) == ("red robot, standing",)
    assert whole_caption(" \n ") == ()


def test_halves_of_characters_are_replaced() -> None:
    assert without_surrogates("a\ud800b\udcff") == "a\ufffdb\ufffd"
    assert without_surrogates("猫🤖") == "猫🤖"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_mark_written_twice_is_no_part_of_the_text(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffein Büro".encode(encoding))
    assert read_caption_file(tmp_path / "a.txt").text == "ein Büro"
