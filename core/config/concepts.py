"""Settings of the Concepts tab: the pictures to learn from and their captions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.config.fields import Settings, setting, tr

PromptSource = Literal["caption_file", "single_file", "filename", "fixed"]


class Prompt(Settings):
    """Where the caption of each picture comes from."""

    source: PromptSource = setting(
        "caption_file",
        title=tr("Captions from"),
        help=tr(
            "A text file beside each picture, one text file for the whole concept (one of its "
            "lines at random), the picture's file name, or one fixed text."
        ),
        level="basic",
        labels={
            "caption_file": tr("Text file beside each picture"),
            "single_file": tr("One text file"),
            "filename": tr("File name"),
            "fixed": tr("Fixed text"),
        },
    )
    file: str = setting(
        "",
        title=tr("Text file"),
        help=tr("Each line that is not empty is one caption."),
        level="basic",
        kind="file",
        when={"prompt.source": ("single_file",)},
    )
    text: str = setting(
        "",
        title=tr("Caption"),
        help=tr("The caption of every picture. {trigger} and {filename} are replaced."),
        level="basic",
        kind="prompt",
        when={"prompt.source": ("fixed",)},
    )
    trigger: str = setting(
        "",
        title=tr("Trigger word"),
        help=tr(
            "A rare word put in front of every caption that does not have it; use it later to "
            "call up what was learned."
        ),
        level="basic",
    )


class ImageAugmentation(Settings):
    """Random changes to the pictures."""

    flip: bool = setting(
        False,
        title=tr("Mirror at random"),
        help=tr("Show the picture mirrored half of the time."),
        ready=False,
    )
    crop_jitter: bool = setting(
        False,
        title=tr("Move the crop at random"),
        help=tr("Cut the bucket's rectangle at a random place instead of the middle."),
        ready=False,
    )
    rotation: float = setting(
        0.0,
        title=tr("Rotate up to"),
        help=tr("Largest rotation to either side."),
        unit="°",
        ge=0,
        le=180,
        ready=False,
    )
    brightness: float = setting(
        0.0,
        title=tr("Brightness"),
        help=tr("Largest change as a share."),
        ge=0,
        le=1,
        ready=False,
    )
    contrast: float = setting(
        0.0, title=tr("Contrast"), help=tr("Largest change as a share."), ge=0, le=1, ready=False
    )
    saturation: float = setting(
        0.0, title=tr("Saturation"), help=tr("Largest change as a share."), ge=0, le=1, ready=False
    )
    hue: float = setting(
        0.0, title=tr("Hue"), help=tr("Largest turn of the colours."), ge=0, le=1, ready=False
    )


class CaptionAugmentation(Settings):
    """Changes to the captions, made anew at each step."""

    shuffle: bool = setting(
        False,
        title=tr("Shuffle tags"),
        help=tr("Put the comma-separated tags into a new order at each step."),
    )
    keep: int = setting(
        1,
        title=tr("Keep first tags"),
        help=tr("How many tags at the front stay in their place."),
        ge=0,
        le=100,
        when={"caption.shuffle": (True,)},
    )
    dropout: float = setting(
        0.0,
        title=tr("Caption dropout"),
        help=tr(
            "Share of steps at which the picture is shown with an empty caption; 0.05 to 0.1 "
            "helps a style to be learned without being called."
        ),
        ge=0,
        le=1,
    )


class Concept(Settings):
    """One folder of pictures that belong together."""

    name: str = setting(
        "",
        title=tr("Name"),
        help=tr("How this concept is called in the window and the log."),
        level="basic",
        empty=tr("the folder's name"),
    )
    path: str = setting(
        "",
        title=tr("Folder"),
        help=tr("The folder with the pictures."),
        level="basic",
        kind="folder",
    )
    enabled: bool = setting(
        True,
        title=tr("Use this concept"),
        help=tr("Switch off to leave it out without losing it."),
        level="basic",
    )
    include_subfolders: bool = setting(
        False,
        title=tr("With subfolders"),
        help=tr("Also take pictures from folders inside the folder."),
        level="basic",
    )
    kind: Literal["train", "validation", "prior"] = setting(
        "train",
        title=tr("Purpose"),
        help=tr("Train on it, only measure with it, or keep the model from forgetting with it."),
        labels={"train": tr("Train"), "validation": tr("Validation"), "prior": tr("Prior")},
        ready=False,
    )
    repeats: float = setting(
        1.0,
        title=tr("Repeats"),
        help=tr(
            "How often each picture is shown in one epoch; 0.5 shows another half of them each "
            "epoch. Evens out concepts of different sizes."
        ),
        level="basic",
        unit="×",
        gt=0,
        le=10000,
    )
    loss_weight: float = setting(
        1.0,
        title=tr("Loss weight"),
        help=tr("How much these pictures count against those of other concepts."),
        ge=0,
        le=100,
    )
    resolution: int | None = setting(
        None,
        title=tr("Resolution"),
        help=tr("Another training resolution for this concept only."),
        unit="px",
        ge=64,
        le=4096,
        multiple_of=8,
        empty=tr("as in Training"),
    )
    prompt: Prompt = Field(default_factory=Prompt)
    image: ImageAugmentation = Field(default_factory=ImageAugmentation)
    caption: CaptionAugmentation = Field(default_factory=CaptionAugmentation)
