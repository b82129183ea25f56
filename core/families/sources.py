"""Where the weights and settings of a model's parts come from: a folder, one file, another VAE."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from core.errors import fail
from core.families.base import BaseModelFile, FamilyInfo, Part
from core.families.detect import vae_files
from core.families.folders import weight_files
from core.families.weights import Tensors
from core.paths import resources_dir


@dataclass(frozen=True)
class Source:
    """One part's weights, and the folder with its config.json."""

    part: Part
    tensors: Tensors
    config: Path
    tokenizer: Path | None


def bundled(family: str) -> Path:
    """The settings that single files of a family lack, as a diffusers folder without weights."""
    return resources_dir() / "models" / family


def open_parts(
    info: FamilyInfo, file: BaseModelFile, vae: Path | None, stack: ExitStack
) -> dict[str, Source]:
    """The sources of all parts by name; the files are open as long as `stack`.

    vae: another VAE than the model's own. Raises UserError `base_incomplete`, `base_pickle`,
    `base_unreadable` or `vae_unsuitable`.
    """
    whole = file.layout == "diffusers"
    configs = file.path if whole else bundled(info.name)
    found = {}
    for part in info.parts:
        config = configs / part.folder / "config.json"
        if part.role == "vae" and vae is not None:
            files, prefix, own = vae_files(vae)
            tensors = Tensors(files, stack, prefix)
            config = own or bundled(info.name) / part.folder / "config.json"
        elif whole:
            tensors = Tensors(weight_files(file.path / part.folder, part.stem), stack)
        else:
            opened = [Tensors([file.path], stack, prefix) for prefix in part.prefixes]
            tensors = next((one for one in opened if one.names()), opened[-1])
        if part.role == "vae" and not tensors.names():
            raise fail(
                "base_incomplete",
                f"{file.path.name} holds no VAE; choose one under model.vae.",
                file=str(file.path),
                setting="model.vae",
            )
        tokenizer = configs / part.tokenizer if part.tokenizer else None
        found[part.name] = Source(part, tensors, config, tokenizer)
    return found
