"""The settings being edited: values by path, undo, dirty against the preset, problems."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from core.config.fields import SettingInfo
from core.config.job import Job, applies, defaults, get_path, info_of, set_path, validate
from core.errors import Problem
from core.families.hub import is_hub_id

# What belongs to the user's project rather than to a recipe: a preset that does not speak of
# these leaves them alone when it is chosen.
PROJECT_PATHS = (
    "name",
    "model.base",
    "model.vae",
    "model.output",
    "concepts",
    "sampling.prompts",
)
LISTS = ("concepts", "sampling.prompts")
MERGE_SECONDS = 1.0
UNDO_DEPTH = 500


@dataclass
class _Whole:
    """Everything that choosing a preset replaces."""

    data: dict[str, Any]
    base: dict[str, Any]
    unknown: dict[str, Any]
    preset: str
    free: frozenset[str]


@dataclass
class _Edit:
    """One undo step: values before and after by path, or the whole state."""

    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    whole_before: _Whole | None = None
    whole_after: _Whole | None = None
    at: float = 0.0
    mergeable: bool = False


def same(a: Any, b: Any) -> bool:
    """Whether two values of a setting are equal; True is not 1, but 1 is 1.0."""
    if isinstance(a, bool) != isinstance(b, bool):
        return False
    return bool(a == b)


class SettingsState(QObject):
    """The job's settings as plain data while they are edited.

    Values that do not parse are kept as the text that was typed; `problems` then names them.

    Signals: changed(path) after one value or a whole list (`concepts`) changed; reloaded()
    after everything may have changed; dirtyChanged(bool) against the preset; historyChanged()
    when undo or redo became possible or impossible; problemsChanged() after `problems` changed.
    """

    changed = Signal(str)
    reloaded = Signal()
    dirtyChanged = Signal(bool)
    historyChanged = Signal()
    problemsChanged = Signal()

    def __init__(
        self, parent: QObject | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(parent)
        self._clock = clock
        plain = defaults()
        self._now = _Whole(plain, copy.deepcopy(plain), {}, "", frozenset(PROJECT_PATHS))
        self._undo: list[_Edit] = []
        self._redo: list[_Edit] = []
        self._dirty = False
        self._problems: list[Problem] | None = None
        self._job: Job | None = None
        self._announced: list[Problem] = []
        self._check = QTimer(self)
        self._check.setSingleShot(True)
        self._check.setInterval(0)
        self._check.timeout.connect(self._announce_problems)

    # --- reading ------------------------------------------------------------

    @property
    def data(self) -> Mapping[str, Any]:
        """All values as plain data; do not change it, call `set`."""
        return self._now.data

    @property
    def unknown(self) -> Mapping[str, Any]:
        """Keys that came with the preset and that this version does not know; saved again."""
        return self._now.unknown

    @property
    def preset(self) -> str:
        """Name of the preset that was chosen last, or empty."""
        return self._now.preset

    def get(self, path: str) -> Any:
        """The value at `path`. Raises KeyError for an unknown path."""
        return get_path(self._now.data, path)

    def applies(self, info: SettingInfo, path: str) -> bool:
        """Whether the setting at the concrete `path` has any effect with the values now."""
        item_path = item_of(path)
        try:
            item = self.get(item_path) if item_path else None
        except KeyError:
            return False
        return applies(info, self._now.data, item)

    def base_value(self, path: str) -> Any:
        """The preset's value at `path`; an item that the preset lacks has the defaults."""
        if any(path == p or path.startswith(f"{p}.") for p in self._now.free):
            info = info_of(path)
            if info is None:
                raise KeyError(path)
            return info.default
        try:
            return get_path(self._now.base, path)
        except KeyError:
            info = info_of(path)
            if info is None:
                raise
            return info.default

    def differs(self, path: str) -> bool:
        """Whether the value at `path` differs from the preset's.

        Folders, names and prompts of a project do not differ from a preset without them.
        """
        info = info_of(path)
        is_free = any(path == p or path.startswith(f"{p}.") for p in self._now.free)
        if is_free and (info is None or info.type == "str"):
            return False
        return not same(self.get(path), self.base_value(path))

    @property
    def dirty(self) -> bool:
        """Whether anything that the preset speaks of was changed since it was chosen."""
        return self._dirty

    # --- editing ------------------------------------------------------------

    def set(self, path: str, value: Any) -> None:
        """Change one value; quick successive changes of one path are one undo step."""
        self._apply({path: value}, mergeable=True)

    def set_many(self, values: Mapping[str, Any]) -> None:
        """Change several values as one undo step."""
        self._apply(dict(values), mergeable=False)

    def amend(self, values: Mapping[str, Any]) -> None:
        """Change values as part of the last undo step: what follows from an edit goes with it."""
        last = self._undo[-1] if self._undo else None
        if last is None or last.whole_before is not None:
            self.set_many(values)
            return
        for path, value in values.items():
            last.before.setdefault(path, copy.deepcopy(self.get(path)))
            last.after[path] = copy.deepcopy(value)
        last.mergeable = False
        self._put(values)

    def reset(self, path: str) -> None:
        """Give one setting the preset's value again."""
        self._apply({path: copy.deepcopy(self.base_value(path))}, mergeable=False)

    def add(self, list_path: str, item: Mapping[str, Any], at: int | None = None) -> int:
        """Insert an item into a list (at its end by default); returns its index."""
        items = copy.deepcopy(self.get(list_path))
        index = len(items) if at is None else at
        items.insert(index, copy.deepcopy(dict(item)))
        self._apply({list_path: items}, mergeable=False)
        return index

    def extend(self, list_path: str, new: list[dict[str, Any]]) -> None:
        """Append several items as one undo step."""
        self._apply(
            {list_path: [*copy.deepcopy(self.get(list_path)), *copy.deepcopy(new)]}, mergeable=False
        )

    def remove(self, list_path: str, index: int) -> None:
        """Remove one item of a list."""
        items = copy.deepcopy(self.get(list_path))
        del items[index]
        self._apply({list_path: items}, mergeable=False)

    def move(self, list_path: str, index: int, to: int) -> None:
        """Move an item so that its index becomes `to` (kept inside the list)."""
        items = copy.deepcopy(self.get(list_path))
        to = max(0, min(to, len(items) - 1))
        items.insert(to, items.pop(index))
        self._apply({list_path: items}, mergeable=False)

    def duplicate(self, list_path: str, index: int) -> int:
        """Put a copy of an item behind it; returns the copy's index."""
        return self.add(list_path, self.get(f"{list_path}.{index}"), at=index + 1)

    def _apply(self, values: dict[str, Any], *, mergeable: bool) -> None:
        values = {
            path: value
            for path, value in values.items()
            if type(self.get(path)) is not type(value) or not same(self.get(path), value)
        }
        if not values:
            return
        before = {path: copy.deepcopy(self.get(path)) for path in values}
        edit = _Edit(before, values, at=self._clock(), mergeable=mergeable)
        last = self._undo[-1] if self._undo else None
        if (
            mergeable
            and last is not None
            and last.mergeable
            and not self._redo
            and last.after.keys() == values.keys()
            and edit.at - last.at < MERGE_SECONDS
        ):
            last.after, last.at = values, edit.at
        else:
            self._undo.append(edit)
            del self._undo[:-UNDO_DEPTH]
        self._redo.clear()
        self._put(values)

    def _put(self, values: Mapping[str, Any]) -> None:
        for path, value in values.items():
            self._now.data = set_path(self._now.data, path, copy.deepcopy(value))
        self._touched()
        for path in values:
            self.changed.emit(path)

    def _touched(self) -> None:
        self._problems = None
        self._check.start()
        dirty = self._compute_dirty()
        if dirty != self._dirty:
            self._dirty = dirty
            self.dirtyChanged.emit(dirty)
        self.historyChanged.emit()

    def _compute_dirty(self) -> bool:
        return _without(self._now.data, self._now.free) != _without(self._now.base, self._now.free)

    # --- presets and sessions ------------------------------------------------------------

    def load_preset(
        self,
        name: str,
        data: Mapping[str, Any],
        unknown: Mapping[str, Any] | None = None,
        *,
        builtin: bool = False,
    ) -> None:
        """Choose a preset with these values of every setting; one undo step.

        PROJECT_PATHS that the preset does not speak of (see `spoken_of`) keep what the user
        chose; what came from the preset before leaves with it.
        """
        base = _complete(data)
        new = copy.deepcopy(base)
        free = frozenset(PROJECT_PATHS) - spoken_of(base, builtin)
        for path in free:
            mine = self.get(path)
            if not same(mine, get_path(self._now.base, path)):
                new = set_path(new, path, copy.deepcopy(mine))
        self._replace(_Whole(new, base, dict(unknown or {}), name, free), undoable=True)

    def restore(
        self,
        data: Mapping[str, Any],
        *,
        preset: str = "",
        base: Mapping[str, Any] | None = None,
        unknown: Mapping[str, Any] | None = None,
        builtin: bool = False,
    ) -> None:
        """Take over the edits of an earlier session; not an undo step."""
        full = _complete(base if base is not None else {})
        free = frozenset(PROJECT_PATHS) - spoken_of(full, builtin)
        whole = _Whole(_complete(data), full, dict(unknown or {}), preset, free)
        self._undo.clear()
        self._redo.clear()
        self._replace(whole, undoable=False)

    def saved_as(self, name: str) -> None:
        """The values now are what preset `name` holds."""
        data = self._now.data
        free = frozenset(PROJECT_PATHS) - spoken_of(data)
        self._now = _Whole(data, copy.deepcopy(data), self._now.unknown, name, free)
        # Undoing past this point must still compare with what is in the file now.
        for edit in (*self._undo, *self._redo):
            for whole in (edit.whole_before, edit.whole_after):
                if whole is not None and whole.preset == name:
                    whole.base, whole.free = copy.deepcopy(data), free
        self._touched()
        self.reloaded.emit()

    def renamed(self, name: str) -> None:
        """The preset in use is called `name` now (empty: it is gone, its values stay)."""
        self._now.preset = name
        self.reloaded.emit()

    def _replace(self, whole: _Whole, *, undoable: bool) -> None:
        if undoable:
            self._undo.append(_Edit(whole_before=self._now, whole_after=whole))
            self._redo.clear()
        self._set_whole(whole)

    def _set_whole(self, whole: _Whole) -> None:
        # A copy of the frame: later edits replace `data` in it and must not reach the undo step.
        self._now = _Whole(whole.data, whole.base, whole.unknown, whole.preset, whole.free)
        self._touched()
        self.reloaded.emit()

    # --- history ------------------------------------------------------------

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to undo."""
        return bool(self._undo)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to do again."""
        return bool(self._redo)

    def undo(self) -> None:
        """Take back the last step; nothing happens without one."""
        if self._undo:
            edit = self._undo.pop()
            self._redo.append(edit)
            self._go(edit.whole_before, edit.before)

    def redo(self) -> None:
        """Do the step that was undone last again."""
        if self._redo:
            edit = self._redo.pop()
            self._undo.append(edit)
            self._go(edit.whole_after, edit.after)

    def _go(self, whole: _Whole | None, values: Mapping[str, Any]) -> None:
        if self._undo:
            self._undo[-1].mergeable = False
        if whole is not None:
            self._set_whole(whole)
        else:
            self._put(values)

    # --- problems ------------------------------------------------------------

    def problems(self) -> list[Problem]:
        """Every problem of the values now, errors and warnings."""
        self._validate()
        return list(self._problems or [])

    def job(self) -> Job | None:
        """The validated job, or None while there are errors."""
        self._validate()
        return self._job

    def _validate(self) -> None:
        if self._problems is None:
            self._job, self._problems = validate(self._now.data)

    def _announce_problems(self) -> None:
        problems = self.problems()
        if problems != self._announced:
            self._announced = problems
            self.problemsChanged.emit()


def item_of(path: str) -> str:
    """The list item that a concrete path lies in (`concepts.0`), or empty."""
    for list_path in LISTS:
        rest = path.removeprefix(f"{list_path}.")
        if rest != path and rest.split(".")[0].isdigit():
            return f"{list_path}.{rest.split('.')[0]}"
    return ""


def spoken_of(data: Mapping[str, Any], builtin: bool = False) -> frozenset[str]:
    """Those of PROJECT_PATHS that a preset with these values decides.

    The Hugging Face name in a built-in preset is only a suggestion to who has chosen no base
    model: whoever has one goes through the built-in presets with it.
    """
    plain = defaults()
    spoken = {p for p in PROJECT_PATHS if get_path(data, p) != get_path(plain, p)}
    if builtin and is_hub_id(str(get_path(data, "model.base"))):
        spoken.discard("model.base")
    return frozenset(spoken)


def new_item(list_path: str) -> dict[str, Any]:
    """A list item with every setting at its default."""
    longer = set_path(defaults(), f"{list_path}.0.enabled", True)
    item: dict[str, Any] = get_path(longer, f"{list_path}.0")
    return item


def _complete(data: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults overlaid by `data`, so that every path exists."""
    result = _overlay(defaults(), data)
    for list_path in LISTS:
        items = get_path(result, list_path)
        if isinstance(items, list):
            blank = new_item(list_path)
            items[:] = [_overlay(blank, i) if isinstance(i, Mapping) else i for i in items]
    return result


def _overlay(under: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(under)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), dict):
            result[key] = _overlay(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def _without(data: Mapping[str, Any], paths: frozenset[str]) -> dict[str, Any]:
    result = copy.deepcopy(dict(data))
    for path in paths:
        *parents, last = path.split(".")
        node = result
        for part in parents:
            node = node[part]
        node.pop(last, None)
    return result
