"""Which base model lies at a path, told from headers and JSON files alone. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from core.config.model import Model
from core.errors import Problem, UserError, fail
from core.families import hub
from core.families.base import BaseModelFile, FamilyInfo, PredictionType
from core.families.configs import VaeConfig, read_config, read_json
from core.families.folders import weight_files
from core.families.header import Header, read_header
from core.families.kinds import addition_of, kind_of
from core.families.prediction import prediction_of
from core.families.registry import families
from core.model_families import FAMILIES

# Pipelines of models that no family knows, by what people call those.
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


def detect(
    path_or_hub_id: str,
    *,
    allow_download: bool = False,
    relative_to: Path | None = None,
    tell: Callable[[int], None] = lambda size: None,
) -> BaseModelFile:
    """The base model at a path or of a Hugging Face name; no weights are loaded.

    relative_to: the folder against which a relative path resolves. A Hugging Face name
    (`owner/name`) is looked up in the local cache; with allow_download it is fetched when missing,
    after `tell` was called with its size in bytes (0 where that is not known).

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
        return _detect_hub(text, allow_download, tell)
    raise fail(
        "base_not_found", f"{path} does not exist; choose another base model.", file=str(path)
    )


def _detect_hub(name: str, allow_download: bool, tell: Callable[[int], None]) -> BaseModelFile:
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
    return detect_folder(hub.download(name, tell))


def detect_file(path: Path) -> BaseModelFile:
    """The base model in one safetensors file. Raises UserError as `detect` does."""
    header = read_header(path)
    kind = addition_of(header.shapes)
    if kind is None:
        for one in families():
            if one.matches(header.shapes):
                return one.read_file(_as_family(path, header, one.info))
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
    raise fail(
        "base_unreadable",
        f"{path.name} holds {kind.name}; choose another checkpoint.",
        file=str(path),
    )


def _as_family(path: Path, header: Header, info: FamilyInfo) -> BaseModelFile:
    prediction = prediction_of(path, header.shapes, header.metadata)
    return BaseModelFile(
        path=path,
        family=info.name,
        layout="single_file",
        prediction_type=prediction.type,
        zero_terminal_snr=prediction.zero_terminal_snr,
        default_resolution=info.default_resolution,
        bucket_step=info.bucket_step,
        known_by=prediction.by,
    )


def detect_folder(folder: Path) -> BaseModelFile:
    """The base model in a diffusers folder. Raises UserError as `detect` does."""
    file = folder / "model_index.json"
    if not file.is_file():
        raise _no_index(folder)
    index = read_json(file)
    for one in families():
        if index.get("_class_name") not in one.info.pipelines:
            continue
        (denoiser,) = one.info.of("denoiser")
        if one.matches_folder(index, read_json(folder / denoiser.folder / "config.json")):
            return one.read_folder(folder)
    raise _other_family(folder, _named(folder, str(index.get("_class_name", ""))))


def vae_files(path: Path) -> tuple[list[Path], str, Path | None]:
    """The VAE that a user chose: its weight files, what its tensors' names begin with, its config.

    path: a file (a VAE alone or a whole checkpoint, both without a config), a VAE's folder or a
    whole model's. Raises UserError as `detect` does, and `vae_unsuitable`.
    """
    parts = [part for one in families() for part in one.info.of("vae")]
    if path.is_dir():
        part = next((part for part in parts if (path / part.folder).is_dir()), None)
        folder = path / part.folder if part else path
        files = weight_files(folder, (part or parts[0]).stem)
        for file in files:
            read_header(file)
        read_config(folder / "config.json", VaeConfig)
        return files, "", folder / "config.json"
    names = read_header(path).shapes
    prefixes = dict.fromkeys(prefix for part in parts for prefix in part.prefixes)
    inside = (prefix for prefix in prefixes if any(name.startswith(prefix) for name in names))
    prefix = next(inside, "")
    if not any(name.startswith(f"{prefix}decoder.") for name in names):
        raise fail(
            "vae_unsuitable",
            f"{path.name} is not a VAE; choose another file under model.vae.",
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


def check_family(settings: Model, base: BaseModelFile) -> None:
    """Raise UserError `base_other_family` where the settings ask for another family."""
    if settings.family not in ("auto", base.family):
        raise fail(
            "base_other_family",
            f"{settings.base} is a {FAMILIES[base.family].title} model, but the family is set to "
            f"{FAMILIES[settings.family].title}; set it to automatic.",
            setting="model.family",
        )


def contradictions(settings: Model, base: BaseModelFile) -> list[Problem]:
    """Warnings where the settings say something else of a model's predictions and its noise than
    it does itself; none where they agree, follow it, or the model does not tell."""
    found = [_other_prediction(settings, base), _other_terminal(settings, base)]
    return [problem for problem in found if problem is not None]


def _other_terminal(settings: Model, base: BaseModelFile) -> Problem | None:
    asked, own = settings.zero_terminal_snr, base.zero_terminal_snr
    if asked == "auto" or (asked == "on") == own:
        return None
    told = "was made with it" if own else "does not say that it was made with it"
    return Problem(
        code="zero_snr_contradicts_model",
        severity="warning",
        title=f"Zero terminal SNR is switched {asked}, but {base.path.name} {told}.",
        hint="With the wrong one, pictures come out too bright or too dark. Automatic follows the "
        "model.",
        setting="model.zero_terminal_snr",
    )


def _other_prediction(settings: Model, base: BaseModelFile) -> Problem | None:
    asked = settings.prediction_type
    if asked in ("auto", base.prediction_type) or base.known_by == "family":
        return None
    words = {"epsilon": "epsilon", "v_prediction": "v-prediction"}
    guessed = ", judged by its name" if base.known_by == "name" else ""
    return Problem(
        code="prediction_contradicts_model",
        severity="warning",
        title=f"The prediction type is set to {words[asked]}, but {base.path.name} predicts "
        f"{words.get(base.prediction_type, base.prediction_type)}{guessed}.",
        hint="With the wrong one, samples come out as noise or black. Automatic follows the model.",
        setting="model.prediction_type",
    )


def _named(folder: Path, pipeline: str) -> str:
    """What to call a model of a folder that no family knows as its own."""
    config = folder / "unet" / "config.json"
    unet = read_json(config) if config.is_file() else {}
    channels = unet.get("in_channels", 4)
    if channels == 9:
        return "an inpainting model (its UNet takes 9 channels)"
    if channels != unet.get("out_channels", 4):
        return f"a model whose UNet takes {channels} channels"
    if unet.get("encoder_hid_dim_type"):
        return "a model built like Kolors, but not quite"
    if unet.get("addition_embed_type"):
        return "a Stable Diffusion XL refiner or another kin of Stable Diffusion XL"
    if unet.get("cross_attention_dim") == 1024:
        return "a Stable Diffusion 2 model"
    return _PIPELINES.get(pipeline, f'a "{pipeline}" model')


def _no_index(folder: Path) -> UserError:
    if (folder / "config.json").is_file():
        said = f"{folder.name} is only one part of a diffusers model; choose the folder above it"
    elif found := sorted(folder.glob("*.safetensors")):
        said = f"{folder.name} is no diffusers folder; choose a file in it, such as {found[0].name}"
    else:
        said = f"{folder.name} is no diffusers folder (it lacks model_index.json); choose another"
    return fail("base_incomplete", f"{said}.", file=str(folder))


def _other_family(path: Path, what: str) -> UserError:
    titles = " and ".join(kind.title for kind in FAMILIES.values())
    return fail(
        "base_other_family",
        f"{path.name} is {what}; Limner trains {titles} models, so choose one of those.",
        file=str(path),
    )
