"""Choices and wildcards in captions: `{red|blue}` and `__colour__`.

The signs are those of A1111's Dynamic Prompts: choices may stand inside each other and have
weights as in `{2::red|blue}`; `{2$$a|b|c}` takes two of them. `__sub/colour__` is a line of the
file sub/colour.txt in the wildcard folder, which may hold choices and wildcards itself, and
`__sub/*__` one of all files there. What cannot be replaced stays as it is written.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from core.data.textfile import LARGEST_LIST, CaptionError, read_text
from core.errors import Problem
from core.paths import user_path

Lines = Mapping[str, tuple[str, ...]]

_NAME = re.compile(r"__((?! )(?:(?!__)[\w./* -])+(?<! ))__")
# How many of the options: `{2$$a|b|c}`, `{1-2$$a|b|c}`, with another separator `{2$$ and $$a|b}`.
_COUNT = re.compile(r"\s*(\d*)(?:(-)(\d*))?\$\$(?:([^$|{}]*)\$\$)?")
_WEIGHT = re.compile(r"\s*(\d+(?:\.\d+)?)::")
# Files that name each other in a circle end here, and so do lines that double at each step.
_DEEPEST = 16
_MOST_REPLACED = 256
_MOST_FILES = 1000

_CHOICE = re.compile(r"\{[^{}]*(?:\||\$\$)[^{}]*\}")


def has_choices(text: str) -> bool:
    """Whether `expand` might change the text."""
    return ("{" in text and ("|" in text or "$$" in text)) or (
        "__" in text and bool(_NAME.search(text))
    )


def shows_choices(text: str) -> bool:
    """Whether the text has a whole choice or wildcard, rather than single signs of one."""
    return bool(_CHOICE.search(text)) or ("__" in text and bool(_NAME.search(text)))


def expand(text: str, lines: Lines, generator: random.Random) -> str:
    """The text with each choice and wildcard replaced by one that `generator` draws.

    lines: wildcard name -> what may take its place; names that are not there stay as written.
    """
    return _expand(text, lines, generator, 0, [_MOST_REPLACED])


def _expand(text: str, lines: Lines, generator: random.Random, depth: int, left: list[int]) -> str:
    text = _choose(text, generator)
    if "__" not in text:
        return text

    def replaced(match: re.Match[str]) -> str:
        options = lines.get(match[1])
        if not options or depth >= _DEEPEST or left[0] <= 0:
            return match[0]
        left[0] -= 1
        option = options[int(generator.random() * len(options))]
        return _expand(option, lines, generator, depth + 1, left)

    return _NAME.sub(replaced, text)


def _choose(text: str, generator: random.Random) -> str:
    """The text with its `{a|b}` chosen, inner ones first; braces without a bar are just text."""
    if "{" not in text:
        return text
    # One list of options for each brace that is open, the last option still growing.
    open_: list[list[str]] = [[""]]
    for part in re.split(r"([{}|])", text):
        if part == "{":
            open_.append([""])
        elif part == "|" and len(open_) > 1:
            open_[-1].append("")
        elif part == "}" and len(open_) > 1:
            options = open_.pop()
            plain = len(options) == 1 and not _COUNT.match(options[0])
            open_[-1][-1] += f"{{{options[0]}}}" if plain else _pick(options, generator)
        else:
            open_[-1][-1] += part
    while len(open_) > 1:
        options = open_.pop()
        open_[-1][-1] += "{" + "|".join(options)
    return open_[0][0]


def _pick(options: Sequence[str], generator: random.Random) -> str:
    """One of the options, or as many as the first one's beginning says, joined."""
    count = _COUNT.match(options[0])
    if count is None:
        return _pick_one(options, generator)[0]
    left = [options[0][count.end() :], *options[1:]]
    least = int(count[1] or 0)
    most = (int(count[3]) if count[3] else len(left)) if count[2] else least
    wanted = least + int(generator.random() * (max(least, most) - least + 1))
    picked = []
    for _ in range(min(wanted, len(left))):
        text, place = _pick_one(left, generator)
        del left[place]
        picked.append(text)
    separator = ", " if count[4] is None else count[4]
    return separator.join(text for text in picked if text)


def _pick_one(options: Sequence[str], generator: random.Random) -> tuple[str, int]:
    matches = [_WEIGHT.match(option) for option in options]
    texts = [o[m.end() :] if m else o for o, m in zip(options, matches, strict=True)]
    weights = [float(match[1]) if match else 1.0 for match in matches]
    aim = generator.random() * sum(weights)
    for place, (text, weight) in enumerate(zip(texts, weights, strict=True)):
        aim -= weight
        if aim < 0:
            return text.strip(), place
    return texts[-1].strip(), len(texts) - 1


def read_wildcards(
    folder: str, texts: Iterable[str]
) -> tuple[dict[str, tuple[str, ...]], list[Problem]]:
    """The lines of every wildcard that the texts name, directly or through another wildcard.

    Reads NAME.txt in `folder` (as a user wrote it; "" for none); empty lines and those that begin
    with # are left out. A name that gives no lines is missing from the result and is a warning.
    """
    found: dict[str, tuple[str, ...]] = {}
    problems: list[Problem] = []
    seen: set[str] = set()
    waiting = _names(texts, seen)
    root = user_path(folder.strip()) if folder.strip() else None
    if root is not None and waiting and not os.path.isdir(root):
        title = f"The wildcard folder {root} does not exist; choose it again."
        return {}, [_problem("wildcard_folder_missing", title, str(root))]
    while waiting and len(seen) <= _MOST_FILES:
        name = waiting.pop(0)
        lines, problem = _read(root, name)
        if problem is not None:
            problems.append(problem)
        else:
            found[name] = lines
            waiting += _names(lines, seen)
    return found, problems


def _names(texts: Iterable[str], seen: set[str]) -> list[str]:
    """The names that the texts have and `seen` does not yet; puts them in."""
    names = dict.fromkeys(n for t in texts if "__" in t for n in _NAME.findall(t) if n not in seen)
    seen.update(names)
    return list(names)


def _read(root: Path | None, name: str) -> tuple[tuple[str, ...], Problem | None]:
    kept = f"__{name}__ stays in the captions as it is written"
    if root is None:
        title = f"{kept}, because no wildcard folder is chosen."
        return (), _problem("wildcard_missing", title)
    if "*" in name:
        return _read_many(root, name, kept)
    path = root / f"{name}.txt"
    if _leaves(root, name):
        title = f"{kept}, because it leads out of the wildcard folder {root}."
        return (), _problem("wildcard_outside", title)
    try:
        text = read_text(path, LARGEST_LIST)
    except FileNotFoundError:
        title = f"{kept}, because there is no file {path}."
        return (), _problem("wildcard_missing", title, str(path))
    except CaptionError as error:
        title = f"{kept}, because {path} cannot be read; save it as UTF-8 text."
        return (), _problem("wildcard_unreadable", title, str(path), str(error))
    lines = tuple(line for raw in text.splitlines() if (line := raw.strip()) and line[0] != "#")
    if not lines:
        title = f"{kept}, because {path} has no lines."
        return (), _problem("wildcard_empty", title, str(path))
    return lines, None


def _read_many(root: Path, name: str, kept: str) -> tuple[tuple[str, ...], Problem | None]:
    """The lines of all files that a name with `*` stands for, in the order of their names."""
    if _leaves(root, name.replace("*", "x")):
        title = f"{kept}, because it leads out of the wildcard folder {root}."
        return (), _problem("wildcard_outside", title)
    paths = sorted(root.glob(f"{name}.txt"))[:_MOST_FILES]
    lines: list[str] = []
    for path in paths:
        found, problem = _read(root, path.relative_to(root).with_suffix("").as_posix())
        if problem is not None:
            return (), problem
        lines += found
    if not lines:
        title = f"{kept}, because no file in {root} is called so."
        return (), _problem("wildcard_missing", title, str(root))
    return tuple(lines), None


def _leaves(root: Path, name: str) -> bool:
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    if ".." in posix.parts or posix.is_absolute() or windows.anchor:
        return True
    # A link inside the folder may lead elsewhere.
    inside = Path(os.path.realpath(root))
    return inside not in Path(os.path.realpath(root / f"{name}.txt")).parents


def _problem(code: str, title: str, file: str = "", detail: str = "") -> Problem:
    return Problem(code=code, title=title, severity="warning", file=file, detail=detail)
