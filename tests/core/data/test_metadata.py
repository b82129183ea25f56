"""Tables of captions: every form that people have, and each bad row named."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from core.config.concepts import Concept, Prompt
from core.data.captions import CaptionError, captions_of
from core.data.metadata import read_table
from core.data.scan import scan_concept

AddPicture = Callable[..., Path]


def _concept(folder: Path, **prompt: str) -> Concept:
    return Concept(path=str(folder), prompt=Prompt(source="metadata", **prompt))


def _captions(folder: Path, *names: str) -> list[tuple[str, ...]]:
    concept = _concept(folder)
    return [captions_of(concept, folder / name)[0] for name in names]


CSV = 'file_name,text\na.png,"red, ""big"" robot"\nb.png,"two\nlines"\nc.png,plain\n'


@pytest.mark.parametrize(
    "data",
    [
        CSV.encode(),
        b"\xef\xbb\xbf" + CSV.encode(),
        CSV.encode("utf-16"),
        CSV.replace("\n", "\r\n").encode(),
        CSV.replace("file_name", "\n\nFile_Name ").encode(),
        CSV.replace(",", ";").replace("red;", "red,").encode(),
        CSV.replace(",", "\t").replace("red\t", "red,").encode(),
        CSV.replace("file_name,text", "image,prompt").encode(),
        CSV.replace("file_name,text", "file,caption").encode(),
        CSV.replace(",", ", ").replace("red,  ", "red, ").encode(),
    ],
)
def test_every_form_of_separated_values(folder: Path, data: bytes) -> None:
    (folder / "metadata.csv").write_bytes(data)
    table = read_table(folder / "metadata.csv")
    assert table.problems == () and table.names == ("a.png", "b.png", "c.png")
    expected = [('red, "big" robot',), ("two lines",), ("plain",)]
    assert _captions(folder, "a.png", "b.png", "c.png") == expected


def test_gb18030(folder: Path) -> None:
    text = "file_name,text\n猫.png,一只红色的猫在桌子上\n"
    (folder / "metadata.csv").write_bytes(text.encode("gb18030"))
    assert _captions(folder, "猫.png") == [("一只红色的猫在桌子上",)]


def test_more_columns_in_another_order(folder: Path) -> None:
    (folder / "metadata.csv").write_text("id,text,size,file_name\n1,red,3,a.png\n2,blue,4,b.png\n")
    assert _captions(folder, "a.png", "b.png") == [("red",), ("blue",)]


def test_rows_of_one_file_are_alternatives(folder: Path) -> None:
    rows = "a.png,one\nb.png,x\na.png,two\na.png,one\n./a.png,three\na.png,\n"
    (folder / "metadata.csv").write_text(f"file_name,text\n{rows}")
    assert _captions(folder, "a.png", "b.png", "c.png") == [("one", "two", "three"), ("x",), ("",)]
    assert captions_of(_concept(folder), folder / "c.png")[1]


def test_json_lines(folder: Path) -> None:
    rows = [
        {"file_name": "a.png", "text": "red\u2028robot"},
        {"image": "sub/b.png", "prompt": ["one", "two"], "more": {"x": 1}},
        {"file_name": "c.png", "text": None},
        {"file_name": "d.png", "text": "half \ud83e"},
    ]
    lines = [json.dumps(rows[0], ensure_ascii=False), *(json.dumps(row) for row in rows[1:])]
    data = "\ufeff" + "\r\n".join([*lines, "", "{broken", "[1]", '{"text": "no file"}'])
    (folder / "metadata.jsonl").write_text(data, encoding="utf-8", newline="")
    table = read_table(folder / "metadata.jsonl")
    assert [p.title.split(" of ")[0] for p in table.problems] == ["Line 6", "Line 7", "Line 8"]
    names = ("a.png", "sub/b.png", "c.png", "d.png")
    expected = [("red robot",), ("one", "two"), ("",), ("half \ufffd",)]
    assert _captions(folder, *names) == expected


@pytest.mark.parametrize(
    "name",
    [
        "../a.png",
        "sub/../../a.png",
        "/etc/a.png",
        "C:\\a.png",
        "C:a.png",
        "..\\a.png",
        "\\\\s\\a",
        "",
    ],
)
def test_files_outside_are_refused_by_name(folder: Path, name: str) -> None:
    stream = io.StringIO()
    csv.writer(stream).writerows([("file_name", "text"), (name, "x"), ("a.png", "good")])
    (folder / "metadata.csv").write_text(stream.getvalue())
    table = read_table(folder / "metadata.csv")
    assert table.names == ("a.png",)
    (problem,) = table.problems
    assert repr(name) in problem.title and "Line 2" in problem.title
    assert problem.file == str(folder / "metadata.csv")


def test_subfolders_with_either_separator(folder: Path) -> None:
    (folder / "metadata.csv").write_text("file_name,text\nsub/a.png,one\nsub\\b.png,two\n")
    assert _captions(folder, "sub/a.png", "sub/b.png") == [("one",), ("two",)]


def test_damaged_rows_cost_only_themselves(folder: Path) -> None:
    text = 'file_name,text\na.png,one\nb.png\n\nc.png,two\nd.png,"never closed\ne.png,three\n'
    (folder / "metadata.csv").write_text(text)
    table = read_table(folder / "metadata.csv")
    assert table.names == ("a.png", "c.png")
    assert [p.title.split(":")[0] for p in table.problems] == [
        *("Line 3 of metadata.csv is left out", "Line 6 of metadata.csv is left out")
    ]


def test_a_lone_quotation_mark_is_text(folder: Path) -> None:
    (folder / "metadata.csv").write_text('file_name,text\na.png,a 5" tall robot\nb.png,x\n')
    table = read_table(folder / "metadata.csv")
    assert table.problems == () and _captions(folder, "a.png") == [('a 5" tall robot',)]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("metadata.csv", b"", "columns file_name and text"),
        ("metadata.csv", b"a.png,red\n", "columns file_name and text"),
        ("metadata.csv", b"\x89PNG\r\n\x1a\n\0\0\0\r", "binary"),
        ("metadata.jsonl", b"not json\nat all\n", "JSON object"),
    ],
)
def test_what_is_no_table_gives_a_reason(folder: Path, name: str, data: bytes, reason: str) -> None:
    (folder / name).write_bytes(data)
    for _ in range(2):
        with pytest.raises(CaptionError, match=reason) as caught:
            captions_of(_concept(folder), folder / "a.png")
        assert name in str(caught.value)


def test_without_a_table(folder: Path) -> None:
    with pytest.raises(CaptionError, match=r"metadata\.csv"):
        captions_of(_concept(folder), folder / "a.png")
    with pytest.raises(CaptionError, match="gone"):
        captions_of(_concept(folder, table=str(folder / "gone.csv")), folder / "a.png")


def test_a_changed_table_is_read_anew(folder: Path) -> None:
    (folder / "metadata.csv").write_text("file_name,text\na.png,old\n")
    assert _captions(folder, "a.png") == [("old",)]
    (folder / "metadata.csv").write_text("file_name,text\na.png,newer\n")
    assert _captions(folder, "a.png") == [("newer",)]


def test_tables_in_train_and_elsewhere(folder: Path, tmp_path: Path) -> None:
    (folder / "train").mkdir()
    (folder / "train" / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "deep"}')
    assert _captions(folder, "train/a.png", "a.png") == [("deep",), ("",)]
    other = tmp_path / "mine.csv"
    other.write_text(f"file_name,text\n{folder.name}/a.png,chosen\n", encoding="utf-8")
    assert captions_of(_concept(folder, table=str(other)), folder / "a.png")[0] == ("chosen",)


def test_accents_that_a_mac_took_apart(folder: Path) -> None:
    apart = unicodedata.normalize("NFD", "café.png")
    (folder / "metadata.csv").write_text("file_name,text\ncafé.png,x\n", encoding="utf-8")
    assert _captions(folder, apart) == [("x",)]


def test_trigger_word_in_front(folder: Path) -> None:
    (folder / "metadata.csv").write_text("file_name,text\na.png,red\na.png,zxc blue\n")
    concept = _concept(folder, trigger="zxc")
    assert captions_of(concept, folder / "a.png") == (("zxc, red", "zxc blue"), False)


def test_listed_pictures_are_the_concepts(folder: Path, add_picture: AddPicture) -> None:
    for name in ("a.png", "sub/b.png", "sub/unlisted.png", "c.png"):
        add_picture(name)
    rows = "sub/b.png,x\na.png,y\ngone.png,z\n"
    (folder / "metadata.csv").write_text(f"file_name,text\n{rows}")
    scan = scan_concept(_concept(folder))
    assert [path.relative_to(folder).as_posix() for path in scan] == ["a.png", "c.png", "sub/b.png"]
    assert [(p.code, p.severity) for p in scan.problems] == [("metadata_file_missing", "warning")]
    assert "gone.png" in scan.problems[0].title
    everything = scan_concept(_concept(folder).model_copy(update={"include_subfolders": True}))
    assert len(everything) == 4 and len(set(everything)) == 4


def test_a_hundred_thousand_rows(folder: Path) -> None:
    rng = random.Random(3)
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(("file_name", "text"))
    words = ["red", "robot,", '"quoted"', "猫", "line\nbreak"]
    expected = {}
    for number in range(100_000):
        text = " ".join(rng.choices(words, k=6))
        expected[f"{number % 300}/{number}.png"] = (" ".join(text.split()),)
        writer.writerow((f"{number % 300}/{number}.png", text))
    (folder / "metadata.csv").write_text(stream.getvalue(), encoding="utf-8", newline="")
    table = read_table(folder / "metadata.csv")
    assert table.problems == () and dict(table.captions) == expected
    # One picture's captions cost a look-up, not another reading.
    concept = _concept(folder)
    os.utime(folder / "metadata.csv", ns=(1, 1))
    for number in range(0, 100_000, 1000):
        picture = folder / f"{number % 300}" / f"{number}.png"
        assert captions_of(concept, picture)[0] == expected[f"{number % 300}/{number}.png"]
