"""`limner cull`, and the process that measures beside the window."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app import __main__ as program
from app.viewer.helper import Helper, HelperFailed
from core.cli import cull, main
from core.cli.cull import Wish
from core.data import helper


@pytest.fixture
def wishes(monkeypatch: pytest.MonkeyPatch) -> list[Wish]:
    """What the command wants to be shown, instead of a window."""
    found: list[Wish] = []

    def show(wish: Wish) -> int:
        found.append(wish)
        return 0

    monkeypatch.setattr(program, "show_viewer", show)
    monkeypatch.setattr(cull, "opener", None)
    return found


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["limner", *arguments])
    return program.main()


def test_help_names_it(capsys: Any):
    assert main(["--help"]) == 0
    assert "cull" in capsys.readouterr().out


def test_a_folder_and_a_picture(wishes: list[Wish], tmp_path: Path, monkeypatch: Any):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert run(monkeypatch, "cull", str(tmp_path), "--subfolders", "--resolution", "1024") == 0
    assert run(monkeypatch, "cull", str(tmp_path / "a.png"), "--windowed") == 0
    assert wishes == [
        Wish(tmp_path, None, True, 1024, 8, "", False),
        Wish(tmp_path, tmp_path / "a.png", False, 512, 8, "", True),
    ]


def test_what_is_no_folder_is_told(wishes: list[Wish], tmp_path: Path, monkeypatch: Any, capsys):
    (tmp_path / "text.txt").touch()
    assert run(monkeypatch, "cull", str(tmp_path / "gone")) == 2
    assert "does not exist" in capsys.readouterr().err
    assert run(monkeypatch, "cull", str(tmp_path / "text.txt")) == 2
    assert "neither a folder nor a picture" in capsys.readouterr().err
    assert wishes == []


def test_without_the_window_the_command_says_so(tmp_path: Path, monkeypatch: Any, capsys: Any):
    monkeypatch.setattr(cull, "opener", None)
    assert main(["cull", str(tmp_path)]) == 2
    assert "limner cull" in capsys.readouterr().err


def test_without_a_display_no_window_is_tried(monkeypatch: Any, capsys: Any, tmp_path: Path):
    monkeypatch.setattr(program, "has_display", lambda *_: False)
    monkeypatch.setattr(cull, "opener", None)
    assert run(monkeypatch, "cull", str(tmp_path)) == 2
    assert "no display" in capsys.readouterr().err


def answers(*requests: dict[str, Any]) -> list[dict[str, Any]]:
    target = io.StringIO()
    helper.main(io.StringIO("".join(json.dumps(r) + "\n" for r in requests)), target)
    return [json.loads(line) for line in target.getvalue().splitlines()]


def test_the_helper_answers_each_request_with_its_number(tmp_path: Path):
    Image.effect_noise((90, 60), 60).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no")
    found = answers(
        {"id": 1, "do": "tokens", "texts": ["a robot", ""]},
        {"id": 2, "do": "measure", "path": str(tmp_path / "a.png")},
        {"id": 3, "do": "measure", "path": str(tmp_path / "b.png")},
        {"id": 4, "do": "nonsense"},
    )
    assert [reply["id"] for reply in found] == [1, 2, 3, 4]
    assert found[0]["counts"] == [2, 0]
    assert found[1]["sharpness"] > 100
    assert 0 < found[1]["brightness"] < 1
    assert 0 < found[1]["black"] < 1 and 0 < found[1]["white"] < 1
    assert "not a picture" in found[2]["problem"]
    assert "nonsense" in found[3]["problem"]


def test_a_survey_leaves_unreadable_pictures_out(tmp_path: Path):
    image = Image.effect_noise((90, 60), 60)
    image.save(tmp_path / "a.png")
    image.resize((180, 120)).save(tmp_path / "b.png")
    (tmp_path / "c.png").write_text("no")
    paths = [str(tmp_path / f"{name}.png") for name in "abc"]
    *progress, last = answers({"id": 7, "do": "survey", "paths": paths, "groups": True})
    assert progress[-1]["progress"] == [3, 3]
    assert sorted(last["sharpness"]) == paths[:2]
    assert last["groups"] == [[paths[1], paths[0]]]
    assert last["pixels"][paths[1]] == [180, 120]


def test_a_helper_that_died_is_started_again_and_one_that_is_closed_is_not():
    beside = Helper()
    ask = {"do": "tokens", "texts": ["one two three"]}
    assert beside.ask(ask)["counts"] == [3]
    assert beside._process is not None
    beside._process.kill()
    beside._process.wait()
    assert beside.ask(ask)["counts"] == [3]
    beside.close()
    with pytest.raises(HelperFailed):
        beside.ask(ask)
