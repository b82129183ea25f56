"""Which base model lies at a path, told from headers and JSON files alone. Torch-free."""

from __future__ import annotations

import re
from pathlib import Path

from core.config.model import Model
from core.errors import UserError, fail
from core.families import hub
from core.families.base import BaseModelFile, PredictionType
from core.families.configs import (
    SchedulerConfig,
    TextEncoderConfig,
    UNetConfig,
    VaeConfig,
    check_tokenizer,
    damaged,
    missing,
    read_config,
    read_json,
)
from core.families.header import PICKLE_SUFFIXES, Header, pickle_refused, read_header
from core.families.kinds import VAE, kind_of
from core.reading import Unreadable, read_bytes

# Facts about SD 1.x single files: 64 latents of 8 pixels. The UNet takes any number of latents:
# where they don't halve evenly, its way up follows the sizes of its way down.
_SD15_RESOLUTION = 512
_SD15_STEP = 8
# What the parts of a diffusers pipeline of this family are.
_PARTS = {
    "unet": ("config.json", "diffusion_pytorch_model"),
    "vae": ("config.json", "diffusion_pytorch_model"),
    "text_encoder": ("config.json", "model"),
}
_PIPELINES = {
    "StableDiffusionXLPipeline": "a Stable Diffusion XL model",
    "StableDiffusionXLImg2ImgPipeline": "a Stable Diffusion XL model",
    "StableDiffusionXLInpaintPipeline": "a Stable Diffusion XL inpainting model",
    "StableDiffusionInpaintPipeline": "an inpainting model",
    "StableDiffusionInstructPix2PixPipeline": "an InstructPix2Pix model",
    "StableDiffusion3Pipeline": "a Stable Diffusion 3 model",
    "KolorsPipeline": "a Kolors model",
    "FluxPipeline": "a Flux model",
    "Flux2Pipeline": "a Flux.2 model",
    "ChromaPipeline": "a Chroma model",
    "QwenImagePipeline": "a Qwen-Image model",
    "ZImagePipeline": "a Z-Image model",
}
_KNOWN_PIPELINES = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline")
_WORKS_WITH = "Limner trains Stable Diffusion 1.x models"


def detect(
    path_or_hub_id: str, *, allow_download: bool = False, relative_to: Path | None = None
) -> BaseModelFile:
    """The base model at a path or of a Hugging Face name; no weights are loaded.

    relative_to: the folder against which a relative path resolves. A Hugging Face name
    (`owner/name`) is looked up in the local cache; with allow_download it is fetched when missing.

    Raises UserError with one of: `base_not_found`, `base_truncated`, `base_html`, `base_is_lora`,
    `base_other_family`, `base_pickle`, `base_incomplete`, `base_unreadable`,
    `base_download_failed`.
    """
    text = path_or_hub_id.strip()
    if not text:
        raise fail("base_not_found", "No base model is chosen; choose a file or a folder.")
    try:
        path = ((relative_to or Path()) / Path(text).expanduser()).absolute()
        folder, there = path.is_dir(), path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise fail(
            "base_unreadable",
            f"{text[:200]} cannot be opened; check the path and its permissions.",
            detail=str(error)[:200],
        ) from None
    if folder:
        return detect_folder(path)
    if there:
        return detect_file(path)
    if hub.is_hub_id(text):
        return _detect_hub(text, allow_download)
    raise fail(
        "base_not_found", f"{path} does not exist; choose another base model.", file=str(path)
    )


def _detect_hub(name: str, allow_download: bool) -> BaseModelFile:
    folder = hub.cached_folder(name)
    if folder is not None:
        try:
            return detect_folder(folder)
        except UserError as error:
            if not allow_download or error.problem.code != "base_incomplete":
                raise
    if not allow_download:
        raise fail(
            "base_not_found",
            f"{name} is neither a file here nor in the Hugging Face cache; switch on "
            '"Download if missing" or choose a file.',
        )
    return detect_folder(hub.download(name))


def detect_file(path: Path) -> BaseModelFile:
    """The base model in one safetensors file. Raises UserError as `detect` does."""
    header = read_header(path)
    kind = kind_of(header.shapes)
    if kind.what == "lora":
        raise fail(
            "base_is_lora",
            f"{path.name} is a LoRA, not a base model; choose the model that it was made for.",
            file=str(path),
        )
    if kind.what == "other":
        raise _other_family(path, kind.name)
    if kind.what == "incomplete":
        raise fail(
            "base_incomplete",
            f"{path.name} holds {kind.name}; choose a complete checkpoint or a diffusers folder.",
            file=str(path),
        )
    if kind.what == "unknown":
        raise fail(
            "base_unreadable",
            f"{path.name} holds {kind.name}; choose a Stable Diffusion 1.x checkpoint.",
            file=str(path),
        )
    zero_snr = "ztsnr" in header.shapes
    return BaseModelFile(
        path=path,
        family="sd15",
        layout="single_file",
        prediction_type=_file_prediction(path, header, zero_snr),
        zero_terminal_snr=zero_snr,
        default_resolution=_SD15_RESOLUTION,
        bucket_step=_SD15_STEP,
    )


def _file_prediction(path: Path, header: Header, zero_snr: bool) -> PredictionType:
    """What a checkpoint predicts: marker tensors, then metadata, then a .yaml beside it."""
    if "v_pred" in header.shapes or zero_snr:
        return "v_prediction"
    said = header.metadata.get("modelspec.prediction_type", "").lower()
    if said:
        return "v_prediction" if said in ("v", "v_prediction", "v-prediction") else "epsilon"
    try:
        settings = read_bytes(path.with_suffix(".yaml"), 2**20).decode("utf-8", "replace")
    except Unreadable:
        return "epsilon"
    told = re.search(r"""^\s*parameterization:\s*["']?v["']?\s*$""", settings, re.MULTILINE)
    return "v_prediction" if told else "epsilon"


def detect_folder(folder: Path) -> BaseModelFile:
    """The base model in a diffusers folder. Raises UserError as `detect` does."""
    index = folder / "model_index.json"
    if not index.is_file():
        raise _no_index(folder)
    pipeline = str(read_json(index).get("_class_name", ""))
    if pipeline not in _KNOWN_PIPELINES:
        raise _other_family(folder, _PIPELINES.get(pipeline, f'a "{pipeline}" model'))
    _check_unet(folder)
    unet = read_config(folder / "unet" / "config.json", UNetConfig)
    vae = read_config(folder / "vae" / "config.json", VaeConfig)
    scheduler = read_config(folder / "scheduler" / "scheduler_config.json", SchedulerConfig)
    encoder = read_config(folder / "text_encoder" / "config.json", TextEncoderConfig)
    for part in _PARTS:
        for file in weight_files(folder / part):
            read_header(file)
    check_tokenizer(folder / "tokenizer", encoder)
    prediction = scheduler.prediction_type
    if prediction not in ("epsilon", "v_prediction"):
        raise fail(
            "base_other_family",
            f"{folder.name} predicts {prediction!r}; Limner trains models that predict epsilon or "
            "v_prediction.",
            file=str(folder),
        )
    scale = 2 ** (len(vae.block_out_channels) - 1)
    sample = unet.sample_size
    return BaseModelFile(
        path=folder,
        family="sd15",
        layout="diffusers",
        prediction_type="v_prediction" if prediction == "v_prediction" else "epsilon",
        zero_terminal_snr=scheduler.rescale_betas_zero_snr,
        default_resolution=sample * scale if isinstance(sample, int) else _SD15_RESOLUTION,
        bucket_step=scale,
    )


def weight_files(part: Path) -> list[Path]:
    """The safetensors files with the weights of one part (`unet`, `vae`, ...) of a folder.

    Prefers the plain file over the fp16 variant; shards in the order of their names.
    Raises UserError `base_incomplete` or `base_pickle`.
    """
    stem = _PARTS.get(part.name, ("", "diffusion_pytorch_model"))[1]
    for variant in ("", ".fp16"):
        one = part / f"{stem}{variant}.safetensors"
        if one.is_file():
            return [one]
        for index in (
            part / f"{stem}.safetensors.index{variant}.json",
            part / f"{stem}{variant}.safetensors.index.json",
        ):
            if index.is_file():
                return _shards(index)
    for file in sorted(part.glob("*")):
        if file.suffix.lower() in PICKLE_SUFFIXES:
            raise pickle_refused(file)
    raise missing(part / f"{stem}.safetensors")


def vae_files(path: Path) -> tuple[list[Path], str, Path | None]:
    """The VAE that a user chose: its weight files, what its tensors' names begin with, its config.

    path: a file (a VAE alone or a whole checkpoint, both without a config), a VAE's folder or a
    whole model's. Raises UserError as `detect` does, and `vae_unsuitable`.
    """
    if path.is_dir():
        folder = path / "vae" if (path / "vae").is_dir() else path
        files = weight_files(folder)
        for file in files:
            read_header(file)
        read_config(folder / "config.json", VaeConfig)
        return files, "", folder / "config.json"
    names = read_header(path).shapes
    prefix = VAE if any(name.startswith(VAE) for name in names) else ""
    if not any(name.startswith(f"{prefix}decoder.") for name in names):
        raise fail(
            "vae_unsuitable",
            f"{path.name} is no VAE; choose another file under model.vae.",
            file=str(path),
            setting="model.vae",
        )
    return [path], prefix, None


def schedule_of(settings: Model, base: BaseModelFile) -> tuple[PredictionType, bool]:
    """What the model predicts, and whether its noise schedule ends in pure noise.

    As the settings say, or else the model. Raises UserError `ztsnr_needs_v_prediction`.
    """
    asked, terminal = settings.prediction_type, settings.zero_terminal_snr
    prediction = base.prediction_type if asked == "auto" else asked
    zero_snr = base.zero_terminal_snr if terminal == "auto" else terminal == "on"
    if zero_snr and prediction == "epsilon":
        raise fail(
            "ztsnr_needs_v_prediction",
            "Zero terminal SNR cannot work with epsilon prediction, which this model uses; "
            "switch it off or choose v-prediction.",
            setting="model.zero_terminal_snr",
        )
    return prediction, zero_snr


def _shards(index: Path) -> list[Path]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise damaged(index, "names no files")
    # A name with a folder in it could point anywhere on this computer.
    if any(Path(str(name)).name != name for name in names.values()):
        raise damaged(index, "names files outside of its folder")
    files = [index.parent / name for name in sorted(set(names.values()))]
    for file in files:
        if not file.is_file():
            raise missing(file)
    return files


def _check_unet(folder: Path) -> None:
    """Refuse UNets of other families, whatever the pipeline calls itself."""
    unet = read_json(folder / "unet" / "config.json")
    channels = unet.get("in_channels", 4)
    if channels == 9:
        raise _other_family(folder, "an inpainting model (its UNet takes 9 channels)")
    if channels != unet.get("out_channels", 4):
        raise _other_family(folder, f"a model whose UNet takes {channels} channels")
    if unet.get("encoder_hid_dim_type"):
        raise _other_family(folder, "a Kolors model")
    if unet.get("addition_embed_type"):
        raise _other_family(folder, "a Stable Diffusion XL model")
    if unet.get("cross_attention_dim") == 1024:
        raise _other_family(folder, "a Stable Diffusion 2 model")


def _no_index(folder: Path) -> UserError:
    if (folder / "config.json").is_file():
        said = f"{folder.name} is only one part of a diffusers model; choose the folder above it"
    elif found := sorted(folder.glob("*.safetensors")):
        said = f"{folder.name} is no diffusers folder; choose a file in it, such as {found[0].name}"
    else:
        said = f"{folder.name} is no diffusers folder (it lacks model_index.json); choose another"
    return fail("base_incomplete", f"{said}.", file=str(folder))


def _other_family(path: Path, what: str) -> UserError:
    return fail(
        "base_other_family",
        f"{path.name} is {what}; {_WORKS_WITH}, so choose one of those.",
        file=str(path),
    )
