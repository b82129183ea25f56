"""Which pictures are captioned, what their captions become, and writing them."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

import pytest
from PIL import Image

from core.captioning import batch
from core.captioning.batch import apply_changes
from core.captioning.files import beside, read_captions
from core.captioning.job import Progress, compose, plan_captions, run_captions
from core.captioning.options import ABOUT, CaptionOptions, kinds, make_options
from core.captioning.spool import Spool
from core.captioning.tags import Change
from core.culling import steps
from core.culling.history import History
from core.errors import UserError


def tagged(**more: object) -> CaptionOptions:
    return CaptionOptions(tagger="x", **more)  # type: ignore[arg-type]


def described(**more: object) -> CaptionOptions:
    return CaptionOptions(captioner="x", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "made", "options", "expected"),
    [
        (None, "a, b", tagged(), "a, b"),
        ("old", "a, b", tagged(mode="overwrite"), "a, b"),
        (None, "a, b", tagged(trigger="mika"), "mika, a, b"),
        (None, "a, mika", tagged(trigger="mika"), "mika, a"),
        (None, "", tagged(trigger="mika"), "mika"),
        ("old", "", tagged(mode="overwrite"), "old"),
        ("b, old", "a, b", tagged(mode="append"), "b, old, a"),
        ("B, old,\r\n", "a, b", tagged(mode="append"), "B, old, a\r\n"),
        ("x\ny, b\n", "a, b", tagged(mode="append"), "x, a, b\ny, b, a\n"),
        ("x", "a", tagged(mode="append", trigger="mika"), "mika, x, a"),
        ("It rains here.", "a, b", tagged(mode="append"), "It rains here.\na, b"),
        (
            "It rains here.\r\nNow.\r\n",
            "a",
            tagged(mode="append"),
            "It rains here.\r\nNow.\r\na\r\n",
        ),
        ("", "a, b", tagged(mode="append"), "a, b"),
        ("old", "", tagged(mode="append"), "old"),
        (None, "A cat sits.", described(), "A cat sits."),
        (None, "A cat sits.", described(trigger="mika"), "mika, A cat sits."),
        (None, "Mika sits.", described(trigger="mika"), "Mika sits."),
        ("old one", "A cat.", described(mode="append", trigger="m"), "old one\nm, A cat."),
        ("m", "A cat.", described(mode="append", trigger="m"), "m, A cat."),
        (
            "M,\r\nold one\r\n",
            "A cat.",
            described(mode="append", trigger="m"),
            "m, A cat.\r\nold one\r\n",
        ),
        ("Old\nm, A cat.", "A cat.", described(mode="append", trigger="m"), "Old\nm, A cat."),
    ],
)
def test_composing(before, made, options, expected):
    assert compose(before, made, options) == expected


def test_skipping_leaves_out_what_has_a_caption(pictures: list[Path]):
    pictures[2].with_suffix(".caption").write_text(" \n")
    pictures[3].with_suffix(".caption").write_text("words")
    plan = plan_captions(pictures, tagged())
    assert plan.pictures == [pictures[0], pictures[2]] and plan.skipped == 2
    assert plan.before == {pictures[0]: None, pictures[2]: " \n"}
    assert plan_captions(pictures, tagged(mode="append")).pictures == pictures


def test_a_caption_that_cannot_be_read_is_never_overwritten(pictures: list[Path]):
    pictures[0].with_suffix(".txt").write_bytes(b"\0binary")
    plan = plan_captions(pictures, tagged(mode="overwrite"))
    assert pictures[0] not in plan.pictures
    assert "is left as it is" in plan.problems[0].title


def test_pictures_that_share_a_caption_file_are_captioned_once(pictures: list[Path]):
    other = pictures[0].with_suffix(".webp")
    Image.new("RGB", (8, 8)).save(other)
    plan = plan_captions([*pictures, other], tagged())
    assert other not in plan.pictures and pictures[0] in plan.pictures
    assert "shares the caption file bild 0.txt with bild 0.png" in plan.problems[0].title


def test_changes_are_one_step_and_undo_gives_back_the_bytes(pictures: list[Path]):
    gb = "机器人, 雨".encode("gb18030")
    pictures[0].with_suffix(".txt").write_bytes(gb)
    utf16 = "\ufeffrobot, rain".encode("utf-16-le")
    pictures[2].with_suffix(".caption").write_bytes(utf16)
    history = History.open(pictures[0].parent)
    texts = read_captions(pictures).texts
    assert texts[pictures[0]] == "机器人, 雨" and texts[pictures[2]] == "robot, rain"
    changes = [
        Change(pictures[0], "机器人, 雨", "机器人, 雨"),
        Change(pictures[2], "robot, rain", "robot, snow"),
        Change(pictures[3], None, "new"),
    ]
    applied = apply_changes(changes, history, "Rain to snow")
    assert applied.pictures == (pictures[2], pictures[3]) and applied.problems == ()
    assert pictures[0].with_suffix(".txt").read_bytes() == gb
    assert pictures[2].with_suffix(".caption").read_bytes() == b"robot, snow"
    assert not pictures[2].with_suffix(".txt").exists()
    assert history.undo_label == "Rain to snow"
    history.undo()
    assert pictures[2].with_suffix(".caption").read_bytes() == utf16
    assert not pictures[3].with_suffix(".txt").exists()


def test_what_changed_since_the_preview_is_left_alone(pictures: list[Path], history):
    pictures[1].with_suffix(".txt").write_text("theirs")
    pictures[2].with_suffix(".txt").write_text("appeared")
    changes = [
        Change(pictures[1], "a robot", "mine"),
        Change(pictures[2], None, "mine"),
        Change(pictures[3], None, "mine"),
    ]
    applied = apply_changes(changes, history, "x")
    assert applied.pictures == (pictures[3],)
    assert [p.code for p in applied.problems] == ["caption_changed"] * 2
    assert history.calls == [({pictures[3].with_suffix(".txt"): "mine"}, "x")]


def test_two_captions_for_one_file_are_told(pictures: list[Path], history):
    other = pictures[0].with_suffix(".jpg")
    changes = [Change(pictures[0], None, "one"), Change(other, None, "two")]
    applied = apply_changes(changes, history, "x")
    assert applied.pictures == (pictures[0],)
    assert applied.problems[0].code == "caption_shared"


def test_nothing_to_change_is_no_step(pictures: list[Path], history):
    assert apply_changes([Change(pictures[0], None, "")], history, "x").pictures == ()
    assert history.calls == []


def test_captions_that_are_no_file_are_told(pictures: list[Path]):
    found = read_captions(pictures, lambda picture: None)
    assert found.texts == {} and len(found.problems) == 4


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_loses_nothing(pictures: list[Path]):
    folder = pictures[0].parent
    history = History.open(folder)
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        applied = apply_changes([Change(pictures[0], None, "x")], history, "x")
        assert applied.pictures == () and applied.problems
    finally:
        folder.chmod(stat.S_IRWXU)


def test_what_was_written_is_counted_also_where_much_failed(tmp_path: Path, monkeypatch):
    pictures = [tmp_path / f"{number:02}.png" for number in range(80)]
    for picture in pictures:
        picture.write_bytes(b"")
    real = steps.write_new

    def nearly_full(path: Path, data: bytes) -> None:
        if data == b"long":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, data)

    monkeypatch.setattr(steps, "write_new", nearly_full)
    changes = [Change(p, None, "x" if p is pictures[7] else "long") for p in pictures]
    applied = apply_changes(changes, History.open(tmp_path), "x")
    assert applied.pictures == (pictures[7],)


def test_a_caption_changed_at_the_last_moment_is_left(pictures: list[Path], monkeypatch):
    caption = pictures[0].with_suffix(".txt")
    caption.write_text("looked at")
    real = batch.checked

    def interfere(*arguments: object) -> object:
        found = real(*arguments)  # type: ignore[arg-type]
        caption.write_text("another program's")
        return found

    monkeypatch.setattr(batch, "checked", interfere)
    change = Change(pictures[0], "looked at", "made")
    applied = apply_changes([change], History.open(pictures[0].parent), "x")
    assert applied.pictures == () and "another program" in applied.problems[0].title
    assert caption.read_text() == "another program's"


def test_the_caption_file_is_the_one_that_is_there(pictures: list[Path]):
    assert beside(pictures[0]) == pictures[0].with_suffix(".txt")
    pictures[0].with_suffix(".caption").write_text("x")
    assert beside(pictures[0]) == pictures[0].with_suffix(".caption")


def test_options_are_checked_all_at_once():
    with pytest.raises(UserError) as error:
        make_options({"tagger": "x", "captioner": "y", "general": 1.5, "batch": 2.5, "mode": "no"})
    found = {problem.setting for problem in error.value.problems}
    assert found == {"general", "batch", "mode", "tagger"}
    with pytest.raises(UserError, match="a tagger or a captioner"):
        make_options({})


def test_options_take_texts_and_lists():
    options = make_options({"tagger": "x", "exclude": "a, b ,", "general": 1, "later": True})
    assert options.exclude == ("a", "b") and options.general == 1.0
    assert make_options({"tagger": "x", "exclude": ["a,b", "c"]}).exclude == ("a", "b", "c")


def test_every_option_has_words():
    assert set(kinds()) == set(ABOUT)
    assert all(about.title and about.help.endswith((".", "cache.")) for about in ABOUT.values())


def test_what_an_interrupted_run_made_is_taken_over(pictures: list[Path], tmp_path: Path):
    folder = pictures[0].parent
    options = tagged(trigger="mika", mode="append")
    spool = Spool(folder, options)
    spool.add(pictures[0], "rain, night")
    spool.add(pictures[1], "snow")
    spool.add(pictures[2], "old")
    with open(spool.file, "ab") as file:
        file.write(b'["half a li')
    pictures[2].write_bytes(pictures[3].read_bytes())
    told: list[object] = []
    plan = plan_captions(pictures, options)
    again = Spool(folder, tagged(mode="append", trigger="mika", device="cpu"))
    command = [sys.executable, str(Path(__file__).with_name("models.py")), "plain"]
    ended = run_captions(plan, options, told.append, command=command, spool=again)
    changes = {c.picture: c.after for c in told if isinstance(c, Change)}
    assert ended.status == "finished"
    assert changes == {
        pictures[0]: "mika, rain, night",
        pictures[1]: "mika, a robot, rain, snow\r\nA robot stands.\r\n",
        pictures[2]: "mika, picture 3",
        pictures[3]: "mika, picture 3",
    }
    progress = [p for p in told if isinstance(p, Progress)]
    assert progress[-1].done == progress[-1].total == 4
    assert again.read(pictures).keys() == set(pictures)
    assert Spool(folder, tagged(general=0.5)).read(pictures) == {}
    other = spool.file.with_name("left behind.jsonl")
    other.write_text("")
    os.utime(other, (0, 0))
    again.clear()
    assert spool.read(pictures) == {} and not other.exists()


def test_a_spool_without_a_place_costs_nothing(pictures: list[Path], monkeypatch, tmp_path: Path):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("LIMNER_DATA_DIR", str(tmp_path / "file"))
    spool = Spool(pictures[0].parent, tagged())
    spool.add(pictures[0], "x")
    assert spool.read(pictures) == {}
    spool.clear()
