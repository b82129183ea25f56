"""Models named as on Hugging Face: found in the local cache, or fetched when the user allows it.

huggingface_hub is imported late: most users choose files.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from core.errors import Stopped, UserError, fail
from core.families.registry import families

log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*\Z")


def is_hub_id(text: str) -> bool:
    """Whether a text has the form `owner/name` and is not the path of a file."""
    ending = Path(text).suffix.lower()
    return bool(_ID.match(text)) and ending not in (".safetensors", ".ckpt", ".pt", ".json")


def cached_folder(name: str) -> Path | None:
    """The newest snapshot folder of a model in the local cache, or None. No network."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "model_index.json")
    return Path(found).parent if isinstance(found, str) else None


def download(name: str, tell: Callable[[int], None] = lambda size: None) -> Path:
    """Fetch the needed files of a model into the cache; gives its snapshot folder.

    Only JSON, tokenizer texts and safetensors; half-precision weights where there are any. tell:
    called with the size of these in bytes before they are fetched, 0 where the hub does not say.
    Raises UserError `base_download_failed`, `base_not_found`, `base_pickle` or `disk_full`.
    """
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        listed = HfApi().model_info(name, files_metadata=True).siblings or []
        sizes = {sibling.rfilename: sibling.size or 0 for sibling in listed}
        files = needed_files(name, list(sizes))
        size = sum(sizes[file] for file in files)
        _check_space(name, size, Path(constants.HF_HUB_CACHE))
        tell(size)
        return Path(snapshot_download(name, allow_patterns=files))
    except (UserError, Stopped):
        raise
    except GatedRepoError:
        raise fail(
            "base_download_failed",
            f"{name} asks for a Hugging Face account that accepted its terms; log in with "
            "`hf auth login` or download it yourself.",
        ) from None
    except RepositoryNotFoundError:
        raise fail("base_not_found", f"Hugging Face has no model {name}; check the name.") from None
    except OfflineModeIsEnabled:
        raise fail(
            "base_download_failed",
            f"{name} cannot be downloaded because HF_HUB_OFFLINE is set; unset it or choose a "
            "file.",
        ) from None
    except Exception as error:
        # Whatever HTTP client the hub uses raises exceptions of its own, without a common base.
        log.info("the download of %s failed", name, exc_info=True)
        raise fail(
            "base_download_failed",
            f"{name} could not be downloaded; check the connection and the free disk space.",
            detail=(str(error) or type(error).__name__).split("\n")[0][:300],
        ) from None


def _check_space(name: str, size: int, cache: Path) -> None:
    folder = cache.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if size > free:
        raise fail(
            "disk_full",
            f"{name} has {size / 1e9:.1f} GB, but {folder} has only {free / 1e9:.1f} GB free; make "
            "room or choose a file.",
        )


def needed_files(name: str, files: Sequence[str]) -> list[str]:
    """The files of a diffusers repository that training needs.

    Raises UserError `base_pickle` when a part has no safetensors weights, `base_other_family`
    when the repository is not in diffusers format.
    """
    if "model_index.json" not in files:
        raise fail(
            "base_other_family",
            f"{name} is not in diffusers format; download its .safetensors file and choose that.",
        )
    there = {file.split("/")[0] for file in files if "/" in file}
    fitting = [one.info for one in families() if {part.folder for part in one.info.parts} <= there]
    if not fitting:
        raise fail(
            "base_other_family",
            f"{name} is not of a family that Limner trains; choose another model.",
        )
    # Several families may share most folders; the one with the most parts leaves none behind.
    parts = max((info.parts for info in fitting), key=len)
    folders = {"scheduler", *(part.folder for part in parts), *(part.tokenizer for part in parts)}
    small = [
        file
        for file in files
        if file.split("/")[0] in folders
        and file.count("/") == 1
        and file.endswith((".json", ".txt", "/tokenizer.model"))
        and not file.endswith(".index.json")
        and ".index." not in file
    ]
    weights = [file for part in parts for file in _weights(name, part.folder, part.stem, files)]
    return ["model_index.json", *small, *weights]


def _weights(name: str, folder: str, stem: str, files: Sequence[str]) -> list[str]:
    for variant in (".fp16", ""):
        one = f"{folder}/{stem}{variant}.safetensors"
        if one in files:
            return [one]
        shard = re.compile(
            rf"{re.escape(f'{folder}/{stem}')}"
            rf"({re.escape(variant)}-\d+-of-\d+|-\d+-of-\d+{re.escape(variant)})\.safetensors\Z"
        )
        index = re.compile(
            rf"{re.escape(f'{folder}/{stem}')}"
            rf"({re.escape(variant)}\.safetensors\.index|\.safetensors\.index{re.escape(variant)})"
            r"\.json\Z"
        )
        if shards := [file for file in files if shard.match(file)]:
            return [*shards, *(file for file in files if index.match(file))]
    raise fail(
        "base_pickle",
        f"{name} has no .safetensors weights in {folder}/, and Limner never loads the pickle "
        "format; choose another model.",
    )
