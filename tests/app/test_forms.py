"""Forms made from the schema: every kind of editor, marks, problems, level, reachability."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from PySide6.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QKeyEvent, QWheelEvent
from PySide6.QtWidgets import QApplication, QWidget

from app import theme
from app.forms import Form, Section, by_prefix, grouped, tooltip
from app.state import SettingsState, new_item
from app.tabs.places import tab_of
from app.widgets.fields import ChoiceField, NumberField, PromptField, TextField
from app.widgets.paths import PathField
from app.window import Window
from core.config.fields import Above
from core.config.job import BY_PATH, SETTINGS


@pytest.fixture
def make_form(state: SettingsState, qtbot: Any) -> Callable[..., Form]:
    """Shows a form of some paths, all levels."""

    def make(*paths: str, item: str = "") -> Form:
        form = Form(state, [Section("", paths)], item)
        form.set_level("all")
        qtbot.addWidget(form)
        form.resize(900, 400)
        form.show()
        return form

    return make


def type_into(qtbot: Any, editor: QWidget, text: str) -> None:
    """Replace the text of a line by typing."""
    editor.setFocus()
    editor.selectAll()  # type: ignore[attr-defined]
    qtbot.keyClick(editor, Qt.Key.Key_Delete)
    qtbot.keyClicks(editor, text)


def wheel(widget: QWidget) -> QWheelEvent:
    """Turn the wheel over a widget; returns the event."""
    event = QWheelEvent(
        QPointF(5, 5),
        QPointF(widget.mapToGlobal(QPoint(5, 5))),
        QPoint(0, -120),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)
    return event


@pytest.mark.parametrize(
    ("path", "typed", "value"),
    [
        ("training.learning_rate", "3e-4", 3e-4),
        ("training.learning_rate", "0,0003", 3e-4),
        ("training.epochs", "12", 12),
        ("training.max_steps", "500", 500),
        ("training.seed", str(2**62 + 1), 2**62 + 1),
        ("name", "my run", "my run"),
    ],
)
def test_typed_text_becomes_the_value(
    state: SettingsState,
    make_form: Callable[..., Form],
    qtbot: Any,
    path: str,
    typed: str,
    value: Any,
) -> None:
    form = make_form(path)
    type_into(qtbot, form.editor(path), typed)
    assert state.get(path) == value
    assert type(state.get(path)) is type(value)


def test_numbers_are_shown_short_once_they_are_typed(
    state: SettingsState, make_form: Callable[..., Form], qtbot: Any
) -> None:
    form = make_form("training.learning_rate")
    editor = form.editor("training.learning_rate")
    type_into(qtbot, editor, "0,00030")
    assert editor.text() == "0,00030"
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    assert editor.text() == "3e-4"


def test_an_emptied_optional_number_is_none(
    state: SettingsState, make_form: Callable[..., Form], qtbot: Any
) -> None:
    state.set("training.max_steps", 500)
    form = make_form("training.max_steps")
    editor = form.editor("training.max_steps")
    type_into(qtbot, editor, "")
    assert state.get("training.max_steps") is None
    assert editor.placeholderText() == BY_PATH["training.max_steps"].empty


def test_an_emptied_number_that_is_needed_is_a_problem_and_kept(
    state: SettingsState, make_form: Callable[..., Form], qtbot: Any
) -> None:
    form = make_form("training.epochs")
    type_into(qtbot, form.editor("training.epochs"), "")
    row = form.rows["training.epochs"]
    qtbot.waitUntil(lambda: row.note.kind() == "error")
    assert "training.epochs" in row.note.text()
    assert form.editor("training.epochs").property("state") == "error"
    type_into(qtbot, form.editor("training.epochs"), "5")
    qtbot.waitUntil(lambda: row.note.kind() == "help")
    assert form.editor("training.epochs").property("state") == ""


def test_letters_cannot_be_typed_into_numbers(
    state: SettingsState, make_form: Callable[..., Form], qtbot: Any
) -> None:
    form = make_form("training.epochs")
    type_into(qtbot, form.editor("training.epochs"), "1x2")
    assert state.get("training.epochs") == 12


def test_arrow_keys_step_whole_numbers_by_what_is_allowed(
    state: SettingsState, make_form: Callable[..., Form], qtbot: Any
) -> None:
    form = make_form("training.resolution")
    qtbot.keyClick(form.editor("training.resolution"), Qt.Key.Key_Up)
    assert state.get("training.resolution") == 520


def test_checks_choices_prompts_and_paths_reach_the_state(
    state: SettingsState, make_form: Callable[..., Form], qtbot: Any, tmp_path: Any
) -> None:
    state.add(
        "concepts",
        {**new_item("concepts"), "prompt": {**new_item("concepts")["prompt"], "source": "fixed"}},
    )
    paths = (
        "training.gradient_checkpointing",
        "training.scheduler",
        "concepts[].prompt.text",
        "concepts[].path",
    )
    form = make_form(*paths, item="concepts.0")
    qtbot.mouseClick(form.rows[paths[0]].label, Qt.MouseButton.LeftButton)
    assert state.get(paths[0]) is False
    choice = form.editor(paths[1])
    assert isinstance(choice, ChoiceField)
    choice.setFocus()
    before = state.get(paths[1])
    qtbot.keyClick(choice, Qt.Key.Key_Home)
    assert state.get(paths[1]) == before
    choice.showPopup()
    qtbot.keyClick(choice.view(), Qt.Key.Key_Home)
    qtbot.keyClick(choice.view(), Qt.Key.Key_Return)
    assert state.get(paths[1]) == BY_PATH[paths[1]].choices[0]
    prompt = form.editor(paths[2])
    qtbot.keyClicks(prompt, "a {trigger}")
    assert state.get("concepts.0.prompt.text") == "a {trigger}"
    path = form.editor(paths[3])
    assert isinstance(path, PathField)
    qtbot.keyClicks(path.line, "/some/folder")
    assert state.get("concepts.0.path") == "/some/folder"


def test_editors_follow_the_state(state: SettingsState, make_form: Callable[..., Form]) -> None:
    paths = by_prefix("training.", "lora.", "model.")
    form = make_form(*paths)
    for path in paths:
        info = BY_PATH[path]
        new: Any = {
            "bool": not info.default if info.type == "bool" else None,
            "choice": info.choices[-1] if info.choices else None,
            "int": 24,
            "float": 0.25,
            "str": "text",
        }[info.type]
        state.set(path, new)
        assert form.editor(path).value() == new, path  # type: ignore[attr-defined]


def test_the_marked_entry_of_an_open_list_stands_out(styled: Any, qtbot: Any) -> None:
    field = ChoiceField([("a", "first"), ("b", "second")])
    qtbot.addWidget(field)
    field.show()
    field.showPopup()
    view = field.view()
    qtbot.waitUntil(view.isVisible)
    picture = view.viewport().grab(view.visualRect(view.currentIndex())).toImage()
    corner = picture.pixelColor(2, picture.height() // 2).name()
    field.hidePopup()
    assert corner == theme.colours().accent


def test_the_wheel_changes_nothing_in_passing(
    state: SettingsState, make_form: Callable[..., Form], qtbot: Any
) -> None:
    paths = ("training.scheduler", "training.epochs", "training.learning_rate")
    form = make_form(*paths)
    before = dict(state.data)
    for path in paths:
        editor = form.editor(path)
        editor.setFocus()
        assert not wheel(editor).isAccepted(), path
    assert dict(state.data) == before


def test_undo_keys_belong_to_the_window(make_form: Callable[..., Form]) -> None:
    state_form = make_form("name", "training.epochs")
    prompt = PromptField()
    for editor in (state_form.editor("name"), state_form.editor("training.epochs"), prompt):
        event = QKeyEvent(
            QEvent.Type.ShortcutOverride, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier
        )
        event.ignore()
        QApplication.sendEvent(editor, event)
        assert not event.isAccepted()
    prompt.deleteLater()


def test_a_dropped_folder_becomes_the_path(
    state: SettingsState, make_form: Callable[..., Form], tmp_path: Any
) -> None:
    form = make_form("model.base")
    editor = form.editor("model.base")
    assert isinstance(editor, PathField)
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(tmp_path))])
    event = QDropEvent(
        QPointF(3, 3),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    editor.line.dropEvent(event)
    assert state.get("model.base") == str(tmp_path)


def test_only_what_applies_is_there(state: SettingsState, make_form: Callable[..., Form]) -> None:
    form = make_form(*by_prefix("training."))
    rows = form.rows
    assert rows["training.prodigy.d_coef"].isHidden()
    state.set("training.optimizer", "prodigy")
    assert not rows["training.prodigy.d_coef"].isHidden()
    assert rows["training.text_encoder_learning_rate"].isHidden()
    state.set("training.optimizer", "adamw")
    state.set("lora.text_encoder", True)
    assert not rows["training.text_encoder_learning_rate"].isHidden()


def test_a_number_and_its_unit_share_a_row(
    state: SettingsState, make_form: Callable[..., Form]
) -> None:
    form = make_form("checkpoints.every", "checkpoints.every_unit")
    assert list(form.rows) == ["checkpoints.every"]
    assert not form.editor("checkpoints.every").isHidden()
    state.set("checkpoints.every_unit", "never")
    assert form.editor("checkpoints.every").isHidden()
    assert not form.editor("checkpoints.every_unit").isHidden()
    assert form.rows["checkpoints.every"].dot.is_shown()


def test_a_chance_and_its_reach_share_a_row(
    state: SettingsState, make_form: Callable[..., Form], qtbot: Any
) -> None:
    state.add("concepts", new_item("concepts"))
    form = make_form(*by_prefix("concepts[].image."), item="concepts.0")
    form.set_level("all")
    chance, reach = "concepts[].image.rotation", "concepts[].image.rotation_most"
    row = form.rows[chance]
    assert reach not in form.rows
    assert form.editor(reach).isVisibleTo(row) is False
    type_into(qtbot, form.editor(chance), "0.5")
    assert form.editor(reach).isVisibleTo(row)
    type_into(qtbot, form.editor(reach), "12")
    assert state.get("concepts.0.image.rotation_most") == 12
    assert row.dot.is_shown()
    assert form.reveal("concepts.0.image.rotation_most") is row
    assert form.declared("concepts.0.image.rotation_most") == reach
    row.dot.click()
    assert state.get("concepts.0.image.rotation") == 0
    assert state.get("concepts.0.image.rotation_most") == 5


def test_the_dot_brings_the_presets_value_back(
    state: SettingsState, make_form: Callable[..., Form], qtbot: Any
) -> None:
    form = make_form("training.learning_rate")
    dot = form.rows["training.learning_rate"].dot
    assert not dot.is_shown()
    state.set("training.learning_rate", 5e-4)
    assert dot.is_shown()
    assert "1e-4" in dot.toolTip()
    qtbot.mouseClick(dot, Qt.MouseButton.LeftButton)
    assert state.get("training.learning_rate") == 1e-4
    assert not dot.is_shown()


def test_basic_hides_and_tells_how_many(
    state: SettingsState, make_form: Callable[..., Form]
) -> None:
    form = make_form("training.epochs", "training.beta1", "training.beta2")
    form.set_level("basic")
    assert form.rows["training.beta1"].isHidden()
    assert form.more.text() == "2 more settings"
    state.set("training.beta1", 0.8)
    assert "1 of them changed" in form.more.text()
    assert form.reveal("training.beta1") is form.rows["training.beta1"]
    assert not form.rows["training.beta1"].isHidden()


def test_a_problem_shows_its_field_in_basic_too(
    state: SettingsState, make_form: Callable[..., Form], qtbot: Any
) -> None:
    form = make_form("training.beta1")
    form.set_level("basic")
    state.set("training.beta1", 4.0)
    qtbot.waitUntil(lambda: not form.rows["training.beta1"].isHidden())
    assert form.rows["training.beta1"].note.kind() == "error"


def test_tooltips_tell_help_path_default_and_range() -> None:
    info = BY_PATH["training.learning_rate"]
    text = tooltip(info, info.path)
    for part in (info.help, "training.learning_rate", "default 1e-4", "above 0", "at most 10"):
        assert part in text


def test_editors_have_accessible_names(make_form: Callable[..., Form]) -> None:
    paths = by_prefix("training.", "model.", "lora.")
    form = make_form(*paths)
    for path in paths:
        editor = form.editor(path)
        target = editor.line if isinstance(editor, PathField) else editor
        assert target.accessibleName() == BY_PATH[path].title, path
        assert target.accessibleDescription() == BY_PATH[path].help, path


def test_groups_come_from_the_schema() -> None:
    sections = grouped("training.", "checkpoints.")
    assert [s.title for s in sections][:2] == ["Duration", "Optimizer"]
    assert all(BY_PATH[path].group == s.title for s in sections for path in s.paths)


def test_prompts_grow_with_their_lines(styled: Any, qtbot: Any) -> None:
    prompt, line = PromptField(), TextField()
    for widget in (prompt, line):
        qtbot.addWidget(widget)
        widget.resize(300, 20)
        widget.show()
    assert abs(prompt.height() - line.sizeHint().height()) <= 1
    prompt.set_value("one\ntwo\nthree")
    assert prompt.height() >= line.sizeHint().height() + 2 * prompt.fontMetrics().lineSpacing() - 1
    prompt.set_value("\n" * 40)
    assert prompt.height() < 8 * prompt.fontMetrics().lineSpacing()


def test_every_ready_setting_is_on_its_tab_and_no_other(window: Window, pictures: Any) -> None:
    window.state.add("concepts", {**new_item("concepts"), "path": str(pictures)})
    window.state.add("sampling.prompts", new_item("sampling.prompts"))
    for info in SETTINGS:
        path = info.path.replace("[]", ".0")
        page = window.pages[tab_of(path)]
        # Make it apply first: conditions name a value under which it does.
        for other, allowed in info.when.items():
            prefix = path.split(".0.")[0] + ".0." if "[]" in info.path else ""
            value = 1.0 if isinstance(allowed, Above) else allowed[0]
            window.state.set(prefix + other, value)
        found = page.reveal(path)
        assert (found is not None) == info.ready, path
        if found is not None:
            QApplication.processEvents()
            assert found.isVisibleTo(page), path


def test_number_fields_use_the_c_locale(styled: Any, qtbot: Any) -> None:
    editor = NumberField(whole=False, optional=False)
    qtbot.addWidget(editor)
    assert editor.locale().decimalPoint() == "."
    editor.set_value(0.5)
    assert editor.text() == "0.5"
