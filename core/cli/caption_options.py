"""The options of `limner caption`, made from the one declaration in core.captioning.options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_origin

import typer

from core.captioning.options import ABOUT, CaptionOptions, kinds

_METAVARS = {"tagger": "DIR", "captioner": "DIR", "exclude": "TAG", "trigger": "WORD"}


def with_caption_options(function: Callable[..., int]) -> Callable[..., int]:
    """Give `function(..., **options)` one command line option for each caption option."""
    before = inspect.signature(function, eval_str=True)
    own = [p for p in before.parameters.values() if p.kind is not p.VAR_KEYWORD]
    defaults = CaptionOptions()
    made = [_parameter(name, kind, getattr(defaults, name)) for name, kind in kinds().items()]
    function.__signature__ = before.replace(parameters=[*own, *made])  # type: ignore[attr-defined]
    function.__annotations__ = {p.name: p.annotation for p in (*own, *made)}
    return function


def _parameter(name: str, kind: Any, default: Any) -> inspect.Parameter:
    about = ABOUT[name]
    flag = "--" + name.replace("_", "-")
    more: dict[str, Any] = {"help": about.help, "metavar": _METAVARS.get(name)}
    annotation = kind
    shown: Any = default
    flags = [flag]
    if kind is bool:
        flags = [f"{flag}/--no-{flag[2:]}" if default else flag]
    elif get_origin(kind) is Literal:
        del more["metavar"]
    elif get_origin(kind) is tuple:
        annotation, shown = list[str] | None, None
        more["help"] = about.help.replace("separated by commas", "may be repeated")
    if kind in (int, float):
        more["min"], more["max"] = about.least, about.most
    if about.part != "all":
        more["rich_help_panel"] = f"With a {about.part}"
    option = typer.Option(*flags, **more)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=shown,
        annotation=Annotated[annotation, option],
    )
