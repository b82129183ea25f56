"""`limner caption`, `limner tags` and `limner replace`."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.captioning import client
from core.cli import main
from core.culling import faults, steps
from core.culling.history import History
from core.worker.lineprocess import worker_environment
from tests.culling.helpers import killed_at

SURE = "hatsune miku, 1girl, long hair"
SCRIPT = Path(__file__).with_name("cli_scripted.py")


@pytest.fixture
def limner(capfd: Any) -> Any:
    """Run a command; gives exit code, what it printed and what it printed to stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        from core.cli import text

        text.output.cache_clear()
        text.messages.cache_clear()
        code = main([str(argument) for argument in arguments])
        return (code, *capfd.readouterr())

    return run


def captions(pictures: list[Path]) -> list[str | None]:
    files = [picture.with_suffix(".txt") for picture in pictures]
    return [file.read_bytes().decode() if file.exists() else None for file in files]


OLD = "a robot, rain\r\nA robot stands.\r\n"


def test_a_folder_is_captioned_as_one_step(limner, sure_tagger: Path, pictures: list[Path]):
    folder = pictures[0].parent
    code, out, err = limner("caption", folder, "--tagger", sure_tagger, "--trigger", "mika")
    assert (code, err) == (0, "")
    assert "4 pictures, 3 to caption, 1 have a caption and are left out" in out
    assert "Wrote the captions of 3 pictures." in out
    assert captions(pictures) == [f"mika, {SURE}", OLD, f"mika, {SURE}", f"mika, {SURE}"]
    history = History.open(folder)
    assert history.undo_label.startswith("Captions by ")
    history.undo()
    assert captions(pictures) == [None, OLD, None, None]
    assert not history.can_undo


def test_options_reach_the_tagger(limner, sure_tagger: Path, pictures: list[Path]):
    code, _, _ = limner(
        *("caption", pictures[0].parent, "--tagger", sure_tagger, "--mode", "append"),
        *("--exclude", "1girl", "--exclude", "x", "--underscores", "--ratings", "--general", "0.9"),
        *("--no-characters-first", "--character", "0.9"),
    )
    assert code == 0
    assert captions(pictures) == [
        "hatsune_miku, long_hair, general",
        "a robot, rain, hatsune_miku, long_hair, general\r\nA robot stands.\r\n",
        *["hatsune_miku, long_hair, general"] * 2,
    ]


def test_a_dry_run_writes_nothing(limner, sure_tagger: Path, pictures: list[Path]):
    folder = pictures[0].parent
    before = sorted(folder.iterdir())
    code, out, _ = limner("caption", folder, "--tagger", sure_tagger, "--dry-run")
    assert code == 0 and f"bild 0.png: {SURE}" in out
    assert "3 pictures would get a caption; nothing was written." in out
    assert sorted(folder.iterdir()) == before


def test_json_lines(limner, sure_tagger: Path, pictures: list[Path]):
    _, out, _ = limner("caption", pictures[0].parent, "--tagger", sure_tagger, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert rows[0] == {"picture": str(pictures[0]), "before": None, "after": SURE}
    assert len(rows) == 3


def test_subfolders_are_captioned_when_asked(limner, sure_tagger: Path, pictures: list[Path]):
    below = pictures[0].parent / "below"
    below.mkdir()
    moved = pictures[3].rename(below / "x.png")
    limner("caption", pictures[0].parent, "--tagger", sure_tagger)
    assert not moved.with_suffix(".txt").exists()
    code, _, _ = limner("caption", pictures[0].parent, "--tagger", sure_tagger, "--subfolders")
    assert code == 0 and moved.with_suffix(".txt").read_text() == SURE


def test_a_bad_picture_costs_itself_only(limner, sure_tagger: Path, pictures: list[Path]):
    pictures[2].write_bytes(b"")
    code, _, err = limner("caption", pictures[0].parent, "--tagger", sure_tagger)
    assert code == 0 and "bild 2.png was not captioned: The file is empty." in err
    assert captions(pictures) == [SURE, OLD, None, SURE]


def test_captions_that_cannot_be_written_are_kept_for_the_next_time(
    limner, sure_tagger: Path, pictures: list[Path], monkeypatch
):
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    command = ("caption", pictures[0].parent, "--tagger", sure_tagger)
    with monkeypatch.context() as context:
        context.setattr(steps, "write_new", full)
        code, out, err = limner(*command)
        assert code == 1 and "bild 0.txt was left alone: the disk is full" in err
        assert "Wrote the captions of 0 pictures." in out and "Undo" not in out
        assert "the same command writes it" in err
        assert limner("replace", pictures[0].parent, "rain", "snow")[0] == 1
    monkeypatch.setattr(client, "usual_command", lambda: ["no such program"])
    code, out, _ = limner(*command)
    assert code == 0 and "Wrote the captions of 3 pictures." in out
    assert captions(pictures) == [SURE, OLD, SURE, SURE]


def test_a_folder_that_may_not_be_written_is_told_before_the_model_works(
    limner, sure_tagger: Path, pictures: list[Path], monkeypatch
):
    folder = pictures[0].parent
    monkeypatch.setattr("core.cli.captions.can_write", lambda asked: asked != folder)
    code, out, err = limner("caption", folder, "--tagger", sure_tagger)
    assert code == 2 and out == "" and "may not be written" in err
    code, out, _ = limner("caption", folder, "--tagger", sure_tagger, "--dry-run")
    assert code == 0 and f"bild 0.png: {SURE}" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Choose a tagger or a captioner"),
        (["--tagger", "x", "--captioner", "y"], "one of the two"),
        (["--tagger", "nowhere"], "does not exist; choose its folder again"),
        (["--captioner", "."], "holds no config.json"),
        (["--tagger", "x", "--exclude", "a", "--mode", "guess"], "--mode"),
    ],
)
def test_bad_options_are_2(limner, pictures: list[Path], arguments, told):
    code, _, err = limner("caption", pictures[0].parent, *arguments)
    assert code == 2 and told in err
    assert captions(pictures) == [None, OLD, None, None]


def test_folders_without_pictures_are_2(limner, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    code, _, err = limner("caption", tmp_path / "empty", "--tagger", "x")
    assert code == 2 and "holds no pictures" in err
    code, _, err = limner("tags", tmp_path / "gone")
    assert code == 2 and "does not exist" in err


def scripted(model: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), model, "caption", str(folder), "--tagger", "x"]
    return subprocess.Popen(
        [*command, "--mode", "overwrite", "--dry-run" if model == "hang" else "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=worker_environment(),
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_control_c_keeps_what_is_captioned(pictures: list[Path]):
    process = scripted("slow", pictures[0].parent)
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopping; what is captioned is kept." in err and "Traceback" not in err
    count = 1 + len(out.splitlines())
    assert first["after"] == "picture 0" and 1 <= count < 4
    assert [text for text in captions(pictures) if text and text.startswith("picture")] == [
        f"picture {number}" for number in range(count)
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_what_a_killed_command_made_is_not_made_again(pictures: list[Path]):
    process = scripted("slow", pictures[0].parent)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["after"] == "picture 0"
    process.kill()
    process.communicate(timeout=60)
    assert captions(pictures) == [None, OLD, None, None]
    # "killed" dies with its second picture, so it has made only one more.
    again = scripted("killed", pictures[0].parent)
    out, _ = again.communicate(timeout=60)
    made = [json.loads(line)["after"] for line in out.splitlines()]
    assert made[0] == "picture 0" and len(made) == len(set(made)) >= 2
    assert captions(pictures)[: len(made)] == made


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_worker_that_dies_is_1_and_its_captions_are_kept(pictures: list[Path]):
    process = scripted("killed", pictures[0].parent)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "The captioning process was killed" in err
    assert captions(pictures)[0] == "picture 0"


def test_tags_are_counted(limner, pictures: list[Path]):
    pictures[0].with_suffix(".txt").write_text("rain, solo")
    code, out, _ = limner("tags", pictures[0].parent)
    assert code == 0
    assert out.splitlines()[:3] == ["2 rain", "1 a robot", "1 solo"]
    assert "in 2 captions of 4 pictures." in out
    _, out, _ = limner("tags", pictures[0].parent, "--json", "--most", 1)
    assert json.loads(out) == {"rain": 2}


def test_replacing(limner, pictures: list[Path]):
    folder = pictures[0].parent
    code, out, _ = limner("replace", folder, r"ro(bo)t", r"\1", "--regex", "--dry-run")
    assert code == 0 and "- a robot, rain" in out and "+ a bo, rain" in out
    assert captions(pictures)[1] == OLD
    code, out, _ = limner("replace", folder, "rain", "snow", "--tags", "--whole")
    assert code == 0 and "Wrote the captions of 1 picture." in out
    assert captions(pictures)[1] == OLD.replace("rain", "snow")
    History.open(folder).undo()
    assert captions(pictures)[1] == OLD


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_killed_command_is_finished_before_captions_are_read(limner, pictures: list[Path]):
    folder = pictures[0].parent
    for picture in pictures:
        picture.with_suffix(".txt").write_text("rain, rain")
    # Killed in the middle of the second caption.
    assert killed_at(6, lambda: main(["replace", str(folder), "rain", "snow"]))
    assert captions(pictures)[0] == "snow, snow" and captions(pictures)[3] == "rain, rain"
    code, out, err = limner("replace", folder, "snow", "hail")
    assert (code, err) == (0, "Finished what was interrupted: Replace rain.\n")
    assert "Wrote the captions of 4 pictures." in out
    assert captions(pictures) == ["hail, hail"] * 4
    limner("undo", folder)
    limner("undo", folder)
    assert captions(pictures) == ["rain, rain"] * 4


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_control_c_while_captions_are_written_leaves_the_rest(
    limner, pictures: list[Path], monkeypatch
):
    for picture in pictures:
        picture.with_suffix(".txt").write_text("rain")
    once = iter([signal.SIGINT])

    def interrupt(name: str) -> None:
        if name == "text-written":
            for number in once:
                os.kill(os.getpid(), number)

    monkeypatch.setattr(faults, "hook", interrupt)
    code, out, err = limner("replace", pictures[0].parent, "rain", "snow")
    assert code == 130 and "Wrote the captions of 1 picture." in out
    assert "Stopped after 1 of 4; the rest is as it was." in err
    # Nothing goes on when the folder is opened again.
    assert History.open(pictures[0].parent).recovered is None
    assert captions(pictures) == ["snow", "rain", "rain", "rain"]


def test_undo_takes_steps_back_one_by_one(limner, pictures: list[Path]):
    folder = pictures[0].parent
    limner("replace", folder, "rain", "snow")
    limner("replace", folder, "snow", "hail")
    code, out, _ = limner("undo", folder)
    assert code == 0 and "Undone: Replace snow (1 picture)." in out
    assert captions(pictures)[1] == OLD.replace("rain", "snow")
    limner("undo", folder)
    assert captions(pictures)[1] == OLD
    code, out, _ = limner("undo", folder)
    assert code == 0 and "nothing to undo" in out
    assert limner("undo", folder / "gone")[0] == 2


def test_a_bad_pattern_is_2(limner, pictures: list[Path]):
    code, _, err = limner("replace", pictures[0].parent, "(", "x", "--regex")
    assert code == 2 and "The pattern ( is not valid" in err
