"""Where the weights and settings of a model's parts come from: a folder, one file, another VAE."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from core.families.base import BaseModelFile, FamilyInfo, Part
from core.families.detect import vae_files
from core.families.folders import no_vae, part_files
from core.families.open_clip import OpenClipTensors
from core.families.weights import Tensors
from core.paths import resources_dir

AnyTensors = Tensors | OpenClipTensors


@dataclass(frozen=True)
class Source:
    """One part's weights, and the folder with its config.json."""

    part: Part
    tensors: AnyTensors
    config: Path
    tokenizer: Path | None


def bundled(name: str) -> Path:
    """A folder of what single files lack: a family's settings, or a tokenizer."""
    return resources_dir() / "models" / name


def open_parts(
    info: FamilyInfo, file: BaseModelFile, vae: Path | None, stack: ExitStack
) -> dict[str, Source]:
    """The sources of all parts by name; the files are open as long as `stack`.

    vae: another VAE than the model's own. Raises UserError `base_incomplete`, `base_pickle`,
    `base_unreadable` or `vae_unsuitable`.
    """
    found: dict[str, Source] = {}
    tensors: AnyTensors
    for part in info.parts:
        usual = bundled(info.name) / part.folder / "config.json"
        if part.role == "vae" and vae is not None:
            files, prefix, config = vae_files(vae)
            tensors = Tensors(files, stack, prefix)
            found[part.name] = Source(part, tensors, config or usual, None)
        elif (own := part_files(file, part)) is not None:
            tensors = Tensors(own.weights, stack)
            found[part.name] = Source(part, tensors, own.config, own.tokenizer)
        else:
            tensors = _in_one_file(file.path, part, stack)
            if part.role == "vae" and not tensors.names():
                raise no_vae(file)
            tokenizer = bundled(part.vocabulary) if part.tokenizer else None
            found[part.name] = Source(part, tensors, usual, tokenizer)
    return found


def opened_again(source: Source, stack: ExitStack) -> Source:
    """The same source with its files open as long as `stack`.

    Raises UserError `base_unreadable` where they are gone.
    """
    tensors = Tensors(source.tensors.files, stack, source.tensors.prefix)
    return replace(source, tensors=tensors)


def _in_one_file(path: Path, part: Part, stack: ExitStack) -> AnyTensors:
    """A part's tensors in a single file, by the first prefix that any of them has."""
    opened = [Tensors([path], stack, prefix) for prefix in part.prefixes]
    found = next((one for one in opened if one.names()), opened[-1])
    return OpenClipTensors(found) if part.spelling == "open_clip" else found
