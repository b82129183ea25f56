"""A preset's contents as plain data: over the defaults, back to the difference, paths, versions.

No files are touched here; core.config.presets finds, loads and saves them.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from core.config.fields import SettingInfo
from core.config.job import (
    BY_PATH,
    FORMAT_VERSION,
    MOST_ITEMS,
    Job,
    defaults,
    info_of,
    set_path,
    validate,
)
from core.config.rules import PATH_KINDS
from core.errors import Problem, fail, shortened
from core.paths import foreign_system, resources_dir, user_path

Data = dict[str, Any]
Migration = Callable[[Data], Data]

# From version n to n + 1, by n. Version 1 is the first.
MIGRATIONS: Mapping[int, Migration] = {}

RESOURCES = "{resources}"
_MODEL_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".sft")
_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def migrate(
    raw: Mapping[str, Any],
    called: str,
    migrations: Mapping[int, Migration] = MIGRATIONS,
    newest: int = FORMAT_VERSION,
) -> Data:
    """`raw` in the newest format version; `called` names the file in errors.

    Data without a version counts as version 1. Raises UserError for a newer version than
    `newest` and for a version that is none.
    """
    version = raw.get("limner", 1)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise fail(
            "preset_version_invalid",
            f"{called} has the format version {version!r}, which does not exist; "
            f'write "limner": {newest} if it is a preset of Limner.',
            setting="limner",
        )
    if version > newest:
        raise fail(
            "preset_newer",
            f"{called} was written by a newer Limner (format {version}, this one knows {newest}); "
            f"update Limner to use it. The file was left as it is.",
            setting="limner",
        )
    data: Data = copy.deepcopy(dict(raw))
    for step in range(version, newest):
        data = migrations[step](data)
    data["limner"] = newest
    return data


def over_defaults(raw: Mapping[str, Any]) -> tuple[Data, Data, list[Problem]]:
    """Lay migrated `raw` over the defaults: full data, unknown keys, problems.

    Unknown keys come back nested as they were found, those of a list item under its index as a
    text (`{"concepts": {"0": {...}}}`), with one warning each. A value of a wrong type or out of
    range gives one error with its path, and the default takes its place.
    """
    problems: list[Problem] = []
    data, unknown = _overlay(Job, raw, "", problems)
    data["limner"] = FORMAT_VERSION
    _, found = validate(data)
    for problem in found:
        info = info_of(problem.setting)
        if problem.code == "setting_invalid" and info is not None:
            data = set_path(data, problem.setting, copy.deepcopy(info.default))
            default = info.empty if info.default is None else repr(info.default)
            note = f"The default, {default}, was taken instead."
            problems.append(replace(problem, detail=note))
    return Job.model_validate(data).model_dump(), unknown, problems


def _overlay(
    model: type[BaseModel], raw: Mapping[str, Any], prefix: str, problems: list[Problem]
) -> tuple[Data, Data]:
    data: Data = model().model_dump()
    unknown: Data = {}
    for key, value in raw.items():
        path = f"{prefix}{key}"
        if key not in model.model_fields:
            unknown[key] = copy.deepcopy(value)
            problems.append(_unknown_key(path))
            continue
        group, item = _group_of(model, key), _item_of(model, key)
        if group is not None:
            if not isinstance(value, Mapping):
                problems.append(_wrong_shape(path, "a group of settings in braces", value))
                continue
            data[key], rest = _overlay(group, value, f"{path}.", problems)
            if rest:
                unknown[key] = rest
        elif item is not None:
            if not isinstance(value, list):
                problems.append(_wrong_shape(path, "a list in square brackets", value))
                continue
            data[key], rest = _overlay_items(item, value, path, problems)
            if rest:
                unknown[key] = rest
        else:
            data[key] = copy.deepcopy(value)
    return data, unknown


def _overlay_items(
    model: type[BaseModel], raw: list[Any], path: str, problems: list[Problem]
) -> tuple[list[Data], Data]:
    items: list[Data] = []
    unknown: Data = {}
    if len(raw) > MOST_ITEMS:
        title = (
            f"{path} has {len(raw)} entries, but at most {MOST_ITEMS} are possible; remove the "
            "others."
        )
        problems.append(Problem(code="too_many_items", title=title, setting=path))
    for position, entry in enumerate(raw[:MOST_ITEMS]):
        if not isinstance(entry, Mapping):
            wants = "a group of settings in braces"
            problem = _wrong_shape(f"{path}.{position}", wants, entry)
            problems.append(replace(problem, detail="It was left out."))
            continue
        # Paths count the items that are kept, because these are the ones people see.
        index = len(items)
        item, rest = _overlay(model, entry, f"{path}.{index}.", problems)
        items.append(item)
        if rest:
            unknown[str(index)] = rest
    return items, unknown


def _unknown_key(path: str) -> Problem:
    return Problem(
        code="setting_unknown",
        severity="warning",
        title=f"This Limner knows no setting named {path}; it is kept in the file and ignored.",
        setting=path,
    )


def _wrong_shape(path: str, wants: str, value: Any) -> Problem:
    return Problem(
        code="setting_invalid",
        title=f"{path} must be {wants}, not {shortened(value)}.",
        detail="The default was taken instead.",
        setting=path,
    )


def _group_of(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    annotation = model.model_fields[key].annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def _item_of(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    annotation = model.model_fields[key].annotation
    if get_origin(annotation) is not list:
        return None
    inner = get_args(annotation)[0]
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None


def minimal(data: Mapping[str, Any], unknown: Mapping[str, Any] | None = None) -> Data:
    """What a preset file holds: version, what differs from the defaults, and unknown keys.

    List items are differences from the item's defaults.
    """
    less = _less(Job, data, defaults())
    less.pop("limner", None)
    return {"limner": FORMAT_VERSION, **_with_unknown(Job, less, data, unknown or {})}


def _less(model: type[BaseModel], data: Mapping[str, Any], base: Mapping[str, Any]) -> Data:
    result: Data = {}
    for key, value in data.items():
        group = _group_of(model, key) if key in model.model_fields else None
        item = _item_of(model, key) if key in model.model_fields else None
        if group is not None and isinstance(value, Mapping):
            inner = _less(group, value, base[key])
            if inner:
                result[key] = inner
        elif item is not None and isinstance(value, list):
            template = item().model_dump()
            if value:
                result[key] = [_less(item, entry, template) for entry in value]
        elif key not in base or not _same(value, base[key]):
            result[key] = copy.deepcopy(value)
    return result


def _with_unknown(
    model: type[BaseModel], less: Data, data: Mapping[str, Any], unknown: Mapping[str, Any]
) -> Data:
    for key, value in unknown.items():
        if key not in model.model_fields:
            less.setdefault(key, copy.deepcopy(value))
            continue
        group, item = _group_of(model, key), _item_of(model, key)
        if group is not None:
            less[key] = _with_unknown(group, less.get(key, {}), data.get(key, {}), value)
        elif item is not None:
            entries = less.get(key, [])
            for index, rest in value.items():
                if int(index) < len(entries):
                    _with_unknown(item, entries[int(index)], {}, rest)
    return less


def _same(a: Any, b: Any) -> bool:
    # In Python True == 1; in a settings file these are two different things.
    return bool(a == b) and isinstance(a, bool) == isinstance(b, bool)


def diff(data: Mapping[str, Any], base: Mapping[str, Any]) -> Data:
    """Settings of `data` that are not as in `base`: dotted path -> the value in `data`.

    List items are compared by position. An item that only `data` has appears as a whole
    (`concepts.2` -> its data), one that only `base` has as None.
    """
    return dict(_differences(data, base, ""))


def _differences(
    data: Mapping[str, Any], base: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        path, other = f"{prefix}{key}", base.get(key)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            yield from _differences(value, other, f"{path}.")
        elif isinstance(value, list) and isinstance(other, list):
            for index in range(max(len(value), len(other))):
                if index >= len(value):
                    yield f"{path}.{index}", None
                elif index >= len(other):
                    yield f"{path}.{index}", value[index]
                else:
                    yield from _differences(value[index], other[index], f"{path}.{index}.")
        elif key not in base or not _same(value, other):
            yield path, value


def resolve_paths(data: Mapping[str, Any], folder: Path) -> Data:
    """A copy of full `data` in which every path setting is absolute.

    `{resources}` becomes Limner's resources folder, `~` the home folder, and relative paths
    resolve against `folder`. A base model's Hugging Face name stays as it is unless `folder`
    holds something of that name.
    """
    result: Data = _map_paths(data, "", folder)
    return result


def resolve_value(path: str, value: Any, folder: Path) -> Any:
    """`value` of the setting (or group of settings) at `path`, resolved like `resolve_paths`."""
    return _map_paths(value, re.sub(r"\.\d+(?=\.|$)", "[]", path), folder)


def _map_paths(node: Any, path: str, folder: Path) -> Any:
    if isinstance(node, Mapping):
        start = f"{path}." if path else ""
        return {key: _map_paths(value, f"{start}{key}", folder) for key, value in node.items()}
    if isinstance(node, list):
        return [_map_paths(value, f"{path}[]", folder) for value in node]
    info = BY_PATH.get(path)
    if info is not None and info.kind in PATH_KINDS and isinstance(node, str):
        return _resolve(info, node, folder)
    return node


def _resolve(info: SettingInfo, text: str, folder: Path) -> str:
    written = text.strip()
    if not written or foreign_system(written):
        return text
    if written == RESOURCES or written.startswith((RESOURCES + "/", RESOURCES + "\\")):
        rest = re.split(r"[\\/]", written[len(RESOURCES) :])
        return str(resources_dir().joinpath(*[part for part in rest if part]))
    target = folder / user_path(written)
    if info.kind == "model" and _may_be_hub_id(written) and not os.path.exists(target):
        return text
    return os.path.abspath(target)


def _may_be_hub_id(text: str) -> bool:
    is_file = text.lower().endswith(_MODEL_SUFFIXES)
    return bool(_HUB_ID.fullmatch(text)) and not is_file
