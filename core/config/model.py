"""Settings of the Model tab: which model is taught, and where the LoRA goes."""

from __future__ import annotations

from typing import Annotated, Literal

from core.config.fields import OneOf, Settings, setting
from core.model_families import FAMILY_CHOICES
from core.words import tr

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
DTYPE_LABELS = {
    "auto": tr("Automatic"),
    "float32": "float32",
    "bfloat16": "bfloat16",
    "float16": "float16",
}


class Model(Settings):
    """The base model and the output file."""

    base: str = setting(
        "",
        title=tr("Base model"),
        help=tr(
            "The model to teach: a .safetensors checkpoint, a folder in diffusers format, or the "
            "name of a Hugging Face model that is already on this computer."
        ),
        level="basic",
        kind="model",
        also="checkpoint, pretrained model, sd model",
    )
    allow_download: bool = setting(
        False,
        title=tr("Download if missing"),
        help=tr(
            "Let Limner fetch the base model from Hugging Face when it is not on this computer. "
            "Nothing else is ever sent or fetched."
        ),
    )
    family: Annotated[str, OneOf(FAMILY_CHOICES)] = setting(
        "auto",
        title=tr("Family"),
        help=tr("Kind of model. Automatic reads it from the file."),
    )
    vae: str = setting(
        "",
        title=tr("VAE"),
        help=tr("Another VAE than the base model's own: a file or a diffusers folder."),
        kind="model",
        empty=tr("the base model's own"),
    )
    prediction_type: Literal["auto", "epsilon", "v_prediction"] = setting(
        "auto",
        title=tr("Prediction type"),
        help=tr(
            "What the model was trained to predict. Automatic reads it from the model; a "
            "single-file v-prediction model that does not say so must be told here."
        ),
        labels={"auto": tr("Automatic"), "epsilon": "epsilon", "v_prediction": "v-prediction"},
        also="v parameterization, v2",
    )
    zero_terminal_snr: Literal["auto", "on", "off"] = setting(
        "auto",
        title=tr("Zero terminal SNR"),
        help=tr(
            "Rescale the noise schedule so that the last timestep is pure noise "
            "(arXiv 2305.08891). Needs a v-prediction model; automatic follows the model."
        ),
        labels={"auto": tr("Automatic"), "on": tr("On"), "off": tr("Off")},
    )
    clip_skip: int = setting(
        0,
        title=tr("Skip text encoder layers"),
        help=tr(
            "How many of the text encoder's last layers to leave out. 0 for most models; 1 for "
            "anime models (their authors call it clip skip 2)."
        ),
        ge=0,
        le=11,
        also="text encoder layer skip",
    )
    dtype: Dtype = setting(
        "auto",
        title=tr("Weights in memory"),
        help=tr(
            "Number format of the frozen base model. Automatic takes bfloat16 where the GPU has "
            "it, float16 on older GPUs and float32 on the CPU. The LoRA itself always trains in "
            "float32."
        ),
        labels=DTYPE_LABELS,
    )
    output: str = setting(
        "",
        title=tr("LoRA file"),
        help=tr(
            "Where the finished LoRA is copied, a .safetensors file. It is also always kept in "
            "the run's own folder."
        ),
        level="basic",
        kind="save_file",
        empty=tr("only in the run's folder"),
    )
