"""Captions in a table beside the pictures: metadata.csv or metadata.jsonl.

The layout is that of Hugging Face's image folders and of DiffSynth-Studio: the columns (or JSON
keys) `file_name` and `text`, paths counting from the table's own folder, the table in the pictures'
folder or in `train` below it.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from core.config.concepts import Concept
from core.data.companions import name_key
from core.data.textfile import CaptionError, read_text, without_surrogates
from core.errors import Problem
from core.paths import user_path
from core.reading import Unreadable, parse_json

TABLE_NAMES = ("metadata.csv", "metadata.jsonl")
TRAIN_FOLDER = "train"
_FILE_COLUMNS = ("file_name", "filename", "file", "image", "image_path", "image_file")
_TEXT_COLUMNS = ("text", "prompt", "caption")
_DELIMITERS = (",", ";", "\t")
_MAX_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Table:
    """A table of captions.

    captions: file -> its alternative captions, without empty ones; the files, below the table's
    folder with `/` between, are known by `key`. names: the files as written, in their order.
    problems: rows that are not used.
    """

    path: Path
    captions: Mapping[str, tuple[str, ...]]
    names: tuple[str, ...]
    problems: tuple[Problem, ...]

    def captions_of(self, picture: Path) -> tuple[str, ...]:
        """The captions of a picture; () when the table has none for it."""
        folder = _folder_below(os.fspath(picture.parent), os.fspath(self.path.parent))
        return self.captions.get(name_key(f"{folder}{picture.name}"), ())


def find_table(concept: Concept) -> Path | None:
    """The concept's table: the chosen one, else the first of those it may have; None for none."""
    if concept.prompt.table.strip():
        return user_path(concept.prompt.table)
    folder = user_path(concept.path)
    for place in (folder, folder / TRAIN_FOLDER):
        for name in TABLE_NAMES:
            if os.path.isfile(place / name):
                return place / name
    return None


def table_of(concept: Concept) -> Table:
    """The concept's table. Raises CaptionError when there is none or it cannot be read."""
    path = find_table(concept)
    if path is None:
        raise CaptionError(
            f"There is neither {' nor '.join(TABLE_NAMES)} in {concept.path} or in its folder "
            f"{TRAIN_FOLDER}."
        )
    return read_table(path)


def read_table(path: Path) -> Table:
    """The table at `path`. Raises CaptionError when it cannot be read.

    A table in another encoding, with `;` or tabs between its columns, is read as well. Rows whose
    file is not below the table's folder, or that are damaged, are left out and named.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CaptionError(f"{path} cannot be read ({reason}).") from error
    table = _read_version(path, status.st_mtime_ns, status.st_size)
    if isinstance(table, str):
        raise CaptionError(f"{path}: {table}")
    return table


@lru_cache(maxsize=4)
def _read_version(path: Path, mtime_ns: int, size: int) -> Table | str:
    """The table, or why it cannot be read: asked for each picture, so that is kept as well."""
    try:
        return _parse(path, read_text(path, _MAX_BYTES))
    except FileNotFoundError:
        return "The file is not there any more."
    except CaptionError as error:
        return str(error)


def _parse(path: Path, text: str) -> Table:
    problems: list[Problem] = []
    rows = _json_rows if path.suffix.lower() in (".jsonl", ".json", ".ndjson") else _csv_rows
    captions: dict[str, dict[str, None]] = {}
    names: list[str] = []
    for line, name, texts in rows(text, path, problems):
        file = _inside(name)
        if file is None:
            problems.append(_bad_row(path, line, f"{name!r} is not a file below its folder"))
            continue
        known = captions.get(name_key(file))
        if known is None:
            known = captions[name_key(file)] = {}
            names.append(file)
        known.update((caption, None) for one in texts if (caption := " ".join(one.split())))
    found = {name: tuple(texts) for name, texts in captions.items()}
    return Table(path, found, tuple(names), tuple(problems))


Rows = Iterator[tuple[int, str, list[str]]]


def _csv_rows(text: str, path: Path, problems: list[Problem]) -> Rows:
    """(line, file name, captions) of each row of a table of separated values."""
    lines = list(io.StringIO(text, newline=""))
    header = next((line for line in lines if line.strip()), "")
    delimiter, file_column, text_column = _columns(header)
    # A caption may be longer than what Python's reader expects of a field.
    csv.field_size_limit(_MAX_BYTES)
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    if not _parses(lines, delimiter):
        reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    first, end = True, 0
    for row in reader:
        start, end = end + 1, reader.line_num
        if not any(cell.strip() for cell in row):
            continue
        if first:
            first = False
            continue
        if len(row) <= max(file_column, text_column):
            problems.append(_bad_row(path, start, "it has too few columns"))
            continue
        if end == len(lines) and end > start and text.count('"') % 2:
            problems.append(_bad_row(path, start, "a quotation mark opened there never closes"))
            continue
        yield start, row[file_column].strip(), [row[text_column]]


def _parses(lines: list[str], delimiter: str) -> bool:
    try:
        for _ in csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True):
            pass
    except csv.Error:
        return False
    return True


def _columns(header: str) -> tuple[str, int, int]:
    """The sign between columns, and the numbers of those that hold files and captions."""
    for delimiter in _DELIMITERS:
        cells = next(csv.reader([header.strip("\r\n")], delimiter=delimiter), [])
        names = [cell.strip().lower() for cell in cells]
        file = next((names.index(n) for n in _FILE_COLUMNS if n in names), None)
        caption = next((names.index(n) for n in _TEXT_COLUMNS if n in names), None)
        if file is not None and caption is not None:
            return delimiter, file, caption
    raise CaptionError("It needs the columns file_name and text in its first line.")


def _json_rows(text: str, path: Path, problems: list[Problem]) -> Rows:
    """(line, file name, captions) of each line of JSON."""
    good = 0
    # Not splitlines: JSON may hold other line ends, such as U+2028, as they are.
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except Unreadable:
            row = None
        name, texts = _json_row(row)
        if name is None:
            problems.append(_bad_row(path, number, "it is no JSON with file_name and text"))
            continue
        good += 1
        yield number, name, texts
    if problems and not good:
        raise CaptionError("It needs a JSON object with file_name and text in each line.")


def _json_row(row: Any) -> tuple[str | None, list[str]]:
    if not isinstance(row, dict):
        return None, []
    by_name = {str(name).strip().lower(): value for name, value in row.items()}
    name = next((by_name[n] for n in _FILE_COLUMNS if n in by_name), None)
    text = next((by_name[n] for n in _TEXT_COLUMNS if n in by_name), None)
    if not isinstance(name, str) or not isinstance(text, str | list | None):
        return None, []
    texts = text if isinstance(text, list) else [text or ""]
    return without_surrogates(name), [without_surrogates(t) for t in texts if isinstance(t, str)]


def _inside(name: str) -> str | None:
    """A file's name with `/` between its parts, or None when it leads out of the folder."""
    windows = PureWindowsPath(name)
    if not name or "\0" in name or windows.drive or windows.root:
        return None
    if os.name == "nt" and ":" in name:  # a second stream of a file, which no listing shows
        return None
    # Tables written on Windows have its separators.
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return None if ".." in parts or not parts else "/".join(parts)


@lru_cache(maxsize=1024)
def _folder_below(folder: str, root: str) -> str:
    """`folder` counted from `root`, with `/` at its end; "" for root itself."""
    try:
        relative = os.path.relpath(folder, root).replace(os.sep, "/")
    except ValueError:  # another drive
        return f"{folder}/"
    return "" if relative == "." else f"{relative}/"


def _bad_row(path: Path, line: int, why: str) -> Problem:
    return Problem(
        code="metadata_row_unusable",
        title=f"Line {line} of {path.name} is left out: {why}; fix the table.",
        severity="warning",
        file=str(path),
    )
