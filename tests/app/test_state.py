"""Editing settings: undo, dirty, presets, lists, problems."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.state import SettingsState, new_item, same
from core.config.job import defaults, set_path


def preset(**values: Any) -> dict[str, Any]:
    """Full data with some paths (`training__epochs`) changed."""
    data = defaults()
    for path, value in values.items():
        data = set_path(data, path.replace("__", "."), value)
    return data


def test_a_change_is_told_with_its_path_and_only_once(state: SettingsState) -> None:
    told: list[str] = []
    state.changed.connect(told.append)
    state.set("training.epochs", 7)
    state.set("training.epochs", 7)
    assert state.get("training.epochs") == 7
    assert told == ["training.epochs"]


def test_quick_edits_of_one_field_are_one_step(state: SettingsState) -> None:
    for text in ("a", "ab", "abc"):
        state.set("name", text)
        state.clock[0] += 0.2  # type: ignore[attr-defined]
    state.clock[0] += 5  # type: ignore[attr-defined]
    state.set("name", "abcd")
    state.undo()
    assert state.get("name") == "abc"
    state.undo()
    assert state.get("name") == ""
    assert not state.can_undo
    state.redo()
    state.redo()
    assert state.get("name") == "abcd"
    assert not state.can_redo


def test_an_edit_after_undo_does_not_merge_into_the_past(state: SettingsState) -> None:
    state.set("name", "a")
    state.clock[0] += 5  # type: ignore[attr-defined]
    state.set("name", "ab")
    state.undo()
    state.set("name", "ax")
    state.undo()
    assert state.get("name") == "a"


def test_what_follows_from_an_edit_is_undone_with_it(state: SettingsState) -> None:
    state.set("training.optimizer", "prodigy")
    state.amend({"training.learning_rate": 1.0})
    state.undo()
    assert state.get("training.optimizer") == "adamw"
    assert state.get("training.learning_rate") == 1e-4
    state.redo()
    assert state.get("training.learning_rate") == 1.0


def test_lists_can_be_edited_and_undone(state: SettingsState) -> None:
    for name in ("one", "two", "three"):
        state.add("concepts", {**new_item("concepts"), "name": name})

    def names() -> list[str]:
        return [concept["name"] for concept in state.get("concepts")]

    state.move("concepts", 0, 2)
    assert names() == ["two", "three", "one"]
    assert state.duplicate("concepts", 1) == 2
    assert names() == ["two", "three", "three", "one"]
    state.set("concepts.2.name", "copy")
    assert names() == ["two", "three", "copy", "one"]
    state.remove("concepts", 0)
    assert names() == ["three", "copy", "one"]
    for _ in range(4):
        state.undo()
    assert names() == ["one", "two", "three"]


def test_dirty_is_measured_against_the_preset(state: SettingsState) -> None:
    told: list[bool] = []
    state.load_preset("mine", preset(training__epochs=9))
    state.dirtyChanged.connect(told.append)
    state.set("training.epochs", 10)
    state.set("training.epochs", 9)
    assert told == [True, False]
    assert not state.dirty


def test_a_preset_without_pictures_leaves_mine_alone(state: SettingsState) -> None:
    state.load_preset("# plain", preset(training__epochs=9), builtin=True)
    state.add("concepts", {**new_item("concepts"), "path": "/pictures"})
    state.set("model.base", "/models/mine.safetensors")
    assert not state.dirty
    state.load_preset("# other", preset(training__epochs=3), builtin=True)
    assert state.get("concepts.0.path") == "/pictures"
    assert state.get("model.base") == "/models/mine.safetensors"
    assert state.get("training.epochs") == 3


def test_what_came_with_a_preset_leaves_with_it(state: SettingsState) -> None:
    demo = preset(model__base="/resources/demo", name="demo")
    demo["concepts"] = [{**new_item("concepts"), "path": "/resources/pictures"}]
    state.load_preset("# demo", demo, builtin=True)
    state.load_preset("# plain", preset(training__epochs=9), builtin=True)
    assert state.get("concepts") == []
    assert state.get("model.base") == ""
    assert state.get("name") == ""


def test_the_base_model_that_a_builtin_suggests_gives_way_to_mine(state: SettingsState) -> None:
    suggestion = preset(model__base="owner/model")
    state.load_preset("# a", suggestion, builtin=True)
    assert state.get("model.base") == "owner/model"
    state.set("model.base", "/models/mine.safetensors")
    assert not state.dirty
    state.load_preset("# b", suggestion, builtin=True)
    assert state.get("model.base") == "/models/mine.safetensors"
    state.load_preset("own", suggestion)
    assert state.get("model.base") == "owner/model"


def test_choosing_a_preset_can_be_undone(state: SettingsState) -> None:
    state.set("training.epochs", 44)
    state.load_preset("mine", preset(training__epochs=9))
    state.set("training.epochs", 10)
    state.undo()
    assert (state.get("training.epochs"), state.preset) == (9, "mine")
    state.undo()
    assert (state.get("training.epochs"), state.preset) == (44, "")
    state.redo()
    assert (state.get("training.epochs"), state.preset, state.dirty) == (9, "mine", False)


def test_saving_makes_it_clean_and_undo_dirty_again(state: SettingsState) -> None:
    state.load_preset("mine", preset(training__epochs=9))
    state.set("training.epochs", 10)
    state.saved_as("mine")
    assert not state.dirty
    state.undo()
    assert state.get("training.epochs") == 9
    assert state.dirty


def test_a_field_goes_back_to_the_presets_value(state: SettingsState) -> None:
    state.load_preset("mine", preset(training__learning_rate=3e-4))
    state.set("training.learning_rate", 1.0)
    assert state.differs("training.learning_rate")
    assert state.base_value("training.learning_rate") == 3e-4
    state.reset("training.learning_rate")
    assert state.get("training.learning_rate") == 3e-4
    assert not state.differs("training.learning_rate")


def test_a_new_concept_is_compared_with_the_defaults(state: SettingsState) -> None:
    state.add("concepts", {**new_item("concepts"), "path": "/pictures", "repeats": 3.0})
    assert not state.differs("concepts.0.path")
    assert state.differs("concepts.0.repeats")
    assert state.base_value("concepts.0.repeats") == 1.0


def test_all_problems_are_told_and_wrong_text_is_kept(state: SettingsState, qtbot: Any) -> None:
    with qtbot.waitSignal(state.problemsChanged):
        state.set("training.epochs", "many")
    state.set("training.batch_size", 0)
    paths = {problem.setting for problem in state.problems()}
    assert {"training.epochs", "training.batch_size"} <= paths
    assert state.job() is None
    assert state.get("training.epochs") == "many"


def test_a_complete_job_is_handed_out(state: SettingsState) -> None:
    state.add("concepts", {**new_item("concepts"), "path": "/pictures"})
    state.set("model.base", "/models/mine.safetensors")
    job = state.job()
    assert job is not None
    assert job.concepts[0].path == "/pictures"


def test_old_sessions_lack_newer_settings(state: SettingsState) -> None:
    state.restore({"training": {"epochs": 3}, "concepts": [{"path": "/pictures"}]})
    assert state.get("training.epochs") == 3
    assert state.get("training.batch_size") == defaults()["training"]["batch_size"]
    assert state.get("concepts.0.repeats") == 1.0
    assert not state.can_undo


def test_true_is_not_one() -> None:
    assert not same(True, 1)
    assert same(1, 1.0)


def test_unknown_paths_are_refused(state: SettingsState) -> None:
    with pytest.raises(KeyError):
        state.set("training.nonsense", 1)


@given(
    st.lists(
        st.tuples(st.sampled_from(["training.epochs", "lora.rank", "name"]), st.integers(1, 5)),
        max_size=12,
    )
)
def test_undoing_everything_gives_the_beginning(edits: list[tuple[str, int]]) -> None:
    ticks = iter(range(0, 10_000, 10))
    state = SettingsState(clock=lambda: float(next(ticks)))
    start = dict(state.data)
    for path, number in edits:
        state.set(path, str(number) if path == "name" else number)
    end = dict(state.data)
    while state.can_undo:
        state.undo()
    assert dict(state.data) == start
    while state.can_redo:
        state.redo()
    assert dict(state.data) == end
