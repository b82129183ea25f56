"""Diffusers folders: where the weights of a part are, and what the configs of UNet models say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from core.errors import UserError, fail
from core.families.base import BaseModelFile, FamilyInfo, Part, PartFiles
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
from core.families.header import PICKLE_SUFFIXES, pickle_refused, read_header


def weight_files(folder: Path, stem: str) -> list[Path]:
    """The safetensors files with the weights of one part of a model, in its folder.

    Prefers the plain file over the fp16 variant; shards in the order of their names.
    Raises UserError `base_incomplete` or `base_pickle`.
    """
    for variant in ("", ".fp16"):
        one = folder / f"{stem}{variant}.safetensors"
        if one.is_file():
            return [one]
        for index in (
            folder / f"{stem}.safetensors.index{variant}.json",
            folder / f"{stem}{variant}.safetensors.index.json",
        ):
            if index.is_file():
                return _shards(index)
    for file in sorted(folder.glob("*")):
        if file.suffix.lower() in PICKLE_SUFFIXES:
            raise pickle_refused(file)
    raise missing(folder / f"{stem}.safetensors")


def part_files(file: BaseModelFile, part: Part) -> PartFiles | None:
    """Where a part of a model lies; None where it is inside of a single file.

    Raises UserError as `weight_files` does, for a VAE that is not there `base_incomplete`.
    """
    if part.name in file.elsewhere:
        return file.elsewhere[part.name]
    if file.layout == "single_file":
        return None
    if part.role == "vae" and not (file.path / part.folder).is_dir():
        raise no_vae(file)
    return _usual_files(file.path, part)


def _usual_files(folder: Path, part: Part) -> PartFiles:
    """Where diffusers has a part."""
    weights = tuple(weight_files(folder / part.folder, part.stem))
    tokenizer = folder / part.tokenizer if part.tokenizer else None
    return PartFiles(weights, folder / part.folder / "config.json", tokenizer)


def no_vae(file: BaseModelFile) -> UserError:
    """The complaint that a model comes without a VAE, so that one must be chosen."""
    return fail(
        "base_incomplete",
        f"{file.path.name} holds no VAE; choose one under model.vae.",
        file=str(file.path),
        setting="model.vae",
    )


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


def check_clip(part: Part, files: PartFiles) -> None:
    """Refuse a CLIP text encoder whose settings or tokenizer make no sense.

    Raises UserError `base_incomplete`, `base_unreadable` or `base_unexpected_weights`.
    """
    encoder = read_config(files.config, TextEncoderConfig)
    if files.tokenizer is not None:
        check_tokenizer(files.tokenizer, encoder)


def read_unet_folder(
    folder: Path,
    info: FamilyInfo,
    elsewhere: Mapping[str, PartFiles] | None = None,
    check_text: Callable[[Part, PartFiles], None] = check_clip,
    usual_vae: Path | None = None,
) -> BaseModelFile:
    """The model in a diffusers folder with a UNet, text encoders and an AutoencoderKL.

    elsewhere: parts that do not lie where diffusers has them. check_text: raises UserError where a
    text encoder makes no sense. usual_vae: the config.json to go by where the folder lacks a VAE,
    since one can be chosen.
    Raises UserError `base_incomplete`, `base_unreadable`, `base_pickle`, `base_truncated`,
    `base_unexpected_weights` or `base_other_family`.
    """
    (denoiser,), (autoencoder,) = info.of("denoiser"), info.of("vae")
    unet = read_config(folder / denoiser.folder / "config.json", UNetConfig)
    lacks_vae = usual_vae is not None and not (folder / autoencoder.folder).is_dir()
    own_vae = folder / autoencoder.folder / "config.json"
    vae = read_config(usual_vae if usual_vae and lacks_vae else own_vae, VaeConfig)
    scheduler = read_config(folder / "scheduler" / "scheduler_config.json", SchedulerConfig)
    for part in info.parts:
        if part == autoencoder and lacks_vae:
            continue
        files = (elsewhere or {}).get(part.name) or _usual_files(folder, part)
        for file in files.weights:
            read_header(file)
        if part.role == "text":
            check_text(part, files)
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
        family=info.name,
        layout="diffusers",
        prediction_type="v_prediction" if prediction == "v_prediction" else "epsilon",
        zero_terminal_snr=scheduler.rescale_betas_zero_snr,
        default_resolution=sample * scale if isinstance(sample, int) else info.default_resolution,
        # Where latents don't halve evenly, the UNet's way up follows the sizes of its way down.
        bucket_step=scale,
        elsewhere=elsewhere or {},
    )
