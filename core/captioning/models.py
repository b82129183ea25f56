"""Finding a tagger's or captioner's folder: a local one, one in the Hugging Face cache, fetched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.captioning.wd import MODEL, TAGS
from core.errors import UserError, fail
from core.families.hub import is_hub_id
from core.paths import user_path

_TAGGER_FILES = (MODEL, TAGS, f"{MODEL}_data", f"{MODEL}.data")
_CAPTIONER_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")


def tagger_folder(text: str, download: bool = False) -> Path:
    """The folder of the tagger that a user named. Raises UserError `model_missing`."""
    return _folder(text, "tagger", (MODEL, TAGS), _TAGGER_FILES, download)


def captioner_folder(text: str, download: bool = False) -> Path:
    """The folder of the captioner that a user named. Raises UserError `model_missing`."""
    return _folder(text, "captioner", ("config.json",), _CAPTIONER_FILES, download)


def _folder(
    text: str, part: str, needed: Sequence[str], wanted: Sequence[str], download: bool
) -> Path:
    path = user_path(text.strip())
    if path.is_file():
        # People choose model.onnx itself where they are asked for its folder.
        path = path.parent
    if path.is_dir():
        for name in needed:
            if not (path / name).is_file():
                raise fail(
                    "model_missing",
                    f"The folder {path} holds no {name}; choose the folder of a {part}.",
                    setting=part,
                    file=str(path),
                )
        return path
    if not is_hub_id(text.strip()):
        raise fail(
            "model_missing",
            f"The {part} {path} does not exist; choose its folder again.",
            setting=part,
            file=str(path),
        )
    found = _cached(text.strip(), needed)
    if found is None and download:
        found = _download(text.strip(), part, wanted)
    if found is None:
        raise fail(
            "model_missing",
            f"{text.strip()} is neither a folder nor in the Hugging Face cache; choose a folder, "
            "or allow the download.",
            setting=part,
        )
    return found


def _cached(name: str, needed: Sequence[str]) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(name, file) for file in needed]
    if not all(isinstance(file, str) for file in found):
        return None
    return Path(str(found[0])).parent


def _download(name: str, part: str, wanted: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(wanted)))
    except UserError:
        raise
    except Exception as error:
        # The hub's and its HTTP client's exceptions share no base.
        raise fail(
            "model_download_failed",
            f"{name} could not be downloaded; check the name, the connection and the free disk "
            "space.",
            setting=part,
            detail=str(error).split("\n")[0][:300],
        ) from None
