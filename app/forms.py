"""A form made from the settings schema: nothing here knows any setting by name."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from PySide6.QtCore import QCoreApplication, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from app import theme
from app.i18n import counted, schema
from app.state import SettingsState
from app.widgets import numbers
from app.widgets.fields import CheckField, ChoiceField, NumberField, PromptField, TextField
from app.widgets.paths import PathField
from app.widgets.row import FIELD_EM, NARROW_EM, PAIR_EM, FieldRow
from core.config.fields import Above, Level, SettingInfo
from core.config.job import BY_PATH, SETTINGS
from core.errors import Problem

# What is merely not done yet is asked for, not blamed: no red before the first click.
TODO_CODES = (
    "base_missing",
    "base_not_here",
    "no_concepts",
    "concept_no_folder",
    "concept_no_caption_file",
)
CHANCE = "chance"  # the unit of numbers that tell how often something is done
WIDE_KINDS = ("folder", "file", "save_file", "model", "text", "prompt", "paragraph")


class Editor(Protocol):
    """What every editor of one value offers, besides being a widget."""

    edited: Any

    def value(self) -> Any:
        """The value, or the text that is none."""

    def set_value(self, value: Any) -> None:
        """Show a value."""


@dataclass(frozen=True)
class Section:
    """A titled group of settings by their declared paths (with `[]` for list items)."""

    title: str
    paths: tuple[str, ...]


def by_prefix(*prefixes: str, without: Iterable[str] = ()) -> tuple[str, ...]:
    """Paths of all settings that something obeys, below the prefixes, in the schema's order."""
    return tuple(
        info.path
        for info in SETTINGS
        if info.ready and info.path.startswith(prefixes) and info.path not in without
    )


def grouped(*prefixes: str) -> list[Section]:
    """Sections by the `group` that the settings below the prefixes declare."""
    sections: dict[str, list[str]] = {}
    for path in by_prefix(*prefixes):
        sections.setdefault(BY_PATH[path].group, []).append(path)
    return [Section(title, tuple(paths)) for title, paths in sections.items()]


def range_of(path: str) -> str:
    """The chance whose reach a number tells, such as `rotation` of `rotation_most`; else empty."""
    info = BY_PATH[path]
    if info.type not in ("int", "float") or len(info.when) != 1:
        return ""
    ((_, condition),) = info.when.items()
    for owner in SETTINGS:
        pair = path.startswith(f"{owner.path}_") and owner.unit == CHANCE
        if pair and isinstance(condition, Above):
            return owner.path
    return ""


def problem_kind(problem: Problem) -> str:
    """How a problem is shown: `error`, `warning`, or `todo` for what is not filled in yet."""
    return "todo" if problem.code in TODO_CODES else problem.severity


def range_text(info: SettingInfo) -> str:
    """The allowed range in words of the window's language, or empty."""

    def words(text: str, number: float) -> str:
        return QCoreApplication.translate("forms", text).replace("%1", numbers.show(float(number)))

    parts = []
    if info.minimum is not None:
        parts.append(words("above %1" if info.minimum_open else "at least %1", info.minimum))
    if info.maximum is not None:
        parts.append(words("below %1" if info.maximum_open else "at most %1", info.maximum))
    if info.multiple_of is not None:
        parts.append(words("a multiple of %1", info.multiple_of))
    return ", ".join(parts)


def value_text(info: SettingInfo, value: Any) -> str:
    """A value in words, for tooltips."""
    if value is None or value == "":
        return schema(info.empty) or QCoreApplication.translate("forms", "empty")
    if isinstance(value, bool):
        return QCoreApplication.translate("forms", "on" if value else "off")
    if info.type == "choice":
        return schema(info.label_of(value))
    shown = numbers.show(float(value) if info.type == "float" else value)
    return f"{shown} {schema(info.unit)}".strip()


def tooltip(info: SettingInfo, path: str) -> str:
    """Help, path, default and range as rich text."""
    default = QCoreApplication.translate("forms", "default %1")
    facts = [path, default.replace("%1", value_text(info, info.default)), range_text(info)]
    return (
        f"<p style='white-space:pre-wrap'><b>{html.escape(schema(info.title))}</b><br>"
        f"{html.escape(schema(info.help))}</p>"
        f"<p><i>{html.escape(' · '.join(fact for fact in facts if fact))}</i></p>"
    )


def make_editor(info: SettingInfo) -> QWidget:
    """The editor for a setting's type; it fulfils `Editor`."""
    title = schema(info.title)
    editor: QWidget
    if info.type == "bool":
        editor = CheckField()
    elif info.type == "choice":
        editor = ChoiceField(
            [(c, schema(info.label_of(c))) for c in info.choices],
            {choice: schema(text) for choice, text in info.helps.items()},
        )
    elif info.type in ("int", "float"):
        number = NumberField(
            whole=info.type == "int",
            optional=info.optional,
            step=int(info.multiple_of or 1),
        )
        number.setPlaceholderText(schema(info.empty))
        if info.empty:
            room = number.fontMetrics().horizontalAdvance(schema(info.empty)) + theme.unit(3)
            number.setFixedWidth(
                min(max(theme.em(12), room), theme.em(FIELD_EM - (8 if info.unit else 0)))
            )
        editor = number
    elif info.kind in ("folder", "file", "save_file", "model"):
        path_field = PathField(info.kind, title)
        path_field.line.setPlaceholderText(schema(info.empty))
        editor = path_field
    elif info.kind in ("prompt", "paragraph"):
        prompt = PromptField()
        prompt.setPlaceholderText(schema(info.empty))
        editor = prompt
    else:
        text = TextField()
        text.setPlaceholderText(schema(info.empty))
        text.setMinimumWidth(theme.em(20))
        editor = text
    target = editor.edit() if isinstance(editor, PathField) else editor
    target.setAccessibleName(title)
    target.setAccessibleDescription(schema(info.help))
    return editor


class Form(QWidget):
    """Rows for the settings of some sections, bound to the state.

    item: for settings inside a list, the concrete item such as `concepts.0`; `set_item`
    changes it. Signals: allRequested() when the reader wants every setting shown.
    """

    allRequested = Signal()

    def __init__(
        self,
        state: SettingsState,
        sections: Iterable[Section],
        item: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._state, self._item = state, item
        self._level: Level = "basic"
        self._pinned: set[str] = set()
        self._problems: dict[str, Problem] = {}
        self.rows: dict[str, FieldRow] = {}
        self._editors: dict[str, Editor] = {}
        self._sections: list[tuple[QWidget, list[str]]] = []
        self._owner: dict[str, str] = {}
        self._boxes: dict[str, QWidget] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.unit(2.5))
        for section in sections:
            column.addWidget(self._build_section(section))
        self.more = QPushButton()
        theme.set_role(self.more, "link")
        self.more.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.more.setCursor(Qt.CursorShape.PointingHandCursor)
        self.more.clicked.connect(self.allRequested)
        below = QHBoxLayout()
        # The button's own padding belongs to the indent, so that texts stand in one line.
        below.setContentsMargins(theme.indent() - theme.unit(0.5) - 1, 0, 0, 0)
        below.addWidget(self.more)
        below.addStretch(1)
        column.addLayout(below)
        state.changed.connect(self._value_changed)
        state.reloaded.connect(self.refresh)
        state.problemsChanged.connect(self._show_problems)
        self.refresh()

    # --- building ------------------------------------------------------------

    def _build_section(self, section: Section) -> QWidget:
        box = QWidget()
        layout = QVBoxLayout(box)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.unit(0.5))
        if section.title:
            header = QLabel(schema(section.title))
            theme.set_role(header, "group")
            header.setContentsMargins(theme.indent(), 0, 0, theme.unit(0.5))
            layout.addWidget(header)
        units = {f"{p}_unit" for p in section.paths if f"{p}_unit" in section.paths}
        ranges = {p: owner for p in section.paths if (owner := range_of(p)) in section.paths}
        for path in section.paths:
            if path in units:
                self._add_companion(path)
            elif path in ranges:
                self._add_range(path, ranges[path])
            else:
                layout.addWidget(self._build_row(BY_PATH[path]))
        rows = [p for p in section.paths if p not in units and p not in ranges]
        self._sections.append((box, rows))
        return box

    def _build_row(self, info: SettingInfo) -> FieldRow:
        editor = make_editor(info)
        row = FieldRow(
            schema(info.title),
            schema(info.help),
            editor,
            wide=info.kind in WIDE_KINDS and info.type == "str",
            unit=schema(info.unit),
        )
        if info.unit == CHANCE:
            editor.setFixedWidth(theme.em(PAIR_EM))
        row.resetRequested.connect(lambda path=info.path: self._reset(path))
        self.rows[info.path] = row
        self._owner[info.path] = info.path
        self._bind(info, editor)
        for widget in (row.label, row.note, editor):
            widget.setToolTip(tooltip(info, info.path))
        return row

    def _add_companion(self, path: str) -> None:
        """Put a unit's choice (`every_unit`) into the row of the number (`every`) before it."""
        info = BY_PATH[path]
        editor = make_editor(info)
        owner = path.removesuffix("_unit")
        self.rows[owner].add_companion(editor)
        self._owner[path] = owner
        self._bind(info, editor)
        editor.setToolTip(tooltip(info, path))

    def _add_range(self, path: str, owner: str) -> None:
        """Put how far a change goes into the row of how often it is made."""
        info = BY_PATH[path]
        editor = make_editor(info)
        box = self.rows[owner].add_range(self.tr("up to"), editor, schema(info.unit))
        self._boxes[path] = box
        self._owner[path] = owner
        self._bind(info, editor)
        box.setToolTip(tooltip(info, path))

    def _bind(self, info: SettingInfo, editor: QWidget) -> None:
        self._editors[info.path] = cast(Editor, editor)
        cast(Editor, editor).edited.connect(
            lambda value, path=info.path: self._state.set(self.concrete(path), value)
        )

    # --- paths ------------------------------------------------------------

    def concrete(self, path: str) -> str:
        """The path in the data of a declared path, with this form's item in it."""
        if not self._item or "[]" not in path:
            return path
        return f"{self._item}.{path.split('[].', 1)[1]}"

    def declared(self, path: str) -> str | None:
        """The declared path of a concrete one, if this form has it."""
        for candidate in self._owner:
            if self.concrete(candidate) == path:
                return candidate
        return None

    def set_item(self, item: str) -> None:
        """Show another list item."""
        self._item = item
        self._pinned.clear()
        self.refresh()

    def item(self) -> str:
        """The list item that is shown, or empty."""
        return self._item

    def is_bound(self) -> bool:
        """Whether what it shows is still among the settings."""
        try:
            self._state.get(self._item or "name")
        except KeyError:
            return False
        return True

    def editor(self, path: str) -> QWidget:
        """The editor of a declared path. Raises KeyError when this form has none."""
        return cast(QWidget, self._editors[path])

    # --- showing ------------------------------------------------------------

    def set_level(self, level: Level) -> None:
        """Show the basic settings or all of them."""
        self._level = level
        self._pinned.clear()
        self._arrange()

    def refresh(self) -> None:
        """Show the state's values, marks and problems anew."""
        if not self.is_bound():
            return
        for path, editor in self._editors.items():
            editor.set_value(self._state.get(self.concrete(path)))
        self._show_problems()

    def _value_changed(self, changed: str) -> None:
        if self._item and changed in self._item.rsplit(".", 1):
            self.refresh()
            return
        for path, editor in self._editors.items():
            concrete = self.concrete(path)
            if concrete == changed:
                editor.set_value(self._state.get(concrete))
        self._arrange()

    def _show_problems(self) -> None:
        self._problems.clear()
        for problem in self._state.problems():
            declared = self.declared(problem.setting)
            owner = self._owner.get(declared) if declared else None
            if owner and (
                owner not in self._problems or self._problems[owner].severity == "warning"
            ):
                self._problems[owner] = problem
        for path, row in self.rows.items():
            found = self._problems.get(path)
            if found is None:
                row.set_problem("", "")
            else:
                row.set_problem(problem_kind(found), found.sentence())
        self._arrange()

    def _arrange(self) -> None:
        """Show exactly the rows that apply, and mark the changed ones."""
        if not self.is_bound():
            return
        hidden = changed = 0
        for box, paths in self._sections:
            any_shown = False
            for path in paths:
                applies, differs = self._arrange_row(path)
                shown = applies and (
                    self._level == "all"
                    or path in self._pinned
                    or path in self._problems
                    or any(BY_PATH[p].level == "basic" for p in self._paths_of(path))
                )
                self.rows[path].setVisible(shown)
                any_shown = any_shown or shown
                hidden += applies and not shown
                changed += applies and not shown and differs
            box.setVisible(any_shown)
        self._show_more(hidden, changed)

    def _paths_of(self, owner: str) -> list[str]:
        return [path for path, its_owner in self._owner.items() if its_owner == owner]

    def _arrange_row(self, owner: str) -> tuple[bool, bool]:
        """Whether the row applies and whether it differs from the preset; marks it."""
        paths = self._paths_of(owner)
        applying = []
        for path in paths:
            applies = self._state.applies(BY_PATH[path], self.concrete(path))
            applying.append(applies)
            if len(paths) > 1:
                self._boxes.get(path, self.editor(path)).setVisible(applies)
        differing = [p for p in paths if self._state.differs(self.concrete(p))]
        self.rows[owner].set_differs(bool(differing), lambda: self._base_text(owner))
        return any(applying), bool(differing)

    def _base_text(self, owner: str) -> str:
        return " ".join(
            value_text(BY_PATH[p], self._state.base_value(self.concrete(p)))
            for p in self._paths_of(owner)
        )

    def _show_more(self, hidden: int, changed: int) -> None:
        self.more.setVisible(hidden > 0)
        text = counted(self.tr("%n more setting(s)", "", hidden), hidden)
        if changed:
            text += ", " + self.tr("%n of them changed", "", changed)
        self.more.setText(text)

    def _reset(self, owner: str) -> None:
        paths = [self.concrete(p) for p in self._paths_of(owner)]
        self._state.set_many({path: self._state.base_value(path) for path in paths})

    def reveal(self, path: str) -> FieldRow | None:
        """Show the row of a concrete path whatever the level, and mark it for a moment.

        Returns it, or None when this form has no such setting or it does not apply now.
        """
        declared = self.declared(path)
        if declared is None:
            return None
        owner = self._owner[declared]
        self._pinned.add(owner)
        self._arrange()
        row = self.rows[owner]
        if row.isHidden():
            return None
        row.flash()
        editor = self.editor(declared)
        (editor if editor.isVisibleTo(row) else row.editor).setFocus(
            Qt.FocusReason.OtherFocusReason
        )
        return row

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        narrow = self.width() < theme.em(NARROW_EM)
        for row in self.rows.values():
            row.set_narrow(narrow)


def when_text(info: SettingInfo, base: Callable[[str], SettingInfo | None]) -> str:
    """Under which other settings this one applies, in words; empty when always."""
    parts = []
    for path, allowed in info.when.items():
        other = base(path)
        title = schema(other.title) if other else path
        if isinstance(allowed, Above):
            text = QCoreApplication.translate("forms", "above %1")
            names = [text.replace("%1", numbers.show(allowed.bound))]
        else:
            names = [value_text(other, value) if other else str(value) for value in allowed]
        parts.append(f"{title}: {' / '.join(names)}")
    return ", ".join(parts)
