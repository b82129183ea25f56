"""The last edits come back, and a damaged file is put aside instead of lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.config.job import defaults, set_path
from core.config.presets import load_session, save_session
from core.paths import session_file


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_DATA_DIR", str(tmp_path / "data"))


def aside() -> list[Path]:
    return sorted(session_file().parent.glob("session.json.bad*"))


def test_there_may_be_none() -> None:
    assert load_session() is None


def test_edits_come_back() -> None:
    data = set_path(defaults(), "concepts.0.path", "Bilder 图")
    save_session(data, {"future": 1}, "# demo", {"geometry": [1, 2]})
    session = load_session()
    assert session is not None
    assert session.data == data
    assert session.unknown == {"future": 1}
    assert (session.preset, session.window) == ("# demo", {"geometry": [1, 2]})
    assert [p.setting for p in session.problems] == ["future"]


def test_the_windows_part_stays_when_edits_are_saved() -> None:
    save_session(defaults(), window={"size": 3})
    save_session(set_path(defaults(), "name", "x"))
    session = load_session()
    assert session is not None
    assert session.window == {"size": 3}
    assert session.data["name"] == "x"


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"settings": {"limner": 99}}', '"x"'])
def test_a_damaged_session_is_put_aside(content: str) -> None:
    for count in (1, 2):
        session_file().parent.mkdir(parents=True, exist_ok=True)
        session_file().write_text(content, encoding="utf-8")
        session = load_session()
        assert session is not None
        assert session.data == defaults()
        (problem,) = session.problems
        assert problem.code == "session_broken"
        assert aside()[-1].name in problem.title
        assert not session_file().exists()
        assert [p.read_text(encoding="utf-8") for p in aside()] == [content] * count


def test_a_save_does_not_overwrite_a_damaged_session() -> None:
    session_file().parent.mkdir(parents=True)
    session_file().write_text('{"settings": {"name": "precious"', encoding="utf-8")
    save_session(defaults())
    (kept,) = aside()
    assert "precious" in kept.read_text(encoding="utf-8")
    assert load_session() is not None


def test_single_wrong_values_cost_only_themselves_and_a_copy_is_kept() -> None:
    save_session(set_path(defaults(), "name", "mine"))
    stored = json.loads(session_file().read_text(encoding="utf-8"))
    stored["settings"]["lora"] = {"rank": -5}
    session_file().write_text(json.dumps(stored), encoding="utf-8")
    session = load_session()
    assert session is not None
    assert session.data["name"] == "mine"
    assert [p.setting for p in session.problems] == ["lora.rank"]
    assert json.loads(aside()[0].read_text(encoding="utf-8")) == stored
