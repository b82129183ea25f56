"""The files beside a picture that belong to it, by whatever system their names were written.

Captions, masks and tables come from cameras, Macs and web pages: `IMG_1.JPG` with `img_1.txt`,
`é.png` with a caption whose accent stands apart, `b.png` with `b.png.txt`.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

PICTURE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".bmp", ".tif", ".tiff"),
    *(".gif", ".heic", ".heif", ".hif", ".jxl", ".apng"),
)
CAPTION_SUFFIXES = (".txt", ".caption")
MASK, CONDITION = "-masklabel", "-condlabel"
_COMPANION = re.compile(rf".*({MASK}|{CONDITION})", re.IGNORECASE | re.DOTALL)
_FOLDERS_KNOWN = 64


def name_key(name: str) -> str:
    """What a file is looked up by: one for all spellings of its name."""
    if not name.isascii():
        # Names that went through a Mac have their accents apart.
        name = unicodedata.normalize("NFC", name)
    return name.casefold()


def is_picture_file(name: str) -> bool:
    """Whether a file of this name is a picture, be it a mask; names with a dot in front are not."""
    return name[:1] != "." and os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES


def is_companion(name: str) -> bool:
    """Whether a picture's file name makes it the mask or the condition of another picture."""
    return _COMPANION.fullmatch(os.path.splitext(name)[0]) is not None


def caption_beside(picture: str | Path) -> Path | None:
    """The caption file beside a picture, .txt before .caption; None without one."""
    found = next(_beside(os.fspath(picture), CAPTION_SUFFIXES, whole_names=True), None)
    return None if found is None else Path(found)


def mask_beside(picture: str | Path) -> Path | None:
    """The mask beside a picture, of any picture format, PNG first; None without."""
    endings = [f"{MASK}{suffix}" for suffix in PICTURE_SUFFIXES]
    found = next(_beside(os.fspath(picture), endings), None)
    return None if found is None else Path(found)


def companions_of(picture: str | Path) -> list[Path]:
    """All files beside a picture that belong to it: captions, .json, mask, condition."""
    more = [f"{end}{suffix}" for end in (MASK, CONDITION) for suffix in PICTURE_SUFFIXES]
    found = _beside(os.fspath(picture), (*CAPTION_SUFFIXES, ".json", *more), whole_names=True)
    return [Path(path) for path in dict.fromkeys(found)]


def texts_without_picture(folder: Path) -> list[str]:
    """Names of caption files in a folder that belong to none of its pictures, in their order."""
    try:
        listing = _listing(os.fspath(folder), os.stat(folder).st_mtime_ns)
    except OSError:
        return []
    known = {name_key(os.path.splitext(name)[0]) for name in listing.pictures}
    known |= {name_key(name) for name in listing.pictures}
    texts = (n for names in listing.by_key.values() for n in names)
    return sorted(
        name
        for name in texts
        if name.lower().endswith(CAPTION_SUFFIXES)
        and name[0] != "."
        and name_key(os.path.splitext(name)[0]) not in known
    )


@dataclass(frozen=True)
class _Listing:
    """A folder's files: by the key of their names, and the pictures among them."""

    by_key: Mapping[str, tuple[str, ...]]
    pictures: frozenset[str]
    stems: frozenset[str] = field(default_factory=frozenset)


@lru_cache(maxsize=_FOLDERS_KNOWN)
def _listing(folder: str, mtime_ns: int) -> _Listing:
    by_key: dict[str, tuple[str, ...]] = {}
    pictures = []
    for name in sorted(os.listdir(folder)):
        key = name_key(name)
        by_key[key] = (*by_key.get(key, ()), name)
        if is_picture_file(name) and not is_companion(name):
            pictures.append(name)
    stems = frozenset(os.path.splitext(name)[0] for name in pictures)
    return _Listing(by_key, frozenset(pictures), stems)


def _beside(picture: str, endings: Iterable[str], whole_names: bool = False) -> Iterator[str]:
    """Files called as the picture with another ending, those of exactly its spelling first.

    whole_names: `b.png.txt` belongs to `b.png` too. A file that is another picture's by exact
    spelling is not this one's.
    """
    folder, name = os.path.split(picture)
    stem = os.path.splitext(name)[0]
    endings = tuple(endings)
    for ending in endings[:2]:
        if os.path.isfile(found := os.path.join(folder, stem + ending)):
            yield found
    try:
        listing = _listing(folder or ".", os.stat(folder or ".").st_mtime_ns)
    except OSError:
        return
    for start in (stem, name) if whole_names else (stem,):
        for ending in endings:
            alike = listing.by_key.get(name_key(start + ending), ())
            # Where one is called exactly so, another spelling is another file.
            exact = [found for found in alike if found[: len(start)] == start]
            for found in exact or alike:
                own = found[: -len(ending)]
                anothers = own not in (stem, name) and own in listing.stems
                path = os.path.join(folder, found)
                if found != name and not anothers and os.path.isfile(path):
                    yield path
