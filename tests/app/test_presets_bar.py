"""Choosing, saving and managing presets in the bar."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.presets_bar import PresetsBar
from app.state import SettingsState, new_item
from core.config import presets
from core.config.presets import load_preset, preset_path, save_preset
from core.paths import user_presets_dir


@pytest.fixture
def bar(state: SettingsState, qtbot: Any, answers: dict[str, Any]) -> PresetsBar:
    """A bar with one preset of the user's, `mine`, of 9 epochs."""
    user_presets_dir().mkdir(parents=True)
    (user_presets_dir() / "mine.json").write_text('{"limner": 1, "training": {"epochs": 9}}')
    result = PresetsBar(state)
    qtbot.addWidget(result)
    return result


def names(bar: PresetsBar) -> list[str]:
    """What the list offers."""
    return [bar.combo.itemData(i) for i in range(bar.combo.count()) if bar.combo.itemData(i)]


def test_lists_builtin_presets_first(bar: PresetsBar) -> None:
    assert names(bar)[-1] == "mine"
    assert {"# demo", "# sd 1.5 lora", "# sd 1.5 lora prodigy"} <= set(names(bar)[:-1])


def test_shows_a_star_while_changed(bar: PresetsBar, state: SettingsState) -> None:
    assert bar.choose("mine")
    assert bar.combo.currentText() == "mine"
    state.set("training.epochs", 10)
    assert bar.combo.currentText() == "mine *"
    state.undo()
    assert bar.combo.currentText() == "mine"


def test_saves_what_differs_from_the_defaults(bar: PresetsBar, state: SettingsState) -> None:
    bar.choose("mine")
    state.set("training.learning_rate", 3e-4)
    assert bar.save()
    written = json.loads((user_presets_dir() / "mine.json").read_text())
    assert written == {"limner": 1, "training": {"epochs": 9, "learning_rate": 3e-4}}
    assert not state.dirty


def test_keeps_relative_paths_and_unknown_keys(bar: PresetsBar, state: SettingsState) -> None:
    path = user_presets_dir() / "moving.json"
    path.write_text('{"limner": 1, "model": {"base": "./models/a"}, "from_the_future": 1}')
    bar.refresh()
    bar.choose("moving")
    assert state.get("model.base") == str(user_presets_dir() / "models/a")
    state.set("training.epochs", 3)
    bar.save()
    written = json.loads(path.read_text())
    assert written["model"] == {"base": "./models/a"}
    assert written["from_the_future"] == 1


def test_builtin_presets_are_saved_under_another_name(
    bar: PresetsBar, state: SettingsState, answers: dict[str, Any]
) -> None:
    bar.choose("# sd 1.5 lora")
    assert not bar.save_button.isEnabled()
    state.set("training.epochs", 4)
    answers["name"] = "my copy"
    assert bar.save()
    assert state.preset == "my copy"
    assert "my copy" in names(bar)
    assert bar.save_button.isEnabled()


def test_a_bad_name_is_told_and_nothing_is_lost(
    bar: PresetsBar, state: SettingsState, answers: dict[str, Any]
) -> None:
    state.set("training.epochs", 4)
    answers["name"] = "a/b"
    assert not bar.save_as()
    assert "a/b" in answers["told"][0].title
    assert state.get("training.epochs") == 4


@pytest.mark.parametrize(
    ("answer", "epochs", "preset"),
    [("cancel", 44, "mine"), ("discard", 50, "# sd 1.5 lora"), ("save", 50, "# sd 1.5 lora")],
)
def test_switching_with_unsaved_edits_asks(
    bar: PresetsBar,
    state: SettingsState,
    answers: dict[str, Any],
    answer: str,
    epochs: int,
    preset: str,
) -> None:
    bar.choose("mine")
    state.set("training.epochs", 44)
    answers["ask"] = answer
    assert bar.choose("# sd 1.5 lora") == (answer != "cancel")
    assert len(answers["asked"]) == 1
    assert (state.get("training.epochs"), state.preset) == (epochs, preset)
    stored = json.loads((user_presets_dir() / "mine.json").read_text())
    assert stored["training"]["epochs"] == (44 if answer == "save" else 9)


def test_cancelling_leaves_the_list_on_the_preset_in_use(
    bar: PresetsBar, state: SettingsState, answers: dict[str, Any]
) -> None:
    bar.choose("mine")
    state.set("training.epochs", 44)
    index = bar.combo.findData("# demo")
    bar.combo.setCurrentIndex(index)
    bar.combo.activated.emit(index)
    assert bar.combo.currentData() == "mine"


def test_discarded_edits_come_back_by_undo(
    bar: PresetsBar, state: SettingsState, answers: dict[str, Any]
) -> None:
    bar.choose("mine")
    state.set("training.epochs", 44)
    answers["ask"] = "discard"
    bar.choose("# sd 1.5 lora")
    state.undo()
    assert (state.get("training.epochs"), state.preset) == (44, "mine")
    assert bar.combo.currentText() == "mine *"


def test_rename_duplicate_and_delete(
    bar: PresetsBar, state: SettingsState, answers: dict[str, Any]
) -> None:
    bar.choose("mine")
    answers["name"] = "better"
    bar.rename()
    assert state.preset == "better"
    assert not (user_presets_dir() / "mine.json").exists()
    answers["name"] = "second"
    bar.duplicate()
    assert {"better", "second"} <= set(names(bar))
    bar.delete()
    assert "better" not in names(bar)
    assert state.preset == ""
    assert state.get("training.epochs") == 9


def test_a_taken_name_is_refused(bar: PresetsBar, answers: dict[str, Any]) -> None:
    (user_presets_dir() / "other.json").write_text('{"limner": 1}')
    bar.refresh()
    bar.choose("mine")
    answers["name"] = "other"
    bar.rename()
    assert "other" in answers["told"][0].title
    assert (user_presets_dir() / "mine.json").exists()


def test_imports_a_file_and_chooses_it(
    bar: PresetsBar, state: SettingsState, tmp_path: Path
) -> None:
    source = tmp_path / "shared.json"
    source.write_text('{"limner": 1, "training": {"epochs": 7}}')
    bar.import_file(source)
    assert state.preset == "shared"
    assert state.get("training.epochs") == 7


def test_a_broken_preset_is_told_and_left_alone(
    bar: PresetsBar, state: SettingsState, answers: dict[str, Any]
) -> None:
    path = user_presets_dir() / "broken.json"
    path.write_text("{not json")
    bar.refresh()
    assert not bar.choose("broken")
    assert str(path) in answers["told"][0].title + answers["told"][0].file
    assert path.read_text() == "{not json"


def test_a_preset_with_pictures_brings_them(bar: PresetsBar, state: SettingsState) -> None:
    state.add("concepts", {**new_item("concepts"), "path": "/pictures"})
    bar.choose("# demo")
    demo = presets.load_preset(presets.find_preset("# demo").path)
    assert len(state.get("concepts")) == len(demo.data["concepts"])
    assert Path(state.get("concepts.0.path")).is_absolute()
    assert state.get("concepts.0.path") != "/pictures"


def test_a_deleted_preset_is_said_and_comes_back_by_undo(bar: PresetsBar, state: Any) -> None:
    state.set("lora.rank", 48)
    save_preset(preset_path("mine"), state.data)
    bar.refresh()
    state.renamed("mine")
    bar.delete()
    assert not preset_path("mine").exists()
    assert "mine" in bar.undo.text() and not bar.undo.isHidden()
    bar.undo.click()
    assert load_preset(preset_path("mine")).data["lora"]["rank"] == 48
    assert state.preset == "mine" and bar.undo.isHidden()


def test_export_writes_what_is_shown(bar: PresetsBar, state: Any, tmp_path: Path) -> None:
    state.set("lora.rank", 48)
    bar.export_to(tmp_path / "shown.json")
    assert load_preset(tmp_path / "shown.json").data["lora"]["rank"] == 48
