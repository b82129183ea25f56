"""The settings of automatic captions, declared once for command line, window and worker."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from core.errors import Problem, UserError
from core.words import tr

Mode = Literal["skip", "append", "overwrite"]
Device = Literal["auto", "cpu", "gpu"]
Number = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class About:
    """What an option means: words for people, and the range of a number.

    part: `all`, or whether it is for a `tagger` or a `captioner` alone.
    """

    title: str
    help: str
    part: Literal["all", "tagger", "captioner"] = "all"
    least: float | None = None
    most: float | None = None
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class CaptionOptions:
    """How pictures are captioned: by `tagger` or by `captioner`, one of which is a folder or name.

    A name has the form `owner/name` and is looked for in the Hugging Face cache.
    """

    tagger: Annotated[
        str,
        About(
            tr("Tagger"),
            tr(
                "Folder with model.onnx and selected_tags.csv (WD14 and relatives), or its name on "
                "Hugging Face."
            ),
        ),
    ] = ""
    captioner: Annotated[
        str,
        About(
            tr("Captioner"),
            tr("Folder of a BLIP, BLIP-2 or Florence-2 model, or its name on Hugging Face."),
        ),
    ] = ""
    mode: Annotated[
        Mode,
        About(
            tr("Pictures with a caption"),
            tr("Leave them out, add to what they have, or write over it."),
            labels={
                "skip": tr("Leave out"),
                "append": tr("Add to it"),
                "overwrite": tr("Write over it"),
            },
        ),
    ] = "skip"
    trigger: Annotated[
        str, About(tr("Trigger word"), tr("Put in front of each new caption unless it is there."))
    ] = ""
    general: Annotated[
        float,
        About(
            tr("Threshold"),
            tr("General tags below this probability are left out."),
            part="tagger",
            least=0.0,
            most=1.0,
        ),
    ] = 0.35
    character: Annotated[
        float,
        About(
            tr("Threshold for characters"),
            tr("Names of characters below this probability are left out."),
            part="tagger",
            least=0.0,
            most=1.0,
        ),
    ] = 0.85
    most_tags: Annotated[
        int,
        About(
            tr("Most tags"),
            tr("The most probable ones are kept; 0 keeps all."),
            part="tagger",
            least=0,
        ),
    ] = 0
    exclude: Annotated[
        tuple[str, ...],
        About(tr("Never write"), tr("Tags that are left out, separated by commas."), part="tagger"),
    ] = ()
    characters_first: Annotated[
        bool,
        About(
            tr("Characters first"),
            tr("Names of characters before the general tags."),
            part="tagger",
        ),
    ] = True
    ratings: Annotated[
        bool,
        About(tr("Rating"), tr("Add the content rating (general, sensitive, ...)."), part="tagger"),
    ] = False
    underscores: Annotated[
        bool,
        About(tr("Keep underscores"), tr("Write long_hair instead of long hair."), part="tagger"),
    ] = False
    escape: Annotated[
        bool,
        About(
            tr("Escape parentheses"),
            tr("Write \\( and \\) as some prompt fields want it; the trainer does not."),
            part="tagger",
        ),
    ] = False
    prompt: Annotated[
        str,
        About(
            tr("Prompt"),
            tr(
                "BLIP: how the caption begins. Florence-2: a task such as <CAPTION>, "
                "<DETAILED_CAPTION> or <MORE_DETAILED_CAPTION>; empty means <DETAILED_CAPTION>."
            ),
            part="captioner",
        ),
    ] = ""
    max_tokens: Annotated[
        int, About(tr("Longest caption"), tr("In tokens."), part="captioner", least=1, most=4096)
    ] = 120
    dtype: Annotated[
        Number,
        About(
            tr("Number format"),
            tr("auto is bfloat16 or float16 on a GPU, float32 on the processor."),
            part="captioner",
        ),
    ] = "auto"
    device: Annotated[
        Device, About(tr("Calculate on"), tr("auto takes a GPU where there is one."))
    ] = "auto"
    batch: Annotated[
        int, About(tr("Pictures at once"), tr("0 lets Limner choose."), least=0, most=256)
    ] = 0
    download: Annotated[
        bool,
        About(
            tr("Download"),
            tr(
                "Fetch a model that is given by name and not in the cache; without it nothing is "
                "sent or fetched."
            ),
        ),
    ] = False

    @property
    def by_tags(self) -> bool:
        """Whether a tagger makes the captions."""
        return bool(self.tagger.strip())


_HINTS = get_type_hints(CaptionOptions, include_extras=True)
ABOUT: dict[str, About] = {name: hint.__metadata__[0] for name, hint in _HINTS.items()}


def kinds() -> dict[str, Any]:
    """Option name -> its Python type."""
    return get_type_hints(CaptionOptions)


def make_options(values: Mapping[str, Any]) -> CaptionOptions:
    """Options from plain values, checked. Raises UserError with every problem; `setting` names
    the option."""
    problems: list[Problem] = []
    checked: dict[str, Any] = {}
    for name, kind in kinds().items():
        if name in values:
            value = _converted(values[name], kind)
            if problem := _wrong(name, value, kind):
                problems.append(problem)
            checked[name] = value
    options = CaptionOptions(**checked)
    if bool(options.tagger.strip()) == bool(options.captioner.strip()):
        problems.append(
            Problem(
                code="captioner_choice",
                title="Choose a tagger or a captioner, one of the two.",
                setting="tagger",
            )
        )
    if problems:
        raise UserError(*problems)
    return options


def _converted(value: Any, kind: Any) -> Any:
    if get_origin(kind) is tuple:
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(
            text for part in parts for one in str(part).split(",") if (text := one.strip())
        )
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _wrong(name: str, value: Any, kind: Any) -> Problem | None:
    about = ABOUT[name]
    told = ""
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            told = f"must be one of {', '.join(map(str, get_args(kind)))}"
    elif kind in (int, float):
        if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value):
            told = "must be a whole number" if kind is int else "must be a number"
        elif about.least is not None and value < about.least:
            told = f"must be at least {about.least:g}"
        elif about.most is not None and value > about.most:
            told = f"must be at most {about.most:g}"
    elif get_origin(kind) not in (tuple, Union, types.UnionType) and not isinstance(value, kind):
        told = f"must be {'yes or no' if kind is bool else 'a text'}"
    if not told:
        return None
    return Problem(
        code="bad_option",
        title=f"{about.title} is {value!r}; it {told}.",
        setting=name,
    )
