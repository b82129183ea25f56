"""A process beside the window that measures pictures and counts tokens:

    python -m core.data.helper

One JSON object a line comes in, one goes out with the same `id`. What it loads (numpy, imagehash,
tokenizers) would hold the window's interpreter for as long as half a second. Requests:
`{"id", "do": "measure", "path"}` gives sharpness, brightness and the shares of the picture that
are black and white, `{"do": "tokens", "texts"}` counts, `{"do": "survey", "paths", "groups"}` first
`progress` lines, then everything. A request that fails gives `problem`. The process ends with its
input.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

Say = Callable[[dict[str, Any]], None]
_REPORT_EVERY = 8


def answer(request: dict[str, Any], say: Say) -> None:
    """Do one request; `say` gets the answers, without the `id`."""
    from core.data.images import PictureError
    from core.errors import UserError

    try:
        match request.get("do"):
            case "measure":
                say(_measure(Path(request["path"])))
            case "tokens":
                from core.data.tokens import count_tokens

                say({"counts": count_tokens(request["texts"])})
            case "survey":
                say(_survey(request["paths"], bool(request.get("groups")), say))
            case other:
                say({"problem": f"Unknown request {other!r}."})
    except (PictureError, UserError) as error:
        say({"problem": str(error)})


def _measure(path: Path) -> dict[str, Any]:
    from core.data.measures import MeasureStore

    store = MeasureStore()
    try:
        found = store.measure(path)
    finally:
        store.close()
    return {
        "sharpness": found.sharpness,
        "brightness": found.brightness,
        "black": found.clipped_dark,
        "white": found.clipped_light,
    }


def _survey(paths: list[str], with_groups: bool, say: Say) -> dict[str, Any]:
    """Sharpness, brightness and pixels of all pictures by path, and groups of near duplicates with
    the one to keep first and, in `why`, in what that is better; unreadable ones are left out."""
    from core.data.better import best_of, copy_of
    from core.data.images import PictureError, picture_size
    from core.data.measures import MeasureStore
    from core.data.similar import groups

    def progress(done: int, total: int) -> None:
        if done % _REPORT_EVERY == 0 or done == total:
            say({"progress": [done, total]})

    store = MeasureStore()
    try:
        measured = store.measure_all([Path(path) for path in paths], progress, threads=2)
    finally:
        store.close()
    result: dict[str, Any] = {
        "sharpness": {str(path): found.sharpness for path, found in measured.items()},
        "brightness": {str(path): found.brightness for path, found in measured.items()},
        "pixels": {},
        "groups": [],
        "why": [],
    }
    if not with_groups:
        return result
    known = []
    for path in paths:
        if Path(path) in measured:
            with contextlib.suppress(PictureError):
                result["pixels"][path] = picture_size(Path(path))
                known.append(path)
    found = [measured[Path(path)] for path in known]
    for group in groups([one.dhash for one in found], colours=[one.colours for one in found]):
        names = [known[index] for index in group]
        best, why = best_of(
            [copy_of(Path(n), result["pixels"][n], measured[Path(n)].sharpness) for n in names]
        )
        result["groups"].append([names[best], *(n for i, n in enumerate(names) if i != best)])
        result["why"].append(why)
    return result


def main(source: TextIO, target: TextIO) -> None:
    """Answer requests until the input ends."""
    for line in source:
        request = json.loads(line)
        number = request.get("id", 0)

        def say(words: dict[str, Any], number: int = number) -> None:
            target.write(json.dumps({"id": number, **words}) + "\n")
            target.flush()

        answer(request, say)


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(5)
    # File names that are no valid Unicode travel as surrogates, which JSON escapes.
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        main(sys.stdin, sys.stdout)
