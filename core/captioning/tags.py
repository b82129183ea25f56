"""Changes to caption texts: tags split, counted, added, removed, renamed and put in order.

A caption file's text is one or more lines; each line that is not empty is an alternative. A line
is a list of tags between commas, or a sentence. Every function takes a whole text and gives the
whole text back; what it does not touch stays as it is, to the last space and line end. Functions
that reorder leave sentences alone, since their commas separate nothing that could be moved.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from core.data.captions import has_word, with_trigger
from core.data.tags import join_tags, split_parts, split_tags

Edit = Callable[[str], str]

_MOST_WORDS = 8
_MOST_WORDS_ALONE = 3
_SENTENCE_END = re.compile(r"\w{2,}[.!?](\s|$)|[。！？]")
_STOP = re.compile(r"\b(\w{2,})([.!?])(?=\s+(.)|\s*$)")
_ABBREVIATIONS = frozenset({"dr", "mr", "mrs", "ms", "st", "vs", "no", "jr", "sr", "prof", "feat"})


@dataclass(frozen=True)
class Change:
    """What an edit does to one picture's caption text; before is None without a caption file."""

    picture: Path
    before: str | None
    after: str


def is_tag_list(line: str) -> bool:
    """Whether a line is a list of tags rather than a sentence.

    Tags are short and end with no full stop; a line without a comma is a tag when it has no more
    than three words. Names such as `dr. stone` and `love live! school idol project` are tags.
    """
    parts = split_tags(line)
    if not parts or _has_sentence(line):
        return False
    most = _MOST_WORDS if any(comma in line for comma in ",，、") else _MOST_WORDS_ALONE
    return all(len(part.split()) <= most for part in parts)


def _has_sentence(line: str) -> bool:
    """Whether a sentence ends in the line."""
    if re.search("[。！？]", line):
        return True
    capital = line.lstrip()[:1].isupper()
    for word, mark, following in _STOP.findall(line):
        if mark == ".":
            if word.casefold() not in _ABBREVIATIONS:
                return True
        elif following.isupper() or (capital and not following):
            return True
    return False


def tags_of(text: str) -> list[str]:
    """The tags of all lines of a text that are tag lists, each once, in order."""
    found = (tag for line in text.splitlines() if is_tag_list(line) for tag in split_tags(line))
    return list(dict.fromkeys(found))


def count_tags(texts: Iterable[str]) -> Counter[str]:
    """In how many of the texts each tag occurs."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(tags_of(text))
    return counts


def has_tag(text: str, tag: str) -> bool:
    """Whether one of the text's lines has exactly this tag."""
    return tag in text and any(tag in split_tags(line) for line in text.splitlines())


def each_line(text: str, change: Callable[[str], str]) -> str:
    """The text with `change` done to each line that is not empty; line ends stay."""
    result = []
    for line in text.splitlines(keepends=True):
        body = line.rstrip("\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029")
        result.append(change(body) + line[len(body) :] if body.strip() else line)
    return "".join(result)


def add_tag(text: str, tag: str, front: bool = False) -> str:
    """Add a tag to each line that lacks it; an empty text becomes the tag alone."""
    tag = tag.strip().strip(",").strip()
    if not tag:
        return text
    if not text.strip():
        return tag + text
    return each_line(text, partial(_add, tag=tag, front=front))


def _add(line: str, tag: str, front: bool) -> str:
    if tag in split_tags(line):
        return line
    if front:
        space = line[: len(line) - len(line.lstrip())]
        return f"{space}{tag}, {line.lstrip()}"
    kept = line.rstrip()
    tail = line[len(kept) :]
    if kept.endswith(","):
        return f"{kept} {tag}{tail}"
    joint = " " if _SENTENCE_END.search(kept[-3:]) else ", "
    return f"{kept}{joint}{tag}{tail}"


def remove_tag(text: str, tag: str) -> str:
    """Remove a tag wherever it stands between commas, or is a whole line."""
    return _rewrite(text, tag.strip(), None)


def rename_tag(text: str, tag: str, name: str) -> str:
    """Give a tag another name; where the line has that one already, the old one is removed."""
    name = name.strip().strip(",").strip()
    return _rewrite(text, tag.strip(), name or None) if name != tag.strip() else text


def _rewrite(text: str, tag: str, name: str | None) -> str:
    if not tag or tag not in text:
        return text

    def change(line: str) -> str:
        parts = split_parts(line)
        stripped = [part.strip() for part in parts]
        if tag not in stripped:
            return line
        drop = {index for index, part in enumerate(stripped) if part == tag}
        if name is not None and name not in stripped:
            first = min(drop)
            parts[first] = parts[first].replace(tag, name)
            drop.remove(first)
        return without(parts, drop) if drop else ",".join(parts)

    return each_line(text, change)


def without(parts: list[str], drop: set[int]) -> str:
    """The parts between a line's commas but some; the line begins with as much space as before."""
    kept = [part for index, part in enumerate(parts) if index not in drop]
    if not kept:
        return ""
    if 0 in drop:
        first = parts[0]
        indent = first[: len(first) - len(first.lstrip())]
        kept[0] = indent + kept[0].lstrip()
    return ",".join(kept)


def repeated(parts: Sequence[str]) -> set[int]:
    """Which of the parts between a line's commas are tags that stand before them already.

    Capitals don't matter; part of a choice such as `{red, blue} hair` is no tag.
    """
    seen: set[str] = set()
    drop: set[int] = set()
    for index, part in enumerate(parts):
        key = " ".join(part.split()).casefold()
        if key in seen:
            drop.add(index)
        elif key and all(key.count(one) == key.count(other) for one, other in ("{}", "()", "[]")):
            seen.add(key)
    return drop


def remove_duplicates(text: str) -> str:
    """Of tags that a line has several times keep the first; capitals don't matter."""

    def change(line: str) -> str:
        if not is_tag_list(line):
            return line
        parts = split_parts(line)
        drop = repeated(parts)
        return without(parts, drop) if drop else line

    return each_line(text, change)


def move_tag(text: str, tag: str, place: int) -> str:
    """Move a tag to a place in each tag list that has it; 0 is the front, -1 the end."""
    tag = tag.strip()

    def change(line: str) -> str:
        tags = split_tags(line)
        if tag not in tags or not is_tag_list(line):
            return line
        rest = [one for one in tags if one != tag]
        at = len(rest) if place < 0 else min(place, len(rest))
        return _in_order(line, tags, [*rest[:at], tag, *rest[at:]])

    return each_line(text, change)


def order_by_frequency(text: str, counts: Mapping[str, int], keep: int = 0) -> str:
    """Order the tags of each tag list by `counts`, most frequent first.

    The first `keep` tags stay in front; tags of equal count stay in the order they have.
    """

    def change(line: str) -> str:
        if not is_tag_list(line):
            return line
        tags = split_tags(line)
        rest = sorted(tags[keep:], key=lambda tag: -counts.get(tag, 0))
        return _in_order(line, tags, [*tags[:keep], *rest])

    return each_line(text, change)


def _in_order(line: str, before: list[str], after: list[str]) -> str:
    if before == after:
        return line
    indent = line[: len(line) - len(line.lstrip())]
    tail = "," if line.rstrip().endswith(",") else ""
    return indent + join_tags(after) + tail + line[len(line.rstrip()) :]


def trigger_to_front(text: str, trigger: str) -> str:
    """Put the trigger word in front of each line: moved where it is a tag, added where missing.

    A sentence that has the word already stays as it is.
    """
    trigger = trigger.strip()
    if not trigger:
        return text
    if not text.strip():
        return trigger + text

    def change(line: str) -> str:
        tags = split_tags(line)
        if is_tag_list(line) and any(tag.casefold() == trigger.casefold() for tag in tags):
            rest = [tag for tag in tags if tag.casefold() != trigger.casefold()]
            return _in_order(line, tags, [trigger, *rest])
        if is_tag_list(line):
            return _add(line, trigger, front=True)
        return line if has_word(line, trigger) else with_trigger(line, trigger)

    return each_line(text, change)


def preview(captions: Mapping[Path, str | None], edit: Edit) -> list[Change]:
    """What `edit` would change: only the pictures whose text becomes another one.

    captions: picture -> its caption file's text, None without a file (edited as an empty text).
    """
    changes = []
    for picture, before in captions.items():
        after = edit(before or "")
        if after != (before or ""):
            changes.append(Change(picture, before, after))
    return changes
