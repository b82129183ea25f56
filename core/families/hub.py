"""Models named as on Hugging Face: found in the local cache, or fetched when the user allows it.

huggingface_hub is imported late: most users choose files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from core.errors import UserError, fail
from core.families.registry import families

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


def download(name: str) -> Path:
    """Fetch the needed files of a model into the cache; gives its snapshot folder.

    Only JSON, tokenizer texts and safetensors; half-precision weights where there are any.
    Raises UserError `base_download_failed`, `base_not_found` or `base_pickle`.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        listed = HfApi().model_info(name).siblings or []
        files = needed_files(name, [sibling.rfilename for sibling in listed])
        return Path(snapshot_download(name, allow_patterns=files))
    except UserError:
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
    except (HfHubHTTPError, OSError) as error:
        raise fail(
            "base_download_failed",
            f"{name} could not be downloaded; check the connection and the free disk space.",
            detail=str(error).split("\n")[0],
        ) from None
    except Exception as error:
        # The HTTP client's own exceptions (no connection, timeouts) share no base with the hub's.
        if type(error).__module__.split(".")[0] not in ("httpx", "httpcore", "requests", "hf_xet"):
            raise
        raise fail(
            "base_download_failed",
            f"{name} could not be downloaded; check the connection.",
            detail=str(error).split("\n")[0],
        ) from None


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
        and file.endswith((".json", ".txt"))
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
