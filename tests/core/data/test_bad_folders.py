"""Folders as people really have them: each trouble costs what it must, and nothing is changed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from core import files
from core.config.concepts import Concept
from core.config.job import Job, validate
from core.data import scan as scan_module
from core.data.batches import epoch_batches
from core.data.plan import make_plan
from core.data.tokens import count_tokens
from core.data.types import Plan
from core.worker import protocol

AddPicture = Callable[..., Path]
MakeJob = Callable[..., Job]


def _tree(folder: Path) -> str:
    """A hash of everything below a folder: names, kinds, contents, links, permissions, times."""
    digest = hashlib.sha256()
    for root, folders, names in os.walk(os.fsencode(folder)):
        folders.sort()
        for name in sorted([*folders, *names]):
            path = os.path.join(root, name)
            status = os.lstat(path)
            digest.update(repr((path, status.st_mode, status.st_mtime_ns)).encode())
            if os.path.islink(path):
                digest.update(os.readlink(path))
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    digest.update(file.read())
    return digest.hexdigest()


@pytest.fixture
def unchanged(folder: Path) -> Iterator[Callable[[], None]]:
    """Call it when the folder is made up; at the end the folder must be as it was then."""
    before: list[str] = []
    yield lambda: before.append(_tree(folder))
    assert before, "the test forgot to say when its folder is ready"
    assert _tree(folder) == before[0]


def _codes(plan: Plan) -> list[str]:
    return [problem.code for problem in plan.problems]


def _names(plan: Plan) -> list[str]:
    return [item.path.name for item in plan.items]


def test_everything_bad_at_once(
    folder: Path, add_picture: AddPicture, make_job: MakeJob, unchanged: Callable[[], None]
) -> None:
    good = add_picture("good.png", 80, 60, caption="fine")
    data = good.read_bytes()
    (folder / "empty.png").write_bytes(b"")
    (folder / "page.jpg").write_text("<!DOCTYPE html><html></html>")
    (folder / "cut.png").write_bytes(data[:20])
    (folder / "text.webp").write_text("just text")
    (folder / "folder.png").mkdir()
    (folder / "broken link.png").symlink_to("nowhere.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "up").symlink_to(folder, target_is_directory=True)
    for name, caption in {
        "binary": b"\x89PNG\0\1\2",
        "damaged": b"\xff\xfea\0\xd8",
        "empty caption": b"\xef\xbb\xbf \r\n",
        "huge caption": b"x" * (17 * 2**20),
        "chinese": "红色的机器人".encode("gb18030"),
    }.items():
        shutil.copy(good, folder / f"{name}.png")
        (folder / f"{name}.txt").write_bytes(caption)
    shutil.copy(good, folder / "folder caption.png")
    (folder / "folder caption.txt").mkdir()
    job = make_job()
    job.concepts[0].include_subfolders = True
    job.concepts[0].caption.choices = True
    job.concepts[0].mask.source = "file"
    unchanged()
    plan = make_plan(job, bucket_step=8)
    captions = {item.path.stem: item.captions for item in plan.items}
    assert captions == {
        "good": ("fine",),
        "chinese": ("红色的机器人",),
        **dict.fromkeys(
            ("binary", "damaged", "empty caption", "huge caption", "folder caption"), ("",)
        ),
    }
    unreadable = {Path(p.file).name for p in plan.problems if p.code == "picture_unreadable"}
    assert unreadable == {
        *("empty.png", "page.jpg", "cut.png", "text.webp", "broken link.png", "loop.png")
    }
    named = {Path(p.file).name for p in plan.problems if p.code == "caption_unreadable"}
    assert named == {"binary.png", "damaged.png", "huge caption.png", "folder caption.png"}
    assert all(p.severity == "warning" and p.title and p.setting for p in plan.problems)


def test_a_folder_that_vanishes_before_its_pictures_are_read(
    folder: Path, add_picture: AddPicture, make_job: MakeJob
) -> None:
    for number in range(3):
        add_picture(f"{number}.png", caption="x")

    def vanish(done: int, total: int) -> None:
        shutil.rmtree(folder, ignore_errors=True)

    plan = make_plan(make_job(), bucket_step=8, progress=vanish)
    assert _codes(plan) == ["no_pictures", *["picture_unreadable"] * 3]
    assert "not there any more" in plan.problems[1].detail


def test_a_folder_that_vanishes_while_it_is_searched(
    folder: Path,
    add_picture: AddPicture,
    make_job: MakeJob,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_picture("a.png", caption="x")
    add_picture("gone/b.png", caption="x")
    real = os.scandir

    def scandir(path: str) -> object:
        if os.path.basename(path) == "gone":
            monkeypatch.undo()
            shutil.rmtree(path)
        return real(path)

    monkeypatch.setattr(scan_module.os, "scandir", scandir)
    job = make_job()
    job.concepts[0].include_subfolders = True
    plan = make_plan(job, bucket_step=8)
    assert _names(plan) == ["a.png"]
    assert _codes(plan) == ["folder_missing"] and "gone" in plan.problems[0].title


def test_files_that_come_and_go_while_the_plan_is_made(
    folder: Path, add_picture: AddPicture, make_job: MakeJob
) -> None:
    for number in range(70):
        add_picture(f"{number:02}.png", caption="x")

    def change(done: int, total: int) -> None:
        if done == 64:
            add_picture("new.png", caption="x")
            (folder / "65.png").unlink()
            (folder / "66.txt").unlink()
            (folder / "67.png").write_bytes(b"")

    plan = make_plan(make_job(), bucket_step=8, progress=change)
    assert len(plan.items) == 68 and "new.png" not in _names(plan)
    assert _codes(plan) == [
        *["picture_unreadable"] * 2,
        *("captions_missing", "captions_without_picture"),
    ]
    [missing] = [p for p in plan.problems if p.code == "captions_missing"]
    assert "1 of 68" in missing.title


def test_without_permission(
    folder: Path, add_picture: AddPicture, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_picture("a.png", caption="x")
    add_picture("b.png", caption="x")
    add_picture("closed/c.png", caption="x")
    before = _tree(folder)
    real_open, real_scan = os.open, os.scandir

    def refuse(path: object, *args: object, **options: object) -> int:
        if str(path).endswith("b.txt"):
            raise PermissionError(13, "Permission denied")
        return real_open(path, *args, **options)  # type: ignore[arg-type]

    def closed(path: str) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return real_scan(path)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "scandir", closed)
    job = make_job()
    job.concepts[0].include_subfolders = True
    plan = make_plan(job, bucket_step=8)
    monkeypatch.undo()
    assert _names(plan) == ["a.png", "b.png"]
    assert _codes(plan) == ["folder_unreadable", "caption_unreadable", "captions_missing"]
    assert "Permission denied" in plan.problems[1].detail
    assert _tree(folder) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_really_without_permission(
    folder: Path, add_picture: AddPicture, make_job: MakeJob
) -> None:
    add_picture("a.png", caption="x").chmod(0)
    add_picture("b.png", caption="x").with_suffix(".txt").chmod(0)
    plan = make_plan(make_job(), bucket_step=8)
    assert _names(plan) == ["b.png"]
    assert _codes(plan) == ["picture_unreadable", "caption_unreadable", "captions_missing"]


def test_very_long_paths(folder: Path, add_picture: AddPicture, make_job: MakeJob) -> None:
    deep = folder
    for _ in range(20):
        deep = deep / ("猫" * 40)
    deep.mkdir(parents=True)
    assert len(os.fsencode(deep)) > 2000
    good = add_picture("a.png", caption="x")
    shutil.copy(good, deep / "b.png")
    (deep / "b.txt").write_text("deep")
    job = make_job()
    job.concepts[0].include_subfolders = True
    plan = make_plan(job, bucket_step=8)
    assert [item.captions for item in plan.items] == [("x",), ("deep",)]
    assert plan.problems == ()


def _bytes_named(folder: Path, name: bytes) -> Path:
    path = os.path.join(os.fsencode(folder), name)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            Image.new("RGB", (64, 64)).save(file, "PNG")
    except (OSError, UnicodeError):
        pytest.skip("this file system takes no such names")
    return Path(os.fsdecode(path))


def test_names_that_are_no_utf8(
    folder: Path, make_job: MakeJob, unchanged: Callable[[], None], tmp_path: Path
) -> None:
    good = _bytes_named(folder, b"caf\xe9_red.png")
    bad = _bytes_named(folder, b"sub\xff/broken\xe9.png")
    bad.write_bytes(b"nothing")
    unchanged()
    job = make_job()
    job.concepts[0].include_subfolders = True
    job.concepts[0].prompt.source = "filename"
    plan = make_plan(job, bucket_step=8)
    (item,) = plan.items
    assert item.path == good and item.captions == ("caf\ufffd red",)
    assert count_tokens(item.captions)[0] > 0
    for caption in (draw.caption for step in epoch_batches(plan, job, 0) for draw in step[0].draws):
        caption.encode("utf-8")
    (problem,) = plan.problems
    # An event goes through its line and back, and a file of settings through the disk.
    event = protocol.Warning(**problem.as_dict())  # type: ignore[arg-type]
    line = protocol.encode(event).encode("utf-8")
    back = protocol.decode_event(line)
    assert isinstance(back, protocol.Warning) and os.fsencode(back.file) == os.fsencode(bad)
    assert protocol.encode(back).encode("utf-8") == line
    job.concepts[0].path = str(bad.parent)
    files.write_json(tmp_path / "job.json", job.model_dump())
    stored = json.loads((tmp_path / "job.json").read_text(encoding="utf-8"))
    assert Job.model_validate(stored) == job
    assert _codes(make_plan(Job.model_validate(stored), bucket_step=8))[0] == "no_pictures"


@pytest.mark.parametrize("field", ["path", "prompt.file", "prompt.table", "caption.wildcards"])
def test_nul_in_a_path_is_a_problem(
    folder: Path, add_picture: AddPicture, make_job: MakeJob, field: str
) -> None:
    add_picture("a.png", caption="__x__")
    job = make_job()
    job.model.base = "x"
    concept = job.concepts[0]
    concept.caption.choices = True
    source = {"prompt.file": "single_file", "prompt.table": "metadata"}.get(field)
    if source is not None:
        concept.prompt.source = source  # type: ignore[assignment]
    group, _, name = field.rpartition(".")
    setattr(getattr(concept, group) if group else concept, name, f"{folder}/a\0b")
    checked, problems = validate(job.model_dump())
    assert checked is None
    (problem,) = [p for p in problems if p.severity == "error"]
    assert problem.code == "path_has_nul" and problem.setting == f"concepts.0.{field}"
    # Even unchecked it ends in a sentence.
    plan = make_plan(job, bucket_step=8)
    assert plan.problems and all(p.title.endswith(".") for p in plan.problems)


def test_many_names_are_sorted_and_a_stop_is_heard(folder: Path) -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return False

    for number in range(3000):
        (folder / f"{number}.png").touch()
    found = scan_module.scan_concept(Concept(path=str(folder)), stop)
    assert [path.name for path in found] == [f"{number}.png" for number in range(3000)]
    assert asked >= 3000 // 256
