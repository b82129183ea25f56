"""Settings of the Concepts tab: the pictures to learn from and their captions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.config.fields import Above, Settings, setting
from core.words import tr

PromptSource = Literal[
    "caption_file", "metadata", "single_file", "filename", "folder_name", "fixed"
]
Kind = Literal["train", "validation", "prior"]

CAPTIONS, CAPTION_CHANGES = tr("Captions"), tr("Changes to the captions")
CHANGES, MASKS = tr("Changes to the pictures"), tr("Masks")


class Prompt(Settings):
    """Where the caption of each picture comes from."""

    source: PromptSource = setting(
        "caption_file",
        title=tr("Captions from"),
        help=tr(
            "A text file beside each picture, a metadata.csv or metadata.jsonl table, one text "
            "file for the whole concept, the picture's file name, the folder's name, or one "
            "fixed text."
        ),
        level="basic",
        group=CAPTIONS,
        labels={
            "caption_file": tr("Text file beside each picture"),
            "metadata": tr("Table (metadata.csv or .jsonl)"),
            "single_file": tr("One text file"),
            "filename": tr("File name"),
            "folder_name": tr("Folder's name"),
            "fixed": tr("Fixed text"),
        },
    )
    lines: Literal["alternatives", "whole"] = setting(
        "alternatives",
        title=tr("Several lines"),
        help=tr(
            "Each line that is not empty is a caption of its own, one of them drawn each time; or "
            "all lines together are one caption."
        ),
        group=CAPTIONS,
        labels={
            "alternatives": tr("Each line is a caption"),
            "whole": tr("All lines are one caption"),
        },
        when={"prompt.source": ("caption_file", "single_file")},
    )
    file: str = setting(
        "",
        title=tr("Text file"),
        help=tr("The one file that holds the captions."),
        level="basic",
        group=CAPTIONS,
        kind="file",
        when={"prompt.source": ("single_file",)},
    )
    table: str = setting(
        "",
        title=tr("Table"),
        help=tr(
            "Columns file_name and text, as Hugging Face and DiffSynth folders have; file names "
            "count from the table's own folder."
        ),
        level="basic",
        group=CAPTIONS,
        kind="file",
        when={"prompt.source": ("metadata",)},
        empty=tr("metadata.csv or metadata.jsonl in the folder"),
    )
    encoding: Literal[
        "", "gb18030", "cp932", "euc_jp", "big5", "cp949", "cp1252", "cp1250", "cp1251"
    ] = setting(
        "",
        title=tr("Text encoding"),
        help=tr(
            "How caption files that are not UTF-8 are read. Automatic guesses, and Check lists the "
            "guesses."
        ),
        group=CAPTIONS,
        labels={
            "": tr("Automatic"),
            "gb18030": tr("Chinese (GB18030)"),
            "cp932": tr("Japanese (Shift-JIS)"),
            "euc_jp": tr("Japanese (EUC-JP)"),
            "big5": tr("Chinese (Big5)"),
            "cp949": tr("Korean"),
            "cp1252": tr("Western European"),
            "cp1250": tr("Central European"),
            "cp1251": tr("Cyrillic"),
        },
        when={"prompt.source": ("caption_file", "single_file")},
    )
    clean_name: bool = setting(
        True,
        title=tr("Tidy the file name"),
        help=tr("Underscores become spaces and numbering at the end is left out."),
        group=CAPTIONS,
        when={"prompt.source": ("filename",)},
    )
    text: str = setting(
        "",
        title=tr("Caption"),
        help=tr("The caption of every picture. {trigger} and {filename} are replaced."),
        level="basic",
        group=CAPTIONS,
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
        group=CAPTIONS,
    )


def _chance(title: str, help: str) -> float:
    """The share of showings at which a change is made; 0 leaves it out."""
    value: float = setting(
        0.0,
        title=title,
        help=help,
        group=CHANGES,
        unit=tr("chance"),
        also="augmentation",
        ge=0,
        le=1,
    )
    return value


class ImageAugmentation(Settings):
    """Random changes to the pictures, each made at its own chance."""

    flip: float = _chance(
        tr("Mirror"),
        tr("Left and right change places. Not for faces with a parting, text or logos."),
    )
    crop_jitter: float = _chance(
        tr("Move the crop"),
        tr("Cut the bucket's rectangle at a random place instead of the chosen one."),
    )
    crop_jitter_reach: float = setting(
        1.0,
        title=tr("Move up to"),
        help=tr("Share of the room that the picture leaves beside the crop."),
        group=CHANGES,
        gt=0,
        le=1,
        when={"image.crop_jitter": Above(0)},
    )
    scale: float = _chance(tr("Zoom in"), tr("Show a part of the picture larger."))
    scale_most: float = setting(
        1.2,
        title=tr("Zoom in up to"),
        help=tr("Largest enlargement."),
        group=CHANGES,
        unit="×",
        gt=1,
        le=4,
        when={"image.scale": Above(0)},
    )
    rotation: float = _chance(
        tr("Rotate"), tr("Turn the picture a little; it is enlarged so that no corner is empty.")
    )
    rotation_most: float = setting(
        5.0,
        title=tr("Rotate up to"),
        help=tr("Largest rotation to either side."),
        group=CHANGES,
        unit="°",
        gt=0,
        le=180,
        when={"image.rotation": Above(0)},
    )
    brightness: float = _chance(tr("Brightness"), tr("Make the picture lighter or darker."))
    brightness_most: float = setting(
        0.1,
        title=tr("Brightness up to"),
        help=tr("Largest change as a share."),
        group=CHANGES,
        gt=0,
        le=1,
        when={"image.brightness": Above(0)},
    )
    contrast: float = _chance(tr("Contrast"), tr("Raise or lower the contrast."))
    contrast_most: float = setting(
        0.1,
        title=tr("Contrast up to"),
        help=tr("Largest change as a share."),
        group=CHANGES,
        gt=0,
        le=1,
        when={"image.contrast": Above(0)},
    )
    saturation: float = _chance(tr("Saturation"), tr("Make colours stronger or weaker."))
    saturation_most: float = setting(
        0.1,
        title=tr("Saturation up to"),
        help=tr("Largest change as a share."),
        group=CHANGES,
        gt=0,
        le=1,
        when={"image.saturation": Above(0)},
    )
    hue: float = _chance(tr("Hue"), tr("Turn all colours on the colour wheel."))
    hue_most: float = setting(
        10.0,
        title=tr("Hue up to"),
        help=tr("Largest turn to either side."),
        group=CHANGES,
        unit="°",
        gt=0,
        le=180,
        when={"image.hue": Above(0)},
    )
    blur: float = _chance(tr("Blur"), tr("Soften the picture."))
    blur_most: float = setting(
        1.0,
        title=tr("Blur up to"),
        help=tr("Largest radius, in pixels of the training size."),
        group=CHANGES,
        unit="px",
        gt=0,
        le=20,
        when={"image.blur": Above(0)},
    )
    grayscale: float = _chance(tr("Without colour"), tr("Show the picture in shades of grey."))
    caching: Literal["variants", "off"] = setting(
        "variants",
        title=tr("With changes"),
        help=tr(
            "Prepare several changed versions of each picture before training, or change and "
            "encode it anew at each step: endless variety, but slower, and the VAE stays in memory."
        ),
        group=CHANGES,
        labels={"variants": tr("Prepare several versions"), "off": tr("Anew at each step")},
    )
    variants: int = setting(
        4,
        title=tr("Versions of each picture"),
        help=tr("How many changed versions are prepared; each step draws one."),
        group=CHANGES,
        ge=1,
        le=64,
        when={"image.caching": ("variants",)},
    )


class Masks(Settings):
    """Which part of a picture is learned."""

    source: Literal["none", "file", "alpha"] = setting(
        "none",
        title=tr("Learn only a part"),
        help=tr(
            "White in the mask is learned, black is not. The mask is a file such as "
            "photo-masklabel.png beside photo.jpg, or the picture's own transparency. Pictures "
            "without a mask are learned whole."
        ),
        group=MASKS,
        labels={
            "none": tr("No, the whole picture"),
            "file": tr("By -masklabel.png files"),
            "alpha": tr("By transparency"),
        },
    )
    outside: float = setting(
        0.0,
        title=tr("Weight outside"),
        help=tr("How much the part outside the mask counts; a little keeps backgrounds sane."),
        group=MASKS,
        ge=0,
        le=1,
        when={"mask.source": ("file", "alpha")},
    )


class CaptionAugmentation(Settings):
    """Changes to the captions, made anew at each step."""

    shuffle: bool = setting(
        False,
        title=tr("Shuffle tags"),
        help=tr("Put the comma-separated tags into a new order at each step."),
        group=CAPTION_CHANGES,
        also="shuffle caption, augmentation",
    )
    keep: int = setting(
        1,
        title=tr("Keep first tags"),
        help=tr(
            "How many tags at the front stay in their place and are never dropped; the trigger "
            "word always does."
        ),
        group=CAPTION_CHANGES,
        ge=0,
        le=100,
        also="keep tokens",
    )
    tag_dropout: float = setting(
        0.0,
        title=tr("Tag dropout"),
        help=tr("Chance of each tag to be left out at a step."),
        group=CAPTION_CHANGES,
        ge=0,
        le=1,
        also="caption tag dropout rate, augmentation",
    )
    tag_dropout_for: Literal["all", "listed", "not_listed"] = setting(
        "all",
        title=tr("Tags that may drop"),
        help=tr("All tags, or a list decides."),
        group=CAPTION_CHANGES,
        labels={
            "all": tr("All"),
            "listed": tr("Only those listed"),
            "not_listed": tr("All but those listed"),
        },
        when={"caption.tag_dropout": Above(0)},
    )
    tag_list: str = setting(
        "",
        title=tr("List of tags"),
        help=tr(
            "Separated by commas or line ends; * stands for any letters. Capitals don't matter, "
            "and an underscore is a space."
        ),
        group=CAPTION_CHANGES,
        kind="paragraph",
        when={
            "caption.tag_dropout": Above(0),
            "caption.tag_dropout_for": ("listed", "not_listed"),
        },
    )
    choices: bool = setting(
        False,
        title=tr("Choices and wildcards"),
        help=tr(
            "{red|blue} in a caption becomes one of its parts at each step, and __colour__ a line "
            "of the file colour.txt in the wildcard folder."
        ),
        group=CAPTION_CHANGES,
        also="dynamic prompts, wildcards",
    )
    wildcards: str = setting(
        "",
        title=tr("Wildcard folder"),
        help=tr("The folder with the wildcard files."),
        group=CAPTION_CHANGES,
        kind="folder",
        when={"caption.choices": (True,)},
        empty=tr("only {a|b} choices"),
    )
    dropout: float = setting(
        0.0,
        title=tr("Caption dropout"),
        help=tr(
            "Share of steps at which the picture is shown with an empty caption; 0.05 to 0.1 "
            "helps a style to be learned without being called."
        ),
        group=CAPTION_CHANGES,
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
        also="recursive",
    )
    include_rejected: bool = setting(
        False,
        title=tr("Rejected pictures too"),
        help=tr("Also train pictures that are marked as rejected; usually they are left out."),
    )
    kind: Kind = setting(
        "train",
        title=tr("Purpose"),
        help=tr(
            "Train: learn it. Prior: keep what the base model makes of these captions, so that "
            "it does not forget. Validation: never learn it, only measure the loss with it."
        ),
        labels={"train": tr("Train"), "validation": tr("Validation"), "prior": tr("Prior")},
        also="regularization, reg images, class images, validation",
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
        when={"kind": ("train", "prior"), "count": (None,)},
        also="num repeats, balancing",
    )
    count: int | None = setting(
        None,
        title=tr("Pictures per epoch"),
        help=tr(
            "Show exactly so many in one epoch, whatever the folder holds; others come in the "
            "next epoch. Takes the place of the repeats."
        ),
        ge=1,
        le=1000000,
        empty=tr("by the repeats"),
        when={"kind": ("train", "prior")},
    )
    loss_weight: float = setting(
        1.0,
        title=tr("Loss weight"),
        help=tr("How much these pictures count against those of other concepts."),
        ge=0,
        le=100,
        when={"kind": ("train", "prior")},
    )
    resolution: int | None = setting(
        None,
        title=tr("Resolution"),
        level="basic",
        help=tr(
            "Another training resolution for this concept only. Larger pictures are scaled down "
            "with antialiasing."
        ),
        unit="px",
        ge=64,
        le=4096,
        multiple_of=8,
        empty=tr("as in Training"),
    )
    small: Literal["enlarge", "own_size", "leave_out"] = setting(
        "enlarge",
        title=tr("Too small pictures"),
        help=tr(
            "Pictures smaller than their bucket are enlarged, which blurs them, trained at their "
            "own size, or left out."
        ),
        labels={
            "enlarge": tr("Enlarge"),
            "own_size": tr("Keep their size"),
            "leave_out": tr("Leave out"),
        },
    )
    background: str = setting(
        "#ffffff",
        title=tr("Behind transparency"),
        help=tr("The colour, such as #ffffff for white, that transparent parts are filled with."),
        pattern=r"^#[0-9a-fA-F]{6}$",
    )
    prompt: Prompt = Field(default_factory=Prompt)
    image: ImageAugmentation = Field(default_factory=ImageAugmentation)
    mask: Masks = Field(default_factory=Masks)
    caption: CaptionAugmentation = Field(default_factory=CaptionAugmentation)
