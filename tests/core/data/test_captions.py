"""Captions: every encoding read right, the four sources, the trigger word, augmentation."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config.concepts import CaptionAugmentation, Concept, Prompt
from core.data import captions as captions_module
from core.data.captions import (
    CaptionError,
    augment_caption,
    caption_path,
    captions_of,
    choose_caption,
    clean_name,
    read_text,
    with_trigger,
)

TEXT = "一只猫, café — naïve 🤖, Ünïcode"


def _concept(source: str, **prompt: object) -> Concept:
    return Concept(path=".", prompt=Prompt(source=source, **prompt))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "gb18030"]
)
def test_every_encoding(folder: Path, encoding: str) -> None:
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    path = folder / "a.txt"
    path.write_bytes(mark + TEXT.encode(encoding))
    assert read_text(path) == TEXT


@pytest.mark.parametrize("text", ["狗", "红色机器人,站立", "a 机器人 on a table", "cat 🤖", "东"])
def test_chinese_in_gb18030(folder: Path, text: str) -> None:
    (folder / "a.txt").write_bytes(text.encode("gb18030"))
    assert read_text(folder / "a.txt") == text


@pytest.mark.parametrize("text", ["a dog’s café", "naïve", "50° north, Ångström"])
def test_accents_of_windows(folder: Path, text: str) -> None:
    (folder / "a.txt").write_bytes(text.encode("cp1252"))
    assert read_text(folder / "a.txt") == text


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"\xff\xd8\xff\xe0\x10JFIF",
        b"a\0b",
        b"\xff\xfea\0b",
        b"\x01\x02\x03",
        b"\xff" * 40,
    ],
)
def test_binary_is_refused_with_a_reason(folder: Path, data: bytes) -> None:
    (folder / "a.txt").write_bytes(data)
    with pytest.raises(CaptionError) as caught:
        read_text(folder / "a.txt")
    assert str(caught.value).startswith("The file ")


def test_a_huge_file_is_no_caption(folder: Path) -> None:
    with open(folder / "a.txt", "wb") as file:
        file.truncate(256 * 1024 + 1)
    with pytest.raises(CaptionError, match="larger than 256 KB"):
        read_text(folder / "a.txt")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="a system without /dev/zero")
def test_a_link_to_what_never_ends_is_no_caption(folder: Path) -> None:
    (folder / "a.txt").symlink_to("/dev/zero")
    with pytest.raises(CaptionError, match="is a device, not a file"):
        read_text(folder / "a.txt")


def test_folder_in_place_of_a_caption(folder: Path) -> None:
    (folder / "a.txt").mkdir()
    with pytest.raises(CaptionError):
        captions_of(_concept("caption_file"), folder / "a.png")


@given(st.binary(max_size=60))
def test_any_bytes_give_text_or_a_reason(tmp_path_factory: pytest.TempPathFactory, data: bytes):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(data)
    try:
        assert "\0" not in read_text(path)
    except CaptionError as error:
        assert str(error)


def test_caption_file_beside_the_picture(folder: Path) -> None:
    picture = folder / "a.v2.png"
    concept = _concept("caption_file")
    assert captions_of(concept, picture) == (("",), True)
    assert caption_path(picture) is None
    (folder / "a.v2.caption").write_text("from caption", encoding="utf-8")
    assert captions_of(concept, picture) == (("from caption",), False)
    (folder / "a.v2.txt").write_bytes(b"\xef\xbb\xbf  red robot, \\(blue\\), (big:1.2), \r\n\r\n")
    assert captions_of(concept, picture) == (("red robot, \\(blue\\), (big:1.2)",), False)
    assert caption_path(picture) == folder / "a.v2.txt"
    (folder / "a.v2.txt").write_text("one\n\n two \r\nthree\n", encoding="utf-8")
    assert captions_of(concept, picture) == (("one", "two", "three"), False)


@pytest.mark.parametrize("content", ["", "\n \n", ",\n", "\ufeff"])
def test_caption_file_without_text_counts_as_missing(folder: Path, content: str) -> None:
    (folder / "a.txt").write_text(content, encoding="utf-8")
    assert captions_of(_concept("caption_file"), folder / "a.png") == (("",), True)
    with_word = _concept("caption_file", trigger="zxc")
    assert captions_of(with_word, folder / "a.png") == (("zxc",), True)


def test_single_file(folder: Path) -> None:
    path = folder / "all captions.txt"
    concept = _concept("single_file", file=str(path), trigger="zxc")
    with pytest.raises(CaptionError):
        captions_of(concept, folder / "a.png")
    path.write_bytes("红色\n\nzxc blue\n".encode("gb18030"))
    assert captions_of(concept, folder / "a.png") == (("zxc, 红色", "zxc blue"), False)
    path.write_text("changed now\n", encoding="utf-8")
    assert captions_of(concept, folder / "a.png") == (("zxc, changed now",), False)


@pytest.mark.parametrize(
    ("stem", "words"),
    [
        ("a_red-robot_012", "a red robot"),
        ("red robot (3)", "red robot"),
        ("red robot(3)", "red robot"),
        ("R2-D2", "R2 D2"),
        ("IMG_20210504_1234", "IMG"),
        ("two__words--here", "two words here"),
        ("0001", ""),
        ("(12)", ""),
        ("robot12", "robot12"),
    ],
)
def test_file_name(folder: Path, stem: str, words: str) -> None:
    assert clean_name(stem) == words
    expected = ((words,), words == "")
    assert captions_of(_concept("filename"), folder / f"{stem}.png") == expected


def test_file_name_as_it_is(folder: Path) -> None:
    concept = _concept("filename", clean_name=False)
    assert captions_of(concept, folder / "a_red-robot_012.png") == (("a_red-robot_012",), False)
    assert captions_of(concept, folder / "0001.png") == (("0001",), False)


def test_names_in_another_encoding(folder: Path) -> None:
    for clean in (True, False):
        concept = _concept("filename", clean_name=clean)
        (caption,), missing = captions_of(concept, folder / "caf\udce9 red.png")
        assert caption == "caf\ufffd red" and not missing


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("10_zxc man", "zxc man"),
        ("3_red_robot", "red robot"),
        ("red_robot", "red robot"),
        ("10_", "10"),
        ("2021 trip", "2021 trip"),
        ("20210504_trip", "20210504 trip"),
    ],
)
def test_folder_name(folder: Path, name: str, words: str) -> None:
    concept = _concept("folder_name", trigger="")
    assert captions_of(concept, folder / name / "a.png") == ((words,), False)


def test_folder_name_of_where_one_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "5_robot").mkdir()
    monkeypatch.chdir(folder / "5_robot")
    assert captions_of(_concept("folder_name"), Path("a.png")) == (("robot",), False)


def test_all_lines_as_one_caption(folder: Path) -> None:
    text = " red robot, \r\n\r\nstanding,\nlarge,\n"
    (folder / "a.txt").write_text(text, newline="")
    concept = _concept("caption_file", lines="whole", trigger="zxc")
    expected = (("zxc, red robot, standing, large",), False)
    assert captions_of(concept, folder / "a.png") == expected
    concept = _concept("single_file", lines="whole", trigger="zxc", file=str(folder / "a.txt"))
    assert captions_of(concept, folder / "b.png") == expected
    lines = _concept("single_file", file=str(folder / "a.txt"))
    assert captions_of(lines, folder / "b.png")[0] == ("red robot", "standing", "large")


def test_a_broken_single_file_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "all.txt"
    path.write_bytes(b"\0\1\2")
    reads: list[object] = []
    real = captions_module.read_caption_file

    def counted(path: Path, *more: Any) -> object:
        reads.append(path)
        return real(path, *more)

    monkeypatch.setattr(captions_module, "read_caption_file", counted)
    for number in range(5):
        with pytest.raises(CaptionError, match="binary"):
            captions_of(_concept("single_file", file=str(path)), folder / f"{number}.png")
    assert len(reads) == 1
    for wrong in (f"{folder}/a\0b.txt", str(folder), str(folder / "gone.txt")):
        with pytest.raises(CaptionError):
            captions_of(_concept("single_file", file=wrong), folder / "a.png")


def test_fixed_text(folder: Path) -> None:
    concept = _concept("fixed", text="a photo of {trigger}, {filename}", trigger="zxc")
    assert captions_of(concept, folder / "big_dog_1.png") == (("a photo of zxc, big dog",), False)
    assert captions_of(_concept("fixed", trigger="zxc"), folder / "a.png") == (("zxc",), False)
    assert captions_of(_concept("fixed"), folder / "a.png") == (("",), True)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a robot", "zxc, a robot"),
        ("a ZXC robot", "a ZXC robot"),
        ("zxcv robot", "zxc, zxcv robot"),
        ("azxc robot", "zxc, azxc robot"),
        ("robot zxc", "robot zxc"),
        ("(zxc:1.2)", "(zxc:1.2)"),
        ("", "zxc"),
    ],
)
def test_trigger_word(caption: str, expected: str) -> None:
    assert with_trigger(caption, "zxc") == expected


def test_trigger_of_several_words_and_signs() -> None:
    assert with_trigger("the c++ man here", "c++ man") == "the c++ man here"
    assert with_trigger("x", "") == "x"


def test_caption_without_augmentation_is_untouched() -> None:
    text = "a,b,  c,, d\\,"
    assert augment_caption(text, CaptionAugmentation(), 1, 2, 3) == text


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=5), st.integers(0, 6))
def test_shuffle_keeps_first_tags_and_loses_none(numbers: list[int], keep: int) -> None:
    tags = ["a", "b b", "c", "d", "e"]
    settings = CaptionAugmentation(shuffle=True, keep=keep)
    got = augment_caption("a, b b,c ,d, e,", settings, *numbers).split(", ")
    assert got[:keep] == tags[:keep]
    assert sorted(got) == sorted(tags)
    assert got == augment_caption("a, b b,c ,d, e,", settings, *numbers).split(", ")


def test_every_order_comes_about_equally_often() -> None:
    settings = CaptionAugmentation(shuffle=True, keep=1)
    counts = Counter(augment_caption("t, a, b, c", settings, 7, step) for step in range(3000))
    assert len(counts) == 6
    assert max(abs(count - 500) for count in counts.values()) < 100


def test_dropout_share() -> None:
    settings = CaptionAugmentation(dropout=0.25)
    dropped = sum(augment_caption("x", settings, 1, step) == "" for step in range(4000))
    assert abs(dropped - 1000) < 120
    always = CaptionAugmentation(dropout=1)
    assert {augment_caption("x", always, step) for step in range(50)} == {""}


def test_alternatives_come_about_equally_often() -> None:
    counts = Counter(choose_caption(("a", "b", "c"), 3, step) for step in range(3000))
    assert max(abs(count - 1000) for count in counts.values()) < 120
    assert choose_caption(("only",), 1) == "only"


def test_augmentation_is_the_same_on_every_machine() -> None:
    settings = CaptionAugmentation(shuffle=True, keep=1, dropout=0.3)
    got = [augment_caption("t, a, b, c, d", settings, 5, epoch) for epoch in range(5)]
    # Written down once: a change would alter every resumed run.
    assert got == ["t, d, a, c, b", "", "t, a, b, d, c", "t, a, c, d, b", ""]
