"""Reading and writing the JSON files that people may edit by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import fail
from core.files import write_bytes

_LARGEST = 32 * 1024 * 1024


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises UserError naming the file and place of the mistake."""
    try:
        if path.stat().st_size > _LARGEST:
            raise fail(
                "preset_too_large",
                f"{path} is far too large for a preset; choose a .json file.",
                file=str(path),
            )
        raw = json.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise fail(
            "preset_not_found", f"There is no file {path}; check the name.", file=str(path)
        ) from None
    except OSError as error:
        raise fail(
            "preset_unreadable",
            f"{path} cannot be read; check that it is a file and that you may read it.",
            detail=str(error),
            file=str(path),
        ) from error
    except (ValueError, RecursionError) as error:
        raise fail(
            "preset_broken",
            f"{path} is not valid JSON; it was left as it is. Mend it in a text editor or "
            f"choose another.",
            detail=_where(error),
            file=str(path),
        ) from error
    if not isinstance(raw, dict):
        raise fail(
            "preset_broken",
            f"{path} holds no settings: a preset is a JSON object in braces. It was left as it is.",
            file=str(path),
        )
    return raw


def _where(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"Line {error.lineno}, column {error.colno}: {error.msg}."
    if isinstance(error, UnicodeDecodeError):
        return "It is not UTF-8 text."
    return "It is nested too deeply." if isinstance(error, RecursionError) else f"{error}."


def write_json_object(path: Path, data: Mapping[str, Any]) -> None:
    """Replace `path` by indented UTF-8 JSON in one step.

    Texts that are no proper Unicode (half an emoji, pasted) are written as \\u escapes.
    """
    try:
        encoded = json.dumps(data, ensure_ascii=False, indent=2).encode("utf-8")
    except UnicodeEncodeError:
        encoded = json.dumps(data, indent=2).encode("ascii")
    write_bytes(path, encoded + b"\n")
