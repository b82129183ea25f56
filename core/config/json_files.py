"""Reading and writing the JSON files that people may edit by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import UserError, fail
from core.files import write_bytes
from core.reading import LARGEST_JSON, Unreadable, parse_json, read_bytes


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises UserError naming the file and place of the mistake."""
    try:
        raw = parse_json(read_bytes(path, LARGEST_JSON))
    except Unreadable as error:
        raise _complaint(path, error) from None
    if not isinstance(raw, dict):
        raise fail(
            "preset_broken",
            f"{path} holds no settings: a preset is a JSON object in braces. It was left as it is.",
            file=str(path),
        )
    return raw


def _complaint(path: Path, error: Unreadable) -> UserError:
    if error.why == "missing":
        code, said = "preset_not_found", f"There is no file {path}; check the name."
    elif error.why == "large":
        code, said = "preset_too_large", f"{path} {error}, too much for a preset; choose another."
    elif error.why in ("kind", "system"):
        code, said = "preset_unreadable", f"{path} {error}; choose a .json file that you may read."
    else:
        code = "preset_broken"
        said = (
            f"{path} {error}; it was left as it is. Fix it in a text editor or choose another file."
        )
    return fail(code, said, file=str(path))


def write_json_object(path: Path, data: Mapping[str, Any]) -> None:
    """Replace `path` by indented UTF-8 JSON in one step.

    Texts that are no proper Unicode (half an emoji, pasted) are written as \\u escapes.
    """
    try:
        encoded = json.dumps(data, ensure_ascii=False, indent=2).encode("utf-8")
    except UnicodeEncodeError:
        encoded = json.dumps(data, indent=2).encode("ascii")
    write_bytes(path, encoded + b"\n")
