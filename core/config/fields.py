"""How a setting is declared, and how everything else asks what was declared.

A setting is one pydantic field made by `setting(...)`. From it come JSON, validation,
form widgets, tooltips, search, `--set path=value` and the settings reference.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError, core_schema

from core.config.numbers import NotANumber, parse_number

Level = Literal["basic", "all"]
Kind = Literal["", "folder", "file", "save_file", "model", "text", "prompt", "paragraph"]


@dataclass(frozen=True)
class Above:
    """The values of a condition that holds for every number above `bound`."""

    bound: float

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and value > self.bound


class Named(Protocol):
    """What an entry of a registry tells about itself: OPTIMIZERS, SCHEDULES and others."""

    @property
    def title(self) -> str: ...
    @property
    def help(self) -> str: ...


@dataclass(frozen=True, eq=False)
class OneOf:
    """Annotation of a text that names an entry of a registry: `Annotated[str, OneOf(SCHEDULES)]`.

    The registry is asked when a value is checked, so a new entry is a choice at once.
    """

    registry: Mapping[str, Named]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {**handler(schema), "enum": list(self.registry)}

    def _checked(self, value: str) -> str:
        if value not in self.registry:
            raise PydanticCustomError("unknown_choice", "is not one of the choices")
        return value


class Using(list[str]):
    """The values of a condition: every entry of a registry whose `uses` has `name`.

    A list of them for JSON and for people; a later entry holds all the same.
    """

    def __init__(self, registry: Mapping[str, Any], name: str) -> None:
        super().__init__(value for value, kind in registry.items() if name in kind.uses)
        self._registry, self._name = registry, name

    def __contains__(self, value: object) -> bool:
        return any(v == value and self._name in kind.uses for v, kind in self._registry.items())


Condition = Mapping[str, tuple[Any, ...] | Above | Using]


class Settings(BaseModel):
    """Base of every group of settings: checks on assignment, refuses unknown names."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_of_texts(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic would take 1 for "1.000", and for true.
        if not isinstance(value, str | bool) or info.field_name is None:
            return value
        kind, _ = _without_none(cls.model_fields[info.field_name].annotation)
        if kind is not int and kind is not float:
            return value
        if isinstance(value, bool):
            raise NotANumber("a whole number" if kind is int else "a number")
        return parse_number(value, whole=kind is int)


def setting(
    default: Any,
    *,
    title: str,
    help: str,
    level: Level = "all",
    unit: str = "",
    group: str = "",
    when: Condition | None = None,
    ready: bool = True,
    kind: Kind = "",
    labels: Mapping[Any, str] | None = None,
    empty: str = "",
    also: str = "",
    **constraints: Any,
) -> Any:
    """Declare one setting; returns a pydantic field.

    level: shown in the Basic form or only in All. when: path -> values under which the
    setting applies, all must hold; inside a list item (a concept, a sample prompt) paths are
    relative to the item, elsewhere to the job. ready: False while no code obeys it; it is then
    part of the format but never shown. kind: which editor a string gets. labels: how each
    choice is called. empty: what an empty value means, shown greyed in the field. also: what other
    programs call it, for the search, separated by commas.
    constraints: pydantic's ge, gt, le, lt, multiple_of, min_length, max_length, pattern.
    """
    extra: Any = {
        "level": level,
        "unit": unit,
        "group": group,
        "when": dict(when or {}),
        "ready": ready,
        "kind": kind,
        "labels": dict(labels or {}),
        "empty": empty,
        "also": also,
    }
    if callable(default):
        return Field(
            default_factory=default,
            title=title,
            description=help,
            json_schema_extra={"limner": extra},
            **constraints,
        )
    return Field(
        default,
        title=title,
        description=help,
        json_schema_extra={"limner": extra},
        **constraints,
    )


@dataclass(frozen=True)
class SettingInfo:
    """Everything that was declared about one setting.

    helps: a text for each choice that has one, besides the setting's own. also: what other
    programs call it.

    path: dotted, with `[]` for list items, such as `training.learning_rate` or
    `concepts[].prompt.source`. type: bool, int, float, str, `choice`, or `list`.
    optional: None is allowed. minimum/maximum with *_open True when the bound itself is not
    allowed.
    """

    path: str
    type: Literal["bool", "int", "float", "str", "choice", "list"]
    default: Any
    title: str
    help: str
    level: Level
    unit: str
    group: str
    when: Condition
    ready: bool
    kind: Kind
    optional: bool
    choices: tuple[Any, ...] = ()
    labels: Mapping[Any, str] = field(default_factory=dict)
    helps: Mapping[Any, str] = field(default_factory=dict)
    empty: str = ""
    also: str = ""
    minimum: float | None = None
    minimum_open: bool = False
    maximum: float | None = None
    maximum_open: bool = False
    multiple_of: float | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit(".", 1)[-1]

    def label_of(self, choice: Any) -> str:
        """How a choice is called in the interface."""
        return self.labels.get(choice, str(choice))

    def range_text(self) -> str:
        """The allowed range in words, such as `above 0, at most 1`; empty when unbounded."""
        parts = []
        if self.minimum is not None:
            parts.append(f"{'above' if self.minimum_open else 'at least'} {self.minimum:g}")
        if self.maximum is not None:
            parts.append(f"{'below' if self.maximum_open else 'at most'} {self.maximum:g}")
        if self.multiple_of is not None:
            parts.append(f"a multiple of {self.multiple_of:g}")
        return ", ".join(parts)


def walk(model: type[BaseModel], prefix: str = "") -> Iterator[SettingInfo]:
    """Every setting below `model` in the order of declaration."""
    for name, info in model.model_fields.items():
        path = f"{prefix}{name}"
        inner, optional = _without_none(info.annotation)
        item = get_args(inner)[0] if get_origin(inner) is list else None
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from walk(inner, f"{path}.")
        elif isinstance(item, type) and issubclass(item, BaseModel):
            yield from walk(item, f"{path}[].")
        elif _declared(info) is not None:
            yield _describe(path, info, inner, optional)


def _declared(info: FieldInfo) -> dict[str, Any] | None:
    extra = info.json_schema_extra
    if not isinstance(extra, dict):
        return None
    declared = extra.get("limner")
    return declared if isinstance(declared, dict) else None


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [a for a in get_args(annotation) if a is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return annotation, False


def _describe(path: str, info: FieldInfo, inner: Any, optional: bool) -> SettingInfo:
    declared = _declared(info) or {}
    choices: tuple[Any, ...] = ()
    labels, helps = dict(declared["labels"]), dict[Any, str]()
    one_of = next((m for m in info.metadata if isinstance(m, OneOf)), None)
    if one_of is not None:
        kind_of_value, choices = "choice", tuple(one_of.registry)
        labels |= {name: kind.title for name, kind in one_of.registry.items()}
        helps = {name: kind.help for name, kind in one_of.registry.items()}
    elif get_origin(inner) is Literal:
        kind_of_value, choices = "choice", get_args(inner)
    elif get_origin(inner) is list:
        kind_of_value = "list"
    else:
        kind_of_value = {bool: "bool", int: "int", float: "float", str: "str"}[inner]
    bounds: dict[str, Any] = {}
    for constraint in info.metadata:
        for attribute, target, is_open in (
            ("ge", "minimum", False),
            ("gt", "minimum", True),
            ("le", "maximum", False),
            ("lt", "maximum", True),
        ):
            value = getattr(constraint, attribute, None)
            if value is not None:
                bounds[target], bounds[f"{target}_open"] = value, is_open
        if getattr(constraint, "multiple_of", None) is not None:
            bounds["multiple_of"] = constraint.multiple_of
    return SettingInfo(
        path=path,
        type=kind_of_value,  # type: ignore[arg-type]
        default=info.get_default(call_default_factory=True),
        title=info.title or path,
        help=info.description or "",
        level=declared["level"],
        unit=declared["unit"],
        group=declared["group"],
        when=declared["when"],
        ready=declared["ready"],
        kind=declared["kind"],
        optional=optional,
        choices=choices,
        labels=labels,
        helps=helps,
        empty=declared["empty"],
        also=declared["also"],
        **bounds,
    )
